"""Freelancers over HTTP: lists of every order, and one with their work and reviews."""

from decimal import Decimal
from typing import Any

from litestar import Litestar

from api.pages import encode_cursor
from models import guard, portfolio, profiles
from models.money import Money
from tests import factories
from tests.api.callers import body_of, calling, problem_of
from tests.reviewing import a_completed_contract, a_review, both_reviewed


async def a_skilled(first_name: str, rate: int, **said: Any) -> int:
    person = await factories.a_freelancer()
    changed = {"first_name": first_name, "hourly_rate": Money(rate, "USD"), "skills": ["Python"], **said}
    await guard.commit(profiles.edit, person.id, **changed)
    return person.id


async def test_freelancers_are_listed_a_page_at_a_time_in_every_order(app: Litestar) -> None:
    ids = [await a_skilled("Anna", 3000), await a_skilled("Bert", 1000, country="DE"), await a_skilled("Cleo", 2000)]
    anna, bert, cleo = ids
    await guard.rows("update users set rating_sum = 9, rating_count = 2 where id = $1", bert)
    caller = await calling(app, await factories.a_client())

    async def listed(**query: Any) -> list[int]:
        seen: list[int] = []
        cursor: dict[str, str] = {}
        while True:
            answer = await caller.get("/api/freelancers", params={"limit": 2, **query, **cursor})
            found = body_of(answer, 200)
            seen += [one["id"] for one in found["items"]]
            if found["next_cursor"] is None:
                return seen
            cursor = {"cursor": found["next_cursor"]}

    assert await listed() == [cleo, bert, anna]
    assert await listed(sort="rating") == [bert, cleo, anna]
    assert await listed(sort="rate_low", currency="usd") == [bert, cleo, anna]
    assert await listed(sort="rate_high", currency="USD", max_rate="29.99") == [cleo, bert]
    assert await listed(min_rate="20.00", currency="USD") == [cleo, anna]
    assert await listed(q="anna OR cleo", sort="relevance") == [cleo, anna]
    assert await listed(skills="PYTHON", country="DE", min_rating="4.5", available="true") == [bert]
    assert await listed(available="false") == []
    assert await listed(q="frieda") == []
    (one,) = body_of(await caller.get("/api/freelancers?q=bert"), 200)["items"]
    assert (one["hourly_rate"], one["currency"], one["rating"], one["review_count"]) == (10, "USD", Decimal("4.50"), 2)
    assert not {"email", "phone", "rating_sum", "time_zone"} & set(one)


async def test_what_cannot_be_sought(app: Litestar) -> None:
    caller = await calling(app, await factories.a_client())
    for query, code in (
        ("sort=best", "invalid"),
        ("sort=relevance", "invalid"),
        ("sort=rate_low", "invalid"),
        ("min_rate=5", "invalid"),
        ("min_rate=-5&currency=USD", "invalid"),
        ("min_rate=5.001&currency=USD", "amount_too_precise"),
        ("min_rate=NaN&currency=USD", "invalid"),
        ("currency=ZZZ", "currency_unsupported"),
        ("currency=USDX", "invalid"),
        ("min_rating=6", "invalid"),
        ("min_rating=NaN", "invalid"),
        ("country=de", "invalid"),
        ("q=-python", "invalid"),
        ("q=a%00b", "invalid"),
        ("q=" + "x" * 201, "invalid"),
        ("skills=" + ",".join(f"s{n}" for n in range(31)), "invalid"),
        ("available=perhaps", "invalid"),
    ):
        problem_of(await caller.get(f"/api/freelancers?{query}"), 422, code)
    page = body_of(await caller.get("/api/freelancers"), 200)
    assert page == {"items": [], "next_cursor": None}
    await a_skilled("Anna", 1000)
    await a_skilled("Bert", 1000)
    cursor = body_of(await caller.get("/api/freelancers?limit=1"), 200)["next_cursor"]
    problem_of(await caller.get(f"/api/freelancers?sort=rating&cursor={cursor}"), 422, "invalid")
    forged = encode_cursor("freelancers by newest", {"key": 1e300, "id": 1})
    problem_of(await caller.get(f"/api/freelancers?cursor={forged}"), 422, "invalid")


async def test_one_freelancer_has_their_work_and_what_is_said_of_them(app: Litestar) -> None:
    freelancer = await factories.a_freelancer()
    caller = await calling(app, await factories.a_client())
    item = await guard.commit(portfolio.add, freelancer.id, title="A shop")
    shown, _ = await both_reviewed(await a_completed_contract(None, freelancer), of_freelancer=3)
    pending = await a_completed_contract(None, freelancer)
    await a_review(pending, pending.client_id)

    seen = body_of(await caller.get(f"/api/freelancers/{freelancer.id}"), 200)

    assert (seen["rating"], seen["review_count"], seen["user_type"]) == (3, 1, "freelancer")
    assert [one["id"] for one in seen["portfolio"]] == [item.id]
    assert [one["id"] for one in seen["reviews"]] == [shown.id]
    assert "email" not in seen
    problem_of(await caller.get("/api/freelancers/999999"), 404, "not_found")
    await guard.rows("update users set suspended_at = now() where id = $1", freelancer.id)
    problem_of(await caller.get(f"/api/freelancers/{freelancer.id}"), 404, "not_found")
