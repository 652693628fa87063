"""Jobs and performers that the queue's own tests use, and the worker program that works them.

`python -m tests.tasks.probes --queues bulk` is `tasks.launch` with these performers and no others.
"""

import asyncio
import hashlib
import sys
import time
from typing import Any, NoReturn

import msgspec
import structlog

from models import guard, outbox
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
    is_cancellable = False
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


class Look(Job):
    """Write down how many changes there are: whoever begins too early sees too few."""

    kind = "probe.look"
    queue = Queue.BULK


@performs(Look)
async def look(_: Look, claim: Claim) -> None:
    """Count, then write."""
    seen = await guard.value("select count(*) from effects where key = 'change'")
    await claim.complete(write_effect, f"saw {seen}")


class Slices(Job):
    """Work in slices, each with an effect and a bookmark; leave in the middle as told."""

    kind = "probe.slices"
    queue = Queue.BULK
    of: int
    leave_after: int = 0
    how: str = ""
    pause_s: float = 0.0


@performs(Slices)
async def slices(job: Slices, claim: Claim) -> None:
    """Go on from the bookmark."""
    for number in range(claim.bookmark or 0, job.of):
        await guard.commit(write_effect, f"slice {number}")
        if number + 1 == job.leave_after and job.how == "reschedule":
            raise Reschedule(0.0, bookmark=number + 1)
        await claim.progress((number + 1) / job.of, bookmark=number + 1)
        if number + 1 == job.leave_after and job.how == "crash":
            raise RuntimeError
        await asyncio.sleep(job.pause_s)


class Alone(Job):
    """Of its kind only one runs at a time."""

    kind = "probe.alone"
    queue = Queue.BULK
    is_singleton = True
    pause_s: float = 0.0


@performs(Alone)
async def alone(job: Alone, claim: Claim) -> None:
    """Write when it begins and when it ends."""
    await guard.commit(write_effect, "in")
    await asyncio.sleep(job.pause_s)
    await claim.complete(write_effect, "out")


class Third(Job):
    """A job whose payload has changed twice."""

    kind = "probe.third"
    version = 3
    queue = Queue.BULK
    key: str
    times: int


@performs(Third)
async def third(job: Third, claim: Claim) -> None:
    """Write what it understood."""
    await claim.complete(write_effect, f"{job.key} x {job.times}")


class Deaf(Job):
    """Ignore every cancellation."""

    kind = "probe.deaf"
    queue = Queue.INTERACTIVE
    for_s: float


@performs(Deaf)
async def deaf(job: Deaf, _: Claim) -> None:
    """Go on whatever is said."""
    until = time.monotonic() + job.for_s
    while time.monotonic() < until:
        try:
            await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            continue


class Odd(Job):
    """Leave in a way that no performer should."""

    kind = "probe.odd"
    queue = Queue.INTERACTIVE
    how: str
    hold_s: float = 0.0


@performs(Odd)
async def odd(job: Odd, _: Claim) -> None:
    """Leave as told."""
    match job.how:
        case "exit":
            sys.exit("a library thought it was alone")
        case "stray cancellation":
            waited = asyncio.ensure_future(asyncio.sleep(60))
            asyncio.get_running_loop().call_soon(waited.cancel)
            await waited
        case "child holds the loop":
            await asyncio.gather(_hold(job.hold_s))
        case "own time-out":
            raise TimeoutError
        case "connection lost":
            raise ConnectionResetError


async def _hold(seconds: float) -> None:
    time.sleep(seconds)  # noqa: ASYNC251  that is the point


class Reckon(Job):
    """Compute, in a thread, as told."""

    kind = "probe.reckon"
    queue = Queue.SCORE
    how: str
    for_s: float = 0.0


@performs(Reckon)
def reckon(job: Reckon, claim: Claim) -> Any:  # noqa: C901, PLR0912  a list of ways
    """Compute as told."""
    until = time.monotonic() + job.for_s
    match job.how:
        case "value":
            return Told(6 * 7)
        case "complete":
            return claim.wait(claim.complete(write_effect, "reckoned"))
        case "crash":
            raise ZeroDivisionError
        case "refused":
            raise Refused("Too little is known.", code="too_little")
        case "stop iteration":
            return next(iter(()))
        case "exit":
            sys.exit("a library thought it was alone")
        case "context":
            said = structlog.contextvars.get_contextvars()
            return {"kind": said["kind"], "caller_id": outbox.origin().caller_id, "request_id": said["request_id"]}
        case "loop":
            count = 0
            while time.monotonic() < until:
                count += 1
            return {"counted": count > 0}
        case "swallow":
            _swallow(until)
        case "sleep":
            time.sleep(job.for_s)
        case "hash":
            hashlib.pbkdf2_hmac("sha256", b"", b"", int(2_000_000 * job.for_s))
        case "wait":
            claim.wait(asyncio.sleep(job.for_s))
    return None


def _swallow(until: float) -> None:
    while time.monotonic() < until:
        try:
            time.sleep(0.01)
        except BaseException:  # noqa: BLE001, S112  that is the point
            continue


async def _write_and_refuse() -> NoReturn:
    await write_effect("never seen")
    raise NotFound("There is no milestone 8.")


if __name__ == "__main__":
    # Run as a module this file is `__main__`; the performers are those of its importable self.
    sys.exit(launch(sys.argv[1:]))
