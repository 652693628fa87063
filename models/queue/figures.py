"""How the queues do: what waits, how fast it goes, who works, what is due next. Reads only, cheap at a million rows.

Nothing here counts a queue to its end. A depth is counted from the front of the index (queue, run_at) up to a cap.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

from models.base import Record
from models.guard import rows
from models.jobs import Queue
from models.queue.minutes import BUCKETS_S, quantile_s

COUNTED: Final = 25_000
"""Jobs of one queue that are counted; a queue that has more shows that it has more."""
DEAD_COUNTED: Final = 10_000
"""Dead jobs that are counted, of all queues together: each is a look at its row."""
RATE_MINUTES: Final = 5
"""Rates and percentiles are of so many minutes, the running one included."""
SERIES_MINUTES: Final = 60
BEATING_S: Final = 15.0
"""A worker that has not beaten for so long serves no queue; others give its jobs back after 10 s."""

# One walk of (queue, run_at) from its front has the due and the running ones, another from now on the later ones; both
# stop at the cap. EXPLAIN at 1 M rows in one queue: Index Scan using job_live_queue_run_at, 25,001 rows, and no sort.
# Running rows are due ones, and a claim takes from the front, so the cap hides none of them.
DEPTHS: Final = """
select q.name, due.waiting, due.running, due.counted, later.counted as later, due.oldest_s,
       (select count(*) from workers w where q.name = any(w.queues) and w.beat_at > now() - make_interval(secs => $3))
           as workers
  from unnest($1::text[]) q(name)
 cross join lateral (
    select count(*) as counted, count(*) filter (where status = 0) as waiting,
           count(*) filter (where status = 1) as running,
           extract(epoch from now() - min(run_at) filter (where status = 0))::float8 as oldest_s
      from (select status, run_at from job_live where queue = q.name and run_at <= now()
             order by run_at limit $2) front) due
 cross join lateral (
    select count(*) as counted from (select 1 from job_live where queue = q.name and run_at > now() and status = 0
             order by run_at limit $2) behind) later
"""
# jobs_dead holds dead jobs and nothing else: whoever retries or discards one takes its mark away.
DEAD: Final = """
select queue, count(*) as dead from (select queue from jobs where is_dead order by id desc limit $1) newest group by 1
"""
PAUSES: Final = """
select p.queue, p.reason, p.paused_at, p.paused_by, coalesce(u.email, '') as email
  from queue_pauses p left join users u on u.id = p.paused_by
"""
# At most an hour of rows, one a minute, queue and worker, found by the primary key's first column.
MINUTES: Final = """
select minute, queue, succeeded, failed, retried, waits, runs from queue_minutes
 where minute > now() - $1 * interval '1 minute'
"""
WORKERS: Final = """
select id, host, pid, release, queues, threads, running::text as running, started_at,
       extract(epoch from now() - beat_at)::float8 as silent_s
  from workers order by host, pid
"""
SCHEDULE: Final = """
select name, kind, every_s, missed, last_slot, last_job_id, next_slot, seen_at from schedules order by name
"""


class Pause(Record, frozen=True):
    """Why a queue stands still, since when and by whose hand."""

    reason: str
    paused_at: datetime
    paused_by: int
    email: str


class Quantiles(Record, frozen=True):
    """Durations in seconds that half, 95 % and 99 % of the jobs did not exceed; None when there were none."""

    p50_s: float | None
    p95_s: float | None
    p99_s: float | None


class Minute(Record, frozen=True):
    """One minute of a queue: jobs ended a second, those among them that failed, and the p95 of their runs."""

    minute: datetime
    rate_per_s: float
    failed_per_s: float
    wait_p95_s: float | None
    run_p95_s: float | None


class Depth(Record, frozen=True):
    """How a queue stands. Counts stop at COUNTED (dead: DEAD_COUNTED); `*_capped` says so. `workers` are live ones."""

    name: str
    waiting: int
    waiting_capped: bool
    later: int
    later_capped: bool
    running: int
    dead: int
    dead_capped: bool
    oldest_s: float | None
    workers: int
    pause: Pause | None


class QueueFigures(Depth, frozen=True):
    """A queue now, and over the last RATE_MINUTES."""

    rate_per_s: float
    failed_per_s: float
    wait: Quantiles
    run: Quantiles
    series: list[Minute]


class RunningJob(Record, frozen=True):
    """A job in a worker's hands, as the worker last said."""

    id: UUID
    kind: str
    since: datetime


class Worker(Record, frozen=True):
    """A worker process. `silent_s` is the age of its last beat."""

    id: UUID
    host: str
    pid: int
    release: str
    queues: list[str]
    threads: int
    running: list[RunningJob]
    started_at: datetime
    silent_s: float


class Schedule(Record, frozen=True):
    """A periodic job: how often, what missed slots do, and its last and next slot."""

    name: str
    kind: str
    every_s: int
    missed: str
    last_slot: datetime | None
    last_job_id: UUID | None
    next_slot: datetime
    seen_at: datetime


class _Sum:
    """Counts of several workers and minutes, added up."""

    def __init__(self) -> None:
        self.succeeded = self.failed = 0
        self.waits = [0] * (len(BUCKETS_S) + 1)
        self.runs = [0] * (len(BUCKETS_S) + 1)

    def add(self, found: Any) -> None:
        self.succeeded += found["succeeded"]
        self.failed += found["failed"]
        self.waits = _added(self.waits, found["waits"])
        self.runs = _added(self.runs, found["runs"])


def _added(sums: list[int], counts: Sequence[int]) -> list[int]:
    return [one + other for one, other in zip(sums, counts, strict=False)]


def _quantiles(counts: Sequence[int]) -> Quantiles:
    return Quantiles(p50_s=quantile_s(counts, 0.5), p95_s=quantile_s(counts, 0.95), p99_s=quantile_s(counts, 0.99))


async def depths(names: Sequence[str]) -> list[Depth]:
    """How these queues stand, in this order."""
    found = {one["name"]: one for one in await rows(DEPTHS, names, COUNTED + 1, BEATING_S)}
    dead = {one["queue"]: one["dead"] for one in await rows(DEAD, DEAD_COUNTED)}
    pauses = {one["queue"]: one for one in await rows(PAUSES)}
    return [_depth(found[name], dead, pauses.get(name)) for name in names]


def _depth(found: Any, dead: dict[str, int], pause: Any) -> Depth:
    return Depth(
        name=found["name"],
        waiting=min(found["waiting"], COUNTED),
        waiting_capped=found["counted"] > COUNTED,
        later=min(found["later"], COUNTED),
        later_capped=found["later"] > COUNTED,
        running=found["running"],
        dead=dead.get(found["name"], 0),
        dead_capped=sum(dead.values()) >= DEAD_COUNTED,
        oldest_s=found["oldest_s"],
        workers=found["workers"],
        pause=None if pause is None else Pause(**{k: v for k, v in dict(pause).items() if k != "queue"}),
    )


async def queues() -> list[QueueFigures]:
    """Every queue, in the order of its declaration."""
    stand = await depths([queue.value for queue in Queue])
    now = datetime.now(UTC)
    minutes = _minutes(await rows(MINUTES, SERIES_MINUTES))
    return [_figures(one, minutes.get(one.name, {}), now=now) for one in stand]


def _minutes(found: Iterable[Any]) -> dict[str, dict[datetime, _Sum]]:
    sums: dict[str, dict[datetime, _Sum]] = {}
    for one in found:
        sums.setdefault(one["queue"], {}).setdefault(one["minute"], _Sum()).add(one)
    return sums


def _figures(depth: Depth, minutes: dict[datetime, _Sum], *, now: datetime) -> QueueFigures:
    this_minute = now.replace(second=0, microsecond=0)
    since = this_minute - timedelta(minutes=RATE_MINUTES - 1)
    recent, window_s = _Sum(), (now - since).total_seconds()
    for minute, counted in minutes.items():
        if minute >= since:
            recent.succeeded += counted.succeeded
            recent.failed += counted.failed
            recent.waits, recent.runs = _added(recent.waits, counted.waits), _added(recent.runs, counted.runs)
    return QueueFigures(
        **msgspec.structs.asdict(depth),
        rate_per_s=(recent.succeeded + recent.failed) / window_s,
        failed_per_s=recent.failed / window_s,
        wait=_quantiles(recent.waits),
        run=_quantiles(recent.runs),
        series=_series(minutes, this_minute),
    )


def _series(minutes: dict[datetime, _Sum], this_minute: datetime) -> list[Minute]:
    """The last whole minutes, oldest first, silent ones included; the running one would only look like a fall."""
    found = []
    for ago in range(SERIES_MINUTES - 1, 0, -1):
        minute = this_minute - timedelta(minutes=ago)
        counted = minutes.get(minute, _Sum())
        found.append(
            Minute(
                minute=minute,
                rate_per_s=(counted.succeeded + counted.failed) / 60,
                failed_per_s=counted.failed / 60,
                wait_p95_s=quantile_s(counted.waits, 0.95),
                run_p95_s=quantile_s(counted.runs, 0.95),
            )
        )
    return found


async def workers() -> list[Worker]:
    """Every worker process that has not left, by host and process id."""
    found = []
    for one in await rows(WORKERS):
        fields = dict(one)
        fields["id"] = UUID(int=one["id"].int)
        fields["running"] = msgspec.json.decode(one["running"], type=list[RunningJob])
        found.append(Worker(**fields))
    return found


async def schedule() -> list[Schedule]:
    """Every periodic job, by name."""
    return [Schedule(**dict(one)) for one in await rows(SCHEDULE)]
