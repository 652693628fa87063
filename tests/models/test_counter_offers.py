"""Counter-offers: one stands at a time, the other side answers, and the proposal takes what both want."""

from decimal import Decimal

import pytest
from msgspec.structs import replace

from models import acceptance, bids, contracts, counter_offers, guard, proposals
from models.bids import Revision
from models.counter_offers import MACHINE, CounterOfferRow, CounterOfferStatus, Terms
from models.errors import AmountOutOfBounds, Invalid, MilestonesMismatch, NotAllowed, NotFound, WrongState
from models.money import MAX_MINOR, Money
from models.offers import Planned, Stage
from models.projects import BudgetType
from models.proposals import ProposalRow, ProposalStatus
from tests import factories, worlds


def asking(bid: str = "900", *stages: tuple[str, str], days: int = 10) -> Terms:
    planned = [Planned(title=title, amount=Decimal(amount)) for title, amount in stages]
    return Terms(bid_amount=Decimal(bid), delivery_days=days, message="Could you?", milestones=planned)


async def countered(proposal: ProposalRow, user_id: int, terms: Terms | None = None) -> CounterOfferRow:
    return await guard.commit(counter_offers.make, proposal.id, terms or asking(), user_id=user_id)


async def reread(proposal: ProposalRow) -> ProposalRow:
    return await proposals.read(proposal.id, user_id=proposal.client_id, admin=False)


async def statuses(proposal: ProposalRow) -> list[str]:
    found = await counter_offers.list_of(
        proposal.id, user_id=proposal.freelancer_id, admin=False, before=None, limit=100
    )
    return [one.status.value for one in found]


def test_every_state_but_the_first_can_be_reached() -> None:
    assert {edge.target for edge in MACHINE.edges} == set(CounterOfferStatus) - {CounterOfferStatus.OPEN}


async def test_the_other_side_is_asked_and_what_was_open_is_superseded(database: str) -> None:
    proposal = await factories.a_proposal()

    first = await countered(proposal, proposal.client_id, asking("900"))
    second = await countered(proposal, proposal.freelancer_id, asking("950", days=1))
    third = await countered(proposal, proposal.freelancer_id, asking("940"))

    assert (first.bid, first.author_id, first.status) == (Money(90_000, "USD"), proposal.client_id, "open")
    assert second.stages == []
    assert third.message == "Could you?"
    assert await statuses(proposal) == ["open", "superseded", "superseded"]
    assert await worlds.told(proposal.freelancer_id) == ["counter_offer_received"]
    assert (await worlds.told(proposal.client_id))[-2:] == ["counter_offer_received"] * 2
    assert await worlds.mailed(proposal.freelancer_id) == ["counter_offer_received"]
    assert (await worlds.mailed(proposal.client_id))[-2:] == ["counter_offer_received"] * 2
    messages = [one["message"] for one in await guard.rows("select message from notifications order by id")]
    assert messages[1:3] == [
        "Clara Client offers 900.00 USD in 10 days for “A shop for bicycles”.",
        "Frida Freelancer offers 950.00 USD in 1 day for “A shop for bicycles”.",
    ]
    assert (await reread(proposal)).bid == proposal.bid


async def test_accepted_terms_are_the_proposals_and_make_no_contract_yet(database: str) -> None:
    proposal = await factories.a_proposal(offer=factories.an_offer("300", stages=[("One", "100"), ("Two", "200")]))
    asked = await countered(proposal, proposal.client_id, asking("250", ("All", "250"), days=3))

    answered = await guard.commit(counter_offers.accept, proposal.id, user_id=proposal.freelancer_id)

    taken = await reread(proposal)
    assert (answered.id, answered.status) == (asked.id, CounterOfferStatus.ACCEPTED)
    assert answered.answered_at is not None
    assert (taken.bid, taken.delivery_days, taken.status) == (Money(25_000, "USD"), 3, ProposalStatus.SUBMITTED)
    assert taken.stages == [Stage(title="All", amount_minor=25_000)]
    assert taken.contract_id is None
    assert (await worlds.told(proposal.client_id))[-1] == "counter_offer_answered"
    assert (await worlds.mailed(proposal.client_id))[-1] == "proposal_received"


async def test_planned_milestones_stay_while_they_add_up(database: str) -> None:
    offer = factories.an_offer("300", stages=[("One", "100"), ("Two", "200")])
    faster, cheaper = await factories.a_proposal(offer=offer), await factories.a_proposal(offer=offer)
    await countered(faster, faster.client_id, asking("300", days=1))
    await countered(cheaper, cheaper.client_id, asking("299"))

    for one in (faster, cheaper):
        await guard.commit(counter_offers.accept, one.id, user_id=one.freelancer_id)

    assert (await reread(faster)).stages == offer.stages
    assert (await reread(cheaper)).stages == []


async def test_the_contract_is_of_the_terms_that_stand(database: str) -> None:
    agreed, open_still = await factories.a_proposal(), await factories.a_proposal()
    await countered(agreed, agreed.client_id, asking("800"))
    await guard.commit(counter_offers.accept, agreed.id, user_id=agreed.freelancer_id)
    await countered(open_still, open_still.freelancer_id, asking("1200"))

    for one, amount in ((agreed, 80_000), (open_still, 100_000)):
        done = await guard.commit(acceptance.accept, one.id, client_id=one.client_id, policy=factories.POLICY)
        assert done.contract_id is not None
        contract = await contracts.read(done.contract_id, user_id=one.client_id, admin=False)
        assert contract.amount == Money(amount, "USD")
    assert await statuses(agreed) == ["accepted"]
    assert await statuses(open_still) == ["superseded"]


async def test_an_acceptance_of_what_was_read_takes_nothing_else(database: str) -> None:
    proposal = await factories.a_proposal()
    first = await countered(proposal, proposal.freelancer_id, asking("900"))
    second = await countered(proposal, proposal.freelancer_id, asking("2000"))

    async with worlds.refused(WrongState, f"Counter-offer {second.id} is open by now"):
        await guard.commit(counter_offers.accept, proposal.id, user_id=proposal.client_id, seen_id=first.id)
    await guard.commit(counter_offers.accept, proposal.id, user_id=proposal.client_id, seen_id=second.id)

    async with worlds.refused(WrongState, r"The bid is 2,000\.00 USD by now"):
        await guard.commit(
            acceptance.accept,
            proposal.id,
            client_id=proposal.client_id,
            policy=factories.POLICY,
            seen_bid=Decimal(1000),
        )
    await guard.commit(
        acceptance.accept, proposal.id, client_id=proposal.client_id, policy=factories.POLICY, seen_bid=Decimal(2000)
    )


async def test_declined_or_withdrawn_terms_change_nothing(database: str) -> None:
    proposal = await factories.a_proposal()
    await countered(proposal, proposal.client_id)
    declined = await guard.commit(counter_offers.decline, proposal.id, user_id=proposal.freelancer_id)
    await countered(proposal, proposal.freelancer_id)
    withdrawn = await guard.commit(counter_offers.withdraw, proposal.id, user_id=proposal.freelancer_id)

    assert (declined.status, withdrawn.status) == (CounterOfferStatus.DECLINED, CounterOfferStatus.WITHDRAWN)
    assert await reread(proposal) == proposal
    assert (await worlds.told(proposal.client_id))[-2:] == ["counter_offer_answered", "counter_offer_received"]
    for verb in (counter_offers.accept, counter_offers.decline, counter_offers.withdraw):
        async with worlds.refused(WrongState, "No counter-offer is open"):
            await guard.commit(verb, proposal.id, user_id=proposal.client_id)


async def test_who_answers_is_the_other_side(database: str) -> None:
    market = await worlds.a_market(rivals=2)
    proposal, rival = market.proposals
    await countered(proposal, proposal.client_id)

    for verb in (counter_offers.accept, counter_offers.decline):
        async with worlds.refused(NotAllowed):
            await guard.commit(verb, proposal.id, user_id=proposal.client_id)
    async with worlds.refused(NotAllowed):
        await guard.commit(counter_offers.withdraw, proposal.id, user_id=proposal.freelancer_id)
    for verb in (counter_offers.accept, counter_offers.decline, counter_offers.withdraw):
        async with worlds.refused(NotFound):
            await guard.commit(verb, proposal.id, user_id=rival.freelancer_id)
    async with worlds.refused(NotFound):
        await countered(proposal, rival.freelancer_id)


async def test_only_its_two_sides_see_a_counter_offer(database: str) -> None:
    market = await worlds.a_market(rivals=2)
    proposal, rival = market.proposals
    made = await countered(proposal, proposal.client_id)

    for user_id, admin in ((proposal.client_id, False), (proposal.freelancer_id, False), (999_999, True)):
        assert await counter_offers.read(made.id, user_id=user_id, admin=admin) == made
        assert await counter_offers.list_of(proposal.id, user_id=user_id, admin=admin, before=None, limit=9) == [made]
    assert await counter_offers.list_of(proposal.id, user_id=1, admin=True, before=made.id, limit=9) == []
    with pytest.raises(NotFound):
        await counter_offers.read(made.id, user_id=rival.freelancer_id, admin=False)
    with pytest.raises(NotFound):
        await counter_offers.list_of(proposal.id, user_id=rival.freelancer_id, admin=False, before=None, limit=9)


async def test_terms_that_make_no_sense_are_refused(database: str) -> None:
    proposal = await factories.a_proposal()
    most = Money(MAX_MINOR + 1, "USD").major
    for terms, error in (
        (asking("0"), AmountOutOfBounds),
        (asking(str(most)), AmountOutOfBounds),
        (asking("100", ("One", "99")), MilestonesMismatch),
    ):
        async with worlds.refused(error):
            await countered(proposal, proposal.client_id, terms)

    project = await factories.a_project(brief=replace(factories.a_brief(), budget_type=BudgetType.HOURLY))
    hourly = await factories.a_proposal(project, offer=factories.an_offer("50"))
    async with worlds.refused(Invalid, "no milestones"):
        await countered(hourly, hourly.client_id, asking("40", ("One", "40")))
    assert (await countered(hourly, hourly.client_id, asking("40"))).bid == Money(4000, "USD")


async def test_a_decided_proposal_is_not_haggled_over(database: str) -> None:
    proposal = await factories.a_proposal()
    await guard.commit(bids.reject, proposal.id, client_id=proposal.client_id)

    async with worlds.refused(WrongState, "This proposal is rejected: its terms are settled"):
        await countered(proposal, proposal.client_id)


async def test_a_proposal_has_so_many_counter_offers(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counter_offers, "MAX_COUNTER_OFFERS", 2)
    proposal = await factories.a_proposal()
    await countered(proposal, proposal.client_id)
    await countered(proposal, proposal.client_id)

    async with worlds.refused(WrongState, "has had 2 counter-offers"):
        await countered(proposal, proposal.client_id)


async def test_what_ends_a_proposal_ends_what_was_asked_about_it(database: str) -> None:
    market = await worlds.a_market(rivals=3)
    withdrawn, chosen, rejected = market.proposals
    for one in market.proposals:
        await countered(one, market.client.id)

    await guard.commit(bids.shortlist, chosen.id, client_id=market.client.id)
    assert await statuses(chosen) == ["open"]
    await guard.commit(bids.withdraw, withdrawn.id, freelancer_id=withdrawn.freelancer_id)
    await guard.commit(acceptance.accept, chosen.id, client_id=market.client.id, policy=factories.POLICY)

    assert await statuses(withdrawn) == ["withdrawn"]
    assert await statuses(chosen) == ["superseded"]
    assert await statuses(rejected) == ["superseded"]


async def test_an_offer_is_not_edited_while_its_client_waits(database: str) -> None:
    proposal = await factories.a_proposal()
    await countered(proposal, proposal.client_id)
    async with worlds.refused(WrongState, "answer it first"):
        await guard.commit(bids.edit, proposal.id, Revision(delivery_days=1), freelancer_id=proposal.freelancer_id)
    await countered(proposal, proposal.freelancer_id)

    await guard.commit(bids.edit, proposal.id, Revision(delivery_days=1), freelancer_id=proposal.freelancer_id)

    assert await statuses(proposal) == ["superseded", "superseded"]
