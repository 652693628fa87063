"""From a claim to its outcome: decode, perform within the time limit, record what became of it. Never raises.

A cancellation means that the process is leaving, and costs no attempt; the time limit arrives as a TimeoutError of
our own and costs one. The two must not be confused, or a job over its limit would loop for ever.
"""

import asyncio
import random
import time
from typing import Any, Final

import asyncpg
import msgspec
import structlog

from models import guard
from models.errors import DomainError, LeaseLost, Refused, Unreachable
from models.jobs import ALIASES, decode
from models.outbox import Origin, caused_by
from tasks.broker import statements
from tasks.broker.claim import Claim, Reschedule
from tasks.broker.computing import compute
from tasks.broker.shift import persistently
from tasks.broker.tally import Outcome
from tasks.job import PERFORMERS, Performer

MOST_LOSSES: Final = 5
"""A job in whose hands this many workers died is given up: it is probably what kills them."""
SAY_WHEN_BELOW_S: Final = 30.0
"""Retries due within this are rung by the process itself, so that they do not wait for a sweep."""
NOTICE_S: Final = 1.0
"""Within this the feeder knows that PostgreSQL is away, when a performer does."""
ALONE_PAUSE_S: Final = 5.0
"""How long a job waits whose kind runs once at a time, and runs."""

SURELY_DATABASE: Final = (
    guard.OutcomeUnknown,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
)
"""What nobody but PostgreSQL, or the pooler before it, raises when it goes away. (Not the end of a session that held a
transaction open for too long: that is the job's own doing.)"""
INTERNAL: Final = "Something went wrong on our side; we have been told."

log = structlog.get_logger(__name__)


def performer_of(kind: str) -> Performer | None:
    """Who carries this kind out, by its name or a former one."""
    return PERFORMERS.get(ALIASES.get(kind, kind))


async def perform(claim: Claim) -> None:
    """Carry out a claimed job and settle its row."""
    performer = performer_of(claim.kind)
    assert performer is not None, claim.kind
    claim.begin()
    assert claim.task is not None
    claim.shift.running.add(claim.task)
    origin = Origin(request_id=claim.request_id, caller_id=claim.caller_id, cause=claim.job_id)
    try:
        with (
            structlog.contextvars.bound_contextvars(
                job_id=str(claim.job_id), kind=claim.kind, request_id=claim.request_id, attempt=claim.attempt
            ),
            caused_by(origin),
        ):
            outcome = await _settle(claim, performer)
    finally:
        claim.shift.running.discard(claim.task)
    if outcome is not None:
        assert claim.begun_at is not None
        claim.shift.tally.ended(claim.queue, outcome, claim.waited_s, time.monotonic() - claim.begun_at)


async def _settle(claim: Claim, performer: Performer) -> Outcome | None:
    """Carry the job out, and say what became of it; None: nothing that counts."""
    try:
        return await _run(claim, performer)
    except asyncio.CancelledError:
        # The process leaves. The performer is stopped; its row goes back as if it had never been taken.
        if not claim.is_settled:
            await give_back(claim)
    except LeaseLost:
        claim.shift.tally.lease_lost(claim.queue)
        claim.is_settled = True
        log.warning("job.lease_lost")
    except guard.LOST_CONNECTION as error:
        # We tried for long to record the outcome: the row stays ours until PostgreSQL is back.
        log.error("job.unrecorded", error=type(error).__name__)  # noqa: TRY400  the stack says nothing
    except Exception:
        log.exception("job.unsettled")
    return None


async def _run(claim: Claim, performer: Performer) -> Outcome:
    if claim.lost >= MOST_LOSSES or claim.attempt > claim.policy.max_attempts:
        job = _decoded_or_none(claim, performer)
        await _die(claim, performer, job, "attempts_exhausted", "The job was tried as often as it may be.")
        return Outcome.DEAD
    try:
        job = decode(performer.job, claim.version, claim.payload)
    except msgspec.DecodeError as error:
        log.error("job.payload_unreadable", error=str(error))  # noqa: TRY400  the message says all
        await _die(claim, performer, None, "payload_unreadable", "The job's data cannot be read by this release.")
        return Outcome.DEAD
    limit = asyncio.timeout(claim.policy.time_limit_s)
    try:
        if performer.job.is_singleton:
            await _alone(claim, performer.job.kind)
        claim.shift.tell_running(claim)
        async with limit:
            claim.limit = limit
            running = compute(performer.perform, job, claim) if performer.computes else performer.perform(job, claim)
            result = await running
        claim.limit = None
        claim.wait_for_database()
        if not claim.is_settled:
            await claim.shift.finish(claim, None if result is None else msgspec.json.encode(result).decode())
            claim.is_settled = True
    except LeaseLost:
        raise
    # The edge: every failure has an outcome in the row. A library's `exit` would end the loop, and a cancellation that
    # nobody asked of us is the performer's own: given back as if the process left, it would come back for ever.
    except (Exception, SystemExit, asyncio.CancelledError) as error:
        if isinstance(error, asyncio.CancelledError) and claim.task is not None and claim.task.cancelling():
            raise
        claim.limit = None
        claim.wait_for_database()
        if claim.is_settled:
            log.exception("job.failed_after_its_end")
            return Outcome.SUCCEEDED
        return await _record(claim, performer, job, error, is_over_limit=limit.expired())
    return Outcome.SUCCEEDED


async def _alone(claim: Claim, kind: str) -> None:
    """Be the only one of the kind that runs, by whichever of its names, or wait."""
    async with guard.transaction():
        await guard.rows(statements.LOCK_SINGLE, kind)
        is_alone = await guard.row(statements.ALONE, *claim.fence, kind) is not None
    if not is_alone:
        raise Reschedule(ALONE_PAUSE_S)


async def _record(
    claim: Claim, performer: Performer, job: Any, error: BaseException, *, is_over_limit: bool
) -> Outcome:
    """Turn what a performer raised into the row's next state, and say which it was."""
    match error:
        case Reschedule():
            await _again(claim, error.after_s, given_back=1, bookmark=error.bookmark)
            return Outcome.RESCHEDULED
        case Refused() | DomainError():
            decline_code = getattr(error, "decline_code", None)
            log.info("job.refused", code=error.code)
            data = None if decline_code is None else {"decline_code": decline_code}
            await claim.fail(error.code, error.detail, data=data)
            return Outcome.FAILED
        case Unreachable():
            log.warning("job.unreachable", error=str(error))
            code, detail = "unreachable", "A provider we depend on did not answer."
        case TimeoutError() if is_over_limit:
            log.warning("job.time_limit", limit_s=claim.policy.time_limit_s)
            claim.shift.tally.time_limit(claim.queue)
            code, detail = "time_limit", f"The job took longer than its {claim.policy.time_limit_s:g} s."
        case _ if await _is_databases_fault(claim, error):
            log.warning("job.database_lost", error=type(error).__name__)
            await _again(claim, claim.policy.backoff_min_s, given_back=1, lost=1)
            return Outcome.RESCHEDULED
        case _:
            log.error("job.crashed", exc_info=error)
            code, detail = "internal_error", INTERNAL
    return await _retry(claim, performer, job, code, detail, after_s=getattr(error, "retry_after_s", None))


async def _is_databases_fault(claim: Claim, error: BaseException) -> bool:
    """Whether the job failed because PostgreSQL went away under it.

    What only it says is proof enough: a pooler or one session may end while the feeder's own connection lives on. What
    anybody might raise, a time-out or a broken socket, is PostgreSQL's only if the feeder noticed too.
    """
    if isinstance(error, SURELY_DATABASE):
        return True
    if not isinstance(error, guard.LOST_CONNECTION):
        return False
    await asyncio.sleep(NOTICE_S)
    return claim.begun_at is not None and claim.shift.database_lost_at >= claim.begun_at


async def _retry(
    claim: Claim, performer: Performer, job: Any, code: str, detail: str, *, after_s: float | None
) -> Outcome:
    if claim.attempt >= claim.policy.max_attempts:
        await _die(claim, performer, job, code, detail)
        return Outcome.DEAD
    await _again(claim, max(backoff_s(claim), after_s or 0.0), given_back=0, code=code, detail=detail)
    return Outcome.RETRIED


def backoff_s(claim: Claim) -> float:
    """Seconds until the next attempt: full jitter, so that what failed together does not come back together.

    Source: M. Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.
    """
    ceiling = min(claim.policy.backoff_max_s, claim.policy.backoff_min_s * 2 ** (claim.attempt - 1))
    return random.uniform(0, ceiling)  # noqa: S311  spreads rivals, hides nothing


async def _again(
    claim: Claim,
    after_s: float,
    *,
    given_back: int,
    code: str | None = None,
    detail: str | None = None,
    bookmark: Any = None,
    lost: int = 0,
) -> None:
    kept = None if bookmark is None else msgspec.json.encode(bookmark).decode()
    said = (code, detail, claim.shift.worker, kept, lost)

    async def once(unknown: bool) -> bool:  # noqa: FBT001  the shape `persistently` calls
        # No row after an unanswered try: it was committed, or the claim is lost. Nothing is left to do in either case.
        return await guard.row(statements.AGAIN, *claim.fence, after_s, given_back, *said) is not None or unknown

    if not await persistently(once):
        raise LeaseLost(repr(claim))
    claim.is_settled = True
    if after_s < SAY_WHEN_BELOW_S:
        claim.shift.ring_later(after_s, claim.queue)


async def _die(claim: Claim, performer: Performer, job: Any, code: str, detail: str) -> None:
    log.error("job.dead", code=code)
    if performer.when_dead is not None and job is not None:
        try:
            await claim.fail(code, detail, performer.when_dead, job, is_dead=True)
        except (LeaseLost, *guard.LOST_CONNECTION):
            raise
        except Exception:
            log.exception("job.when_dead_failed")
        else:
            return
    await claim.fail(code, detail, is_dead=True)


def _decoded_or_none(claim: Claim, performer: Performer) -> Any:
    try:
        return decode(performer.job, claim.version, claim.payload)
    except msgspec.DecodeError:
        return None


async def give_back(claim: Claim) -> None:
    """Return a claim as if it had never been made. Best effort: whoever reaps this process repeats it."""
    begun = [claim.begun_at is not None]
    try:
        await guard.rows(
            statements.GIVE_BACK, [claim.job_id], [claim.claim_no], claim.worker_id, begun, claim.shift.worker
        )
        claim.is_settled = True
        log.info("job.given_back")
    except guard.LOST_CONNECTION:
        log.warning("job.not_given_back")
