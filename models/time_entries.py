"""Hours worked under hourly contracts: a running clock or times written down, each billed once.

Refuses hours of one freelancer that overlap, hours of a week that is closed, and more of a week than the contract caps.
What a client says about them, and what becomes of a whole week, stands in `timesheets.py`.
"""

from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any, Final

from piccolo.columns import BigSerial, Boolean, Text, Timestamptz
from piccolo.columns.defaults.timestamptz import TimestamptzNow
from piccolo.table import Table

from models import accounts, business_time, contracts, guard, time_rules, time_weeks, timers
from models.accounts import User
from models.base import Record, restricted
from models.contracts import Contract
from models.errors import HoursOverlap, Invalid, NotFound, WrongState
from models.projects import Project
from models.queries import query
from models.states import Edge, Machine, Part
from models.time_weeks import REVIEW_WORKING_DAYS, Hourly, Week, WeekRow, WeekStatus
from models.timers import TimerKind


class TimeEntryStatus(StrEnum):
    """Where an entry stands."""

    RUNNING = "running"
    DRAFT = "draft"
    SUBMITTED = "submitted"
    APPROVED = "approved"
    REJECTED = "rejected"
    INVOICED = "invoiced"


class TimeEntry(Table, tablename="time_entries"):
    """A span of work. `ended_at` is null while the clock runs; `is_capped`: the week's cap, or 24 hours, ended it."""

    id = BigSerial(primary_key=True)
    contract = restricted(Contract)
    project = restricted(Project, index=False)
    freelancer = restricted(User, index=False)
    week = restricted(Week)
    started_at = Timestamptz(default=None)
    ended_at = Timestamptz(null=True, default=None)
    description = Text()
    is_billable = Boolean(default=True)
    is_capped = Boolean(default=False)
    status = Text(default=TimeEntryStatus.DRAFT.value)
    reason = Text(null=True, default=None)
    created_at = Timestamptz(default=TimestamptzNow())
    updated_at = Timestamptz(default=TimestamptzNow())


MACHINE: Final = Machine[TimeEntryStatus](
    noun="time entry",
    start=TimeEntryStatus.RUNNING,
    edges=(
        Edge(
            source=TimeEntryStatus.RUNNING,
            target=TimeEntryStatus.DRAFT,
            verb="stop",
            by=(
                Part.FREELANCER,
                Part.SYSTEM,
            ),
            guard="also when the week closes or its cap is reached",
        ),
        Edge(
            source=TimeEntryStatus.DRAFT,
            target=TimeEntryStatus.SUBMITTED,
            verb="submit",
            by=(
                Part.FREELANCER,
                Part.SYSTEM,
            ),
            guard="also when the week closes; in review it gives the client five working days anew",
        ),
        Edge(
            source=TimeEntryStatus.SUBMITTED,
            target=TimeEntryStatus.APPROVED,
            verb="approve",
            by=(
                Part.CLIENT,
                Part.SYSTEM,
            ),
            guard="one by one, or with the whole week, which the last one approves; by silence after 5 working days",
        ),
        Edge(
            source=TimeEntryStatus.SUBMITTED,
            target=TimeEntryStatus.REJECTED,
            verb="reject",
            by=(Part.CLIENT,),
            tells=("time_rejected",),
        ),
        Edge(
            source=TimeEntryStatus.REJECTED,
            target=TimeEntryStatus.DRAFT,
            verb="edit",
            by=(Part.FREELANCER,),
            guard="while the week is open or in review",
        ),
        Edge(
            source=TimeEntryStatus.APPROVED,
            target=TimeEntryStatus.INVOICED,
            verb="invoice",
            by=(Part.SYSTEM,),
            guard="the week is billed",
        ),
    ),
)


class Span(Record, frozen=True):
    """Hours as their freelancer writes them down; both times in UTC."""

    started_at: datetime
    ended_at: datetime
    description: str
    is_billable: bool


class Change(Record, frozen=True):
    """What becomes of an entry; None leaves it as it is. Times in UTC."""

    started_at: datetime | None = None
    ended_at: datetime | None = None
    description: str | None = None
    is_billable: bool | None = None


class EntryRow(Record, frozen=True):
    """An entry as the domain passes it around. `monday` names its week."""

    id: int
    contract_id: int
    project_id: int
    freelancer_id: int
    week_id: int
    monday: date
    week_status: WeekStatus
    started_at: datetime
    ended_at: datetime | None
    description: str
    is_billable: bool
    is_capped: bool
    status: TimeEntryStatus
    reason: str | None
    created_at: datetime

    @property
    def minutes(self) -> int | None:
        """Its whole minutes; None while the clock runs."""
        return None if self.ended_at is None else (self.ended_at - self.started_at) // time_weeks.MINUTE


COLUMNS: Final = """
e.id, e.contract as contract_id, e.project as project_id, e.freelancer as freelancer_id, e.week as week_id, w.monday,
w.status as week_status, e.started_at, e.ended_at, e.description, e.is_billable, e.is_capped, e.status, e.reason,
e.created_at
"""

SELECT: Final = f"select {COLUMNS} from time_entries e join time_weeks w on w.id = e.week "

SEEN: Final = f"""{SELECT} join contracts c on c.id = e.contract
 where e.id = $1 and ($3 or c.client = $2 or c.freelancer = $2)
"""

# The exclusion constraint has the last word: what it turns down makes no row, and leaves the transaction as it was.
ADD: Final = """
insert into time_entries (contract, project, freelancer, week, started_at, ended_at, description, is_billable, status)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict do nothing returning id
"""

EDIT: Final = """
update time_entries set started_at = $2, ended_at = $3, description = $4, is_billable = $5, status = 'draft',
                        is_capped = is_capped and ended_at = $3, updated_at = now()
 where id = $1
"""

MOVE: Final = "update time_entries set status = $2, reason = $3, updated_at = now() where id = any($1::bigint[])"

OF_CONTRACT: Final = query(
    "time_entries.of_contract",
    f"""{SELECT}
 where e.project = $1 and e.contract = $2 and e.status = any($3::text[]) and (e.started_at, e.id) < ($4, $5)
 order by e.started_at desc, e.id desc limit $6
""",
)
"""By the project, which has one contract that lives: so the index by project and start serves it."""

OF_WEEK: Final = query(
    "time_entries.of_week",
    f"""{SELECT}
 where e.week = $1 and e.status = any($2::text[]) and (e.started_at, e.id) < ($3, $4)
 order by e.started_at desc, e.id desc limit $5
""",
)

END_OF_TIME: Final = (datetime(9999, 1, 1, tzinfo=UTC), 0)
"""Where a list begins that goes back from the newest."""


def _row(found: Any) -> EntryRow:
    fields = dict(found)
    fields["status"] = TimeEntryStatus(fields["status"])
    fields["week_status"] = WeekStatus(fields["week_status"])
    return EntryRow(**fields)


# Verbs


async def create(contract_id: int, span: Span, *, freelancer_id: int) -> EntryRow:
    """Write down hours that were worked, as a draft.

    Raises NotFound for a stranger, NotAllowed for the client, WrongState unless the contract is active and hourly and
    the week open, Invalid for times that are none, HoursOverlap, WeeklyCapExceeded.
    """
    terms = await time_rules.to_work(contract_id, freelancer_id)
    now = await time_weeks.moment()
    time_rules.check_span(terms, span.started_at, span.ended_at, now)
    if span.started_at < now - time_rules.OLDEST:
        raise WrongState("That week is closed: hours are written down in their week, or just after it.")
    monday = time_rules.week_holding(terms, span.started_at, span.ended_at)
    await time_rules.check_free(terms, span.started_at, span.ended_at)
    week = await time_weeks.open_for(terms, monday, now)
    if span.is_billable:
        await time_rules.check_cap(terms, week, span.ended_at - span.started_at, now)
    return await add(terms, week, span, TimeEntryStatus.DRAFT)


async def edit(entry_id: int, change: Change, *, freelancer_id: int) -> EntryRow:
    """Change a draft, or mend what was rejected: it is a draft again. It stays in its week.

    Raises what `create` raises, and WrongState once the entry is submitted or its week was approved.
    """
    entry, terms = await of_freelancer(entry_id, freelancer_id)
    if entry.status is not TimeEntryStatus.DRAFT:
        MACHINE.check(entry.status, TimeEntryStatus.DRAFT, verb="edit")
    _check_undecided(entry)
    time_rules.check_active(terms)
    assert entry.ended_at is not None, f"entry {entry_id} runs"
    span = Span(
        started_at=change.started_at or entry.started_at,
        ended_at=change.ended_at or entry.ended_at,
        description=entry.description if change.description is None else change.description,
        is_billable=entry.is_billable if change.is_billable is None else change.is_billable,
    )
    now = await time_weeks.moment()
    time_rules.check_span(terms, span.started_at, span.ended_at, now)
    far = abs(span.started_at - entry.started_at) > time_rules.OLDEST
    if far or time_rules.week_holding(terms, span.started_at, span.ended_at) != entry.monday:
        raise Invalid(f"An entry stays in its week, that of {entry.monday}.", field="started_at")
    await time_rules.check_free(terms, span.started_at, span.ended_at, but=entry_id)
    if span.is_billable:
        week = await time_weeks.by_id(entry.week_id)
        await time_rules.check_cap(terms, week, span.ended_at - span.started_at, now, but=entry_id)
    await guard.rows(EDIT, entry_id, span.started_at, span.ended_at, span.description, span.is_billable)
    return await reread(entry_id)


async def remove(entry_id: int, *, freelancer_id: int) -> EntryRow:
    """Take back a draft, and return what it was. Raises NotFound, NotAllowed, WrongState for anything else."""
    entry, _ = await of_freelancer(entry_id, freelancer_id)
    if entry.status is not TimeEntryStatus.DRAFT:
        raise WrongState(f"This time entry is {entry.status.value}: only a draft can be deleted.")
    _check_undecided(entry)
    await guard.rows("delete from time_entries where id = $1", entry_id)
    return entry


async def submit(entry_id: int, *, freelancer_id: int) -> EntryRow:
    """Show a draft to the client before its week closes, or a mended one while the week is in review.

    A mended one gives the client five working days anew. Raises NotFound, NotAllowed, WrongState.
    """
    entry, terms = await of_freelancer(entry_id, freelancer_id)
    _check_undecided(entry)
    await move([entry], TimeEntryStatus.SUBMITTED, verb="submit")
    if entry.week_status is WeekStatus.IN_REVIEW:
        due_at = business_time.working_days_after(await time_weeks.moment(), REVIEW_WORKING_DAYS, terms.zone)
        await timers.start(TimerKind.WEEK_APPROVE, entry.week_id, due_at)
    return await reread(entry_id)


async def move(entries: list[EntryRow], target: TimeEntryStatus, *, verb: str, reason: str | None = None) -> None:
    """Change the status of entries whose contract is locked. Raises WrongState when the table does not list it."""
    guard.in_transaction()
    for entry in entries:
        MACHINE.check(entry.status, target, verb=verb)
    await guard.rows(MOVE, [entry.id for entry in entries], target.value, reason)


async def contract_of(entry_id: int) -> int:
    """The contract to lock for an entry. Raises NotFound."""
    found: int | None = await guard.value("select contract from time_entries where id = $1", entry_id)
    if found is None:
        raise NotFound(f"There is no time entry {entry_id}.")
    return found


async def under_lock(entry_id: int) -> EntryRow:
    """The entry, once its contract is locked. Raises NotFound when it was deleted meanwhile."""
    found = await guard.row(SELECT + "where e.id = $1", entry_id)
    if found is None:
        raise NotFound(f"There is no time entry {entry_id}.")
    return _row(found)


async def of_freelancer(entry_id: int, freelancer_id: int) -> tuple[EntryRow, Hourly]:
    """One's own entry and its contract, account and contract locked. Raises NotFound, NotAllowed for the client."""
    await accounts.lock_present(freelancer_id)
    contract_id = await contract_of(entry_id)
    try:
        terms = await time_weeks.locked(contract_id, user_id=freelancer_id, freelancer=True)
    except NotFound:
        raise NotFound(f"There is no time entry {entry_id}.") from None
    return await under_lock(entry_id), terms


def _check_undecided(entry: EntryRow) -> None:
    if entry.week_status not in (WeekStatus.OPEN, WeekStatus.IN_REVIEW):
        raise WrongState(f"The week of {entry.monday} is {entry.week_status.value}: its hours stay as they are.")


async def add(terms: Hourly, week: WeekRow, span: Span, status: TimeEntryStatus) -> EntryRow:
    """Write an entry of an open week; one that runs has no end. Raises HoursOverlap."""
    made = await guard.value(
        ADD,
        terms.contract.id,
        terms.contract.project_id,
        terms.contract.freelancer_id,
        week.id,
        span.started_at,
        None if status is TimeEntryStatus.RUNNING else span.ended_at,
        span.description,
        span.is_billable,
        status.value,
    )
    if made is None:
        raise HoursOverlap("You have written down hours of that time already.")
    return await reread(made)


async def reread(entry_id: int) -> EntryRow:
    """The entry that there is, as it is now."""
    return _row(await guard.only(SELECT + "where e.id = $1", entry_id))


# Queries


async def read(entry_id: int, *, user_id: int, admin: bool) -> EntryRow:
    """The entry, for its contract's two parties or an admin. Raises NotFound for anybody else."""
    found = await guard.row(SEEN, entry_id, user_id, admin)
    if found is None:
        raise NotFound(f"There is no time entry {entry_id}.")
    return _row(found)


async def list_by_contract(
    contract_id: int,
    *,
    user_id: int,
    admin: bool,
    monday: date | None,
    status: TimeEntryStatus | None,
    before: tuple[datetime, int] | None,
    limit: int,
) -> list[EntryRow]:
    """A contract's hours, all or of one week or status, latest first, from `before` (start and id) backwards.

    Raises NotFound when the caller may not see the contract.
    """
    contract = await contracts.read(contract_id, user_id=user_id, admin=admin)
    statuses = [one.value for one in TimeEntryStatus if status in (None, one)]
    since = before or END_OF_TIME
    if monday is None:
        found = await guard.rows(OF_CONTRACT, contract.project_id, contract_id, statuses, *since, limit)
        return [_row(one) for one in found]
    week = await time_weeks.find(contract_id, monday)
    return [] if week is None else [_row(one) for one in await guard.rows(OF_WEEK, week.id, statuses, *since, limit)]


async def of_week(week_id: int, *statuses: TimeEntryStatus) -> list[EntryRow]:
    """A week's entries in these states, in the order in which they were worked."""
    found = await guard.rows(
        SELECT + "where e.week = $1 and e.status = any($2::text[]) order by e.started_at, e.id",
        week_id,
        [one.value for one in statuses],
    )
    return [_row(one) for one in found]
