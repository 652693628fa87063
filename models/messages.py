"""What two people write to each other: numbered, editable for a while, never lost.

Refuses a message between two of whom one has blocked the other, or to somebody who has left, and says no more than
that. What was sent once under a `client_id` is one message, however often it is sent.
"""

from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from piccolo.columns import Array, BigInt, BigSerial, Text, Timestamptz
from piccolo.columns.defaults.timestamptz import TimestamptzNow
from piccolo.table import Table

from models import accounts, blocks, business_time, conversations, events, guard, outbox, projects, uploads, vocabulary
from models.accounts import User
from models.base import Record, restricted
from models.conversations import Conversation
from models.errors import Invalid, NotAllowed, NotFound, WriterBlocked, WrongState
from models.file_kinds import UploadPurpose
from models.locks import Noun, lock
from models.projects import Project, ProjectStatus
from models.queries import query

MAX_CONTENT_CHARS: Final = 10_000
"""A long letter; what is longer is a file."""
MAX_ATTACHMENTS: Final = 10
MAX_CLIENT_ID_CHARS: Final = 100
EDITABLE_FOR: Final = timedelta(minutes=15)
"""For slips of the pen; after that others have answered what was said."""


class Message(Table, tablename="messages"):
    """One message. `client_id` is the sender's own name for it: the same one twice is one message."""

    id = BigSerial(primary_key=True)
    conversation = restricted(Conversation, index=False)
    seq = BigInt(default=None)
    sender = restricted(User)
    receiver = restricted(User, index=False)
    content = Text()
    client_id = Text(null=True, default=None)
    project = restricted(Project, null=True, index=False)
    attachment_ids = Array(base_column=BigInt(), default=list)
    created_at = Timestamptz(default=TimestamptzNow())
    edited_at = Timestamptz(null=True, default=None)
    deleted_at = Timestamptz(null=True, default=None)
    read_at = Timestamptz(null=True, default=None)


class Written(Record, frozen=True):
    """What somebody writes. `project_id` is only a tag; the attachments are the sender's own uploads."""

    content: str
    client_id: str | None = None
    project_id: int | None = None
    attachment_ids: tuple[int, ...] = ()


class MessageRow(Record, frozen=True):
    """A message as its two sides see it. `duplicate`: this call stored nothing, it was there already."""

    id: int
    chat_id: int
    seq: int
    sender_id: int
    receiver_id: int
    content: str
    client_id: str | None
    project_id: int | None
    attachment_ids: list[int]
    created_at: datetime
    edited_at: datetime | None
    deleted_at: datetime | None
    read_at: datetime | None
    duplicate: bool = False


SELECT: Final = """
select m.id, m.conversation as chat_id, m.seq, m.sender as sender_id, m.receiver as receiver_id, m.content, m.client_id,
       m.project as project_id, m.attachment_ids, m.created_at, m.edited_at, m.deleted_at, m.read_at
  from messages m
"""
STORE: Final = "select outcome, message_id, reader_id, passed from send_message($1, $2, $3, $4, $5, $6)"

AFTER: Final = query(
    "messages.after", SELECT + "where m.conversation = $1 and m.seq > $2::bigint order by m.seq limit $3"
)
BEFORE: Final = query(
    "messages.before", SELECT + "where m.conversation = $1 and m.seq < $2::bigint order by m.seq desc limit $3"
)
# Materialised, because a walk through all messages by id, which the LIMIT would suggest, reads everybody's.
FOUND: Final = query(
    "messages.search",
    f"""
with found as materialized (
    select id from messages
     where array[sender, receiver] @> array[$1::bigint]
       and to_tsvector('english', plain(content)) @@ websearch_to_tsquery('english', plain($2))
       -- What names no word to look for could only be answered by reading the whole index.
       and querytree(websearch_to_tsquery('english', plain($2))) not in ('', 'T'))
{SELECT} where m.id in (select id from found where id < $3::bigint order by id desc limit $4) order by m.id desc
""",
)
BEYOND: Final = 2**63 - 1
"""Above every number: where the first page begins."""

# Events are kept and can be asked for again: they then say what the message says by now.
RETELL: Final = """
update events set payload = payload || jsonb_build_object('content', $3::text)
 where audience = any($1::text[])
   and (name = 'message_edited' and (payload->>'id')::bigint = $2
        or name = 'new_message' and (payload->>'sender_id')::bigint = $4
           and (payload->>'created_at')::timestamptz = $5)
"""


# Verbs


async def send(
    written: Written, *, sender_id: int, conversation_id: int | None = None, receiver_id: int | None = None
) -> MessageRow:
    """Store a message in a chat, or in the one with a receiver, with its next number; both sides hear of it.

    The same `client_id` again returns the first one's message and stores nothing. Raises Invalid, NotFound for a chat
    one is not in, a project one does not see, and a receiver who is not there (any more); WriterBlocked;
    UploadNotReady; WrongState when the `client_id` was another message's; TokenInvalid.
    """
    _check(written)
    if receiver_id == sender_id:
        raise Invalid("Nobody writes to themselves.", field="receiver_id")
    await accounts.lock_present(sender_id)
    if conversation_id is None:
        assert receiver_id is not None, "a message goes to a chat or to somebody"
        conversation_id = await conversations.between(sender_id, receiver_id)
    stored = await guard.only(
        STORE,
        conversation_id,
        sender_id,
        written.content,
        written.client_id,
        written.project_id,
        list(written.attachment_ids),
    )
    if stored["outcome"] == "repeated":
        return msgspec.structs.replace(await _read(stored["message_id"]), duplicate=True)
    _check_stored(stored, conversation_id, written)
    await _check_named(written, sender_id)
    message = await _read(stored["message_id"])
    if stored["passed"]:
        own = await conversations.side_of(conversation_id, sender_id)
        await conversations.tell_read(own, message.seq)
    await conversations.await_digest(await conversations.side_of(conversation_id, message.receiver_id))
    await _tell(
        message,
        events.NewMessage(
            sender_id=sender_id,
            receiver_id=message.receiver_id,
            content=message.content,
            created_at=message.created_at,
        ),
    )
    return message


def _check(written: Written) -> None:
    _check_content(written.content)
    if len(written.attachment_ids) > MAX_ATTACHMENTS:
        raise Invalid(f"At most {MAX_ATTACHMENTS} files in one message.", field="attachment_ids")
    if len(set(written.attachment_ids)) != len(written.attachment_ids):
        raise Invalid("Each file once.", field="attachment_ids")
    if written.client_id is not None and not 1 <= len(written.client_id) <= MAX_CLIENT_ID_CHARS:
        raise Invalid(f"A client_id has 1 to {MAX_CLIENT_ID_CHARS} characters.", field="client_id")


def _check_content(content: str) -> None:
    if not content.strip() or len(content) > MAX_CONTENT_CHARS:
        raise Invalid(f"A message has 1 to {MAX_CONTENT_CHARS:,} characters.", field="content")


def _check_stored(stored: Any, conversation_id: int, written: Written) -> None:
    """Raise what the storing of a message was refused for."""
    match stored["outcome"]:
        case "absent":
            raise NotFound(f"There is no conversation {conversation_id}.")
        case "gone":
            raise NotFound(f"There is no user {stored['reader_id']}.")
        case "blocked":
            raise WriterBlocked("You two cannot write to each other.")
        case "untagged":
            raise NotFound(f"There is no project {written.project_id}.")
        case "reused":
            raise WrongState("Another message was sent with this client_id.", field="client_id")
        case outcome:
            assert outcome == "sent", outcome


async def _check_named(written: Written, sender_id: int) -> None:
    """Whether what a message names is the sender's to name. After it was stored: a repetition needs no such look."""
    if written.project_id is not None:
        named = await projects.read(written.project_id, user_id=sender_id, admin=False)
        # Nobody else sees a draft, and a tag would keep it from being deleted.
        if named.status is ProjectStatus.DRAFT:
            raise NotFound(f"There is no project {written.project_id}.")
    if written.attachment_ids:
        await uploads.require_ready(written.attachment_ids, user_id=sender_id, purpose=UploadPurpose.ATTACHMENT)


async def edit(message_id: int, content: str, *, sender_id: int) -> MessageRow:
    """Say it otherwise, within 15 minutes. Raises NotFound, NotAllowed, WriterBlocked, WrongState, Invalid."""
    _check_content(content)
    message = await _locked(message_id, sender_id)
    if message.deleted_at is not None:
        raise WrongState("This message was taken back.")
    if await business_time.now() - message.created_at > EDITABLE_FOR:
        raise WrongState("A message can be edited for 15 minutes.")
    if await blocks.stand_between(message.sender_id, message.receiver_id):
        raise WriterBlocked("You two cannot write to each other.")
    await guard.rows("update messages set content = $2, edited_at = business_now() where id = $1", message_id, content)
    edited = await _read(message_id)
    assert edited.edited_at is not None, "it was edited just now"
    await _retell(edited)
    told = events.MessageEdited(
        id=message_id, chat_id=edited.chat_id, seq=edited.seq, content=content, edited_at=edited.edited_at
    )
    await _tell(edited, told)
    return edited


async def delete(message_id: int, *, sender_id: int) -> None:
    """Take one's own message back: its words and files go, its number stays. A second time changes nothing.

    Raises NotFound, NotAllowed.
    """
    message = await _locked(message_id, sender_id)
    if message.deleted_at is not None:
        return
    await guard.rows(
        "update messages set content = '', attachment_ids = '{}', deleted_at = business_now() where id = $1", message_id
    )
    deleted = await _read(message_id)
    assert deleted.deleted_at is not None, "it was taken back just now"
    await _retell(deleted)
    told = events.MessageDeleted(id=message_id, chat_id=deleted.chat_id, seq=deleted.seq, deleted_at=deleted.deleted_at)
    await _tell(deleted, told)


async def _locked(message_id: int, sender_id: int) -> MessageRow:
    """One's own message under its chat's lock. Raises NotFound to strangers, NotAllowed to whoever received it."""
    await accounts.lock_present(sender_id)
    message = await read(message_id, user_id=sender_id)
    if message.sender_id != sender_id:
        raise NotAllowed("Only who wrote a message changes it.")
    await lock(Noun.CONVERSATION, message.chat_id)
    return await _read(message_id)


async def _tell(message: MessageRow, told: events.Event) -> None:
    await outbox.publish(told, events.user(message.sender_id), events.user(message.receiver_id))


async def _retell(message: MessageRow) -> None:
    both = [events.user(message.sender_id), events.user(message.receiver_id)]
    await guard.rows(RETELL, both, message.id, message.content, message.sender_id, message.created_at)


async def _read(message_id: int) -> MessageRow:
    return MessageRow(**dict(await guard.only(SELECT + "where m.id = $1", message_id)))


# Queries


async def read(message_id: int, *, user_id: int) -> MessageRow:
    """A message one wrote or was sent. Raises NotFound for anybody else."""
    found = await guard.row(SELECT + "where m.id = $1 and $2 in (m.sender, m.receiver)", message_id, user_id)
    if found is None:
        raise NotFound(f"There is no message {message_id}.")
    return MessageRow(**dict(found))


async def read_sent(message_id: int, *, user_id: int) -> MessageRow:
    """The same as the answer to whoever sends it once more."""
    return msgspec.structs.replace(await read(message_id, user_id=user_id), duplicate=True)


async def list_own(
    conversation_id: int, *, user_id: int, limit: int, after: int | None = None, before: int | None = None
) -> list[MessageRow]:
    """A chat's messages numbered above `after` in their order, else the newest, or below `before`, backwards.

    Raises NotFound for whoever is not in the chat.
    """
    await conversations.check_member(conversation_id, user_id)
    if after is not None:
        found = await guard.rows(AFTER, conversation_id, after, limit)
    else:
        found = await guard.rows(BEFORE, conversation_id, BEYOND if before is None else before, limit)
    return [MessageRow(**dict(one)) for one in found]


async def search(words: str, *, user_id: int, before: int | None, limit: int) -> list[MessageRow]:
    """The newest messages in one's own chats that have all these words, from `before` (an id, exclusive) backwards.

    English stems, no accents; "quoted" words stand together, a word with - before it does not occur. Where no word is
    left to look for (only such ones, or only words as common as "the") nothing is found. What it costs grows with how
    many of one's own messages have the words, and with nobody else's.
    """
    vocabulary.check_typed(words)
    found = await guard.rows(FOUND, user_id, words, BEYOND if before is None else before, limit)
    return [MessageRow(**dict(one)) for one in found]
