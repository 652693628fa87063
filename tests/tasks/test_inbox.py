"""Stored callbacks: duplicated, shuffled, early, late, unknown and other people's, and money is moved once."""

import random
from typing import Any

import pytest

from models import guard, inbox, outbox
from models.errors import NotFound
from models.escrow import funding
from models.jobs import HandleCallback, JobStatus, Queue
from tasks.gateways import cards
from tasks.intents import seen
from tests import worlds
from tests.escrows import (
    FUND,
    GROSS,
    LAPSE,
    Deal,
    a_deal,
    alarms,
    an_event,
    assert_proven,
    assert_released_once,
    handled,
    journals,
    only_jobs_moved,
)
from tests.performing import killed_after, killed_before, perform_all, perform_killed, perform_now, release_dead
from tests.stripe_sandbox import HOLD_S, StripeSandbox


async def crashed_after_confirming(deal: Deal, card: str = "pm_card_visa") -> Any:
    """A funding whose worker died after Stripe's answer: only the callback and a retry know of it."""
    requested = await deal.fund(card)
    with killed_after(cards, "confirm"):
        await perform_killed(requested.job.job_id)
    return requested.job.job_id


async def test_a_callback_is_stored_once_and_its_job_with_it(stripe: StripeSandbox):
    event = an_event("payment_intent.succeeded", "pi_1")
    assert await stripe.deliver(event)
    async with worlds.unmoved():
        assert not await stripe.deliver(event)
    assert await guard.value("select count(*) from inbox") == 1
    assert await guard.value("select count(*) from jobs where kind = 'inbox.handle_callback'") == 1


async def test_of_many_deliveries_at_once_one_is_stored(stripe: StripeSandbox):
    import asyncio

    event = an_event("payment_intent.succeeded", "pi_1")
    answers = await asyncio.gather(*(stripe.deliver(event) for _ in range(10)))
    assert sorted(answers) == [False] * 9 + [True]
    assert await guard.value("select count(*) from jobs where kind = 'inbox.handle_callback'") == 1


async def test_a_callback_that_was_handled_is_left_alone(stripe: StripeSandbox):
    await handled(stripe, an_event("charge.succeeded", "ch_1"))
    stored = await inbox.read(await guard.value("select id from inbox"))
    assert (stored.provider, stored.kind, stored.handled) == ("stripe", "charge.succeeded", True)
    again = await guard.commit(outbox.enqueue, HandleCallback(inbox_id=stored.id))
    assert (await perform_now(again.job_id)).result == {"outcome": "seen before"}


async def test_a_callback_that_is_not_there_is_not_found(stripe: StripeSandbox):
    with pytest.raises(NotFound):
        await inbox.read(404)


async def test_unknown_kinds_and_objects_are_done_without_asking_stripe(stripe: StripeSandbox):
    before = len(stripe.calls("/v1/*"))
    outcomes = await handled(
        stripe,
        an_event("balance.available", "x"),
        {"id": "evt_bare", "type": "person.updated", "livemode": False},
        an_event("payment_intent.succeeded", "pi_of_another_platform"),
        an_event("account.updated", "acct_of_another_platform"),
    )
    assert outcomes == ["not ours to act on", "not ours to act on", "not made by us", "not made by us"]
    assert len(stripe.calls("/v1/*")) == before
    assert await guard.value("select count(*) from inbox where outcome is null or handled_at is null") == 0


async def test_a_funding_whose_worker_died_is_completed_by_its_callback(stripe: StripeSandbox):
    deal = await a_deal(stripe)
    job_id = await crashed_after_confirming(deal)
    (event,) = stripe.events(await deal.intent_id(), "payment_intent.amount_capturable_updated")
    assert await handled(stripe, event) == ["funded"]
    await release_dead(job_id)
    assert (await perform_now(job_id)).result["status"] == "funded"
    assert (await deal.held(), await journals(deal)) == (GROSS, [FUND])
    assert (await worlds.told(deal.hire.freelancer.id)).count("milestone_funded") == 1
    await assert_proven()


async def test_every_event_five_times_shuffled_moves_money_once(stripe: StripeSandbox):
    seed = random.getrandbits(32)
    shuffled = random.Random(seed)
    deal = await a_deal(stripe)
    requested = await deal.releasing()
    with killed_after(cards, "transfer"):
        await perform_killed(requested.job.job_id)
    known = (await deal.intent_id(), await guard.value("select charge_id from payments"))
    events = [
        one for one in stripe.events() if one["data"]["object"]["id"] in known or one["type"] == "transfer.created"
    ]
    events = [{**one, "id": f"{one['id']}_{n}"} for one in events for n in range(5)]
    shuffled.shuffle(events)
    for event in events:
        await stripe.deliver(event)
        await stripe.deliver(event)
    done = await perform_all((Queue.PAYMENTS,))
    assert {one.status for one in done} == {JobStatus.SUCCEEDED}, seed
    await release_dead(requested.job.job_id)
    assert (await perform_now(requested.job.job_id)).result["status"] == "released"
    await assert_released_once(deal, stripe)


async def test_callbacks_that_come_early_wait_for_nobody(stripe: StripeSandbox):
    """Before our own call has returned: the intent is noted, nothing else is."""
    deal = await a_deal(stripe)
    requested = await deal.fund()
    with killed_before(cards, "confirm"):
        await perform_killed(requested.job.job_id)
    (created,) = stripe.events(await deal.intent_id())
    assert await handled(stripe, created) == ["not ours to act on"]
    assert await handled(stripe, an_event("payment_intent.payment_failed", await deal.intent_id())) == [
        "nothing to record: requires_payment_method"
    ]
    stripe.pay_in_browser(await deal.intent_id())
    (event,) = stripe.events(await deal.intent_id(), "payment_intent.amount_capturable_updated")
    assert await handled(stripe, event) == ["funded"]
    await assert_proven()


async def test_callbacks_that_come_late_change_nothing(stripe: StripeSandbox):
    deal = await a_deal(stripe)
    await perform_now((await deal.releasing()).job.job_id)
    intent_id = await deal.intent_id()
    events = stripe.events(intent_id, "payment_intent.amount_capturable_updated")
    events += stripe.events(intent_id, "payment_intent.succeeded")
    events += stripe.events(kind="transfer.created")[-1:]
    before = await worlds.traces()
    assert await handled(stripe, *events) == ["funded", "funded", "released"]
    after = await worlds.traces()
    assert {table for table in before if before[table] != after[table]} == {"jobs"}
    await assert_released_once(deal, stripe)


async def test_an_approval_after_three_d_secure_comes_as_a_callback(stripe: StripeSandbox):
    deal = await a_deal(stripe)
    await perform_now((await deal.fund("pm_card_threeDSecureRequired")).job.job_id)
    intent_id = await deal.intent_id()
    (asked,) = stripe.events(intent_id, "payment_intent.requires_action")
    assert await handled(stripe, asked) == ["requires_action"]
    stripe.approve(intent_id)
    (paid,) = stripe.events(intent_id, "payment_intent.amount_capturable_updated")
    assert await handled(stripe, paid) == ["funded"]
    assert (await deal.held(), await journals(deal)) == (GROSS, [FUND])
    await assert_proven()


async def test_a_refusal_of_three_d_secure_ends_the_payment_and_closes_the_intent(stripe: StripeSandbox):
    deal = await a_deal(stripe)
    requested = await deal.fund("pm_card_threeDSecureRequired")
    await perform_now(requested.job.job_id)
    intent_id = await deal.intent_id()
    stripe.refuse(intent_id)
    (refused,) = stripe.events(intent_id, "payment_intent.payment_failed")
    assert await handled(stripe, refused) == ["failed"]
    assert stripe.get(f"/v1/payment_intents/{intent_id}")["status"] == "canceled"
    (canceled,) = stripe.events(intent_id, "payment_intent.canceled")
    assert await handled(stripe, canceled) == ["failed"]
    found = await guard.only("select status, failure_code, decline_code from payments")
    assert tuple(found) == ("failed", "card_declined", "payment_intent_authentication_failure")
    assert (await deal.status(), await deal.held()) == ("pending", 0)
    assert (await worlds.told(deal.hire.client.id)).count("payment_failed") == 1
    await assert_proven()


async def test_a_cancelled_intent_that_was_declined_is_a_decline_whoever_says_so_first(stripe: StripeSandbox):
    deal = await a_deal(stripe)
    requested = await deal.fund("pm_card_chargeDeclined")
    with killed_after(cards, "cancel"):
        await perform_killed(requested.job.job_id)
    (canceled,) = stripe.events(await deal.intent_id(), "payment_intent.canceled")
    assert await handled(stripe, canceled) == ["failed"]
    await release_dead(requested.job.job_id)
    failed = await perform_now(requested.job.job_id)
    assert (failed.status, failed.error_code) == (JobStatus.FAILED, "card_declined")
    assert (await worlds.told(deal.hire.client.id)).count("payment_failed") == 1
    await assert_proven()


async def test_an_intent_cancelled_in_stripes_dashboard_gives_the_payment_up(stripe: StripeSandbox):
    deal = await a_deal(stripe)
    await perform_now((await deal.fund("pm_card_threeDSecureRequired")).job.job_id)
    intent_id = await deal.intent_id()
    stripe.post(f"/v1/payment_intents/{intent_id}/cancel")
    (canceled,) = stripe.events(intent_id, "payment_intent.canceled")
    assert await handled(stripe, canceled) == ["canceled"]
    assert (await deal.status(), await deal.payment_status()) == ("pending", "canceled")
    assert await guard.value("select failure_code from payments") == "canceled_at_stripe"
    await assert_proven()


@pytest.mark.parametrize("moment", ["funded", "submitted", "releasing"])
async def test_a_lapsed_hold_is_told_by_a_callback(stripe: StripeSandbox, moment: str):
    deal = await a_deal(stripe)
    await deal.funded()
    if moment != "funded":
        await deal.submit()
    if moment == "releasing":
        await guard.rows("update job_live set run_at = now() + interval '1 hour'")
        await deal.approve()
        await guard.rows("update job_live set run_at = now() + interval '1 hour'")
    stripe.advance(HOLD_S + 1)
    (canceled,) = stripe.events(await deal.intent_id(), "payment_intent.canceled")
    assert await handled(stripe, canceled, {**canceled, "id": "evt_again"}) == ["canceled", "canceled"]
    assert (await deal.status(), await deal.held(), await journals(deal)) == ("pending", 0, [FUND, LAPSE])
    assert (await worlds.told(deal.hire.freelancer.id)).count("payment_failed") == 1
    await assert_proven()


async def test_a_capture_by_hand_is_seen(stripe: StripeSandbox):
    deal = await a_deal(stripe)
    await deal.funded()
    intent_id = await deal.intent_id()
    stripe.post(f"/v1/payment_intents/{intent_id}/capture")
    (captured,) = stripe.events(intent_id, "payment_intent.succeeded")
    assert await handled(stripe, captured) == ["funded"]
    assert (await deal.payment_status(), await journals(deal)) == ("succeeded", [FUND])
    await deal.submit()
    await perform_now((await deal.approve()).job.job_id)
    await assert_released_once(deal, stripe)


async def test_a_capture_of_less_by_hand_is_an_alarm_and_no_money_of_ours(stripe: StripeSandbox):
    deal = await a_deal(stripe)
    await deal.funded()
    intent_id = await deal.intent_id()
    stripe.post(f"/v1/payment_intents/{intent_id}/capture", amount_to_capture="5000")
    (captured,) = stripe.events(intent_id, "payment_intent.succeeded")
    await alarms(stripe, captured)
    assert (await deal.payment_status(), await journals(deal)) == ("requires_capture", [FUND])


async def test_a_hold_on_a_payment_that_has_ended_is_let_go(stripe: StripeSandbox):
    """It cannot come about by our own doing; should it all the same, nobody's money stays held for nothing."""
    deal = await a_deal(stripe)
    await crashed_after_confirming(deal)
    await guard.rows("update payments set status = 'failed'")
    await guard.rows("update milestones set status = 'pending'")
    (event,) = stripe.events(await deal.intent_id(), "payment_intent.amount_capturable_updated")
    assert await handled(stripe, event) == ["nothing to record: requires_capture"]
    assert stripe.get(f"/v1/payment_intents/{await deal.intent_id()}")["status"] == "canceled"


async def test_captured_money_for_a_payment_that_has_ended_is_an_alarm(stripe: StripeSandbox):
    deal = await a_deal(stripe, rail="captured")
    await crashed_after_confirming(deal)
    await guard.rows("update payments set status = 'canceled'")
    (event,) = stripe.events(await deal.intent_id(), "payment_intent.succeeded")
    await alarms(stripe, event)
    assert await journals(deal) == []


async def test_a_refusal_that_was_overtaken_by_a_captured_payment_is_funded(stripe: StripeSandbox):
    deal = await a_deal(stripe, rail="captured")
    await perform_now((await deal.fund("pm_card_threeDSecureRequired")).job.job_id)
    intent_id = await deal.intent_id()
    stripe.refuse(intent_id)
    (refused,) = stripe.events(intent_id, "payment_intent.payment_failed")
    declined = await cards.read_intent(intent_id)
    stripe.pay_in_browser(intent_id)

    async def as_it_was(_: str) -> cards.Intent:
        patched.undo()
        return declined

    patched = pytest.MonkeyPatch()
    patched.setattr(cards, "read_intent", as_it_was)
    assert await handled(stripe, refused) == ["funded"]
    assert (await deal.held(), await journals(deal)) == (GROSS, [FUND])
    await assert_proven()


async def test_metadata_is_no_proof_of_anything(stripe: StripeSandbox):
    """Somebody else's intent in the same Stripe account names our payment, with the right amount."""
    deal = await a_deal(stripe)
    requested = await deal.fund()
    foreign = stripe.post(
        "/v1/payment_intents",
        **{"amount": str(GROSS), "currency": "usd", "metadata[payment_id]": str(requested.payment_id),
           "payment_method": "pm_card_visa", "confirm": "true", "return_url": "http://localhost"},
    )  # fmt: skip
    assert foreign["status"] == "succeeded"
    await guard.rows("update job_live set run_at = now() + interval '1 hour'")
    async with only_jobs_moved():
        (event,) = stripe.events(foreign["id"], "payment_intent.succeeded")
        assert await handled(stripe, event) == ["not made by us"]
    assert (await deal.payment_status(), await deal.held()) == ("requested", 0)


async def test_an_intent_that_names_another_payment_counts_for_its_own(stripe: StripeSandbox):
    ours, other = await a_deal(stripe), await a_deal(stripe)
    waiting = await other.fund()
    await guard.rows("update job_live set run_at = now() + interval '1 hour'")
    await ours.fund()
    job_id = await guard.value("select job_id from job_live where run_at <= now()")
    with killed_after(cards, "confirm"):
        await perform_killed(job_id)
    intent_id = await ours.intent_id()
    stripe.post(f"/v1/payment_intents/{intent_id}", **{"metadata[payment_id]": str(waiting.payment_id)})
    (event,) = stripe.events(intent_id, "payment_intent.amount_capturable_updated")
    assert await handled(stripe, event) == ["funded"]
    assert [await one.payment_status() for one in (ours, other)] == ["requires_capture", "requested"]
    await assert_proven()


async def test_a_payment_has_one_intent_and_no_second_is_ever_noted(stripe: StripeSandbox):
    deal = await a_deal(stripe)
    requested = await deal.fund("pm_card_threeDSecureRequired")
    await perform_now(requested.job.job_id)
    other = stripe.post("/v1/payment_intents", amount=str(GROSS), currency="usd")
    foreign = seen(await cards.read_intent(other["id"]))
    async with worlds.unmoved():
        with pytest.raises(AssertionError, match="another intent"):
            await guard.commit(funding.record_intent, requested.payment_id, foreign)


async def test_more_or_other_money_than_was_asked_for_is_an_alarm(stripe: StripeSandbox):
    from msgspec.structs import replace

    deal = await a_deal(stripe)
    await crashed_after_confirming(deal)
    payment_id = await guard.value("select id from payments")
    paid = seen(await cards.read_intent(await deal.intent_id()))
    for wrong in (
        replace(paid, amount_minor=GROSS + 1),
        replace(paid, currency="eur"),
        replace(paid, intent_id="pi_other"),
        replace(paid, status="canceled"),
        replace(paid, status="succeeded", amount_received_minor=GROSS - 1),
    ):
        async with worlds.unmoved():
            with pytest.raises(AssertionError):
                await guard.commit(funding.complete_funding, payment_id, wrong)
