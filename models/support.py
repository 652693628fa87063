"""Questions to the people behind the platform: answered by priority, against two clocks.

A ticket is seen by its owner and admins. Refuses a word on a closed one. What is said and done about a ticket stands
in `helpdesk.py`.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from piccolo.columns import BigSerial, Boolean, Text, Timestamptz
from piccolo.columns.defaults.timestamptz import TimestamptzNow
from piccolo.table import Table

from models import accounts, business_time, guard, timers
from models.accounts import User
from models.base import Record, restricted
from models.errors import NotFound, WrongState
from models.locks import Noun, is_held, lock
from models.queries import query
from models.states import Edge, Machine, Part
from models.timers import TimerKind

MOST_OPEN: Final = 20
"""Tickets of one person that nobody has solved yet: more would be one matter told many times."""
MOST_URGENT: Final = 3
"""Of them urgent ones: anybody may call something urgent, not everything."""
MOST_REPLIES: Final = 200
"""Messages of one ticket, which is answered whole: what takes more is another matter."""


class TicketStatus(StrEnum):
    """Where a ticket stands."""

    OPEN = "open"
    IN_PROGRESS = "in_progress"
    WAITING = "waiting"
    RESOLVED = "resolved"
    CLOSED = "closed"


class TicketPriority(StrEnum):
    """How urgent it is; its clocks follow."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    URGENT = "urgent"


class TicketCategory(StrEnum):
    """What it is about."""

    ACCOUNT = "account"
    PAYMENT = "payment"
    PROJECT = "project"
    DISPUTE = "dispute"
    BUG = "bug"
    OTHER = "other"


class SupportTicket(Table, tablename="support_tickets"):
    """One question and what became of it. The two `due` times are its clocks; `…_missed` once one has run out."""

    id = BigSerial(primary_key=True)
    user = restricted(User)
    subject = Text()
    category = Text()
    priority = Text(default=TicketPriority.NORMAL.value)
    status = Text(default=TicketStatus.OPEN.value)
    assignee = restricted(User, null=True)
    first_response_due_at = Timestamptz(default=None)
    first_response_at = Timestamptz(null=True, default=None)
    first_response_missed = Boolean(default=False)
    resolution_due_at = Timestamptz(default=None)
    resolved_at = Timestamptz(null=True, default=None)
    resolution_missed = Boolean(default=False)
    created_at = Timestamptz(default=TimestamptzNow())
    updated_at = Timestamptz(default=TimestamptzNow())
    closed_at = Timestamptz(null=True, default=None)


class SupportReply(Table, tablename="support_replies"):
    """One message of a ticket, the first one included."""

    id = BigSerial(primary_key=True)
    ticket = restricted(SupportTicket)
    author = restricted(User)
    message = Text()
    created_at = Timestamptz(default=TimestamptzNow())


MACHINE: Final = Machine[TicketStatus](
    noun="ticket",
    start=TicketStatus.OPEN,
    edges=(
        Edge(
            source=TicketStatus.OPEN,
            target=TicketStatus.IN_PROGRESS,
            verb="assign",
            by=(Part.ADMIN,),
        ),
        Edge(
            source=TicketStatus.OPEN,
            target=TicketStatus.WAITING,
            verb="reply",
            by=(Part.ADMIN,),
            guard="an admin answers",
            tells=("ticket_replied",),
            mails=("ticket_replied",),
        ),
        Edge(
            source=TicketStatus.IN_PROGRESS,
            target=TicketStatus.WAITING,
            verb="reply",
            by=(Part.ADMIN,),
            guard="an admin answers",
            tells=("ticket_replied",),
            mails=("ticket_replied",),
        ),
        Edge(
            source=TicketStatus.WAITING,
            target=TicketStatus.IN_PROGRESS,
            verb="reply",
            by=(Part.OWNER,),
            guard="its owner answers",
        ),
        Edge(
            source=TicketStatus.OPEN,
            target=TicketStatus.RESOLVED,
            verb="resolve",
            by=(Part.ADMIN,),
            timer="ticket.close",
            tells=("ticket_resolved",),
        ),
        Edge(
            source=TicketStatus.IN_PROGRESS,
            target=TicketStatus.RESOLVED,
            verb="resolve",
            by=(Part.ADMIN,),
            timer="ticket.close",
            tells=("ticket_resolved",),
        ),
        Edge(
            source=TicketStatus.WAITING,
            target=TicketStatus.RESOLVED,
            verb="resolve",
            by=(Part.ADMIN,),
            timer="ticket.close",
            tells=("ticket_resolved",),
        ),
        Edge(
            source=TicketStatus.RESOLVED,
            target=TicketStatus.IN_PROGRESS,
            verb="reply",
            by=(Part.OWNER,),
            guard="its owner is not satisfied",
            timer="ticket.resolution",
        ),
        Edge(
            source=TicketStatus.OPEN,
            target=TicketStatus.CLOSED,
            verb="close",
            by=(Part.OWNER,),
        ),
        Edge(
            source=TicketStatus.IN_PROGRESS,
            target=TicketStatus.CLOSED,
            verb="close",
            by=(Part.OWNER,),
        ),
        Edge(
            source=TicketStatus.WAITING,
            target=TicketStatus.CLOSED,
            verb="close",
            by=(Part.OWNER,),
        ),
        Edge(
            source=TicketStatus.RESOLVED,
            target=TicketStatus.CLOSED,
            verb="close",
            by=(
                Part.OWNER,
                Part.ADMIN,
                Part.SYSTEM,
            ),
            guard="by itself 7 days after it was resolved",
        ),
    ),
)


class Promise(Record, frozen=True):
    """How soon a ticket is answered and solved, in business time."""

    first_response: timedelta
    resolution: timedelta


PROMISES: Final[dict[TicketPriority, Promise]] = {
    TicketPriority.URGENT: Promise(first_response=timedelta(hours=1), resolution=timedelta(hours=8)),
    TicketPriority.HIGH: Promise(first_response=timedelta(hours=4), resolution=timedelta(hours=24)),
    TicketPriority.NORMAL: Promise(first_response=timedelta(hours=24), resolution=timedelta(hours=72)),
    TicketPriority.LOW: Promise(first_response=timedelta(hours=48), resolution=timedelta(hours=168)),
}
"""Around the clock, whatever day it is."""

RANKED: Final = tuple(PROMISES)
"""Priorities as the queue has them, the most urgent first."""

CLOCKS: Final = (TimerKind.TICKET_FIRST_RESPONSE, TimerKind.TICKET_RESOLUTION, TimerKind.TICKET_CLOSE)


class TicketRow(Record, frozen=True):
    """A ticket as the domain passes it around."""

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

    @property
    def rank(self) -> int:
        """Where its priority stands in the queue, from 1."""
        return RANKED.index(self.priority) + 1


class ReplyRow(Record, frozen=True):
    """One message of a ticket; `from_support`: of somebody who is not its owner."""

    id: int
    ticket_id: int
    author_id: int
    author_name: str
    from_support: bool
    message: str
    created_at: datetime


COLUMNS: Final = """
t.id, t."user" as user_id, t.subject, t.category, t.priority, t.status, t.assignee as assignee_id,
t.first_response_due_at, t.first_response_at, t.first_response_missed, t.resolution_due_at, t.resolved_at,
t.resolution_missed, t.created_at, t.updated_at, t.closed_at
"""

SELECT: Final = f"select {COLUMNS} from support_tickets t "

OPEN: Final = f"""
insert into support_tickets as t ("user", subject, category, priority, first_response_due_at, resolution_due_at,
                                  created_at, updated_at)
values ($1, $2, $3, $4, $5, $6, $7, $7) returning {COLUMNS}
"""

UNSOLVED: Final = """
select count(*) as open, count(*) filter (where priority = 'urgent') as urgent from support_tickets
 where "user" = $1 and status in ('open', 'in_progress', 'waiting')
"""

MOVE: Final = f"""
update support_tickets as t
   set status = $2, updated_at = business_now(),
       resolved_at = case $2 when 'resolved' then business_now() when 'closed' then resolved_at end,
       closed_at = case when $2 = 'closed' then business_now() end
 where id = $1 returning {COLUMNS}
"""

SAY: Final = """
insert into support_replies (ticket, author, message, created_at)
select $1, $2, $3, business_now() where (select count(*) from support_replies where ticket = $1) < $4 returning id
"""

REPLIES: Final = query(
    "support.replies",
    """
select r.id, r.ticket as ticket_id, r.author as author_id, u.first_name || ' ' || u.last_name as author_name,
       r.author <> t."user" as from_support, r.message, r.created_at
  from support_replies r join users u on u.id = r.author join support_tickets t on t.id = r.ticket
 where r.ticket = $1 order by r.id
""",
)


def row_of(found: Any) -> TicketRow:
    """The record of a row read with COLUMNS."""
    fields = dict(found)
    fields["category"] = TicketCategory(fields["category"])
    fields["priority"] = TicketPriority(fields["priority"])
    fields["status"] = TicketStatus(fields["status"])
    return TicketRow(**fields)


# Verbs


async def open_ticket(
    user_id: int, *, subject: str, message: str, priority: TicketPriority, category: TicketCategory
) -> TicketRow:
    """Ask something; both clocks begin.

    Raises WrongState for the 21st unsolved ticket of a person and for the fourth urgent one, TokenInvalid when they
    left meanwhile.
    """
    await accounts.lock_present(user_id)
    held = await guard.only(UNSOLVED, user_id)
    if held["open"] >= MOST_OPEN:
        raise WrongState(f"You have {MOST_OPEN} open tickets: close one, or wait for an answer.")
    if priority is TicketPriority.URGENT and held["urgent"] >= MOST_URGENT:
        raise WrongState(f"You have {MOST_URGENT} urgent tickets open: choose another priority for this one.")
    now, promise = await business_time.now(), PROMISES[priority]
    answer_by, solve_by = now + promise.first_response, now + promise.resolution
    made = await guard.only(OPEN, user_id, subject, category.value, priority.value, answer_by, solve_by, now)
    await lock(Noun.TICKET, made["id"])
    await say(made["id"], user_id, message)
    await timers.start(TimerKind.TICKET_FIRST_RESPONSE, made["id"], answer_by)
    await timers.start(TimerKind.TICKET_RESOLUTION, made["id"], solve_by)
    return row_of(made)


async def locked(ticket_id: int) -> TicketRow:
    """The ticket, locked until the transaction ends, whoever asks. Raises NotFound."""
    await lock(Noun.TICKET, ticket_id)
    return row_of(await guard.only(SELECT + "where t.id = $1", ticket_id))


async def move(ticket: TicketRow, target: TicketStatus, *, verb: str) -> TicketRow:
    """Change a locked ticket's status. Raises WrongState when the table does not list the change."""
    assert is_held(Noun.TICKET, ticket.id), f"ticket {ticket.id} is not locked"
    MACHINE.check(ticket.status, target, verb=verb)
    return row_of(await guard.only(MOVE, ticket.id, target.value))


async def say(ticket_id: int, author_id: int, message: str) -> int:
    """Write one message of a locked ticket; its id. Raises WrongState when the ticket has as many as it takes."""
    assert is_held(Noun.TICKET, ticket_id), f"ticket {ticket_id} is not locked"
    made: int | None = await guard.value(SAY, ticket_id, author_id, message, MOST_REPLIES)
    if made is None:
        raise WrongState(f"This ticket has {MOST_REPLIES} messages, as many as one takes: open another one.")
    await guard.rows("update support_tickets set updated_at = business_now() where id = $1", ticket_id)
    return made


# Queries


async def read(ticket_id: int, *, user_id: int, admin: bool) -> TicketRow:
    """The ticket, for its owner or an admin. Raises NotFound for anybody else."""
    found = await guard.row(SELECT + 'where t.id = $1 and ($3 or t."user" = $2)', ticket_id, user_id, admin)
    if found is None:
        raise NotFound(f"There is no ticket {ticket_id}.")
    return row_of(found)


async def replies(ticket_id: int) -> list[ReplyRow]:
    """Everything that was said in a ticket, from the first word on. For who may read the ticket."""
    return [ReplyRow(**dict(one)) for one in await guard.rows(REPLIES, ticket_id)]
