"""Bids: what becomes of an offer that lies on the table, and who hears of it."""

from decimal import Decimal

import pytest
from msgspec.structs import replace

from models import bids, guard, proposals
from models.bids import Revision
from models.errors import (
    AmountTooPrecise,
    Invalid,
    MilestonesMismatch,
    NotAllowed,
    NotFound,
    WrongState,
)
from models.money import Money
from models.offers import Planned, Stage
from models.projects import BudgetType
from models.proposals import ProposalRow, ProposalStatus
from tests import factories, worlds


async def edit(proposal: ProposalRow, user_id: int | None = None, **changed: object) -> ProposalRow:
    revision = Revision(**changed)  # type: ignore[arg-type]
    return await guard.commit(bids.edit, proposal.id, revision, freelancer_id=user_id or proposal.freelancer_id)


async def updates(user_id: int) -> list[str]:
    return [said["status"] for name, said in await worlds.heard(f"user:{user_id}") if name == "proposal_update"]


async def test_a_freelancer_changes_their_offer_and_the_client_is_told(database: str) -> None:
    proposal = await factories.a_proposal(offer=factories.an_offer("300", stages=[("One", "100"), ("Two", "200")]))

    edited = await edit(proposal, cover_letter="Better.", delivery_days=3)
    cheaper = await edit(
        proposal, bid_amount=Decimal("250.50"), milestones=[Planned(title="All", amount=Decimal("250.5"))]
    )
    plain = await edit(proposal, milestones=[])

    assert (edited.cover_letter, edited.delivery_days, edited.bid) == ("Better.", 3, Money(30_000, "USD"))
    assert edited.stages == proposal.stages
    assert (cheaper.bid, cheaper.stages) == (Money(25_050, "USD"), [Stage(title="All", amount_minor=25_050)])
    assert (plain.bid, plain.stages) == (Money(25_050, "USD"), [])
    assert await updates(proposal.client_id) == ["submitted"] * 4
    assert await worlds.told(proposal.client_id) == ["proposal_received"]


async def test_a_change_that_makes_no_sense_is_refused(database: str) -> None:
    proposal = await factories.a_proposal(offer=factories.an_offer("300", stages=[("One", "100"), ("Two", "200")]))

    async with worlds.refused(MilestonesMismatch):
        await edit(proposal, bid_amount=Decimal(301))
    async with worlds.refused(AmountTooPrecise):
        await edit(proposal, bid_amount=Decimal("300.001"))
    async with worlds.refused(Invalid, "fixed budget"):
        await edit(proposal, weekly_hours=10)


async def test_only_its_freelancer_changes_or_withdraws_an_offer(database: str) -> None:
    market = await worlds.a_market(rivals=2)
    proposal, rival = market.proposals

    for user_id, error in ((market.client.id, NotAllowed), (rival.freelancer_id, NotFound)):
        async with worlds.refused(error):
            await edit(proposal, user_id, delivery_days=1)
        async with worlds.refused(error):
            await guard.commit(bids.withdraw, proposal.id, freelancer_id=user_id)
    for user_id, error in ((proposal.freelancer_id, NotAllowed), (rival.freelancer_id, NotFound)):
        async with worlds.refused(error):
            await guard.commit(bids.shortlist, proposal.id, client_id=user_id)
        async with worlds.refused(error):
            await guard.commit(bids.reject, proposal.id, client_id=user_id)
    async with worlds.refused(NotFound):
        await guard.commit(bids.withdraw, 999_999, freelancer_id=proposal.freelancer_id)


async def test_the_short_list_and_a_rejection_reach_the_freelancer(database: str) -> None:
    proposal = await factories.a_proposal()

    listed = await guard.commit(bids.shortlist, proposal.id, client_id=proposal.client_id)
    async with worlds.refused(WrongState, "This proposal is shortlisted"):
        await guard.commit(bids.shortlist, proposal.id, client_id=proposal.client_id)
    edited = await edit(proposal, delivery_days=2)
    rejected = await guard.commit(bids.reject, proposal.id, client_id=proposal.client_id, reason="Too slow.")

    assert (listed.status, listed.decided_at) == (ProposalStatus.SHORTLISTED, None)
    assert (edited.status, edited.delivery_days) == (ProposalStatus.SHORTLISTED, 2)
    assert rejected.status is ProposalStatus.REJECTED
    assert rejected.decided_at is not None
    assert await worlds.told(proposal.freelancer_id) == ["proposal_shortlisted", "proposal_rejected"]
    said = await guard.value("select message from notifications order by id desc limit 1")
    assert said == "The client has declined your proposal for “A shop for bicycles”. They say: Too slow."
    assert await worlds.mailed(proposal.freelancer_id) == []
    wanted = ["submitted", "shortlisted", "shortlisted", "rejected"]
    assert await updates(proposal.freelancer_id) == await updates(proposal.client_id) == wanted


async def test_a_rejection_needs_no_reason(database: str) -> None:
    proposal = await factories.a_proposal()

    await guard.commit(bids.reject, proposal.id, client_id=proposal.client_id)

    said = await guard.value("select message from notifications order by id desc limit 1")
    assert said == "The client has declined your proposal for “A shop for bicycles”."


@pytest.mark.parametrize("status", [ProposalStatus.ACCEPTED, ProposalStatus.REJECTED, ProposalStatus.WITHDRAWN])
async def test_nothing_becomes_of_an_offer_that_is_decided(database: str, status: ProposalStatus) -> None:
    proposal = await factories.a_proposal()
    await guard.rows("update proposals set status = $1", status.value)

    async with worlds.refused(WrongState, f"This proposal is {status.value}"):
        await edit(proposal, delivery_days=1)
    async with worlds.refused(WrongState, f"This proposal is {status.value}"):
        await guard.commit(bids.withdraw, proposal.id, freelancer_id=proposal.freelancer_id)
    for verb in (bids.shortlist, bids.reject):
        async with worlds.refused(WrongState, f"This proposal is {status.value}"):
            await guard.commit(verb, proposal.id, client_id=proposal.client_id)


async def test_a_withdrawn_offer_makes_room_for_a_new_one(database: str) -> None:
    proposal = await factories.a_proposal()

    gone = await guard.commit(bids.withdraw, proposal.id, freelancer_id=proposal.freelancer_id)
    again = await guard.commit(
        proposals.submit, proposal.project_id, factories.an_offer("900"), freelancer_id=proposal.freelancer_id
    )

    assert (gone.status, again.status) == (ProposalStatus.WITHDRAWN, ProposalStatus.SUBMITTED)


async def test_an_hourly_offer_is_of_hours_a_week_and_has_no_milestones(database: str) -> None:
    project = await factories.a_project(brief=replace(factories.a_brief(), budget_type=BudgetType.HOURLY))
    client_id = project.client_id

    made = await factories.a_proposal(project, offer=factories.an_offer("50"))
    capped = await factories.a_proposal(project, offer=replace(factories.an_offer("50"), weekly_hours=12))
    edited = await edit(made, weekly_hours=168)

    assert (made.weekly_hours, capped.weekly_hours, edited.weekly_hours) == (40, 12, 168)
    seen = await proposals.list_for_project(project.id, user_id=client_id, admin=False, before=None, limit=10)
    assert [one.budget_type for one in seen] == [BudgetType.HOURLY] * 2
    late = await factories.a_freelancer()
    for offer, said in (
        (factories.an_offer("50", stages=[("All", "50")]), "no milestones"),
        (replace(factories.an_offer("50"), weekly_hours=0), "1 to 168"),
        (replace(factories.an_offer("50"), weekly_hours=169), "1 to 168"),
    ):
        async with worlds.refused(Invalid, said):
            await guard.commit(proposals.submit, project.id, offer, freelancer_id=late.id)
    fixed = await factories.a_project()
    async with worlds.refused(Invalid, "fixed budget"):
        offer = replace(factories.an_offer(), weekly_hours=10)
        await guard.commit(proposals.submit, fixed.id, offer, freelancer_id=late.id)


async def test_a_proposal_moves_only_under_its_lock(database: str) -> None:
    proposal = await factories.a_proposal()

    with pytest.raises(AssertionError, match="is not locked"):
        await guard.commit(proposals.move, proposal, ProposalStatus.SHORTLISTED)
