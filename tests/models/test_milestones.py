"""Milestones: no work before funding, nothing off the table of states, and the end of a contract."""

from decimal import Decimal

import pytest

from models import contracts, guard, milestones, plans, projects
from models.contracts import ContractRow, ContractStatus
from models.errors import AmountOutOfBounds, AmountTooPrecise, NotAllowed, NotFound, WrongState
from models.locks import Noun, is_held
from models.milestones import MACHINE, MilestoneRow, MilestoneStatus
from models.money import MAX_MINOR, Money
from models.projects import ProjectStatus
from tests import factories, worlds


async def created(contract_id: int, client_id: int, amount: str = "250.00") -> MilestoneRow:
    return await guard.commit(
        plans.create,
        contract_id,
        client_id=client_id,
        title="Polish",
        description="",
        amount=Decimal(amount),
        due_date=None,
    )


async def complete(milestone_id: int) -> ContractRow:
    _, contract = await milestones.lock_with_contract(milestone_id, completes=True)
    return await milestones.complete_contract_if_done(contract)


def test_every_state_but_the_first_can_be_reached() -> None:
    assert {edge.target for edge in MACHINE.edges} == set(MilestoneStatus)


async def test_a_client_adds_a_milestone_and_both_hear_of_it(database: str) -> None:
    hire = await worlds.a_hire()

    made = await created(hire.contract.id, hire.client.id, "250.5")

    assert made.status is MilestoneStatus.PENDING
    assert made.amount == Money(25_050, "USD")
    update = ("milestone_update", {"milestone_id": made.id, "contract_id": hire.contract.id, "status": "pending"})
    for party in (hire.client, hire.freelancer):
        assert (await worlds.heard(f"user:{party.id}"))[-1] == update


async def test_the_amount_is_of_the_contracts_currency(database: str) -> None:
    contract = await factories.a_contract(offer=factories.an_offer("90000", currency="JPY"))

    assert (await created(contract.id, contract.client_id, "500")).amount == Money(500, "JPY")
    async with worlds.refused(AmountTooPrecise):
        await created(contract.id, contract.client_id, "500.5")


@pytest.mark.parametrize("amount", ["0", "-1", str(MAX_MINOR // 100 + 1)])
async def test_an_amount_out_of_bounds_is_refused(database: str, amount: str) -> None:
    contract = await factories.a_contract()

    async with worlds.refused(AmountOutOfBounds):
        await created(contract.id, contract.client_id, amount)


async def test_only_the_contracts_client_adds_milestones(database: str) -> None:
    hire, other = await worlds.a_hire(), await worlds.a_hire()

    async with worlds.refused(NotAllowed):
        await created(hire.contract.id, hire.freelancer.id)
    async with worlds.refused(NotFound):
        await created(hire.contract.id, other.client.id)
    async with worlds.refused(NotFound):
        await created(999_999, hire.client.id)


@pytest.mark.parametrize("status", [ContractStatus.COMPLETED, ContractStatus.CANCELLED])
async def test_a_contract_that_has_ended_takes_no_milestones(database: str, status: ContractStatus) -> None:
    contract = await factories.a_contract()
    await guard.rows("update contracts set status = $1", status.value)

    async with worlds.refused(WrongState, f"This contract is {status.value}"):
        await created(contract.id, contract.client_id)


async def test_a_contract_takes_so_many_milestones(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "MAX_STAGES", 2)
    contract = await factories.a_contract()
    await created(contract.id, contract.client_id)

    async with worlds.refused(WrongState, "as many as a contract takes"):
        await created(contract.id, contract.client_id)


async def test_a_funded_milestone_is_delivered(database: str) -> None:
    hire = await worlds.a_hire()
    milestone = await factories.walked(hire.milestones[0], MilestoneStatus.FUNDED)

    delivered = await guard.commit(
        milestones.submit, milestone.id, freelancer_id=hire.freelancer.id, note="Here it is."
    )

    assert delivered.status is MilestoneStatus.SUBMITTED
    assert delivered.delivery_note == "Here it is."
    assert delivered.submitted_at is not None
    assert (await worlds.told(hire.client.id))[-1] == "milestone_submitted"
    assert (await worlds.mailed(hire.client.id))[-1] == "milestone_completed"
    assert [
        said["status"] for name, said in await worlds.heard(f"user:{hire.freelancer.id}") if name == "milestone_update"
    ] == [
        "pending",
        "funding",
        "funded",
        "submitted",
    ]


@pytest.mark.parametrize("status", [one for one in MilestoneStatus if not MACHINE.may(one, "submit")])
async def test_nothing_but_a_funded_milestone_is_delivered(database: str, status: MilestoneStatus) -> None:
    hire = await worlds.a_hire()
    milestone = await factories.walked(hire.milestones[0], status)

    async with worlds.refused(WrongState, f"This milestone is {status.value}"):
        await guard.commit(milestones.submit, milestone.id, freelancer_id=hire.freelancer.id, note="Here.")


async def test_only_the_contracts_freelancer_delivers(database: str) -> None:
    hire, other = await worlds.a_hire(), await worlds.a_hire()
    milestone = await factories.walked(hire.milestones[0], MilestoneStatus.FUNDED)

    async with worlds.refused(NotAllowed):
        await guard.commit(milestones.submit, milestone.id, freelancer_id=hire.client.id, note="Here.")
    async with worlds.refused(NotFound):
        await guard.commit(milestones.submit, milestone.id, freelancer_id=other.freelancer.id, note="Here.")
    async with worlds.refused(NotFound):
        await guard.commit(milestones.submit, 999_999, freelancer_id=hire.freelancer.id, note="Here.")


async def test_a_milestone_goes_no_way_that_is_not_listed(database: str) -> None:
    milestone = await factories.a_milestone()
    listed = {(edge.source, edge.target) for edge in MACHINE.edges}

    async def try_all() -> set[tuple[MilestoneStatus, MilestoneStatus]]:
        locked, contract = await milestones.lock_with_contract(milestone.id)
        went = set()
        for source in MilestoneStatus:
            await guard.rows("update milestones set status = $1 where id = $2", source.value, milestone.id)
            standing = await milestones.read(milestone.id, user_id=contract.client_id, admin=False)
            for target in MilestoneStatus:
                try:
                    await milestones.move(standing, contract, target)
                except WrongState:
                    continue
                went.add((source, target))
        assert locked.id == milestone.id
        return went

    assert await guard.commit(try_all) == listed


async def test_a_milestone_is_locked_below_its_contract_and_project(database: str) -> None:
    milestone = await factories.a_milestone()

    async def held() -> list[bool]:
        locked, contract = await milestones.lock_with_contract(milestone.id)
        wanted = ((Noun.PROJECT, contract.project_id), (Noun.CONTRACT, contract.id), (Noun.MILESTONE, locked.id))
        return [is_held(noun, one) for noun, one in wanted]

    assert await guard.commit(held) == [True, True, True]
    with pytest.raises(NotFound):
        await guard.commit(milestones.lock_with_contract, 999_999)


async def test_a_milestone_moves_only_under_its_lock(database: str) -> None:
    hire = await worlds.a_hire()

    with pytest.raises(AssertionError, match="is not locked"):
        await guard.commit(milestones.move, hire.milestones[0], hire.contract, MilestoneStatus.FUNDING)


async def test_a_contract_is_completed_with_its_last_milestone(database: str) -> None:
    hire = await worlds.a_hire(offer=factories.an_offer("300", stages=[("One", "100"), ("Two", "200")]))
    one, two = hire.milestones
    await factories.walked(one, MilestoneStatus.RELEASED)

    async with worlds.unmoved():
        assert (await guard.commit(complete, one.id)).status is ContractStatus.ACTIVE
    await factories.walked(two, MilestoneStatus.CANCELLED)
    completed = await guard.commit(complete, one.id)

    assert completed.status is ContractStatus.COMPLETED
    assert completed.completed_at is not None
    project = await projects.read(hire.contract.project_id, user_id=hire.client.id, admin=False)
    assert project.status is ProjectStatus.COMPLETED
    assert (await worlds.heard(f"project:{project.id}"))[-1][1]["status"] == "completed"
    async with worlds.unmoved():
        await guard.commit(complete, one.id)


async def test_a_contract_cannot_be_completed_without_the_locks(database: str) -> None:
    contract = await factories.a_contract()

    async def unlocked() -> None:
        await milestones.complete_contract_if_done(await contracts.locked(contract.id))

    with pytest.raises(AssertionError, match="is not locked"):
        await guard.commit(unlocked)


async def test_milestones_are_seen_by_both_parties_and_admins(database: str) -> None:
    hire, other = await worlds.a_hire(), await worlds.a_hire()
    (milestone,) = hire.milestones

    for user_id, admin in ((hire.client.id, False), (hire.freelancer.id, False), (999_999, True)):
        assert await milestones.read(milestone.id, user_id=user_id, admin=admin) == milestone
    for stranger in (other.client, other.freelancer):
        with pytest.raises(NotFound):
            await milestones.read(milestone.id, user_id=stranger.id, admin=False)
        with pytest.raises(NotFound):
            await milestones.list_by_contract(hire.contract.id, user_id=stranger.id, admin=False, after=None, limit=10)


async def test_milestones_are_listed_in_their_order(database: str) -> None:
    hire = await worlds.a_hire(
        offer=factories.an_offer("300", stages=[("One", "100"), ("Two", "100"), ("Three", "100")])
    )

    async def listed(after: int | None, limit: int) -> list[str]:
        found = await milestones.list_by_contract(
            hire.contract.id, user_id=hire.freelancer.id, admin=False, after=after, limit=limit
        )
        return [one.title for one in found]

    assert await listed(None, 2) == ["One", "Two"]
    assert await listed(hire.milestones[1].id, 2) == ["Three"]
    assert await listed(hire.milestones[2].id, 2) == []
