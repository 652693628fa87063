"""Contracts: two signatures, and nobody else's eyes."""

import pytest

from models import contracts, guard
from models.contracts import MACHINE, ContractStatus
from models.errors import NotFound, PayoutsNotReady, WrongState
from tests import factories, worlds


def test_every_state_but_the_first_can_be_reached() -> None:
    assert {edge.target for edge in MACHINE.edges} == set(ContractStatus) - {ContractStatus.PENDING_SIGNATURE}


async def test_a_contract_is_active_once_both_have_signed(database: str) -> None:
    hire = await worlds.a_hire(signed=False)

    first = await guard.commit(contracts.sign, hire.contract.id, user_id=hire.freelancer.id)
    second = await guard.commit(contracts.sign, hire.contract.id, user_id=hire.client.id)

    assert first.status is ContractStatus.PENDING_SIGNATURE
    assert first.freelancer_signed_at is not None
    assert first.client_signed_at is None
    assert second.status is ContractStatus.ACTIVE
    assert second.freelancer_signed_at == first.freelancer_signed_at
    assert second.client_signed_at is not None
    assert (await worlds.told(hire.client.id))[-1] == "contract_signed"
    assert (await worlds.told(hire.freelancer.id))[-1] == "contract_signed"


async def test_signing_again_changes_nothing(database: str) -> None:
    hire = await worlds.a_hire(signed=False)
    once = await guard.commit(contracts.sign, hire.contract.id, user_id=hire.client.id)

    async with worlds.unmoved():
        again = await guard.commit(contracts.sign, hire.contract.id, user_id=hire.client.id)

    assert again == once


async def test_a_freelancer_without_a_payout_account_cannot_sign(database: str) -> None:
    hire = await worlds.a_hire(signed=False, payouts_ready=False)

    async with worlds.refused(PayoutsNotReady):
        await guard.commit(contracts.sign, hire.contract.id, user_id=hire.freelancer.id)

    await guard.rows("update users set payouts_ready = true where id = $1", hire.freelancer.id)
    await guard.commit(contracts.sign, hire.contract.id, user_id=hire.freelancer.id)


async def test_a_client_needs_no_payout_account(database: str) -> None:
    hire = await worlds.a_hire(signed=False, payouts_ready=False)

    signed = await guard.commit(contracts.sign, hire.contract.id, user_id=hire.client.id)

    assert signed.client_signed_at is not None


async def test_a_stranger_neither_signs_nor_sees(database: str) -> None:
    hire, other = await worlds.a_hire(signed=False), await worlds.a_hire()

    for stranger in (other.client, other.freelancer, await factories.an_admin()):
        async with worlds.refused(NotFound):
            await guard.commit(contracts.sign, hire.contract.id, user_id=stranger.id)
        with pytest.raises(NotFound):
            await contracts.read(hire.contract.id, user_id=stranger.id, admin=False)
    async with worlds.refused(NotFound):
        await guard.commit(contracts.sign, 999_999, user_id=hire.client.id)


async def test_a_cancelled_contract_cannot_be_signed(database: str) -> None:
    hire = await worlds.a_hire(signed=False)
    await guard.rows("update contracts set status = 'cancelled'")

    async with worlds.refused(WrongState, "This contract is cancelled"):
        await guard.commit(contracts.sign, hire.contract.id, user_id=hire.client.id)


async def test_both_parties_and_admins_see_a_contract_with_both_names(database: str) -> None:
    hire = await worlds.a_hire()

    for user_id, admin in ((hire.client.id, False), (hire.freelancer.id, False), (999_999, True)):
        seen = await contracts.read(hire.contract.id, user_id=user_id, admin=admin)
        assert (seen.client_name, seen.freelancer_name) == ("Clara Client", "Frida Freelancer")


async def test_own_contracts_are_listed_newest_first(database: str) -> None:
    client, freelancer = await factories.a_client(), await factories.a_freelancer()
    older = await factories.a_contract(client, freelancer)
    newer = await factories.a_contract(client, signed=False)
    await factories.a_contract()

    async def listed(user_id: int, status: ContractStatus | None = None) -> list[int]:
        return [one.id for one in await contracts.list_own(user_id, status=status, before=None, limit=10)]

    assert await listed(client.id) == [newer.id, older.id]
    assert await listed(freelancer.id) == [older.id]
    assert await listed(client.id, ContractStatus.ACTIVE) == [older.id]
    page = await contracts.list_own(client.id, status=None, before=newer.id, limit=10)
    assert [one.id for one in page] == [older.id]
