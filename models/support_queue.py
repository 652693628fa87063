"""Tickets in the order in which they are looked at: one's own, newest first; everybody's, the most urgent first."""

from typing import Any, Final

from models import guard, support
from models.base import Record
from models.queries import query
from models.support import TicketPriority, TicketRow, TicketStatus


class Sought(Record, frozen=True):
    """Which tickets are wanted; None stands for any."""

    status: TicketStatus | None = None
    priority: TicketPriority | None = None
    assignee_id: int | None = None

    @property
    def statuses(self) -> list[str]:
        """The states that fit."""
        return [one.value for one in TicketStatus if self.status in (None, one)]

    @property
    def priorities(self) -> list[str]:
        """The priorities that fit."""
        return [one.value for one in TicketPriority if self.priority in (None, one)]


OWN: Final = query(
    "support.own",
    f"""{support.SELECT}
 where t."user" = $1 and t.status = any($2::text[]) and t.priority = any($3::text[]) and t.id < $4
 order by t.id desc limit $5
""",
)

RANK: Final = "array_position(array['urgent', 'high', 'normal', 'low'], t.priority)"
"""Where a ticket's priority stands, from 1; an index has it, in these very words."""

# A page is put together from the first tickets of each state, which the index has in order.
QUEUE: Final = query(
    "support.queue",
    f"""
select t.* from unnest($1::text[]) as s (status) cross join lateral (
       {support.SELECT} where t.status = s.status and ({RANK}, t.id) > ($2, $3) and {RANK} <= $4
        order by {RANK}, t.id limit $5) t
 order by {RANK}, t.id limit $5
""",
)

QUEUE_OF: Final = query(
    "support.queue_of",
    f"""{support.SELECT}
 where t.assignee = $6 and t.status = any($1::text[]) and ({RANK}, t.id) > ($2, $3) and {RANK} <= $4
 order by {RANK}, t.id limit $5
""",
)


async def list_own(user_id: int, sought: Sought, *, before: int | None, limit: int) -> list[TicketRow]:
    """A person's own newest tickets, from `before` (an id, exclusive) backwards."""
    newest = before or 2**63 - 1
    found = await guard.rows(OWN, user_id, sought.statuses, sought.priorities, newest, limit)
    return [support.row_of(one) for one in found]


async def list_queue(sought: Sought, *, after: tuple[int, int] | None, limit: int) -> list[TicketRow]:
    """Everybody's tickets, the most urgent first and of those the oldest, from behind `after` (rank and id) onwards."""
    ranks = [rank for rank, one in enumerate(support.RANKED, 1) if sought.priority in (None, one)]
    # A cursor is of the list it was given for: one of another filter never leads out of this one's ranks.
    since = max(after or (0, 0), (ranks[0], 0))
    values: list[Any] = [sought.statuses, *since, ranks[-1], limit]
    found = await (
        guard.rows(QUEUE, *values) if sought.assignee_id is None else guard.rows(QUEUE_OF, *values, sought.assignee_id)
    )
    return [support.row_of(one) for one in found]
