"""The audit log as admins read it, as JSON, and its verification when one asks."""

from typing import Annotated, Any, Final

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import Parameter, QueryParameter

from api.auth import role
from api.fields import MAX_ID, sought_word
from api.idempotency import Once
from api.jobs import JobOut
from api.pages import DEFAULT_LIMIT, Cursor, Limit, Page, decode_cursor, page
from api.waiting import answer
from models import audit, audit_chain
from models.accounts import Role
from models.audit import AuditRow, Sought
from models.audit_chain import Difference

LISTING: Final = "admin.audit"
MAX_WORD_CHARS: Final = 64
MAX_SUBJECT_CHARS: Final = 200

QueryWord = Annotated[str | None, Parameter(max_length=MAX_WORD_CHARS)]
QuerySubject = Annotated[str | None, Parameter(max_length=MAX_SUBJECT_CHARS)]
QueryActor = Annotated[int | None, QueryParameter(ge=0, le=MAX_ID, description="a user; 0 is the platform itself")]


class Verified(msgspec.Struct, frozen=True):
    """What a walk of the whole chain saw. `found` counts every difference; `differences` names the first hundred."""

    rows: int
    head: str
    found: int
    differences: list[Difference]


@get("/audit")
async def list_audit(
    *,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    actor_id: QueryActor = None,
    action: QueryWord = None,
    subject_kind: QueryWord = None,
    subject_id: QuerySubject = None,
) -> Page[AuditRow]:
    """Who did what, newest first. Sealed (`seq`, `hash`) within about a second. `request_id` is the caller's word."""
    wanted = sought(actor_id, action=action, subject_kind=subject_kind, subject_id=subject_id)
    found = await audit.find(wanted, before=decode_cursor(LISTING, cursor, int), limit=limit + 1)
    return page(LISTING, found, limit, lambda one: one.id)


def sought(actor_id: int | None, **words: str | None) -> Sought:
    """What a query asks for; blank words ask for nothing. Raises Invalid."""
    return Sought(actor_id=actor_id, **{name: sought_word(given, name) for name, given in words.items()})


@post(
    "/audit/verify",
    status_code=200,
    opt={"bodiless": True},
    responses={200: ResponseSpec(Verified), 202: ResponseSpec(JobOut)},
)
async def verify(request: Request[Any, Any, Any], once: Once) -> Response[Any]:
    """Walk the whole chain and say where it is not as it was sealed. One walk waits at a time: others join it."""
    return await answer(
        request, await once.job(audit_chain.request_walk), lambda result: msgspec.convert(result, Verified)
    )


router = Router(
    "/api/admin",
    route_handlers=[list_audit, verify],
    guards=[role(Role.ADMIN)],
    tags=["admin"],
)
