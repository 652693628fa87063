"""Hours written down: within one open week, at one thing at a time, below the cap, changed until they are shown."""

from datetime import date, timedelta

import pytest

from models import business_time, guard, time_entries, timesheets
from models.errors import HoursOverlap, Invalid, NotAllowed, NotFound, TokenInvalid, WeeklyCapExceeded, WrongState
from models.time_entries import MACHINE, Change, Span, TimeEntryStatus
from models.timers import TimerKind
from tests import factories, hourly, worlds
from tests.hourly import an_entry, utc

NEW_YORK = "America/New_York"


def test_every_state_but_the_first_can_be_reached() -> None:
    assert {edge.target for edge in MACHINE.edges} == set(TimeEntryStatus) - {TimeEntryStatus.RUNNING}


async def listed(contract_id: int, user_id: int, **sought: object) -> list[int]:
    wanted = {"monday": None, "status": None, "before": None, "limit": 10, "admin": False, **sought}
    found = await time_entries.list_by_contract(contract_id, user_id=user_id, **wanted)  # type: ignore[arg-type]
    return [one.id for one in found]


async def test_a_draft_is_written_changed_shown_and_taken_back(database: str) -> None:
    contract = await hourly.a_contract()
    me = contract.freelancer_id
    await hourly.set_clock(utc("2031-05-07 12:00"))

    made = await an_entry(contract, "2031-05-05 09:00", "2031-05-05 10:30")
    assert (made.status, made.monday, made.minutes) == (TimeEntryStatus.DRAFT, date(2031, 5, 5), 90)
    assert (made.project_id, made.freelancer_id, made.is_capped) == (contract.project_id, me, False)

    change = Change(ended_at=utc("2031-05-05 10:45"), description="More.", is_billable=False)
    changed = await guard.commit(time_entries.edit, made.id, change, freelancer_id=me)
    assert (changed.started_at, changed.minutes) == (made.started_at, 105)
    assert (changed.description, changed.is_billable) == ("More.", False)
    assert await guard.commit(time_entries.edit, made.id, Change(), freelancer_id=me) == changed

    other = await an_entry(contract, "2031-05-05 11:00", "2031-05-05 12:00")
    await guard.commit(time_entries.remove, other.id, freelancer_id=me)
    with pytest.raises(NotFound):
        await time_entries.read(other.id, user_id=me, admin=False)

    shown = await guard.commit(time_entries.submit, made.id, freelancer_id=me)
    assert shown.status is TimeEntryStatus.SUBMITTED
    for verb, args in (
        (time_entries.edit, (Change(description="Late."),)),
        (time_entries.remove, ()),
        (time_entries.submit, ()),
    ):
        async with worlds.refused(WrongState, "This time entry is submitted"):
            await guard.commit(verb, made.id, *args, freelancer_id=me)  # type: ignore[arg-type]


async def test_what_cannot_have_been_worked_is_refused(database: str) -> None:
    contract = await hourly.a_contract(zone=NEW_YORK)
    await hourly.set_clock(utc("2031-05-07 12:00", NEW_YORK))
    for started, ended, match in (
        ("2031-05-07 11:00", "2031-05-07 12:05", "it is 2031-05-07 12:00-04:00"),
        ("2031-05-06 11:00", "2031-05-06 11:00", "ends after it began"),
        ("2031-05-06 11:00", "2031-05-06 10:00", "ends after it began"),
        ("2031-05-05 09:00", "2031-05-06 09:01", "at most 24 hours"),
        ("2031-05-04 23:00", "2031-05-05 01:00", "ends at 2031-05-05 00:00-04:00"),
    ):
        async with worlds.refused(Invalid, match):
            await an_entry(contract, started, ended, zone=NEW_YORK)
    for started, ended in (("2031-04-28 09:00", "2031-04-28 10:00"), ("1001-01-06 09:00", "1001-01-06 10:00")):
        async with worlds.refused(WrongState):
            await an_entry(contract, started, ended)
    # A whole day is no more than one, and a week may end with an entry.
    await an_entry(contract, "2031-05-05 00:00", "2031-05-06 00:00", zone=NEW_YORK)


async def test_only_the_freelancer_of_an_active_hourly_contract_writes_hours(database: str) -> None:
    contract, fixed = await hourly.a_contract(), await factories.a_contract()
    unsigned = await hourly.a_contract(signed=False)
    stranger = await factories.a_freelancer()
    await hourly.set_clock(utc("2031-05-07 12:00"))
    entry = await an_entry(contract, "2031-05-05 08:00", "2031-05-05 09:00")
    span = Span(started_at=utc("2031-05-05 09:00"), ended_at=utc("2031-05-05 10:00"), description="", is_billable=True)

    for contract_id, writer, error in (
        (contract.id, contract.client_id, NotAllowed),
        (contract.id, stranger.id, NotFound),
        (999_999, stranger.id, NotFound),
        (fixed.id, fixed.freelancer_id, WrongState),
        (unsigned.id, unsigned.freelancer_id, WrongState),
    ):
        async with worlds.refused(error):
            await guard.commit(time_entries.create, contract_id, span, freelancer_id=writer)
    for writer, error in ((contract.client_id, NotAllowed), (stranger.id, NotFound)):
        async with worlds.refused(error):
            await guard.commit(time_entries.edit, entry.id, Change(), freelancer_id=writer)
    async with worlds.refused(NotFound):
        await guard.commit(time_entries.submit, 999_999, freelancer_id=stranger.id)
    await guard.rows("update contracts set status = 'completed' where id = $1", contract.id)
    async with worlds.refused(WrongState, "This contract is completed"):
        await guard.commit(time_entries.edit, entry.id, Change(), freelancer_id=contract.freelancer_id)
    await guard.rows("update users set suspended_at = now() where id = $1", contract.freelancer_id)
    async with worlds.refused(TokenInvalid):
        await guard.commit(time_entries.create, contract.id, span, freelancer_id=contract.freelancer_id)


async def test_nobody_works_at_two_things_at_once_under_any_contract(database: str) -> None:
    freelancer = await factories.a_freelancer()
    one, two = await hourly.a_contract(freelancer=freelancer), await hourly.a_contract(freelancer=freelancer)
    other = await hourly.a_contract()
    await hourly.set_clock(utc("2031-05-07 12:00"))
    first = await an_entry(one, "2031-05-05 09:00", "2031-05-05 10:00")

    for started, ended in (("08:30", "09:00:01"), ("09:59", "11:00"), ("09:15", "09:20"), ("08:00", "12:00")):
        for contract in (one, two):
            async with worlds.refused(HoursOverlap, "2031-05-05 09:00[+]00:00 to 2031-05-05 10:00"):
                await an_entry(contract, f"2031-05-05 {started}", f"2031-05-05 {ended}", billable=False)
    # Next to one another, and beside somebody else's, they do not overlap.
    late = await an_entry(two, "2031-05-05 10:00", "2031-05-05 11:00")
    await an_entry(one, "2031-05-05 08:00", "2031-05-05 09:00")
    await an_entry(other, "2031-05-05 09:00", "2031-05-05 10:00")
    async with worlds.refused(HoursOverlap):
        await guard.commit(
            time_entries.edit, late.id, Change(started_at=utc("2031-05-05 09:59")), freelancer_id=freelancer.id
        )
    # What was rejected was not worked, so other hours may take its place; then it cannot come back.
    await guard.commit(time_entries.submit, first.id, freelancer_id=freelancer.id)
    await guard.commit(timesheets.reject_entry, first.id, client_id=one.client_id, reason="Nobody saw you.")
    await an_entry(two, "2031-05-05 09:30", "2031-05-05 09:45")
    async with worlds.refused(HoursOverlap):
        await guard.commit(time_entries.edit, first.id, Change(), freelancer_id=freelancer.id)


async def test_the_database_itself_lets_nobody_work_twice_at_once(database: str) -> None:
    contract = await hourly.a_contract()
    await hourly.set_clock(utc("2031-05-07 12:00"))
    entry = await an_entry(contract, "2031-05-05 09:00", "2031-05-05 10:00")

    async def add_unchecked() -> None:
        """As if whoever looked had seen nothing: the constraint says no, and the transaction is as good as before."""
        terms = await time_entries.time_weeks.locked(contract.id, user_id=contract.freelancer_id, freelancer=True)
        week = await time_entries.time_weeks.by_id(entry.week_id)
        span = Span(started_at=entry.started_at, ended_at=utc("2031-05-05 09:10"), description="", is_billable=True)
        with pytest.raises(HoursOverlap):
            await time_entries.add(terms, week, span, TimeEntryStatus.DRAFT)
        await guard.rows("update time_entries set description = 'Still here.' where id = $1", entry.id)

    await guard.commit(add_unchecked)

    assert await guard.value("select string_agg(description, ',') from time_entries") == "Still here."


async def test_a_week_takes_no_more_than_its_cap(database: str) -> None:
    contract = await hourly.a_contract(cap_minutes=60)
    me = contract.freelancer_id
    await hourly.set_clock(utc("2031-05-12 09:00"))
    first = await an_entry(contract, "2031-05-12 06:00", "2031-05-12 06:45")

    async with worlds.refused(WeeklyCapExceeded, "takes 60 billable minutes; that of 2031-05-12 has 15 left"):
        await an_entry(contract, "2031-05-12 07:00", "2031-05-12 07:15:01")
    unpaid = await an_entry(contract, "2031-05-12 07:00", "2031-05-12 08:00", billable=False)
    async with worlds.refused(WeeklyCapExceeded):
        await guard.commit(time_entries.edit, unpaid.id, Change(is_billable=True), freelancer_id=me)
    # Its own time is not counted twice when it is changed, and it may fill the week to the second.
    await guard.commit(time_entries.edit, first.id, Change(started_at=utc("2031-05-12 05:45")), freelancer_id=me)
    async with worlds.refused(WeeklyCapExceeded, "has 0 left"):
        await an_entry(contract, "2031-05-12 08:00", "2031-05-12 08:00:01")
    # What is rejected makes room, and has none when it comes back.
    await guard.commit(time_entries.submit, first.id, freelancer_id=me)
    await guard.commit(timesheets.reject_entry, first.id, client_id=contract.client_id, reason="No.")
    await an_entry(contract, "2031-05-12 08:00", "2031-05-12 08:15")
    async with worlds.refused(WeeklyCapExceeded):
        await guard.commit(time_entries.edit, first.id, Change(), freelancer_id=me)


async def test_last_week_takes_hours_until_it_has_been_closed(database: str) -> None:
    contract = await hourly.a_contract()
    await hourly.set_clock(utc("2031-05-11 12:00"))
    await an_entry(contract, "2031-05-05 09:00", "2031-05-05 10:00")
    await hourly.set_clock(utc("2031-05-12 00:00:30"))

    await an_entry(contract, "2031-05-11 22:00", "2031-05-12 00:00")
    assert await hourly.fire() == [TimerKind.WEEK_CLOSE]
    async with worlds.refused(WrongState, "The week of 2031-05-05 was over at 2031-05-12 00:00[+]00:00"):
        await an_entry(contract, "2031-05-11 20:00", "2031-05-11 21:00")


async def test_a_week_that_nobody_wrote_of_cannot_be_begun_once_it_is_over(database: str) -> None:
    contract = await hourly.a_contract()
    await hourly.set_clock(utc("2031-05-12 00:00:30"))

    async with worlds.refused(WrongState, "it takes no more hours"):
        await an_entry(contract, "2031-05-11 20:00", "2031-05-11 21:00")


async def test_an_entry_stays_in_its_week(database: str) -> None:
    contract = await hourly.a_contract()
    await hourly.set_clock(utc("2031-05-12 02:00"))
    entry = await an_entry(contract, "2031-05-12 00:30", "2031-05-12 01:00")

    for started, ended in (("2031-05-11 22:00", "2031-05-11 23:00"), ("0001-01-01 00:00", "0001-01-01 01:00")):
        change = Change(started_at=utc(started), ended_at=utc(ended))
        async with worlds.refused(Invalid, "stays in its week"):
            await guard.commit(time_entries.edit, entry.id, change, freelancer_id=contract.freelancer_id)


async def test_an_hour_that_comes_twice_is_worked_twice(database: str) -> None:
    contract = await hourly.a_contract(zone=NEW_YORK)
    await hourly.set_clock(utc("2031-11-02 12:00", NEW_YORK))

    # From half past midnight to half past two, with one o'clock twice in between.
    night = await an_entry(contract, "2031-11-02 00:30", "2031-11-02 02:30", zone=NEW_YORK)
    assert night.minutes == 180
    await guard.commit(time_entries.remove, night.id, freelancer_id=contract.freelancer_id)

    # 01:30 summer time to 01:30 winter time, and the hour before it: the same numbers on a wall, and no overlap.
    again = await an_entry(contract, "2031-11-02 05:30", "2031-11-02 06:30")
    before = await an_entry(contract, "2031-11-02 04:30", "2031-11-02 05:30")
    assert (before.minutes, again.minutes) == (60, 60)
    with pytest.raises(HoursOverlap, match="2031-11-02 01:30-04:00 to 2031-11-02 01:30-05:00"):
        await an_entry(contract, "2031-11-02 06:00", "2031-11-02 06:10")


async def test_the_hour_that_is_left_out_was_not_worked(database: str) -> None:
    contract = await hourly.a_contract(zone=NEW_YORK)
    await hourly.set_clock(utc("2031-03-09 12:00", NEW_YORK))

    night = await an_entry(contract, "2031-03-09 01:30", "2031-03-09 03:30", zone=NEW_YORK)

    assert night.minutes == 60


@pytest.mark.parametrize(
    ("zone", "last", "first"),
    [
        ("Pacific/Apia", "2031-05-11 10:59", "2031-05-11 11:00"),
        ("Asia/Kolkata", "2031-05-11 18:29", "2031-05-11 18:30"),
        (NEW_YORK, "2031-05-12 03:59", "2031-05-12 04:00"),
    ],
)
async def test_hours_belong_to_the_week_of_the_contracts_own_zone(
    database: str, zone: str, last: str, first: str
) -> None:
    contract = await hourly.a_contract(zone=zone)
    await hourly.set_clock(utc("2031-05-11 10:00"))
    await an_entry(contract, "2031-05-11 09:00", "2031-05-11 09:30")
    await hourly.set_clock(utc("2031-05-12 06:00"))

    old = await an_entry(contract, last, first)
    new = await an_entry(contract, first, "2031-05-12 05:00" if zone == NEW_YORK else "2031-05-11 19:00")

    assert (old.monday, new.monday) == (date(2031, 5, 5), date(2031, 5, 12))


async def test_the_week_of_the_new_year_is_one_week(database: str) -> None:
    contract = await hourly.a_contract()
    await hourly.set_clock(utc("2032-01-02 12:00"))

    old = await an_entry(contract, "2031-12-31 23:00", "2032-01-01 01:00")
    new = await an_entry(contract, "2032-01-02 09:00", "2032-01-02 10:00")

    assert old.monday == new.monday == date(2031, 12, 29)


async def test_hours_are_listed_latest_first_for_their_parties(database: str) -> None:
    contract, stranger, admin = await hourly.a_contract(), await factories.a_freelancer(), await factories.an_admin()
    await hourly.set_clock(utc("2031-05-11 12:00"))
    second = await an_entry(contract, "2031-05-06 09:00", "2031-05-06 10:00")
    first = await an_entry(contract, "2031-05-05 09:00", "2031-05-05 10:00")
    await guard.commit(time_entries.submit, second.id, freelancer_id=contract.freelancer_id)
    await hourly.set_clock(utc("2031-05-12 12:00"))
    third = await an_entry(contract, "2031-05-12 09:00", "2031-05-12 10:00")

    for reader in (contract.client_id, contract.freelancer_id):
        assert await listed(contract.id, reader) == [third.id, second.id, first.id]
    assert await listed(contract.id, admin.id, admin=True) == [third.id, second.id, first.id]
    assert await listed(contract.id, reader, limit=1) == [third.id]
    assert await listed(contract.id, reader, before=(third.started_at, third.id)) == [second.id, first.id]
    assert await listed(contract.id, reader, monday=date(2031, 5, 5)) == [second.id, first.id]
    assert await listed(contract.id, reader, monday=date(2031, 5, 19)) == []
    assert await listed(contract.id, reader, status=TimeEntryStatus.SUBMITTED) == [second.id]
    assert await listed(contract.id, reader, monday=date(2031, 5, 5), status=TimeEntryStatus.DRAFT) == [first.id]
    with pytest.raises(NotFound):
        await listed(contract.id, stranger.id)
    with pytest.raises(NotFound):
        await time_entries.read(first.id, user_id=stranger.id, admin=False)


async def test_what_was_done_before_the_contract_is_not_of_it(database: str) -> None:
    contract = await hourly.a_contract()
    await guard.rows("update contracts set created_at = now() - interval '1 hour' where id = $1", contract.id)
    now = await business_time.now()
    span = Span(started_at=now - timedelta(hours=2), ended_at=now, description="Before.", is_billable=True)
    async with worlds.refused(Invalid, "made at"):
        await guard.commit(time_entries.create, contract.id, span, freelancer_id=contract.freelancer_id)
