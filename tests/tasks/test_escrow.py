"""Holding and releasing, each three ways: it works, it works twice, it survives a crash at every step."""

from itertools import product
from typing import Any

import pytest

from models import guard, payments
from models.escrow import funding, releasing
from models.jobs import JobStatus, ReleaseMilestone, SecureHold, SweepEscrow
from models.ledger import accounts
from models.ledger.posting import balance
from models.queue.views import JobView
from tasks.gateways import cards
from tasks.intents import seen
from tests import worlds
from tests.escrows import (
    FUND,
    GROSS,
    HELD,
    LAPSE,
    NET,
    RELEASE,
    Deal,
    a_deal,
    assert_proven,
    assert_released_once,
    assert_unfunded,
    crashed,
    heard,
    journals,
    performed,
)
from tests.performing import (
    killed_after,
    killed_before,
    perform_all,
    perform_now,
    view,
)
from tests.stripe_sandbox import HOLD_S, StripeSandbox

RAILS = pytest.mark.parametrize("rail", ["hold", "captured"])
CAPTURE = "POST /v1/payment_intents/*/capture"
TRANSFER = "POST /v1/transfers"


# Securing a hold


async def near_its_end(deal: Deal) -> JobView:
    """The sweep finds the hold that ends soon, and its job waits."""
    await guard.rows(
        "update payments set capture_before = now() + interval '35 hours' where milestone = $1", deal.milestone_id
    )
    assert (await performed(SweepEscrow())).result == {"enqueued": 1}
    return await view(
        await guard.value("select id from jobs where kind = 'escrow.secure_hold' order by created_at desc limit 1")
    )


async def test_a_hold_is_secured_before_it_lapses_and_released_afterwards(stripe: StripeSandbox):
    deal = await a_deal(stripe)
    await deal.funded()
    job = await near_its_end(deal)
    assert (await perform_now(job.id)).result["status"] == "funded"
    assert stripe.captures(await deal.intent_id()) == (1, GROSS)
    assert (await deal.payment_status(), await deal.held(), await journals(deal)) == ("succeeded", GROSS, [FUND])
    await assert_proven()
    stripe.advance(HOLD_S + 1)
    await deal.submit()
    done = await perform_now((await deal.approve()).job.job_id)
    assert done.result["status"] == "released"
    await assert_released_once(deal, stripe)


async def test_securing_is_recorded_once(stripe: StripeSandbox):
    deal = await a_deal(stripe)
    payment_id = await deal.funded()
    await performed(SecureHold(payment_id=payment_id))
    captured = seen(await cards.read_intent(await deal.intent_id()))
    async with worlds.unmoved():
        await guard.commit(funding.complete_securing, payment_id, captured)


async def test_a_hold_whose_end_stripe_did_not_tell_is_taken_to_be_short(stripe: StripeSandbox):
    deal = await a_deal(stripe)
    await deal.funded()
    await guard.rows("update payments set capture_before = null, created_at = now() - interval '3 days'")
    assert (await performed(SweepEscrow())).result == {"enqueued": 0}
    await guard.rows("update payments set created_at = now() - interval '4 days'")
    assert (await performed(SweepEscrow())).result == {"enqueued": 1}


async def test_a_crash_while_securing_captures_once(stripe: StripeSandbox, subtests: pytest.Subtests):
    for crash in (
        killed_before(cards, "capture"),
        killed_after(cards, "capture"),
        killed_after(funding, "complete_securing"),
    ):
        with subtests.test(crash=crash):
            deal = await a_deal(stripe)
            payment_id = await deal.funded()
            job = await near_its_end(deal)
            await crashed(job.id, crash)
            assert (await perform_now(job.id)).result["status"] == "funded"
            assert (await performed(SecureHold(payment_id=payment_id))).result["status"] == "funded"
            assert stripe.captures(await deal.intent_id()) == (1, GROSS)
            told = [one for one in await heard(deal.hire.client.id) if one == ("payment_update", "succeeded")]
            assert told == [("payment_update", "succeeded")]
            await assert_proven()


async def test_a_hold_that_lapsed_before_it_was_secured_leaves_escrow(stripe: StripeSandbox):
    deal = await a_deal(stripe)
    await deal.funded()
    job = await near_its_end(deal)
    stripe.advance(HOLD_S + 1)
    failed = await perform_now(job.id)
    assert (failed.status, failed.error_code) == (JobStatus.FAILED, "payment_intent_unexpected_state")
    assert await journals(deal) == [FUND, LAPSE]
    await assert_unfunded(deal, "canceled")


# Release


@RAILS
async def test_a_milestone_is_released(stripe: StripeSandbox, rail: str):
    deal = await a_deal(stripe, rail=rail)
    requested = await deal.releasing()
    done = await perform_now(requested.job.job_id)
    assert done.status is JobStatus.SUCCEEDED, done
    assert done.result == {
        "release_id": requested.release_id,
        "milestone_id": deal.milestone_id,
        "status": "released",
        "gross_minor": 100_000,
        "fee_minor": 10_000,
        "net_minor": 90_000,
        "currency": "USD",
        "transfer_id": await guard.value("select transfer_id from releases"),
    }
    await assert_released_once(deal, stripe)
    assert await guard.value("select status from contracts") == "completed"


@RAILS
async def test_releasing_twice_moves_money_once(stripe: StripeSandbox, rail: str):
    deal = await a_deal(stripe, rail=rail)
    requested = await deal.releasing()
    await perform_now(requested.job.job_id, give_back_first=True)
    again = await performed(ReleaseMilestone(release_id=requested.release_id))
    assert (again.status, again.result["status"]) == (JobStatus.SUCCEEDED, "released")
    await assert_released_once(deal, stripe)


@RAILS
@pytest.mark.parametrize("later_s", [0, 25 * 3_600], ids=["at once", "keys forgotten"])
async def test_a_crash_while_releasing_moves_money_once(
    stripe: StripeSandbox, subtests: pytest.Subtests, rail: str, later_s: int
):
    capture = "capture" if rail == "hold" else "read_intent"
    for crash in (
        killed_before(cards, capture),
        killed_after(cards, capture),
        killed_before(cards, "transfer"),
        killed_after(cards, "transfer"),
        killed_after(releasing, "complete_release"),
    ):
        with subtests.test(crash=crash):
            deal = await a_deal(stripe, rail=rail)
            requested = await deal.releasing()
            await crashed(requested.job.job_id, crash)
            stripe.advance(later_s)
            done = await perform_now(requested.job.job_id)
            assert done.result["status"] == "released"
            await assert_released_once(deal, stripe)


async def test_stripe_away_and_back_releases_once(stripe: StripeSandbox, subtests: pytest.Subtests):
    kinds = ("refuse_connection", "rate_limit", "error_before", "error_after_commit", "bad_gateway_after_commit")
    for kind, call in product(kinds, (CAPTURE, TRANSFER)):
        with subtests.test(kind=kind, call=call):
            deal = await a_deal(stripe)
            requested = await deal.releasing()
            stripe.fault(kind, call)
            done = await perform_now(requested.job.job_id)
            if done.status is JobStatus.QUEUED:
                assert (await deal.status(), await journals(deal)) == ("releasing", [FUND])
                done = await perform_now(requested.job.job_id, even_if_early=True)
            assert done.result["status"] == "released"
            await assert_released_once(deal, stripe)


@pytest.mark.parametrize("call", [CAPTURE, TRANSFER])
async def test_a_release_given_up_after_its_last_attempt_is_finished_by_a_new_job(stripe: StripeSandbox, call: str):
    deal = await a_deal(stripe)
    requested = await deal.releasing()
    stripe.fault("refuse_connection", call)
    await guard.rows("update job_live set attempts = 11 where job_id = $1", requested.job.job_id)
    dead = await perform_now(requested.job.job_id)
    assert (dead.status, dead.error_code) == (JobStatus.FAILED, "unreachable")
    assert (await deal.status(), await journals(deal)) == ("releasing", [FUND])
    await assert_proven()
    await performed(ReleaseMilestone(release_id=requested.release_id))
    await assert_released_once(deal, stripe)


async def held_for(deal: Deal) -> int:
    return (await balance(accounts.available(deal.hire.freelancer.id), "USD")).minor


@pytest.mark.parametrize("why", ["none", "not ready", "restricted"])
async def test_what_the_freelancers_account_cannot_take_is_held_for_them(stripe: StripeSandbox, why: str):
    deal = await a_deal(stripe)
    requested = await deal.releasing()
    if why == "restricted":
        stripe.restrict(deal.account_id)
    elif why == "not ready":
        await guard.rows("update users set payouts_ready = false where id = $1", deal.hire.freelancer.id)
    else:
        await guard.rows("update users set stripe_account_id = null where id = $1", deal.hire.freelancer.id)
    done = await perform_now(requested.job.job_id)
    assert (done.result["status"], done.result["transfer_id"]) == ("released", None)
    assert (stripe.captures(await deal.intent_id()), stripe.transfers(deal.milestone_id)) == ((1, GROSS), (0, 0))
    assert (await held_for(deal), await journals(deal)) == (NET, [FUND, HELD])
    await assert_proven()


@pytest.mark.parametrize("moment", ["funded", "submitted", "releasing"])
async def test_a_lapsed_hold_leaves_escrow_and_can_be_funded_again(stripe: StripeSandbox, moment: str):
    deal = await a_deal(stripe)
    payment_id = await deal.funded()
    if moment != "funded":
        await deal.submit()
    requested = await deal.approve() if moment == "releasing" else None
    stripe.advance(HOLD_S + 1)
    if requested is not None:
        failed = await perform_now(requested.job.job_id)
        assert (failed.status, failed.error_code) == (JobStatus.FAILED, "payment_intent_unexpected_state")
        assert await guard.value("select status from releases") == "abandoned"
        again = await performed(ReleaseMilestone(release_id=requested.release_id))
        assert (again.status, again.error_code) == (JobStatus.FAILED, "wrong_state")
    else:
        await performed(SecureHold(payment_id=payment_id))
    assert await journals(deal) == [FUND, LAPSE]
    assert (stripe.captures(await deal.intent_id()), stripe.transfers(deal.milestone_id)) == ((0, 0), (0, 0))
    for person in (deal.hire.client.id, deal.hire.freelancer.id):
        assert (await worlds.told(person)).count("payment_failed") == 1
    await assert_unfunded(deal, "canceled")
    await deal.funded()
    assert (await deal.held(), await journals(deal)) == (GROSS, [FUND, LAPSE, FUND])
    await assert_proven()


async def test_a_capture_refused_before_any_money_moved_can_be_approved_again(
    stripe: StripeSandbox, monkeypatch: pytest.MonkeyPatch
):
    from models.errors import Refused

    deal = await a_deal(stripe)
    requested = await deal.releasing()

    async def refuse(*_: object, **__: object) -> None:
        raise Refused("The account is under review.", code="account_under_review")

    with monkeypatch.context() as patched:
        patched.setattr(cards, "capture", refuse)
        failed = await perform_now(requested.job.job_id)
    assert (failed.status, failed.error_code) == (JobStatus.FAILED, "account_under_review")
    assert (await deal.status(), await deal.held(), await journals(deal)) == ("submitted", GROSS, [FUND])
    await assert_proven()
    done = await perform_now((await deal.approve()).job.job_id)
    assert done.result["status"] == "released"
    assert stripe.transfers(deal.milestone_id) == (1, NET)
    await assert_proven()


async def test_an_intent_stripe_does_not_know_ends_the_release(stripe: StripeSandbox):
    deal = await a_deal(stripe)
    requested = await deal.releasing()
    await guard.rows("update payments set intent_id = 'pi_of_another_account'")
    failed = await perform_now(requested.job.job_id)
    assert (failed.status, failed.error_code) == (JobStatus.FAILED, "resource_missing")
    assert (await deal.status(), await deal.held(), await journals(deal)) == ("submitted", GROSS, [FUND])


async def test_several_milestones_share_nothing(stripe: StripeSandbox):
    first, second = await a_deal(stripe), await a_deal(stripe, rail="captured")
    for deal in (first, second):
        await perform_now((await deal.releasing()).job.job_id)
    assert [await journals(one) for one in (first, second)] == [[FUND, RELEASE], [FUND, RELEASE]]
    assert [stripe.transfers(one.milestone_id) for one in (first, second)] == [(1, NET), (1, NET)]
    await assert_proven()


async def test_every_job_of_a_life_ends(stripe: StripeSandbox):
    deal = await a_deal(stripe)
    requested = await deal.releasing()
    await perform_now(requested.job.job_id)
    for event in stripe.events(await deal.intent_id()):
        await stripe.deliver(event)
    done = await perform_all((payments_queue(),))
    assert {one.status for one in done} == {JobStatus.SUCCEEDED}
    await assert_released_once(deal, stripe)


def payments_queue() -> Any:
    from models.jobs import Queue

    return Queue.PAYMENTS


async def test_the_rows_of_money_cannot_be_found_where_there_are_none(stripe: StripeSandbox):
    from models.errors import NotFound

    for read in (payments.read, releasing.read, funding.outcome, releasing.outcome):
        with pytest.raises(NotFound):
            await read(12)
    await assert_proven()
