"""Counter-offers over HTTP: made, seen, answered by the other side, and by nobody else."""

from decimal import Decimal
from typing import Any

import pytest
from litestar import Litestar

from tests import factories, worlds
from tests.api.callers import anonymous, body_of, calling, problem_of


def body(**changed: Any) -> dict[str, Any]:
    return {"bid_amount": 900, "delivery_days": 10, "message": "Could you?\nPlease.", **changed}


async def test_two_sides_find_a_price(app: Litestar) -> None:
    market = await worlds.a_market(rivals=1)
    client, freelancer = await calling(app, market.client), await calling(app, market.freelancers[0])
    path = f"/api/proposals/{market.proposals[0].id}"

    first = body_of(await client.post(f"{path}/counter-offer", json=body()), 201)
    stages = [{"title": "Design", "amount": 450.5, "due_date": "2031-05-01"}, {"title": "Build", "amount": 499.5}]
    second = body_of(await freelancer.post(f"{path}/counter-offer", json=body(bid_amount=950, milestones=stages)), 201)
    stale = await client.post(f"{path}/counter-offer/accept", json={"counter_offer_id": first["id"]})
    problem_of(stale, 409, "wrong_state")
    accepted = body_of(await client.post(f"{path}/counter-offer/accept", json={"counter_offer_id": second["id"]}), 200)

    assert first == {
        "id": first["id"],
        "proposal_id": market.proposals[0].id,
        "author_id": market.client.id,
        "bid_amount": Decimal("900.00"),
        "currency": "USD",
        "delivery_days": 10,
        "milestones": [],
        "message": "Could you?\nPlease.",
        "status": "open",
        "created_at": first["created_at"],
        "answered_at": None,
    }
    assert accepted == {**second, "status": "accepted", "answered_at": accepted["answered_at"]}
    assert accepted["answered_at"].endswith("Z")
    page = body_of(await freelancer.get(f"{path}/counter-offers", params={"limit": 1}), 200)
    assert page["items"] == [accepted]
    rest = body_of(await freelancer.get(f"{path}/counter-offers", params={"cursor": page["next_cursor"]}), 200)
    assert [(one["id"], one["status"]) for one in rest["items"]] == [(first["id"], "superseded")]
    proposal = body_of(await client.get(path), 200)
    assert (proposal["bid_amount"], proposal["delivery_days"], proposal["status"]) == (950, 10, "submitted")
    assert [one["amount"] for one in proposal["milestones"]] == [Decimal("450.50"), Decimal("499.50")]
    problem_of(await client.post(f"{path}/accept", json={"bid_amount": 900}), 409, "wrong_state")
    hired = body_of(await client.post(f"{path}/accept", json={"bid_amount": 950}), 200)
    contract = body_of(await client.get(f"/api/contracts/{hired['contract_id']}"), 200)
    assert contract["amount"] == 950


async def test_terms_are_declined_or_taken_back(app: Litestar) -> None:
    market = await worlds.a_market(rivals=1)
    client, freelancer = await calling(app, market.client), await calling(app, market.freelancers[0])
    path = f"/api/proposals/{market.proposals[0].id}/counter-offer"

    await client.post(path, json=body())
    problem_of(await client.post(f"{path}/decline"), 403, "not_allowed")
    declined = body_of(await freelancer.post(f"{path}/decline"), 200)
    await client.post(path, json=body())
    withdrawn = body_of(await client.post(f"{path}/withdraw"), 200)

    assert (declined["status"], withdrawn["status"]) == ("declined", "withdrawn")
    async with worlds.unmoved():
        for verb in ("accept", "decline", "withdraw"):
            problem_of(await freelancer.post(f"{path}/{verb}"), 409, "wrong_state")


async def test_a_repeated_counter_offer_is_made_once(app: Litestar) -> None:
    market = await worlds.a_market(rivals=1)
    client = await calling(app, market.client)
    path = f"/api/proposals/{market.proposals[0].id}/counter-offer"
    client.headers["Idempotency-Key"] = "once"

    first, again = [body_of(await client.post(path, json=body()), 201) for _ in range(2)]

    assert first == again
    assert (await worlds.told(market.freelancers[0].id)) == ["counter_offer_received"]


async def test_strangers_find_nothing(app: Litestar, subtests: pytest.Subtests) -> None:
    market = await worlds.a_market(rivals=2)
    client = await calling(app, market.client)
    path = f"/api/proposals/{market.proposals[0].id}"
    await client.post(f"{path}/counter-offer", json=body())
    unverified = await calling(app, await factories.a_client(verified=False))
    people = {
        "a rival": (await calling(app, market.freelancers[1]), 404, "not_found"),
        "another client": (await calling(app, await factories.a_client()), 404, "not_found"),
        "an admin": (await calling(app, await factories.an_admin()), 403, "role_not_allowed"),
        "nobody": (anonymous(app), 401, "token_invalid"),
    }
    for who, (caller, status, code) in people.items():
        with subtests.test(who=who):
            async with worlds.unmoved():
                problem_of(await caller.post(f"{path}/counter-offer", json=body()), status, code)
                for verb in ("accept", "decline", "withdraw"):
                    problem_of(await caller.post(f"{path}/counter-offer/{verb}"), status, code)
                if who != "an admin":
                    problem_of(await caller.get(f"{path}/counter-offers"), status, code)
    problem_of(await unverified.post(f"{path}/counter-offer", json=body()), 403, "email_unverified")


async def test_what_makes_no_sense_is_422(app: Litestar, subtests: pytest.Subtests) -> None:
    market = await worlds.a_market(rivals=1)
    client = await calling(app, market.client)
    path = f"/api/proposals/{market.proposals[0].id}/counter-offer"
    wrong = [
        ({"bid_amount": 0}, "amount_out_of_bounds"),
        ({"bid_amount": 10.001}, "amount_too_precise"),
        ({"delivery_days": 0}, "invalid"),
        ({"message": " "}, "invalid"),
        ({"message": "\x07"}, "invalid"),
        ({"message": "x" * 5001}, "invalid"),
        ({"milestones": [{"title": "All", "amount": 899.99}]}, "milestones_mismatch"),
        ({"currency": "USD"}, "invalid"),
    ]
    for changed, code in wrong:
        with subtests.test(**changed):
            async with worlds.unmoved():
                problem_of(await client.post(path, json=body(**changed)), 422, code)
    async with worlds.unmoved():
        problem_of(await client.post(f"{path}/accept", json={"counter_offer_id": 0}), 422, "invalid")
