"""Who does not want to be written to by whom.

A block holds in both directions, and neither side is told whose it is. Nobody blocks themselves.
"""

from datetime import datetime
from typing import Final

from piccolo.columns import BigSerial, Timestamptz
from piccolo.columns.defaults.timestamptz import TimestamptzNow
from piccolo.table import Table

from models import accounts, guard
from models.accounts import User
from models.base import Record, restricted
from models.errors import Invalid, NotFound
from models.locks import Noun, lock
from models.queries import query


class Block(Table, tablename="user_blocks"):
    """Who does not want to be written to by whom."""

    id = BigSerial(primary_key=True)
    blocker = restricted(User)
    blocked = restricted(User)
    created_at = Timestamptz(default=TimestamptzNow())


class BlockRow(Record, frozen=True):
    """A block as the one who made it sees it; `id` is the block's own."""

    id: int
    user_id: int
    user_name: str
    created_at: datetime


# Whoever is seen by others; and whoever one has a chat with, even if they have left or were suspended since.
VISIBLE: Final = """
select 1 from users u where u.id = $2 and (
    (u.suspended_at is null and u.deactivated_at is null and u.erased_at is null)
    or exists (select from conversations where low = least($1, $2) and high = greatest($1, $2)))
"""

MAKE: Final = """
insert into user_blocks (blocker, blocked, created_at) values ($1, $2, now()) on conflict (blocker, blocked) do nothing
"""

OWN: Final = query(
    "blocks.own",
    """
select b.id, b.blocked as user_id, u.first_name || ' ' || u.last_name as user_name, b.created_at
  from user_blocks b join users u on u.id = b.blocked
 where b.blocker = $1 and b.id < coalesce($2, 9223372036854775807) order by b.id desc limit $3
""",
)


async def make(user_id: int, *, blocker_id: int) -> None:
    """Let nothing be written between two people from now on. A second time changes nothing.

    Raises Invalid for oneself, NotFound for somebody the caller does not see, TokenInvalid when the caller left
    meanwhile.
    """
    guard.in_transaction()
    if user_id == blocker_id:
        raise Invalid("Nobody blocks themselves.", field="user_id")
    if await guard.row("select 1 from users where id = $1", user_id) is None:
        raise NotFound(f"There is no user {user_id}.")
    # Whoever sends holds their own account: once this is committed, nothing that was under way arrives any more.
    # Whoever leaves does too: what they are to take along is written before, or not at all.
    await lock(Noun.ACCOUNT, blocker_id, user_id)
    await accounts.lock_present(blocker_id)
    if await guard.row(VISIBLE, blocker_id, user_id) is None:
        raise NotFound(f"There is no user {user_id}.")
    await guard.rows(MAKE, blocker_id, user_id)


async def lift(user_id: int, *, blocker_id: int) -> None:
    """Take one's own block back. Where there is none, nothing changes; the other side's stays."""
    guard.in_transaction()
    await guard.rows("delete from user_blocks where blocker = $1 and blocked = $2", blocker_id, user_id)


async def stand_between(one: int, other: int) -> bool:
    """Whether either of the two has blocked the other."""
    found = await guard.row(
        "select 1 from user_blocks where (blocker = $1 and blocked = $2) or (blocker = $2 and blocked = $1)", one, other
    )
    return found is not None


async def list_own(blocker_id: int, *, before: int | None, limit: int) -> list[BlockRow]:
    """One's own newest blocks, from `before` (a block's id, exclusive) backwards."""
    return [BlockRow(**dict(one)) for one in await guard.rows(OWN, blocker_id, before, limit)]
