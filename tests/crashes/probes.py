"""Jobs and performers that are there to be killed, and the worker program that works them.

`python -m tests.crashes.probes --queues notify,bulk` is `tasks.launch` with these performers and no others. BEGINNINGS
names a file that gets a line whenever a performer begins: a count that no server's death can falsify.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

import asyncpg
import msgspec

from models import events, guard, outbox
from models.errors import Unreachable
from models.jobs import Job, Queue
from tasks.job import Claim, Reschedule, performs
from tasks.launch import launch

TABLES = """
create table effects (id bigint generated always as identity, key text not null, at timestamptz default clock_timestamp());
create table marks (key text, what text, primary key (key, what));
create table orders (key text primary key);
"""
RESCHEDULE_S = 0.5


class Piece(Job):
    """Pause, then write an effect and an event in the transaction that ends the job. `how` it behaves: see `piece`."""

    kind = "probe.crash_piece"
    queue = Queue.BULK
    key: str
    pause_s: float = 0.0
    room: int = 1
    how: str = "plainly"


class Stumble(Job):
    """Fail at the first attempt, as an unreachable provider does; at the second write the effect and the event."""

    kind = "probe.crash_stumble"
    queue = Queue.NOTIFY
    key: str
    pause_s: float = 0.0
    room: int = 1


class Echo(Job):
    """Return a value after a pause, without an effect: its end is written together with others'."""

    kind = "probe.crash_echo"
    queue = Queue.NOTIFY
    value: int
    pause_s: float = 0.0


class Tick(Job):
    """What the clock enqueues: an effect a slot."""

    kind = "probe.crash_tick"
    queue = Queue.NOTIFY


class Poison(Job):
    """Kill the process that performs it."""

    kind = "probe.crash_poison"
    queue = Queue.BULK
    key: str


class Endless(Job):
    """At the first claim, write the effect and then hold the transaction open for ever; later on, only write it."""

    kind = "probe.crash_endless"
    queue = Queue.NOTIFY
    key: str


class Look(Job):
    """Ask PostgreSQL whether the claim still stands, again and again for a while; then write the effect."""

    kind = "probe.crash_look"
    queue = Queue.BULK
    key: str
    looks: int


class Deaf(Job):
    """Swallow every cancellation for a while, then write the effect if that is still wanted."""

    kind = "probe.crash_deaf"
    queue = Queue.NOTIFY
    key: str
    hold_s: float


class Told(msgspec.Struct):
    """A result."""

    value: int


def note_beginning(key: str) -> None:
    """Add a line to the file of beginnings, if there is one: a single write, so that processes cannot mix theirs."""
    path = os.environ.get("BEGINNINGS")
    if path:
        with Path(path).open("ab", buffering=0) as file:
            file.write(f"{key} {os.getpid()}\n".encode())


async def mark(key: str, what: str) -> bool:
    """Remember something outside the job's own transaction; whether this call was the first to."""
    while True:
        try:
            made = await guard.row(
                "insert into marks (key, what) values ($1, $2) on conflict do nothing returning 1", key, what
            )
        except (*guard.LOST_CONNECTION, asyncpg.InternalClientError):
            await asyncio.sleep(0.05)
        else:
            return made is not None


async def write_effect(key: str) -> dict[str, str]:
    """The verb of them all."""
    guard.in_transaction()
    await guard.rows("insert into effects (key) values ($1)", key)
    return {"key": key}


async def write_and_tell(job: Piece | Stumble) -> dict[str, str]:
    """The effect, its event and, if the job is one that has a follow-up, that."""
    written = await write_effect(job.key)
    await outbox.publish(events.ProjectUpdated(project_id=job.room, status=job.key), events.project(job.room))
    if isinstance(job, Piece) and job.how == "follows":
        await outbox.enqueue(Piece(key=f"{job.key}/next", pause_s=job.pause_s / 2, room=job.room))
    return written


@performs(Piece)
async def piece(job: Piece, claim: Claim) -> None:
    """Plainly; `follows`: cause one more; `reschedules`: once ask to be performed later."""
    note_beginning(job.key)
    await asyncio.sleep(job.pause_s)
    if job.how == "reschedules" and await mark(job.key, "rescheduled"):
        raise Reschedule(RESCHEDULE_S)
    await claim.complete(write_and_tell, job)


@performs(Stumble)
async def stumble(job: Stumble, claim: Claim) -> None:
    """Fail at the first attempt, however often that one is killed."""
    await asyncio.sleep(job.pause_s)
    if claim.attempt == 1:
        await mark(job.key, "stumbled")
        raise Unreachable("stumbled, as it should")
    await claim.complete(write_and_tell, job)


@performs(Echo)
async def echo(job: Echo, _: Claim) -> Told:
    """Give the value back."""
    await asyncio.sleep(job.pause_s)
    return Told(job.value)


@performs(Tick)
async def tick(_: Tick, claim: Claim) -> None:
    """One more."""
    await claim.complete(write_effect, "tick")


@performs(Poison)
async def poison(job: Poison, _: Claim) -> None:
    """Die, and take everyone along."""
    note_beginning(job.key)
    os.kill(os.getpid(), signal.SIGKILL)


async def write_and_hold(key: str) -> dict[str, str]:
    """An effect that nobody will see, in a transaction that never ends by itself."""
    await write_effect(key)
    note_beginning(f"{key}:holds")
    await asyncio.sleep(3600)
    return {}


@performs(Endless)
async def endless(job: Endless, claim: Claim) -> None:
    """Hold at the first claim."""
    note_beginning(job.key)
    await claim.complete(write_and_hold if claim.claim_no == 1 else write_effect, job.key)


@performs(Look)
async def look(job: Look, claim: Claim) -> None:
    """Look, as performers do before they reach out."""
    note_beginning(job.key)
    for _ in range(job.looks):
        await claim.still_mine()
        await asyncio.sleep(0.05)
    await claim.complete(write_effect, job.key)


@performs(Deaf)
async def deaf(job: Deaf, claim: Claim) -> None:
    """Sleep on, whatever one is told."""
    note_beginning(job.key)
    loop = asyncio.get_running_loop()
    until = loop.time() + (job.hold_s if claim.claim_no == 1 else 0)
    while loop.time() < until:
        try:
            await asyncio.sleep(until - loop.time())
        except asyncio.CancelledError:
            note_beginning(f"{job.key}:swallowed")
    await claim.complete(write_effect, job.key)


if __name__ == "__main__":
    sys.exit(launch(sys.argv[1:]))
