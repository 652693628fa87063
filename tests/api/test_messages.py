"""Messages over HTTP: sending, reading on by number, editing, taking back, finding."""

from typing import Any

import httpx
from litestar import Litestar

from tests import clock, factories, worlds
from tests.api.callers import anonymous, body_of, calling, problem_of
from tests.chats import a_chat, a_file, say

MESSAGES = "/api/messages"


async def test_a_message_is_answered_as_written_and_sent_once(app: Litestar) -> None:
    client, freelancer = await factories.a_client(), await factories.a_freelancer()
    caller = await calling(app, client)
    file_id, project = await a_file(client), await factories.a_project(client)
    body = {
        "receiver_id": freelancer.id,
        "content": " Hello\r\n\tyou <script> ",
        "client_id": "a-1",
        "attachment_ids": [file_id],
        "project_id": project.id,
    }

    sent = body_of(await caller.post(MESSAGES, json=body), 201)

    chat_id = sent["chat_id"]
    assert {**sent, "id": 0, "created_at": ""} == {
        "id": 0,
        "chat_id": chat_id,
        "seq": 1,
        "sender_id": client.id,
        "receiver_id": freelancer.id,
        "content": "Hello\n\tyou <script>",
        "client_id": "a-1",
        "project_id": project.id,
        "attachment_ids": [file_id],
        "created_at": "",
        "edited_at": None,
        "deleted_at": None,
        "read_at": None,
        "duplicate": False,
    }
    async with worlds.unmoved():
        again = body_of(await caller.post(MESSAGES, json=body), 201)
        assert again == {**sent, "duplicate": True}
        problem_of(await caller.post(MESSAGES, json={**body, "content": "Other"}), 409, "wrong_state")
    key = {"Idempotency-Key": "k1"}
    body = {"conversation_id": chat_id, "content": "More"}
    first = body_of(await caller.post(MESSAGES, json=body, headers=key), 201)
    replayed = await caller.post(MESSAGES, json=body, headers=key)
    assert body_of(replayed, 201) == {**first, "duplicate": True}
    assert replayed.headers["Idempotent-Replayed"] == "true"
    receiver = await calling(app, freelancer)
    items = body_of(await receiver.get(MESSAGES, params={"conversation_id": chat_id}), 200)["items"]
    sent.pop("duplicate")
    assert [items[0]["content"], items[1]] == ["More", sent]


MAKES_NO_SENSE: list[tuple[dict[str, Any], str]] = [
    ({"content": ""}, "content"),
    ({"content": "  \n "}, "content"),
    ({"content": "x" * 10_001}, "content"),
    ({"content": "\x07"}, "content"),
    ({"content": None}, "content"),
    ({"receiver_id": None}, "conversation_id"),
    ({"conversation_id": 1}, "conversation_id"),
    ({"receiver_id": 2**63}, "receiver_id"),
    ({"client_id": ""}, "client_id"),
    ({"client_id": "x" * 101}, "client_id"),
    ({"client_id": "a\nb"}, "client_id"),
    ({"attachment_ids": list(range(1, 12))}, "attachment_ids"),
    ({"attachment_ids": [5, 5]}, "attachment_ids"),
    ({"attachment_ids": [0]}, "attachment_ids"),
    ({"sender_id": 1}, "sender_id"),
]


async def test_what_makes_no_sense_is_422(app: Litestar) -> None:
    caller, other = await calling(app, await factories.a_client()), await factories.a_client()

    async with worlds.unmoved():
        for changed, field in MAKES_NO_SENSE:
            body = {"receiver_id": other.id, "content": "Hello", **changed}
            problem = problem_of(await caller.post(MESSAGES, json=body), 422, "invalid")
            assert problem["errors"][0]["field"].startswith(field), (changed, problem)


async def test_who_may_not_send(app: Litestar) -> None:
    chat = await a_chat()
    stranger = await calling(app, await factories.a_client())
    unverified = await calling(app, await factories.a_client(verified=False))
    client, freelancer = await calling(app, chat.client), await calling(app, chat.freelancer)
    body = {"conversation_id": chat.id, "content": "Hello"}

    async with worlds.unmoved():
        problem_of(await anonymous(app).post(MESSAGES, json=body), 401, "token_invalid")
        problem_of(await stranger.post(MESSAGES, json=body), 404, "not_found")
        to = {"receiver_id": chat.client.id, "content": "Hello"}
        problem_of(await unverified.post(MESSAGES, json=to), 403, "email_unverified")
        myself = problem_of(await client.post(MESSAGES, json=to), 422, "invalid")
        assert myself["errors"][0]["field"] == "receiver_id"
        unready = {**body, "attachment_ids": [999]}
        problem_of(await client.post(MESSAGES, json=unready), 422, "upload_not_ready")
        problem_of(await client.post(MESSAGES, json={**body, "project_id": 999}), 404, "not_found")
    assert (await freelancer.post(f"/api/users/{chat.client.id}/block")).status_code == 204
    async with worlds.unmoved():
        for caller in (client, freelancer):
            problem_of(await caller.post(MESSAGES, json=body), 403, "writer_blocked")
    assert (await freelancer.delete(f"/api/users/{chat.client.id}/block")).status_code == 204
    body_of(await client.post(MESSAGES, json=body), 201)


async def pages(caller: httpx.AsyncClient, path: str, **query: Any) -> list[list[Any]]:
    """All pages of a list, as the seqs or ids on each."""
    found, cursor = [], None
    while True:
        params = {**query, **({"cursor": cursor} if cursor else {})}
        answer = body_of(await caller.get(path, params=params), 200)
        found.append([one["seq"] for one in answer["items"]])
        cursor = answer["next_cursor"]
        if cursor is None:
            return found


async def test_messages_are_read_on_by_number(app: Litestar) -> None:
    chat = await a_chat()
    for number in range(1, 6):
        await say(chat, chat.client, f"Number {number}")
    caller, stranger = await calling(app, chat.freelancer), await calling(app, await factories.an_admin())
    of_chat = {"conversation_id": chat.id}

    assert await pages(caller, MESSAGES, **of_chat, limit=2) == [[5, 4], [3, 2], [1]]
    assert await pages(caller, MESSAGES, **of_chat, limit=2, before_seq=4) == [[3, 2], [1]]
    assert await pages(caller, MESSAGES, **of_chat, limit=2, after_seq=0) == [[1, 2], [3, 4], [5]]
    assert await pages(caller, MESSAGES, **of_chat, after_seq=3) == [[4, 5]]
    assert await pages(caller, MESSAGES, **of_chat, after_seq=5) == [[]]
    problem_of(await caller.get(MESSAGES), 422, "invalid")
    both = {**of_chat, "after_seq": 1, "before_seq": 3}
    problem_of(await caller.get(MESSAGES, params=both), 422, "invalid")
    down = body_of(await caller.get(MESSAGES, params={**of_chat, "limit": 1}), 200)["next_cursor"]
    for bad in (
        {"cursor": down, "after_seq": 1},
        {"cursor": down[:-2]},
        {"after_seq": -1},
        {"before_seq": 2**53},
        {"after": 1},
    ):
        problem_of(await caller.get(MESSAGES, params={**of_chat, **bad}), 422, "invalid")
    problem_of(await stranger.get(MESSAGES, params=of_chat), 404, "not_found")
    problem_of(await anonymous(app).get(MESSAGES, params=of_chat), 401, "token_invalid")


async def test_a_message_is_edited_and_taken_back_by_its_sender(app: Litestar) -> None:
    chat = await a_chat()
    sent = await say(chat, chat.client, "Helo")
    path = f"{MESSAGES}/{sent.id}"
    caller, other = await calling(app, chat.client), await calling(app, chat.freelancer)
    stranger = await calling(app, await factories.an_admin())

    edited = body_of(await caller.patch(path, json={"content": "Hello"}), 200)
    assert (edited["content"], edited["edited_at"] is None) == ("Hello", False)
    async with worlds.unmoved():
        problem_of(await caller.patch(path, json={"content": ""}), 422, "invalid")
        problem_of(await caller.patch(path, json={"content": "Hi", "seq": 9}), 422, "invalid")
        problem_of(await other.patch(path, json={"content": "Mine"}), 403, "not_allowed")
        problem_of(await other.delete(path), 403, "not_allowed")
        problem_of(await stranger.patch(path, json={"content": "Mine"}), 404, "not_found")
        problem_of(await stranger.delete(path), 404, "not_found")
        problem_of(await anonymous(app).delete(path), 401, "token_invalid")
    await clock.ahead(minutes=16)
    async with worlds.unmoved():
        problem_of(await caller.patch(path, json={"content": "Late"}), 409, "wrong_state")
    for _ in range(2):
        assert (await caller.delete(path)).status_code == 204
    (gone,) = body_of(await other.get(MESSAGES, params={"conversation_id": chat.id}), 200)["items"]
    assert (gone["content"], gone["deleted_at"] is None, gone["seq"]) == ("", False, 1)


async def test_messages_are_found_by_their_words(app: Litestar) -> None:
    chat, elsewhere = await a_chat(), await a_chat()
    for number in range(1, 4):
        await say(chat, chat.client, f"Bicycle {number}")
        await say(elsewhere, elsewhere.client, "A bicycle")
    caller = await calling(app, chat.freelancer)
    search = f"{MESSAGES}/search"

    assert await pages(caller, search, q="bicycles", limit=2) == [[3, 2], [1]]
    assert await pages(caller, search, q="bicycle 2") == [[2]]
    for nothing in ("   ", "'", "\\", "-", '"', "the"):
        assert await pages(caller, search, q=nothing) == [[]]
    for bad in ({}, {"q": ""}, {"q": "x" * 201}, {"q": "a\x00b"}, {"q": "a", "cursor": "x"}):
        problem_of(await caller.get(search, params=bad), 422, "invalid")
    problem_of(await anonymous(app).get(search, params={"q": "bicycle"}), 401, "token_invalid")
