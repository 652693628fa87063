"""The counts of processes that nobody can scrape, as they last wrote them; and how the queues stand at this moment."""

import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final
from uuid import UUID

import msgspec

from models import guard
from models.base import Record, uuid7
from models.queue import figures
from models.retention import SLICE

FRESH_S: Final = 60.0
"""Four snapshots missed: the process is down, or cannot reach us."""
KEPT_S: Final = 3_600.0
"""How long a process that fell silent is still shown, as down."""

Run = Callable[..., Awaitable[Any]]
"""Runs one statement: `guard.rows`, or the `fetch` of a process' own connection."""

WRITE: Final = """
insert into process_metrics (process_id, role, host, pid, release, families)
values ($1, $2, $3, $4, $5, $6::text::jsonb)
on conflict (process_id) do update set families = excluded.families, written_at = now()
"""
LEAVE: Final = "delete from process_metrics where process_id = $1"
# A silent process keeps its line until its age passes, but not its counts: they would look like a standstill. A
# container that was killed and started again has the same host and pid: the newer stands, since one line twice spoils
# a scrape.
READ: Final = """
select distinct on (role, host, pid) process_id, role, host, pid, release,
       extract(epoch from now() - written_at)::float8 as age_s,
       case when written_at >= now() - make_interval(secs => $1) then families::text end as families
  from process_metrics where written_at >= now() - make_interval(secs => $2)
 order by role, host, pid, written_at desc
"""
FORGET: Final = """
delete from process_metrics where process_id in (
    select process_id from process_metrics where written_at < now() - make_interval(secs => $1) limit $2) returning 1
"""
UNNUMBERED: Final = "select count(*) from events where seq is null"
PEOPLE: Final = """
select (select count(*) from users) as users,
       (select count(*) from sessions where revoked_at is null and refreshed_at > now() - make_interval(days => $1))
           as sessions
"""


class Process(Record, frozen=True):
    """A process, as its snapshots name it. `role` is the program's name in the Procfile, without its queues."""

    process_id: UUID
    role: str
    host: str
    pid: int
    release: str

    async def write(self, run: Run, families: list[Any]) -> None:
        """Write the process' snapshot over its last one. The families become JSON as they are."""
        document = msgspec.json.encode(families).decode()
        await run(WRITE, self.process_id, self.role, self.host, self.pid, self.release, document)

    async def leave(self, run: Run) -> None:
        """The process ends as it should: nobody will miss it."""
        await run(LEAVE, self.process_id)


def this_process(role: str, release: str, process_id: UUID | None = None) -> Process:
    """The process we are in."""
    return Process(
        process_id=process_id or uuid7(), role=role, host=socket.gethostname(), pid=os.getpid(), release=release
    )


class Snapshot(Record, frozen=True):
    """What a process last wrote, as JSON text, and how long ago. `families` of one that fell silent is None."""

    process: Process
    age_s: float
    families: str | None


async def read_fresh(within_s: float = FRESH_S) -> list[Snapshot]:
    """Every process that has written in the last hour, with the counts of those that did within `within_s`."""
    return [
        Snapshot(
            process=Process(
                process_id=one["process_id"],
                role=one["role"],
                host=one["host"],
                pid=one["pid"],
                release=one["release"],
            ),
            age_s=one["age_s"],
            families=one["families"],
        )
        for one in await guard.rows(READ, within_s, KEPT_S)
    ]


async def forget() -> int:
    """Remove a slice of snapshots of processes long gone; returns how many (fewer than a slice: done)."""
    guard.in_transaction()
    return await guard.execute(FORGET, KEPT_S, SLICE)


class QueueState(Record, frozen=True):
    """How one queue stands. Due and scheduled wait, the one now and the other for its time."""

    due: int = 0
    scheduled: int = 0
    running: int = 0
    dead: int = 0
    oldest_due_s: float = 0.0
    is_paused: bool = False
    workers: int = 0


async def read_queues(queues: list[str]) -> dict[str, QueueState]:
    """How these queues stand, as the admin's figures have it: counts stop at the same caps."""
    return {
        one.name: QueueState(
            due=one.waiting,
            scheduled=one.later,
            running=one.running,
            dead=one.dead,
            oldest_due_s=one.oldest_s or 0.0,
            is_paused=one.pause is not None,
            workers=one.workers,
        )
        for one in await figures.depths(queues)
    }


async def count_unnumbered() -> int:
    """Events that the relay has not numbered yet."""
    found: int = await guard.value(UNNUMBERED)
    return found


class People(Record, frozen=True):
    """Accounts, and sessions that can still be refreshed."""

    users: int
    sessions: int


async def count_people(refresh_days: int) -> People:
    """How many there are. Counts rows: for an admin's glance, not for a page of the product."""
    return People(**dict(await guard.only(PEOPLE, refresh_days)))
