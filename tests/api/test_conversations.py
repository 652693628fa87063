"""Chats and blocks over HTTP."""

from litestar import Litestar

from tests import clock, factories, worlds
from tests.api.callers import anonymous, body_of, calling, problem_of
from tests.chats import a_chat, say

CHATS = "/api/conversations"


async def test_a_chat_is_made_or_found_and_shows_what_is_new(app: Litestar) -> None:
    client, freelancer = await factories.a_client(), await factories.a_freelancer()
    caller, other = await calling(app, client), await calling(app, freelancer)

    made = body_of(await caller.post(CHATS, json={"user_id": freelancer.id}), 200)
    assert made == {
        "id": made["id"],
        "user": {"id": freelancer.id, "name": "Frida Freelancer"},
        "last_message": None,
        "last_seq": 0,
        "read_seq": 0,
        "other_read_seq": 0,
        "unread": 0,
        "last_at": None,
        "created_at": made["created_at"],
    }
    async with worlds.unmoved():
        assert body_of(await other.post(CHATS, json={"user_id": client.id}), 200)["id"] == made["id"]
    assert body_of(await other.get(CHATS), 200)["items"] == []
    for content in ("One", "Two"):
        await caller.post("/api/messages", json={"conversation_id": made["id"], "content": content})

    (shown,) = body_of(await other.get(CHATS), 200)["items"]
    assert shown["last_message"] == {"seq": 2, "sender_id": client.id, "excerpt": "Two", "deleted": False}
    assert (shown["unread"], shown["last_seq"], shown["read_seq"], shown["other_read_seq"]) == (2, 2, 0, 2)
    path = f"{CHATS}/{made['id']}"
    assert body_of(await other.get(path), 200) == shown
    assert body_of(await other.post(f"{path}/read", json={"seq": 1}), 200)["unread"] == 1
    assert body_of(await other.post(f"{path}/read", json={"seq": 99}), 200) == {**shown, "unread": 0, "read_seq": 2}


async def test_chats_come_in_pages_the_last_written_to_first(app: Litestar) -> None:
    me = await factories.a_client()
    caller, ids = await calling(app, me), []
    for _ in range(3):
        friend = await factories.a_freelancer()
        body = {"receiver_id": friend.id, "content": "Hello"}
        ids.append(body_of(await caller.post("/api/messages", json=body), 201)["chat_id"])
    await clock.ahead(minutes=1)
    await caller.post("/api/messages", json={"conversation_id": ids[0], "content": "Again"})

    first = body_of(await caller.get(CHATS, params={"limit": 2}), 200)
    rest = body_of(await caller.get(CHATS, params={"limit": 2, "cursor": first["next_cursor"]}), 200)

    assert [one["id"] for one in first["items"] + rest["items"]] == [ids[0], ids[2], ids[1]]
    assert rest["next_cursor"] is None
    problem_of(await caller.get(CHATS, params={"cursor": first["next_cursor"][:-3]}), 422, "invalid")


async def test_who_may_not(app: Litestar) -> None:
    chat, person = await a_chat(), await factories.a_client()
    await say(chat, chat.client)
    stranger, nobody = await calling(app, person), anonymous(app)
    unverified = await calling(app, await factories.a_client(verified=False))
    path = f"{CHATS}/{chat.id}"

    async with worlds.unmoved():
        for status, code, caller in ((401, "token_invalid", nobody), (404, "not_found", stranger)):
            problem_of(await caller.get(path), status, code)
            problem_of(await caller.post(f"{path}/read", json={"seq": 1}), status, code)
        problem_of(await stranger.get(f"{CHATS}/999999"), 404, "not_found")
        problem_of(await stranger.post(CHATS, json={"user_id": 999_999}), 404, "not_found")
        problem_of(await stranger.post(CHATS, json={"user_id": person.id}), 422, "invalid")
        problem_of(await unverified.post(CHATS, json={"user_id": person.id}), 403, "email_unverified")
        for body in ({"seq": -1}, {"seq": 2**53}, {"seq": "1"}, {}, {"seq": 1, "user_id": 1}):
            problem_of(await stranger.post(f"{path}/read", json=body), 422, "invalid")
        for method, one in (("GET", CHATS), ("POST", CHATS), ("GET", "/api/users/me/blocks")):
            problem_of(await nobody.request(method, one), 401, "token_invalid")


async def test_blocks_are_ones_own(app: Litestar) -> None:
    me, *others = [await factories.a_client() for _ in range(4)]
    caller = await calling(app, me)
    for one in others:
        for _ in range(2):
            assert (await caller.post(f"/api/users/{one.id}/block")).status_code == 204

    first = body_of(await caller.get("/api/users/me/blocks", params={"limit": 2}), 200)
    rest = body_of(await caller.get("/api/users/me/blocks", params={"cursor": first["next_cursor"]}), 200)

    assert [one["user_id"] for one in first["items"] + rest["items"]] == [one.id for one in others][::-1]
    assert first["items"][0]["user_name"] == "Clara Client"
    assert (await caller.delete(f"/api/users/{others[0].id}/block")).status_code == 204
    async with worlds.unmoved():
        assert (await caller.delete(f"/api/users/{others[0].id}/block")).status_code == 204
        problem_of(await caller.post(f"/api/users/{me.id}/block"), 422, "invalid")
        problem_of(await caller.post("/api/users/999999/block"), 404, "not_found")
    blocked = await calling(app, others[1])
    assert body_of(await blocked.get("/api/users/me/blocks"), 200)["items"] == []
    problem_of(await blocked.post(CHATS, json={"user_id": me.id}), 403, "writer_blocked")
