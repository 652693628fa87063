"""The work that freelancers show, over HTTP."""

from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from litestar import Router, delete, get, patch, post
from litestar.params import JSONBody

from api.auth import Asking, role, signed_in
from api.fields import MAX_ID, Body, NeededId, PathId, Title
from api.idempotency import Once
from api.pages import DEFAULT_LIMIT, Cursor, Limit, Page, decode_cursor, page
from models import portfolio
from models.accounts import Role
from models.guard import commit
from models.portfolio import MAX_POSITION, MAX_UPLOADS, MAX_URL_CHARS, ItemRow, Position

LISTING: Final = "portfolio"

Description = Annotated[str, msgspec.Meta(max_length=5_000)]
Url = Annotated[
    str,
    msgspec.Meta(
        min_length=8, max_length=MAX_URL_CHARS, description="http or https", examples=["https://shop.example.com"]
    ),
]
UploadIds = Annotated[
    list[Annotated[int, msgspec.Meta(ge=1, le=MAX_ID)]],
    msgspec.Meta(max_length=MAX_UPLOADS, description="one's own ready uploads of purpose portfolio, each once"),
]
Place = Annotated[int, msgspec.Meta(ge=0, le=MAX_POSITION, description="lower ones are shown first")]


class NewItem(Body, frozen=True):
    """A piece of work; without a position it comes last."""

    title: Title
    description: Description = ""
    url: Url | None = None
    upload_ids: UploadIds = msgspec.field(default_factory=list)
    position: Place | msgspec.UnsetType = msgspec.UNSET


class ItemChange(Body, frozen=True):
    """What is to change of a piece; absent fields stay. `url` null takes it away."""

    title: Title | msgspec.UnsetType = msgspec.UNSET
    description: Description | msgspec.UnsetType = msgspec.UNSET
    url: Url | msgspec.UnsetType | None = msgspec.UNSET
    upload_ids: UploadIds | msgspec.UnsetType = msgspec.UNSET
    position: Place | msgspec.UnsetType = msgspec.UNSET


class ItemOut(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of work as anybody signed in sees it."""

    id: int
    user_id: int
    title: str
    description: str
    url: str | None
    upload_ids: list[int]
    position: int
    created_at: datetime
    updated_at: datetime


def show(item: ItemRow) -> ItemOut:
    """The piece as it is answered."""
    return ItemOut(**msgspec.structs.asdict(item))


def _said(data: msgspec.Struct) -> dict[str, Any]:
    return {name: held for name, held in msgspec.structs.asdict(data).items() if held is not msgspec.UNSET}


@get("/")
async def list_portfolio(
    caller: Asking, user_id: NeededId, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[ItemOut]:
    """Somebody's work, in the order they chose; nothing of who is not there."""
    after = decode_cursor(LISTING, cursor, Position)
    found = await portfolio.list_of(user_id, asker_id=caller.id, after=after, limit=limit + 1)
    return page(LISTING, [show(one) for one in found], limit, lambda one: Position(position=one.position, id=one.id))


@post("/", guards=[role(Role.FREELANCER)])
async def add_item(data: JSONBody[NewItem], caller: Asking, once: Once) -> ItemOut:
    """Show one more piece of one's work: thirty at most."""

    async def again(item_id: int) -> ItemRow:
        return await portfolio.read(item_id, user_id=caller.id)

    return show(await once(portfolio.add, caller.id, **_said(data), again=again))


@patch("/{item_id:int}", guards=[role(Role.FREELANCER)])
async def edit_item(item_id: PathId, data: JSONBody[ItemChange], caller: Asking) -> ItemOut:
    """Change a piece of one's own."""
    return show(await commit(portfolio.edit, item_id, user_id=caller.id, **_said(data)))


@delete("/{item_id:int}", guards=[role(Role.FREELANCER)])
async def remove_item(item_id: PathId, caller: Asking) -> None:
    """Take a piece of one's own away."""
    await commit(portfolio.remove, item_id, user_id=caller.id)


router = Router(
    "/api/portfolio",
    route_handlers=[list_portfolio, add_item, edit_item, remove_item],
    tags=["portfolio"],
    guards=[signed_in],
)
