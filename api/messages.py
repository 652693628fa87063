"""What two people write to each other, over HTTP."""

from datetime import datetime
from functools import partial
from typing import Annotated, Final

import msgspec
from litestar import Router, delete, get, patch, post
from litestar.params import JSONBody, QueryParameter

from api.auth import Asking, signed_in, verified
from api.fields import MAX_ID, Body, Id, NeededId, PathId, sought_word
from api.idempotency import Once
from api.pages import DEFAULT_LIMIT, Cursor, Limit, Page, decode_cursor, page
from models import messages
from models.errors import Invalid
from models.guard import commit
from models.messages import MAX_ATTACHMENTS, MAX_CLIENT_ID_CHARS, MAX_CONTENT_CHARS, MessageRow, Written

AFTER: Final = "after"
BEFORE: Final = "before"
SEARCH: Final = "messages found"
MAX_SOUGHT_CHARS: Final = 200

Content = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_CONTENT_CHARS)]
Seq = Annotated[int | None, QueryParameter(ge=0, le=MAX_ID, description="a message's number in its chat, exclusive")]


class NewMessage(Body, frozen=True, kw_only=True):
    """A message, to a chat or to somebody. The same `client_id` again is the same message, and is stored once."""

    conversation_id: Id | None = None
    receiver_id: Id | None = None
    content: Content
    client_id: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_CLIENT_ID_CHARS)] | None = None
    attachment_ids: Annotated[list[Id], msgspec.Meta(max_length=MAX_ATTACHMENTS)] = msgspec.field(default_factory=list)
    project_id: Id | None = None

    def written(self) -> Written:
        """What the domain is told. Raises Invalid unless it goes to one place."""
        if (self.conversation_id is None) == (self.receiver_id is None):
            raise Invalid("Name a conversation_id or a receiver_id.", field="conversation_id")
        return Written(
            content=self.content,
            client_id=self.client_id,
            project_id=self.project_id,
            attachment_ids=tuple(self.attachment_ids),
        )


class MessageChange(Body, frozen=True, kw_only=True):
    """What a message is to say instead."""

    content: Content


class MessageOut(msgspec.Struct, frozen=True, kw_only=True):
    """A message as its two sides see it. Taken back, it has no content and no files, and keeps its number."""

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


class SentOut(MessageOut, frozen=True, kw_only=True):
    """A message that was sent; `duplicate`: it had been sent before, and was not stored again."""

    duplicate: bool


def _fields(message: MessageRow) -> dict[str, object]:
    return {name: getattr(message, name) for name in MessageOut.__struct_fields__}


def show(message: MessageRow) -> MessageOut:
    """The message as it is answered."""
    return msgspec.convert(_fields(message), MessageOut)


@post("/", guards=[verified])
async def send_message(data: JSONBody[NewMessage], caller: Asking, once: Once) -> SentOut:
    """Write to somebody, or in a chat. 403 when either does not want to be written to by the other."""
    again = partial(messages.read_sent, user_id=caller.id)
    verb = partial(messages.send, conversation_id=data.conversation_id, receiver_id=data.receiver_id)
    sent = await once(verb, data.written(), sender_id=caller.id, again=again)
    return msgspec.convert({**_fields(sent), "duplicate": sent.duplicate}, SentOut)


@get("/")
async def list_messages(
    caller: Asking,
    *,
    conversation_id: NeededId,
    after_seq: Seq = None,
    before_seq: Seq = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[MessageOut]:
    """A chat's messages: with `after_seq` those above it in their order, else the newest, or below `before_seq`."""
    if after_seq is not None and before_seq is not None:
        raise Invalid("Ask for what is after a number or before one.", field="before_seq")
    listing = BEFORE if after_seq is None else AFTER
    last = decode_cursor(listing, cursor, int)
    bounds = {"after": after_seq, "before": before_seq} if last is None else {listing: last}
    found = await messages.list_own(conversation_id, user_id=caller.id, limit=limit + 1, **bounds)
    return page(listing, [show(one) for one in found], limit, lambda one: one.seq)


@get("/search")
async def search_messages(
    caller: Asking,
    q: Annotated[str, QueryParameter(min_length=1, max_length=MAX_SOUGHT_CHARS, description="words")],
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[MessageOut]:
    """The newest messages of the caller's own chats that have all the words; "quoted" ones together, -not ones not."""
    before, words = decode_cursor(SEARCH, cursor, int), sought_word(q, "q")
    found = await messages.search(words or "", user_id=caller.id, before=before, limit=limit + 1)
    return page(SEARCH, [show(one) for one in found], limit, lambda one: one.id)


@patch("/{message_id:int}", guards=[verified])
async def edit_message(message_id: PathId, data: JSONBody[MessageChange], caller: Asking) -> MessageOut:
    """Say it otherwise, within 15 minutes; who wrote it only."""
    return show(await commit(messages.edit, message_id, data.content, sender_id=caller.id))


@delete("/{message_id:int}")
async def delete_message(message_id: PathId, caller: Asking) -> None:
    """Take a message back: its words and files go. Who wrote it only."""
    await commit(messages.delete, message_id, sender_id=caller.id)


router = Router(
    "/api/messages",
    route_handlers=[send_message, list_messages, search_messages, edit_message, delete_message],
    tags=["conversations"],
    guards=[signed_in],
)
