"""Support tickets, over HTTP: asked by clients and freelancers, answered by admins."""

from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec
from litestar import Router, get, post
from litestar.params import FromQuery, JSONBody
from litestar.status_codes import HTTP_200_OK

from api.auth import Asking, Caller, role, signed_in
from api.fields import Body, Id, Note, PathId, Title
from api.idempotency import Once, seen_by
from api.pages import DEFAULT_LIMIT, Cursor, Limit, Page, decode_cursor, page
from models import helpdesk, support, support_queue
from models.accounts import Role
from models.errors import Invalid
from models.support import ReplyRow, TicketCategory, TicketPriority, TicketRow, TicketStatus
from models.support_queue import Sought

OWN: Final = "support_tickets"
QUEUE: Final = "support_queue"
SUPPORT: Final = "Support"
"""What an admin is called by whoever is none."""


class Assignee(StrEnum):
    """Whose tickets an admin lists."""

    ME = "me"


class NewTicket(Body, frozen=True, kw_only=True):
    """A question."""

    subject: Title
    message: Note
    priority: TicketPriority = TicketPriority.NORMAL
    category: TicketCategory


class Reply(Body, frozen=True, kw_only=True):
    """One more word."""

    message: Note


class Assignment(Body, frozen=True, kw_only=True):
    """Who is to take a ticket; by default whoever assigns it."""

    admin_id: Id | None = None


class Solution(Body, frozen=True, kw_only=True):
    """How it was solved, if there is more to say."""

    message: Note | None = None


class TicketOut(msgspec.Struct, frozen=True, kw_only=True):
    """A ticket and its two clocks. `assignee_id` is for admins; others see null."""

    id: int
    user_id: int
    subject: str
    category: TicketCategory
    priority: TicketPriority
    status: TicketStatus
    assignee_id: int | None
    first_response_due_at: datetime
    first_response_at: datetime | None
    first_response_missed: bool
    resolution_due_at: datetime
    resolved_at: datetime | None
    resolution_missed: bool
    created_at: datetime
    updated_at: datetime
    closed_at: datetime | None


class ReplyOut(msgspec.Struct, frozen=True, kw_only=True):
    """One message. To whoever is no admin, admins are "Support" and have no id."""

    id: int
    author_id: int | None
    author_name: str
    from_support: bool
    message: str
    created_at: datetime


class TicketWhole(TicketOut, frozen=True, kw_only=True):
    """A ticket with everything that was said, the question first."""

    replies: list[ReplyOut]


def show(ticket: TicketRow, caller: Caller) -> TicketOut:
    """The ticket as this caller is answered."""
    fields = msgspec.structs.asdict(ticket)
    return TicketOut(**{**fields, "assignee_id": ticket.assignee_id if caller.admin else None})


def show_reply(reply: ReplyRow, caller: Caller) -> ReplyOut:
    """The message as this caller is answered."""
    hidden = reply.from_support and not caller.admin
    return ReplyOut(
        id=reply.id,
        author_id=None if hidden else reply.author_id,
        author_name=SUPPORT if hidden else reply.author_name,
        from_support=reply.from_support,
        message=reply.message,
        created_at=reply.created_at,
    )


async def _whole(ticket: TicketRow, caller: Caller) -> TicketWhole:
    said = [show_reply(one, caller) for one in await support.replies(ticket.id)]
    return TicketWhole(**msgspec.structs.asdict(show(ticket, caller)), replies=said)


@post("/", guards=[role(Role.CLIENT, Role.FREELANCER)])
async def open_ticket(data: JSONBody[NewTicket], caller: Asking, once: Once) -> TicketWhole:
    """Ask something. The more urgent, the sooner it is due."""
    made = await once(
        support.open_ticket,
        caller.id,
        subject=data.subject,
        message=data.message,
        priority=data.priority,
        category=data.category,
        again=seen_by(caller, support.read),
    )
    return await _whole(made, caller)


@get("/")
async def list_tickets(
    *,
    caller: Asking,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    status: FromQuery[TicketStatus | None] = None,
    priority: FromQuery[TicketPriority | None] = None,
    assignee: FromQuery[Assignee | None] = None,
) -> Page[TicketOut]:
    """One's own tickets, newest first. For admins everybody's: the most urgent first, of those the oldest."""
    sought = Sought(status=status, priority=priority, assignee_id=caller.id if assignee else None)
    return await (_queue if caller.admin else _own)(sought, caller, limit, cursor)


async def _own(sought: Sought, caller: Caller, limit: int, cursor: str | None) -> Page[TicketOut]:
    if sought.assignee_id is not None:
        raise Invalid("Only admins are given tickets.", field="assignee")
    before = decode_cursor(OWN, cursor, int)
    found = await support_queue.list_own(caller.id, sought, before=before, limit=limit + 1)
    return page(OWN, [show(one, caller) for one in found], limit, lambda one: one.id)


async def _queue(sought: Sought, caller: Caller, limit: int, cursor: str | None) -> Page[TicketOut]:
    after = decode_cursor(QUEUE, cursor, tuple[int, int])
    found = await support_queue.list_queue(sought, after=after, limit=limit + 1)
    shown = [show(one, caller) for one in found]
    return page(QUEUE, shown, limit, lambda one: (support.RANKED.index(one.priority) + 1, one.id))


@get("/{ticket_id:int}")
async def read_ticket(ticket_id: PathId, caller: Asking) -> TicketWhole:
    """A ticket and all that was said, for its owner and admins."""
    return await _whole(await support.read(ticket_id, user_id=caller.id, admin=caller.admin), caller)


@post("/{ticket_id:int}/reply")
async def reply_to_ticket(ticket_id: PathId, data: JSONBody[Reply], caller: Asking, once: Once) -> TicketWhole:
    """Say something more. An owner's word opens a resolved ticket again; a closed one takes none."""
    again = seen_by(caller, support.read)
    said = await once(helpdesk.reply, ticket_id, data.message, user_id=caller.id, admin=caller.admin, again=again)
    return await _whole(said, caller)


@post("/{ticket_id:int}/assign", status_code=HTTP_200_OK, guards=[role(Role.ADMIN)])
async def assign_ticket(ticket_id: PathId, data: JSONBody[Assignment], caller: Asking, once: Once) -> TicketOut:
    """Give a ticket to an admin, or take it."""
    again = seen_by(caller, support.read)
    given = await once(helpdesk.assign, ticket_id, data.admin_id or caller.id, by=caller.id, again=again)
    return show(given, caller)


@post("/{ticket_id:int}/resolve", status_code=HTTP_200_OK, guards=[role(Role.ADMIN)])
async def resolve_ticket(ticket_id: PathId, data: JSONBody[Solution], caller: Asking, once: Once) -> TicketOut:
    """Say that it is solved. Seven days later the ticket closes, unless its owner says otherwise."""
    again = seen_by(caller, support.read)
    return show(await once(helpdesk.resolve, ticket_id, data.message, by=caller.id, again=again), caller)


@post("/{ticket_id:int}/close", status_code=HTTP_200_OK, opt={"bodiless": True})
async def close_ticket(ticket_id: PathId, caller: Asking, once: Once) -> TicketOut:
    """End a ticket: its owner at any time, an admin once it is resolved."""
    again = seen_by(caller, support.read)
    return show(await once(helpdesk.close, ticket_id, user_id=caller.id, admin=caller.admin, again=again), caller)


router = Router(
    "/api/support-tickets",
    route_handlers=[
        open_ticket,
        list_tickets,
        read_ticket,
        reply_to_ticket,
        assign_ticket,
        resolve_ticket,
        close_ticket,
    ],
    tags=["support-tickets"],
    guards=[signed_in],
)
