"""What commits together with a change: the jobs it causes and the events a browser is told.

`enqueue` and `publish` insert rows in the caller's transaction and ask for a bell after its commit. Neither needs
Redis; a bell that nobody hears costs the listener's next sweep, not the job.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import msgspec

from models import guard
from models.base import Record, uuid7
from models.events import Audience, Event
from models.jobs import Job

EVENTS_BELL: Final = "events"
"""The bell's name for the relay; every other name is a queue's."""

ENQUEUE: Final = """
with mine as (insert into job_keys (key, job_id) select $9, $1 where $9::text is not null
              on conflict do nothing returning 1),
     go as (select 1 where $9::text is null or exists (select 1 from mine)),
     made as (insert into jobs (id, kind, version, payload, queue, caller_id, cause, request_id)
              select $1, $2, $3, $4::text::jsonb, $5, $6, $7, $8 from go)
insert into job_live (job_id, queue, run_at) select $1, $5, coalesce($10, now()) from go returning job_id
"""


ENQUEUE_MANY: Final = """
with made as (insert into jobs (id, kind, version, payload, queue, caller_id, cause, request_id)
              select m.id, m.kind, m.version, m.payload::jsonb, m.queue, $6, $7, $8
                from unnest($1::uuid[], $2::text[], $3::smallint[], $4::text[], $5::text[])
                     m(id, kind, version, payload, queue))
insert into job_live (job_id, queue, run_at)
select m.id, m.queue, coalesce($9, now()) from unnest($1::uuid[], $5::text[]) m(id, queue)
"""
# Whoever comes second to a key waits here for the first one's commit, and then sees the job it made.
TAKE_KEY: Final = """
insert into job_keys (key, job_id) values ($1, $2) on conflict (key) do update set key = excluded.key returning job_id
"""
# Its age begins anew, or it would be forgotten while the job that it names is young.
REUSE_KEY: Final = "update job_keys set job_id = $2, created_at = now() where key = $1"
# Locked, so that no worker takes it before our change is committed and it would read what was before. A worker that was
# quicker is waited for, and its row is then none that waits. One that waits for its next attempt keeps its time.
JOIN_WAITING: Final = """
update job_live set run_at = case when attempts = 0 then least(run_at, coalesce($2, now())) else run_at end
 where job_id = (select job_id from job_live where job_id = $1 and status = 0 for update) returning 1
"""

CLOCK_PREFIX: Final = "clock:"
HOURLY_PREFIX: Final = "hourly:"
COALESCE_PREFIX: Final = "coalesce:"
CODE_PREFIX: Final = "code:"
"""`once` keys of these kinds are forgotten after a time; all others stand for mails and callbacks, and are kept."""
MAX_PAYLOAD_BYTES: Final = 64 * 1024
"""A job holds ids. Whatever is larger is a row of its own."""
MOST_AT_ONCE: Final = 5_000
"""Jobs in one statement: beyond it a transaction would be felt by others."""


class Origin(Record, frozen=True):
    """Who and what caused the work at hand; it travels into every job and log line."""

    request_id: str | None = None
    caller_id: int | None = None
    cause: UUID | None = None


_origin: ContextVar[Origin] = ContextVar("origin", default=Origin())  # noqa: B039  frozen


def origin() -> Origin:
    """The origin of the work at hand."""
    return _origin.get()


@contextmanager
def caused_by(cause: Origin) -> Iterator[None]:
    """Do the work inside on behalf of this origin."""
    token = _origin.set(cause)
    try:
        yield
    finally:
        _origin.reset(token)


class Enqueued(Record, frozen=True):
    """A job's id, and whether this call made it (False: its `once` key was used before)."""

    job_id: UUID
    created: bool


async def enqueue(
    job: Job, *, run_at: datetime | None = None, once: str | None = None, coalesce: str | None = None
) -> Enqueued:
    """Add a job to the open transaction, as its last statement.

    `run_at` is the earliest moment it may start. `once` is a key that is never used twice, also after the job has
    ended; the first job with it is returned. `coalesce` is a key of which one job waits at a time: that one is returned
    if there is any, and begins after this transaction has committed; one that runs already is not enough.
    """
    guard.in_transaction()
    assert once is None or coalesce is None, "a job is made once, or once at a time"
    job_id = uuid7()
    if coalesce is not None:
        key = COALESCE_PREFIX + coalesce
        first = UUID(int=(await guard.value(TAKE_KEY, key, job_id)).int)
        if first != job_id:
            if await guard.row(JOIN_WAITING, first, run_at) is not None:
                guard.ring(job.queue.value)
                return Enqueued(job_id=first, created=False)
            await guard.rows(REUSE_KEY, key, job_id)
    came = origin()
    made = await guard.row(
        ENQUEUE,
        job_id,
        job.kind,
        job.version,
        _encoded(job),
        job.queue.value,
        came.caller_id,
        came.cause,
        came.request_id,
        once,
        run_at,
    )
    if made is not None:
        guard.ring(job.queue.value)
        return Enqueued(job_id=job_id, created=True)
    return Enqueued(job_id=await guard.value("select job_id from job_keys where key = $1", once), created=False)


async def enqueue_many(jobs: Sequence[Job], *, run_at: datetime | None = None) -> list[UUID]:
    """Add many jobs to the open transaction in one statement; returns their ids in the same order."""
    guard.in_transaction()
    assert len(jobs) <= MOST_AT_ONCE, f"{len(jobs)} jobs in one statement"
    came, ids = origin(), [uuid7() for _ in jobs]
    queues = [job.queue.value for job in jobs]
    await guard.rows(
        ENQUEUE_MANY,
        ids,
        [job.kind for job in jobs],
        [job.version for job in jobs],
        [_encoded(job) for job in jobs],
        queues,
        came.caller_id,
        came.cause,
        came.request_id,
        run_at,
    )
    for queue in set(queues):
        guard.ring(queue)
    return ids


def _encoded(job: Job) -> str:
    payload = msgspec.json.encode(job)
    assert len(payload) <= MAX_PAYLOAD_BYTES, f"{job.kind}: a payload of {len(payload)} bytes"
    return payload.decode()


def hourly(verb: str, row_id: int) -> str:
    """A `once` key for sweeps that is new every hour: what died is tried again then, and no two wait for one row."""
    return f"{HOURLY_PREFIX}{verb}:{row_id}:{datetime.now(UTC):%Y%m%d%H}"


async def publish(event: Event, *audiences: Audience) -> None:
    """Add an event to the open transaction, for each audience named; the relay numbers and delivers it."""
    guard.in_transaction()
    assert audiences, "an event without an audience"
    await guard.rows(
        "insert into events (audience, name, payload) select a, $2, $3::text::jsonb from unnest($1::text[]) a",
        sorted(set(audiences)),
        event.name,
        msgspec.json.encode(event).decode(),
    )
    guard.ring(EVENTS_BELL)
