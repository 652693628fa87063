"""What every table and struct of the domain starts from."""

import os
import time
from typing import Any
from uuid import UUID

import msgspec
from piccolo.columns import ForeignKey, LazyTableReference, OnDelete
from piccolo.table import Table


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A row as the domain passes it around: read-only, typed, compared by value."""


def uuid7() -> UUID:
    """A time-ordered UUID (RFC 9562, version 7): 48 bits of Unix milliseconds, then 74 random bits.

    Ordered ids let `jobs` be partitioned by its primary key, with no second column in the key.
    """
    return uuid7_at(time.time_ns() // 1_000_000, int.from_bytes(os.urandom(10)))


def uuid7_at(unix_ms: int, entropy: int = 0) -> UUID:
    """The version 7 UUID of a moment; with no entropy it is the smallest one of that millisecond."""
    random_a, random_b = (entropy >> 62) & 0xFFF, entropy & (2**62 - 1)
    return UUID(int=unix_ms << 80 | 0x7 << 76 | random_a << 64 | 0b10 << 62 | random_b)


def restricted(table: type[Table] | LazyTableReference, *, null: bool = False, index: bool = True) -> ForeignKey[Any]:
    """A foreign key as this schema has them: indexed, not null, and a row that is referred to cannot go."""
    return ForeignKey(references=table, null=null, index=index, on_delete=OnDelete.restrict, default=None)
