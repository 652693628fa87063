"""Work that freelancers show: a few pieces each, with their own pictures, in an order of their own.

Refuses a file that is not theirs or was not found good, and an address that is no web page.
"""

from datetime import datetime
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import msgspec
from piccolo.columns import Array, BigInt, BigSerial, Integer, Text, Timestamptz
from piccolo.columns.defaults.timestamptz import TimestamptzNow
from piccolo.table import Table

from models import accounts, guard, profiles
from models.accounts import User
from models.base import Record, restricted
from models.errors import Invalid, NotFound, WrongState
from models.profiles import STANDING
from models.queries import query

MAX_ITEMS: Final = 30
"""Pieces of one freelancer: more is an archive, and nobody looks at it."""
MAX_UPLOADS: Final = 10
MAX_URL_CHARS: Final = 2_000
MAX_POSITION: Final = 10_000


class PortfolioItem(Table, tablename="portfolio_items"):
    """One piece of work; `upload_ids` are its owner's, in the order they are shown."""

    id = BigSerial(primary_key=True)
    user = restricted(User)
    title = Text()
    description = Text()
    url = Text(null=True, default=None)
    upload_ids = Array(base_column=BigInt(), default=list)
    position = Integer(default=0)
    created_at = Timestamptz(default=TimestamptzNow())
    updated_at = Timestamptz(default=TimestamptzNow())


class Piece(Record, frozen=True):
    """What a freelancer says of a piece of work. Lower positions are shown first; of one position the older one."""

    title: str
    description: str
    url: str | None
    upload_ids: list[int]
    position: int


class Position(Record, frozen=True):
    """Where a piece stands. Bounded: cursors come back from outside."""

    position: Annotated[int, msgspec.Meta(ge=0, le=MAX_POSITION)]
    id: Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class ItemRow(Piece, frozen=True):
    """A piece of work as the domain passes it around."""

    id: int
    user_id: int
    created_at: datetime
    updated_at: datetime


COLUMNS: Final = """
id, "user" as user_id, title, description, url, upload_ids, position, created_at, updated_at
"""
LIST: Final = query(
    "portfolio.of_freelancer",
    f"""
select {COLUMNS} from portfolio_items i
 where i."user" = $1 and ($2 or exists (select from users u where u.id = $1 and {STANDING}))
   and (i.position, i.id) > ($3::integer, $4::bigint) order by i.position, i.id limit $5
""",
)
ADD: Final = f"""
insert into portfolio_items ("user", title, description, url, upload_ids, position, created_at, updated_at)
values ($1, $2, $3, $4, $5, $6, now(), now()) returning {COLUMNS}
"""
EDIT: Final = f"""
update portfolio_items set title = $2, description = $3, url = $4, upload_ids = $5, position = $6, updated_at = now()
 where id = $1 returning {COLUMNS}
"""


def _row(found: Any) -> ItemRow:
    return ItemRow(**dict(found))


# Verbs


async def add(user_id: int, **said: Any) -> ItemRow:
    """Show one more piece, at the end unless it says where. Raises WrongState past MAX_ITEMS, Invalid, UploadNotReady.

    Also TokenInvalid, when its owner left meanwhile: what was forgotten must not be written anew.
    """
    await accounts.lock_present(user_id)
    known = await guard.only(
        """select count(*) as items, coalesce(max(position) + 1, 0) as next from portfolio_items where "user" = $1""",
        user_id,
    )
    if known["items"] >= MAX_ITEMS:
        raise WrongState(f"You show {MAX_ITEMS} pieces already; take one away first.")
    blank = {"description": "", "url": None, "upload_ids": [], "position": min(known["next"], MAX_POSITION)}
    piece = Piece(**{**blank, **said})
    await _check(piece, user_id)
    return _row(await guard.only(ADD, user_id, *_values(piece)))


async def edit(item_id: int, *, user_id: int, **changed: Any) -> ItemRow:
    """Change a piece of one's own; a field that is not named stays. Raises NotFound, and what `add` raises."""
    await accounts.lock_present(user_id)
    held = await read(item_id, user_id=user_id)
    piece = Piece(**{name: changed.get(name, getattr(held, name)) for name in Piece.__struct_fields__})
    await _check(piece, user_id, known=held.upload_ids)
    return _row(await guard.only(EDIT, item_id, *_values(piece)))


async def remove(item_id: int, *, user_id: int) -> None:
    """Take a piece of one's own away; its files stay one's own. Raises NotFound."""
    await accounts.lock_present(user_id)
    if not await guard.execute(
        """delete from portfolio_items where id = $1 and "user" = $2 returning id""", item_id, user_id
    ):
        raise NotFound(f"There is no portfolio item {item_id}.")


async def _check(piece: Piece, user_id: int, *, known: list[int] | None = None) -> None:
    """See that a piece makes sense. Files it had before stay good: they were looked at then."""
    if piece.url is not None and not _is_web_page(piece.url):
        raise Invalid("An address begins with http:// or https:// and names a host.", field="url")
    if len(piece.upload_ids) > MAX_UPLOADS or len(set(piece.upload_ids)) < len(piece.upload_ids):
        raise Invalid(f"At most {MAX_UPLOADS} files, each once.", field="upload_ids")
    fresh = [one for one in piece.upload_ids if one not in (known or [])]
    await profiles.check_uploads(fresh, user_id, purpose="portfolio", field="upload_ids")


def _is_web_page(url: str) -> bool:
    """Whether this may become a link: whatever else a browser would run (javascript:, data:) may not."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and " " not in url
    except ValueError:  # brackets that are no address
        return False


def _values(piece: Piece) -> tuple[Any, ...]:
    return piece.title, piece.description, piece.url, piece.upload_ids, piece.position


# Queries


async def read(item_id: int, *, user_id: int) -> ItemRow:
    """One's own piece. Raises NotFound for anybody else's."""
    found = await guard.row(
        f"""select {COLUMNS} from portfolio_items where id = $1 and "user" = $2""", item_id, user_id
    )
    if found is None:
        raise NotFound(f"There is no portfolio item {item_id}.")
    return _row(found)


async def list_of(
    user_id: int, *, asker_id: int, after: Position | None = None, limit: int = MAX_ITEMS
) -> list[ItemRow]:
    """Somebody's pieces in their order, behind a position: nothing of who has left, or is suspended."""
    position, last = (-1, 0) if after is None else (after.position, after.id)
    return [_row(one) for one in await guard.rows(LIST, user_id, asker_id == user_id, position, last, limit)]
