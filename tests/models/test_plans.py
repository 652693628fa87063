"""Plans: a milestone's words and price before it is paid, and what a delivery lacks."""

from datetime import date
from decimal import Decimal

import pytest
from msgspec.structs import replace

from models import guard, milestones, plans
from models.errors import AmountOutOfBounds, AmountTooPrecise, NotAllowed, NotFound, UploadNotReady, WrongState
from models.milestones import MACHINE, MilestoneRow, MilestoneStatus
from models.money import Money
from models.plans import Amendment
from tests import factories, worlds
from tests.models.test_endings import an_hourly_hire
from tests.worlds import Hire


async def edit(hire: Hire, user_id: int | None = None, **changed: object) -> MilestoneRow:
    amendment = Amendment(**changed)  # type: ignore[arg-type]
    return await guard.commit(plans.edit, hire.milestones[0].id, amendment, client_id=user_id or hire.client.id)


async def give_back(hire: Hire, user_id: int | None = None) -> MilestoneRow:
    return await guard.commit(
        plans.request_changes, hire.milestones[0].id, client_id=user_id or hire.client.id, note="Bigger, please."
    )


async def deliver(hire: Hire, *attachment_ids: int) -> MilestoneRow:
    return await guard.commit(
        milestones.submit,
        hire.milestones[0].id,
        freelancer_id=hire.freelancer.id,
        note="Here.",
        attachment_ids=attachment_ids,
    )


async def a_file(owner_id: int, *, purpose: str = "deliverable", status: str = "ready") -> int:
    found: int = await guard.value(
        """insert into uploads ("user", purpose, filename, content_type, size_bytes, object_key, status)
           values ($1, $2, 'a.pdf', 'application/pdf', 7, gen_random_uuid()::text, $3) returning id""",
        owner_id,
        purpose,
        status,
    )
    return found


async def test_a_client_changes_a_plan_and_both_hear_of_it(database: str) -> None:
    hire = await worlds.a_hire()

    dated = await edit(hire, title="Polish", due_date=date(2031, 1, 31), keeps_due_date=False)
    priced = await edit(hire, amount=Decimal("250.5"), description="Shine.")
    open_ended = await edit(hire, keeps_due_date=False)

    assert (dated.title, dated.due_date, dated.amount) == ("Polish", date(2031, 1, 31), hire.milestones[0].amount)
    assert (priced.title, priced.due_date, priced.description) == ("Polish", date(2031, 1, 31), "Shine.")
    assert priced.amount == Money(25_050, "USD")
    assert open_ended == replace(priced, due_date=None)
    for party in (hire.client, hire.freelancer):
        heard = await worlds.heard(f"user:{party.id}")
        assert [said["status"] for name, said in heard if name == "milestone_update"] == ["pending"] * 4
    async with worlds.refused(AmountOutOfBounds):
        await edit(hire, amount=Decimal(0))
    async with worlds.refused(AmountTooPrecise):
        await edit(hire, amount=Decimal("0.001"))


@pytest.mark.parametrize("status", [one for one in MilestoneStatus if one is not MilestoneStatus.PENDING])
async def test_a_plan_is_not_changed_once_it_is_paid(database: str, status: MilestoneStatus) -> None:
    hire = await worlds.a_hire()
    await factories.walked(hire.milestones[0], status)

    async with worlds.refused(WrongState, f"{status.value}: edits are refused after funding"):
        await edit(hire, title="Cheaper")
    async with worlds.refused(WrongState, f"This milestone is {status.value}"):
        await guard.commit(plans.cancel, hire.milestones[0].id, client_id=hire.client.id)
    if not MACHINE.may(status, "request_changes"):
        async with worlds.refused(WrongState, f"This milestone is {status.value}"):
            await give_back(hire)


async def test_only_the_contracts_client_changes_plans_and_gives_back(database: str) -> None:
    hire, other = await worlds.a_hire(), await worlds.a_hire()

    for user_id, error in ((hire.freelancer.id, NotAllowed), (other.client.id, NotFound)):
        async with worlds.refused(error):
            await edit(hire, user_id, title="Mine")
        async with worlds.refused(error):
            await guard.commit(plans.cancel, hire.milestones[0].id, client_id=user_id)
        async with worlds.refused(error):
            await give_back(hire, user_id)
    cancelled = await guard.commit(plans.cancel, hire.milestones[0].id, client_id=hire.client.id)
    assert cancelled.status is MilestoneStatus.CANCELLED


async def test_an_hourly_contract_takes_no_milestones(database: str) -> None:
    hire = await an_hourly_hire()

    async with worlds.refused(WrongState, "This contract is hourly"):
        await guard.commit(
            plans.create,
            hire.contract.id,
            client_id=hire.client.id,
            title="Polish",
            description="",
            amount=Decimal(5),
            due_date=None,
        )


async def test_a_delivery_is_given_back_and_comes_again(database: str) -> None:
    hire = await worlds.a_hire()
    await factories.walked(hire.milestones[0], MilestoneStatus.FUNDED)
    first = await deliver(hire)

    wanting = await give_back(hire)
    second = await deliver(hire)
    again = await give_back(hire)

    assert first.approves_at is not None
    assert (wanting.status, wanting.change_note, wanting.approves_at) == ("changes_requested", "Bigger, please.", None)
    assert (second.status, second.change_note) == ("submitted", "Bigger, please.")
    assert second.submitted_at is not None
    assert first.submitted_at is not None
    assert second.submitted_at > first.submitted_at
    assert again.status is MilestoneStatus.CHANGES_REQUESTED
    assert (await worlds.told(hire.freelancer.id))[-2:] == ["changes_requested"] * 2
    assert (await worlds.mailed(hire.freelancer.id))[-2:] == ["changes_requested"] * 2
    assert (await worlds.told(hire.client.id))[-2:] == ["milestone_submitted"] * 2
    assert (await worlds.mailed(hire.client.id))[-2:] == ["milestone_completed"] * 2
    assert await guard.rows("select * from timers") == []


async def test_files_of_a_delivery_are_ones_own_good_deliverables(database: str) -> None:
    hire = await worlds.a_hire()
    await factories.walked(hire.milestones[0], MilestoneStatus.FUNDED)
    mine = hire.freelancer.id
    good, better = await a_file(mine), await a_file(mine)
    bad = [
        await a_file(hire.client.id),
        await a_file(mine, purpose="portfolio"),
        await a_file(mine, status="checking"),
        await a_file(mine, status="refused"),
        999_999,
    ]

    for one in bad:
        async with worlds.refused(UploadNotReady):
            await deliver(hire, good, one)

    assert (await deliver(hire, better, good, better)).attachment_ids == [better, good]
