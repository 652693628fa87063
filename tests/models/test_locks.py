"""Locks are taken in one order, or not at all."""

import asyncio

import asyncpg
import pytest

from models import guard, locks
from models.errors import NotFound
from models.locks import Noun, lock
from tests import factories, worlds


async def in_order(*steps: tuple[Noun, tuple[int, ...]]) -> None:
    for noun, ids in steps:
        await lock(noun, *ids)


async def test_locks_are_taken_from_account_to_milestone(database: str) -> None:
    hire = await worlds.a_hire()
    contract, milestone = hire.contract, hire.milestones[0]

    await guard.commit(
        in_order,
        (Noun.ACCOUNT, (hire.client.id, hire.freelancer.id)),
        (Noun.PROJECT, (contract.project_id,)),
        (Noun.PROPOSAL, (contract.proposal_id,)),
        (Noun.CONTRACT, (contract.id,)),
        (Noun.MILESTONE, (milestone.id,)),
    )


async def test_a_noun_out_of_order_fails_without_a_rival(database: str) -> None:
    contract = await factories.a_contract()

    with pytest.raises(AssertionError, match=f"project {contract.project_id} is locked after contract {contract.id}"):
        await guard.commit(in_order, (Noun.CONTRACT, (contract.id,)), (Noun.PROJECT, (contract.project_id,)))


async def test_a_smaller_id_after_a_larger_one_fails(database: str) -> None:
    first, second = await factories.a_project(), await factories.a_project()

    with pytest.raises(AssertionError, match="is locked after"):
        await guard.commit(in_order, (Noun.PROJECT, (second.id,)), (Noun.PROJECT, (first.id,)))


async def test_ids_of_one_call_may_come_in_any_order(database: str) -> None:
    first, second = await factories.a_project(), await factories.a_project()

    await guard.commit(in_order, (Noun.PROJECT, (second.id, first.id, second.id)))


async def test_what_is_held_may_be_locked_again(database: str) -> None:
    contract = await factories.a_contract()

    await guard.commit(
        in_order,
        (Noun.PROJECT, (contract.project_id,)),
        (Noun.CONTRACT, (contract.id,)),
        (Noun.PROJECT, (contract.project_id,)),
    )


async def test_what_is_not_there_cannot_be_locked(database: str) -> None:
    project = await factories.a_project()

    with pytest.raises(NotFound, match="There is no project 999999"):
        await guard.commit(in_order, (Noun.PROJECT, (project.id, 999_999)))


async def test_locks_need_a_transaction(database: str) -> None:
    project = await factories.a_project()

    with pytest.raises(AssertionError, match="outside a transaction"):
        await lock(Noun.PROJECT, project.id)


async def test_a_lock_ends_with_its_transaction(database: str) -> None:
    project = await factories.a_project()

    async def held() -> bool:
        return locks.is_held(Noun.PROJECT, project.id)

    await guard.commit(in_order, (Noun.PROJECT, (project.id,)))

    assert not await guard.commit(held)


async def test_a_locked_row_waits_for_writers_and_lets_children_in(database: str) -> None:
    project = await factories.a_project()
    freelancer = await factories.a_freelancer()
    rival = await asyncpg.connect(database)
    try:
        async with guard.transaction():
            await lock(Noun.PROJECT, project.id)
            with pytest.raises(asyncpg.LockNotAvailableError):
                await rival.execute("select 1 from projects where id = $1 for no key update nowait", project.id)
            # A row that refers to the locked one asks only that it stays: it need not wait.
            await asyncio.wait_for(
                rival.execute(
                    """insert into proposals (project, freelancer, bid_minor, delivery_days, currency)
                       values ($1, $2, 100, 1, 'USD')""",
                    project.id,
                    freelancer.id,
                ),
                timeout=5,
            )
    finally:
        await rival.close()
