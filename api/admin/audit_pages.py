"""The page of the audit log: who did what, how the chain stands, and the button that has it verified."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from litestar import Request, Response, get, post
from litestar.response import Redirect

from api.admin.audit import MAX_SUBJECT_CHARS, MAX_WORD_CHARS, sought
from api.admin.door import Form
from api.admin.people_pages import typed_in
from api.admin.presses import press
from api.admin.rendering import page
from api.admin.sign_in import FORM
from api.auth import Asking, Caller
from api.fields import MAX_ID
from api.pages import decode_cursor, encode_cursor
from models import accounts, audit, audit_chain, outbox
from models.audit import AuditRow, Sought
from models.errors import Invalid
from models.guard import commit
from models.jobs import VerifyAudit

LISTING: Final = "admin.audit.page"
PAGE_ROWS: Final = 50
FIELDS: Final = ("actor_id", "action", "subject_kind", "subject_id")
MOST: Final = {"action": MAX_WORD_CHARS, "subject_kind": MAX_WORD_CHARS, "subject_id": MAX_SUBJECT_CHARS}
AUDIT: Final = "/admin/audit"
Asked = Request[Caller, Any, Any]


def read_sought(typed: Mapping[str, str]) -> Sought:
    """What the search form asks for. Raises Invalid, naming the field."""
    actor = typed.get("actor_id", "")
    if actor and not (actor.isascii() and actor.isdigit() and int(actor[:20]) <= MAX_ID):
        raise Invalid("A user is sought by their number; 0 is the platform itself.", field="actor_id")
    for name, most in MOST.items():
        if len(typed.get(name, "")) > most:
            raise Invalid(f"Seek a word of at most {most} characters.", field=name)
    return sought(int(actor) if actor else None, **{name: typed.get(name) for name in MOST})


async def _find(typed: Mapping[str, str], cursor: str | None) -> tuple[list[AuditRow], str | None]:
    """The rows of a page, and the address of the next one."""
    before = decode_cursor(LISTING, cursor or None, int)
    found = await audit.find(read_sought(typed), before=before, limit=PAGE_ROWS + 1)
    if len(found) <= PAGE_ROWS:
        return found, None
    further = encode_cursor(LISTING, found[PAGE_ROWS - 1].id)
    return found[:PAGE_ROWS], f"{AUDIT}?{urlencode({**typed, 'cursor': further})}"


@get("/audit")
async def list_audit(request: Asked, caller: Asking) -> Response[str]:
    """The chain's standing, and the rows that are sought."""
    typed = typed_in(request.query_params, FIELDS)
    shown: dict[str, Any] = {"typed": typed, "found": [], "further": None, "wrong": None}
    try:
        shown["found"], shown["further"] = await _find(typed, request.query_params.get("cursor"))
    except Invalid as refusal:
        shown["wrong"] = refusal
    status = 422 if shown["wrong"] else 200
    shown |= {"chain": await audit_chain.read_standing(), "paged": "cursor" in request.query_params}
    return page(request, "audit.html", status_code=status, person=await accounts.read(caller.id), **shown)


@post("/audit/verify", status_code=303, opt=dict(FORM))
async def verify(request: Asked, caller: Asking, form: Form) -> Redirect:  # noqa: ARG001
    """Have the chain walked; the page shows the result when it is there."""

    async def verb() -> str:
        await commit(outbox.enqueue, VerifyAudit(), coalesce=VerifyAudit.kind)
        return "The chain is being walked. Open this page again in a moment."

    return await press(request, AUDIT, verb)


HANDLERS: Final = [list_audit, verify]
