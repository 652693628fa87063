"""Where secrets lie sealed, so that all of them can be sealed anew when the key changes.

Nothing here opens a seal: that is for whoever holds the keys. A row that somebody else changed meanwhile stays theirs.
"""

from collections.abc import Sequence
from enum import Enum
from typing import Final

from models import guard
from models.base import Record

SLICE: Final = 500
"""Rows read and written at once: some tens of milliseconds of work."""


class SealedPlace(Enum):
    """Every column that holds sealed text, as (table, column). What is added here is rotated with the rest."""

    ONBOARDING_LINKS = ("users", "onboarding_sealed")
    FACTOR_SEEDS = ("mfa_methods", "secret_sealed")
    CLIENT_SECRETS = ("payments", "client_secret_sealed")


class SealedRow(Record, frozen=True):
    """A sealed text and the row it lies in."""

    id: int
    sealed: str


class Resealing(Record, frozen=True):
    """A text's old seal and its new one."""

    id: int
    sealed: str
    anew: str


async def list_sealed(place: SealedPlace, after: int) -> list[SealedRow]:
    """A slice of what lies sealed in a place, by ascending id, behind `after`."""
    table, column = place.value
    found = await guard.rows(
        f"select id, {column} as sealed from {table} where id > $1 and {column} is not null order by id limit $2",
        after,
        SLICE,
    )
    return [SealedRow(**dict(one)) for one in found]


async def replace_seals(place: SealedPlace, anew: Sequence[Resealing]) -> int:
    """Put new seals in the place of old ones; returns how many rows still had the old one."""
    guard.in_transaction()
    table, column = place.value
    return await guard.execute(
        # Accounts and payments are among them: locked in the order of everybody who locks several.
        f"""with held as (select t.id, n.anew from {table} t
                            join unnest($1::bigint[], $2::text[], $3::text[]) as n (id, sealed, anew)
                              on t.id = n.id and t.{column} = n.sealed
                           order by t.id for no key update of t)
            update {table} t set {column} = held.anew from held where t.id = held.id returning t.id""",
        [one.id for one in anew],
        [one.sealed for one in anew],
        [one.anew for one in anew],
    )
