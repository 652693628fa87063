"""Jobs and performers that the queue's own tests use, and the worker program that works them.

`python -m tests.tasks.probes --queues bulk` is `tasks.launch` with these performers and no others.
"""

import asyncio
import sys
import time
from typing import Any

import msgspec

from models import guard
from models.errors import NotFound, Refused, Unreachable
from models.jobs import Job, Queue
from tasks.job import Claim, Reschedule, performs
from tasks.launch import launch

EFFECTS = "create table effects (id bigint generated always as identity, key text not null, at timestamptz default clock_timestamp())"


class Note(Job):
    """Write one row of effects, after a pause."""

    kind = "probe.note"
    queue = Queue.BULK
    key: str
    pause_s: float = 0.0


class Stubborn(Job):
    """Hold the event loop: a performer that nothing can cancel."""

    kind = "probe.stubborn"
    queue = Queue.INTERACTIVE
    hold_s: float


class Answer(Job):
    """Return a value, without an effect."""

    kind = "probe.answer"
    queue = Queue.INTERACTIVE
    value: int = 42


class Fail(Job):
    """Fail in a named way."""

    kind = "probe.fail"
    queue = Queue.INTERACTIVE
    how: str


class Newer(Job):
    """A job that no performer here knows."""

    kind = "probe.newer"
    queue = Queue.BULK


class Told(msgspec.Struct):
    """A result."""

    value: int


async def write_effect(key: str) -> dict[str, str]:
    """The verb of a note."""
    guard.in_transaction()
    await guard.rows("insert into effects (key) values ($1)", key)
    return {"key": key}


async def count_dead(job: Fail) -> None:
    """What is done about a failure that is given up."""
    await write_effect(f"dead:{job.how}")


@performs(Note)
async def note(job: Note, claim: Claim) -> None:
    """Pause, then write."""
    await asyncio.sleep(job.pause_s)
    await claim.still_mine()
    await claim.complete(write_effect, job.key)


@performs(Stubborn)
async def stubborn(job: Stubborn, _: Claim) -> None:
    """Hold the loop."""
    time.sleep(job.hold_s)  # noqa: ASYNC251  that is the point


@performs(Answer)
async def answer(job: Answer, _: Claim) -> Told:
    """Give the value back."""
    return Told(job.value)


@performs(Fail, when_dead=count_dead)
async def fail(job: Fail, claim: Claim) -> dict[str, Any] | None:
    """Fail as told."""
    match job.how:
        case "unreachable":
            raise Unreachable("connect to 10.0.0.1 refused")
        case "later":
            raise Unreachable("busy", retry_after_s=120)
        case "refused":
            raise Refused("Your card has insufficient funds.", code="card_declined", decline_code="insufficient_funds")
        case "not_found":
            raise NotFound("There is no milestone 7.")
        case "crash":
            raise RuntimeError("password=hunter2")
        case "slow":
            await asyncio.sleep(60)
        case "reschedule":
            raise Reschedule(30)
        case "effect_and_error":
            await claim.fail("funding_expired", "Nobody paid in time.", write_effect, "gave up")
        case "rolled_back":
            await claim.complete(_write_and_refuse)
    return None


async def _write_and_refuse() -> None:
    await write_effect("never seen")
    raise NotFound("There is no milestone 8.")


if __name__ == "__main__":
    # Run as a module this file is `__main__`; the performers are those of its importable self.
    sys.exit(launch(sys.argv[1:]))
