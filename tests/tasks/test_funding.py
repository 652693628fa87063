"""Funding and its expiry, each three ways: it works, it works twice, it survives a crash at every step."""

from itertools import product
from typing import Any

import pytest

from models import guard, outbox
from models.errors import WrongState
from models.escrow import funding
from models.jobs import ExpireFunding, FundMilestone, JobStatus, SweepEscrow
from models.queue.views import JobView
from tasks.gateways import cards
from tasks.intents import seen
from tests import clock, worlds
from tests.escrows import (
    FUND,
    GROSS,
    Deal,
    a_deal,
    assert_funded_once,
    assert_proven,
    assert_unfunded,
    crashed,
    heard,
    journals,
    performed,
)
from tests.performing import (
    killed_after,
    killed_before,
    perform_now,
)
from tests.stripe_sandbox import StripeSandbox

RAILS = pytest.mark.parametrize("rail", ["hold", "captured"])
CONFIRM = "POST /v1/payment_intents/*/confirm"
CREATE = "POST /v1/payment_intents"


# Funding


@RAILS
async def test_a_milestone_is_funded(stripe: StripeSandbox, rail: str):
    deal = await a_deal(stripe, rail=rail)
    requested = await deal.fund()
    done = await perform_now(requested.job.job_id)
    assert done.result == {"payment_id": requested.payment_id, "milestone_id": deal.milestone_id, "status": "funded"}
    await assert_funded_once(deal, stripe, rail=rail)
    payer = [one for one in await heard(deal.hire.client.id) if one[0] == "payment_update"]
    assert payer == [("payment_update", await deal.payment_status())]


async def test_funding_twice_charges_once(stripe: StripeSandbox):
    deal = await a_deal(stripe)
    requested = await deal.fund()
    await perform_now(requested.job.job_id, give_back_first=True)
    again = await performed(FundMilestone(payment_id=requested.payment_id))
    assert (again.status, again.result["status"]) == (JobStatus.SUCCEEDED, "funded")
    await assert_funded_once(deal, stripe, rail="hold")


@RAILS
async def test_a_crash_while_funding_charges_once(stripe: StripeSandbox, subtests: pytest.Subtests, rail: str):
    for crash in (
        killed_before(cards, "create_customer"),
        killed_after(cards, "create_customer"),
        killed_after(cards, "create_intent"),
        killed_after(funding, "record_intent"),
        killed_before(cards, "confirm"),
        killed_after(cards, "confirm"),
        killed_after(funding, "complete_funding"),
    ):
        with subtests.test(crash=crash):
            deal = await a_deal(stripe, rail=rail)
            requested = await deal.fund()
            await crashed(requested.job.job_id, crash)
            done = await perform_now(requested.job.job_id)
            assert done.result["status"] == "funded"
            await assert_funded_once(deal, stripe, rail=rail)


async def test_a_customer_is_made_once_and_pays_the_next_milestone_too(stripe: StripeSandbox):
    deal = await a_deal(stripe)
    await deal.funded()
    known = await guard.value("select stripe_customer_id from users where id = $1", deal.hire.client.id)
    another = await deal.another()
    await another.funded()
    assert [one["customer"] for one in stripe.intents_of(another.milestone_id)] == [known]
    assert stripe.calls("/v1/customers").count("POST") >= 1
    await assert_proven()


async def test_a_declined_card_fails_the_job_and_a_good_one_funds_afterwards(stripe: StripeSandbox):
    deal = await a_deal(stripe)
    requested = await deal.fund("pm_card_chargeDeclinedInsufficientFunds")
    failed = await perform_now(requested.job.job_id)
    assert (failed.status, failed.error_code) == (JobStatus.FAILED, "card_declined")
    assert failed.error_detail == "Your card has insufficient funds."
    data = await guard.value("select error_data::text from jobs where id = $1", failed.id)
    assert data == '{"decline_code": "insufficient_funds"}'
    (intent,) = stripe.intents_of(deal.milestone_id)
    assert intent["status"] == "canceled"
    await assert_unfunded(deal, "failed")
    assert (await worlds.told(deal.hire.client.id)).count("payment_failed") == 1
    await deal.funded()
    assert (await deal.held(), await journals(deal)) == (GROSS, [FUND])
    await assert_proven()


async def test_a_crash_after_a_decline_still_tells_the_banks_word(stripe: StripeSandbox, subtests: pytest.Subtests):
    for crash in (
        killed_before(cards, "cancel"),
        killed_after(cards, "cancel"),
        killed_before(funding, "complete_canceling"),
        killed_after(funding, "complete_canceling"),
    ):
        with subtests.test(crash=crash):
            deal = await a_deal(stripe)
            requested = await deal.fund("pm_card_chargeDeclined")
            await crashed(requested.job.job_id, crash)
            failed = await perform_now(requested.job.job_id)
            assert (failed.status, failed.error_code) == (JobStatus.FAILED, "card_declined")
            data = await guard.value("select error_data::text from jobs where id = $1", failed.id)
            assert data == '{"decline_code": "generic_decline"}'
            await assert_unfunded(deal, "failed")
            assert (await worlds.told(deal.hire.client.id)).count("payment_failed") == 1


async def test_a_decline_whose_answer_was_lost_is_seen_by_the_next_attempt(stripe: StripeSandbox):
    deal = await a_deal(stripe)
    requested = await deal.fund("pm_card_chargeDeclined")
    stripe.fault("bad_gateway_after_commit", CONFIRM)
    assert (await perform_now(requested.job.job_id)).status is JobStatus.QUEUED
    failed = await perform_now(requested.job.job_id, even_if_early=True)
    assert (failed.status, failed.error_code) == (JobStatus.FAILED, "card_declined")
    await assert_unfunded(deal, "failed")


async def test_a_payment_method_that_does_not_exist_is_refused(stripe: StripeSandbox):
    deal = await a_deal(stripe)
    requested = await deal.fund("pm_nothing")
    failed = await perform_now(requested.job.job_id)
    assert (failed.status, failed.error_code) == (JobStatus.FAILED, "resource_missing")
    await assert_unfunded(deal, "failed")


async def test_without_a_key_at_stripe_the_funding_fails_before_there_is_an_intent(
    stripe: StripeSandbox, monkeypatch: pytest.MonkeyPatch
):
    import settings

    deal = await a_deal(stripe)
    requested = await deal.fund()
    monkeypatch.delenv("STRIPE_SECRET_KEY")
    settings.load.cache_clear()
    failed = await perform_now(requested.job.job_id)
    assert (failed.status, failed.error_code) == (JobStatus.FAILED, "cards_not_configured")
    await assert_unfunded(deal, "failed")


async def test_another_card_waits_for_the_first_ones_bank(stripe: StripeSandbox):
    deal = await a_deal(stripe)
    await perform_now((await deal.fund("pm_card_threeDSecureRequired")).job.job_id)
    with pytest.raises(WrongState, match="Another card's bank is waiting"):
        await deal.fund("pm_card_visa")
    assert await guard.value("select count(*) from payments") == 1


async def test_three_d_secure_waits_and_asking_again_looks_at_the_same_payment(stripe: StripeSandbox):
    deal = await a_deal(stripe)
    first = await deal.fund("pm_card_threeDSecureRequired")
    waiting = await perform_now(first.job.job_id)
    assert (waiting.status, waiting.result["status"]) == (JobStatus.SUCCEEDED, "requires_action")
    assert (await deal.status(), await deal.payment_status()) == ("funding", "requires_action")
    again = await deal.fund("pm_card_threeDSecureRequired")
    assert again.payment_id == first.payment_id
    assert (await perform_now(again.job.job_id)).result["status"] == "requires_action"
    stripe.approve(await deal.intent_id())
    last = await deal.fund("pm_card_threeDSecureRequired")
    assert (await perform_now(last.job.job_id)).result["status"] == "funded"
    await assert_funded_once(deal, stripe, rail="hold")


async def test_asking_again_after_three_d_secure_was_refused_ends_the_payment(stripe: StripeSandbox):
    deal = await a_deal(stripe)
    await perform_now((await deal.fund("pm_card_threeDSecureRequired")).job.job_id)
    stripe.refuse(await deal.intent_id())
    failed = await perform_now((await deal.fund("pm_card_threeDSecureRequired")).job.job_id)
    assert (failed.status, failed.error_code) == (JobStatus.FAILED, "card_declined")
    await assert_unfunded(deal, "failed")


async def test_an_intent_cancelled_at_stripe_is_no_payment(stripe: StripeSandbox):
    deal = await a_deal(stripe)
    await perform_now((await deal.fund("pm_card_threeDSecureRequired")).job.job_id)
    stripe.post(f"/v1/payment_intents/{await deal.intent_id()}/cancel")
    failed = await perform_now((await deal.fund("pm_card_threeDSecureRequired")).job.job_id)
    assert (failed.status, failed.error_code) == (JobStatus.FAILED, "payment_canceled")
    await assert_unfunded(deal, "failed")


@RAILS
async def test_a_refused_intent_paid_in_the_browser_meanwhile_is_funded_only_when_captured(
    stripe: StripeSandbox, rail: str
):
    deal = await a_deal(stripe, rail=rail)
    requested = await deal.fund("pm_card_chargeDeclined")
    await crashed(requested.job.job_id, killed_before(cards, "cancel"))
    stripe.pay_in_browser(await deal.intent_id())
    done = await perform_now(requested.job.job_id)
    if rail == "captured":
        assert done.result["status"] == "funded"
        await assert_funded_once(deal, stripe, rail=rail)
    else:
        assert (done.status, done.error_code) == (JobStatus.FAILED, "card_declined")
        await assert_unfunded(deal, "failed")
        assert stripe.intents_of(deal.milestone_id)[0]["status"] == "canceled"


async def test_a_decline_that_comes_after_the_payment_was_made_changes_nothing(
    stripe: StripeSandbox, monkeypatch: pytest.MonkeyPatch
):
    deal = await a_deal(stripe)
    requested = await deal.fund("pm_card_chargeDeclined")
    really = cards.confirm

    async def decline_then_be_paid(intent_id: str, **asked: Any) -> cards.Intent:
        try:
            return await really(intent_id, **asked)
        finally:
            stripe.pay_in_browser(intent_id)
            await guard.commit(funding.complete_funding, requested.payment_id, seen(await cards.read_intent(intent_id)))

    monkeypatch.setattr(cards, "confirm", decline_then_be_paid)
    done = await perform_now(requested.job.job_id)
    assert (done.status, done.result["status"]) == (JobStatus.SUCCEEDED, "funded")
    await assert_funded_once(deal, stripe, rail="hold")


async def test_stripe_away_and_back_funds_once(stripe: StripeSandbox, subtests: pytest.Subtests):
    for kind, call in product(
        ("refuse_connection", "rate_limit", "error_before"), ("POST /v1/customers", CREATE, CONFIRM)
    ):
        with subtests.test(kind=kind, call=call):
            deal = await a_deal(stripe)
            requested = await deal.fund()
            stripe.fault(kind, call)
            waiting = await perform_now(requested.job.job_id)
            assert (waiting.status, await deal.status(), await journals(deal)) == (JobStatus.QUEUED, "funding", [])
            done = await perform_now(requested.job.job_id, even_if_early=True)
            assert done.result["status"] == "funded"
            await assert_funded_once(deal, stripe, rail="hold")


# Expiry


async def expired(deal: Deal) -> JobView:
    """The sweep finds the late payment, and its job runs."""
    await guard.rows(
        "update payments set expires_at = now() - interval '1 second' where milestone = $1", deal.milestone_id
    )
    swept = await performed(SweepEscrow())
    assert swept.result == {"enqueued": 1}
    payment_id = await guard.value("select max(id) from payments where milestone = $1", deal.milestone_id)
    job_id = await guard.value(
        """select l.job_id from job_live l join jobs j on j.id = l.job_id
            where j.kind = 'escrow.expire_funding' and (j.payload->>'payment_id')::bigint = $1""",
        payment_id,
    )
    return await perform_now(job_id)


@RAILS
async def test_a_payment_given_up_before_it_was_charged_is_never_charged(
    stripe: StripeSandbox, subtests: pytest.Subtests, rail: str
):
    for crash in (
        killed_before(cards, "create_customer"),
        killed_after(cards, "create_customer"),
        killed_after(cards, "create_intent"),
        killed_before(cards, "confirm"),
    ):
        with subtests.test(crash=crash):
            deal = await a_deal(stripe, rail=rail)
            requested = await deal.fund()
            await crashed(requested.job.job_id, crash)
            assert (await expired(deal)).result["status"] == "canceled"
            late = await perform_now(requested.job.job_id)
            assert (late.status, late.error_code) == (JobStatus.FAILED, "wrong_state")
            assert [stripe.captures(one["id"]) for one in stripe.intents_of(deal.milestone_id)] in ([], [(0, 0)])
            await assert_unfunded(deal, "canceled")


@RAILS
async def test_expiry_in_the_midst_of_a_live_performer_charges_nobody(
    stripe: StripeSandbox, subtests: pytest.Subtests, rail: str, monkeypatch: pytest.MonkeyPatch
):
    """The performer is slow and not dead: it goes on after the payment was given up under its feet."""
    for moment, left in (
        ("create_customer", "requires_payment_method"),
        ("create_intent", "requires_payment_method"),
        ("confirm", "canceled"),
    ):
        with subtests.test(moment=moment), monkeypatch.context() as patched:
            deal = await a_deal(stripe, rail=rail)
            requested = await deal.fund()
            really = getattr(cards, moment)

            async def after_expiry(*args: Any, deal: Deal = deal, really: Any = really, **kwargs: Any) -> Any:
                await expired(deal)
                return await really(*args, **kwargs)

            patched.setattr(cards, moment, after_expiry)
            late = await perform_now(requested.job.job_id)
            assert (late.status, late.error_code) == (JobStatus.FAILED, "wrong_state")
            (intent,) = stripe.intents_of(deal.milestone_id)
            assert (intent["status"], stripe.captures(intent["id"])) == (left, (0, 0))
            await assert_unfunded(deal, "canceled")


@RAILS
async def test_expiry_racing_a_confirmation_that_landed_keeps_only_captured_money(stripe: StripeSandbox, rail: str):
    deal = await a_deal(stripe, rail=rail)
    requested = await deal.fund()
    await crashed(requested.job.job_id, killed_after(cards, "confirm"))
    ended = await expired(deal)
    late = await perform_now(requested.job.job_id)
    if rail == "captured":
        assert ended.result["status"] == late.result["status"] == "funded"
        await assert_funded_once(deal, stripe, rail=rail)
    else:
        assert ended.result["status"] == "canceled"
        assert (late.status, late.error_code) == (JobStatus.FAILED, "wrong_state")
        await assert_unfunded(deal, "canceled")
        assert stripe.intents_of(deal.milestone_id)[0]["status"] == "canceled"


async def test_a_performer_that_finds_the_payment_being_given_up_helps_to_end_it(stripe: StripeSandbox):
    deal = await a_deal(stripe)
    await perform_now((await deal.fund("pm_card_threeDSecureRequired")).job.job_id)
    again = await deal.fund("pm_card_threeDSecureRequired")
    await guard.commit(funding.begin_canceling, again.payment_id)
    late = await perform_now(again.job.job_id)
    assert (late.status, late.error_code) == (JobStatus.FAILED, "wrong_state")
    await assert_unfunded(deal, "canceled")


async def test_a_crash_while_expiring_cancels_once(stripe: StripeSandbox, subtests: pytest.Subtests):
    for crash in (
        killed_before(cards, "cancel"),
        killed_after(cards, "cancel"),
        killed_after(funding, "complete_canceling"),
    ):
        with subtests.test(crash=crash):
            deal = await a_deal(stripe)
            await perform_now((await deal.fund("pm_card_threeDSecureRequired")).job.job_id)
            payment_id = await guard.value("select id from payments where milestone = $1", deal.milestone_id)
            job = await guard.commit(outbox.enqueue, ExpireFunding(payment_id=payment_id))
            await crashed(job.job_id, crash)
            assert await deal.payment_status() == "canceling"
            assert (await perform_now(job.job_id)).result["status"] == "canceled"
            assert (await performed(ExpireFunding(payment_id=payment_id))).result["status"] == "canceled"
            await assert_unfunded(deal, "canceled")
            told = [one for one in await heard(deal.hire.client.id) if one[0] == "payment_update"]
            assert told == [("payment_update", one) for one in ("requires_action", "canceling", "canceled")]


async def test_a_paid_payment_does_not_expire(stripe: StripeSandbox):
    deal = await a_deal(stripe)
    payment_id = await deal.funded()
    assert (await performed(ExpireFunding(payment_id=payment_id))).result["status"] == "funded"
    await guard.rows("update payments set expires_at = now() - interval '1 day'")
    assert (await performed(SweepEscrow())).result == {"enqueued": 0}
    await assert_funded_once(deal, stripe, rail="hold")


async def test_the_sweep_asks_once_an_hour_for_a_payment(stripe: StripeSandbox):
    deal = await a_deal(stripe)
    await deal.fund()
    await guard.rows("update payments set expires_at = now() - interval '1 second'")
    for _ in range(2):
        await performed(SweepEscrow())
    assert await guard.value("select count(*) from jobs where kind = 'escrow.expire_funding'") == 1


async def test_a_funding_given_up_after_its_last_attempt_expires(stripe: StripeSandbox):
    deal = await a_deal(stripe)
    requested = await deal.fund()
    stripe.fault("error_after_commit", CREATE)
    await guard.rows("update job_live set attempts = 11 where job_id = $1", requested.job.job_id)
    assert (await perform_now(requested.job.job_id)).error_code == "unreachable"
    assert (await expired(deal)).result["status"] == "canceled"
    await assert_unfunded(deal, "canceled")


async def test_a_moved_clock_expires_what_nobody_paid_and_captures_a_hold_before_it_ends(stripe: StripeSandbox):
    unpaid = await a_deal(stripe)
    await unpaid.fund()
    held = await unpaid.another()
    payment_id = await held.funded()
    await guard.rows(
        "update payments set capture_before = business_now() + interval '7 days' where id = $1", payment_id
    )
    assert await guard.commit(funding.sweep) == 0

    await clock.ahead(minutes=16)
    assert await guard.commit(funding.sweep) == 1
    assert await guard.value("select kind from jobs order by id desc limit 1") == "escrow.expire_funding"

    await guard.rows("update payments set status = 'failed' where id <> $1", payment_id)
    await clock.ahead(days=5, hours=12)
    assert await guard.commit(funding.sweep) == 1
    assert await guard.value("select kind from jobs order by id desc limit 1") == "escrow.secure_hold"
