"""Disputes over HTTP: opened, answered, decided, appealed, settled."""

from decimal import Decimal
from typing import Any

import pytest
from litestar import Litestar

from tests import factories, quarrels, worlds
from tests.api.callers import anonymous, body_of, calling, problem_of


def body(milestone_id: int, /, **changed: Any) -> dict[str, Any]:
    return {"milestone_id": milestone_id, "reason": "quality", "description": "It falls apart.\nSee.", **changed}


async def test_a_dispute_from_its_beginning_to_its_end(app: Litestar) -> None:
    hire, milestone = await quarrels.a_held_milestone()
    first, second = await factories.an_admin(), await factories.an_admin()
    client, freelancer = await calling(app, hire.client), await calling(app, hire.freelancer)
    admin, other = await calling(app, first), await calling(app, second)

    made = body_of(await client.post("/api/disputes", json=body(milestone.id)), 201)
    path = f"/api/disputes/{made['id']}"
    assert (made["status"], made["waits_for"], made["amount"]) == ("open", "answer", Decimal("1000.00"))
    assert (made["evidence"], made["settlement"], made["freelancer_share"]) == ([], None, None)
    answered = body_of(await freelancer.post(f"{path}/evidence", json={"note": "It is all there."}), 201)
    assert (answered["status"], answered["waits_for"]) == ("evidence", "evidence")
    assert [(one["author_id"], one["note"]) for one in answered["evidence"]] == [
        (hire.freelancer.id, "It is all there.")
    ]
    assert body_of(await admin.post(f"{path}/assign", json={}), 200)["assignee_id"] == first.id
    mine = {"assignee": "me", "status": "mediation"}
    assert [one["id"] for one in body_of(await admin.get("/api/disputes", params=mine), 200)["items"]] == [made["id"]]
    problem_of(await other.post(f"{path}/resolve", json={"freelancer_share": 1, "reason": "So."}), 403, "not_allowed")
    decided = body_of(await admin.post(f"{path}/resolve", json={"freelancer_share": 0.2505, "reason": "So."}), 200)
    assert (decided["status"], decided["freelancer_share"], decided["waits_for"]) == (
        "resolved",
        Decimal("0.2505"),
        "appeal",
    )
    appealed = body_of(await freelancer.post(f"{path}/appeal", json={"reason": "It is more."}), 200)
    assert (appealed["status"], appealed["assignee_id"], appealed["appealed_by"]) == (
        "appealed",
        None,
        hire.freelancer.id,
    )
    body_of(await admin.post(f"{path}/assign", json={"admin_id": second.id}), 200)
    closed = body_of(await other.post(f"{path}/resolve", json={"freelancer_share": 0.5, "reason": "Half."}), 200)
    assert closed["status"] == "closed"
    assert closed["settlement"] == {
        "status": "due",
        "freelancer_amount": Decimal("500.00"),
        "client_amount": Decimal("500.00"),
        "currency": "USD",
    }
    assert body_of(await admin.get(path), 200) == closed
    for reader in (client, freelancer):
        assert body_of(await reader.get(path), 200) == {**closed, "assignee_id": None}
    found = body_of(await client.get(f"/api/milestones/{milestone.id}"), 200)
    assert found["status"] == "settling"
    page = body_of(await freelancer.get("/api/disputes"), 200)
    assert [one["id"] for one in page["items"]] == [made["id"]]
    assert body_of(await freelancer.get("/api/disputes", params={"status": "open"}), 200)["items"] == []


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"reason": "revenge"}, "reason"),
        ({"description": " "}, "description"),
        ({"description": "\x00"}, "description"),
        ({"milestone_id": 0}, "milestone_id"),
        ({"share": 1}, "share"),
    ],
)
async def test_what_makes_no_sense_is_422(app: Litestar, changed: dict[str, Any], field: str) -> None:
    hire, milestone = await quarrels.a_held_milestone()
    client = await calling(app, hire.client)

    async with worlds.unmoved():
        problem = problem_of(await client.post("/api/disputes", json=body(milestone.id, **changed)), 422, "invalid")
    assert [one["field"] for one in problem["errors"]] == [field]


async def test_a_share_is_a_share(app: Litestar) -> None:
    quarrel = await quarrels.a_quarrel()
    await quarrel.assigned()
    admin = await calling(app, quarrel.admin)
    path = f"/api/disputes/{quarrel.id}"

    async with worlds.unmoved():
        for share in (-0.1, 1.0001, 0.00001, 1e300, "half", None):
            decision = {"freelancer_share": share, "reason": "So."}
            problem_of(await admin.post(f"{path}/resolve", json=decision), 422, "invalid")
        for admin_id in (quarrel.hire.client.id, 999_999, 0):
            problem_of(await admin.post(f"{path}/assign", json={"admin_id": admin_id}), 422, "invalid")


async def test_a_key_repeats_nothing(app: Litestar) -> None:
    hire, milestone = await quarrels.a_held_milestone()
    client = await calling(app, hire.client)
    key = {"Idempotency-Key": "dispute-1"}

    made = body_of(await client.post("/api/disputes", json=body(milestone.id), headers=key), 201)
    async with worlds.unmoved():
        again = await client.post("/api/disputes", json=body(milestone.id), headers=key)

    assert body_of(again, 201) == made
    assert again.headers["Idempotent-Replayed"] == "true"


async def test_who_may_not(app: Litestar) -> None:
    quarrel = await quarrels.a_quarrel()
    client, stranger = await calling(app, quarrel.hire.client), await calling(app, await factories.a_client())
    admin, path = await calling(app, quarrel.admin), f"/api/disputes/{quarrel.id}"
    said, decision = {"note": "I saw it."}, {"freelancer_share": 0, "reason": "So."}

    async with worlds.unmoved():
        problem_of(await stranger.get(path), 404, "not_found")
        problem_of(await stranger.post(f"{path}/evidence", json=said), 404, "not_found")
        problem_of(await stranger.post(f"{path}/appeal", json={"reason": "No."}), 404, "not_found")
        problem_of(await stranger.post("/api/disputes", json=body(quarrel.milestone.id)), 404, "not_found")
        problem_of(await admin.post("/api/disputes", json=body(quarrel.milestone.id)), 403, "role_not_allowed")
        problem_of(await admin.post(f"{path}/evidence", json=said), 403, "role_not_allowed")
        problem_of(await client.post(f"{path}/assign", json={}), 403, "role_not_allowed")
        problem_of(await client.post(f"{path}/resolve", json=decision), 403, "role_not_allowed")
        problem_of(await client.get("/api/disputes", params={"assignee": "me"}), 403, "role_not_allowed")
        problem_of(await client.post(f"{path}/appeal", json={"reason": "No."}), 409, "wrong_state")
        problem_of(await client.post(f"{path}/evidence", json={"note": "A", "attachment_ids": [7]}), 422,
                   "upload_not_ready")  # fmt: skip
        problem_of(await client.get("/api/disputes", params={"cursor": "x" * 40}), 422, "invalid")
        problem_of(await anonymous(app).get(path), 401, "token_invalid")


async def test_pages_follow_one_another(app: Litestar) -> None:
    ids = [(await quarrels.a_quarrel(paid=False)).id for _ in range(3)]
    admin = await calling(app, await factories.an_admin())

    first = body_of(await admin.get("/api/disputes", params={"limit": 2}), 200)
    rest = body_of(await admin.get("/api/disputes", params={"limit": 2, "cursor": first["next_cursor"]}), 200)

    assert [one["id"] for one in first["items"] + rest["items"]] == ids[::-1]
    assert rest["next_cursor"] is None
