"""Real workers, killed from outside with SIGKILL while Stripe has acted and says nothing: money still moves once."""

import asyncio
import os
import signal
from typing import Any

import asyncpg

from models import guard
from models.jobs import JobStatus
from sandbox.postgres import Postgres
from tests.escrows import a_deal, assert_proven, assert_released_once
from tests.performing import view
from tests.stripe_sandbox import StripeSandbox
from tests.tasks.conftest import Start, until

FUND_STEPS = ("POST /v1/customers", "POST /v1/payment_intents", "POST /v1/payment_intents/*/confirm")
RELEASE_STEPS = ("POST /v1/payment_intents/*/capture", "POST /v1/transfers")
HELD_S = 100


async def kill_at(stripe: StripeSandbox, step: str) -> None:
    """Wait until Stripe has done the step and holds its answer; then kill every worker that works."""
    path = step.partition(" ")[2]

    async def is_held() -> bool:
        held: list[Any] = stripe.get("/_sandbox/holding")
        return any(one["phase"] == "committed" for one in held)

    await until(is_held, within_s=30, what=f"Stripe to hold its answer to {path}")
    for one in await guard.rows(
        "select pid from workers w where exists (select 1 from job_live where worker_id = w.id)"
    ):
        os.kill(one["pid"], signal.SIGKILL)
    stripe.reset()


async def succeeded(job_id: Any) -> None:
    """Wait until the job has ended well."""

    async def has_ended() -> bool:
        return (await view(job_id)).status not in (JobStatus.QUEUED, JobStatus.RUNNING)

    await until(has_ended, within_s=60, what="the end of the job")
    ended = await view(job_id)
    assert ended.status is JobStatus.SUCCEEDED, ended


def work(start: Start) -> None:
    start("tasks.launch", "--queues", "payments", "--processes", "2", "--threads", "2")


async def test_a_worker_killed_at_each_step_of_fund_and_release(stripe: StripeSandbox, start: Start):
    work(start)
    deal = await a_deal(stripe)
    for step in FUND_STEPS:
        stripe.fault("timeout_after_commit", step, delay_s=HELD_S)
    funding = await deal.fund()
    await kill_then_let(stripe, FUND_STEPS)
    await succeeded(funding.job.job_id)
    assert (await deal.status(), await deal.held()) == ("funded", 100_000)
    await deal.submit()
    for step in RELEASE_STEPS:
        stripe.fault("timeout_after_commit", step, delay_s=HELD_S)
    release = await deal.approve()
    await kill_then_let(stripe, RELEASE_STEPS)
    await succeeded(release.job.job_id)
    await assert_released_once(deal, stripe)
    await assert_proven()


async def kill_then_let(stripe: StripeSandbox, steps: tuple[str, ...]) -> None:
    """Kill at each step in turn. Switching faults off lets go of all, so those still to come are asked for again."""
    for n, step in enumerate(steps):
        await kill_at(stripe, step)
        for later in steps[n + 1 :]:
            stripe.fault("timeout_after_commit", later, delay_s=HELD_S)


async def test_postgresql_dies_while_stripe_captures(stripe: StripeSandbox, own_postgres: Postgres, start: Start):
    await guard.rows("alter sequence milestones_id_seq restart with 900001")
    await guard.rows("alter sequence payments_id_seq restart with 900001")
    await guard.rows("alter sequence users_id_seq restart with 900001")
    await guard.rows("alter sequence releases_id_seq restart with 900001")
    work(start)
    deal = await a_deal(stripe)
    funding = await deal.fund()
    await succeeded(funding.job.job_id)
    await deal.submit()
    stripe.fault("timeout_after_commit", RELEASE_STEPS[0], delay_s=HELD_S)
    release = await deal.approve()

    async def is_captured() -> bool:
        return bool(stripe.get("/_sandbox/holding"))

    await until(is_captured, within_s=30, what="the capture")
    await asyncio.to_thread(own_postgres.kill)
    stripe.reset()
    await asyncio.sleep(0.5)
    await asyncio.to_thread(own_postgres.start)
    await until(_answers, within_s=20, what="PostgreSQL to answer again")
    await succeeded(release.job.job_id)
    await assert_released_once(deal, stripe)
    await assert_proven()


async def _answers() -> bool:
    try:
        return bool(await guard.value("select true"))
    except (*guard.LOST_CONNECTION, asyncpg.PostgresError):
        return False
