"""When somebody wants no mail: from one time of the day to another, by the clock on their own wall.

Only mails wait. What is shown to whoever looks (notifications, live events) comes at once, and word of the account's
own safety waits for nobody's sleep.
"""

from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from models import guard
from models.base import Record
from models.errors import Invalid
from models.locks import Noun, lock

MINUTE: Final = timedelta(minutes=1)


class QuietHours(Record, frozen=True):
    """Minutes since midnight, 0 to 1439: quiet from the first until before the second, over midnight if that is less.

    The two differ: a day without an end would hold mails back for ever.
    """

    from_minute: int
    to_minute: int


def is_quiet(moment: datetime, hours: QuietHours, zone: str) -> bool:
    """Whether a clock in this time zone shows a quiet hour."""
    wall = moment.astimezone(ZoneInfo(zone))
    minute = wall.hour * 60 + wall.minute
    begun, over = minute >= hours.from_minute, minute >= hours.to_minute
    return begun and not over if hours.from_minute < hours.to_minute else begun or not over


def over_at(moment: datetime, hours: QuietHours, zone: str) -> datetime:
    """The first moment from this one on that is not quiet, in UTC: the moment itself where it is not."""
    if not is_quiet(moment, hours, zone):
        return moment.astimezone(UTC)
    # Minute by minute, as the clock on the wall goes: so it is right in the two nights in which that one jumps, also
    # where the end is a time that such a night does not have, or has twice. A long night takes about a millisecond.
    moment = moment.astimezone(UTC).replace(second=0, microsecond=0)
    while is_quiet(moment, hours, zone):
        moment += MINUTE
    return moment


async def change(user_id: int, hours: QuietHours | None) -> None:
    """Set one's own quiet hours, or take them away. Raises Invalid for hours that never end."""
    await lock(Noun.ACCOUNT, user_id)
    if hours is not None and hours.from_minute == hours.to_minute:
        raise Invalid("Quiet hours end at another time than they begin.", field="quiet_hours.to")
    await guard.rows(
        "update users set quiet_from_minute = $2, quiet_to_minute = $3 where id = $1 and erased_at is null",
        user_id,
        None if hours is None else hours.from_minute,
        None if hours is None else hours.to_minute,
    )


async def read(user_id: int) -> QuietHours | None:
    """One's own quiet hours."""
    found = await guard.only("select quiet_from_minute, quiet_to_minute from users where id = $1", user_id)
    if found[0] is None:
        return None
    return QuietHours(from_minute=found[0], to_minute=found[1])
