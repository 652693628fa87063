"""What commits together with a change: the jobs it causes and the events a browser is told.

`enqueue` and `publish` insert rows in the caller's transaction and ask for a bell after its commit. Neither needs
Redis; a bell that nobody hears costs the listener's next sweep, not the job.
"""

from collections.abc import Iterator
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


async def enqueue(job: Job, *, run_at: datetime | None = None, once: str | None = None) -> Enqueued:
    """Add a job to the open transaction, as its last statement.

    `once` is a key that is never used twice, also after the job has ended; the first job with it is returned.
    `run_at` is the earliest moment it may start.
    """
    guard.in_transaction()
    came, job_id = origin(), uuid7()
    made = await guard.row(
        ENQUEUE,
        job_id,
        job.kind,
        job.version,
        msgspec.json.encode(job).decode(),
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


def hourly(verb: str, row_id: int) -> str:
    """A `once` key for sweeps that is new every hour: what died is tried again then, and no two wait for one row."""
    return f"{verb}:{row_id}:{datetime.now(UTC):%Y%m%d%H}"


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
