"""The clock of a freelancer: one at a time, ended by a hand or by a limit, over midnight without a minute lost."""

from datetime import timedelta

from models import guard, time_clocks, time_entries, time_weeks, timesheets
from models.contracts import ContractRow
from models.errors import HoursOverlap, NotAllowed, NotFound, WeeklyCapExceeded, WrongState
from models.time_entries import EntryRow, TimeEntryStatus
from models.time_weeks import WeekStatus
from models.timers import TimerKind
from tests import factories, hourly, worlds
from tests.hourly import an_entry, utc


async def start(contract: ContractRow, *, billable: bool = True) -> EntryRow:
    return await guard.commit(
        time_clocks.start,
        contract.id,
        freelancer_id=contract.freelancer_id,
        description="Work.",
        is_billable=billable,
    )


async def stop(entry: EntryRow) -> EntryRow:
    return await guard.commit(time_clocks.stop, entry.id, freelancer_id=entry.freelancer_id)


async def hours(contract: ContractRow) -> list[EntryRow]:
    """A contract's entries in the order of their times."""
    found = await time_entries.list_by_contract(
        contract.id, user_id=contract.client_id, admin=False, monday=None, status=None, before=None, limit=50
    )
    return found[::-1]


async def test_a_clock_is_started_and_stopped(database: str) -> None:
    contract = await hourly.a_contract()
    await hourly.set_clock(utc("2031-05-07 09:00"))
    begun = await start(contract)
    assert (begun.status, begun.ended_at, begun.minutes) == (TimeEntryStatus.RUNNING, None, None)
    assert begun.started_at - utc("2031-05-07 09:00") < timedelta(seconds=10)

    await hourly.set_clock(utc("2031-05-07 10:30:30"))
    held = await time_weeks.read_total(contract.id, begun.monday, user_id=contract.client_id, admin=False)
    assert (held.minutes, held.billable_minutes, held.amount.minor) == ({"running": 90}, 90, 9000)
    done = await stop(begun)

    assert (done.id, done.status, done.minutes, done.is_capped) == (begun.id, TimeEntryStatus.DRAFT, 90, False)
    async with worlds.refused(WrongState, "This time entry is draft: to stop it, it has to be running"):
        await stop(begun)


async def test_one_clock_runs_at_a_time_and_nothing_beside_it(database: str) -> None:
    freelancer = await factories.a_freelancer()
    one, two = await hourly.a_contract(freelancer=freelancer), await hourly.a_contract(freelancer=freelancer)
    await hourly.set_clock(utc("2031-05-07 09:00"))
    running = await start(one)
    await hourly.set_clock(utc("2031-05-07 10:00"))

    for contract in (one, two):
        async with worlds.refused(HoursOverlap, "running since 2031-05-07 09:00[+]00:00: stop it first"):
            await start(contract)
        async with worlds.refused(HoursOverlap):
            await an_entry(contract, "2031-05-07 09:30", "2031-05-07 09:40")
    async with worlds.refused(WrongState):
        await guard.commit(time_entries.submit, running.id, freelancer_id=freelancer.id)
    async with worlds.refused(WrongState):
        await guard.commit(time_entries.remove, running.id, freelancer_id=freelancer.id)
    async with worlds.refused(WrongState):
        await guard.commit(time_entries.edit, running.id, time_entries.Change(), freelancer_id=freelancer.id)
    await an_entry(two, "2031-05-07 08:00", "2031-05-07 09:00")
    await stop(running)
    await start(two)


async def test_whose_clock_it_is(database: str) -> None:
    contract, stranger = await hourly.a_contract(), await factories.a_freelancer()
    await hourly.set_clock(utc("2031-05-07 09:00"))
    running = await start(contract)

    async with worlds.refused(NotFound):
        await guard.commit(time_clocks.stop, running.id, freelancer_id=stranger.id)
    async with worlds.refused(NotAllowed):
        await guard.commit(time_clocks.stop, running.id, freelancer_id=contract.client_id)


async def test_a_clock_ends_where_the_cap_is_reached(database: str) -> None:
    contract = await hourly.a_contract(cap_minutes=120)
    await hourly.set_clock(utc("2031-05-07 09:00"))
    await an_entry(contract, "2031-05-05 09:00", "2031-05-05 10:00")
    running = await start(contract)
    await hourly.set_clock(utc("2031-05-07 09:30:30"))
    async with worlds.refused(WeeklyCapExceeded, "has 29 left"):
        await an_entry(contract, "2031-05-06 09:00", "2031-05-06 09:30")
    await hourly.set_clock(utc("2031-05-07 18:00"))
    assert (await time_weeks.read_total(contract.id, running.monday, user_id=contract.client_id, admin=False)
            ).billable_minutes == 120  # fmt: skip

    done = await stop(running)

    assert (done.is_capped, done.ended_at) == (True, running.started_at + timedelta(hours=1))
    async with worlds.refused(WeeklyCapExceeded, "All 120 billable minutes"):
        await start(contract)
    unpaid = await start(contract, billable=False)
    await hourly.set_clock(utc("2031-05-07 19:00:30"))
    assert ((await stop(unpaid)).minutes, (await stop_is_capped(unpaid))) == (60, False)


async def stop_is_capped(entry: EntryRow) -> bool:
    return (await time_entries.read(entry.id, user_id=entry.freelancer_id, admin=False)).is_capped


async def test_a_clock_that_was_forgotten_ends_after_a_day(database: str) -> None:
    contract = await hourly.a_contract()
    await hourly.set_clock(utc("2031-05-06 09:00"))
    running = await start(contract)
    await hourly.set_clock(utc("2031-05-09 09:00"))

    done = await stop(running)

    assert (done.minutes, done.is_capped) == (24 * 60, True)
    changed = await guard.commit(
        time_entries.edit,
        done.id,
        time_entries.Change(ended_at=done.started_at + timedelta(hours=8)),
        freelancer_id=done.freelancer_id,
    )
    assert (changed.minutes, changed.is_capped) == (480, False)


async def test_whoever_works_over_the_weeks_end_loses_no_minute(database: str) -> None:
    zone = "Asia/Kolkata"
    contract = await hourly.a_contract(zone=zone)
    await hourly.set_clock(utc("2031-05-11 23:00", zone))
    running = await start(contract)
    await hourly.set_clock(utc("2031-05-12 00:00:30", zone))

    assert await hourly.fire() == [TimerKind.WEEK_CLOSE]
    old, new = await hours(contract)
    assert (old.id, old.status, old.ended_at) == (
        running.id, TimeEntryStatus.SUBMITTED, utc("2031-05-12 00:00", zone))  # fmt: skip
    assert (new.status, new.started_at, new.ended_at) == (TimeEntryStatus.RUNNING, old.ended_at, None)
    assert (new.description, new.is_billable, new.is_capped) == ("Work.", True, False)
    assert await hourly.waiting(TimerKind.WEEK_CLOSE, new.week_id) == utc("2031-05-19 00:00", zone)
    await hourly.set_clock(utc("2031-05-12 01:00:30", zone))
    assert (await stop(new)).minutes == 60
    async with worlds.refused(WrongState, "This time entry is submitted"):
        await stop(running)


async def test_a_clock_stopped_after_midnight_before_the_close_is_two_drafts(database: str) -> None:
    contract = await hourly.a_contract()
    await hourly.set_clock(utc("2031-05-11 23:30"))
    running = await start(contract)
    await hourly.set_clock(utc("2031-05-12 00:20:30"))

    done = await stop(running)

    old, new = await hours(contract)
    assert done == old
    assert (old.status, old.ended_at) == (TimeEntryStatus.DRAFT, utc("2031-05-12 00:00"))
    assert (new.status, new.started_at, new.minutes) == (TimeEntryStatus.DRAFT, old.ended_at, 20)
    await hourly.fire()
    assert [one.status for one in await hours(contract)] == [TimeEntryStatus.SUBMITTED, TimeEntryStatus.DRAFT]


async def test_closes_that_come_late_end_a_forgotten_clock_where_its_limits_were(database: str) -> None:
    contract = await hourly.a_contract()
    await hourly.set_clock(utc("2031-05-11 22:00"))
    await start(contract)
    await hourly.set_clock(utc("2031-05-27 12:00"))

    fired = await hourly.fire()

    assert fired == [TimerKind.WEEK_CLOSE, TimerKind.WEEK_CLOSE]
    old, new = await hours(contract)
    assert (old.ended_at, new.ended_at) == (utc("2031-05-12 00:00"), utc("2031-05-13 00:00"))
    assert (old.is_capped, new.is_capped) == (False, True)
    assert {old.status, new.status} == {TimeEntryStatus.SUBMITTED}


async def test_no_clock_goes_on_under_a_contract_that_has_ended(database: str) -> None:
    contract = await hourly.a_contract()
    await hourly.set_clock(utc("2031-05-11 23:00"))
    await start(contract)
    await guard.rows("update contracts set status = 'completed' where id = $1", contract.id)
    await hourly.set_clock(utc("2031-05-12 00:01"))

    await hourly.fire()

    (only,) = await hours(contract)
    assert (only.status, only.ended_at) == (TimeEntryStatus.SUBMITTED, utc("2031-05-12 00:00"))


async def test_a_clock_that_was_set_back_leaves_an_entry_of_a_length(database: str) -> None:
    contract = await hourly.a_contract()
    await hourly.set_clock(utc("2031-05-07 09:00"))
    running = await start(contract)
    await hourly.set_clock(utc("2031-05-07 08:00"))

    done = await stop(running)

    assert done.ended_at == done.started_at + time_clocks.LEAST


async def test_the_longest_night_of_the_year_is_counted(database: str) -> None:
    zone = "America/New_York"
    contract = await hourly.a_contract(zone=zone)
    await hourly.set_clock(utc("2031-11-02 00:00", zone))
    running = await start(contract)
    await hourly.set_clock(utc("2031-11-03 00:00:30", zone))

    await hourly.fire()

    # The Sunday has 25 hours, and an entry has 24: the clock was over before its week was.
    (only,) = await hours(contract)
    assert (only.id, only.minutes, only.is_capped) == (running.id, 24 * 60, True)
    assert only.status is TimeEntryStatus.SUBMITTED
    held = await time_weeks.read_total(contract.id, only.monday, user_id=contract.client_id, admin=False)
    assert (held.status, held.amount.minor) == (WeekStatus.IN_REVIEW, 24 * 6000)
    await guard.commit(timesheets.approve_entry, only.id, client_id=contract.client_id)
