"""How contracts end: completed or cancelled, with their project, once nothing of them is open."""

from datetime import UTC, date, datetime, timedelta

import pytest
from msgspec.structs import replace

from models import acceptance, business_time, cancellation, completion, contracts, guard, milestones, projects
from models.contracts import ContractRow, ContractStatus
from models.errors import NotFound, RoleNotAllowed, WrongState
from models.milestones import MilestoneStatus
from models.money import Money
from models.projects import BudgetType, ProjectStatus
from tests import clock, factories, worlds
from tests.worlds import Hire


async def an_hourly_hire(*, signed: bool = True) -> Hire:
    """A contract over 50 USD an hour and 20 hours a week, with a client in Berlin."""
    client, freelancer = await factories.a_client(), await factories.a_freelancer()
    await guard.rows("update users set time_zone = 'Europe/Berlin' where id = $1", client.id)
    project = await factories.a_project(client, brief=replace(factories.a_brief(), budget_type=BudgetType.HOURLY))
    offer = replace(factories.an_offer("50"), weekly_hours=20)
    proposal = await factories.a_proposal(project, freelancer, offer=offer)
    done = await guard.commit(acceptance.accept, proposal.id, client_id=client.id, policy=factories.POLICY)
    assert done.contract_id is not None
    if signed:
        await guard.commit(contracts.sign, done.contract_id, user_id=client.id)
        await guard.commit(contracts.sign, done.contract_id, user_id=freelancer.id)
    contract = await contracts.read(done.contract_id, user_id=client.id, admin=False)
    return Hire(client, freelancer, contract, [])


async def worked(contract: ContractRow, *, week: str, entry: str) -> None:
    """An hour in a week, both as they are said to stand."""
    week_id = await guard.value(
        "insert into time_weeks (contract, monday, status) values ($1, $2, $3) returning id",
        contract.id,
        date(2026, 11, 16),
        week,
    )
    began = datetime(2026, 11, 16, 9, tzinfo=UTC)
    await guard.rows(
        """insert into time_entries (contract, project, freelancer, week, started_at, ended_at, description, status)
           values ($1, $2, $3, $4, $5, $6, 'Work.', $7)""",
        contract.id,
        contract.project_id,
        contract.freelancer_id,
        week_id,
        began,
        None if entry == "running" else began + timedelta(hours=1),
        entry,
    )


async def complete(hire: Hire, user_id: int | None = None) -> ContractRow:
    return await guard.commit(completion.complete, hire.contract.id, client_id=user_id or hire.client.id)


async def cancel(hire: Hire, user_id: int | None = None) -> ContractRow:
    return await guard.commit(
        cancellation.cancel, hire.contract.id, user_id=user_id or hire.client.id, reason="Plans have changed."
    )


async def project_of(hire: Hire) -> ProjectStatus:
    return (await projects.read(hire.contract.project_id, user_id=hire.client.id, admin=False)).status


async def test_an_hourly_contract_has_a_rate_a_cap_and_weeks_of_its_client(database: str) -> None:
    hire = await an_hourly_hire()

    assert hire.contract.budget_type is BudgetType.HOURLY
    assert hire.contract.amount == Money(5_000, "USD")
    assert (hire.contract.weekly_cap_minutes, hire.contract.time_zone) == (1200, "Europe/Berlin")
    assert await factories.milestones_of(hire.contract) == []
    said = await guard.value("select message from notifications where type = 'contract_created' limit 1")
    assert said == "The contract for “A shop for bicycles” at 50.00 USD an hour waits for both signatures."


async def test_an_hourly_contract_is_never_completed_by_itself(database: str) -> None:
    hire = await an_hourly_hire()

    async def complete_if_done() -> ContractRow:
        contract = await contracts.locked_with_project(hire.contract.id)
        return await milestones.complete_contract_if_done(contract)

    async with worlds.unmoved():
        assert (await guard.commit(complete_if_done)).status is ContractStatus.ACTIVE


async def test_a_client_completes_an_hourly_contract_and_both_may_review(database: str) -> None:
    hire = await an_hourly_hire()
    await worked(hire.contract, week="approved", entry="approved")
    await clock.ahead(days=3)

    completed = await complete(hire)

    assert completed.status is ContractStatus.COMPLETED
    assert completed.completed_at is not None
    assert await project_of(hire) is ProjectStatus.COMPLETED
    (timer,) = await guard.rows("select kind, subject_id, due_at from timers")
    assert (timer["kind"], timer["subject_id"]) == ("contract.reviews", hire.contract.id)
    left = timer["due_at"] - await business_time.now()
    assert timedelta(days=14) - timedelta(minutes=1) < left <= timedelta(days=14)
    assert abs(completed.completed_at + timedelta(days=14) - timer["due_at"]) < timedelta(seconds=5)
    for party in (hire.client, hire.freelancer):
        assert (await worlds.told(party.id))[-1] == "contract_completed"
    counted = await guard.value("select completed_contracts from users where id = $1", hire.freelancer.id)
    assert counted == 1
    async with worlds.refused(WrongState, "This contract is completed"):
        await complete(hire)
    async with worlds.refused(WrongState, "This contract is completed"):
        await cancel(hire)


@pytest.mark.parametrize(
    ("week", "entry"),
    [
        ("open", "running"),
        ("open", "draft"),
        ("open", "rejected"),
        ("in_review", "submitted"),
        ("in_review", "approved"),
    ],
)
async def test_hours_that_are_not_decided_keep_a_contract_open(database: str, week: str, entry: str) -> None:
    hire = await an_hourly_hire()
    await worked(hire.contract, week=week, entry=entry)

    async with worlds.refused(WrongState, "hours that are not decided"):
        await complete(hire)


@pytest.mark.parametrize("week", ["approved", "billed"])
async def test_a_draft_that_was_left_out_of_its_week_keeps_no_contract_open(database: str, week: str) -> None:
    hire = await an_hourly_hire()
    await worked(hire.contract, week=week, entry="draft")

    if week == "billed":
        assert (await cancel(hire)).status is ContractStatus.CANCELLED
    else:
        assert (await complete(hire)).status is ContractStatus.COMPLETED


async def test_a_fixed_contract_is_completed_once_something_was_released_and_nothing_is_open(database: str) -> None:
    hire = await worlds.a_hire(offer=factories.an_offer("300", stages=[("One", "100"), ("Two", "200")]))
    one, two = hire.milestones

    async with worlds.refused(WrongState, "open milestones: 2"):
        await complete(hire)
    await factories.walked(one, MilestoneStatus.RELEASED)
    async with worlds.refused(WrongState, "open milestones: 1"):
        await complete(hire)
    await factories.walked(two, MilestoneStatus.CANCELLED)

    assert (await complete(hire)).status is ContractStatus.COMPLETED
    assert await project_of(hire) is ProjectStatus.COMPLETED


async def test_a_contract_of_which_nothing_was_released_is_cancelled_instead(database: str) -> None:
    hire = await worlds.a_hire()
    await factories.walked(hire.milestones[0], MilestoneStatus.CANCELLED)

    async with worlds.refused(WrongState, "cancel it instead"):
        await complete(hire)

    assert (await cancel(hire)).status is ContractStatus.CANCELLED


async def test_who_may_not_end_a_contract(database: str) -> None:
    hire, other = await worlds.a_hire(), await worlds.a_hire()

    async with worlds.refused(RoleNotAllowed):
        await complete(hire, hire.freelancer.id)
    for stranger in (other.client.id, other.freelancer.id):
        async with worlds.refused(NotFound):
            await complete(hire, stranger)
        async with worlds.refused(NotFound):
            await cancel(hire, stranger)
    async with worlds.refused(NotFound):
        await guard.commit(completion.complete, 999_999, client_id=hire.client.id)
    unsigned = await worlds.a_hire(signed=False)
    async with worlds.refused(WrongState, "This contract is pending_signature"):
        await complete(unsigned)


@pytest.mark.parametrize("signed", [True, False])
async def test_either_party_cancels_while_no_money_hangs_on_it(database: str, *, signed: bool) -> None:
    hire = await worlds.a_hire(signed=signed)

    ended = await cancel(hire, hire.freelancer.id)

    assert (ended.status, ended.cancelled_because) == (ContractStatus.CANCELLED, "Plans have changed.")
    assert ended.cancelled_at is not None
    assert ended.completed_at is None
    assert [one.status for one in await factories.milestones_of(ended)] == [MilestoneStatus.CANCELLED]
    assert await project_of(hire) is ProjectStatus.CANCELLED
    assert (await worlds.told(hire.client.id))[-1] == "contract_cancelled"
    assert (await worlds.mailed(hire.client.id))[-1] == "contract_cancelled"
    assert "contract_cancelled" not in await worlds.told(hire.freelancer.id)
    heard = [(name, said["status"]) for name, said in await worlds.heard(f"user:{hire.client.id}") if "status" in said]
    assert heard[-1] == ("milestone_update", "cancelled")
    assert (await worlds.heard(f"project:{hire.contract.project_id}"))[-1][1]["status"] == "cancelled"
    async with worlds.refused(WrongState, "This contract is cancelled"):
        await cancel(hire)


@pytest.mark.parametrize("status", cancellation.HOLDING)
async def test_a_contract_with_money_on_it_is_not_cancelled(database: str, status: MilestoneStatus) -> None:
    hire = await worlds.a_hire()
    await factories.walked(hire.milestones[0], status)

    async with worlds.refused(WrongState, "Money hangs on milestones of this contract: 1"):
        await cancel(hire)
    disputed = await contracts.read(hire.contract.id, user_id=hire.client.id, admin=False)
    assert disputed.is_disputed is (status is MilestoneStatus.DISPUTED)


@pytest.mark.parametrize(
    ("week", "entry", "owed"),
    [
        ("open", "draft", True),
        ("open", "rejected", False),
        ("in_review", "rejected", True),
        ("approved", "approved", True),
        ("billed", "invoiced", False),
    ],
)
async def test_a_contract_with_unpaid_hours_is_not_cancelled(
    database: str, *, week: str, entry: str, owed: bool
) -> None:
    hire = await an_hourly_hire()
    await worked(hire.contract, week=week, entry=entry)

    if not owed:
        assert (await cancel(hire)).status is ContractStatus.CANCELLED
        return
    async with worlds.refused(WrongState, "hours that are not paid"):
        await cancel(hire)
