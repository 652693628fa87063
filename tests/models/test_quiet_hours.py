"""Quiet hours: mails wait for their end by the clock on the wall, in the two odd nights of a year too."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from models import guard, mail, notifications, preferences, quiet_hours
from models.accounts import Person
from models.errors import Invalid
from models.letters import MailKind
from models.notifications import NotificationType
from models.quiet_hours import QuietHours, is_quiet, over_at
from tests import clock, factories, worlds

NIGHT = QuietHours(from_minute=22 * 60, to_minute=7 * 60)
SIESTA = QuietHours(from_minute=13 * 60, to_minute=15 * 60 + 30)


def hours(begin: str, end: str) -> QuietHours:
    first, last = (int(one[:2]) * 60 + int(one[3:]) for one in (begin, end))
    return QuietHours(from_minute=first, to_minute=last)


def utc(moment: str) -> datetime:
    return datetime.fromisoformat(f"{moment}:00+00:00")


@pytest.mark.parametrize(
    ("quiet", "wall", "is_so"),
    [
        (NIGHT, "21:59", False),
        (NIGHT, "22:00", True),
        (NIGHT, "00:00", True),
        (NIGHT, "06:59", True),
        (NIGHT, "07:00", False),
        (SIESTA, "12:59", False),
        (SIESTA, "13:00", True),
        (SIESTA, "15:29", True),
        (SIESTA, "15:30", False),
        (hours("00:00", "23:59"), "23:59", False),
        (hours("23:59", "00:00"), "23:59", True),
    ],
)
def test_an_hour_is_quiet_by_the_wall(quiet: QuietHours, wall: str, is_so: bool) -> None:  # noqa: FBT001  a table
    moment = datetime.fromisoformat(f"2026-07-01T{wall}:30").replace(tzinfo=ZoneInfo("Asia/Karachi"))

    assert is_quiet(moment, quiet, "Asia/Karachi") is is_so


@pytest.mark.parametrize(
    ("quiet", "zone", "now", "over"),
    [
        # Not quiet: now.
        (NIGHT, "Europe/Berlin", "2026-07-01T12:00", "2026-07-01T12:00"),
        (NIGHT, "Europe/Berlin", "2026-07-01T20:00", "2026-07-02T05:00"),
        (NIGHT, "Europe/Berlin", "2026-07-02T04:59", "2026-07-02T05:00"),
        (NIGHT, "Asia/Kathmandu", "2026-07-01T16:15", "2026-07-02T01:15"),
        (NIGHT, "Pacific/Auckland", "2026-07-01T18:59", "2026-07-01T19:00"),
        (SIESTA, "America/New_York", "2026-01-05T18:00", "2026-01-05T20:30"),
        # The night that lacks an hour: at 01:00 UTC Berlin goes from 02:00 to 03:00.
        (NIGHT, "Europe/Berlin", "2026-03-28T21:00", "2026-03-29T05:00"),
        (hours("22:00", "02:30"), "Europe/Berlin", "2026-03-29T00:30", "2026-03-29T01:00"),
        (hours("02:15", "02:45"), "Europe/Berlin", "2026-03-29T01:00", "2026-03-29T01:00"),
        (hours("02:15", "03:15"), "Europe/Berlin", "2026-03-29T01:00", "2026-03-29T01:15"),
        # The night with an hour twice: at 01:00 UTC Berlin goes from 03:00 back to 02:00.
        (NIGHT, "Europe/Berlin", "2026-10-24T20:00", "2026-10-25T06:00"),
        (hours("22:00", "02:30"), "Europe/Berlin", "2026-10-24T22:00", "2026-10-25T00:30"),
        (hours("22:00", "02:30"), "Europe/Berlin", "2026-10-25T01:10", "2026-10-25T01:30"),
        (hours("02:45", "04:00"), "Europe/Berlin", "2026-10-25T00:50", "2026-10-25T01:00"),
        (hours("02:45", "04:00"), "Europe/Berlin", "2026-10-25T01:50", "2026-10-25T03:00"),
        # Half an hour's difference, where the clock moves by that.
        (NIGHT, "Australia/Lord_Howe", "2026-10-03T12:00", "2026-10-03T20:00"),
        (hours("07:01", "07:00"), "UTC", "2026-07-01T07:01", "2026-07-02T07:00"),
    ],
)
def test_what_is_quiet_ends_when_the_wall_says_so(quiet: QuietHours, zone: str, now: str, over: str) -> None:
    assert over_at(utc(now), quiet, zone) == utc(over)
    assert over_at(utc(now), quiet, zone).tzinfo is UTC


def test_seconds_are_not_waited_beyond_the_minute() -> None:
    moment = utc("2026-07-02T04:59") + timedelta(seconds=59, microseconds=999_999)

    assert over_at(moment, NIGHT, "Europe/Berlin") == utc("2026-07-02T05:00")
    awake = utc("2026-07-02T05:00") + timedelta(seconds=1)
    assert over_at(awake, NIGHT, "Europe/Berlin") == awake


async def test_quiet_hours_are_kept_changed_and_taken_away(database: str) -> None:
    person, other = await factories.a_client(), await factories.a_client()
    assert await quiet_hours.read(person.id) is None

    await guard.commit(preferences.change, person.id, {}, quiet=NIGHT)
    await guard.commit(preferences.change, person.id, {})
    assert (await quiet_hours.read(person.id), await quiet_hours.read(other.id)) == (NIGHT, None)
    async with worlds.refused(Invalid, "another time"):
        await guard.commit(preferences.change, person.id, {}, quiet=hours("07:00", "07:00"))
    await guard.commit(preferences.change, person.id, {}, quiet=None)
    assert await quiet_hours.read(person.id) is None


async def a_sleeper() -> Person:
    """Somebody whose quiet hours began an hour ago and end in one, in a time zone of their own."""
    person = await factories.a_client()
    await guard.rows("update users set time_zone = 'Asia/Kathmandu' where id = $1", person.id)
    wall = datetime.now(ZoneInfo("Asia/Kathmandu"))
    minute = wall.hour * 60 + wall.minute
    around = QuietHours(from_minute=(minute - 60) % 1440, to_minute=(minute + 60) % 1440)
    await guard.commit(preferences.change, person.id, {}, quiet=around)
    return person


async def waits_min(mail_id: int) -> int:
    """In how many whole minutes a mail's job may begin."""
    found: int = await guard.value(
        """select round(extract(epoch from l.run_at - now()) / 60)::int from job_live l join jobs j on j.id = l.job_id
            where j.kind = 'mail.send_mail' and (j.payload->>'mail_id')::bigint = $1""",
        mail_id,
    )
    return found


PROJECT = {
    "project_id": 1,
    "project_title": "A shop",
    "budget_type": "fixed",
    "budget_min_minor": 1,
    "budget_max_minor": 2,
    "currency": "USD",
}


async def test_mails_wait_for_the_end_of_the_night_and_word_of_safety_does_not(database: str) -> None:
    sleeper, awake = await a_sleeper(), await factories.a_client()

    async def write(kind: MailKind, to: int, **context: object) -> int:
        return await guard.commit(mail.write, kind, to=to, about="a test", **context)

    news = await write(MailKind.PROJECT_CREATED, sleeper.id, **PROJECT)
    assert await waits_min(news) in (59, 60)
    for kind in (MailKind.PASSWORD_RESET_REQUEST, MailKind.EMAIL_VERIFICATION):
        assert await waits_min(await write(kind, sleeper.id)) == 0
    assert await waits_min(await write(MailKind.PROJECT_CREATED, awake.id, **PROJECT)) == 0
    # A moved business clock moves no night: the queue has the real one.
    await clock.ahead(hours=3)
    later = await guard.commit(mail.write, MailKind.PROJECT_CREATED, to=sleeper.id, about="more", **PROJECT)
    assert await waits_min(later) in (59, 60)


async def test_who_looks_at_night_sees_at_once(database: str) -> None:
    sleeper = await a_sleeper()

    await guard.commit(
        notifications.tell, sleeper.id, type=NotificationType.PAYMENT_FAILED, title="No", message="No.", data={}
    )

    assert await worlds.told(sleeper.id) == ["payment_failed"]
    assert [name for name, _ in await worlds.heard(f"user:{sleeper.id}")] == ["notification"]
