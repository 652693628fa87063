"""One chat for each two people, and who has read how far of it.

A message is stored before anybody is told; each has the next number of its chat, without gaps. Whoever answers has
read what came before: so above a side's `read_seq` there are only messages of the other one, and `last_seq - read_seq`
is exactly how many of them that side has not read. Nothing is ever counted.
"""

from datetime import datetime, timedelta
from typing import Any, Final

from piccolo.columns import BigInt, BigSerial, Timestamptz
from piccolo.columns.defaults.timestamptz import TimestamptzNow
from piccolo.table import Table

from models import accounts, blocks, business_time, events, guard, mail, outbox, timers
from models.accounts import User
from models.base import Record, restricted
from models.errors import Invalid, NotFound, WriterBlocked
from models.letters import MailKind
from models.locks import Noun, lock
from models.queries import query
from models.timers import TimerKind, TimerRow

DIGEST_AFTER: Final = timedelta(minutes=10)
"""How long somebody may look elsewhere before a mail says that something waits, from the first message on."""
DIGEST_EVERY: Final = timedelta(hours=1)
"""At most one such mail per chat in this time."""
STAMPED_AT_ONCE: Final = 1_000
"""Messages that one statement marks as read."""
EXCERPT_CHARS: Final = 200
"""Of the last message in a list of chats."""


class Conversation(Table, tablename="conversations"):
    """The chat of two people; `low` is the one with the smaller id. `last_at` is None until something was written."""

    id = BigSerial(primary_key=True)
    low = restricted(User)
    high = restricted(User)
    last_seq = BigInt(default=0)
    last_at = Timestamptz(null=True, default=None)
    created_at = Timestamptz(default=TimestamptzNow())


class Membership(Table, tablename="conversation_members"):
    """One person's side of a chat: what they have read is everything up to `read_seq`."""

    id = BigSerial(primary_key=True)
    conversation = restricted(Conversation)
    user = restricted(User)
    read_seq = BigInt(default=0)
    digest_at = Timestamptz(null=True, default=None)


class ConversationRow(Record, frozen=True):
    """A chat as one of its two sees it. The `last_` fields are None while nothing was written."""

    id: int
    other_id: int
    other_name: str
    last_seq: int
    last_at: datetime | None
    last_sender_id: int | None
    last_excerpt: str | None
    last_deleted: bool | None
    read_seq: int
    other_read_seq: int
    created_at: datetime

    @property
    def unread(self) -> int:
        """How many messages of the other side were not read."""
        return self.last_seq - self.read_seq


class Side(Record, frozen=True):
    """One side of a chat, as it stands under the chat's lock."""

    id: int
    conversation_id: int
    user_id: int
    other_id: int
    read_seq: int
    last_seq: int
    digest_at: datetime | None


# Two who write to each other for the first time at once: the second one waits here, makes nothing, and finds it.
MAKE: Final = """
with made as (insert into conversations (low, high, created_at)
              values (least($1::bigint, $2::bigint), greatest($1::bigint, $2::bigint), business_now())
              on conflict (low, high) do nothing returning id)
insert into conversation_members (conversation, "user") select m.id, u from made m, unnest(array[$1, $2]::bigint[]) u
"""
FIND: Final = "select id from conversations where low = least($1::bigint, $2::bigint) and high = greatest($1, $2)"

SHOWN: Final = f"""
select c.id, u.id as other_id, u.first_name || ' ' || u.last_name as other_name, c.last_seq, c.last_at,
       t.sender as last_sender_id, left(t.content, {EXCERPT_CHARS}) as last_excerpt,
       t.deleted_at is not null as last_deleted, mine.read_seq, theirs.read_seq as other_read_seq, c.created_at
  from {{chats}} c
       join conversation_members mine on mine.conversation = c.id and mine."user" = $1
       join conversation_members theirs on theirs.conversation = c.id and theirs."user" <> $1
       join users u on u.id = theirs."user"
       left join messages t on t.conversation = c.id and t.seq = c.last_seq
"""
READ: Final = query("conversations.read", SHOWN.format(chats="conversations") + "where c.id = $2")
_OF: Final = """
(select id, last_seq, last_at, created_at from conversations where {side} = $1 and last_at is not null
    and (last_at, id) < (coalesce($2::timestamptz, 'infinity'), $3::bigint) order by last_at desc, id desc limit $4)
"""
NEWEST: Final = query(
    "conversations.newest",
    SHOWN.format(
        chats=f"""(select id, last_seq, last_at, created_at
                     from ({_OF.format(side="low")} union all {_OF.format(side="high")}) both_sides
                    order by last_at desc, id desc limit $4)"""
    )
    + " order by c.last_at desc, c.id desc",
)

SIDE: Final = """
select s.id, s.conversation as conversation_id, s."user" as user_id, s.read_seq, s.digest_at, c.last_seq,
       case when c.low = s."user" then c.high else c.low end as other_id
  from conversation_members s join conversations c on c.id = s.conversation
"""
STAMP: Final = """
update messages set read_at = business_now()
 where id in (select id from messages where receiver = $1 and conversation = $2 and seq <= $3 and read_at is null
               order by seq limit $4)
returning 1
"""


# Verbs


async def open(other_id: int, *, user_id: int) -> ConversationRow:  # noqa: A001  the word for it
    """The chat of two people, made if there is none. Raises Invalid, NotFound, WriterBlocked as `between` does."""
    await accounts.lock_present(user_id)
    return await read(await between(user_id, other_id), user_id=user_id)


async def between(user_id: int, other_id: int) -> int:
    """The id of two people's chat, made if there is none.

    Raises Invalid for oneself, and where none was made yet NotFound for somebody who has left or is suspended, and
    WriterBlocked when either does not want to be written to by the other. With the lock of `user_id`.
    """
    guard.in_transaction()
    if user_id == other_id:
        raise Invalid("Nobody writes to themselves.", field="user_id")
    found = await guard.value(FIND, user_id, other_id)
    if found is None:
        if await guard.row(accounts.PRESENT, other_id) is None:
            raise NotFound(f"There is no user {other_id}.")
        if await blocks.stand_between(user_id, other_id):
            raise WriterBlocked("You two cannot write to each other.")
        await guard.rows(MAKE, user_id, other_id)
        found = await guard.value(FIND, user_id, other_id)
    return int(found)


async def mark_read(conversation_id: int, seq: int, *, user_id: int) -> ConversationRow:
    """Remember that one has read everything up to a number: forward only, and never above the last message.

    Raises NotFound for whoever is not in the chat.
    """
    await lock(Noun.CONVERSATION, conversation_id)
    found = await guard.row(SIDE + """where s.conversation = $1 and s."user" = $2""", conversation_id, user_id)
    if found is None:
        raise NotFound(f"There is no conversation {conversation_id}.")
    side = _side(found)
    seq = min(seq, side.last_seq)
    if seq > side.read_seq:
        await guard.rows("update conversation_members set read_seq = $2 where id = $1", side.id, seq)
        await tell_read(side, seq)
    return await read(conversation_id, user_id=user_id)


async def tell_read(side: Side, seq: int) -> None:
    """What follows when a side has read up to `seq`: its messages are stamped, both are told, no mail reminds it.

    With the chat's lock.
    """
    guard.in_transaction()
    # Each message is stamped once in its life, so what a long absence left costs its reader this once.
    while await guard.execute(STAMP, side.user_id, side.conversation_id, seq, STAMPED_AT_ONCE) == STAMPED_AT_ONCE:
        pass
    if seq == side.last_seq:
        await timers.clear(side.id, TimerKind.MEMBERSHIP_DIGEST)
    told = events.MessageRead(chat_id=side.conversation_id, user_id=side.user_id, seq=seq)
    await outbox.publish(told, events.user(side.user_id), events.user(side.other_id))


async def side_of(conversation_id: int, user_id: int) -> Side:
    """The side of somebody who is in a chat. With its lock."""
    guard.in_transaction()
    return _side(await guard.only(SIDE + """where s.conversation = $1 and s."user" = $2""", conversation_id, user_id))


async def await_digest(side: Side) -> None:
    """See that this side gets a mail if it does not read: in ten minutes, or when an hour has passed since the last.

    One that waits already stays: it counts from the first message. With the chat's lock.
    """
    due_at = await business_time.now() + DIGEST_AFTER
    if side.digest_at is not None:
        due_at = max(due_at, side.digest_at + DIGEST_EVERY)
    await timers.start_once(TimerKind.MEMBERSHIP_DIGEST, side.id, due_at)


async def write_digest(timer: TimerRow) -> None:
    """Mail somebody what they have not read, unless they have by now, or the two have fallen out since."""
    chat = await guard.value("select conversation from conversation_members where id = $1", timer.subject_id)
    await lock(Noun.CONVERSATION, chat)
    if not await timers.take(timer):
        return
    side = _side(await guard.only(SIDE + "where s.id = $1", timer.subject_id))
    if side.read_seq == side.last_seq or await blocks.stand_between(side.user_id, side.other_id):
        return
    await guard.rows("update conversation_members set digest_at = business_now() where id = $1", side.id)
    writer = await accounts.read(side.other_id)
    await mail.write(
        MailKind.MESSAGE_RECEIVED,
        to=side.user_id,
        about=f"conversation:{chat}:{side.last_seq}",
        conversation_id=chat,
        sender_name=f"{writer.first_name} {writer.last_name}",
        unread=side.last_seq - side.read_seq,
    )


def _side(found: Any) -> Side:
    return Side(**dict(found))


# Queries


async def read(conversation_id: int, *, user_id: int) -> ConversationRow:
    """A chat one is in. Raises NotFound for anybody else."""
    found = await guard.row(READ, user_id, conversation_id)
    if found is None:
        raise NotFound(f"There is no conversation {conversation_id}.")
    return ConversationRow(**dict(found))


async def check_member(conversation_id: int, user_id: int) -> None:
    """Raise NotFound for whoever is not in the chat."""
    member = 'select 1 from conversation_members where conversation = $1 and "user" = $2'
    if await guard.row(member, conversation_id, user_id) is None:
        raise NotFound(f"There is no conversation {conversation_id}.")


async def list_own(user_id: int, *, before: tuple[datetime, int] | None, limit: int) -> list[ConversationRow]:
    """One's own chats in which something was written, the last written to first, from `before` (last_at, id) on."""
    last_at, last_id = before or (None, 2**63 - 1)
    return [ConversationRow(**dict(one)) for one in await guard.rows(NEWEST, user_id, last_at, last_id, limit)]
