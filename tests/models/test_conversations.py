"""Chats: one a pair, what is unread is exact, and a mail for whoever does not look."""

import pytest

from models import blocks, conversations, guard, mail, preferences, timers
from models.conversations import ConversationRow
from models.errors import Invalid, NotFound, TokenInvalid, WriterBlocked
from models.preferences import Category, Change
from tests import clock, factories, worlds
from tests.chats import Chat, a_chat, say, unread


async def test_two_people_have_one_chat_whoever_opens_it(database: str) -> None:
    one, other = await factories.a_client(), await factories.a_freelancer()

    made = await guard.commit(conversations.open, other.id, user_id=one.id)
    async with worlds.unmoved():
        found = await guard.commit(conversations.open, one.id, user_id=other.id)

    assert (made.id, made.other_id, made.other_name) == (found.id, other.id, "Frida Freelancer")
    assert (found.other_id, found.last_seq, found.unread, found.last_at) == (one.id, 0, 0, None)
    assert (found.last_sender_id, found.last_excerpt) == (None, None)
    assert await conversations.list_own(other.id, before=None, limit=10) == [], "nothing was written yet"


async def test_with_whom_no_chat_is_opened(database: str) -> None:
    one, gone, shy = [await factories.a_client() for _ in range(3)]
    known = await guard.commit(conversations.open, shy.id, user_id=gone.id)
    await guard.rows("update users set deactivated_at = now() where id = $1", gone.id)
    await guard.commit(blocks.make, one.id, blocker_id=shy.id)

    for error, other_id in ((Invalid, one.id), (NotFound, gone.id), (NotFound, 999_999), (WriterBlocked, shy.id)):
        async with worlds.refused(error):
            await guard.commit(conversations.open, other_id, user_id=one.id)
    async with worlds.refused(TokenInvalid):
        await guard.commit(conversations.open, one.id, user_id=gone.id)
    # What there is can be looked at.
    assert (await guard.commit(conversations.open, gone.id, user_id=shy.id)).id == known.id


async def test_unread_is_what_the_other_wrote_since_one_read_or_answered(database: str) -> None:
    chat = await a_chat()
    for _ in range(3):
        await say(chat, chat.client)
    assert (await unread(chat, chat.freelancer), await unread(chat, chat.client)) == (3, 0)

    read = await guard.commit(conversations.mark_read, chat.id, 2, user_id=chat.freelancer.id)
    assert (read.read_seq, read.unread) == (2, 1)
    stamps = await guard.rows("select read_at is not null as read from messages order by seq")
    assert [one["read"] for one in stamps] == [True, True, False]
    told = ("message_read", {"chat_id": chat.id, "user_id": chat.freelancer.id, "seq": 2})
    for person in (chat.client, chat.freelancer):
        assert (await worlds.heard(f"user:{person.id}"))[-1] == told

    await say(chat, chat.freelancer, "Yes?")
    assert (await unread(chat, chat.freelancer), await unread(chat, chat.client)) == (0, 1)
    assert await guard.value("select count(*) from messages where read_at is null") == 1
    assert (await conversations.read(chat.id, user_id=chat.client.id)).other_read_seq == 4


async def test_reading_goes_forward_only_and_never_above_the_last(database: str) -> None:
    chat = await a_chat()
    for _ in range(3):
        await say(chat, chat.client)

    read = await guard.commit(conversations.mark_read, chat.id, 2**53 - 1, user_id=chat.freelancer.id)
    assert (read.read_seq, read.unread) == (3, 0)
    async with worlds.unmoved():
        for seq in (0, 1, 3, 99):
            again = await guard.commit(conversations.mark_read, chat.id, seq, user_id=chat.freelancer.id)
            assert again.read_seq == 3
    await say(chat, chat.client)
    assert await unread(chat, chat.freelancer) == 1
    for chat_id, user_id in ((chat.id, (await factories.a_client()).id), (999_999, chat.client.id)):
        async with worlds.refused(NotFound):
            await guard.commit(conversations.mark_read, chat_id, 1, user_id=user_id)


async def test_a_long_absence_is_read_in_slices(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversations, "STAMPED_AT_ONCE", 2)
    chat = await a_chat()
    for _ in range(5):
        await say(chat, chat.client)

    await guard.commit(conversations.mark_read, chat.id, 4, user_id=chat.freelancer.id)

    assert await guard.value("select count(*) from messages where read_at is null") == 1


async def listed(user_id: int, **bounds: object) -> list[ConversationRow]:
    return await conversations.list_own(user_id, **{"before": None, "limit": 10, **bounds})  # type: ignore[arg-type]


async def test_chats_are_listed_by_their_last_message(database: str) -> None:
    me = await factories.a_client()
    friends = [await factories.a_freelancer() for _ in range(3)]
    chats = [Chat((await guard.commit(conversations.open, one.id, user_id=me.id)).id, me, one) for one in friends]
    for chat in chats:
        await say(chat, chat.freelancer, "x" * 500)
    await clock.ahead(minutes=1)
    await say(chats[0], me, "Last")
    await a_chat()

    first, *rest = await listed(me.id)

    assert [one.id for one in (first, *rest)] == [chats[0].id, chats[2].id, chats[1].id]
    assert (first.other_id, first.last_excerpt, first.last_sender_id, first.unread) == (
        friends[0].id,
        "Last",
        me.id,
        0,
    )
    assert [(one.unread, len(one.last_excerpt or "")) for one in rest] == [(1, 200), (1, 200)]
    assert first.last_at is not None
    assert await listed(me.id, before=(first.last_at, first.id), limit=1) == [rest[0]]
    assert rest[0].last_at is not None
    assert await listed(me.id, before=(rest[0].last_at, rest[0].id)) == [rest[1]]
    # From the other side, whose id is the higher one.
    assert [one.other_id for one in await listed(friends[1].id)] == [me.id]


# The mail for whoever does not look


async def fire() -> int:
    """Carry out what is due; how many there were."""
    due = await guard.rows("select id from timers where fired_at is null and due_at <= business_now() order by id")
    for one in due:
        timer = await timers.find(one["id"])
        assert timer is not None
        await guard.commit(conversations.write_digest, timer)
    return len(due)


async def waiting_minutes() -> list[int]:
    """In how many minutes each timer is due."""
    found = await guard.rows(
        """select round(extract(epoch from due_at - business_now()) / 60)::int as m from timers where fired_at is null
            order by id"""
    )
    return [one["m"] for one in found]


async def test_whoever_does_not_read_for_ten_minutes_is_mailed_once_an_hour(database: str) -> None:
    chat = await a_chat()
    await say(chat, chat.client)
    await clock.ahead(minutes=5)
    await say(chat, chat.client)
    assert await waiting_minutes() == [5], "it counts from the first one"

    await clock.ahead(minutes=6)
    assert await fire() == 1

    assert await worlds.mailed(chat.freelancer.id) == ["message_received"]
    context = await guard.value("select context::text from mails where kind = 'message_received'")
    assert context == f'{{"unread": 2, "sender_name": "Clara Client", "conversation_id": {chat.id}}}'
    assert await waiting_minutes() == [], "nothing new, no second mail"
    await say(chat, chat.client)
    assert await waiting_minutes() == [60], "at most one an hour"
    await clock.ahead(minutes=61)
    assert await fire() == 1
    assert await worlds.mailed(chat.freelancer.id) == ["message_received"] * 2
    await clock.ahead(minutes=61)
    await say(chat, chat.client)
    assert await waiting_minutes() == [10]
    assert await worlds.mailed(chat.client.id) == []


async def test_whoever_reads_answers_or_blocks_meanwhile_is_not_mailed(database: str) -> None:
    chats = [await a_chat() for _ in range(4)]
    for chat in chats:
        await say(chat, chat.client)
        await say(chat, chat.client)
    read, answered, blocked, partly = chats
    await guard.commit(conversations.mark_read, read.id, 2, user_id=read.freelancer.id)
    await say(answered, answered.freelancer)
    await guard.commit(blocks.make, blocked.client.id, blocker_id=blocked.freelancer.id)
    await guard.commit(conversations.mark_read, partly.id, 1, user_id=partly.freelancer.id)

    await clock.ahead(minutes=11)
    assert await fire() == 3, "of what was read no timer is left; the answer has its own"

    assert [await worlds.mailed(one.freelancer.id) for one in chats] == [[], [], [], ["message_received"]]
    assert await worlds.mailed(answered.client.id) == ["message_received"]


async def test_a_digest_that_was_read_after_its_timer_was_seen_is_not_written(database: str) -> None:
    chat = await a_chat()
    await say(chat, chat.client)
    await clock.ahead(minutes=11)
    timer = await timers.find(await guard.value("select id from timers"))
    assert timer is not None

    # Read without its timer being taken back, as if both had happened in the other order.
    await guard.rows("update conversation_members set read_seq = 1")
    await guard.commit(conversations.write_digest, timer)
    await guard.commit(conversations.write_digest, timer)

    assert await worlds.mailed(chat.freelancer.id) == []
    assert await guard.value("select count(*) from timers where fired_at is not null") == 1


async def test_a_digest_that_waited_is_not_sent_once_it_was_read_or_is_unwanted(database: str) -> None:
    chats = [await a_chat() for _ in range(3)]
    for chat in chats:
        await say(chat, chat.client)
    await clock.ahead(minutes=11)
    await fire()
    read, unwanted, _ = chats
    await guard.commit(conversations.mark_read, read.id, 1, user_id=read.freelancer.id)
    await guard.commit(preferences.change, unwanted.freelancer.id, {Category.MESSAGES: Change(email=False)})

    begun = [
        await guard.commit(mail.begin_sending, one["id"]) is not None
        for one in await guard.rows("""select id from mails order by "user" """)
    ]

    assert begun == [False, False, True]


# Blocks


async def test_blocks_are_ones_own_and_made_once(database: str) -> None:
    me, first, second = [await factories.a_client() for _ in range(3)]
    for one in (first, second):
        await guard.commit(blocks.make, one.id, blocker_id=me.id)
    async with worlds.unmoved():
        await guard.commit(blocks.make, one.id, blocker_id=me.id)
        await guard.commit(blocks.lift, me.id, blocker_id=first.id)

    newest, oldest = await blocks.list_own(me.id, before=None, limit=10)

    assert (newest.user_id, newest.user_name, oldest.user_id) == (second.id, "Clara Client", first.id)
    assert await blocks.list_own(me.id, before=newest.id, limit=10) == [oldest]
    assert await blocks.list_own(first.id, before=None, limit=10) == []
    await guard.commit(blocks.lift, first.id, blocker_id=me.id)
    assert await blocks.list_own(me.id, before=None, limit=10) == [newest]


async def test_whom_one_does_not_see_one_does_not_block_but_for_old_acquaintances(database: str) -> None:
    chat, stranger = await a_chat(), await factories.a_client()
    await guard.rows("update users set suspended_at = now() where id = $1", chat.client.id)

    for error, user_id in ((NotFound, 999_999), (NotFound, chat.client.id), (Invalid, stranger.id)):
        async with worlds.refused(error):
            await guard.commit(blocks.make, user_id, blocker_id=stranger.id)
    await guard.commit(blocks.make, chat.client.id, blocker_id=chat.freelancer.id)
    assert await blocks.stand_between(chat.client.id, chat.freelancer.id)
