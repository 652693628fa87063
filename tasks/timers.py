"""Deadlines: one job finds what is due, one job each carries it out."""

import structlog

from models import deadlines, timers
from models.jobs import FireTimer, SweepTimers
from tasks.job import Claim, performs

log = structlog.get_logger(__name__)


@performs(SweepTimers)
async def sweep_timers(_: SweepTimers, claim: Claim) -> None:
    """Make a job of each deadline that has passed."""
    await claim.complete(_sweep)


async def _sweep() -> dict[str, int]:
    return {"due": await timers.sweep()}


@performs(FireTimer)
async def fire_timer(job: FireTimer, claim: Claim) -> None:
    """Do what a deadline asks for, once. One that was cleared or moved meanwhile asks for nothing."""
    timer = await timers.find(job.timer_id)
    if timer is None:
        return
    await claim.complete(deadlines.VERBS[timer.kind], timer)
    log.info("timer.fired", kind=timer.kind.value, subject_id=timer.subject_id, due_at=timer.due_at.isoformat())
