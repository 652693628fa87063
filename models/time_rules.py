"""What hours must be before they are written down: worked, within one open week, at one thing at a time, below the cap.

Each check says no in the contract's own time. Nothing here writes.
"""

from datetime import date, datetime, timedelta
from typing import Final

from models import accounts, business_time, guard, time_weeks
from models.contracts import ContractStatus
from models.errors import HoursOverlap, Invalid, WeeklyCapExceeded, WrongState
from models.queries import query
from models.time_weeks import DAY, Hourly, WeekRow

OLDEST: Final = 2 * business_time.WEEK
"""Further back lies no week that is open; what is written of it is refused before any calendar is asked."""

OVERLAPPED: Final = query(
    "time_entries.overlapped",
    """
select started_at, ended_at from time_entries
 where freelancer = $1 and status <> 'rejected' and tstzrange(started_at, ended_at) && tstzrange($2, $3) and id <> $4
 limit 1
""",
)


async def to_work(contract_id: int, freelancer_id: int) -> Hourly:
    """An active hourly contract of one's own to write hours of, account and contract locked.

    Raises NotFound for a stranger, NotAllowed for the client, WrongState for any other contract.
    """
    # The account first: whose hours may not overlap across contracts is one person.
    await accounts.lock_present(freelancer_id)
    terms = await time_weeks.locked(contract_id, user_id=freelancer_id, freelancer=True)
    check_active(terms)
    return terms


def check_active(terms: Hourly) -> None:
    """Raise WrongState unless work is done under the contract."""
    if terms.contract.status is not ContractStatus.ACTIVE:
        raise WrongState(f"This contract is {terms.contract.status.value}: hours are worked under an active one.")


def check_span(terms: Hourly, started_at: datetime, ended_at: datetime, now: datetime) -> None:
    """Raise Invalid for hours to come, from before the contract, that end before they begin, or more than a day has."""
    if started_at < terms.contract.created_at:
        made_at = terms.local(terms.contract.created_at)
        raise Invalid(f"The contract was made at {made_at}: what was done before is not of it.", field="started_at")
    if ended_at > now:
        raise Invalid(f"Hours are written down once they are worked: it is {terms.local(now)}.", field="ended_at")
    if ended_at <= started_at:
        raise Invalid("An entry ends after it began.", field="ended_at")
    if ended_at - started_at > DAY:
        raise Invalid("An entry is at most 24 hours long.", field="ended_at")


def week_holding(terms: Hourly, started_at: datetime, ended_at: datetime) -> date:
    """The Monday of the one week that hours lie in. Raises Invalid when they lie in two."""
    monday = business_time.week_of(started_at, terms.zone)
    over_at = terms.ends_at(monday)
    if ended_at > over_at:
        message = f"An entry lies in one week. This one's ends at {terms.local(over_at)}: write two."
        raise Invalid(message, field="ended_at")
    return monday


async def check_free(terms: Hourly, started_at: datetime, ended_at: datetime | None, *, but: int = 0) -> None:
    """Raise HoursOverlap when the freelancer worked at something else then, under whatever contract.

    With the account's lock. `but` is the entry that is changed; no end: a clock.
    """
    found = await guard.row(OVERLAPPED, terms.contract.freelancer_id, started_at, ended_at, but)
    if found is None:
        return
    since = terms.local(found["started_at"])
    if found["ended_at"] is None:
        raise HoursOverlap(f"Your clock has been running since {since}: stop it first.")
    raise HoursOverlap(f"You have written down {since} to {terms.local(found['ended_at'])} already.")


async def check_cap(terms: Hourly, week: WeekRow, length: timedelta, now: datetime, *, but: int = 0) -> None:
    """Raise WeeklyCapExceeded when so much more billable time does not fit; `but` is the entry that is changed."""
    taken = await time_weeks.taken(terms, week, now, but=but)
    if taken + length > terms.cap:
        left = max(terms.cap - taken, timedelta()) // time_weeks.MINUTE
        raise WeeklyCapExceeded(
            f"A week takes {terms.cap_minutes} billable minutes; that of {week.monday} has {left} left."
        )
