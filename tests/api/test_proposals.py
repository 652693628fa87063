"""Proposals over HTTP: submitting, seeing, accepting."""

from decimal import Decimal
from typing import Any

import pytest
from litestar import Litestar
from msgspec.structs import replace

from models import accounts, guard
from models.accounts import Person
from models.projects import BudgetType, Visibility
from tests import factories, worlds
from tests.api.callers import anonymous, body_of, calling, problem_of


async def person(user_id: int) -> Person:
    return await accounts.read(user_id)


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


async def test_an_offer_is_edited_listed_and_taken_back(app: Litestar) -> None:
    proposal = await factories.a_proposal(offer=factories.an_offer("300", stages=[("One", "100"), ("Two", "200")]))
    market = {"project_id": proposal.project_id}
    freelancer = await calling(app, await person(proposal.freelancer_id))
    client = await calling(app, await person(proposal.client_id))
    path = f"/api/proposals/{proposal.id}"

    edited = body_of(await freelancer.patch(path, json={"bid_amount": 150.5, "milestones": []}), 200)
    listed = body_of(await client.post(f"{path}/shortlist"), 200)

    assert (edited["bid_amount"], edited["milestones"], edited["weekly_hours"]) == (Decimal("150.50"), [], None)
    assert (edited["cover_letter"], edited["delivery_days"]) == (proposal.cover_letter, 14)
    assert listed == {**edited, "status": "shortlisted"}
    for caller in (client, freelancer):
        for status, count in (("shortlisted", 1), ("submitted", 0)):
            page = body_of(await caller.get("/api/proposals", params={**market, "status": status}), 200)
            assert len(page["items"]) == count
    assert body_of(await freelancer.get("/api/proposals", params={"status": "shortlisted"}), 200)["items"] == [listed]
    gone = body_of(await freelancer.post(f"{path}/withdraw"), 200)
    assert gone["status"] == "withdrawn"
    async with worlds.unmoved():
        problem_of(await freelancer.patch(path, json={"delivery_days": 1}), 409, "wrong_state")
        problem_of(await client.post(f"{path}/reject"), 409, "wrong_state")
        problem_of(await client.get("/api/proposals", params={"status": "lost"}), 422, "invalid")


@pytest.mark.parametrize("sent", [None, {}, {"reason": "Too slow.\nSorry."}])
async def test_an_offer_is_turned_down(app: Litestar, sent: dict[str, Any] | None) -> None:
    proposal = await factories.a_proposal()
    client = await calling(app, await person(proposal.client_id))

    rejected = body_of(await client.post(f"/api/proposals/{proposal.id}/reject", json=sent), 200)

    assert rejected["status"] == "rejected"
    assert await worlds.told(proposal.freelancer_id) == ["proposal_rejected"]


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ({"bid_amount": 0}, "amount_out_of_bounds"),
        ({"bid_amount": 301}, "milestones_mismatch"),
        ({"bid_amount": None}, "invalid"),
        ({"cover_letter": ""}, "invalid"),
        ({"delivery_days": 0}, "invalid"),
        ({"weekly_hours": 10}, "invalid"),
        ({"currency": "USD"}, "invalid"),
        ({"status": "accepted"}, "invalid"),
    ],
)
async def test_an_edit_that_makes_no_sense_is_422(app: Litestar, sent: dict[str, Any], code: str) -> None:
    proposal = await factories.a_proposal(offer=factories.an_offer("300", stages=[("One", "100"), ("Two", "200")]))
    freelancer = await calling(app, await person(proposal.freelancer_id))

    async with worlds.unmoved():
        problem_of(await freelancer.patch(f"/api/proposals/{proposal.id}", json=sent), 422, code)


async def test_an_hourly_offer_has_a_rate_and_a_week_and_so_has_its_contract(app: Litestar) -> None:
    project = await factories.a_project(brief=replace(factories.a_brief(), budget_type=BudgetType.HOURLY))
    freelancer = await calling(app, await factories.a_freelancer())
    other = await calling(app, await factories.a_freelancer())
    client = await calling(app, await person(project.client_id))

    made = body_of(await freelancer.post("/api/proposals", json=body(project.id, bid_amount=50)), 201)
    few = body_of(await other.post("/api/proposals", json=body(project.id, bid_amount=60, weekly_hours=5)), 201)

    assert (made["bid_amount"], made["weekly_hours"], few["weekly_hours"]) == (50, 40, 5)
    accepted = body_of(await client.post(f"/api/proposals/{few['id']}/accept", json={}), 200)
    contract = body_of(await client.get(f"/api/contracts/{accepted['contract_id']}"), 200)
    assert (contract["budget_type"], contract["hourly_rate"], contract["weekly_cap_hours"]) == ("hourly", 60, 5)
    assert (contract["time_zone"], contract["is_disputed"]) == ("UTC", False)
    stage = {"contract_id": contract["id"], "title": "All", "amount": 5}
    problem_of(await client.post("/api/milestones", json=stage), 409, "wrong_state")
    for hours in (0, 169):
        problem_of(await other.post("/api/proposals", json=body(project.id, weekly_hours=hours)), 422, "invalid")


@pytest.mark.parametrize("visibility", [Visibility.PRIVATE, Visibility.INVITE_ONLY])
async def test_what_is_not_public_takes_offers_of_those_who_were_invited(app: Litestar, visibility: Visibility) -> None:
    project = await factories.a_project(brief=factories.a_brief(visibility=visibility))
    invited, declined, other = [await factories.a_freelancer() for _ in range(3)]
    for one, status in ((invited, "sent"), (declined, "declined")):
        await guard.rows(
            "insert into project_invitations (project, freelancer, message, status) values ($1, $2, '', $3)",
            project.id,
            one.id,
            status,
        )
    for one in (declined, other):
        async with worlds.unmoved():
            problem_of(await (await calling(app, one)).post("/api/proposals", json=body(project.id)), 404, "not_found")

    made = body_of(await (await calling(app, invited)).post("/api/proposals", json=body(project.id)), 201)

    assert made["status"] == "submitted"
    answered = await guard.value("select status from project_invitations where freelancer = $1", invited.id)
    assert answered == "accepted"


async def test_a_rejected_bidder_sees_their_own_and_learns_nothing_of_the_rest(app: Litestar) -> None:
    market = await worlds.a_market(rivals=2)
    client, bidder = await calling(app, market.client), await calling(app, market.freelancers[0])
    await client.post(f"/api/proposals/{market.proposals[1].id}/accept")

    about = {"project_id": market.project.id}
    (own,) = body_of(await bidder.get("/api/proposals", params=about), 200)["items"]

    assert (own["id"], own["status"]) == (market.proposals[0].id, "rejected")
    assert body_of(await bidder.get("/api/proposals", params={**about, "status": "accepted"}), 200)["items"] == []
