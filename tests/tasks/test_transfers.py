"""Callbacks about transfers: a release is completed by whoever comes first, and a second transfer is an alarm."""

from typing import Any

import pytest

from models import guard
from models.escrow import releasing
from models.ledger import accounts
from models.ledger.posting import balance
from tasks.gateways import cards
from tasks.intents import seen
from tests import worlds
from tests.escrows import (
    FUND,
    HELD,
    NET,
    Deal,
    a_deal,
    alarms,
    assert_proven,
    assert_released_once,
    handled,
    journals,
    only_jobs_moved,
)
from tests.performing import killed_after, killed_before, perform_killed, perform_now, release_dead
from tests.stripe_sandbox import StripeSandbox


async def transferred_but_dead(deal: Deal) -> tuple[Any, int]:
    requested = await deal.releasing()
    with killed_after(cards, "transfer"):
        await perform_killed(requested.job.job_id)
    return requested.job.job_id, requested.release_id


def transfer_event(stripe: StripeSandbox) -> dict[str, Any]:
    return stripe.events(kind="transfer.created")[-1]


async def test_a_release_whose_worker_died_is_completed_by_its_callback(stripe: StripeSandbox):
    deal = await a_deal(stripe)
    job_id, _ = await transferred_but_dead(deal)
    assert await handled(stripe, transfer_event(stripe)) == ["released"]
    await release_dead(job_id)
    assert (await perform_now(job_id)).result["status"] == "released"
    await assert_released_once(deal, stripe)


async def test_transfers_that_are_not_ours_are_left_alone(stripe: StripeSandbox):
    deal = await a_deal(stripe)
    await transferred_but_dead(deal)
    release_id = await guard.value("select id from releases")
    stripe.post("/v1/payment_intents", amount="500000", currency="usd", payment_method="pm_card_bypassPending",
                confirm="true", return_url="http://localhost")  # fmt: skip
    for metadata in (
        {},
        {"release_id": "٣"},
        {"release_id": "9" * 40},
        {"release_id": "999999999"},
        {"release_id": str(release_id)},
    ):
        stripe.post("/v1/transfers", amount="90000", currency="usd", destination=deal.account_id,
                    **{f"metadata[{name}]": value for name, value in metadata.items()})  # fmt: skip
        async with only_jobs_moved():
            assert await handled(stripe, transfer_event(stripe)) == ["not made by us"]


async def test_a_transfer_of_another_amount_is_an_alarm(stripe: StripeSandbox):
    deal = await a_deal(stripe)
    requested = await deal.releasing()
    with killed_before(cards, "transfer"):
        await perform_killed(requested.job.job_id)
    charge = await guard.value("select charge_id from payments")
    stripe.post("/v1/transfers", amount="100", currency="usd", destination=deal.account_id, source_transaction=charge,
                **{"metadata[release_id]": str(requested.release_id)})  # fmt: skip
    await alarms(stripe, transfer_event(stripe))
    assert (await deal.status(), await journals(deal)) == ("releasing", [FUND])


async def test_a_transfer_made_after_the_net_was_already_held_takes_it_from_there(stripe: StripeSandbox):
    """Two performers, one told no, the slower one yes: the money has left, and the books say so, once."""
    deal = await a_deal(stripe)
    _, release_id = await transferred_but_dead(deal)
    captured = seen(await cards.read_intent(await deal.intent_id()))
    await guard.commit(releasing.complete_release, release_id, captured, None)
    assert (await journals(deal)) == [FUND, HELD]
    event = transfer_event(stripe)
    assert await handled(stripe, event, {**event, "id": "evt_again"}) == ["released", "released"]
    sent = ("transfer", {"user:*:available": -NET, "world:stripe": NET})
    assert await journals(deal) == [FUND, HELD, sent]
    assert (await balance(accounts.available(deal.hire.freelancer.id), "USD")).minor == 0
    assert await guard.value("select transfer_id from releases") == event["data"]["object"]["id"]
    await assert_proven()


async def test_a_second_transfer_of_one_release_is_an_alarm(stripe: StripeSandbox):
    deal = await a_deal(stripe)
    requested = await deal.releasing()
    await perform_now(requested.job.job_id)
    async with worlds.unmoved():
        with pytest.raises(AssertionError):
            await guard.commit(releasing.record_transfer, requested.release_id, "tr_second")
