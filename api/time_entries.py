"""Hours of hourly contracts, over HTTP: the clock, what is written down, and what the client says of it."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Final

import msgspec
from litestar import Router, delete, get, patch, post
from litestar.params import FromQuery, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK

from api.auth import Asking, role, signed_in
from api.fields import Body, Id, NeededId, PathId
from api.idempotency import Once, seen_by
from api.pages import DEFAULT_LIMIT, Cursor, Limit, Page, decode_cursor, page
from models import time_clocks, time_entries, time_weeks, timesheets
from models.accounts import Role
from models.errors import Invalid
from models.guard import commit
from models.time_entries import Change, EntryRow, Span, TimeEntryStatus
from models.time_weeks import Totals, WeekStatus

LISTING: Final = "time_entries"

Moment = Annotated[datetime, msgspec.Meta(tz=True, description="RFC 3339, with its offset from UTC")]
Description = Annotated[str, msgspec.Meta(max_length=2_000)]
Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]
MONDAY: Final = "^[0-9]{4}(-[0-9]{2}){2}$"
NeededWeek = Annotated[
    str, QueryParameter(pattern=MONDAY, schema_extra={"format": "date"}, description="a week's Monday")
]
QueryWeek = Annotated[
    str | None, QueryParameter(pattern=MONDAY, schema_extra={"format": "date"}, description="a week's Monday")
]


class NewClock(Body, frozen=True, kw_only=True):
    """What one begins to work at."""

    contract_id: Id
    description: Description = ""
    billable: bool = True


class NewEntry(Body, frozen=True, kw_only=True):
    """Hours that were worked, within one week of the contract."""

    contract_id: Id
    started_at: Moment
    ended_at: Moment
    description: Description = ""
    billable: bool = True

    def span(self) -> Span:
        """What the domain is told."""
        started_at, ended_at = _utc(self.started_at, "started_at"), _utc(self.ended_at, "ended_at")
        return Span(started_at=started_at, ended_at=ended_at, description=self.description, is_billable=self.billable)


class EntryChange(Body, frozen=True, kw_only=True):
    """What is changed of a draft, or of rejected hours; absent fields stay."""

    started_at: Moment | msgspec.UnsetType = msgspec.UNSET
    ended_at: Moment | msgspec.UnsetType = msgspec.UNSET
    description: Description | msgspec.UnsetType = msgspec.UNSET
    billable: bool | msgspec.UnsetType = msgspec.UNSET

    def change(self) -> Change:
        """What the domain is told."""
        return Change(
            started_at=None if self.started_at is msgspec.UNSET else _utc(self.started_at, "started_at"),
            ended_at=None if self.ended_at is msgspec.UNSET else _utc(self.ended_at, "ended_at"),
            description=None if self.description is msgspec.UNSET else self.description,
            is_billable=None if self.billable is msgspec.UNSET else self.billable,
        )


class Rejection(Body, frozen=True, kw_only=True):
    """What is wrong with the hours."""

    reason: Reason


class WholeWeek(Body, frozen=True, kw_only=True):
    """A contract's week, by its Monday."""

    contract_id: Id
    week: date


class EntryOut(msgspec.Struct, frozen=True, kw_only=True):
    """Hours as both parties see them. `minutes` are whole ones; null while the clock runs.

    `week` is the Monday of its week where the contract is; `capped`: the week's cap, or 24 hours, ended the clock.
    """

    id: int
    contract_id: int
    freelancer_id: int
    week: date
    started_at: datetime
    ended_at: datetime | None
    minutes: int | None
    description: str
    billable: bool
    capped: bool
    status: TimeEntryStatus
    reason: str | None
    created_at: datetime


class MinutesOut(msgspec.Struct, frozen=True, kw_only=True):
    """Whole minutes by the status of their entries, billable or not; a running clock up to now."""

    running: int = 0
    draft: int = 0
    submitted: int = 0
    approved: int = 0
    rejected: int = 0
    invoiced: int = 0


class WeekOut(msgspec.Struct, frozen=True, kw_only=True):
    """A contract's week. `amount` is what `billable_minutes` cost, in major units, before any fee.

    Billable minutes leave out rejected hours, and once the week has closed drafts. `status` is null while nobody has
    written an hour; `approves_at` is when silence approves a week in review.
    """

    contract_id: int
    week: date
    status: WeekStatus | None
    minutes: MinutesOut
    billable_minutes: int
    cap_minutes: int
    amount: Decimal
    currency: str
    closes_at: datetime
    approves_at: datetime | None


def show(entry: EntryRow) -> EntryOut:
    """The entry as it is answered."""
    return EntryOut(
        id=entry.id,
        contract_id=entry.contract_id,
        freelancer_id=entry.freelancer_id,
        week=entry.monday,
        started_at=entry.started_at,
        ended_at=entry.ended_at,
        minutes=entry.minutes,
        description=entry.description,
        billable=entry.is_billable,
        capped=entry.is_capped,
        status=entry.status,
        reason=entry.reason,
        created_at=entry.created_at,
    )


def show_week(total: Totals) -> WeekOut:
    """The week as it is answered."""
    return WeekOut(
        contract_id=total.contract_id,
        week=total.monday,
        status=total.status,
        minutes=MinutesOut(**total.minutes),
        billable_minutes=total.billable_minutes,
        cap_minutes=total.cap_minutes,
        amount=total.amount.major,
        currency=total.amount.currency,
        closes_at=total.closes_at,
        approves_at=total.approves_at,
    )


def _utc(moment: datetime, field: str) -> datetime:
    """The moment in UTC. Raises Invalid for the year 1, further east."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise Invalid(f"`{field}` is no time that anybody worked at.", field=field) from None


def _monday(day: date | str) -> date:
    """The Monday that a week is named by. Raises Invalid for any other day, and for one that is none."""
    try:
        found = date.fromisoformat(day) if isinstance(day, str) else day
    except ValueError:
        raise Invalid("There is no such day.", field="week") from None
    if found.weekday() or found > date(9998, 1, 1) or found.year < 1970:
        raise Invalid("A week is named by its Monday, as 2026-11-23.", field="week")
    return found


@post("/start", guards=[role(Role.FREELANCER)])
async def start_clock(data: JSONBody[NewClock], caller: Asking, once: Once) -> EntryOut:
    """Start one's clock: there is one, whatever contracts one has."""
    made = await once(
        time_clocks.start,
        data.contract_id,
        freelancer_id=caller.id,
        description=data.description,
        is_billable=data.billable,
        again=seen_by(caller, time_entries.read),
    )
    return show(made)


@post("/{entry_id:int}/stop", status_code=HTTP_200_OK, guards=[role(Role.FREELANCER)], opt={"bodiless": True})
async def stop_clock(entry_id: PathId, caller: Asking, once: Once) -> EntryOut:
    """Stop one's clock: its time is a draft. Work over the week's end is an entry of its own, in the next week."""
    again = seen_by(caller, time_entries.read)
    return show(await once(time_clocks.stop, entry_id, freelancer_id=caller.id, again=again))


@post("/", guards=[role(Role.FREELANCER)])
async def create_entry(data: JSONBody[NewEntry], caller: Asking, once: Once) -> EntryOut:
    """Write down hours of the present week, or of the last one until it has been closed."""
    again = seen_by(caller, time_entries.read)
    made = await once(time_entries.create, data.contract_id, data.span(), freelancer_id=caller.id, again=again)
    return show(made)


@get("/")
async def list_entries(
    *,
    caller: Asking,
    contract_id: NeededId,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    week: QueryWeek = None,
    status: FromQuery[TimeEntryStatus | None] = None,
) -> Page[EntryOut]:
    """A contract's hours, latest first."""
    found = await time_entries.list_by_contract(
        contract_id,
        user_id=caller.id,
        admin=caller.admin,
        monday=None if week is None else _monday(week),
        status=status,
        before=decode_cursor(LISTING, cursor, tuple[datetime, int]),
        limit=limit + 1,
    )
    return page(LISTING, [show(one) for one in found], limit, lambda one: (one.started_at, one.id))


@get("/summary")
async def sum_week(caller: Asking, contract_id: NeededId, week: NeededWeek) -> WeekOut:
    """What a contract's week holds, and when it closes."""
    monday = _monday(week)
    return show_week(await time_weeks.read_total(contract_id, monday, user_id=caller.id, admin=caller.admin))


@get("/{entry_id:int}")
async def read_entry(entry_id: PathId, caller: Asking) -> EntryOut:
    """Hours, for their contract's two parties."""
    return show(await time_entries.read(entry_id, user_id=caller.id, admin=caller.admin))


@patch("/{entry_id:int}", guards=[role(Role.FREELANCER)])
async def edit_entry(entry_id: PathId, data: JSONBody[EntryChange], caller: Asking) -> EntryOut:
    """Change a draft, or mend rejected hours: they are a draft again."""
    return show(await commit(time_entries.edit, entry_id, data.change(), freelancer_id=caller.id))


@delete("/{entry_id:int}", guards=[role(Role.FREELANCER)])
async def remove_entry(entry_id: PathId, caller: Asking) -> None:
    """Take back a draft."""
    await commit(timesheets.remove_entry, entry_id, freelancer_id=caller.id)


@post("/{entry_id:int}/submit", status_code=HTTP_200_OK, guards=[role(Role.FREELANCER)], opt={"bodiless": True})
async def submit_entry(entry_id: PathId, caller: Asking, once: Once) -> EntryOut:
    """Show a draft to the client; at the week's close that happens by itself."""
    again = seen_by(caller, time_entries.read)
    return show(await once(time_entries.submit, entry_id, freelancer_id=caller.id, again=again))


@post("/{entry_id:int}/approve", status_code=HTTP_200_OK, guards=[role(Role.CLIENT)], opt={"bodiless": True})
async def approve_entry(entry_id: PathId, caller: Asking, once: Once) -> EntryOut:
    """Approve submitted hours. With the last of them a week in review is approved."""
    again = seen_by(caller, time_entries.read)
    return show(await once(timesheets.approve_entry, entry_id, client_id=caller.id, again=again))


@post("/{entry_id:int}/reject", status_code=HTTP_200_OK, guards=[role(Role.CLIENT)])
async def reject_entry(entry_id: PathId, data: JSONBody[Rejection], caller: Asking, once: Once) -> EntryOut:
    """Refuse submitted hours; they can be mended until their week is approved."""
    again = seen_by(caller, time_entries.read)
    rejected = await once(timesheets.reject_entry, entry_id, client_id=caller.id, reason=data.reason, again=again)
    return show(rejected)


@post("/weeks/approve", status_code=HTTP_200_OK, guards=[role(Role.CLIENT)])
async def approve_week(data: JSONBody[WholeWeek], caller: Asking, once: Once) -> WeekOut:
    """Approve whatever is submitted of a week in review; what is rejected or a draft is left out."""
    monday = _monday(data.week)

    async def again(_: int) -> Totals:
        return await time_weeks.read_total(data.contract_id, monday, user_id=caller.id, admin=caller.admin)

    return show_week(await once(timesheets.approve, data.contract_id, monday, client_id=caller.id, again=again))


router = Router(
    "/api/time-entries",
    route_handlers=[
        start_clock,
        stop_clock,
        create_entry,
        list_entries,
        sum_week,
        read_entry,
        edit_entry,
        remove_entry,
        submit_entry,
        approve_entry,
        reject_entry,
        approve_week,
    ],
    tags=["time-entries"],
    guards=[signed_in],
)
