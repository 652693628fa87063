"""Messages: stored once, numbered without gaps, edited for a while, taken back; found by their words."""

from typing import Any

import msgspec
import pytest

from models import blocks, guard, messages
from models.errors import (
    DomainError,
    Invalid,
    NotAllowed,
    NotFound,
    TokenInvalid,
    UploadNotReady,
    WriterBlocked,
    WrongState,
)
from models.messages import MAX_CONTENT_CHARS, MessageRow, Written
from models.projects import Visibility
from tests import clock, factories, worlds
from tests.chats import a_chat, a_file, say, unread


async def listed(chat_id: int, user_id: int, **bounds: int) -> list[int]:
    found = await messages.list_own(chat_id, user_id=user_id, limit=10, **bounds)
    return [one.seq for one in found]


async def test_a_message_is_stored_numbered_and_told_to_both(database: str) -> None:
    client, freelancer = await factories.a_client(), await factories.a_freelancer()
    project = await factories.a_project(client)
    files = [await a_file(client), await a_file(client)]
    written = Written(content="Hello\n<b>you</b>", client_id="a", project_id=project.id, attachment_ids=tuple(files))

    first = await guard.commit(messages.send, written, sender_id=client.id, receiver_id=freelancer.id)
    answer = await guard.commit(
        messages.send, Written(content="Hi"), sender_id=freelancer.id, conversation_id=first.chat_id
    )
    back = await guard.commit(messages.send, Written(content="So?"), sender_id=client.id, receiver_id=freelancer.id)

    assert [(one.chat_id, one.seq) for one in (first, answer, back)] == [(first.chat_id, seq) for seq in (1, 2, 3)]
    assert (first.sender_id, first.receiver_id) == (client.id, freelancer.id)
    assert (first.content, first.client_id, first.project_id) == ("Hello\n<b>you</b>", "a", project.id)
    assert (first.attachment_ids, first.duplicate, first.read_at) == (files, False, None)
    told = ("new_message", {"sender_id": client.id, "receiver_id": freelancer.id, "content": "Hello\n<b>you</b>"})
    for person in (client, freelancer):
        heard = [one for one in await worlds.heard(f"user:{person.id}") if one[0] == "new_message"]
        assert len(heard) == 3
        assert heard[0][1].pop("created_at").endswith("Z")
        assert heard[0] == told
    assert await listed(first.chat_id, client.id) == [3, 2, 1]
    assert await listed(first.chat_id, freelancer.id, before=3) == [2, 1]
    assert await listed(first.chat_id, client.id, after=1) == [2, 3]
    assert await messages.read(first.id, user_id=freelancer.id) != first, "it is read by now: it was answered"


async def test_what_was_sent_before_is_not_sent_again(database: str) -> None:
    chat = await a_chat()
    first = await say(chat, chat.client, "Hello", client_id="a")
    await guard.commit(blocks.make, chat.client.id, blocker_id=chat.freelancer.id)

    async with worlds.unmoved():
        again = await say(chat, chat.client, "Hello", client_id="a")
    assert again == msgspec.structs.replace(first, duplicate=True), "also when a new one would be refused"
    async with worlds.refused(WrongState, "Another message"):
        await say(chat, chat.client, "Hullo", client_id="a")
    await guard.commit(blocks.lift, chat.client.id, blocker_id=chat.freelancer.id)
    other = await factories.a_client()
    async with worlds.refused(WrongState, "Another message"):
        await guard.commit(
            messages.send, Written(content="Hello", client_id="a"), sender_id=chat.client.id, receiver_id=other.id
        )
    # The name is the sender's own.
    assert (await say(chat, chat.freelancer, "Hello", client_id="a")).seq == 2
    await guard.commit(messages.edit, first.id, "Hey", sender_id=chat.client.id)
    assert (await say(chat, chat.client, "Hello", client_id="a")).content == "Hey"


MAKES_NO_SENSE = [
    (Written(content=""), "content"),
    (Written(content=" \n"), "content"),
    (Written(content="x" * (MAX_CONTENT_CHARS + 1)), "content"),
    (Written(content="x", attachment_ids=tuple(range(1, 12))), "attachment_ids"),
    (Written(content="x", attachment_ids=(1, 1)), "attachment_ids"),
    (Written(content="x", client_id=""), "client_id"),
    (Written(content="x", client_id="x" * 101), "client_id"),
]


async def test_a_message_that_makes_no_sense_is_refused(database: str) -> None:
    chat = await a_chat()

    for written, field in MAKES_NO_SENSE:
        async with worlds.refused(Invalid):
            with pytest.raises(Invalid) as raised:
                await guard.commit(messages.send, written, sender_id=chat.client.id, conversation_id=chat.id)
            assert raised.value.field == field
            raise raised.value


async def test_the_longest_message_is_taken(database: str) -> None:
    chat = await a_chat()

    assert len((await say(chat, chat.client, "ü" * MAX_CONTENT_CHARS)).content) == MAX_CONTENT_CHARS


async def test_one_names_only_what_is_ones_own_to_name(database: str) -> None:
    chat = await a_chat()
    private = await factories.a_project(brief=factories.a_brief(visibility=Visibility.PRIVATE))
    mine = await a_file(chat.client)
    bad = [
        await a_file(chat.freelancer),
        await a_file(chat.client, purpose="avatar"),
        await a_file(chat.client, status="checking"),
        999_999,
    ]

    for one in bad:
        async with worlds.refused(UploadNotReady):
            await say(chat, chat.client, attachment_ids=(mine, one))
    for project_id in (private.id, 999_999):
        async with worlds.refused(NotFound, "no project"):
            await say(chat, chat.client, project_id=project_id)
    assert await unread(chat, chat.freelancer) == 0


async def test_who_cannot_be_written_to(database: str) -> None:
    chat, stranger = await a_chat(), await factories.a_client()

    async def send(sender_id: int, error: type[DomainError], **to: int) -> None:
        async with worlds.refused(error):
            await guard.commit(messages.send, Written(content="Hello"), sender_id=sender_id, **to)

    await send(stranger.id, NotFound, conversation_id=chat.id)
    await send(stranger.id, NotFound, conversation_id=999_999)
    await send(stranger.id, NotFound, receiver_id=999_999)
    await send(stranger.id, Invalid, receiver_id=stranger.id)
    for gone in ("suspended_at", "deactivated_at", "erased_at = now(), deactivated_at"):
        await guard.rows(f"update users set {gone} = now() where id = $1", chat.freelancer.id)
        await send(chat.client.id, NotFound, conversation_id=chat.id)
        await send(chat.client.id, NotFound, receiver_id=chat.freelancer.id)
        await send(stranger.id, NotFound, receiver_id=chat.freelancer.id)
        await guard.rows("update users set suspended_at = null, deactivated_at = null, erased_at = null")
    await guard.rows("update users set suspended_at = now() where id = $1", stranger.id)
    await send(stranger.id, TokenInvalid, receiver_id=chat.freelancer.id)


async def test_a_block_holds_in_both_directions_and_says_not_whose_it_is(database: str) -> None:
    chat = await a_chat()
    sent = await say(chat, chat.client)
    stranger = await factories.a_client()
    await guard.commit(blocks.make, chat.client.id, blocker_id=chat.freelancer.id)
    await guard.commit(blocks.make, stranger.id, blocker_id=chat.freelancer.id)

    said = set()
    for sender in (chat.client, chat.freelancer):
        async with worlds.refused(WriterBlocked):
            with pytest.raises(WriterBlocked) as raised:
                await say(chat, sender)
            said.add(raised.value.detail)
            raise raised.value
    assert len(said) == 1
    async with worlds.refused(WriterBlocked):
        await guard.commit(messages.edit, sent.id, "Worse", sender_id=chat.client.id)
    async with worlds.refused(WriterBlocked):
        await guard.commit(
            messages.send, Written(content="Hello"), sender_id=stranger.id, receiver_id=chat.freelancer.id
        )
    assert await listed(chat.id, chat.client.id) == [1], "what was written stays"
    await guard.commit(messages.delete, sent.id, sender_id=chat.client.id)

    await guard.commit(blocks.lift, chat.client.id, blocker_id=chat.freelancer.id)
    assert (await say(chat, chat.client)).seq == 2


async def test_a_message_is_edited_by_its_sender_for_fifteen_minutes(database: str) -> None:
    chat = await a_chat()
    sent = await say(chat, chat.client, "Helo")
    stranger = await factories.a_client()

    await clock.ahead(minutes=14)
    edited = await guard.commit(messages.edit, sent.id, "Hello", sender_id=chat.client.id)

    assert (edited.content, edited.seq, edited.edited_at is None) == ("Hello", 1, False)
    for person in (chat.client, chat.freelancer):
        ((_, first), (name, last)) = await worlds.heard(f"user:{person.id}")
        assert first["content"] == "Hello", "whoever asks for it again is told what it says now"
        assert (name, last["id"], last["chat_id"], last["seq"]) == ("message_edited", sent.id, chat.id, 1)
        assert last["content"] == "Hello"
    async with worlds.refused(NotAllowed):
        await guard.commit(messages.edit, sent.id, "Mine", sender_id=chat.freelancer.id)
    for message_id, user_id in ((sent.id, stranger.id), (999_999, chat.client.id)):
        async with worlds.refused(NotFound):
            await guard.commit(messages.edit, message_id, "Mine", sender_id=user_id)
    async with worlds.refused(Invalid):
        await guard.commit(messages.edit, sent.id, " ", sender_id=chat.client.id)
    await clock.ahead(minutes=2)
    async with worlds.refused(WrongState, "15 minutes"):
        await guard.commit(messages.edit, sent.id, "Late", sender_id=chat.client.id)


async def test_a_message_that_is_taken_back_keeps_only_its_number(database: str) -> None:
    chat = await a_chat()
    file_id = await a_file(chat.client)
    sent = await say(chat, chat.client, "A secret", attachment_ids=(file_id,))
    await guard.commit(messages.edit, sent.id, "A secret still", sender_id=chat.client.id)
    kept = await say(chat, chat.client, "No secret at all")
    await clock.ahead(days=3)

    for error, user_id in ((NotAllowed, chat.freelancer.id), (NotFound, (await factories.a_client()).id)):
        async with worlds.refused(error):
            await guard.commit(messages.delete, sent.id, sender_id=user_id)
    await guard.commit(messages.delete, sent.id, sender_id=chat.client.id)

    gone = await messages.read(sent.id, user_id=chat.freelancer.id)
    assert (gone.content, gone.attachment_ids, gone.seq, gone.deleted_at is None) == ("", [], 1, False)
    assert await listed(chat.id, chat.freelancer.id) == [2, 1]
    heard = await worlds.heard(f"user:{chat.freelancer.id}")
    assert [(name, said.get("content")) for name, said in heard] == [
        ("new_message", ""),
        ("message_edited", ""),
        ("new_message", kept.content),
        ("message_deleted", None),
    ]
    async with worlds.unmoved():
        await guard.commit(messages.delete, sent.id, sender_id=chat.client.id)
    async with worlds.refused(WrongState, "taken back"):
        await guard.commit(messages.edit, sent.id, "Again", sender_id=chat.client.id)
    assert await found("secret", chat.client.id) == [kept.id]


async def found(words: str, user_id: int, **more: Any) -> list[int]:
    rows: list[MessageRow] = await messages.search(
        words, user_id=user_id, before=more.get("before"), limit=more.get("limit", 10)
    )
    return [one.id for one in rows]


async def test_words_are_found_in_ones_own_chats_only(database: str) -> None:
    mine, theirs = await a_chat(), await a_chat()
    ids = [
        (await say(mine, sender, content)).id
        for sender, content in [
            (mine.client, "The bicycles are blue"),
            (mine.freelancer, "A bicycle is green, the café too"),
            (mine.client, "Nothing of the kind"),
        ]
    ]
    await say(theirs, theirs.client, "Their bicycle")

    for person in (mine.client, mine.freelancer):
        assert await found("bicycle", person.id) == [ids[1], ids[0]]
    assert await found("bicycle", mine.client.id, limit=1) == [ids[1]]
    assert await found("bicycle", mine.client.id, before=ids[1]) == [ids[0]]
    assert await found("green Bicycle cafe", mine.client.id) == [ids[1]]
    assert await found("bicycle -green", mine.client.id) == [ids[0]]
    assert await found('"bicycle green"', mine.client.id) == []
    for nothing in ("-green", "bicycle or -green", "the", "'&|!():*", "unheard", "%"):
        assert await found(nothing, mine.client.id) == []


async def test_a_chat_is_listed_for_its_two_only(database: str) -> None:
    chat, stranger = await a_chat(), await factories.an_admin()
    sent = await say(chat, chat.client)

    for chat_id in (chat.id, 999_999):
        with pytest.raises(NotFound):
            await messages.list_own(chat_id, user_id=stranger.id, limit=10)
    with pytest.raises(NotFound):
        await messages.read_sent(sent.id, user_id=stranger.id)
    assert (await messages.read_sent(sent.id, user_id=chat.client.id)).duplicate


async def test_the_message_a_refused_one_would_have_been_leaves_no_gap(database: str) -> None:
    chat = await a_chat()
    await say(chat, chat.client)
    async with worlds.refused(UploadNotReady):
        await say(chat, chat.client, attachment_ids=(999_999,))

    assert (await say(chat, chat.freelancer)).seq == 2
