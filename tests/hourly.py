"""Hourly contracts, moments of the business clock, and deadlines fired as the job would: what tests of hours need."""

from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from models import contracts, deadlines, guard, time_entries
from models.accounts import Person
from models.contracts import ContractRow
from models.money import Money
from models.time_entries import EntryRow, Span
from models.timers import TimerKind, TimerRow
from tests import factories

SET = """
insert into business_clock (ahead) values ($1 - now()) on conflict (only_one) do update set ahead = excluded.ahead
"""
TERMS = """
update contracts set budget_type = 'hourly', amount_minor = $2, weekly_cap_minutes = $3, time_zone = $4,
                     created_at = '0001-01-01 00:00Z' where id = $1
"""


async def set_clock(moment: datetime) -> None:
    """Make it this moment, as only a sandbox may; it goes on from there. Not before the real present."""
    await guard.rows(SET, moment)


def utc(local: str, zone: str = "UTC") -> datetime:
    """A time written as in `2031-05-05 09:00` where a zone is, in UTC."""
    return datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


async def a_contract(
    client: Person | None = None,
    freelancer: Person | None = None,
    *,
    rate: str = "60.00",
    currency: str = "USD",
    cap_minutes: int = 2400,
    zone: str = "UTC",
    signed: bool = True,
) -> ContractRow:
    """A contract paid by the hour; the rate is in major units."""
    made = await factories.a_contract(client, freelancer, signed=signed, offer=factories.an_offer(currency=currency))
    minor = Money.from_major(Decimal(rate), currency).minor
    await guard.rows(TERMS, made.id, minor, cap_minutes, zone)
    return await contracts.read(made.id, user_id=made.client_id, admin=False)


async def an_entry(
    contract: ContractRow, started: str, ended: str, *, zone: str = "UTC", billable: bool = True
) -> EntryRow:
    """Hours written down by the contract's freelancer."""
    span = Span(started_at=utc(started, zone), ended_at=utc(ended, zone), description="Work.", is_billable=billable)
    return await guard.commit(time_entries.create, contract.id, span, freelancer_id=contract.freelancer_id)


async def due() -> list[TimerRow]:
    """The deadlines that have passed, the oldest first."""
    found = await guard.rows(
        """select id, kind, subject_id, due_at from timers
            where fired_at is null and due_at <= business_now() order by due_at, id"""
    )
    return [TimerRow(**{**dict(one), "kind": TimerKind(one["kind"])}) for one in found]


async def fire() -> list[TimerKind]:
    """Let every deadline that has passed do its work, and those that come of it; which ones they were."""
    fired = []
    while passed := await due():
        for timer in passed:
            await guard.commit(deadlines.VERBS[timer.kind], timer)
            fired.append(timer.kind)
    return fired


async def waiting(kind: TimerKind, subject_id: int) -> datetime | None:
    """When a subject's deadline of this kind is; None when there is none."""
    found: datetime | None = await guard.value(
        "select due_at from timers where kind = $1 and subject_id = $2 and fired_at is null", kind.value, subject_id
    )
    return found
