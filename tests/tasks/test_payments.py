"""Payout accounts: opened once, ready when Stripe says so, and their owner is told."""

import pytest

from models import guard, outbox
from models.errors import NotFound
from models.jobs import OpenPayoutAccount
from models.queue.views import JobView
from tasks.gateways import cards
from tests import factories, worlds
from tests.escrows import (
    an_event,
    handled,
)
from tests.performing import killed_after, killed_before, perform_killed, perform_now, release_dead
from tests.stripe_sandbox import StripeSandbox


async def opened(user_id: int) -> JobView:
    made = await guard.commit(outbox.enqueue, OpenPayoutAccount(user_id=user_id))
    return await perform_now(made.job_id)


async def test_an_account_becomes_ready_by_its_callback_and_its_owner_is_told_once(stripe: StripeSandbox):
    freelancer = await factories.a_freelancer(payouts_ready=False)
    done = await opened(freelancer.id)
    account_id = done.result["account_id"]
    assert done.result == {"account_id": account_id, "payouts_ready": False}
    assert await handled(stripe, an_event("account.updated", account_id)) == ["not ready"]
    stripe.complete(account_id)
    assert await handled(stripe, *(an_event("account.updated", account_id) for _ in range(2))) == ["ready", "ready"]
    found = await guard.only("select payouts_ready, onboarding_sealed from users where id = $1", freelancer.id)
    assert tuple(found) == (True, None)
    assert (await worlds.told(freelancer.id)) == ["payouts_ready"]
    stripe.restrict(account_id)
    assert await handled(stripe, an_event("account.updated", account_id)) == ["not ready"]
    assert not await guard.value("select payouts_ready from users where id = $1", freelancer.id)


async def test_an_account_is_opened_once_whatever_crashes(stripe: StripeSandbox, subtests: pytest.Subtests):
    from models import payouts

    for crash in (
        killed_after(cards, "create_account"),
        killed_after(payouts, "remember_account"),
        killed_before(cards, "onboarding_link"),
        killed_after(payouts, "complete_opening"),
    ):
        with subtests.test(crash=crash):
            freelancer = await factories.a_freelancer(payouts_ready=False)
            made = await guard.commit(outbox.enqueue, OpenPayoutAccount(user_id=freelancer.id))
            with crash:
                await perform_killed(made.job_id)
            await release_dead(made.job_id)
            account_id = (await perform_now(made.job_id)).result["account_id"]
            assert (await opened(freelancer.id)).result["account_id"] == account_id
            stripe.complete(account_id)
            assert (await opened(freelancer.id)).result == {"account_id": account_id, "payouts_ready": True}


async def test_two_requests_at_once_lead_to_one_account(stripe: StripeSandbox):
    import asyncio

    freelancer = await factories.a_freelancer(payouts_ready=False)
    first, second = await asyncio.gather(opened(freelancer.id), opened(freelancer.id))
    kept = await guard.value("select stripe_account_id from users where id = $1", freelancer.id)
    assert first.result["account_id"] == second.result["account_id"] == kept


async def test_an_account_nobody_has_is_not_set_ready(stripe: StripeSandbox):
    from models import payouts

    async with worlds.unmoved():
        assert not await guard.commit(payouts.set_ready, "acct_nobodys", ready=True)
    with pytest.raises(NotFound):
        await payouts.read(404)
