"""Portfolios over HTTP."""

from litestar import Litestar

from tests import factories
from tests.api.callers import body_of, calling, problem_of
from tests.uploading import an_upload


async def test_a_portfolio_is_made_seen_changed_and_emptied(app: Litestar) -> None:
    person = await factories.a_freelancer()
    picture = await an_upload(person)
    caller, other = await calling(app, person), await calling(app, await factories.a_client())
    said = {
        "title": " A shop ",
        "description": "Two\nlines",
        "url": "https://shop.example.com",
        "upload_ids": [picture],
    }

    made = body_of(await caller.post("/api/portfolio", json=said, headers={"Idempotency-Key": "one"}), 201)

    assert (made["title"], made["upload_ids"], made["position"], made["user_id"]) == ("A shop", [picture], 0, person.id)
    again = await caller.post("/api/portfolio", json=said, headers={"Idempotency-Key": "one"})
    assert body_of(again, 201) == made
    second = body_of(await caller.post("/api/portfolio", json={"title": "Second"}), 201)
    page = body_of(await other.get(f"/api/portfolio?user_id={person.id}&limit=1"), 200)
    assert page["items"] == [made]
    rest = body_of(await other.get(f"/api/portfolio?user_id={person.id}&cursor={page['next_cursor']}"), 200)
    assert rest == {"items": [second], "next_cursor": None}
    changed = body_of(await caller.patch(f"/api/portfolio/{made['id']}", json={"url": None, "position": 7}), 200)
    assert (changed["url"], changed["position"], changed["title"]) == (None, 7, "A shop")
    assert (await caller.delete(f"/api/portfolio/{made['id']}")).status_code == 204
    problem_of(await caller.delete(f"/api/portfolio/{made['id']}"), 404, "not_found")


async def test_what_no_portfolio_takes(app: Litestar) -> None:
    caller = await calling(app, await factories.a_freelancer())
    client = await calling(app, await factories.a_client())

    for body, code in (
        ({}, "invalid"),
        ({"title": ""}, "invalid"),
        ({"title": "x", "url": "javascript:alert(1)"}, "invalid"),
        ({"title": "x", "upload_ids": [1, 1]}, "invalid"),
        ({"title": "x", "upload_ids": [7]}, "upload_not_ready"),
        ({"title": "x", "position": -1}, "invalid"),
        ({"title": "x", "user_id": 1}, "invalid"),
    ):
        problem_of(await caller.post("/api/portfolio", json=body), 422, code)
    problem_of(await client.post("/api/portfolio", json={"title": "x"}), 403, "role_not_allowed")
    problem_of(await caller.get("/api/portfolio"), 422, "invalid")
    problem_of(await caller.get("/api/portfolio?user_id=1&cursor=AAAA"), 422, "invalid")
