"""From a claim to its outcome: decode, perform within the time limit, record what became of it. Never raises.

A cancellation means that the process is leaving, and costs no attempt; the time limit arrives as a TimeoutError of
our own and costs one. The two must not be confused, or a job over its limit would loop for ever.
"""

import asyncio
import random
import time
from typing import Any, Final

import msgspec
import structlog

from models import guard
from models.errors import DomainError, LeaseLost, Refused, Unreachable
from models.outbox import Origin, caused_by
from tasks.broker import statements
from tasks.broker.shift import persistently
from tasks.job import PERFORMERS, Claim, Performer, Reschedule

MOST_LOSSES: Final = 5
"""A job in whose hands this many workers died is given up: it is probably what kills them."""
SAY_WHEN_BELOW_S: Final = 30.0
"""Retries due within this are rung by the process itself, so that they do not wait for a sweep."""
UNKNOWN_PAUSE_S: Final = 30.0
"""How long a kind that this release does not know yet is left to the releases that do."""

INTERNAL: Final = "Something went wrong on our side; we have been told."

log = structlog.get_logger(__name__)


async def perform(claim: Claim) -> None:
    """Carry out a claimed job and settle its row."""
    performer = PERFORMERS[claim.kind]
    task = asyncio.current_task()
    assert task is not None
    claim.shift.running.add(task)
    claim.begun_at = time.monotonic()
    origin = Origin(request_id=claim.request_id, caller_id=claim.caller_id, cause=claim.job_id)
    try:
        with (
            structlog.contextvars.bound_contextvars(
                job_id=str(claim.job_id), kind=claim.kind, request_id=claim.request_id, attempt=claim.attempt
            ),
            caused_by(origin),
        ):
            await _settle(claim, performer)
    finally:
        claim.shift.running.discard(task)


async def _settle(claim: Claim, performer: Performer) -> None:
    try:
        await _run(claim, performer)
    except asyncio.CancelledError:
        # The process leaves. The performer is stopped; its row goes back as if it had never been taken.
        if not claim.is_settled:
            await give_back(claim)
    except LeaseLost:
        claim.shift.lost_leases += 1
        claim.is_settled = True
        log.warning("job.lease_lost")
    except guard.LOST_CONNECTION as error:
        # Twenty seconds of trying to record the outcome were not enough: the row stays ours until PostgreSQL is back.
        log.error("job.unrecorded", error=type(error).__name__)  # noqa: TRY400  the stack says nothing
    except Exception:
        log.exception("job.unsettled")


async def _run(claim: Claim, performer: Performer) -> None:
    if claim.lost >= MOST_LOSSES or claim.attempt > claim.policy.max_attempts:
        job = _decoded_or_none(claim, performer)
        await _die(claim, performer, job, "attempts_exhausted", "The job was tried as often as it may be.")
        return
    try:
        job = msgspec.json.decode(claim.payload, type=performer.job)
    except msgspec.DecodeError as error:
        log.error("job.payload_unreadable", error=str(error))  # noqa: TRY400  the message says all
        await _die(claim, performer, None, "payload_unreadable", "The job's data cannot be read by this release.")
        return
    claim.shift.tell_running(claim)
    limit = asyncio.timeout(claim.policy.time_limit_s)
    try:
        async with limit:
            result = await performer.perform(job, claim)
        if not claim.is_settled:
            await claim.shift.finish(claim, None if result is None else msgspec.json.encode(result).decode())
            claim.is_settled = True
    except (LeaseLost, asyncio.CancelledError):
        raise
    except Exception as error:  # the edge: every failure has an outcome in the row
        if claim.is_settled:
            log.exception("job.failed_after_its_end")
            return
        await _record(claim, performer, job, error, is_over_limit=limit.expired())


async def _record(claim: Claim, performer: Performer, job: Any, error: Exception, *, is_over_limit: bool) -> None:
    """Turn what a performer raised into the row's next state."""
    match error:
        case Reschedule():
            await _again(claim, error.after_s, given_back=1)
        case Refused():
            data = None if error.decline_code is None else {"decline_code": error.decline_code}
            log.info("job.refused", code=error.code)
            await claim.fail(error.code, error.detail, data=data)
        case DomainError():
            decline_code = getattr(error, "decline_code", None)
            log.info("job.declined", code=error.code)
            await claim.fail(
                error.code, error.detail, data=None if decline_code is None else {"decline_code": decline_code}
            )
        case Unreachable():
            log.warning("job.unreachable", error=str(error))
            await _retry(
                claim,
                performer,
                job,
                "unreachable",
                "A provider we depend on did not answer.",
                retry_after_s=error.retry_after_s,
            )
        case TimeoutError() if is_over_limit:
            log.warning("job.time_limit", limit_s=claim.policy.time_limit_s)
            detail = f"The job took longer than its {claim.policy.time_limit_s:g} s."
            await _retry(claim, performer, job, "time_limit", detail)
        case _:
            log.error("job.crashed", exc_info=error)
            await _retry(claim, performer, job, "internal_error", INTERNAL)


async def _retry(
    claim: Claim, performer: Performer, job: Any, code: str, detail: str, *, retry_after_s: float | None = None
) -> None:
    if claim.attempt >= claim.policy.max_attempts:
        await _die(claim, performer, job, code, detail)
        return
    await _again(claim, max(backoff_s(claim), retry_after_s or 0.0), given_back=0, code=code, detail=detail)


def backoff_s(claim: Claim) -> float:
    """Seconds until the next attempt: full jitter, so that what failed together does not come back together.

    Source: M. Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.
    """
    ceiling = min(claim.policy.backoff_max_s, claim.policy.backoff_min_s * 2 ** (claim.attempt - 1))
    return random.uniform(0, ceiling)  # noqa: S311  spreads rivals, hides nothing


async def _again(
    claim: Claim, after_s: float, *, given_back: int, code: str | None = None, detail: str | None = None
) -> None:
    async def once(unknown: bool) -> bool:  # noqa: FBT001  the shape `persistently` calls
        # No row after an unanswered try: it was committed, or the claim is lost. Nothing is left to do in either case.
        found = await guard.row(statements.AGAIN, *claim.fence, after_s, given_back, code, detail)
        return found is not None or unknown

    if not await persistently(once):
        raise LeaseLost(repr(claim))
    claim.is_settled = True
    if after_s < SAY_WHEN_BELOW_S:
        claim.shift.ring_later(after_s, claim.queue)


async def _die(claim: Claim, performer: Performer, job: Any, code: str, detail: str) -> None:
    log.error("job.dead", code=code)
    if performer.when_dead is not None and job is not None:
        try:
            await claim.fail(code, detail, performer.when_dead, job)
        except (LeaseLost, *guard.LOST_CONNECTION):
            raise
        except Exception:
            log.exception("job.when_dead_failed")
        else:
            return
    await claim.fail(code, detail)


def _decoded_or_none(claim: Claim, performer: Performer) -> Any:
    try:
        return msgspec.json.decode(claim.payload, type=performer.job)
    except msgspec.DecodeError:
        return None


async def give_back(claim: Claim) -> None:
    """Return a claim as if it had never been made. Best effort: whoever reaps this process repeats it."""
    try:
        await guard.rows(statements.GIVE_BACK, [claim.job_id], [claim.claim_no], claim.worker_id)
        claim.is_settled = True
        log.info("job.given_back")
    except guard.LOST_CONNECTION:
        log.warning("job.not_given_back")
