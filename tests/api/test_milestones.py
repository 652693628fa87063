"""Milestones over HTTP: planning and delivering. Their money has its own tests."""

from decimal import Decimal
from typing import Any

import pytest
from litestar import Litestar

from models.milestones import MilestoneStatus
from tests import factories, worlds
from tests.api.callers import anonymous, body_of, calling, problem_of
from tests.models.test_plans import a_file


def body(contract_id: int, /, **changed: Any) -> dict[str, Any]:
    return {"contract_id": contract_id, "title": "Polish", "amount": 250.5, **changed}


async def test_a_milestone_is_answered_as_written(app: Litestar) -> None:
    hire = await worlds.a_hire()
    client, freelancer = await calling(app, hire.client), await calling(app, hire.freelancer)

    answer = await client.post(
        "/api/milestones", json=body(hire.contract.id, description="Shine.", due_date="2031-01-31")
    )

    made = body_of(answer, 201)
    assert b'"amount":250.50,"currency":"USD","due_date":"2031-01-31"' in answer.content
    assert (made["status"], made["description"], made["delivery_note"]) == ("pending", "Shine.", None)
    assert body_of(await freelancer.get(f"/api/milestones/{made['id']}"), 200) == made
    page = body_of(await freelancer.get("/api/milestones", params={"contract_id": hire.contract.id}), 200)
    assert [one["id"] for one in page["items"]] == [hire.milestones[0].id, made["id"]]


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"amount": 0}, "amount_out_of_bounds"),
        ({"amount": -1}, "amount_out_of_bounds"),
        ({"amount": 1_000_000}, "amount_out_of_bounds"),
        ({"amount": 0.005}, "amount_too_precise"),
        ({"title": " "}, "invalid"),
        ({"title": "x" * 201}, "invalid"),
        ({"description": "\x00"}, "invalid"),
        ({"currency": "USD"}, "invalid"),
        ({"status": "funded"}, "invalid"),
        ({"due_date": "soon"}, "invalid"),
        ({"contract_id": -1}, "invalid"),
    ],
)
async def test_what_makes_no_sense_is_422(app: Litestar, changed: dict[str, Any], code: str) -> None:
    hire = await worlds.a_hire()
    client = await calling(app, hire.client)

    async with worlds.unmoved():
        problem_of(await client.post("/api/milestones", json=body(hire.contract.id, **changed)), 422, code)


async def test_who_may_not_plan(app: Litestar) -> None:
    hire, other = await worlds.a_hire(), await worlds.a_hire()
    freelancer, stranger = await calling(app, hire.freelancer), await calling(app, other.client)

    async with worlds.unmoved():
        problem_of(await freelancer.post("/api/milestones", json=body(hire.contract.id)), 403, "role_not_allowed")
        problem_of(await stranger.post("/api/milestones", json=body(hire.contract.id)), 404, "not_found")
        problem_of(await anonymous(app).post("/api/milestones", json=body(hire.contract.id)), 401, "token_invalid")
        problem_of(await stranger.get(f"/api/milestones/{hire.milestones[0].id}"), 404, "not_found")
        problem_of(await stranger.get("/api/milestones", params={"contract_id": hire.contract.id}), 404, "not_found")
        problem_of(await stranger.get("/api/milestones"), 422, "invalid")


async def test_a_funded_milestone_is_delivered(app: Litestar) -> None:
    hire = await worlds.a_hire()
    milestone = await factories.walked(hire.milestones[0], MilestoneStatus.FUNDED)
    freelancer = await calling(app, hire.freelancer)
    path = f"/api/milestones/{milestone.id}/submit"

    delivered = body_of(await freelancer.post(path, json={"note": " Here it is. ", "attachment_ids": []}), 200)

    assert (delivered["status"], delivered["delivery_note"]) == ("submitted", "Here it is.")
    assert delivered["submitted_at"].endswith("Z")
    async with worlds.unmoved():
        problem_of(await freelancer.post(path, json={"note": "Again."}), 409, "wrong_state")


@pytest.mark.parametrize(
    "sent", [{}, {"note": ""}, {"note": "x" * 5001}, {"note": "\x00"}, {"note": "a", "attachment_ids": [0]}, {"n": 1}]
)
async def test_a_delivery_that_makes_no_sense_is_422(app: Litestar, sent: dict[str, Any]) -> None:
    hire = await worlds.a_hire()
    milestone = await factories.walked(hire.milestones[0], MilestoneStatus.FUNDED)
    freelancer = await calling(app, hire.freelancer)

    async with worlds.unmoved():
        problem_of(await freelancer.post(f"/api/milestones/{milestone.id}/submit", json=sent), 422, "invalid")


async def test_who_may_not_deliver(app: Litestar) -> None:
    hire, other = await worlds.a_hire(), await worlds.a_hire()
    milestone = await factories.walked(hire.milestones[0], MilestoneStatus.FUNDED)
    client, stranger = await calling(app, hire.client), await calling(app, other.freelancer)
    path = f"/api/milestones/{milestone.id}/submit"

    async with worlds.unmoved():
        problem_of(await client.post(path, json={"note": "Here."}), 403, "role_not_allowed")
        problem_of(await stranger.post(path, json={"note": "Here."}), 404, "not_found")
        problem_of(await anonymous(app).post(path, json={"note": "Here."}), 401, "token_invalid")


async def test_unfunded_work_is_409(app: Litestar) -> None:
    hire = await worlds.a_hire()
    freelancer = await calling(app, hire.freelancer)

    async with worlds.unmoved():
        answer = await freelancer.post(f"/api/milestones/{hire.milestones[0].id}/submit", json={"note": "Early."})
        problem_of(answer, 409, "wrong_state")


async def test_a_plan_is_changed_and_dropped_before_it_is_paid(app: Litestar) -> None:
    hire, other = await worlds.a_hire(), await worlds.a_hire()
    client, freelancer = await calling(app, hire.client), await calling(app, hire.freelancer)
    stranger = await calling(app, other.client)
    path = f"/api/milestones/{hire.milestones[0].id}"

    dated = body_of(await client.patch(path, json={"title": "Polish", "due_date": "2031-01-31"}), 200)
    priced = body_of(await client.patch(path, json={"amount": 250.5, "description": "Line\nby line."}), 200)
    cleared = body_of(await client.patch(path, json={"due_date": None, "description": ""}), 200)

    assert (dated["title"], dated["due_date"], dated["amount"]) == ("Polish", "2031-01-31", 1000)
    assert (priced["amount"], priced["due_date"]) == (Decimal("250.50"), "2031-01-31")
    assert priced["description"] == "Line\nby line."
    assert cleared == {**priced, "due_date": None, "description": ""}
    async with worlds.unmoved():
        for sent in ({"amount": 0}, {"title": ""}, {"title": None}, {"status": "funded"}, {"due_date": "soon"}):
            assert (await client.patch(path, json=sent)).status_code == 422
        for caller, status, code in ((freelancer, 403, "role_not_allowed"), (stranger, 404, "not_found")):
            problem_of(await caller.patch(path, json={"title": "Mine"}), status, code)
            problem_of(await caller.post(f"{path}/cancel"), status, code)
            problem_of(await caller.post(f"{path}/request-changes", json={"note": "More."}), status, code)
    assert body_of(await client.post(f"{path}/cancel"), 200)["status"] == "cancelled"
    async with worlds.unmoved():
        problem_of(await client.patch(path, json={"title": "Again"}), 409, "wrong_state")


async def test_a_delivery_with_files_is_given_back_and_comes_again(app: Litestar) -> None:
    hire = await worlds.a_hire()
    await factories.walked(hire.milestones[0], MilestoneStatus.FUNDED)
    client, freelancer = await calling(app, hire.client), await calling(app, hire.freelancer)
    path = f"/api/milestones/{hire.milestones[0].id}"
    files = [await a_file(hire.freelancer.id), await a_file(hire.freelancer.id)]
    unready = await a_file(hire.freelancer.id, status="checking")

    async with worlds.unmoved():
        problem_of(await client.patch(path, json={"amount": 1}), 409, "wrong_state")
        problem_of(await client.post(f"{path}/request-changes", json={"note": "Early."}), 409, "wrong_state")
        sent = {"note": "Done.", "attachment_ids": [unready]}
        problem_of(await freelancer.post(f"{path}/submit", json=sent), 422, "upload_not_ready")
    delivered = body_of(await freelancer.post(f"{path}/submit", json={"note": "Done.", "attachment_ids": files}), 200)
    wanting = body_of(await client.post(f"{path}/request-changes", json={"note": "Bigger.\nBolder."}), 200)
    again = body_of(await freelancer.post(f"{path}/submit", json={"note": "Bigger."}), 200)

    assert delivered["attachment_ids"] == files
    assert delivered["approves_at"].endswith("Z")
    assert (wanting["status"], wanting["change_note"], wanting["approves_at"]) == (
        "changes_requested",
        "Bigger.\nBolder.",
        None,
    )
    assert (again["status"], again["attachment_ids"], again["delivery_note"]) == ("submitted", [], "Bigger.")
    assert again["approves_at"] > delivered["approves_at"]
    problem_of(await freelancer.post(f"{path}/submit", json={"note": "x", "attachment_ids": [1] * 21}), 422, "invalid")
