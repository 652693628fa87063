"""Proposals over HTTP: submitting, seeing, accepting."""

from decimal import Decimal
from typing import Any

import pytest
from litestar import Litestar

from tests import factories, worlds
from tests.api.callers import anonymous, body_of, calling, problem_of


def body(project_id: int, /, **changed: Any) -> dict[str, Any]:
    return {
        "project_id": project_id,
        "cover_letter": "I have sold bicycles before.",
        "bid_amount": 1500,
        "currency": "USD",
        "delivery_days": 14,
        **changed,
    }


async def test_a_proposal_is_answered_as_written(app: Litestar) -> None:
    project, freelancer = await factories.a_project(), await factories.a_freelancer()
    caller = await calling(app, freelancer)
    stages = [{"title": "Design", "amount": 500.5, "due_date": "2031-05-01"}, {"title": "Build", "amount": 999.5}]

    answer = await caller.post("/api/proposals", json=body(project.id, milestones=stages))

    made = body_of(answer, 201)
    assert b'"bid_amount":1500.00' in answer.content
    assert made["milestones"] == [
        {"title": "Design", "amount": Decimal("500.50"), "due_date": "2031-05-01"},
        {"title": "Build", "amount": Decimal("999.50"), "due_date": None},
    ]
    assert (made["status"], made["freelancer_id"], made["contract_id"]) == ("submitted", freelancer.id, None)
    assert made["freelancer_name"] == "Frida Freelancer"
    assert body_of(await caller.get(f"/api/proposals/{made['id']}"), 200) == made


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"bid_amount": 0}, "amount_out_of_bounds"),
        ({"bid_amount": 1_000_000}, "amount_out_of_bounds"),
        ({"bid_amount": 10.001}, "amount_too_precise"),
        ({"currency": "EUR"}, "invalid"),
        ({"currency": "ZZZ"}, "currency_unsupported"),
        ({"delivery_days": 0}, "invalid"),
        ({"delivery_days": 2**70}, "invalid"),
        ({"cover_letter": " "}, "invalid"),
        ({"milestones": [{"title": "All", "amount": 1499.99}]}, "milestones_mismatch"),
        ({"milestones": [{"title": "All", "amount": 1500, "status": "released"}]}, "invalid"),
        ({"milestones": [{"title": "\x07", "amount": 1500}]}, "invalid"),
        ({"milestones": [{"title": "One", "amount": 30}] * 51}, "invalid"),
        ({"project_id": 2**63}, "invalid"),
        ({"freelancer_id": 1}, "invalid"),
    ],
)
async def test_what_makes_no_sense_is_422(app: Litestar, changed: dict[str, Any], code: str) -> None:
    project = await factories.a_project()
    caller = await calling(app, await factories.a_freelancer())

    async with worlds.unmoved():
        problem_of(await caller.post("/api/proposals", json=body(project.id, **changed)), 422, code)


async def test_who_may_not_submit(app: Litestar) -> None:
    project = await factories.a_project()
    client = await calling(app, await factories.a_client())
    unverified = await calling(app, await factories.a_freelancer(verified=False))

    async with worlds.unmoved():
        problem_of(await client.post("/api/proposals", json=body(project.id)), 403, "role_not_allowed")
        problem_of(await unverified.post("/api/proposals", json=body(project.id)), 403, "email_unverified")
        problem_of(await anonymous(app).post("/api/proposals", json=body(project.id)), 401, "token_invalid")


async def test_when_one_may_not_submit(app: Litestar) -> None:
    proposal, draft, hire = await factories.a_proposal(), await factories.a_project(open=False), await worlds.a_hire()
    freelancer = await factories.a_freelancer()
    await factories.a_proposal(await factories.a_project(), freelancer)
    caller = await calling(app, freelancer)

    async with worlds.unmoved():
        problem_of(await caller.post("/api/proposals", json=body(draft.id)), 404, "not_found")
        problem_of(await caller.post("/api/proposals", json=body(hire.contract.project_id)), 409, "wrong_state")
    body_of(await caller.post("/api/proposals", json=body(proposal.project_id)), 201)
    async with worlds.unmoved():
        problem_of(await caller.post("/api/proposals", json=body(proposal.project_id)), 409, "proposal_exists")


async def test_rivals_do_not_see_one_another(app: Litestar) -> None:
    market = await worlds.a_market(rivals=2)
    first, second = market.proposals
    client = await calling(app, market.client)
    rival = await calling(app, market.freelancers[1])
    other = await calling(app, await factories.a_client())

    async def listed(caller: Any) -> list[int]:
        page = body_of(await caller.get("/api/proposals", params={"project_id": market.project.id}), 200)
        return [one["id"] for one in page["items"]]

    assert await listed(client) == [second.id, first.id]
    assert await listed(rival) == [second.id]
    assert await listed(other) == []
    assert [one["id"] for one in body_of(await rival.get("/api/proposals"), 200)["items"]] == [second.id]
    for stranger in (rival, other):
        problem_of(await stranger.get(f"/api/proposals/{first.id}"), 404, "not_found")
    problem_of(await anonymous(app).get(f"/api/proposals/{first.id}"), 401, "token_invalid")


async def test_acceptance_answers_the_proposal_and_its_contract(app: Litestar) -> None:
    market = await worlds.a_market(rivals=2)
    client = await calling(app, market.client)

    accepted = body_of(await client.post(f"/api/proposals/{market.proposals[0].id}/accept"), 200)

    assert (accepted["id"], accepted["status"]) == (market.proposals[0].id, "accepted")
    contract = body_of(await client.get(f"/api/contracts/{accepted['contract_id']}"), 200)
    assert contract["platform_fee_percent"] == 10
    rival = await calling(app, market.freelancers[1])
    assert body_of(await rival.get(f"/api/proposals/{market.proposals[1].id}"), 200)["status"] == "rejected"
    async with worlds.unmoved():
        problem_of(await client.post(f"/api/proposals/{market.proposals[1].id}/accept"), 409, "wrong_state")


async def test_who_may_not_accept(app: Litestar) -> None:
    market = await worlds.a_market(rivals=2)
    path = f"/api/proposals/{market.proposals[0].id}/accept"
    bidder = await calling(app, market.freelancers[0])
    other = await calling(app, await factories.a_client())

    async with worlds.unmoved():
        problem_of(await bidder.post(path), 403, "role_not_allowed")
        problem_of(await other.post(path), 404, "not_found")
        problem_of(await anonymous(app).post(path), 401, "token_invalid")
        problem_of(await other.post("/api/proposals/999999/accept"), 404, "not_found")
