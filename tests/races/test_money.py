"""Everything that moves money, beside itself and beside its rivals."""

import asyncio
from collections.abc import Iterable
from typing import Any
from uuid import UUID

import pytest

from models import guard, outbox
from models.errors import WrongState
from models.escrow import funding, releasing
from models.escrow.funding import FundingRequested
from models.escrow.releasing import ReleaseRequested
from models.jobs import ExpireFunding, FundMilestone, JobStatus, ReleaseMilestone, SecureHold
from tasks.broker.performing import perform
from tasks.gateways import cards
from tasks.intents import seen
from tests import worlds
from tests.escrows import FUND, LAPSE, RELEASE, Deal, a_deal, assert_proven, assert_released_once, journals
from tests.performing import claim_now, killed_after, perform_killed, perform_now, view
from tests.stripe_sandbox import HOLD_S, StripeSandbox

AT_ONCE = 24


async def together(job_ids: Iterable[UUID]) -> None:
    """Carry out jobs at the same time; what met the other's call under way (409) is repeated until it has ended."""
    claims = [await claim_now(one) for one in job_ids]
    await asyncio.gather(*(perform(one) for one in claims))
    for one in claims:
        if (await view(one.job_id)).status is JobStatus.QUEUED:
            await perform_now(one.job_id, even_if_early=True)


async def test_of_many_fundings_at_once_one_pays(stripe: StripeSandbox):
    deal = await a_deal(stripe)
    answers = await asyncio.gather(*(deal.fund() for _ in range(AT_ONCE)), return_exceptions=True)
    (won,) = [one for one in answers if isinstance(one, FundingRequested)]
    assert {type(one) for one in answers} == {FundingRequested, WrongState}
    await perform_now(won.job.job_id)
    (intent,) = stripe.intents_of(deal.milestone_id)
    assert (intent["status"], await journals(deal)) == ("requires_capture", [FUND])
    assert await guard.value("select count(*) from payments") == 1
    await assert_proven()


async def test_of_many_approvals_at_once_one_releases(stripe: StripeSandbox):
    deal = await a_deal(stripe)
    await deal.funded()
    await deal.submit()
    answers = await asyncio.gather(*(deal.approve() for _ in range(AT_ONCE)), return_exceptions=True)
    (won,) = [one for one in answers if isinstance(one, ReleaseRequested)]
    assert {type(one) for one in answers} == {ReleaseRequested, WrongState}
    assert await guard.value("select count(*) from releases") == 1
    await perform_now(won.job.job_id)
    await assert_released_once(deal, stripe)


async def test_a_lapse_and_an_approval_at_once_leave_one_truth(stripe: StripeSandbox):
    for _ in range(3):
        deal = await a_deal(stripe)
        payment_id = await deal.funded()
        await deal.submit()
        stripe.advance(HOLD_S + 1)
        _, approved = await asyncio.gather(
            guard.commit(funding.lapse, payment_id), deal.approve(), return_exceptions=True
        )
        assert isinstance(approved, (ReleaseRequested, WrongState))
        if isinstance(approved, ReleaseRequested):
            failed = await perform_now(approved.job.job_id)
            assert failed.status is JobStatus.FAILED
        assert (await deal.status(), await deal.held(), await journals(deal)) == ("pending", 0, [FUND, LAPSE])
        assert stripe.transfers(deal.milestone_id) == (0, 0)
        await assert_proven()


@pytest.mark.parametrize("first", ["performer", "callback", "neither"])
async def test_callback_and_performer_complete_a_funding_together(stripe: StripeSandbox, first: str):
    deal = await a_deal(stripe)
    requested = await deal.fund()
    await held_up(requested.job.job_id, stripe, deal, first, "payment_intent.amount_capturable_updated")
    assert (await view(requested.job.job_id)).result["status"] == "funded"
    assert await journals(deal) == [FUND]
    assert (await worlds.told(deal.hire.freelancer.id)).count("milestone_funded") == 1
    await assert_proven()


@pytest.mark.parametrize("first", ["performer", "callback", "neither"])
async def test_callback_and_performer_complete_a_release_together(stripe: StripeSandbox, first: str):
    deal = await a_deal(stripe)
    requested = await deal.releasing()
    await held_up(requested.job.job_id, stripe, deal, first, "transfer.created")
    assert (await view(requested.job.job_id)).result["status"] == "released"
    await assert_released_once(deal, stripe)


async def held_up(job_id: Any, stripe: StripeSandbox, deal: Deal, first: str, kind: str) -> None:
    """The job stops after Stripe's last answer until its callback is being worked on; then `first` goes first."""
    owner_step = "confirm" if kind.startswith("payment_intent") else "transfer"
    really = getattr(cards, owner_step)
    answered, go = asyncio.Event(), asyncio.Event()

    async def stop(*args: Any, **kwargs: Any) -> Any:
        found = await really(*args, **kwargs)
        answered.set()
        await go.wait()
        return found

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(cards, owner_step, stop)
        performer = asyncio.create_task(perform(await claim_now(job_id)))
        await answered.wait()
        about = await deal.intent_id() if owner_step == "confirm" else None
        event = stripe.events(about, kind)[-1]
        await stripe.deliver(event)
        callback_id = await guard.value("select id from jobs where kind = 'inbox.handle_callback'")
        callback = await claim_now(callback_id)
        if first == "performer":
            go.set()
            await performer
            await perform(callback)
        elif first == "callback":
            await perform(callback)
            go.set()
        else:
            go.set()
            await perform(callback)
        await performer


@pytest.mark.parametrize("step", ["capture", "transfer"])
async def test_two_live_performers_of_one_release_move_its_money_once(stripe: StripeSandbox, step: str):
    """One has lost its lease without knowing it, and goes on at the worst moment."""
    deal = await a_deal(stripe)
    requested = await deal.releasing()
    really = getattr(cards, step)
    reached, go = asyncio.Event(), asyncio.Event()

    async def stall(*args: Any, **kwargs: Any) -> Any:
        reached.set()
        await go.wait()
        return await really(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(cards, step, stall)
        slow = asyncio.create_task(perform(await claim_now(requested.job.job_id)))
        await reached.wait()
    await guard.rows("update job_live set status = 0, worker_id = null where job_id = $1", requested.job.job_id)
    quick = asyncio.create_task(perform(await claim_now(requested.job.job_id)))
    go.set()
    await asyncio.gather(slow, quick)
    assert (await view(requested.job.job_id)).status in (JobStatus.SUCCEEDED, JobStatus.QUEUED)
    if (await view(requested.job.job_id)).status is JobStatus.QUEUED:  # the other's call with this key was under way
        await perform_now(requested.job.job_id, even_if_early=True)
    await assert_released_once(deal, stripe)


async def test_a_performer_told_no_and_a_slower_one_told_yes_keep_the_books_right(stripe: StripeSandbox):
    deal = await a_deal(stripe)
    requested = await deal.releasing()
    stripe.restrict(deal.account_id)
    with killed_after(cards, "capture"):
        await perform_killed(requested.job.job_id)
    slow = await releasing.begin_release(requested.release_id)
    assert slow is not None
    captured = await cards.read_intent(await deal.intent_id())
    await guard.rows("update job_live set status = 0, worker_id = null where job_id = $1", requested.job.job_id)
    assert (await perform_now(requested.job.job_id)).result["transfer_id"] is None
    stripe.complete(deal.account_id)
    assert captured.charge_id is not None
    late = await cards.transfer(
        amount_minor=slow.release.net.minor, currency="USD", account_id=deal.account_id, charge_id=captured.charge_id,
        group=f"milestone:{deal.milestone_id}", metadata={"release_id": str(requested.release_id)}, key="another",
    )  # fmt: skip
    await guard.commit(releasing.complete_release, requested.release_id, seen(captured), late.transfer_id)
    await stripe.deliver(stripe.events(late.transfer_id)[-1])
    await perform_now(await guard.value("select id from jobs where kind = 'inbox.handle_callback'"))
    assert stripe.transfers(deal.milestone_id) == (1, 90_000)
    assert [kind for kind, _ in await journals(deal)] == ["fund", "release", "transfer"]
    assert await guard.value("select amount from balances where account like 'user:%'") == 0
    await assert_proven()


async def test_two_live_performers_of_one_funding_charge_once(stripe: StripeSandbox):
    deal = await a_deal(stripe)
    requested = await deal.fund()
    twin = await guard.commit(outbox.enqueue, FundMilestone(payment_id=requested.payment_id))
    await together((requested.job.job_id, twin.job_id))
    held = [one for one in stripe.intents_of(deal.milestone_id) if one["status"] != "requires_payment_method"]
    assert [one["status"] for one in held] == ["requires_capture"]
    assert (await deal.status(), await journals(deal)) == ("funded", [FUND])
    await assert_proven()


async def test_securing_and_releasing_at_once_capture_once(stripe: StripeSandbox):
    deal = await a_deal(stripe)
    requested = await deal.releasing()
    payment_id = await guard.value("select id from payments")
    secure = await guard.commit(outbox.enqueue, SecureHold(payment_id=payment_id))
    await together((requested.job.job_id, secure.job_id))
    await assert_released_once(deal, stripe)


@pytest.mark.parametrize("rail", ["hold", "captured"])
async def test_expiry_and_a_live_performer_at_once_leave_one_truth(stripe: StripeSandbox, rail: str):
    for _ in range(4):
        deal = await a_deal(stripe, rail=rail)
        requested = await deal.fund()
        expire = await guard.commit(outbox.enqueue, ExpireFunding(payment_id=requested.payment_id))
        await together((requested.job.job_id, expire.job_id))
        paid = [one["status"] for one in stripe.intents_of(deal.milestone_id)]
        if await deal.status() == "funded":
            assert (paid, await journals(deal)) == (["requires_capture" if rail == "hold" else "succeeded"], [FUND])
        else:
            assert (await deal.status(), await deal.held(), await journals(deal)) == ("pending", 0, [])
            assert not {"requires_capture", "succeeded"} & set(paid)
        await assert_proven()


async def test_a_release_asked_of_two_jobs_is_made_once(stripe: StripeSandbox):
    deal = await a_deal(stripe)
    requested = await deal.releasing()
    twins = [await guard.commit(outbox.enqueue, ReleaseMilestone(release_id=requested.release_id)) for _ in range(3)]
    ids = [requested.job.job_id, *(one.job_id for one in twins)]
    await together(ids)
    await assert_released_once(deal, stripe)
    assert await journals(deal) == [FUND, RELEASE]
