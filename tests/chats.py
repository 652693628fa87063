"""Two people who write to each other, and what a test asks about them."""

from typing import Any

import msgspec

from models import conversations, guard, messages
from models.accounts import Person
from models.messages import MessageRow, Written
from tests import factories


class Chat(msgspec.Struct, frozen=True):
    """A chat of a client and a freelancer."""

    id: int
    client: Person
    freelancer: Person


async def a_chat() -> Chat:
    """A chat in which nothing was written."""
    client, freelancer = await factories.a_client(), await factories.a_freelancer()
    made = await guard.commit(conversations.open, freelancer.id, user_id=client.id)
    return Chat(made.id, client, freelancer)


async def say(chat: Chat, sender: Person, content: str = "Hello", **more: Any) -> MessageRow:
    """Send a message in a chat."""
    written = Written(content=content, **more)
    return await guard.commit(messages.send, written, sender_id=sender.id, conversation_id=chat.id)


async def unread(chat: Chat, reader: Person) -> int:
    """How many messages a person has not read, after a look whether that is so."""
    known = await conversations.read(chat.id, user_id=reader.id)
    counted = await guard.value(
        "select count(*) from messages where conversation = $1 and receiver = $2 and seq > $3",
        chat.id,
        reader.id,
        known.read_seq,
    )
    assert known.unread == counted
    return known.unread


async def a_file(owner: Person, *, purpose: str = "attachment", status: str = "ready") -> int:
    """An upload as its job left it."""
    made: int = await guard.value(
        """insert into uploads ("user", purpose, filename, content_type, size_bytes, object_key, status)
           values ($1, $2, 'plan.pdf', 'application/pdf', 100, gen_random_uuid()::text, $3) returning id""",
        owner.id,
        purpose,
        status,
    )
    return made
