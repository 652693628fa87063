"""Row locks, taken in one order so that no two transactions ever wait for each other.

account < project < proposal < contract < milestone < payment < conversation < ticket < upload, ids ascending. A lock
out of that order is our mistake and fails at once, whether or not a rival is there to make it a deadlock.
"""

from contextvars import ContextVar
from enum import StrEnum
from typing import Final

from piccolo.engine.postgres import PostgresTransaction

from models import guard
from models.errors import NotFound


class Noun(StrEnum):
    """What can be locked, in the order in which it is."""

    ACCOUNT = "account"
    PROJECT = "project"
    PROPOSAL = "proposal"
    CONTRACT = "contract"
    MILESTONE = "milestone"
    PAYMENT = "payment"
    CONVERSATION = "conversation"
    TICKET = "ticket"
    UPLOAD = "upload"


TABLES: Final[dict[Noun, str]] = {
    Noun.ACCOUNT: "users",
    Noun.PROJECT: "projects",
    Noun.PROPOSAL: "proposals",
    Noun.CONTRACT: "contracts",
    Noun.MILESTONE: "milestones",
    Noun.PAYMENT: "payments",
    Noun.CONVERSATION: "conversations",
    Noun.TICKET: "support_tickets",
    Noun.UPLOAD: "uploads",
}

# NO KEY UPDATE lets rows that refer to a locked one be inserted meanwhile: a foreign key asks for KEY SHARE only.
LOCK: Final = {
    noun: f"select id from {table} where id = any($1::bigint[]) order by id for no key update"
    for noun, table in TABLES.items()
}

_RANK: Final = {noun: rank for rank, noun in enumerate(Noun)}

_held: ContextVar[tuple[PostgresTransaction | None, set[tuple[int, int]]]] = ContextVar("held", default=(None, set()))
"""The last transaction that locked anything, and what: (rank of the noun, id). Of no meaning to another transaction."""


async def lock(noun: Noun, *ids: int) -> None:
    """Lock rows until the transaction ends; what is read afterwards cannot change under the reader.

    Locking again what is held already changes nothing. Raises NotFound when a row is absent, AssertionError when the
    order is not kept.
    """
    held = _of_transaction()
    wanted = sorted({(_RANK[noun], one) for one in ids})
    fresh = [one for one in wanted if one not in held]
    if not fresh:
        return
    assert not held or fresh[0] > max(held), f"{noun} {fresh[0][1]} is locked after {_named(max(held))}"
    found = {one["id"] for one in await guard.rows(LOCK[noun], [one for _, one in fresh])}
    absent = [one for _, one in fresh if one not in found]
    if absent:
        raise NotFound(f"There is no {noun} {absent[0]}.")
    held.update(fresh)


def is_held(noun: Noun, one: int) -> bool:
    """Whether the open transaction has locked this row through `lock`."""
    return (_RANK[noun], one) in _of_transaction()


def _of_transaction() -> set[tuple[int, int]]:
    guard.in_transaction()
    transaction = guard.engine().current_transaction.get()
    owner, held = _held.get()
    if owner is not transaction:
        held = set()
        _held.set((transaction, held))
    return held


def _named(key: tuple[int, int]) -> str:
    return f"{list(Noun)[key[0]]} {key[1]}"
