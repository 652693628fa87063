"""What time it is for people's agreements: deadlines, working days, weeks.

The real time but for an offset that only a sandbox may move, so that a demo sees 14 days pass. The queue, leases and
tokens keep the real clock. In SQL the same is `business_now()`.
"""

from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from models import guard

WEEK: Final = timedelta(days=7)
FRIDAY: Final = 5
"""ISO's number of the last working day: working days are Monday to Friday, whatever is celebrated where."""


async def now() -> datetime:
    """The business time, in UTC."""
    found: datetime = await guard.value("select business_now()")
    return found.astimezone(UTC)


async def offset() -> timedelta:
    """How far the business clock is ahead of the real one: zero wherever nobody plays."""
    found: timedelta = await guard.value("select coalesce((select ahead from business_clock), interval '0')")
    return found


def working_days_after(moment: datetime, days: int, zone: str = "UTC") -> datetime:
    """The end of the `days`-th working day after a moment, as midnight in a time zone, in UTC."""
    day = moment.astimezone(ZoneInfo(zone)).date()
    left = days
    while left:
        day += timedelta(days=1)
        left -= day.isoweekday() <= FRIDAY
    return midnight(day + timedelta(days=1), zone)


def week_of(moment: datetime, zone: str) -> date:
    """The Monday of the ISO week that a moment lies in, in a time zone."""
    day = moment.astimezone(ZoneInfo(zone)).date()
    return day - timedelta(days=day.isoweekday() - 1)


def midnight(day: date, zone: str) -> datetime:
    """When a day begins in a time zone, in UTC. Where clocks skip midnight it begins at the first moment there is."""
    return datetime.combine(day, time(), tzinfo=ZoneInfo(zone)).astimezone(UTC)
