"""What is said and done about a ticket: words of its owner and of admins, who has it, and how it ends.

Whoever owns a ticket speaks as its owner, admins speak as support. What an admin does is audited. The clocks stop at
the first word of an admin and at the solution; the last one closes what its owner says nothing more about.
"""

from datetime import timedelta
from typing import Final

from models import accounts, audit, business_time, guard, mail, notifications, support, timers
from models.accounts import Role
from models.errors import Invalid, NotFound, WrongState
from models.notifications import NotificationType
from models.support import CLOCKS, PROMISES, TicketRow, TicketStatus
from models.timers import TimerKind, TimerRow

CLOSED_AFTER: Final = timedelta(days=7)
"""How long an owner has to say that a solution is none."""
MOST_TOLD: Final = 50
"""Admins who hear of an overdue ticket that nobody has taken."""

ANSWER: Final = """
update support_tickets set first_response_at = business_now() where id = $1 and first_response_at is null returning id
"""

REOPEN: Final = "update support_tickets set resolution_due_at = $2, resolution_missed = false where id = $1"

WHO_WORKS: Final = f"""
select id from users where role = '{Role.ADMIN}' and suspended_at is null and deactivated_at is null
                           and erased_at is null
"""


async def reply(ticket_id: int, message: str, *, user_id: int, admin: bool) -> TicketRow:
    """Say something in a ticket, as its owner or as support.

    Raises NotFound for anybody else, WrongState for a closed ticket and for one with as many messages as it takes,
    TokenInvalid when they left meanwhile: whoever is erased takes their words along.
    """
    await accounts.lock_present(user_id)
    ticket = await _seen(ticket_id, user_id=user_id, admin=admin)
    if ticket.status is TicketStatus.CLOSED:
        raise WrongState("This ticket is closed: open another one.")
    reply_id = await support.say(ticket_id, user_id, message)
    if user_id == ticket.user_id:
        return await _hear(ticket)
    await _answer(ticket)
    if ticket.status in (TicketStatus.OPEN, TicketStatus.IN_PROGRESS):
        await support.move(ticket, TicketStatus.WAITING, verb="reply")
    await notifications.tell(
        ticket.user_id,
        type=NotificationType.TICKET_REPLIED,
        title="Support has answered",
        message=f"There is an answer to “{ticket.subject}”.",
        data={"ticket_id": ticket.id},
    )
    await mail.write(
        "ticket_replied",
        to=ticket.user_id,
        about=f"support_reply:{reply_id}",
        ticket_id=ticket.id,
        ticket_subject=ticket.subject,
    )
    await audit.record(user_id, "ticket.reply", "ticket", str(ticket.id), {"reply_id": reply_id})
    return await support.locked(ticket_id)


async def assign(ticket_id: int, admin_id: int, *, by: int) -> TicketRow:
    """Give a ticket that is not solved to an admin. Raises NotFound, Invalid for who is none, WrongState."""
    ticket = await support.locked(ticket_id)
    if await guard.row(WHO_WORKS + "and id = $1", admin_id) is None:
        raise Invalid("Tickets are assigned to admins.", field="admin_id")
    if ticket.status in (TicketStatus.RESOLVED, TicketStatus.CLOSED):
        raise WrongState(f"This ticket is {ticket.status.value}: nobody has to take it.")
    if ticket.status is TicketStatus.OPEN:
        await support.move(ticket, TicketStatus.IN_PROGRESS, verb="assign")
    await guard.rows(
        "update support_tickets set assignee = $2, updated_at = business_now() where id = $1", ticket_id, admin_id
    )
    before, after = {"assignee_id": ticket.assignee_id}, {"assignee_id": admin_id}
    await audit.record(by, "ticket.assign", "ticket", str(ticket_id), before=before, after=after)
    return await support.locked(ticket_id)


async def resolve(ticket_id: int, message: str | None, *, by: int) -> TicketRow:
    """Say that a ticket is solved, with a last word or without; seven days later it closes by itself.

    Raises NotFound, WrongState for a ticket that is solved or closed, or has as many messages as it takes.
    """
    ticket = await support.locked(ticket_id)
    resolved = await support.move(ticket, TicketStatus.RESOLVED, verb="resolve")
    if message is not None:
        await support.say(ticket_id, by, message)
    await _answer(ticket)
    await timers.clear(ticket_id, TimerKind.TICKET_RESOLUTION)
    assert resolved.resolved_at is not None, "a solved ticket says when"
    await timers.start(TimerKind.TICKET_CLOSE, ticket_id, resolved.resolved_at + CLOSED_AFTER)
    await notifications.tell(
        ticket.user_id,
        type=NotificationType.TICKET_RESOLVED,
        title="Ticket resolved",
        message=f"“{ticket.subject}” is resolved. Answer within {CLOSED_AFTER.days} days if it is not.",
        data={"ticket_id": ticket.id},
    )
    await audit.record(
        by,
        "ticket.resolve",
        "ticket",
        str(ticket_id),
        before={"status": ticket.status.value},
        after={"status": resolved.status.value},
    )
    return await support.locked(ticket_id)


async def close(ticket_id: int, *, user_id: int, admin: bool) -> TicketRow:
    """End a ticket: its owner at any time, an admin once it is resolved. Raises NotFound, WrongState."""
    ticket = await _seen(ticket_id, user_id=user_id, admin=admin)
    if user_id != ticket.user_id and ticket.status is not TicketStatus.RESOLVED:
        raise WrongState(f"This ticket is {ticket.status.value}: support closes what it has resolved.")
    closed = await support.move(ticket, TicketStatus.CLOSED, verb="close")
    await timers.clear(ticket_id, *CLOCKS)
    if user_id != ticket.user_id:
        await audit.record(
            user_id,
            "ticket.close",
            "ticket",
            str(ticket_id),
            before={"status": ticket.status.value},
            after={"status": closed.status.value},
        )
    return closed


async def miss_first_response(timer: TimerRow) -> None:
    """Say that nobody answered a ticket in time."""
    ticket = await support.locked(timer.subject_id)
    if await timers.take(timer):
        await guard.rows("update support_tickets set first_response_missed = true where id = $1", ticket.id)
        await _tell_overdue(ticket, "first_response", f"“{ticket.subject}” has no answer yet.")


async def miss_resolution(timer: TimerRow) -> None:
    """Say that nobody solved a ticket in time."""
    ticket = await support.locked(timer.subject_id)
    if await timers.take(timer):
        await guard.rows("update support_tickets set resolution_missed = true where id = $1", ticket.id)
        await _tell_overdue(ticket, "resolution", f"“{ticket.subject}” is not solved yet.")


async def close_silently(timer: TimerRow) -> None:
    """Close a ticket whose owner said nothing for a week after its solution."""
    ticket = await support.locked(timer.subject_id)
    if await timers.take(timer):
        await support.move(ticket, TicketStatus.CLOSED, verb="close")


async def _seen(ticket_id: int, *, user_id: int, admin: bool) -> TicketRow:
    ticket = await support.locked(ticket_id)
    if not admin and user_id != ticket.user_id:
        raise NotFound(f"There is no ticket {ticket_id}.")
    return ticket


async def _hear(ticket: TicketRow) -> TicketRow:
    """What an owner's word does: support has the ticket again, and a solution that was none is looked for anew."""
    if ticket.status is TicketStatus.RESOLVED:
        await timers.clear(ticket.id, TimerKind.TICKET_CLOSE)
        due_at = await business_time.now() + PROMISES[ticket.priority].resolution
        await guard.rows(REOPEN, ticket.id, due_at)
        await timers.start(TimerKind.TICKET_RESOLUTION, ticket.id, due_at)
    if ticket.status in (TicketStatus.RESOLVED, TicketStatus.WAITING):
        await support.move(ticket, TicketStatus.IN_PROGRESS, verb="reply")
    return await support.locked(ticket.id)


async def _answer(ticket: TicketRow) -> None:
    """Stop the first clock, the first time that support says or does something that its owner sees."""
    await guard.rows(ANSWER, ticket.id)
    await timers.clear(ticket.id, TimerKind.TICKET_FIRST_RESPONSE)


async def _tell_overdue(ticket: TicketRow, clock: str, message: str) -> None:
    assigned = [] if ticket.assignee_id is None else [ticket.assignee_id]
    found = assigned or [one["id"] for one in await guard.rows(WHO_WORKS + "order by id limit $1", MOST_TOLD)]
    for admin_id in found:
        await notifications.tell(
            admin_id,
            type=NotificationType.TICKET_OVERDUE,
            title="Ticket overdue",
            message=message,
            data={"ticket_id": ticket.id, "priority": ticket.priority.value, "clock": clock},
        )
