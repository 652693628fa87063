"""The tally: what one worker process has done, queue by queue. The console's minutes and Prometheus read the same."""

import time
from bisect import bisect_left
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import IntEnum
from typing import Final
from uuid import UUID

import asyncpg
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from models.jobs import Queue
from models.queue import minutes
from models.queue.minutes import BUCKETS_S, MinuteRow
from wire.metrics import histogram


class Outcome(IntEnum):
    """How a claim ended; the number is its place in a queue's counts."""

    SUCCEEDED = 0
    FAILED = 1
    """For good: a rule or a provider said no."""
    DEAD = 2
    """Given up after its last attempt."""
    RETRIED = 3
    RESCHEDULED = 4


LEASES_LOST: Final = len(Outcome)
TIME_LIMITS: Final = LEASES_LOST + 1
WAITS: Final = TIME_LIMITS + 1
RUNS: Final = WAITS + len(BUCKETS_S) + 1
WAITED_S: Final = RUNS + len(BUCKETS_S) + 1
RAN_S: Final = WAITED_S + 1
WIDTH: Final = RAN_S + 1
MINUTE_S: Final = 60
MOST_WRITTEN: Final = 2 * len(Queue)
"""Rows remembered as written: two minutes of every queue."""

Counts = dict[Queue, list[float]]


class Mark:
    """Where the counts stood when a minute began, and when the one before it did. Never changed once made."""

    __slots__ = ("before", "minute", "minute_before", "start")

    def __init__(self, minute: int, start: Counts, minute_before: int, before: Counts) -> None:
        self.minute = minute
        self.start = start
        self.minute_before = minute_before
        self.before = before


class Tally(Collector):
    """Counts since the process began, in one flat list a queue.

    Only the performers' event loop writes: `ended`, `lease_lost` and `time_limit` run there, and the mark is replaced
    there. The feeder's thread, and whoever collects, only read, and lock nothing: copying a list is one step under the
    interpreter's lock, so a copy is never torn inside a number; it may hold the first half of what one `ended` adds,
    and is written over with the whole at the next look. A minute that is over is read from its marks, which the writing
    thread copied between two jobs: those are whole. A reader takes the mark once, into a variable.
    """

    def __init__(self, queues: tuple[Queue, ...], registry: CollectorRegistry | None = None) -> None:
        self._counts: Counts = {queue: [0] * RUNS + [0] * (len(BUCKETS_S) + 1) + [0.0, 0.0] for queue in queues}
        now = int(time.time()) // MINUTE_S
        self._mark = Mark(now, self._copy(), now, self._copy())
        self._turns_at = float((now + 1) * MINUTE_S)
        self._written: list[MinuteRow] = []
        if registry is not None:
            registry.register(self)

    def ended(self, queue: Queue, outcome: Outcome, wait_s: float, run_s: float) -> None:
        """Count a claim's end: how long the job had been due when it began, and how long it then ran, in seconds."""
        if time.time() >= self._turns_at:
            self._turn()
        counts = self._counts[queue]
        counts[outcome] += 1
        counts[WAITS + bisect_left(BUCKETS_S, wait_s)] += 1
        counts[RUNS + bisect_left(BUCKETS_S, run_s)] += 1
        counts[WAITED_S] += wait_s
        counts[RAN_S] += run_s

    def lease_lost(self, queue: Queue) -> None:
        """Count a claim that somebody else was given meanwhile."""
        self._counts[queue][LEASES_LOST] += 1

    def time_limit(self, queue: Queue) -> None:
        """Count a job that was stopped at its queue's limit; its outcome is counted besides."""
        self._counts[queue][TIME_LIMITS] += 1

    def minute_rows(self) -> list[MinuteRow]:
        """What is not written yet: rows of the running minute, and of the one before until that is whole."""
        mark, now = self._mark, self._copy()
        periods = {mark.minute_before: (mark.before, mark.start), mark.minute: (mark.start, now)}
        rows: list[MinuteRow] = []
        for minute, (start, end) in periods.items():
            for queue in now:
                done = [after - before for after, before in zip(end[queue], start[queue], strict=True)]
                if any(done[:WAITED_S]):
                    rows.append(_row(minute, queue, done))
        return [row for row in rows if row not in self._written]

    async def write_minutes(self, connection: asyncpg.Connection, worker_id: UUID) -> int:
        """Write what is not written yet, on the feeder's connection; returns how many rows that was.

        What could not be written is written the next time. No job ends while PostgreSQL is away, so little is missed.
        """
        rows = self.minute_rows()
        if rows:
            await minutes.write(connection, worker_id, rows)
            self._written = [*self._written, *rows][-MOST_WRITTEN:]
        return len(rows)

    def describe(self) -> list[Metric]:
        """Nothing: the registry need not collect to learn the names."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The counts since the process began, for Prometheus."""
        counts = self._copy()
        ended = Metric("megilance_jobs_ended", "Claims that ended, by outcome.", "counter")
        lost = Metric("megilance_leases_lost", "Claims that somebody else was given meanwhile.", "counter")
        limits = Metric("megilance_job_time_limits", "Jobs stopped at their time limit.", "counter")
        for queue, found in counts.items():
            for outcome in Outcome:
                labels = {"queue": queue.value, "outcome": outcome.name.lower()}
                ended.add_sample("megilance_jobs_ended_total", labels, found[outcome])
            lost.add_sample("megilance_leases_lost_total", {"queue": queue.value}, found[LEASES_LOST])
            limits.add_sample("megilance_job_time_limits_total", {"queue": queue.value}, found[TIME_LIMITS])
        yield from (ended, lost, limits)
        for name, about, first, total in (
            ("megilance_job_wait_seconds", "Time from due to begun.", WAITS, WAITED_S),
            ("megilance_job_run_seconds", "Time from begun to ended.", RUNS, RAN_S),
        ):
            last = first + len(BUCKETS_S) + 1
            rows = (([queue.value], found[first:last], found[total]) for queue, found in counts.items())
            yield histogram(name, about, ("queue",), BUCKETS_S, rows)

    def _copy(self) -> Counts:
        return {queue: counts.copy() for queue, counts in self._counts.items()}

    def _turn(self) -> None:
        """Begin a minute. The one before ends here, though jobs of neither may have ended for long."""
        minute, old = int(time.time()) // MINUTE_S, self._mark
        self._mark = Mark(minute, self._copy(), old.minute, old.start)
        self._turns_at = float((minute + 1) * MINUTE_S)


def _row(minute: int, queue: Queue, done: list[float]) -> MinuteRow:
    counts = [int(count) for count in done[:WAITED_S]]
    return MinuteRow(
        minute=datetime.fromtimestamp(minute * MINUTE_S, UTC),
        queue=queue.value,
        succeeded=counts[Outcome.SUCCEEDED],
        failed=counts[Outcome.FAILED] + counts[Outcome.DEAD],
        retried=counts[Outcome.RETRIED],
        waits=counts[WAITS:RUNS],
        runs=counts[RUNS:WAITED_S],
    )
