"""Searches that people keep, over HTTP, and the link by which a mail of theirs is the last one."""

from datetime import datetime
from decimal import Decimal
from functools import partial
from html import escape
from math import inf
from typing import Annotated, Any, Final

import msgspec
from litestar import Request, Response, Router, delete, get, patch, post
from litestar.enums import RequestEncodingType
from litestar.params import JSONBody, QueryParameter
from msgspec import UNSET, UnsetType

from api.auth import ANYBODY, PUBLIC, Asking, signed_in
from api.briefs import Skills
from api.fields import Amount, Body, Currency, PathId, Word
from api.idempotency import Once
from api.link_pages import plain_page
from api.pages import DEFAULT_LIMIT, Cursor, Limit, Page, decode_cursor, page
from api.requests import MAX_ANONYMOUS_BODY_BYTES
from models import saved_searches
from models.errors import LinkInvalid
from models.guard import commit
from models.projects import BudgetType
from models.saved_searches import Changes, SearchRow, Wanted
from wire.tokens import MAX_TOKEN_CHARS, BadToken, Purpose, Tokens

LISTING: Final = "saved_searches"
MAX_WORDS_CHARS: Final = 400
ONE_CLICK: Final = {
    "media": tuple(one.value for one in RequestEncodingType if one is not RequestEncodingType.MESSAGEPACK),
    # Whole mail providers press the button from a few addresses, for all their people.
    "limit": "600/60",
}
"""A mail program sends a form that says `List-Unsubscribe=One-Click` (RFC 8058); whatever is sent is not looked at."""

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
Words = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_WORDS_CHARS)]
MailedToken = Annotated[str, QueryParameter(min_length=1, max_length=MAX_TOKEN_CHARS, description="of a mail's link")]


class NewSearch(Body, frozen=True, kw_only=True):
    """What to look for; what is absent stands for anything. Budgets are in major units of `currency`."""

    name: Name
    q: Words | None = None
    category: Word | None = None
    skills: Skills = msgspec.field(default_factory=list)
    budget_type: BudgetType | None = None
    budget_min: Amount | None = None
    budget_max: Amount | None = None
    currency: Currency | None = None
    alerts_by_mail: bool = True

    def wanted(self) -> Wanted:
        """What the domain is told."""
        return Wanted(**{**msgspec.structs.asdict(self), "skills": list(dict.fromkeys(self.skills))})


class SearchChange(Body, frozen=True, kw_only=True):
    """What is to become of a search: fields that are absent stay, null is anything."""

    name: Name | UnsetType = UNSET
    q: Words | UnsetType | None = UNSET
    category: Word | UnsetType | None = UNSET
    skills: Skills | UnsetType = UNSET
    budget_type: BudgetType | UnsetType | None = UNSET
    budget_min: Amount | UnsetType | None = UNSET
    budget_max: Amount | UnsetType | None = UNSET
    currency: Currency | UnsetType | None = UNSET
    alerts_by_mail: bool | UnsetType = UNSET


class SearchOut(msgspec.Struct, frozen=True, kw_only=True):
    """A search as its person sees it."""

    id: int
    name: str
    q: str | None
    category: str | None
    skills: list[str]
    budget_type: BudgetType | None
    budget_min: Decimal | None
    budget_max: Decimal | None
    currency: str | None
    alerts_by_mail: bool
    created_at: datetime


class Unsubscribed(msgspec.Struct, frozen=True):
    """The search sends no more mails."""

    unsubscribed: bool = True


def show(search: SearchRow) -> SearchOut:
    """The search as it is answered."""
    return SearchOut(**msgspec.structs.asdict(search))


@post("/")
async def create_saved_search(data: JSONBody[NewSearch], caller: Asking, once: Once) -> SearchOut:
    """Keep a search: new projects that fit it are told, by mail too if asked. At most 20 a person."""
    again = partial(saved_searches.read, user_id=caller.id)
    return show(await once(saved_searches.create, caller.id, data.wanted(), again=again))


@get("/")
async def list_saved_searches(caller: Asking, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None) -> Page[SearchOut]:
    """The caller's own searches, newest first."""
    found = await saved_searches.list_own(caller.id, before=decode_cursor(LISTING, cursor, int), limit=limit + 1)
    return page(LISTING, [show(one) for one in found], limit, lambda one: one.id)


@get("/{search_id:int}")
async def read_saved_search(search_id: PathId, caller: Asking) -> SearchOut:
    """One of the caller's own searches."""
    return show(await saved_searches.read(search_id, user_id=caller.id))


@patch("/{search_id:int}")
async def edit_saved_search(search_id: PathId, data: JSONBody[SearchChange], caller: Asking) -> SearchOut:
    """Change one of the caller's own searches."""
    changes = Changes(**msgspec.structs.asdict(data))
    return show(await commit(saved_searches.edit, search_id, changes, user_id=caller.id))


@delete("/{search_id:int}")
async def delete_saved_search(search_id: PathId, caller: Asking) -> None:
    """Forget one of the caller's own searches."""
    await commit(saved_searches.remove, search_id, user_id=caller.id)


@get("/unsubscribe", include_in_schema=False, opt=dict(PUBLIC))
async def unsubscribe_page(token: Annotated[str, QueryParameter(max_length=MAX_TOKEN_CHARS)] = "") -> Response[str]:
    """The page behind the link at the end of an alert: a button, nothing more. Scanners follow links."""
    form = (
        f'<form method="post" action="/api/unsubscribe?token={escape(token)}"><button>End these mails</button></form>'
    )
    return plain_page(f"<h1>End the mails of this search?</h1><p>You keep the search and its notifications.</p>{form}")


@post("/unsubscribe", status_code=200, opt=PUBLIC | ONE_CLICK, security=ANYBODY)
async def unsubscribe(request: Request[Any, Any, Any], token: MailedToken) -> Response[Unsubscribed]:
    """End the mails of the search that an alert was about, without a sign-in. Again changes nothing."""
    tokens: Tokens = request.app.state.tokens
    try:
        # As long as somebody keeps the mail: an old one must not be the reason why mails go on.
        mail_id = tokens.read_link(Purpose.UNSUBSCRIBE, token, inf)
    except BadToken:
        raise LinkInvalid("This link is not valid.", field="token") from None
    await commit(saved_searches.unsubscribe, mail_id)
    return _ended() if "text/html" in request.headers.get("accept", "") else Response(Unsubscribed())


def _ended() -> Response[Any]:
    """What whoever pressed the page's button sees."""
    return plain_page("<h1>Done</h1><p>This search sends you no more mails. You can close this page.</p>")


router = Router(
    "/api/saved-searches",
    route_handlers=[
        create_saved_search,
        list_saved_searches,
        read_saved_search,
        edit_saved_search,
        delete_saved_search,
    ],
    tags=["projects"],
    guards=[signed_in],
)
links = Router(
    "/api",
    route_handlers=[unsubscribe_page, unsubscribe],
    tags=["projects"],
    request_max_body_size=MAX_ANONYMOUS_BODY_BYTES,
)
