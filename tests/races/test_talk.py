"""Two at once in a chat: no number twice and none left out, one message for one name, counts that stay exact."""

import asyncio
from typing import Any

import pytest

from models import blocks, conversations, guard, messages, notifications, timers
from models.conversations import ConversationRow
from models.errors import WriterBlocked, WrongState
from models.messages import MessageRow, Written
from models.notifications import NotificationType
from tests import clock, factories, worlds
from tests.chats import Chat, a_chat, say, unread
from tests.races.rivals import behind


async def seqs(chat_id: int) -> list[int]:
    found = await guard.rows("select seq from messages where conversation = $1 order by seq", chat_id)
    return [one["seq"] for one in found]


async def test_two_who_write_to_each_other_for_the_first_time_at_once_share_one_chat(database: str) -> None:
    for _ in range(5):
        one, other = await factories.a_client(), await factories.a_freelancer()

        sent = await asyncio.gather(
            *(
                guard.commit(messages.send, Written(content="Hello"), sender_id=a.id, receiver_id=b.id)
                for a, b in [(one, other), (other, one)] * 3
            ),
            guard.commit(conversations.open, other.id, user_id=one.id),
        )

        assert len({m.chat_id for m in sent[:-1]} | {sent[-1].id}) == 1  # type: ignore[union-attr]
        assert await seqs(sent[-1].id) == [1, 2, 3, 4, 5, 6]
        members = "select count(*) from conversation_members where conversation = $1"
        assert await guard.value(members, sent[-1].id) == 2


async def test_senders_at_once_get_numbers_without_gaps_and_unread_stays_exact(database: str) -> None:
    chat = await a_chat()

    async def read_on(person: Any) -> None:
        for _ in range(4):
            known = await conversations.read(chat.id, user_id=person.id)
            await guard.commit(conversations.mark_read, chat.id, known.last_seq, user_id=person.id)

    await asyncio.gather(
        *(say(chat, sender, f"{n}") for n in range(12) for sender in (chat.client, chat.freelancer)),
        read_on(chat.client),
        read_on(chat.freelancer),
    )

    assert await seqs(chat.id) == list(range(1, 25))
    for person in (chat.client, chat.freelancer):
        await unread(chat, person)
        stamped = await guard.value(
            """select count(*) from messages m join conversation_members s on s."user" = m.receiver
                where m.receiver = $1 and (m.read_at is not null) <> (m.seq <= s.read_seq)""",
            person.id,
        )
        assert stamped == 0
        assert len([1 for name, _ in await worlds.heard(f"user:{person.id}") if name == "new_message"]) == 24


async def test_one_message_sent_eight_times_at_once_is_one_message(database: str) -> None:
    chat = await a_chat()
    elsewhere = await factories.a_client()

    answers = await asyncio.gather(*(say(chat, chat.client, "Hello", client_id="a") for _ in range(8)))
    assert (len({one.id for one in answers}), [one.duplicate for one in answers].count(False)) == (1, 1)
    assert await seqs(chat.id) == [1]

    # The same name for two messages, in two chats: one of them is refused.
    mixed = await asyncio.gather(
        say(chat, chat.client, "Hello", client_id="b"),
        guard.commit(
            messages.send,
            Written(content="Hello", client_id="b"),
            sender_id=chat.client.id,
            receiver_id=elsewhere.id,
        ),
        return_exceptions=True,
    )
    assert sorted(type(one).__name__ for one in mixed) == ["MessageRow", "WrongState"]


async def test_a_block_that_came_first_is_waited_for_and_holds(database: str) -> None:
    chat = await a_chat()

    async def block() -> object:
        return await blocks.make(chat.client.id, blocker_id=chat.freelancer.id)

    outcome = await behind(min(chat.client.id, chat.freelancer.id), block, say(chat, chat.client))

    assert type(outcome) is WriterBlocked
    assert await seqs(chat.id) == []


async def test_edit_and_delete_at_once_leave_no_words(database: str) -> None:
    for _ in range(5):
        chat = await a_chat()
        sent = await say(chat, chat.client, "A secret")

        edited, *_ = await asyncio.gather(
            guard.commit(messages.edit, sent.id, "A secret still", sender_id=chat.client.id),
            guard.commit(messages.delete, sent.id, sender_id=chat.client.id),
            guard.commit(messages.delete, sent.id, sender_id=chat.client.id),
            return_exceptions=True,
        )

        assert isinstance(edited, MessageRow | WrongState)
        left = await messages.read(sent.id, user_id=chat.client.id)
        assert (left.content, left.deleted_at is None) == ("", False)
        heard = await worlds.heard(f"user:{chat.freelancer.id}")
        assert [said.get("content") for _, said in heard if said.get("content")] == []
        assert [name for name, _ in heard].count("message_deleted") == 1


async def test_a_digest_and_its_reader_at_once_end_in_one_of_the_two(database: str) -> None:
    for _ in range(5):
        chat = await a_chat()
        await say(chat, chat.client)
        await clock.ahead(minutes=11)
        timer = await timers.find(await guard.value("select max(id) from timers"))
        assert timer is not None

        await asyncio.gather(
            *(guard.commit(conversations.write_digest, timer) for _ in range(3)),
            guard.commit(conversations.mark_read, chat.id, 1, user_id=chat.freelancer.id),
        )

        assert len(await worlds.mailed(chat.freelancer.id)) <= 1
        assert await unread(chat, chat.freelancer) == 0
        assert await guard.value("select count(*) from timers where fired_at is null") == 0


async def test_one_reading_eight_times_at_once_has_read(database: str) -> None:
    chat: Chat = await a_chat()
    for _ in range(4):
        await say(chat, chat.client)

    answers = await asyncio.gather(
        *(
            guard.commit(conversations.mark_read, chat.id, seq, user_id=chat.freelancer.id)
            for seq in (1, 4, 2, 3, 4, 0, 2, 4)
        )
    )

    assert all(isinstance(one, ConversationRow) for one in answers)
    known = await conversations.read(chat.id, user_id=chat.freelancer.id)
    assert (known.read_seq, known.unread) == (4, 0)
    told = [said["seq"] for name, said in await worlds.heard(f"user:{chat.client.id}") if name == "message_read"]
    assert told == sorted(set(told))
    assert told[-1] == 4


# Notifications


async def tell(user_id: int, key: str | None) -> None:
    await guard.commit(
        notifications.tell,
        user_id,
        type=NotificationType.PROPOSAL_RECEIVED,
        title="New proposals",
        message="One more.",
        data={},
        collapse_key=key,
    )


@pytest.mark.parametrize("key", [None, "project:1"])
async def test_eight_rivals_telling_and_reading_leave_an_exact_count(database: str, key: str | None) -> None:
    person = await factories.a_client()

    async def read_newest() -> None:
        for one in await notifications.list_own(person.id, unread=True, before=None, limit=2):
            await guard.commit(notifications.mark_read, one.id, user_id=person.id)

    async def rival(number: int) -> None:
        for turn in range(4):
            await tell(person.id, key)
            if (number + turn) % 3 == 0:
                await read_newest()
            if (number + turn) % 4 == 0:
                await guard.commit(notifications.mark_all_read, person.id)

    await asyncio.gather(*(rival(number) for number in range(8)))

    shown = await notifications.list_own(person.id, unread=True, before=None, limit=100)
    assert await notifications.count_unread(person.id) == len(shown)
    assert len(shown) <= 1 or key is None
    assert await guard.value("select sum(times) from notifications") == 32, "every telling counts once"
    await guard.commit(notifications.mark_all_read, person.id)
    assert await notifications.count_unread(person.id) == 0


async def test_one_thing_told_eight_times_at_once_is_one_row(database: str) -> None:
    person = await factories.a_client()

    await asyncio.gather(*(tell(person.id, "project:1") for _ in range(8)))

    (only,) = await notifications.list_own(person.id, unread=True, before=None, limit=10)
    assert only.times == 8
