"""Idempotency keys: the first request under a key does the work, a repetition finds what that one made.

A row holds a hash of the request and the id of what it made: no body, no answer, no secret. It commits with the work or
not at all, so a key whose request failed is as good as new. Rows are kept for 24 hours at least.
"""

from hashlib import blake2b
from typing import Final

from models import guard
from models.base import Record
from models.errors import IdempotencyInProgress, IdempotencyKeyReused

# The lock is tried, never waited for: who comes second is told so at once. It ends with the transaction, that is after
# the row can be seen; and whoever gets it looks at the index itself, which knows rows that its snapshot does not.
TAKE: Final = """
insert into idempotency_keys (user_id, route, key, request_hash)
select $2, $3, $4, $5 where pg_try_advisory_xact_lock($1) on conflict do nothing returning 1
"""
FIND: Final = "select request_hash, made from idempotency_keys where user_id = $1 and route = $2 and key = $3"
KEEP: Final = "update idempotency_keys set made = $4 where user_id = $1 and route = $2 and key = $3"


class Asked(Record, frozen=True):
    """One request under a key: whose, to which route, and the hash of everything that says what it wants."""

    user_id: int
    route: str
    key: str
    request_hash: bytes


class Made(Record, frozen=True):
    """What the first request under a key made; None: nothing that has an id of its own."""

    id: str | None


async def take(asked: Asked) -> Made | None:
    """Take the key: None, and the open transaction does the work and says `keep`; or what the first request made.

    Raises IdempotencyInProgress while the first one is still at it, IdempotencyKeyReused when it asked for something
    else.
    """
    guard.in_transaction()
    place = (asked.user_id, asked.route, asked.key)
    if await guard.row(TAKE, _lock_of(asked), *place, asked.request_hash) is not None:
        return None
    first = await guard.row(FIND, *place)
    if first is None:
        raise IdempotencyInProgress("The first request with this Idempotency-Key is not done yet. Ask again shortly.")
    if first["request_hash"] != asked.request_hash:
        raise IdempotencyKeyReused("This Idempotency-Key came before with another request: use a new one.")
    return Made(id=first["made"])


async def keep(asked: Asked, made: str | None) -> None:
    """Write down what the work under a taken key has made."""
    guard.in_transaction()
    await guard.rows(KEEP, asked.user_id, asked.route, asked.key, made)


def _lock_of(asked: Asked) -> int:
    """The key's number among the advisory locks. Two keys with one number would only be told to come again."""
    named = f"idempotency\n{asked.user_id}\n{asked.route}\n{asked.key}"
    return int.from_bytes(blake2b(named.encode(), digest_size=8).digest(), signed=True)
