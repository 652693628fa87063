"""Proposals: one each, in the project's currency, adding up; and the one acceptance."""

import pytest

from models import acceptance, contracts, guard, projects, proposals
from models.contracts import ContractStatus
from models.errors import (
    AmountOutOfBounds,
    Invalid,
    MilestonesMismatch,
    NotFound,
    OwnProject,
    ProposalExists,
    WrongState,
)
from models.money import MAX_MINOR, Money
from models.policy import Policy
from models.projects import ProjectStatus, Visibility
from models.proposals import MACHINE, Offer, ProposalStatus, Stage
from tests import factories, worlds


def test_every_state_but_the_first_can_be_reached() -> None:
    assert {edge.target for edge in MACHINE.edges} == set(ProposalStatus) - {ProposalStatus.SUBMITTED}


async def test_a_proposal_reaches_its_client(database: str) -> None:
    project, freelancer = await factories.a_project(), await factories.a_freelancer()
    offer = factories.an_offer("1500", stages=[("Design", "500"), ("Build", "1000")])

    made = await guard.commit(proposals.submit, project.id, offer, freelancer_id=freelancer.id)

    assert made.status is ProposalStatus.SUBMITTED
    assert made.bid == Money(150_000, "USD")
    assert made.stages == [Stage(title="Design", amount_minor=50_000), Stage(title="Build", amount_minor=100_000)]
    assert made.contract_id is None
    assert await worlds.told(project.client_id) == ["proposal_received"]
    assert await worlds.mailed(project.client_id) == ["project_created", "proposal_received"]
    update = ("proposal_update", {"proposal_id": made.id, "project_id": project.id, "status": "submitted"})
    assert update in await worlds.heard(f"user:{project.client_id}")
    assert await worlds.heard(f"user:{freelancer.id}") == [update]
    # Bidders are rivals: the project's room hears nothing of it.
    assert [name for name, _ in await worlds.heard(f"project:{project.id}")] == ["project_update"]


async def test_a_freelancer_proposes_once_per_project(database: str) -> None:
    proposal = await factories.a_proposal()

    async with worlds.refused(ProposalExists):
        await guard.commit(
            proposals.submit, proposal.project_id, factories.an_offer("900"), freelancer_id=proposal.freelancer_id
        )


async def test_after_a_withdrawal_one_may_propose_anew(database: str) -> None:
    proposal = await factories.a_proposal()
    await guard.rows("update proposals set status = 'withdrawn' where id = $1", proposal.id)

    again = await guard.commit(
        proposals.submit, proposal.project_id, factories.an_offer("900"), freelancer_id=proposal.freelancer_id
    )

    assert again.id != proposal.id


async def test_nobody_proposes_for_their_own_project(database: str) -> None:
    project = await factories.a_project()

    async with worlds.refused(OwnProject):
        await guard.commit(proposals.submit, project.id, factories.an_offer(), freelancer_id=project.client_id)


async def test_a_project_that_cannot_be_found_takes_no_proposals(database: str) -> None:
    freelancer = await factories.a_freelancer()
    draft = await factories.a_project(open=False)
    private = await factories.a_project(brief=factories.a_brief(visibility=Visibility.PRIVATE))

    for project_id in (draft.id, private.id, 999_999):
        async with worlds.refused(NotFound):
            await guard.commit(proposals.submit, project_id, factories.an_offer(), freelancer_id=freelancer.id)


async def test_a_project_under_way_takes_no_proposals(database: str) -> None:
    hire, late = await worlds.a_hire(), await factories.a_freelancer()

    async with worlds.refused(WrongState, "in_progress: it takes no proposals"):
        await guard.commit(proposals.submit, hire.contract.project_id, factories.an_offer(), freelancer_id=late.id)


def offered(bid_minor: int, *amounts: int, currency: str = "USD") -> Offer:
    stages = [Stage(title="Stage", amount_minor=amount) for amount in amounts]
    return Offer(cover_letter="Hello.", bid=Money(bid_minor, currency), delivery_days=3, stages=stages)


@pytest.mark.parametrize(
    ("offer", "error"),
    [
        (offered(1000, currency="EUR"), Invalid),
        (offered(0), AmountOutOfBounds),
        (offered(-1), AmountOutOfBounds),
        (offered(MAX_MINOR + 1), AmountOutOfBounds),
        (offered(1000, 1000, 1), MilestonesMismatch),
        (offered(1000, 999), MilestonesMismatch),
        (offered(1000, 1500, -500), AmountOutOfBounds),
        (offered(1000, 1000, 0), AmountOutOfBounds),
        (offered(51, *[1] * 51), Invalid),
    ],
)
async def test_a_bid_that_makes_no_sense_is_refused(database: str, offer: Offer, error: type[Invalid]) -> None:
    project, freelancer = await factories.a_project(), await factories.a_freelancer()

    async with worlds.refused(error):
        await guard.commit(proposals.submit, project.id, offer, freelancer_id=freelancer.id)


async def test_the_largest_bid_and_fifty_stages_are_taken(database: str) -> None:
    project = await factories.a_project()
    first, second = await factories.a_freelancer(), await factories.a_freelancer()

    await guard.commit(proposals.submit, project.id, offered(MAX_MINOR), freelancer_id=first.id)
    await guard.commit(proposals.submit, project.id, offered(50, *[1] * 50), freelancer_id=second.id)


async def test_a_project_takes_so_many_proposals(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposals, "MAX_PROPOSALS", 2)
    market, late = await worlds.a_market(rivals=2), await factories.a_freelancer()

    async with worlds.refused(WrongState, "as many as a project takes"):
        await guard.commit(proposals.submit, market.project.id, factories.an_offer(), freelancer_id=late.id)


async def test_a_proposal_is_seen_by_its_two_sides_and_admins(database: str) -> None:
    market = await worlds.a_market(rivals=2)
    proposal = market.proposals[0]

    for user_id, admin in ((market.client.id, False), (market.freelancers[0].id, False), (999_999, True)):
        assert await proposals.read(proposal.id, user_id=user_id, admin=admin) == proposal
    for stranger in (market.freelancers[1], await factories.a_client()):
        with pytest.raises(NotFound):
            await proposals.read(proposal.id, user_id=stranger.id, admin=False)


async def test_a_client_lists_all_proposals_and_a_bidder_only_their_own(database: str) -> None:
    market = await worlds.a_market(rivals=3)
    ids = [one.id for one in market.proposals]

    async def listed(user_id: int) -> list[int]:
        found = await proposals.list_for_project(market.project.id, user_id=user_id, admin=False, before=None, limit=10)
        return [one.id for one in found]

    assert await listed(market.client.id) == ids[::-1]
    assert await listed(market.freelancers[1].id) == [ids[1]]
    assert await listed((await factories.a_freelancer()).id) == []
    mine = await proposals.list_own(market.freelancers[2].id, before=None, limit=10)
    assert [one.id for one in mine] == [ids[2]]


async def test_the_proposals_of_an_unseen_project_are_not_found(database: str) -> None:
    draft, stranger = await factories.a_project(open=False), await factories.a_client()

    with pytest.raises(NotFound):
        await proposals.list_for_project(draft.id, user_id=stranger.id, admin=False, before=None, limit=10)


async def test_acceptance_makes_the_contract_and_rejects_the_rest(database: str) -> None:
    market = await worlds.a_market(rivals=3)
    chosen, *rivals = market.proposals

    accepted = await guard.commit(acceptance.accept, chosen.id, client_id=market.client.id, policy=Policy(fee_bp=1250))

    assert accepted.status is ProposalStatus.ACCEPTED
    assert accepted.decided_at is not None
    project = await projects.read(market.project.id, user_id=market.client.id, admin=False)
    assert project.status is ProjectStatus.IN_PROGRESS
    for rival in rivals:
        known = await proposals.read(rival.id, user_id=rival.freelancer_id, admin=False)
        assert known.status is ProposalStatus.REJECTED
    assert accepted.contract_id is not None
    contract = await contracts.read(accepted.contract_id, user_id=market.client.id, admin=False)
    assert contract.status is ContractStatus.PENDING_SIGNATURE
    assert (contract.client_id, contract.freelancer_id) == (market.client.id, chosen.freelancer_id)
    assert (contract.amount, contract.fee_bp, contract.title) == (chosen.bid, 1250, market.project.title)
    assert (contract.project_id, contract.proposal_id) == (market.project.id, chosen.id)
    (only,) = await factories.milestones_of(contract)
    assert (only.title, only.amount) == (market.project.title, chosen.bid)


async def test_everybody_concerned_hears_of_an_acceptance_and_nobody_else(database: str) -> None:
    market = await worlds.a_market(rivals=2)
    chosen, rival = market.proposals
    bystander = await factories.a_freelancer()

    await guard.commit(acceptance.accept, chosen.id, client_id=market.client.id, policy=factories.POLICY)

    assert await worlds.told(chosen.freelancer_id) == ["proposal_accepted", "contract_created"]
    assert await worlds.told(rival.freelancer_id) == ["proposal_rejected"]
    assert (await worlds.told(market.client.id))[-1] == "contract_created"
    assert await worlds.mailed(chosen.freelancer_id) == ["proposal_accepted", "contract_created"]
    assert (await worlds.mailed(market.client.id))[-1] == "contract_created"
    assert await worlds.mailed(rival.freelancer_id) == []
    about_rival = [
        said for name, said in await worlds.heard(f"user:{rival.freelancer_id}") if name == "proposal_update"
    ]
    assert [said["proposal_id"] for said in about_rival] == [rival.id, rival.id]
    assert await worlds.heard(f"project:{market.project.id}") == [
        ("project_update", {"project_id": market.project.id, "status": "open"}),
        ("project_update", {"project_id": market.project.id, "status": "in_progress"}),
    ]
    assert await worlds.heard(f"user:{bystander.id}") == []


async def test_the_stages_of_the_proposal_become_the_milestones(database: str) -> None:
    offer = factories.an_offer("1500", stages=[("Design", "500.01"), ("Build", "999.99")])

    hire = await worlds.a_hire(signed=False, offer=offer)

    assert [(one.title, one.amount) for one in hire.milestones] == [
        ("Design", Money(50_001, "USD")),
        ("Build", Money(99_999, "USD")),
    ]


async def test_only_the_projects_client_accepts(database: str) -> None:
    market, other = await worlds.a_market(rivals=1), await factories.a_client()
    proposal = market.proposals[0]

    for stranger in (other.id, proposal.freelancer_id):
        async with worlds.refused(NotFound):
            await guard.commit(acceptance.accept, proposal.id, client_id=stranger, policy=factories.POLICY)
    async with worlds.refused(NotFound):
        await guard.commit(acceptance.accept, 999_999, client_id=market.client.id, policy=factories.POLICY)


async def test_a_second_acceptance_is_refused(database: str) -> None:
    market = await worlds.a_market(rivals=2)
    chosen, rival = market.proposals
    await guard.commit(acceptance.accept, chosen.id, client_id=market.client.id, policy=factories.POLICY)

    for proposal in (chosen, rival):
        async with worlds.refused(WrongState, "This project is in_progress"):
            await guard.commit(acceptance.accept, proposal.id, client_id=market.client.id, policy=factories.POLICY)


async def test_a_withdrawn_proposal_cannot_be_accepted(database: str) -> None:
    market = await worlds.a_market(rivals=1)
    await guard.rows("update proposals set status = 'withdrawn'")

    async with worlds.refused(WrongState, "This proposal is withdrawn"):
        await guard.commit(
            acceptance.accept, market.proposals[0].id, client_id=market.client.id, policy=factories.POLICY
        )
