"""ISO weeks of hourly contracts, in the contract's own time zone: open while they last, reviewed for five working days.

A week is a row from its first hour on; its close and its approval are deadlines, whose verbs stand in `timesheets.py`.
Its times are summed exactly and then counted in whole minutes; its money is rounded once. Refuses hours of a week that
is past or to come.
"""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final
from zoneinfo import ZoneInfo

from piccolo.columns import BigSerial, Date, Text, Timestamptz
from piccolo.table import Table

from models import business_time, contracts, guard, timers
from models.base import Record, restricted
from models.contracts import Contract, ContractRow
from models.errors import NotAllowed, NotFound, WrongState
from models.locks import Noun, is_held
from models.money import STEP_MINOR, Money
from models.projects import BudgetType
from models.queries import query
from models.states import Edge, Machine, Part
from models.timers import TimerKind

REVIEW_WORKING_DAYS: Final = 5
"""Monday to Friday; after so many a client who said nothing has approved."""
DAY: Final = timedelta(hours=24)
"""The longest that one entry is: whoever forgets a clock is not paid for the night after the next."""
MINUTE: Final = timedelta(minutes=1)


class WeekStatus(StrEnum):
    """Where a week stands."""

    OPEN = "open"
    IN_REVIEW = "in_review"
    APPROVED = "approved"
    BILLED = "billed"


class Week(Table, tablename="time_weeks"):
    """One contract's week; `monday` is its first day where the contract is."""

    id = BigSerial(primary_key=True)
    contract = restricted(Contract)
    monday = Date(default=None)
    status = Text(default=WeekStatus.OPEN.value)
    closed_at = Timestamptz(null=True, default=None)
    approved_at = Timestamptz(null=True, default=None)


MACHINE: Final = Machine[WeekStatus](
    noun="week",
    start=WeekStatus.OPEN,
    edges=(
        Edge(
            source=WeekStatus.OPEN,
            target=WeekStatus.IN_REVIEW,
            verb="close",
            by=(Part.SYSTEM,),
            guard="its Sunday has ended where the contract is; nobody is asked about a week with nothing to decide",
            timer="week.approve",
            tells=("week_submitted",),
            mails=("week_submitted",),
        ),
        Edge(
            source=WeekStatus.IN_REVIEW,
            target=WeekStatus.APPROVED,
            verb="approve",
            by=(
                Part.CLIENT,
                Part.SYSTEM,
            ),
            guard="by the client; by itself once every entry is approved, or after 5 working days of silence",
            tells=("week_approved",),
        ),
        Edge(
            source=WeekStatus.APPROVED,
            target=WeekStatus.BILLED,
            verb="bill",
            by=(Part.SYSTEM,),
            guard="its money was asked for",
        ),
    ),
)


class Hourly(Record, frozen=True):
    """An hourly contract: its parties and rate, the most minutes of a week, and where its weeks begin and end."""

    contract: ContractRow
    cap_minutes: int
    zone: str

    @property
    def cap(self) -> timedelta:
        """The most billable time of a week."""
        return self.cap_minutes * MINUTE

    def ends_at(self, monday: date) -> datetime:
        """When a week is over, in UTC: the next Monday's first moment where the contract is."""
        return business_time.midnight(monday + business_time.WEEK, self.zone)

    def local(self, moment: datetime) -> str:
        """A moment as a message says it: the contract's own time, with its offset."""
        return moment.astimezone(ZoneInfo(self.zone)).isoformat(sep=" ", timespec="minutes")


class WeekRow(Record, frozen=True):
    """A week as the domain passes it around."""

    id: int
    contract_id: int
    monday: date
    status: WeekStatus
    closed_at: datetime | None
    approved_at: datetime | None


class Totals(Record, frozen=True):
    """What a week holds. `status` is None when nobody wrote an hour in it.

    `minutes` are by an entry's status. `billable_minutes` are those that are to be paid: of entries not rejected, and
    once the week has closed of none that was left a draft. `amount` is for them, before any fee.
    """

    id: int | None
    contract_id: int
    monday: date
    status: WeekStatus | None
    minutes: dict[str, int]
    billable_minutes: int
    cap_minutes: int
    amount: Money
    closes_at: datetime
    approves_at: datetime | None


TERMS: Final = "select budget_type, weekly_cap_minutes, time_zone from contracts where id = $1"

COLUMNS: Final = "w.id, w.contract as contract_id, w.monday, w.status, w.closed_at, w.approved_at"

FIND: Final = f"select {COLUMNS} from time_weeks w where w.contract = $1 and w.monday = $2"

OPEN: Final = "insert into time_weeks (contract, monday) values ($1, $2) on conflict do nothing returning id"

MOVE: Final = f"""
update time_weeks as w
   set status = $2, closed_at = case when $2 = 'in_review' then business_now() else closed_at end,
       approved_at = case when $2 = 'approved' then business_now() else approved_at end
 where id = $1 returning {COLUMNS}
"""

# A clock that runs is counted up to the moment ($2), the week's end ($3) or a day's length, whatever comes first.
SPENT: Final = query(
    "time_weeks.spent",
    """
select status, is_billable,
       sum(extract(epoch from coalesce(ended_at, least($2::timestamptz, $3::timestamptz,
                                                       started_at + interval '24 hours')) - started_at)) as seconds
  from time_entries where week = $1 and id <> $4 group by status, is_billable
""",
)

APPROVES_AT: Final = "select due_at from timers where kind = 'week.approve' and subject_id = $1 and fired_at is null"


def _row(found: Any) -> WeekRow:
    return WeekRow(**{**dict(found), "status": WeekStatus(found["status"])})


def wage(minutes: int, rate: Money) -> Money:
    """What so many minutes cost at a rate an hour, rounded half to even, once, here.

    Rounded to the multiple that the card network takes in this currency, as fees are.
    """
    step = STEP_MINOR.get(rate.currency, 1)
    whole = 60 * step
    quotient, remainder = divmod(minutes * rate.minor, whole)
    up = 2 * remainder > whole or (2 * remainder == whole and quotient % 2 == 1)
    return Money((quotient + up) * step, rate.currency)


# Verbs


async def locked(contract_id: int, *, user_id: int, freelancer: bool) -> Hourly:
    """An hourly contract, locked until the transaction ends, for the one of its parties whose turn it is.

    Raises NotFound for a stranger, NotAllowed for the other party, WrongState when it is not paid by the hour.
    """
    contract = await contracts.locked(contract_id)
    if user_id not in (contract.client_id, contract.freelancer_id):
        raise NotFound(f"There is no contract {contract_id}.")
    if user_id != (contract.freelancer_id if freelancer else contract.client_id):
        raise NotAllowed("This is for the contract's other party to do.")
    return await hourly(contract)


async def hourly(contract: ContractRow) -> Hourly:
    """A contract with what makes it hourly. Raises WrongState when it is not."""
    terms = await guard.only(TERMS, contract.id)
    if terms["budget_type"] != BudgetType.HOURLY:
        raise WrongState("This contract has a fixed price: only hourly ones take hours.")
    return Hourly(contract=contract, cap_minutes=terms["weekly_cap_minutes"], zone=terms["time_zone"])


async def moment() -> datetime:
    """The business time of this very moment, in UTC.

    Not of the transaction's begin as `business_now()`: who waited for a lock would stop a clock before it began.
    """
    found: datetime = await guard.value("select business_now() + (clock_timestamp() - now())")
    return found.astimezone(UTC)


async def open_for(terms: Hourly, monday: date, now: datetime) -> WeekRow:
    """A week that takes hours, made with its first one. With the contract's lock.

    That is the present one, and the last one until it has been closed. Raises WrongState for any other.
    """
    contract_id = terms.contract.id
    assert is_held(Noun.CONTRACT, contract_id), f"contract {contract_id} is not locked"
    ends_at = terms.ends_at(monday)
    if now < ends_at and (made := await guard.value(OPEN, contract_id, monday)) is not None:
        await timers.start(TimerKind.WEEK_CLOSE, made, ends_at)
    week = await find(contract_id, monday)
    if week is None or week.status is not WeekStatus.OPEN:
        raise WrongState(f"The week of {monday} was over at {terms.local(ends_at)}: it takes no more hours.")
    return week


async def move(week: WeekRow, target: WeekStatus, *, verb: str) -> WeekRow:
    """Change the status of a week whose contract is locked. Raises WrongState when the table does not list it."""
    assert is_held(Noun.CONTRACT, week.contract_id), f"contract {week.contract_id} is not locked"
    MACHINE.check(week.status, target, verb=verb)
    return _row(await guard.only(MOVE, week.id, target.value))


# Queries


async def find(contract_id: int, monday: date) -> WeekRow | None:
    """A contract's week, or None when nobody wrote an hour in it."""
    found = await guard.row(FIND, contract_id, monday)
    return None if found is None else _row(found)


async def by_id(week_id: int) -> WeekRow:
    """The week that there is."""
    return _row(await guard.only(f"select {COLUMNS} from time_weeks w where w.id = $1", week_id))


async def spent(week: WeekRow, ends_at: datetime, now: datetime, *, but: int = 0) -> dict[tuple[str, bool], timedelta]:
    """How much time a week's entries hold, by status and whether it is billable; `but` is an entry not counted."""
    found = await guard.rows(SPENT, week.id, now, ends_at, but)
    return {(one["status"], one["is_billable"]): _time(one["seconds"]) for one in found}


async def taken(terms: Hourly, week: WeekRow, now: datetime, *, but: int = 0) -> timedelta:
    """How much of a week's cap is taken, exactly: billable time of entries not rejected, a running one up to now."""
    held = await spent(week, terms.ends_at(week.monday), now, but=but)
    return sum((time for (status, billable), time in held.items() if billable and status != "rejected"), timedelta())


async def total(terms: Hourly, monday: date) -> Totals:
    """What a week of a contract holds, as it is now."""
    now, ends_at = await moment(), terms.ends_at(monday)
    week = await find(terms.contract.id, monday)
    held = {} if week is None else await spent(week, ends_at, now)
    unpaid = ("rejected",) if week is None or week.status is WeekStatus.OPEN else ("rejected", "draft")
    billable = sum((time for (status, paid), time in held.items() if paid and status not in unpaid), timedelta())
    # A clock that has run into the cap is cut there when it stops: what is beyond it was never to be paid.
    minutes = min(billable, terms.cap) // MINUTE
    by_status: Counter[str] = Counter()
    for status in sorted({status for status, _ in held}):
        by_status[status] = sum((time for (one, _), time in held.items() if one == status), timedelta()) // MINUTE
    return Totals(
        id=None if week is None else week.id,
        contract_id=terms.contract.id,
        monday=monday,
        status=None if week is None else week.status,
        minutes=dict(by_status),
        billable_minutes=minutes,
        cap_minutes=terms.cap_minutes,
        amount=wage(minutes, terms.contract.amount),
        closes_at=ends_at,
        approves_at=None if week is None else await guard.value(APPROVES_AT, week.id),
    )


async def read_total(contract_id: int, monday: date, *, user_id: int, admin: bool) -> Totals:
    """What a week holds, for the contract's two parties or an admin. Raises NotFound for anybody else.

    WrongState when the contract is not hourly.
    """
    contract = await contracts.read(contract_id, user_id=user_id, admin=admin)
    return await total(await hourly(contract), monday)


def _time(seconds: Decimal) -> timedelta:
    """PostgreSQL's exact seconds, to the microsecond."""
    return timedelta(microseconds=int(seconds * 1_000_000))
