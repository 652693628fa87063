"""The one clock of a freelancer: it runs until it is stopped, or until a limit has ended it.

Limits are the week's end, the week's cap and 24 hours. Nothing watches them while the clock runs: whoever stops it
later finds where it ended. Over the week's end it goes on as an entry of the next week, and not a minute is lost.
"""

from datetime import datetime, timedelta
from typing import Final

from models import business_time, guard, time_entries, time_rules, time_weeks
from models.contracts import ContractStatus
from models.errors import WeeklyCapExceeded
from models.time_entries import MACHINE, EntryRow, Span, TimeEntryStatus
from models.time_weeks import DAY, Hourly, WeekRow

LEAST: Final = timedelta(microseconds=1)
"""An entry has a length: also one that began at the moment at which its clock was stopped."""

STOP: Final = """
update time_entries set ended_at = $2, is_capped = $3, status = $4, updated_at = now() where id = $1
"""


async def start(contract_id: int, *, freelancer_id: int, description: str, is_billable: bool) -> EntryRow:
    """Start the freelancer's one clock. Raises NotFound for a stranger, NotAllowed for the client.

    WrongState unless the contract is active and hourly, HoursOverlap when a clock runs already, WeeklyCapExceeded when
    the week has no billable time left.
    """
    terms = await time_rules.to_work(contract_id, freelancer_id)
    now = await time_weeks.moment()
    await time_rules.check_free(terms, now, None)
    week = await time_weeks.open_for(terms, business_time.week_of(now, terms.zone), now)
    if is_billable and await time_weeks.taken(terms, week, now) >= terms.cap:
        raise WeeklyCapExceeded(f"All {terms.cap_minutes} billable minutes of the week of {week.monday} are taken.")
    return await _begin(terms, week, now, description=description, is_billable=is_billable)


async def stop(entry_id: int, *, freelancer_id: int) -> EntryRow:
    """Stop one's clock: its time is a draft. Raises NotFound, NotAllowed, WrongState when it does not run.

    It ends where the week's cap or 24 hours ended it, if they did. What was worked after the week's end is an entry of
    the next week, a draft as well.
    """
    entry, terms = await time_entries.of_freelancer(entry_id, freelancer_id)
    now = await time_weeks.moment()
    going: EntryRow | None = entry
    while going is not None:
        going = await end(going, terms, now)
    return await time_entries.reread(entry_id)


async def end(entry: EntryRow, terms: Hourly, now: datetime) -> EntryRow | None:
    """End a running entry now, or where its week, the cap or a day's length ended it. With account and contract locked.

    Returns the clock that goes on in the next week, when this one ran until its week was over.
    """
    MACHINE.check(entry.status, TimeEntryStatus.DRAFT, verb="stop")
    over_at = terms.ends_at(entry.monday)
    limit = entry.started_at + DAY
    if entry.is_billable:
        week = await time_weeks.by_id(entry.week_id)
        room = terms.cap - await time_weeks.taken(terms, week, now, but=entry.id)
        limit = min(limit, entry.started_at + room)
    # Clocks of machines are set back now and then.
    ended_at = max(min(now, over_at, limit), entry.started_at + LEAST)
    await guard.rows(STOP, entry.id, ended_at, limit < min(now, over_at), TimeEntryStatus.DRAFT.value)
    if ended_at < over_at or terms.contract.status is not ContractStatus.ACTIVE:
        return None
    following = await time_weeks.open_for(terms, entry.monday + business_time.WEEK, over_at)
    return await _begin(terms, following, over_at, description=entry.description, is_billable=entry.is_billable)


async def _begin(terms: Hourly, week: WeekRow, at: datetime, *, description: str, is_billable: bool) -> EntryRow:
    span = Span(started_at=at, ended_at=at, description=description, is_billable=is_billable)
    return await time_entries.add(terms, week, span, TimeEntryStatus.RUNNING)
