"""The pages of people: the list, one person whole, and the buttons that shut somebody out and let them in again."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from litestar import Request, Response, get, post
from litestar.response import Redirect

from api.admin.door import Form
from api.admin.presses import press
from api.admin.rendering import page
from api.admin.sign_in import FORM
from api.auth import Asking, Caller
from api.fields import PathId, sought_word
from api.pages import decode_cursor, encode_cursor
from api.requests import visitor_of
from models import accounts, audit, people, security
from models.accounts import Role
from models.errors import Invalid
from models.guard import commit
from models.people import MAX_SOUGHT_CHARS, Listed, Sought, Status

LISTING: Final = "admin.users.page"
PAGE_USERS: Final = 50
MOST_EVENTS: Final = 30
MOST_DEEDS: Final = 50
FIELDS: Final = ("q", "role", "status")
OTHERWISE: Final = {"role": "There is no such role.", "status": "There is no such standing."}
Asked = Request[Caller, Any, Any]


def typed_in(sent: Mapping[str, str], fields: tuple[str, ...] = FIELDS) -> dict[str, str]:
    """The fields of a search that say something, as they were typed."""
    return {name: sent[name].strip() for name in fields if sent.get(name, "").strip()}


def read_sought(typed: Mapping[str, str]) -> Sought:
    """What the search form asks for. Raises Invalid, naming the field."""
    text = sought_word(typed.get("q"), "q")
    if text is not None and len(text) > MAX_SOUGHT_CHARS:
        raise Invalid(f"Seek a text of at most {MAX_SOUGHT_CHARS} characters.", field="q")
    found: dict[str, Any] = {}
    for name, kind in (("role", Role), ("status", Status)):
        try:
            found[name] = kind(typed[name]) if name in typed else None
        except ValueError:
            raise Invalid(OTHERWISE[name], field=name) from None
    return Sought(text=text, **found)


async def _find(typed: Mapping[str, str], cursor: str | None) -> tuple[list[Listed], str | None]:
    """The people of a page, and the address of the next one."""
    before = decode_cursor(LISTING, cursor or None, int)
    found = await people.find(read_sought(typed), before=before, limit=PAGE_USERS + 1)
    if len(found) <= PAGE_USERS:
        return found, None
    further = encode_cursor(LISTING, found[PAGE_USERS - 1].id)
    return found[:PAGE_USERS], f"/admin/users?{urlencode({**typed, 'cursor': further})}"


@get("/users")
async def list_users(request: Asked, caller: Asking) -> Response[str]:
    """Everybody, or those who are sought."""
    typed = typed_in(request.query_params)
    shown: dict[str, Any] = {"typed": typed, "found": [], "further": None, "wrong": None}
    try:
        shown["found"], shown["further"] = await _find(typed, request.query_params.get("cursor"))
    except Invalid as refusal:
        shown["wrong"] = refusal
    status = 422 if shown["wrong"] else 200
    shown |= {"roles": list(Role), "standings": list(Status), "paged": "cursor" in request.query_params}
    return page(request, "users.html", status_code=status, person=await accounts.read(caller.id), **shown)


@get("/users/{user_id:int}")
async def show_user(request: Asked, caller: Asking, user_id: PathId) -> Response[str]:
    """One person: standing, factors by kind, sign-ins, what happened to the account and what admins did."""
    file = await people.read_file(user_id)
    events = await security.list_own(user_id, before=None, limit=MOST_EVENTS)
    deeds = await audit.read_for(people.SUBJECT, str(user_id), limit=MOST_DEEDS)
    person = await accounts.read(caller.id)
    return page(request, "user.html", person=person, file=file, one=file.listed, events=events, deeds=deeds)


def _at(user_id: int) -> str:
    return f"/admin/users/{user_id}"


@post("/users/{user_id:int}/suspend", status_code=303, opt=dict(FORM))
async def suspend(request: Asked, caller: Asking, form: Form, user_id: PathId) -> Redirect:
    """Shut an account out."""

    async def verb() -> str:
        reason = sought_word(form.get("reason"), "reason") or ""
        await commit(people.suspend, user_id, reason, by=caller.id, visitor=visitor_of(request))
        return "The account is suspended, and signed out everywhere."

    return await press(request, _at(user_id), verb)


@post("/users/{user_id:int}/restore", status_code=303, opt=dict(FORM))
async def restore(request: Asked, caller: Asking, form: Form, user_id: PathId) -> Redirect:  # noqa: ARG001
    """Let a suspended account in again."""

    async def verb() -> str:
        await commit(people.restore, user_id, by=caller.id, visitor=visitor_of(request))
        return "The account is restored. Its owner may sign in again."

    return await press(request, _at(user_id), verb)


@post("/users/{user_id:int}/revoke-sessions", status_code=303, opt=dict(FORM))
async def revoke_sessions(request: Asked, caller: Asking, form: Form, user_id: PathId) -> Redirect:  # noqa: ARG001
    """Sign somebody out everywhere."""

    async def verb() -> str:
        ended = await commit(people.revoke_sessions, user_id, by=caller.id, visitor=visitor_of(request))
        return f"{ended} session{'' if ended == 1 else 's'} ended."

    return await press(request, _at(user_id), verb)


HANDLERS: Final = [list_users, show_user, suspend, restore, revoke_sessions]
