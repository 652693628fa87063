"""One's chats over HTTP: with whom, what was said last, what is not read."""

from datetime import datetime
from functools import partial
from typing import Annotated, Final

import msgspec
from litestar import Router, get, post
from litestar.params import JSONBody
from litestar.status_codes import HTTP_200_OK

from api.auth import Asking, signed_in, verified
from api.fields import MAX_ID, Body, Id, PathId
from api.idempotency import Once
from api.pages import DEFAULT_LIMIT, Cursor, Limit, Page, decode_cursor, page
from models import conversations
from models.conversations import ConversationRow

LISTING: Final = "conversations"


class NewConversation(Body, frozen=True, kw_only=True):
    """With whom."""

    user_id: Id


class ReadUpTo(Body, frozen=True, kw_only=True):
    """Up to which number of the chat everything was read."""

    seq: Annotated[int, msgspec.Meta(ge=0, le=MAX_ID)]


class Other(msgspec.Struct, frozen=True):
    """The other one of a chat."""

    id: int
    name: str


class LastMessage(msgspec.Struct, frozen=True, kw_only=True):
    """The beginning of what was said last; empty when it was taken back."""

    seq: int
    sender_id: int
    excerpt: str
    deleted: bool


class ConversationOut(msgspec.Struct, frozen=True, kw_only=True):
    """A chat as one of its two sees it; its `id` is what is called `chat_id` elsewhere.

    `unread` counts the other one's messages above `read_seq`; `other_read_seq` is how far the other one has read.
    """

    id: int
    user: Other
    last_message: LastMessage | None
    last_seq: int
    read_seq: int
    other_read_seq: int
    unread: int
    last_at: datetime | None
    created_at: datetime


def show(chat: ConversationRow) -> ConversationOut:
    """The chat as it is answered."""
    last = None
    if chat.last_sender_id is not None:
        last = LastMessage(
            seq=chat.last_seq,
            sender_id=chat.last_sender_id,
            excerpt=chat.last_excerpt or "",
            deleted=bool(chat.last_deleted),
        )
    return ConversationOut(
        id=chat.id,
        user=Other(chat.other_id, chat.other_name),
        last_message=last,
        last_seq=chat.last_seq,
        read_seq=chat.read_seq,
        other_read_seq=chat.other_read_seq,
        unread=chat.unread,
        last_at=chat.last_at,
        created_at=chat.created_at,
    )


@post("/", status_code=HTTP_200_OK, guards=[verified])
async def open_conversation(data: JSONBody[NewConversation], caller: Asking, once: Once) -> ConversationOut:
    """The chat with somebody, made if there is none: there is one for each two people."""
    again = partial(conversations.read, user_id=caller.id)
    return show(await once(conversations.open, data.user_id, user_id=caller.id, again=again))


@get("/")
async def list_conversations(
    caller: Asking, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[ConversationOut]:
    """The caller's chats in which something was written, the last written to first."""
    before = decode_cursor(LISTING, cursor, tuple[datetime, int])
    found = await conversations.list_own(caller.id, before=before, limit=limit + 1)
    return page(LISTING, [show(one) for one in found], limit, lambda one: (one.last_at, one.id))


@get("/{conversation_id:int}")
async def read_conversation(conversation_id: PathId, caller: Asking) -> ConversationOut:
    """A chat, for its two people."""
    return show(await conversations.read(conversation_id, user_id=caller.id))


@post("/{conversation_id:int}/read", status_code=HTTP_200_OK)
async def read_up_to(conversation_id: PathId, data: JSONBody[ReadUpTo], caller: Asking, once: Once) -> ConversationOut:
    """Remember up to where one has read: forward only, and never above the last message."""
    again = partial(conversations.read, user_id=caller.id)
    return show(await once(conversations.mark_read, conversation_id, data.seq, user_id=caller.id, again=again))


router = Router(
    "/api/conversations",
    route_handlers=[open_conversation, list_conversations, read_conversation, read_up_to],
    tags=["conversations"],
    guards=[signed_in],
)
