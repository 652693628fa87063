"""What lost its job is found again: releases, payouts, callbacks; and what a frozen worker cannot hold up."""

import asyncio
import contextvars

import pytest

from models import guard, inbox, outbox, payouts
from models.jobs import JobStatus, SweepEscrow, TransferRelease
from tasks import escrow  # noqa: F401  registers the performers
from tasks import inbox as callbacks  # noqa: F401
from tasks.broker import statements
from tests.escrows import FUND, HELD, NET, a_deal, assert_proven, assert_released_once, journals
from tests.performing import perform_now
from tests.stripe_sandbox import StripeSandbox


async def swept() -> None:
    """One sweep, and whatever it found."""
    made = await guard.commit(outbox.enqueue, SweepEscrow())
    await perform_now(made.job_id)
    for found in await guard.rows("select job_id from job_live where queue = 'payments'"):
        await perform_now(found["job_id"])


async def test_a_release_whose_job_has_died_is_released_by_the_sweep(stripe: StripeSandbox):
    deal = await a_deal(stripe)
    await deal.releasing()
    await guard.rows("delete from job_live where queue = 'payments'")
    await swept()
    assert await deal.status() == "releasing"  # it is young: its own job may be at it
    await guard.rows("update releases set created_at = now() - interval '11 minutes'")
    await swept()
    await assert_released_once(deal, stripe)


async def test_what_was_held_is_sent_once_the_account_is_ready(stripe: StripeSandbox):
    deal = await a_deal(stripe)
    await guard.rows("update users set payouts_ready = false where id = $1", deal.hire.freelancer.id)
    await perform_now((await deal.releasing()).job.job_id)
    assert await journals(deal) == [FUND, HELD]
    assert stripe.transfers(deal.milestone_id) == (0, 0)
    await swept()
    assert stripe.transfers(deal.milestone_id) == (0, 0)
    await guard.commit(payouts.set_ready, deal.account_id, ready=True)
    await swept()
    await swept()
    assert stripe.transfers(deal.milestone_id) == (1, NET)
    assert await journals(deal) == [FUND, HELD, ("transfer", {"user:*:available": -NET, "world:stripe": NET})]
    await assert_proven()


async def test_an_account_that_still_refuses_keeps_the_money_where_it_is(stripe: StripeSandbox):
    deal = await a_deal(stripe, onboarded=False)
    await perform_now((await deal.releasing()).job.job_id)
    await guard.rows("update users set payouts_ready = true where id = $1", deal.hire.freelancer.id)
    await swept()
    failed = await guard.only("select status, error_code from jobs where kind = 'escrow.transfer_release'")
    assert (failed["status"], failed["error_code"]) == (JobStatus.FAILED, "transfer_refused")
    assert await journals(deal) == [FUND, HELD]
    await assert_proven()


async def test_a_payout_that_has_left_or_cannot_leave_is_left_alone(stripe: StripeSandbox):
    deal = await a_deal(stripe)
    requested = await deal.releasing()
    await perform_now(requested.job.job_id)
    again = await guard.commit(outbox.enqueue, TransferRelease(release_id=requested.release_id))
    assert (await perform_now(again.job_id)).result["status"] == "released"
    await assert_released_once(deal, stripe)
    kept = await a_deal(stripe)
    await guard.rows("update users set payouts_ready = false where id = $1", kept.hire.freelancer.id)
    held = await kept.releasing()
    await perform_now(held.job.job_id)
    early = await guard.commit(outbox.enqueue, TransferRelease(release_id=held.release_id))
    assert (await perform_now(early.job_id)).result["transfer_id"] is None
    assert stripe.transfers(kept.milestone_id) == (0, 0)


async def test_a_callback_that_names_no_object_is_done(database: str):
    await guard.commit(inbox.receive, "stripe", "evt_2", "payment_intent.succeeded", '{"data": {}}')
    await perform_now(await guard.value("select job_id from job_live"))
    assert await guard.value("select outcome from inbox") == "names no object"


async def test_a_callback_whose_job_has_died_is_handled_by_the_sweep(stripe: StripeSandbox):
    await guard.commit(inbox.receive, "stripe", "evt_1", "charge.updated", '{"data": {"object": {"id": "ch_1"}}}')
    await guard.rows("delete from job_live")
    await swept()
    assert await guard.value("select handled_at from inbox") is None
    await guard.rows("update inbox set received_at = now() - interval '11 minutes'")
    await swept()
    assert await guard.value("select outcome from inbox") == "not ours to act on"


async def test_nobody_waits_for_a_row_that_a_frozen_worker_has_locked(database: str):
    made = await guard.commit(outbox.enqueue, SweepEscrow())
    frozen, beat = "00000000-0000-7000-8000-000000000001", 7
    await guard.rows("insert into workers (id, beat) values ($1, $2)", frozen, beat)
    await guard.rows("update job_live set status = 1, worker_id = $1, deadline = now() - interval '1 hour'", frozen)
    async with guard.transaction():
        await guard.rows("select 1 from job_live where job_id = $1 for update", made.job_id)

        async def release() -> tuple[int, int]:
            silent = await guard.rows(statements.RELEASE_SILENT, frozen, beat)
            return len(silent), len(await guard.rows(statements.RELEASE_OVERDUE, 60.0))

        # In a context of its own: a task would inherit the open transaction.
        looked = asyncio.get_running_loop().create_task(release(), context=contextvars.Context())
        assert await asyncio.wait_for(looked, 5) == (0, 0)
    assert await guard.value("select count(*) from workers") == 1
    assert len(await guard.rows(statements.RELEASE_SILENT, frozen, beat)) == 1
    assert await guard.value("select count(*) from workers") == 0


@pytest.mark.parametrize("where", ["rollback", "commit"])
async def test_a_commit_without_an_answer_says_so(database: str, where: str):
    async def write() -> None:
        await guard.rows("insert into job_keys (key, job_id) values ('k', gen_random_uuid())")
        if where == "rollback":
            raise KeyError
        pid = await guard.value("select pg_backend_pid()")
        await asyncio.get_running_loop().create_task(end(pid), context=contextvars.Context())

    async def end(pid: int) -> None:
        await guard.rows("select pg_terminate_backend($1)", pid)
        await asyncio.sleep(0.1)

    with pytest.raises(guard.OutcomeUnknown if where == "commit" else KeyError):
        await guard.commit(write)
    assert await guard.value("select count(*) from job_keys") == 0
