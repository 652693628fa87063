"""People as admins find and steer them, as JSON."""

from typing import Annotated, Any, Final

import msgspec
from litestar import Request, Router, get, post
from litestar.params import FromQuery, JSONBody, Parameter

from api.auth import Asking, role
from api.fields import Body, PathId, sought_word
from api.idempotency import Once, no_id
from api.pages import DEFAULT_LIMIT, Cursor, Limit, Page, decode_cursor, page
from api.requests import visitor_of
from models import people
from models.accounts import Role
from models.people import MAX_REASON_CHARS, MAX_SOUGHT_CHARS, Listed, Sought, Status

LISTING: Final = "users"

QueryText = Annotated[str | None, Parameter(max_length=MAX_SOUGHT_CHARS, description="a part of a name or an address")]
Asked = Request[Any, Any, Any]


class Reason(Body, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why an account is shut out: its owner's next question, and the next admin's."""

    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_REASON_CHARS)]


class Revoked(msgspec.Struct, frozen=True):
    """How many sessions ended."""

    revoked: int


@get("/")
async def list_users(
    *,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    q: QueryText = None,
    role: FromQuery[Role | None] = None,
    status: FromQuery[Status | None] = None,
) -> Page[Listed]:
    """Search, newest first. `status` is the first that fits of erased, suspended, deactivated, unverified, active."""
    wanted = Sought(text=sought_word(q, "q"), role=role, status=status)
    found = await people.find(wanted, before=decode_cursor(LISTING, cursor, int), limit=limit + 1)
    return page(LISTING, found, limit, lambda one: one.id)


@post("/{user_id:int}/suspend", status_code=200)
async def suspend(request: Asked, caller: Asking, user_id: PathId, data: JSONBody[Reason], once: Once) -> Listed:
    """Shut an account out at once: its sessions end, its sockets close. Nobody suspends themselves."""
    visitor = visitor_of(request)
    return await once(people.suspend, user_id, data.reason, by=caller.id, visitor=visitor, again=people.read)


@post("/{user_id:int}/restore", status_code=200, opt={"bodiless": True})
async def restore(request: Asked, caller: Asking, user_id: PathId, once: Once) -> Listed:
    """Let a suspended account in again. Its sessions stay ended."""
    return await once(people.restore, user_id, by=caller.id, visitor=visitor_of(request), again=people.read)


@post("/{user_id:int}/revoke-sessions", status_code=200, opt={"bodiless": True})
async def revoke_sessions(request: Asked, caller: Asking, user_id: PathId, once: Once) -> Revoked:
    """Sign somebody out everywhere; a repetition ends nobody."""
    visitor = visitor_of(request)
    ended = await once(people.revoke_sessions, user_id, by=caller.id, visitor=visitor, again=_nobody, made=no_id)
    return Revoked(ended)


async def _nobody(_: None) -> int:
    return 0


router = Router(
    "/api/users",
    route_handlers=[list_users, suspend, restore, revoke_sessions],
    guards=[role(Role.ADMIN)],
    tags=["admin"],
)
