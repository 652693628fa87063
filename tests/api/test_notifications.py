"""Notifications over HTTP: one's own, newest first, read once."""

from litestar import Litestar

from tests import factories, worlds
from tests.api.callers import anonymous, body_of, calling, problem_of


async def test_a_client_reads_what_happened(app: Litestar) -> None:
    market = await worlds.a_market(rivals=3)
    client = await calling(app, market.client)

    first = body_of(await client.get("/api/notifications", params={"limit": 2}), 200)
    rest = body_of(await client.get("/api/notifications", params={"limit": 2, "cursor": first["next_cursor"]}), 200)

    items = first["items"] + rest["items"]
    assert [one["data"]["proposal_id"] for one in items] == [one.id for one in market.proposals][::-1]
    assert {one["type"] for one in items} == {"proposal_received"}
    assert not any(one["read"] for one in items)
    assert rest["next_cursor"] is None
    assert body_of(await client.get("/api/notifications/unread-count"), 200) == {"unread_count": 3}

    assert [one["times"] for one in items] == [1, 1, 1]
    of_proposals = body_of(await client.get("/api/notifications", params={"category": "proposals"}), 200)
    assert of_proposals["items"] == items
    of_payments = body_of(await client.get("/api/notifications", params={"category": "payments"}), 200)
    assert of_payments["items"] == []
    problem_of(await client.get("/api/notifications", params={"category": "gossip"}), 422, "invalid")

    read = body_of(await client.post(f"/api/notifications/{items[0]['id']}/read"), 200)
    assert read["read"]
    assert read["read_at"].endswith("Z")
    unread = body_of(await client.get("/api/notifications", params={"unread": "true"}), 200)
    assert [one["id"] for one in unread["items"]] == [items[1]["id"], items[2]["id"]]
    assert body_of(await client.post("/api/notifications/read-all"), 200) == {"marked": 2}
    assert body_of(await client.get("/api/notifications/unread-count"), 200) == {"unread_count": 0}


async def test_nobody_reads_anothers(app: Litestar) -> None:
    market = await worlds.a_market(rivals=1)
    client, other = await calling(app, market.client), await calling(app, await factories.a_client())
    (item,) = body_of(await client.get("/api/notifications"), 200)["items"]

    assert body_of(await other.get("/api/notifications"), 200)["items"] == []
    async with worlds.unmoved():
        problem_of(await other.post(f"/api/notifications/{item['id']}/read"), 404, "not_found")
        assert body_of(await other.post("/api/notifications/read-all"), 200) == {"marked": 0}
        for path in ("/api/notifications", "/api/notifications/unread-count"):
            problem_of(await anonymous(app).get(path), 401, "token_invalid")
        problem_of(await anonymous(app).post("/api/notifications/read-all"), 401, "token_invalid")
