"""What the queues did, minute by minute: counts by bucket, from which rates and percentiles are read.

Each worker overwrites its own row of the running minute, so writing twice counts once.
"""

from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

from models import guard
from models.base import Record
from models.retention import SLICE

BUCKETS_S: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
"""Upper bounds, inclusive, of waits and runs in seconds. One bucket more holds whatever was longer."""
KEPT_HOURS: Final = 26

WRITE: Final = """
insert into queue_minutes (minute, queue, worker_id, succeeded, failed, retried, waits, runs)
values ($1, $2, $3, $4, $5, $6, $7::int[], $8::int[])
on conflict (minute, queue, worker_id) do update
   set succeeded = excluded.succeeded, failed = excluded.failed, retried = excluded.retried,
       waits = excluded.waits, runs = excluded.runs
"""

FORGET: Final = """
delete from queue_minutes where ctid = any(array(
    select ctid from queue_minutes where minute < now() - make_interval(hours => $1) limit $2)) returning 1
"""


class MinuteRow(Record, frozen=True):
    """What one worker did on one queue in one minute. `failed` counts the dead too; `waits` and `runs` by bucket."""

    minute: datetime
    queue: str
    succeeded: int
    failed: int
    retried: int
    waits: list[int]
    runs: list[int]


async def write(connection: asyncpg.Connection, worker_id: UUID, rows: Sequence[MinuteRow]) -> None:
    """Write a worker's rows over what it wrote of the same minutes before."""
    await connection.executemany(
        WRITE,
        [
            (row.minute, row.queue, worker_id, row.succeeded, row.failed, row.retried, row.waits, row.runs)
            for row in rows
        ],
    )


async def forget() -> int:
    """Remove a slice of minutes that are past keeping; returns how many (fewer than a slice: done)."""
    guard.in_transaction()
    return await guard.execute(FORGET, KEPT_HOURS, SLICE)


def bucket(seconds: float) -> int:
    """The index of the bucket that a duration falls into."""
    return bisect_left(BUCKETS_S, seconds)


def quantile_s(counts: Sequence[int], share: float) -> float | None:
    """The duration that `share` (0 to 1) of what was counted did not exceed, in seconds; None when nothing was.

    Linear within a bucket, as Prometheus' histogram_quantile; the last bucket answers its lower bound.
    """
    total = sum(counts)
    if total == 0:
        return None
    rank, below = share * total, 0
    for number, count in enumerate(counts):
        if below + count >= rank and count:
            if number == len(BUCKETS_S):
                return BUCKETS_S[-1]
            low = BUCKETS_S[number - 1] if number else 0.0
            return low + (BUCKETS_S[number] - low) * (rank - below) / count
        below += count
    return BUCKETS_S[-1]
