"""The end of a contract beside whoever holds its freelancer's account: one waits for the other, and never both."""

import asyncio

import pytest

from models import completion, contracts, guard, milestones, time_clocks
from models.contracts import ContractRow, ContractStatus
from tests import hourly, worlds
from tests.races.rivals import behind


async def completed_by_client(contract: ContractRow) -> ContractRow:
    # Not by `guard.commit`, which begins anew after a deadlock and so hides it.
    async with guard.transaction():
        return await completion.complete(contract.id, client_id=contract.client_id)


async def test_whoever_works_and_whoever_completes_wait_for_each_other_in_one_order(database: str) -> None:
    contract = await hourly.a_contract()

    async def work() -> None:
        await contracts.locked(contract.id)

    ended = await behind(contract.freelancer_id, work, completed_by_client(contract))

    assert isinstance(ended, ContractRow), ended
    assert ended.status is ContractStatus.COMPLETED


async def test_a_clock_and_a_completion_at_once_leave_no_clock_under_an_ended_contract(database: str) -> None:
    for _ in range(5):
        contract = await hourly.a_contract()

        await asyncio.gather(
            guard.commit(
                time_clocks.start,
                contract.id,
                freelancer_id=contract.freelancer_id,
                description="",
                is_billable=True,
            ),
            guard.commit(completion.complete, contract.id, client_id=contract.client_id),
            return_exceptions=True,
        )

        status = await guard.value("select status from contracts where id = $1", contract.id)
        running = await guard.value("select count(*) from time_entries where contract = $1", contract.id)
        assert (status, running) in {("completed", 0), ("active", 1)}


async def test_what_counts_a_completed_contract_has_locked_the_account_before(database: str) -> None:
    hire = await worlds.a_hire()

    async def out_of_order() -> None:
        await milestones.lock_with_contract(hire.milestones[0].id)
        await completion.finish(await contracts.locked(hire.contract.id))

    with pytest.raises(AssertionError, match="account"):
        await guard.commit(out_of_order)
