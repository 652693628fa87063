"""Days and weeks where people are: clocks that jump, skip midnight or a year's end."""

from datetime import date, datetime, timedelta

import pytest

from models import business_time
from models.business_time import midnight, week_of, working_days_after
from tests import clock
from tests.hourly import utc


@pytest.mark.parametrize(
    ("zone", "day", "begins"),
    [
        ("UTC", date(2031, 5, 5), "2031-05-05T00:00:00+00:00"),
        ("America/New_York", date(2031, 3, 10), "2031-03-10T04:00:00+00:00"),
        ("America/New_York", date(2031, 11, 2), "2031-11-02T04:00:00+00:00"),
        ("America/New_York", date(2031, 11, 3), "2031-11-03T05:00:00+00:00"),
        # There is no midnight: these days begin at one o'clock.
        ("America/Santiago", date(2031, 9, 7), "2031-09-07T04:00:00+00:00"),
        ("Asia/Beirut", date(2031, 3, 30), "2031-03-29T22:00:00+00:00"),
        ("Africa/Cairo", date(2031, 4, 25), "2031-04-24T22:00:00+00:00"),
        # There are two: the day begins with the first.
        ("America/Havana", date(2031, 11, 2), "2031-11-02T04:00:00+00:00"),
        # There was no such day at all; the next one began instead.
        ("Pacific/Apia", date(2011, 12, 30), "2011-12-30T10:00:00+00:00"),
        ("Pacific/Apia", date(2011, 12, 31), "2011-12-30T10:00:00+00:00"),
    ],
)
def test_a_day_begins_at_its_first_moment(zone: str, day: date, begins: str) -> None:
    assert midnight(day, zone) == datetime.fromisoformat(begins)


@pytest.mark.parametrize(
    ("zone", "moment", "monday"),
    [
        ("UTC", "2031-05-11T23:59:59+00:00", date(2031, 5, 5)),
        ("UTC", "2031-05-12T00:00:00+00:00", date(2031, 5, 12)),
        ("Pacific/Apia", "2031-05-11T11:00:00+00:00", date(2031, 5, 12)),
        ("Asia/Kolkata", "2031-05-11T18:29:59+00:00", date(2031, 5, 5)),
        ("America/New_York", "2031-05-12T03:59:59+00:00", date(2031, 5, 5)),
        ("UTC", "2032-01-01T12:00:00+00:00", date(2031, 12, 29)),
        ("UTC", "2033-01-02T12:00:00+00:00", date(2032, 12, 27)),
    ],
)
def test_a_week_is_named_by_its_monday(zone: str, moment: str, monday: date) -> None:
    assert week_of(datetime.fromisoformat(moment), zone) == monday


@pytest.mark.parametrize(
    ("zone", "since", "days", "until"),
    [
        ("UTC", "2031-05-05 00:00", 5, "2031-05-13 00:00"),  # a Monday: it is not counted itself
        ("UTC", "2031-05-09 17:00", 1, "2031-05-13 00:00"),  # from a Friday to the end of Monday
        ("UTC", "2031-05-10 17:00", 1, "2031-05-13 00:00"),
        ("America/New_York", "2031-03-07 17:00", 1, "2031-03-11 00:00"),
        ("Asia/Kolkata", "2031-12-26 17:00", 5, "2032-01-03 00:00"),
    ],
)
def test_working_days_are_monday_to_friday(zone: str, since: str, days: int, until: str) -> None:
    assert working_days_after(utc(since, zone), days, zone) == utc(until, zone)


def test_a_working_day_ends_also_where_the_next_has_no_midnight() -> None:
    ends = working_days_after(utc("2031-04-23 09:00", "Africa/Cairo"), 1, "Africa/Cairo")

    assert ends == datetime.fromisoformat("2031-04-24T22:00:00+00:00")


async def test_the_clock_is_the_real_one_until_somebody_plays(database: str) -> None:
    real = datetime.fromisoformat("2026-01-01T00:00:00+00:00")

    assert await business_time.offset() == timedelta()
    assert await business_time.now() > real
    await clock.ahead(days=14)
    await clock.ahead(hours=1)
    assert await business_time.offset() == timedelta(days=14, hours=1)
