"""Deadlines as rows: set with the change that starts a clock, cleared with the one that stops it.

A crash loses none. One job sweeps what is due and makes a job of each; `models/deadlines.py` says which verb each
kind calls. A timer is set, cleared and taken only by who has locked its subject, so a deadline and a person who act
at the same moment come one after the other, and the second finds that the first was there.
"""

from datetime import datetime
from enum import StrEnum
from typing import Final

from piccolo.columns import BigInt, BigSerial, Text, Timestamptz
from piccolo.columns.defaults.timestamptz import TimestamptzNow
from piccolo.table import Table

from models import guard, outbox
from models.base import Record
from models.jobs import FireTimer

MOST_AT_ONCE: Final = 500
"""Timers that one sweep makes jobs of; the next one, a minute later, takes the rest."""


class TimerKind(StrEnum):
    """Every deadline there is. `subject_id` is the id of the noun before the dot."""

    MILESTONE_FIRST_REMINDER = "milestone.first_reminder"
    MILESTONE_LAST_REMINDER = "milestone.last_reminder"
    MILESTONE_APPROVE = "milestone.approve"
    REFUND_REQUEST_LAPSE = "refund_request.lapse"
    DISPUTE_ANSWER = "dispute.answer"
    DISPUTE_EVIDENCE = "dispute.evidence"
    DISPUTE_APPEAL = "dispute.appeal"
    CONTRACT_REVIEWS = "contract.reviews"
    WEEK_CLOSE = "week.close"
    WEEK_APPROVE = "week.approve"
    TICKET_FIRST_RESPONSE = "ticket.first_response"
    TICKET_RESOLUTION = "ticket.resolution"
    TICKET_CLOSE = "ticket.close"
    UPLOAD_EXPIRE = "upload.expire"
    MEMBERSHIP_DIGEST = "membership.digest"


class Timer(Table, tablename="timers"):
    """One deadline, in business time. `fired_at` once its verb has run; cleared ones are gone."""

    id = BigSerial(primary_key=True)
    kind = Text()
    subject_id = BigInt(default=None)
    due_at = Timestamptz(default=None)
    created_at = Timestamptz(default=TimestamptzNow())
    fired_at = Timestamptz(null=True, default=None)


class TimerRow(Record, frozen=True):
    """A timer as the verb it calls is given it."""

    id: int
    kind: TimerKind
    subject_id: int
    due_at: datetime


SET: Final = """
insert into timers (kind, subject_id, due_at) values ($1, $2, $3)
on conflict (kind, subject_id) where fired_at is null do update set due_at = excluded.due_at
"""

SET_ONCE: Final = """
insert into timers (kind, subject_id, due_at) values ($1, $2, $3)
on conflict (kind, subject_id) where fired_at is null do nothing
"""

# Whose job was made within this hour is passed over: 500 whose verbs fail for ever would be the oldest for ever, and no
# other would have its turn. The key is that of `outbox.hourly`; looked up one by one, because there are millions.
DUE: Final = """
select t.id, t.due_at from timers t
 where t.fired_at is null and t.due_at <= business_now()
   and (select true from job_keys
         where key = 'hourly:timer@' || floor(extract(epoch from t.due_at))::bigint || ':' || t.id || ':'
                     || to_char(now() at time zone 'UTC', 'YYYYMMDDHH24')) is null
 order by t.due_at limit $1
"""


async def start(kind: TimerKind, subject_id: int, due_at: datetime) -> None:
    """Set a subject's deadline of one kind; one that was set before moves there. With the subject's lock."""
    guard.in_transaction()
    await guard.rows(SET, kind.value, subject_id, due_at)


async def start_once(kind: TimerKind, subject_id: int, due_at: datetime) -> None:
    """Set a subject's deadline of one kind, unless one waits already: that one stays. With the subject's lock."""
    guard.in_transaction()
    await guard.rows(SET_ONCE, kind.value, subject_id, due_at)


async def clear(subject_id: int, *kinds: TimerKind) -> None:
    """Take back deadlines of a subject that have not fired. With the subject's lock."""
    guard.in_transaction()
    await guard.rows(
        "delete from timers where subject_id = $1 and kind = any($2::text[]) and fired_at is null",
        subject_id,
        [kind.value for kind in kinds],
    )


async def take(timer: TimerRow) -> bool:
    """Mark a timer as fired, once; False when it was cleared, moved or taken meanwhile. With the subject's lock."""
    guard.in_transaction()
    return bool(
        await guard.execute(
            "update timers set fired_at = now() where id = $1 and fired_at is null and due_at <= business_now() "
            "returning id",
            timer.id,
        )
    )


async def find(timer_id: int) -> TimerRow | None:
    """A timer that is due and has not fired, or None."""
    found = await guard.row(
        """select id, kind, subject_id, due_at from timers
            where id = $1 and fired_at is null and due_at <= business_now()""",
        timer_id,
    )
    return None if found is None else TimerRow(**{**dict(found), "kind": TimerKind(found["kind"])})


async def any_due() -> bool:
    """Whether a sweep would find anything: a look at the index of what has not fired."""
    return bool(await guard.rows(DUE, 1))


async def sweep() -> int:
    """Make a job of each timer that is due, the oldest first; returns how many. One whose job died has one an hour."""
    guard.in_transaction()
    due = await guard.rows(DUE, MOST_AT_ONCE)
    for one in due:
        # The moment is part of the key: a timer that was moved while its job waited is due anew.
        once = outbox.hourly(f"timer@{int(one['due_at'].timestamp())}", one["id"])
        await outbox.enqueue(FireTimer(timer_id=one["id"]), once=once)
    return len(due)
