"""Projects and freelancers that the caller keeps in mind, over HTTP."""

from datetime import datetime
from typing import Final

import msgspec
from litestar import Router, delete, get, post
from litestar.params import FromQuery, JSONBody

from api.auth import Asking, signed_in
from api.fields import Body, Id, PathId
from api.idempotency import Once
from api.pages import DEFAULT_LIMIT, Cursor, Limit, Page, decode_cursor, page
from models import favorites
from models.errors import Invalid
from models.favorites import FavoriteKind, FavoriteRow
from models.guard import commit

LISTING: Final = "favorites"


class NewFavorite(Body, frozen=True):
    """What to keep in mind: exactly one of the two."""

    project_id: Id | None = None
    freelancer_id: Id | None = None


class FavoriteOut(msgspec.Struct, frozen=True, kw_only=True):
    """A favourite; `name` is the project's title or the freelancer's name, null when the caller sees it no more."""

    id: int
    kind: FavoriteKind
    project_id: int | None
    freelancer_id: int | None
    name: str | None
    created_at: datetime


def show(favorite: FavoriteRow) -> FavoriteOut:
    """The favourite as it is answered."""
    return FavoriteOut(kind=favorite.kind, **msgspec.structs.asdict(favorite))


async def _add(data: NewFavorite, caller: Asking) -> FavoriteRow:
    if data.project_id is not None:
        return await favorites.add_project(data.project_id, user_id=caller.id, admin=caller.admin)
    assert data.freelancer_id is not None, "one of the two is named"
    return await favorites.add_freelancer(data.freelancer_id, user_id=caller.id)


@post("/")
async def add_favorite(data: JSONBody[NewFavorite], caller: Asking, once: Once) -> FavoriteOut:
    """Keep a project or a freelancer in mind. What is kept already is answered as it is."""
    if (data.project_id is None) == (data.freelancer_id is None):
        raise Invalid("Name a project or a freelancer, not both.", field="project_id")

    async def again(favorite_id: int) -> FavoriteRow:
        return await favorites.read(favorite_id, user_id=caller.id)

    return show(await once(_add, data, caller, again=again))


@get("/")
async def list_favorites(
    caller: Asking, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None, kind: FromQuery[FavoriteKind | None] = None
) -> Page[FavoriteOut]:
    """One's own favourites, newest first."""
    before = decode_cursor(LISTING, cursor, int)
    found = await favorites.list_own(caller.id, kind=kind, before=before, limit=limit + 1)
    return page(LISTING, [show(one) for one in found], limit, lambda one: one.id)


@delete("/{favorite_id:int}")
async def remove_favorite(favorite_id: PathId, caller: Asking) -> None:
    """Forget a favourite."""
    await commit(favorites.remove, favorite_id, user_id=caller.id)


router = Router(
    "/api/favorites",
    route_handlers=[add_favorite, list_favorites, remove_favorite],
    tags=["favorites"],
    guards=[signed_in],
)
