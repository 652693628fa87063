"""A week of hours as its client meets it: closed when it is over, then looked at, then approved.

Rejected hours can be mended while their week is in review. With the week's approval everything submitted is approved;
what was rejected stays so, and what is still a draft is left out: neither is ever billed.
"""

from datetime import date, datetime
from typing import Final

from models import business_time, contracts, guard, mail, notifications, time_clocks, time_entries, time_weeks, timers
from models.errors import NotFound
from models.locks import Noun, lock
from models.notifications import NotificationType
from models.time_entries import EntryRow, TimeEntryStatus
from models.time_weeks import REVIEW_WORKING_DAYS, Hourly, Totals, WeekRow, WeekStatus
from models.timers import TimerKind, TimerRow

ASKED: Final = (TimeEntryStatus.SUBMITTED, TimeEntryStatus.REJECTED)
"""Billable hours that make a closed week worth a look: to be decided, or to be mended."""
LEFT: Final = (TimeEntryStatus.RUNNING, TimeEntryStatus.DRAFT, TimeEntryStatus.SUBMITTED, TimeEntryStatus.REJECTED)
"""What keeps a week in review: a rejected entry too, because its freelancer may mend it."""


async def approve_entry(entry_id: int, *, client_id: int) -> EntryRow:
    """Approve submitted hours; the last ones that a week in review waits for approve the week.

    Raises NotFound for a stranger, NotAllowed for the freelancer, WrongState unless they are submitted.
    """
    entry, terms = await _of_client(entry_id, client_id)
    await time_entries.move([entry], TimeEntryStatus.APPROVED, verb="approve")
    await _approve_if_decided(entry.week_id, terms)
    return await time_entries.reread(entry_id)


async def remove_entry(entry_id: int, *, freelancer_id: int) -> None:
    """Take back a draft; when a week in review waited for nothing else, it is approved.

    Raises what `time_entries.remove` raises.
    """
    removed = await time_entries.remove(entry_id, freelancer_id=freelancer_id)
    terms = await time_weeks.locked(removed.contract_id, user_id=freelancer_id, freelancer=True)
    await _approve_if_decided(removed.week_id, terms)


async def reject_entry(entry_id: int, *, client_id: int, reason: str) -> EntryRow:
    """Refuse submitted hours and say why; the freelancer may mend them until the week is approved.

    Raises NotFound for a stranger, NotAllowed for the freelancer, WrongState unless they are submitted.
    """
    entry, terms = await _of_client(entry_id, client_id)
    await time_entries.move([entry], TimeEntryStatus.REJECTED, verb="reject", reason=reason)
    contract = terms.contract
    await notifications.tell(
        contract.freelancer_id,
        type=NotificationType.TIME_REJECTED,
        title="Hours rejected",
        message=f"{contract.client_name} has rejected {entry.minutes} minutes of “{contract.title}”: {reason}",
        data={"time_entry_id": entry.id, "contract_id": contract.id, "week": entry.monday.isoformat()},
    )
    return await time_entries.reread(entry_id)


async def approve(contract_id: int, monday: date, *, client_id: int) -> Totals:
    """Approve a whole week that is in review: whatever is submitted; the rest is left out.

    Raises NotFound for a stranger and for a week without hours, NotAllowed for the freelancer, WrongState when the
    week is not in review.
    """
    terms = await time_weeks.locked(contract_id, user_id=client_id, freelancer=False)
    week = await time_weeks.find(contract_id, monday)
    if week is None:
        raise NotFound(f"Nobody has written down hours of the week of {monday}.")
    await _approve(week, terms)
    return await time_weeks.total(terms, monday)


async def close(timer: TimerRow) -> None:
    """Close a week whose Sunday has ended where its contract is: its hours are submitted, its client is asked.

    A clock that runs goes on in the next week. Nobody is asked about a week with nothing to decide: it is approved.
    """
    week, terms = await _of_timer(timer)
    if not await timers.take(timer):
        return
    now = await time_weeks.moment()
    for running in await time_entries.of_week(week.id, TimeEntryStatus.RUNNING):
        await time_clocks.end(running, terms, now)
    drafts = await time_entries.of_week(week.id, TimeEntryStatus.DRAFT)
    await time_entries.move(drafts, TimeEntryStatus.SUBMITTED, verb="submit")
    closed = await time_weeks.move(week, WeekStatus.IN_REVIEW, verb="close")
    if any(one.is_billable for one in await time_entries.of_week(week.id, *ASKED)):
        await _ask(closed, terms, now)
    else:
        await _approve(closed, terms)


async def approve_silently(timer: TimerRow) -> None:
    """Approve a week that its client looked at, or not, for five working days."""
    week, terms = await _of_timer(timer)
    if await timers.take(timer):
        await _approve(week, terms)


async def _of_client(entry_id: int, client_id: int) -> tuple[EntryRow, Hourly]:
    guard.in_transaction()
    contract_id = await time_entries.contract_of(entry_id)
    try:
        terms = await time_weeks.locked(contract_id, user_id=client_id, freelancer=False)
    except NotFound:
        raise NotFound(f"There is no time entry {entry_id}.") from None
    return await time_entries.under_lock(entry_id), terms


async def _of_timer(timer: TimerRow) -> tuple[WeekRow, Hourly]:
    guard.in_transaction()
    above = await guard.only(
        "select c.id, c.freelancer from time_weeks w join contracts c on c.id = w.contract where w.id = $1",
        timer.subject_id,
    )
    # Whoever writes hours of this freelancer, under another contract too, holds the account's lock.
    await lock(Noun.ACCOUNT, above["freelancer"])
    terms = await time_weeks.hourly(await contracts.locked(above["id"]))
    return await time_weeks.by_id(timer.subject_id), terms


async def _approve_if_decided(week_id: int, terms: Hourly) -> None:
    week = await time_weeks.by_id(week_id)
    if week.status is WeekStatus.IN_REVIEW and not await time_entries.of_week(week_id, *LEFT):
        await _approve(week, terms)


async def _approve(week: WeekRow, terms: Hourly) -> None:
    """Approve what is submitted, and the week; tell the freelancer when there is something to be paid."""
    approved = await time_weeks.move(week, WeekStatus.APPROVED, verb="approve")
    submitted = await time_entries.of_week(week.id, TimeEntryStatus.SUBMITTED)
    await time_entries.move(submitted, TimeEntryStatus.APPROVED, verb="approve")
    await timers.clear(week.id, TimerKind.WEEK_APPROVE)
    total = await time_weeks.total(terms, approved.monday)
    if not total.billable_minutes:
        return
    contract = terms.contract
    await notifications.tell(
        contract.freelancer_id,
        type=NotificationType.WEEK_APPROVED,
        title="Week approved",
        message=f"{_hours(total.billable_minutes)} of “{contract.title}” are approved: {total.amount}.",
        data=_data(total, terms),
    )


async def _ask(week: WeekRow, terms: Hourly, now: datetime) -> None:
    """Give the client five working days to look at a week."""
    due_at = business_time.working_days_after(now, REVIEW_WORKING_DAYS, terms.zone)
    await timers.start(TimerKind.WEEK_APPROVE, week.id, due_at)
    total, contract = await time_weeks.total(terms, week.monday), terms.contract
    await notifications.tell(
        contract.client_id,
        type=NotificationType.WEEK_SUBMITTED,
        title="Hours to approve",
        message=f"{contract.freelancer_name} has worked {_hours(total.billable_minutes)} for “{contract.title}”: "
        f"{total.amount}. Without a word from you they are approved at {terms.local(due_at)}.",
        data=_data(total, terms),
    )
    await mail.write(
        "week_submitted",
        to=contract.client_id,
        about=f"week:{week.id}",
        project_title=contract.title,
        contract_id=contract.id,
        freelancer_name=contract.freelancer_name,
        monday=week.monday,
        minutes=total.billable_minutes,
        amount_minor=total.amount.minor,
        currency=total.amount.currency,
    )


def _hours(minutes: int) -> str:
    return f"{minutes // 60} h {minutes % 60} min"


def _data(total: Totals, terms: Hourly) -> dict[str, object]:
    return {
        "contract_id": terms.contract.id,
        "project_id": terms.contract.project_id,
        "week": total.monday.isoformat(),
        "minutes": total.billable_minutes,
        "amount": total.amount.minor,
        "currency": total.amount.currency.lower(),
    }
