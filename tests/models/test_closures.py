"""How a project ends without a contract, and what whoever waited for it is told."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from models import acceptance, closures, guard, projects
from models.errors import NotFound, WrongState
from models.projects import ProjectRow
from tests import factories, worlds

End = Callable[..., Awaitable[ProjectRow]]
both = pytest.mark.parametrize(("end", "status"), [(closures.close, "closed"), (closures.cancel, "cancelled")])


async def decided(project_id: int) -> list[tuple[str, bool]]:
    found = await guard.rows(
        "select status, decided_at is not null as d from proposals where project = $1 order by id", project_id
    )
    return [(one["status"], one["d"]) for one in found]


@both
async def test_whoever_waits_is_rejected_and_told(database: str, end: End, status: str) -> None:
    market = await worlds.a_market(rivals=3)
    await guard.rows("update proposals set status = 'shortlisted' where id = $1", market.proposals[1].id)
    await guard.rows("update proposals set status = 'withdrawn' where id = $1", market.proposals[2].id)
    await guard.rows(
        """insert into counter_offers (proposal, author, bid_minor, delivery_days, milestones, message, status)
           values ($1, $2, 100, 1, '[]', 'Cheaper?', 'open')""",
        market.proposals[0].id,
        market.client.id,
    )

    ended = await guard.commit(end, market.project.id, client_id=market.client.id)

    assert ended.status == status
    assert await decided(market.project.id) == [("rejected", True), ("rejected", True), ("withdrawn", False)]
    assert await guard.value("select status from counter_offers") == "superseded"
    for freelancer, proposal in zip(market.freelancers[:2], market.proposals, strict=False):
        assert await worlds.told(freelancer.id) == ["proposal_rejected"]
        heard = await worlds.heard(f"user:{freelancer.id}")
        changed = {"proposal_id": proposal.id, "project_id": market.project.id, "status": "rejected"}
        assert ("proposal_update", changed) in heard
    assert await worlds.told(market.freelancers[2].id) == []
    assert (await worlds.heard(f"project:{market.project.id}"))[-1][1]["status"] == status
    message = await guard.value("select message from notifications where type = 'proposal_rejected' limit 1")
    assert message == f"The client has {status} “{market.project.title}” without choosing a proposal."


async def test_a_draft_is_cancelled_but_never_closed(database: str) -> None:
    draft = await factories.a_project(open=False)

    async with worlds.refused(WrongState, "is draft: to close it, it has to be open"):
        await guard.commit(closures.close, draft.id, client_id=draft.client_id)
    assert (await guard.commit(closures.cancel, draft.id, client_id=draft.client_id)).status == "cancelled"


@both
async def test_a_project_ends_once_and_by_its_client(database: str, end: End, status: str) -> None:
    market, other_client = await worlds.a_market(rivals=1), await factories.a_client()
    async with worlds.refused(NotFound):
        await guard.commit(end, market.project.id, client_id=other_client.id)
    await guard.commit(acceptance.accept, market.proposals[0].id, client_id=market.client.id, policy=factories.POLICY)
    # A contract's end ends its project, and nothing else does.
    async with worlds.refused(WrongState, "is in_progress"):
        await guard.commit(end, market.project.id, client_id=market.client.id)
    other = await factories.a_project()
    await guard.commit(end, other.id, client_id=other.client_id)
    async with worlds.refused(WrongState, f"is {status}"):
        await guard.commit(end, other.id, client_id=other.client_id)


async def test_a_contracts_end_may_cancel_what_its_client_may_not(database: str) -> None:
    market = await worlds.a_market(rivals=1)
    await guard.commit(acceptance.accept, market.proposals[0].id, client_id=market.client.id, policy=factories.POLICY)

    async def cancel(**by: Any) -> ProjectRow:
        held = await projects.locked(market.project.id)
        return await projects.move(held, projects.ProjectStatus.CANCELLED, **by)

    async with worlds.refused(WrongState):
        await guard.commit(cancel, verb="cancel")
    assert (await guard.commit(cancel, verb="cancel_contract")).status == "cancelled"
