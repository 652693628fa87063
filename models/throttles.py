"""How often somebody may be wrong: attempts are counted in rows, before they are looked at, and hold without Redis.

Refuses to tell an account that exists from one that does not: both are counted under a hash of what was typed.
While a key is blocked nothing is counted on top, or whoever keeps knocking could shut the owner out for ever.
"""

from hashlib import sha256
from math import ceil
from typing import Final

from piccolo.columns import Integer, Text, Timestamptz
from piccolo.columns.defaults.timestamptz import TimestamptzNow
from piccolo.table import Table

from models import guard
from models.base import Record
from models.errors import Throttled

FIRST_BLOCK_S: Final = 5
MOST_BLOCK_S: Final = 15 * 60
"""The back-off doubles from the first to the most: longer would punish its owner more than a guesser."""
QUIET_S: Final = 3600
"""After an hour without an attempt a key is as new."""


class Pace(Record, frozen=True):
    """How many failures a key has free before its back-off begins; `shared`: by people who do not know each other."""

    free: int
    shared: bool = False


ONE: Final = Pace(free=5)
NETWORK: Final = Pace(free=30, shared=True)
"""An office has one network, and on Monday morning many who mistype."""
NETWORK_PREFIX: Final = "network:"


class Throttle(Table, tablename="throttles"):
    """Failures under one key since `first_at`; nothing is looked at before `blocked_until`."""

    key = Text(primary_key=True)
    failures = Integer(default=0)
    first_at = Timestamptz(default=TimestamptzNow())
    last_at = Timestamptz(default=TimestamptzNow())
    blocked_until = Timestamptz(null=True, default=None)


# One statement counts and blocks: rivals wait for each other on the row, and each sees the one before it.
COUNT: Final = """
insert into throttles as t (key, failures, first_at, last_at) values ($1, 1, now(), now())
on conflict (key) do update set
    failures = case when t.last_at < now() - make_interval(secs => $5) then 1 else t.failures + 1 end,
    first_at = case when t.last_at < now() - make_interval(secs => $5) then now() else t.first_at end,
    last_at = now(),
    blocked_until = case when t.last_at >= now() - make_interval(secs => $5) and t.failures >= $2::int then
        now() + make_interval(secs => least($4::float8, $3::float8 * 2 ^ least(t.failures - $2::int, 30))) end
 where t.blocked_until is null or t.blocked_until <= now()
returning failures
"""
LEFT: Final = "select extract(epoch from blocked_until - now())::float8 from throttles where key = $1"
FAILED: Final = "update throttles set last_at = now() where key = $1 returning failures"
FORGET: Final = "delete from throttles where key = $1"
# Others' failures stay counted: one's own account must not buy an hour of guessing at those of the neighbours.
TAKE_BACK: Final = """
update throttles set failures = greatest(failures - 1, 0),
                     blocked_until = case when failures - 1 > $2::int then blocked_until end
 where key = $1
"""
# Not a back-off but a rhythm: whoever comes in between is turned away, and turns nobody else away.
TAKE_TURN: Final = """
insert into throttles as t (key, failures, first_at, last_at, blocked_until)
values ($1, 0, now(), now(), now() + make_interval(secs => $2))
on conflict (key) do update set last_at = now(), blocked_until = excluded.blocked_until
 where t.blocked_until is null or t.blocked_until <= now()
returning 1
"""


def account_key(email_key: str, known: bool) -> str:  # noqa: FBT001  it is half of the key
    """The key of an address, whether or not anybody has it.

    `known`: the account was used from the caller's network before. Such callers have a counter of their own, so that a
    stranger who guesses cannot lock the owner out.
    """
    return f"account:{'known:' if known else ''}{sha256(email_key.encode(errors='replace')).hexdigest()}"


def network_key(network: str, known: bool = False) -> str:  # noqa: FBT001, FBT002  likewise
    """The key of a network; those who sign in to an account that was used from it are counted apart."""
    return f"{NETWORK_PREFIX}{'known:' if known else ''}{network}"


async def begin_attempt(*keys: str) -> None:
    """Count an attempt under each key before it is looked at. Raises Throttled while any of them is blocked.

    Commit this before the attempt: of any number made at the same moment each is counted.
    """
    guard.in_transaction()
    for key in sorted(keys):
        if await guard.row(COUNT, key, _pace(key).free, FIRST_BLOCK_S, MOST_BLOCK_S, QUIET_S) is None:
            left_s = max(1, ceil(await guard.value(LEFT, key)))
            raise Throttled(f"Too many attempts. The next one is looked at in {left_s} seconds.", retry_after_s=left_s)


async def fail(*keys: str) -> bool:
    """Say that an attempt was wrong: its hour of quiet begins now. Returns whether it used up the last free one."""
    guard.in_transaction()
    last = False
    for key in sorted(keys):
        failures = await guard.value(FAILED, key)
        last = last or (failures == _pace(key).free + 1 and not _pace(key).shared)
    return last


async def forgive(*keys: str) -> None:
    """Forget the failures under these keys: the attempt was right. A network keeps those of others."""
    guard.in_transaction()
    for key in sorted(keys):
        pace = _pace(key)
        await (guard.rows(TAKE_BACK, key, pace.free) if pace.shared else guard.rows(FORGET, key))


async def take_turn(key: str, every_s: int) -> bool:
    """Whether it is this key's turn, which comes once in `every_s` seconds; of rivals one has it."""
    guard.in_transaction()
    return await guard.row(TAKE_TURN, key, every_s) is not None


def _pace(key: str) -> Pace:
    return NETWORK if key.startswith(NETWORK_PREFIX) else ONE
