"""Hiring beside itself: rivals for one proposal, one delivery, one contract. One comes first, and the other sees it."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest

from models import (
    acceptance,
    bids,
    cancellation,
    completion,
    contracts,
    counter_offers,
    deadlines,
    guard,
    milestones,
    plans,
    timers,
)
from models.bids import Revision
from models.contracts import ContractRow
from models.counter_offers import CounterOfferRow, Terms
from models.errors import WrongState
from models.escrow import funding, releasing
from models.milestones import MilestoneRow, MilestoneStatus
from models.plans import Amendment
from models.proposals import ProposalRow
from models.timers import TimerKind
from tests import clock, factories, worlds
from tests.models.test_silence import a_delivery, paid, status
from tests.races.rivals import until_waiting
from tests.worlds import Hire

Act = Callable[[], Awaitable[object]]


async def one_after_the_other(first: Act, second: Act) -> object:
    """`first` in its transaction while `second` waits for what it has locked; what came of the second one."""

    async def work() -> asyncio.Task[Any]:
        await first()
        late = asyncio.create_task(guard.commit(second), context=outside.copy())
        await asyncio.get_running_loop().create_task(until_waiting(), context=outside.copy())
        return late

    outside = contextvars.copy_context()
    late = await guard.commit(work)
    [outcome] = await asyncio.gather(late, return_exceptions=True)
    return outcome


# One delivery


def answers(hire: Hire) -> dict[str, Act]:
    """What may become of a delivery."""
    milestone_id = hire.milestones[0].id

    async def dispute() -> None:
        milestone, contract = await milestones.lock_with_contract(milestone_id)
        await milestones.move(milestone, contract, MilestoneStatus.DISPUTED, verb="open_dispute")

    async def silence() -> None:
        found = await guard.value(
            "select id from timers where kind = $1 and subject_id = $2", TimerKind.MILESTONE_APPROVE.value, milestone_id
        )
        timer = await timers.find(found)
        assert timer is not None
        await deadlines.VERBS[timer.kind](timer)

    return {
        "approve": lambda: releasing.request_release(milestone_id, caller_id=hire.client.id),
        "request changes": lambda: plans.request_changes(milestone_id, client_id=hire.client.id, note="More."),
        "dispute": dispute,
        "silence": silence,
    }


STATES = {
    "approve": "releasing",
    "request changes": "changes_requested",
    "dispute": "disputed",
    "silence": "releasing",
}


@pytest.mark.parametrize("person", ["approve", "request changes", "dispute"])
async def test_silence_that_waits_for_its_client_finds_that_somebody_acted(database: str, person: str) -> None:
    hire = await a_delivery()
    await clock.ahead(days=14)
    acts = answers(hire)

    assert await one_after_the_other(acts[person], acts["silence"]) is None

    assert await status(hire) == STATES[person]
    assert await guard.value("select count(*) from releases") == (person == "approve")
    assert await guard.value("select count(*) from timers") == 0


@pytest.mark.parametrize("person", ["approve", "request changes", "dispute"])
async def test_whoever_comes_while_silence_approves_is_too_late(database: str, person: str) -> None:
    hire = await a_delivery()
    await clock.ahead(days=14)
    acts = answers(hire)

    late = await one_after_the_other(acts["silence"], acts[person])

    assert isinstance(late, WrongState), late
    assert await status(hire) == "releasing"
    assert await guard.value("select count(*) from releases") == 1


async def test_client_and_silence_at_one_moment_release_once(database: str) -> None:
    for _ in range(3):
        hire = await a_delivery()
        await clock.ahead(days=14)
        acts = answers(hire)

        outcomes = await asyncio.gather(
            *(guard.commit(acts[name]) for name in ("silence", "approve", "silence", "request changes", "dispute")),
            return_exceptions=True,
        )

        assert sum(isinstance(one, WrongState) for one in outcomes) in (
            1,
            2,
            3,
        )  # one, when a dispute follows a change asked for
        released = await guard.value("select count(*) from releases where milestone = $1", hire.milestones[0].id)
        ended = await status(hire)
        if ended == "disputed":  # after changes were asked for, as a dispute may be
            assert released == 0
        else:
            assert released == (ended == "releasing")
        left = await guard.value(
            "select count(*) from timers where subject_id = $1 and fired_at is null", hire.milestones[0].id
        )
        assert left == 0


async def test_a_delivery_and_a_cancelled_contract_at_once(database: str) -> None:
    hire = await worlds.a_hire()
    await paid(hire)

    async def deliver() -> MilestoneRow:
        return await milestones.submit(hire.milestones[0].id, freelancer_id=hire.freelancer.id, note="Here.")

    async def cancel() -> ContractRow:
        return await cancellation.cancel(hire.contract.id, user_id=hire.client.id, reason="No.")

    assert isinstance(await one_after_the_other(deliver, cancel), WrongState)
    assert await status(hire) == "submitted"


# One proposal


def hands(proposal: ProposalRow) -> dict[str, Act]:
    """What may become of a proposal."""
    client, freelancer = proposal.client_id, proposal.freelancer_id
    terms = Terms(bid_amount=Decimal(900), delivery_days=3, message="Please.")
    return {
        "accept": lambda: acceptance.accept(proposal.id, client_id=client, policy=factories.POLICY),
        "withdraw": lambda: bids.withdraw(proposal.id, freelancer_id=freelancer),
        "reject": lambda: bids.reject(proposal.id, client_id=client),
        "edit": lambda: bids.edit(proposal.id, Revision(bid_amount=Decimal(5000)), freelancer_id=freelancer),
        "counter": lambda: counter_offers.make(proposal.id, terms, user_id=client),
        "agree": lambda: counter_offers.accept(proposal.id, user_id=freelancer),
        "see and accept": lambda: acceptance.accept(
            proposal.id, client_id=client, policy=factories.POLICY, seen_bid=Decimal(1000)
        ),
    }


DECISIONS = {"accept": "accepted", "withdraw": "withdrawn", "reject": "rejected"}


@pytest.mark.parametrize("first", DECISIONS)
@pytest.mark.parametrize("second", ["accept", "withdraw", "reject", "edit", "counter"])
async def test_what_comes_after_a_decision_is_refused(database: str, first: str, second: str) -> None:
    proposal = await factories.a_proposal()
    acts = hands(proposal)

    late = await one_after_the_other(acts[first], acts[second])

    assert isinstance(late, WrongState), late
    assert await guard.value("select status from proposals") == DECISIONS[first]
    assert await guard.value("select count(*) from contracts") == (first == "accept")
    assert await guard.value("select count(*) from counter_offers") == 0


async def test_a_bid_that_is_raised_while_its_client_accepts_is_not_taken_unseen(database: str) -> None:
    acts = hands(await factories.a_proposal())

    late = await one_after_the_other(acts["edit"], acts["see and accept"])

    assert isinstance(late, WrongState)
    assert await guard.value("select count(*) from contracts") == 0


async def test_an_acceptance_voids_the_counter_offer_that_is_being_agreed_to(database: str) -> None:
    proposal = await factories.a_proposal()
    acts = hands(proposal)
    await guard.commit(acts["counter"])

    late = await one_after_the_other(acts["accept"], acts["agree"])

    assert isinstance(late, WrongState)
    assert await guard.value("select amount_minor from contracts") == proposal.bid_minor
    assert await guard.value("select status from counter_offers") == "superseded"


async def test_counter_offers_of_both_sides_at_once_leave_one_open(database: str) -> None:
    proposal = await factories.a_proposal()
    terms = Terms(bid_amount=Decimal(900), delivery_days=3, message="Please.")
    sides = (proposal.client_id, proposal.freelancer_id) * 3

    made = await asyncio.gather(
        *(guard.commit(counter_offers.make, proposal.id, terms, user_id=side) for side in sides)
    )

    assert all(isinstance(one, CounterOfferRow) for one in made)
    found = await guard.rows("select status, count(*) from counter_offers group by status order by status")
    assert [tuple(one) for one in found] == [("open", 1), ("superseded", 5)]


async def test_a_counter_offer_is_accepted_and_declined_at_once_once(database: str) -> None:
    proposal = await factories.a_proposal()
    await guard.commit(hands(proposal)["counter"])

    outcomes = await asyncio.gather(
        *(
            guard.commit(verb, proposal.id, user_id=proposal.freelancer_id)
            for verb in (counter_offers.accept, counter_offers.decline, counter_offers.accept)
        ),
        return_exceptions=True,
    )

    assert sum(isinstance(one, CounterOfferRow) for one in outcomes) == 1
    assert sum(isinstance(one, WrongState) for one in outcomes) == 2
    assert (await worlds.told(proposal.client_id)).count("counter_offer_answered") == 1


# One contract


async def test_a_contract_is_signed_and_cancelled_at_once(database: str) -> None:
    for order in (0, 1):
        hire = await worlds.a_hire(signed=False)
        await guard.commit(contracts.sign, hire.contract.id, user_id=hire.client.id)
        contract_id, freelancer_id, client_id = hire.contract.id, hire.freelancer.id, hire.client.id
        acts: list[Act] = [
            lambda c=contract_id, f=freelancer_id: contracts.sign(c, user_id=f),  # type: ignore[misc]
            lambda c=contract_id, u=client_id: cancellation.cancel(c, user_id=u, reason="No."),  # type: ignore[misc]
        ]

        late = await one_after_the_other(acts[order], acts[1 - order])

        ended = await guard.value("select status from contracts where id = $1", contract_id)
        assert ended == "cancelled"
        assert isinstance(late, WrongState if order else ContractRow)


@pytest.mark.parametrize("first", ["fund", "edit", "cancel"])
async def test_a_milestone_is_funded_at_the_price_that_stands(database: str, first: str) -> None:
    hire = await worlds.a_hire()
    milestone_id, client_id = hire.milestones[0].id, hire.client.id
    acts: dict[str, Act] = {
        "fund": lambda: funding.request_funding(
            milestone_id, caller_id=client_id, payment_method_id="pm_card_visa", policy=factories.POLICY
        ),
        "edit": lambda: plans.edit(milestone_id, Amendment(amount=Decimal(5)), client_id=client_id),
        "cancel": lambda: cancellation.cancel(hire.contract.id, user_id=client_id, reason="No."),
    }
    second = "edit" if first == "fund" else "fund"

    late = await one_after_the_other(acts[first], acts[second])

    amounts = await guard.rows(
        "select p.amount_minor, m.amount_minor from payments p join milestones m on m.id = p.milestone"
    )
    assert [tuple(one) for one in amounts] == {"fund": [(100_000, 100_000)], "edit": [(500, 500)], "cancel": []}[first]
    assert isinstance(late, WrongState) is (first != "edit")


async def test_a_contract_is_completed_once_by_its_last_milestone_and_its_client(database: str) -> None:
    hire = await worlds.a_hire()
    await factories.walked(hire.milestones[0], MilestoneStatus.RELEASED)

    async def by_itself() -> ContractRow:
        _, contract = await milestones.lock_with_contract(hire.milestones[0].id, completes=True)
        return await milestones.complete_contract_if_done(contract)

    async def by_client() -> ContractRow:
        return await completion.complete(hire.contract.id, client_id=hire.client.id)

    assert isinstance(await one_after_the_other(by_itself, by_client), WrongState)
    assert (await worlds.told(hire.client.id)).count("contract_completed") == 1
    assert await guard.value("select completed_contracts from users where id = $1", hire.freelancer.id) == 1
