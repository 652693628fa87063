"""Hours over HTTP: the clock, what is written down, the week and its client."""

from decimal import Decimal
from typing import Any

import httpx
from litestar import Litestar

from models.contracts import ContractRow
from tests import factories, hourly, worlds
from tests.api.callers import anonymous, body_of, calling, problem_of
from tests.hourly import utc

Caller = httpx.AsyncClient


def hours(contract_id: int, /, **changed: Any) -> dict[str, Any]:
    return {
        "contract_id": contract_id,
        "started_at": "2031-05-05T09:00:00-04:00",
        "ended_at": "2031-05-05T10:30:00-04:00",
        "description": "Drew a bicycle.\nThen another.",
        "billable": True,
        **changed,
    }


async def parties(app: Litestar, **terms: Any) -> tuple[ContractRow, Caller, Caller]:
    """A contract, its freelancer and its client, on a Wednesday at noon."""
    client, freelancer = await factories.a_client(), await factories.a_freelancer()
    contract = await hourly.a_contract(client, freelancer, **terms)
    await hourly.set_clock(utc("2031-05-07 12:00"))
    return contract, await calling(app, freelancer), await calling(app, client)


async def test_hours_are_written_shown_and_approved(app: Litestar) -> None:
    contract, freelancer, client = await parties(app, rate="33.33", zone="America/New_York")

    made = body_of(await freelancer.post("/api/time-entries", json=hours(contract.id)), 201)

    assert made == {
        "id": made["id"],
        "contract_id": contract.id,
        "freelancer_id": contract.freelancer_id,
        "week": "2031-05-05",
        "started_at": "2031-05-05T13:00:00Z",
        "ended_at": "2031-05-05T14:30:00Z",
        "minutes": 90,
        "description": "Drew a bicycle.\nThen another.",
        "billable": True,
        "capped": False,
        "status": "draft",
        "reason": None,
        "created_at": made["created_at"],
    }
    path = f"/api/time-entries/{made['id']}"
    assert body_of(await client.get(path), 200) == made
    changed = body_of(await freelancer.patch(path, json={"ended_at": "2031-05-05T14:20:00Z", "billable": True}), 200)
    assert (changed["minutes"], changed["description"]) == (80, made["description"])
    assert body_of(await freelancer.patch(path, json={"description": "Two bicycles."}), 200)["minutes"] == 80
    assert body_of(await freelancer.post(f"{path}/submit"), 200)["status"] == "submitted"
    problem_of(await freelancer.patch(path, json={"billable": False}), 409, "wrong_state")
    rejected = body_of(await client.post(f"{path}/reject", json={"reason": "Which ones?\nSay."}), 200)
    assert (rejected["status"], rejected["reason"]) == ("rejected", "Which ones?\nSay.")
    again = {"started_at": "2031-05-05T13:00:00Z", "description": "Blue ones."}
    assert body_of(await freelancer.patch(path, json=again), 200)["status"] == "draft"
    body_of(await freelancer.post(f"{path}/submit"), 200)
    assert body_of(await client.post(f"{path}/approve"), 200)["status"] == "approved"
    week = await client.get("/api/time-entries/summary", params={"contract_id": contract.id, "week": "2031-05-05"})
    assert b'"amount":44.44' in week.content
    assert body_of(week, 200) == {
        "contract_id": contract.id,
        "week": "2031-05-05",
        "status": "open",
        "minutes": {"running": 0, "draft": 0, "submitted": 0, "approved": 80, "rejected": 0, "invoiced": 0},
        "billable_minutes": 80,
        "cap_minutes": 2400,
        "amount": Decimal("44.44"),
        "currency": "USD",
        "closes_at": "2031-05-12T04:00:00Z",
        "approves_at": None,
    }


async def test_a_clock_is_started_stopped_and_taken_back(app: Litestar) -> None:
    contract, freelancer, client = await parties(app)

    running = body_of(await freelancer.post("/api/time-entries/start", json={"contract_id": contract.id}), 201)

    assert (running["status"], running["ended_at"], running["minutes"]) == ("running", None, None)
    assert (running["description"], running["billable"]) == ("", True)
    problem_of(
        await freelancer.post("/api/time-entries/start", json={"contract_id": contract.id}), 409, "hours_overlap"
    )
    await hourly.set_clock(utc("2031-05-07 13:00:30"))
    path = f"/api/time-entries/{running['id']}"
    problem_of(await client.post(f"{path}/stop"), 403, "role_not_allowed")
    stopped = body_of(await freelancer.post(f"{path}/stop"), 200)
    assert (stopped["status"], stopped["minutes"]) == ("draft", 60)
    answer = await freelancer.delete(path)
    assert (answer.status_code, answer.content) == (204, b"")
    problem_of(await freelancer.get(path), 404, "not_found")


async def test_a_week_is_approved_whole(app: Litestar) -> None:
    contract, freelancer, client = await parties(app)
    made = body_of(await freelancer.post("/api/time-entries", json=hours(contract.id)), 201)
    whole = {"contract_id": contract.id, "week": "2031-05-05"}
    problem_of(await client.post("/api/time-entries/weeks/approve", json=whole), 409, "wrong_state")
    await hourly.set_clock(utc("2031-05-12 00:01"))
    await hourly.fire()
    shown = body_of(await client.get("/api/time-entries/summary", params=whole), 200)
    assert (shown["status"], shown["approves_at"]) == ("in_review", "2031-05-20T00:00:00Z")
    problem_of(await freelancer.post("/api/time-entries/weeks/approve", json=whole), 403, "role_not_allowed")

    key = {"Idempotency-Key": "the-week"}
    answer = await client.post("/api/time-entries/weeks/approve", json=whole, headers=key)
    repeated = await client.post("/api/time-entries/weeks/approve", json=whole, headers=key)

    approved = body_of(answer, 200)
    assert (approved["status"], approved["amount"]) == ("approved", Decimal("90.00"))
    assert body_of(repeated, 200) == approved
    assert repeated.headers["Idempotent-Replayed"] == "true"
    found = body_of(await client.get(f"/api/time-entries/{made['id']}"), 200)
    assert (found["status"], found["id"]) == ("approved", made["id"])


async def test_hours_are_listed_page_by_page(app: Litestar) -> None:
    contract, freelancer, client = await parties(app)
    for hour in (1, 3, 2):
        times = {"started_at": f"2031-05-05T0{hour}:00:00Z", "ended_at": f"2031-05-05T0{hour}:30:00Z"}
        body_of(await freelancer.post("/api/time-entries", json=hours(contract.id, **times)), 201)
    asked: dict[str, Any] = {"contract_id": contract.id, "limit": 2}

    first = body_of(await client.get("/api/time-entries", params=asked), 200)
    rest = body_of(await client.get("/api/time-entries", params={**asked, "cursor": first["next_cursor"]}), 200)

    begun = [one["started_at"][11:13] for one in first["items"] + rest["items"]]
    assert (begun, rest["next_cursor"]) == (["03", "02", "01"], None)
    sought = {"contract_id": contract.id, "week": "2031-05-05", "status": "draft"}
    assert len(body_of(await freelancer.get("/api/time-entries", params=sought), 200)["items"]) == 3
    for wrong in ({"cursor": "nonsense"}, {"week": "2031-05-06"}, {"week": "2031-02-30"}, {"week": "today"}):
        problem_of(await client.get("/api/time-entries", params={**asked, **wrong}), 422, "invalid")
    problem_of(await client.get("/api/time-entries"), 422, "invalid")


NONSENSE: list[tuple[dict[str, Any], int, str]] = [
    ({"started_at": "2031-05-05T09:00:00"}, 422, "invalid"),
    ({"started_at": "yesterday"}, 422, "invalid"),
    ({"started_at": 1_936_000_000}, 422, "invalid"),
    ({"started_at": "0001-01-01T00:00:00+14:00"}, 422, "invalid"),
    ({"ended_at": "9999-12-31T23:59:59-14:00"}, 422, "invalid"),
    ({"ended_at": "2031-05-08T10:00:00Z"}, 422, "invalid"),
    ({"ended_at": "2031-05-05T12:59:59Z"}, 422, "invalid"),
    ({"ended_at": "2031-05-06T13:00:01Z"}, 422, "invalid"),
    ({"started_at": "2031-05-04T23:59:59Z", "ended_at": "2031-05-05T01:00:00Z"}, 422, "invalid"),
    ({"started_at": "2031-04-30T09:00:00Z", "ended_at": "2031-04-30T10:00:00Z"}, 409, "wrong_state"),
    ({"description": "x" * 2_001}, 422, "invalid"),
    ({"description": "\x07"}, 422, "invalid"),
    ({"billable": "yes"}, 422, "invalid"),
    ({"contract_id": 2**63}, 422, "invalid"),
    ({"contract_id": 999_999}, 404, "not_found"),
    ({"freelancer_id": 1}, 422, "invalid"),
    ({"status": "approved"}, 422, "invalid"),
]


async def test_what_makes_no_sense_is_refused(app: Litestar) -> None:
    contract, freelancer, _ = await parties(app)

    async with worlds.unmoved():
        for changed, status, code in NONSENSE:
            answer = await freelancer.post("/api/time-entries", json=hours(contract.id, **changed))
            assert (changed, problem_of(answer, status, code)["code"]) == (changed, code)


async def test_who_may_not(app: Litestar) -> None:
    contract, freelancer, client = await parties(app)
    made = body_of(await freelancer.post("/api/time-entries", json=hours(contract.id)), 201)
    stranger = await calling(app, await factories.a_freelancer())
    other_client = await calling(app, await factories.a_client())
    path, week = f"/api/time-entries/{made['id']}", {"contract_id": contract.id, "week": "2031-05-05"}

    async with worlds.unmoved():
        for caller, found, code in ((stranger, 404, "not_found"), (client, 403, "role_not_allowed")):
            problem_of(await caller.post("/api/time-entries", json=hours(contract.id)), found, code)
            problem_of(await caller.post("/api/time-entries/start", json={"contract_id": contract.id}), found, code)
            problem_of(await caller.patch(path, json={"billable": False}), found, code)
            problem_of(await caller.post(f"{path}/submit"), found, code)
            problem_of(await caller.delete(path), found, code)
        problem_of(await freelancer.post(f"{path}/approve"), 403, "role_not_allowed")
        problem_of(await other_client.post(f"{path}/approve"), 404, "not_found")
        problem_of(await other_client.post(f"{path}/reject", json={"reason": "No."}), 404, "not_found")
        problem_of(await other_client.post("/api/time-entries/weeks/approve", json=week), 404, "not_found")
        for caller in (stranger, other_client):
            problem_of(await caller.get(path), 404, "not_found")
            problem_of(await caller.get("/api/time-entries", params={"contract_id": contract.id}), 404, "not_found")
            problem_of(await caller.get("/api/time-entries/summary", params=week), 404, "not_found")
        problem_of(await anonymous(app).get(path), 401, "token_invalid")
    problem_of(await client.post(f"{path}/reject", json={"reason": " "}), 422, "invalid")
