"""Refund requests over HTTP."""

from decimal import Decimal
from typing import Any

import pytest
from litestar import Litestar

from tests import factories, quarrels, worlds
from tests.api.callers import anonymous, body_of, calling, problem_of

WISH = {"amount": 250.5, "reason": "Only half\nis there."}


async def test_a_request_is_answered_and_settled(app: Litestar) -> None:
    hire, milestone = await quarrels.a_held_milestone()
    client, freelancer = await calling(app, hire.client), await calling(app, hire.freelancer)
    path = f"/api/milestones/{milestone.id}"

    answer = await client.post(f"{path}/refund-request", json=WISH)
    made = body_of(answer, 201)
    assert b'"amount":250.50,"currency":"USD"' in answer.content
    assert (made["status"], made["reason"], made["settlement"]) == ("open", WISH["reason"], None)
    assert made["answer_due_at"].endswith("Z")
    declined = body_of(await freelancer.post(f"{path}/refund-decline"), 200)
    assert (declined["id"], declined["status"]) == (made["id"], "declined")
    second = body_of(await client.post(f"{path}/refund-request", json={"reason": "All of it."}), 201)
    assert second["amount"] == Decimal("1000.00")
    assert body_of(await client.post(f"{path}/refund-withdraw"), 200)["status"] == "withdrawn"
    body_of(await client.post(f"{path}/refund-request", json=WISH), 201)
    accepted = body_of(await freelancer.post(f"{path}/refund-accept"), 200)
    assert (accepted["status"], accepted["answered_by"]) == ("accepted", hire.freelancer.id)
    assert accepted["settlement"] == {
        "status": "due",
        "freelancer_amount": Decimal("749.50"),
        "client_amount": Decimal("250.50"),
        "currency": "USD",
    }
    assert body_of(await client.get(path), 200)["status"] == "settling"
    first = body_of(await freelancer.get(f"{path}/refund-requests", params={"limit": 2}), 200)
    rest = body_of(await client.get(f"{path}/refund-requests", params={"cursor": first["next_cursor"]}), 200)
    assert [one["status"] for one in first["items"] + rest["items"]] == ["accepted", "withdrawn", "declined"]
    assert first["items"][0] == accepted


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"amount": 0}, "amount_out_of_bounds"),
        ({"amount": -1}, "amount_out_of_bounds"),
        ({"amount": 1000.01}, "amount_out_of_bounds"),
        ({"amount": 0.005}, "amount_too_precise"),
        ({"reason": " "}, "invalid"),
        ({"reason": "x" * 5_001}, "invalid"),
        ({"reason": "\x07"}, "invalid"),
        ({"currency": "USD"}, "invalid"),
    ],
)
async def test_what_makes_no_sense_is_422(app: Litestar, changed: dict[str, Any], code: str) -> None:
    hire, milestone = await quarrels.a_held_milestone()
    client = await calling(app, hire.client)

    async with worlds.unmoved():
        problem_of(await client.post(f"/api/milestones/{milestone.id}/refund-request", json=WISH | changed), 422, code)


async def test_who_may_not(app: Litestar) -> None:
    hire, milestone = await quarrels.a_held_milestone()
    path = f"/api/milestones/{milestone.id}"
    client, freelancer = await calling(app, hire.client), await calling(app, hire.freelancer)
    strange_client, strange_freelancer = [
        await calling(app, one) for one in (await factories.a_client(), await factories.a_freelancer())
    ]

    async with worlds.unmoved():
        problem_of(await freelancer.post(f"{path}/refund-request", json=WISH), 403, "role_not_allowed")
        problem_of(await client.post(f"{path}/refund-accept"), 403, "role_not_allowed")
        problem_of(await client.post(f"{path}/refund-decline"), 403, "role_not_allowed")
        problem_of(await freelancer.post(f"{path}/refund-withdraw"), 403, "role_not_allowed")
        problem_of(await strange_client.post(f"{path}/refund-request", json=WISH), 404, "not_found")
        problem_of(await strange_client.post(f"{path}/refund-withdraw"), 404, "not_found")
        problem_of(await strange_freelancer.post(f"{path}/refund-accept"), 404, "not_found")
        problem_of(await strange_freelancer.get(f"{path}/refund-requests"), 404, "not_found")
        problem_of(await freelancer.post(f"{path}/refund-accept"), 409, "wrong_state")
        problem_of(await client.post(f"{path}/refund-withdraw"), 409, "wrong_state")
        problem_of(await anonymous(app).post(f"{path}/refund-accept"), 401, "token_invalid")
