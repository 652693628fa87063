"""Upkeep, run by the clock each night: the months ahead get partitions, and what is past keeping goes, in slices."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Final

import msgspec

from models import guard, metrics, retention
from models.jobs import TendPartitions
from models.queue import minutes
from tasks.job import Claim, Reschedule, performs

MOST_SLICES: Final = 20
"""In one go, well within the time limit; the rest follows in a minute."""
REST_S: Final = 60.0


class Tended(msgspec.Struct, frozen=True):
    """What a night's upkeep did."""

    partitions: list[str]
    dropped: list[str]
    events: int
    keys: int
    callbacks: int
    minutes: int
    metrics: int
    sessions: int
    passing: dict[str, int]
    """Rows forgotten of each of the tables that accounts leave behind."""


@performs(TendPartitions)
async def tend_partitions(_: TendPartitions, __: Claim) -> Tended:
    """Make partitions, drop old ones, forget old rows. Doing it twice does nothing the second time."""
    now = datetime.now(UTC)
    # First what must not fail: without a partition no job can be enqueued.
    partitions = await guard.commit(retention.make_partitions, now.date())
    dropped = await guard.commit(retention.drop_partitions, now)
    return Tended(
        partitions=partitions,
        dropped=dropped,
        events=await _in_slices(retention.forget_events),
        keys=await _in_slices(retention.forget_keys),
        callbacks=await _in_slices(retention.forget_callbacks),
        minutes=await _in_slices(minutes.forget),
        metrics=await _in_slices(metrics.forget),
        sessions=await _in_slices(partial(retention.forget_sessions, now)),
        passing={table: await _in_slices(partial(retention.forget_passing, table)) for table in retention.PASSING},
    )


async def _in_slices(forget: Callable[[], Awaitable[int]]) -> int:
    forgotten = 0
    for _ in range(MOST_SLICES):
        count = await guard.commit(forget)
        forgotten += count
        if count < retention.SLICE:
            return forgotten
    raise Reschedule(REST_S)
