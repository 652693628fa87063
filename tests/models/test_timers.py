"""Deadlines are rows: one of a kind a subject, swept when due, taken once."""

from datetime import timedelta
from uuid import UUID

import tasks.timers  # noqa: F401  for its performers
from models import business_time, deadlines, guard, timers
from models.jobs import JobStatus
from models.timers import TimerKind, TimerRow
from tasks.clock import SCHEDULE
from tests.clock import ahead
from tests.performing import perform_now

CLOSE = TimerKind.TICKET_CLOSE


async def start(subject_id: int = 7, *, days: float = 1, kind: TimerKind = CLOSE) -> None:
    due_at = await business_time.now() + timedelta(days=days)
    await guard.commit(timers.start, kind, subject_id, due_at)


async def waiting() -> list[tuple[str, int]]:
    found = await guard.rows("select kind, subject_id from timers where fired_at is null order by due_at, id")
    return [tuple(one) for one in found]


async def due() -> list[TimerRow]:
    found = [await timers.find(one["id"]) for one in await guard.rows("select id from timers order by id")]
    return [one for one in found if one is not None]


async def jobs() -> list[UUID]:
    found = await guard.rows("select id from jobs where kind = 'timers.fire' order by id")
    return [UUID(int=one["id"].int) for one in found]


def test_every_kind_has_a_verb_and_the_clock_sweeps():
    assert set(deadlines.VERBS) == set(TimerKind)
    assert "timers.sweep" in {entry.name for entry in SCHEDULE}


async def test_a_deadline_set_again_is_moved(database: str):
    await start(days=1)
    await start(days=3)
    assert await waiting() == [("ticket.close", 7)]

    await ahead(days=2)
    assert await due() == []
    await ahead(days=2)
    assert [one.subject_id for one in await due()] == [7]


async def test_a_deadline_is_cleared_by_its_kind_and_subject_only(database: str):
    await start(7)
    await start(8, days=2)
    await start(7, days=3, kind=TimerKind.TICKET_RESOLUTION)

    await guard.commit(timers.clear, 7, CLOSE)

    assert await waiting() == [("ticket.close", 8), ("ticket.resolution", 7)]


async def test_a_deadline_is_taken_once_and_can_be_set_anew(database: str):
    await start(days=0)
    (timer,) = await due()

    assert await guard.commit(timers.take, timer)
    assert not await guard.commit(timers.take, timer)
    assert await timers.find(timer.id) is None
    await start(days=0)
    assert len(await waiting()) == 1


async def test_a_deadline_that_was_moved_meanwhile_is_not_taken(database: str):
    await start(days=0)
    (timer,) = await due()
    await start(days=1)
    assert not await guard.commit(timers.take, timer)


async def test_a_sweep_makes_one_job_of_each_and_the_next_none(database: str):
    await start(7, days=0)
    await start(8, days=0)
    await start(9, days=1)

    assert await timers.any_due()
    assert await guard.commit(timers.sweep) == 2
    assert not await timers.any_due()
    assert await guard.commit(timers.sweep) == 0
    assert len(await jobs()) == 2


async def test_deadlines_whose_verbs_fail_for_ever_are_tried_hourly_and_hold_up_no_other(database: str):
    await guard.rows(
        """insert into timers (kind, subject_id, due_at)
           select 'ticket.close', n, now() - interval '1 day' + n * interval '123.456789 seconds'
             from generate_series(1, $1) n""",
        timers.MOST_AT_ONCE,
    )
    assert await guard.commit(timers.sweep) == timers.MOST_AT_ONCE
    await guard.rows("delete from job_live")  # every one of these jobs has died
    await start(700, days=0)

    assert await guard.commit(timers.sweep) == 1

    payload = await guard.value("select payload->>'timer_id' from jobs order by id desc limit 1")
    assert payload == str(await guard.value("select id::text from timers where subject_id = 700"))
    # An hour later their jobs are of an hour that is over.
    await guard.rows("update job_keys set key = left(key, -2) || 'xx' where key like 'hourly:timer@%'")
    assert await guard.commit(timers.sweep) == timers.MOST_AT_ONCE


async def test_a_deadline_that_was_moved_has_a_job_of_its_own(database: str):
    await start(7, days=0)
    await guard.commit(timers.sweep)
    await start(7, days=0.001)
    await ahead(hours=1)
    await guard.commit(timers.sweep)
    assert len(await jobs()) == 2


async def test_a_deadline_that_was_cleared_before_its_job_began_asks_for_nothing(database: str):
    await start(7, days=0)
    await guard.commit(timers.sweep)
    await guard.commit(timers.clear, 7, CLOSE)

    (job,) = await jobs()
    assert (await perform_now(job)).status is JobStatus.SUCCEEDED
