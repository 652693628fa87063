"""Projects over HTTP: the wire's shapes, who may call what, and what a body may hold."""

from decimal import Decimal
from typing import Any

import httpx
import pytest
from litestar import Litestar

from models import guard
from tests import factories, worlds
from tests.api.callers import anonymous, body_of, calling, problem_of

BODY: dict[str, Any] = {
    "title": "A shop for bicycles",
    "description": "Sell bicycles\nto people who walk.",
    "category": "web",
    "skills": ["Python", "SQL"],
    "budget_type": "fixed",
    "budget_min": 500.10,
    "budget_max": 2000,
    "currency": "USD",
    "visibility": "public",
}


async def test_a_draft_is_answered_as_written(app: Litestar) -> None:
    client = await factories.a_client()
    caller = await calling(app, client)

    made = body_of(await caller.post("/api/projects", json={**BODY, "title": "  A shop for bicycles\t"}), 201)

    assert {name: made[name] for name in BODY} == {**BODY, "budget_min": Decimal("500.10"), "budget_max": Decimal(2000)}
    assert made["status"] == "draft"
    assert made["client_id"] == client.id
    assert made["published_at"] is None
    assert made["created_at"].endswith("Z")
    assert body_of(await caller.get(f"/api/projects/{made['id']}"), 200) == made


async def test_money_is_a_number_with_the_currencys_decimals(app: Litestar) -> None:
    caller = await calling(app, await factories.a_client())

    dollars = await caller.post("/api/projects", json=BODY)
    yen = await caller.post("/api/projects", json={**BODY, "currency": "jpy", "budget_min": 5, "budget_max": 70})

    assert b'"budget_min":500.10,"budget_max":2000.00,"currency":"USD"' in dollars.content
    assert b'"budget_min":5,"budget_max":70,"currency":"JPY"' in yen.content


async def test_an_amount_is_never_a_float(app: Litestar) -> None:
    caller = await calling(app, await factories.a_client())
    raw = b'{"title":"T","description":"D","category":"c","budget_min":0.01,"budget_max":999999.99,"currency":"USD"}'

    made = await caller.post("/api/projects", content=raw, headers={"Content-Type": "application/json"})

    assert b'"budget_min":0.01,"budget_max":999999.99' in made.content
    assert await guard.value("select budget_max_minor from projects") == 99_999_999


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"title": ""}, "invalid"),
        ({"title": "   "}, "invalid"),
        ({"title": "x" * 201}, "invalid"),
        ({"title": "two\nlines"}, "invalid"),
        ({"title": "nu\x00ll"}, "invalid"),
        ({"description": "nu\x00ll"}, "invalid"),
        ({"description": "bell\x07"}, "invalid"),
        ({"description": "x" * 20_001}, "invalid"),
        ({"skills": ["ok", " "]}, "invalid"),
        ({"skills": ["x"] * 31}, "invalid"),
        ({"skills": ["nu\x00ll"]}, "invalid"),
        ({"budget_type": "barter"}, "invalid"),
        ({"visibility": "secret"}, "invalid"),
        ({"status": "open"}, "invalid"),
        ({"client_id": 1}, "invalid"),
        ({"deadline": "yesterday"}, "invalid"),
        ({"deadline": "2020-01-01"}, "invalid"),
        ({"budget_min": None}, "invalid"),
        ({"budget_min": "NaN"}, "amount_too_precise"),
        ({"budget_min": "1e999999"}, "amount_too_precise"),
        ({"budget_min": 0.001}, "amount_too_precise"),
        ({"budget_min": 0}, "amount_out_of_bounds"),
        ({"budget_min": 3000}, "amount_out_of_bounds"),
        ({"budget_max": 1_000_000}, "amount_out_of_bounds"),
        ({"currency": "DOGE"}, "invalid"),
        ({"currency": "ZZZ"}, "currency_unsupported"),
    ],
)
async def test_what_makes_no_sense_is_422(app: Litestar, changed: dict[str, Any], code: str) -> None:
    caller = await calling(app, await factories.a_client())

    async with worlds.unmoved():
        problem_of(await caller.post("/api/projects", json={**BODY, **changed}), 422, code)


async def test_a_wrong_field_is_named(app: Litestar) -> None:
    caller = await calling(app, await factories.a_client())

    problem = problem_of(await caller.post("/api/projects", json={**BODY, "title": "\x07"}), 422, "invalid")

    assert [one["field"] for one in problem["errors"]] == ["title"]


async def test_no_body_at_all_is_refused_in_words(app: Litestar) -> None:
    async with await calling(app, await factories.a_client()) as client:
        refused = problem_of(await client.post("/api/projects"), 422, "invalid")
    assert refused["errors"] == [{"field": "", "message": "Send a JSON object."}]


async def test_writing_and_publishing_are_for_clients(app: Litestar) -> None:
    draft = await factories.a_project(open=False)
    freelancer, nobody = await calling(app, await factories.a_freelancer()), anonymous(app)

    async with worlds.unmoved():
        problem_of(await freelancer.post("/api/projects", json=BODY), 403, "role_not_allowed")
        problem_of(await freelancer.post(f"/api/projects/{draft.id}/publish"), 403, "role_not_allowed")
        problem_of(await freelancer.get("/api/projects/my"), 403, "role_not_allowed")
        problem_of(await nobody.post("/api/projects", json=BODY), 401, "token_invalid")
        problem_of(await nobody.get("/api/projects"), 401, "token_invalid")
        problem_of(await nobody.get(f"/api/projects/{draft.id}"), 401, "token_invalid")


async def test_an_unverified_client_writes_but_does_not_publish(app: Litestar) -> None:
    caller = await calling(app, await factories.a_client(verified=False))
    made = body_of(await caller.post("/api/projects", json=BODY), 201)

    async with worlds.unmoved():
        problem_of(await caller.post(f"/api/projects/{made['id']}/publish"), 403, "email_unverified")


async def test_publishing_is_once_and_ones_own(app: Litestar) -> None:
    client = await factories.a_client()
    draft = await factories.a_project(client, open=False)
    caller, other = await calling(app, client), await calling(app, await factories.a_client())

    problem_of(await other.post(f"/api/projects/{draft.id}/publish"), 404, "not_found")
    assert body_of(await caller.post(f"/api/projects/{draft.id}/publish"), 200)["status"] == "open"
    problem_of(await caller.post(f"/api/projects/{draft.id}/publish"), 409, "wrong_state")


async def test_a_draft_looks_like_nothing_to_others(app: Litestar) -> None:
    draft = await factories.a_project(open=False)
    freelancer = await calling(app, await factories.a_freelancer())
    admin = await calling(app, await factories.an_admin())

    problem_of(await freelancer.get(f"/api/projects/{draft.id}"), 404, "not_found")
    assert body_of(await admin.get(f"/api/projects/{draft.id}"), 200)["id"] == draft.id


@pytest.mark.parametrize("unsound", ["0", "-1", str(2**53), str(2**63), "9" * 5000, "x", "1.5"])
async def test_an_id_out_of_range_is_no_error_of_ours(app: Litestar, unsound: str) -> None:
    caller = await calling(app, await factories.a_client())

    assert (await caller.get(f"/api/projects/{unsound}")).status_code in (404, 422)
    assert (await caller.post(f"/api/projects/{unsound}/publish")).status_code in (404, 422)


async def listed(caller: httpx.AsyncClient, **query: Any) -> list[int]:
    return [one["id"] for one in body_of(await caller.get("/api/projects", params=query), 200)["items"]]


async def test_open_projects_are_found_by_what_they_are(app: Litestar) -> None:
    web = await factories.a_project(brief=factories.a_brief(category="web", budget=("500", "2000")))
    art = await factories.a_project(brief=factories.a_brief(category="art", skills=["Oil, on canvas"], currency="EUR"))
    await factories.a_project(open=False)
    caller = await calling(app, await factories.a_freelancer())

    assert await listed(caller) == [art.id, web.id]
    assert await listed(caller, category=" WEB ") == [web.id]
    assert await listed(caller, skills="postgresql,Python") == [web.id]
    assert await listed(caller, currency="eur") == [art.id]
    assert await listed(caller, budget_min="2000.01") == []
    assert await listed(caller, budget_max="500", client_id=web.client_id) == [web.id]


@pytest.mark.parametrize(
    "query",
    [
        {"budget_min": "NaN"},
        {"budget_min": "-1"},
        {"budget_max": "Infinity"},
        {"budget_max": "1e400"},
        {"category": "nu\x00ll"},
        {"skills": "nu\x00ll"},
        {"skills": ",".join(f"s{n}" for n in range(31))},
        {"client_id": str(2**63)},
        {"limit": "0"},
        {"limit": "101"},
        {"cursor": "rubbish"},
    ],
)
async def test_a_question_that_makes_no_sense_is_422(app: Litestar, query: dict[str, str]) -> None:
    caller = await calling(app, await factories.a_freelancer())

    problem_of(await caller.get("/api/projects", params=query), 422, "invalid")


async def test_pages_follow_one_another(app: Litestar) -> None:
    client = await factories.a_client()
    made = [(await factories.a_project(client)).id for _ in range(5)]
    caller = await calling(app, client)

    for path in ("/api/projects", "/api/projects/my"):
        seen, cursor = [], None
        for _ in range(3):
            page = body_of(await caller.get(path, params={"limit": 2, **({"cursor": cursor} if cursor else {})}), 200)
            seen += [one["id"] for one in page["items"]]
            cursor = page["next_cursor"]
        assert seen == made[::-1]
        assert cursor is None


async def test_my_projects_are_narrowed_by_state(app: Litestar) -> None:
    client = await factories.a_client()
    draft = await factories.a_project(client, open=False)
    await factories.a_project(client)
    caller = await calling(app, client)

    found = body_of(await caller.get("/api/projects/my", params={"status": "draft"}), 200)

    assert [one["id"] for one in found["items"]] == [draft.id]
    problem_of(await caller.get("/api/projects/my", params={"status": "lost"}), 422, "invalid")


async def test_a_client_edits_closes_cancels_and_deletes_their_own(app: Litestar) -> None:
    client = await factories.a_client()
    caller, other = await calling(app, client), await calling(app, await factories.a_client())
    draft, second = await factories.a_project(client, open=False), await factories.a_project(client, open=False)
    project = await factories.a_project(client)
    path = f"/api/projects/{draft.id}"

    async with worlds.unmoved():
        for method, below in (("PATCH", ""), ("DELETE", ""), ("POST", "/close"), ("POST", "/cancel")):
            json = {"title": "Mine"} if method == "PATCH" else None
            problem_of(await other.request(method, path + below, json=json), 404, "not_found")
        problem_of(await caller.post(f"{path}/close"), 409, "wrong_state")
        problem_of(await caller.delete(f"/api/projects/{project.id}"), 409, "wrong_state")
    edited = body_of(
        await caller.patch(path, json={"currency": "eur", "budget_max": 700.5, "skills": ["Go", "Go"]}), 200
    )
    assert (edited["currency"], edited["budget_min"], edited["budget_max"]) == ("EUR", Decimal(500), Decimal("700.50"))
    assert edited["skills"] == ["Go"]
    assert body_of(await caller.patch(path, json={}), 200) == edited
    assert (await caller.delete(path)).status_code == 204
    problem_of(await caller.get(path), 404, "not_found")
    assert body_of(await caller.post(f"/api/projects/{second.id}/cancel"), 200)["status"] == "cancelled"
    assert body_of(await caller.post(f"/api/projects/{project.id}/close"), 200)["status"] == "closed"
    problem_of(await caller.patch(f"/api/projects/{project.id}", json={"title": "Late"}), 409, "wrong_state")


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"title": " "}, "invalid"),
        ({"title": None}, "invalid"),
        ({"description": "nu\x00ll"}, "invalid"),
        ({"skills": ["two\nlines"]}, "invalid"),
        ({"status": "open"}, "invalid"),
        ({"deadline": "2020-01-01"}, "invalid"),
        ({"budget_max": 1}, "amount_out_of_bounds"),
        ({"currency": "ZZZ"}, "currency_unsupported"),
    ],
)
async def test_an_edit_that_makes_no_sense_is_422(app: Litestar, changed: dict[str, Any], code: str) -> None:
    client = await factories.a_client()
    draft, caller = await factories.a_project(client, open=False), await calling(app, client)

    async with worlds.unmoved():
        problem_of(await caller.patch(f"/api/projects/{draft.id}", json=changed), 422, code)
