"""The time of deadlines: swept for when there is something to do, and never moved where it is real."""

from datetime import UTC, datetime, timedelta

import asyncpg
import msgspec
import pytest

import settings
from models import guard, jobs, timers
from models.timers import TimerKind
from tasks import clock
from tasks.clock import SCHEDULE, Entry, Missed, tick
from tasks.migrate import MigrationFailed, check_clock
from tests.clock import ahead
from tests.tasks.conftest import Start, until

NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)


async def test_a_sweep_is_enqueued_in_the_slot_in_which_something_is_due(database: str):
    (entry,) = [one for one in SCHEDULE if one.name == "timers.sweep"]
    done: dict[str, datetime] = {}
    due_at = datetime.now(UTC) + timedelta(days=14)
    await guard.commit(timers.start, TimerKind.MILESTONE_APPROVE, 7, due_at)
    assert await tick((entry,), NOON, done) == 0
    await ahead(days=13)
    assert await tick((entry,), NOON + timedelta(seconds=5), done) == 0
    await ahead(days=1)
    assert await tick((entry,), NOON + timedelta(seconds=5), done) == 0  # that slot has passed
    assert await tick((entry,), NOON + timedelta(seconds=10), done) == 1
    assert await guard.value("select kind from jobs") == "timers.sweep"
    shown = await guard.only("select last_slot, next_slot from schedules")
    assert tuple(shown.values()) == (NOON + timedelta(seconds=10), NOON + timedelta(seconds=15))


async def test_a_clock_that_runs_finds_within_seconds_what_has_become_due(database: str, start: Start):
    await guard.commit(timers.start, TimerKind.MILESTONE_APPROVE, 7, datetime.now(UTC) + timedelta(days=14))
    start("tasks.clock")

    async def ticking() -> bool:
        return bool(await guard.value("select count(*) from schedules where name = 'timers.sweep'"))

    async def swept() -> bool:
        return bool(await guard.value("select count(*) from jobs where kind = 'timers.sweep'"))

    await until(ticking, what="the clock's first slot")
    assert not await swept()
    await ahead(days=14)
    await until(swept, within_s=12, what="a sweep")


async def test_an_entry_that_asks_nobody_is_always_enqueued(database: str):
    assert await tick((Entry("probe", 5, jobs.SweepTimers, Missed.LATEST),), NOON, {}) == 1


async def test_production_has_no_moved_time(database: str):
    here = settings.load()
    production = msgspec.structs.replace(here, environment=settings.PRODUCTION)
    await clock.refuse_moved_time(production)
    await check_clock(database)
    await ahead(days=14)
    await clock.refuse_moved_time(here)
    with pytest.raises(SystemExit, match=r"^business_clock is 14 days, 0:00:00 ahead of the real time"):
        await clock.refuse_moved_time(production)
    with pytest.raises(MigrationFailed, match=r"14 days, 0:00:00 ahead .*nothing was changed"):
        await check_clock(database)


async def test_a_database_without_tables_has_no_moved_time(database: str):
    connection = await asyncpg.connect(database)
    await connection.execute("drop table business_clock cascade")
    await connection.close()
    await check_clock(database)
