"""The work every system is given, and how it is seen: a job marks its first line, pauses, and may write an effect.

This runs in the peers' venv too, so it imports nothing of ours.
"""

import asyncio
import os
import time
from typing import Final, NamedTuple

import asyncpg

MARKS: Final = os.environ.get("BENCH_MARKS", "")
DATABASE_URL: Final = os.environ.get("BENCH_DATABASE_URL", "")
REDIS_URL: Final = os.environ.get("BENCH_REDIS_URL", "")
THREADS: Final = 8
"""Jobs at a time in each process, whatever the system calls them."""
POOL: Final = 8
MARK_BYTES: Final = 21
EFFECT: Final = "insert into effects (key) values ({})"
EFFECTS: Final = (
    "create table if not exists effects"
    " (id bigint generated always as identity, key text not null, at timestamptz default clock_timestamp())"
)
"""No unique constraint: a key with two rows is a job that took effect twice."""

_descriptor = -1
_opening: "asyncio.Future[asyncpg.Pool] | None" = None


class Work(NamedTuple):
    """A job: the letter it marks its beginning with, its length, and the effect's key (none when empty)."""

    letter: str
    pause_s: float = 0.0
    key: str = ""


def mark(letter: str) -> None:
    """Write down the moment, on a clock all processes of the machine share, in one atomic append."""
    global _descriptor  # noqa: PLW0603  opened by the first job of a process
    if _descriptor < 0:
        _descriptor = os.open(MARKS, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(_descriptor, f"{time.monotonic_ns():019d}{letter}\n".encode())


async def write_effect(key: str) -> None:
    """Write a row through a pool of this process's one loop."""
    global _opening  # noqa: PLW0603  opened by the first job of a process
    if _opening is None:
        _opening = asyncio.ensure_future(_open())
    pool = await _opening
    await pool.execute(EFFECT.format("$1"), key)


async def _open() -> asyncpg.Pool:
    return await asyncpg.create_pool(DATABASE_URL, min_size=1, max_size=POOL)


async def perform(letter: str, pause_s: float, key: str) -> None:
    """The job, for systems whose jobs are coroutines and whose effects are their own."""
    mark(letter)
    if pause_s:
        await asyncio.sleep(pause_s)
    if key:
        await write_effect(key)
