"""Two clicks at once: one freelancer is hired, and nobody is left waiting for an answer."""

import asyncio

import pytest

from models import acceptance, contracts, guard, proposals
from models.errors import WrongState
from models.proposals import ProposalRow
from tests import factories, worlds


async def statuses(project_id: int) -> list[str]:
    found = await guard.rows("select status from proposals where project = $1 order by status", project_id)
    return [one["status"] for one in found]


async def test_two_rivals_accepted_at_once_make_one_contract(database: str) -> None:
    for _ in range(5):
        market = await worlds.a_market(rivals=4)

        answers = await asyncio.gather(
            *(
                guard.commit(acceptance.accept, one.id, client_id=market.client.id, policy=factories.POLICY)
                for one in market.proposals
            ),
            return_exceptions=True,
        )

        won = [one for one in answers if isinstance(one, ProposalRow)]
        lost = [one for one in answers if isinstance(one, WrongState)]
        assert (len(won), len(lost)) == (1, 3)
        assert await statuses(market.project.id) == ["accepted", "rejected", "rejected", "rejected"]
        counted = await guard.only(
            """select count(distinct c.id) as contracts, count(m.id) as milestones
                 from contracts c join milestones m on m.contract = c.id where c.project = $1""",
            market.project.id,
        )
        assert dict(counted) == {"contracts": 1, "milestones": 1}
        assert (await worlds.told(market.client.id)).count("contract_created") == 1


async def test_the_same_proposal_accepted_twice_at_once_is_accepted_once(database: str) -> None:
    market = await worlds.a_market(rivals=1)

    answers = await asyncio.gather(
        *(
            guard.commit(acceptance.accept, market.proposals[0].id, client_id=market.client.id, policy=factories.POLICY)
            for _ in range(4)
        ),
        return_exceptions=True,
    )

    assert sum(isinstance(one, ProposalRow) for one in answers) == 1
    assert sum(isinstance(one, WrongState) for one in answers) == 3


async def test_a_proposal_submitted_during_acceptance_is_answered_or_refused(database: str) -> None:
    for _ in range(5):
        market = await worlds.a_market(rivals=1)
        late = [await factories.a_freelancer() for _ in range(4)]

        answers = await asyncio.gather(
            *(
                guard.commit(proposals.submit, market.project.id, factories.an_offer(), freelancer_id=one.id)
                for one in late[:2]
            ),
            guard.commit(
                acceptance.accept, market.proposals[0].id, client_id=market.client.id, policy=factories.POLICY
            ),
            *(
                guard.commit(proposals.submit, market.project.id, factories.an_offer(), freelancer_id=one.id)
                for one in late[2:]
            ),
            return_exceptions=True,
        )

        assert all(isinstance(one, (ProposalRow, WrongState)) for one in answers)
        in_time = sum(isinstance(one, ProposalRow) for one in answers) - 1
        assert await statuses(market.project.id) == ["accepted"] + ["rejected"] * in_time


async def test_a_submission_waits_for_the_acceptance_that_came_first(database: str) -> None:
    market, late = await worlds.a_market(rivals=1), await factories.a_freelancer()

    async with guard.transaction():
        await acceptance.accept(market.proposals[0].id, client_id=market.client.id, policy=factories.POLICY)
        # A task of its own: its transaction is not ours.
        waiting = asyncio.create_task(submit_elsewhere(market.project.id, late.id))
        await asyncio.sleep(0.1)
        assert not waiting.done()
    with pytest.raises(WrongState):
        await waiting


async def submit_elsewhere(project_id: int, freelancer_id: int) -> None:
    guard.engine().current_transaction.set(None)
    await guard.commit(proposals.submit, project_id, factories.an_offer(), freelancer_id=freelancer_id)


async def test_one_freelancer_submitting_at_once_has_one_proposal(database: str) -> None:
    project, freelancer = await factories.a_project(), await factories.a_freelancer()

    answers = await asyncio.gather(
        *(
            guard.commit(proposals.submit, project.id, factories.an_offer(), freelancer_id=freelancer.id)
            for _ in range(4)
        ),
        return_exceptions=True,
    )

    assert sum(isinstance(one, ProposalRow) for one in answers) == 1
    assert await statuses(project.id) == ["submitted"]


async def test_both_parties_signing_at_once_make_the_contract_active(database: str) -> None:
    for _ in range(5):
        hire = await worlds.a_hire(signed=False)

        await asyncio.gather(
            *(
                guard.commit(contracts.sign, hire.contract.id, user_id=person.id)
                for person in (hire.client, hire.freelancer, hire.client, hire.freelancer)
            )
        )

        signed = await contracts.read(hire.contract.id, user_id=hire.client.id, admin=False)
        assert signed.status == "active"
