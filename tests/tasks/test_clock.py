"""The schedule: each slot once, however many clocks; missed slots as each entry says; upkeep twice is upkeep once."""

import asyncio
import signal
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from models import events, guard, jobs, outbox, retention
from models.jobs import JobStatus, TendPartitions
from tasks import clock
from tasks.clock import Entry, Missed, tick
from tests.performing import perform_now
from tests.tasks.conftest import Start, until

NOON = datetime(2027, 3, 1, 12, 0, 30, tzinfo=UTC)


def _entry(missed: Missed) -> Entry:
    return Entry("probe", 60, jobs.SweepEscrow, missed)


async def test_a_slot_is_enqueued_once_by_any_number_of_clocks(database: str):
    made = await asyncio.gather(*(tick((_entry(Missed.LATEST),), NOON, {}) for _ in range(5)))
    assert sum(made) == 1
    assert await guard.value("select key from job_keys") == "clock:probe:2027-03-01T12:00:00Z"
    assert await tick((_entry(Missed.LATEST),), NOON + timedelta(seconds=60), {}) == 1


async def test_missed_slots(database: str):
    later = NOON + timedelta(minutes=10)
    wanted = {Missed.ALL: 10, Missed.LATEST: 1, Missed.NONE: 1}
    for missed, count in wanted.items():
        entry = Entry(missed.value, 60, jobs.SweepEscrow, missed)
        assert await tick((entry,), NOON, {}) == 1
        assert await tick((entry,), later, {}) == count
    late = Entry("late", 3600, jobs.SweepEscrow, Missed.NONE)
    assert await tick((late,), later, {}) == 0


def test_slots_begin_at_their_offset():
    entry = Entry("nightly", 86_400, jobs.TendPartitions, Missed.LATEST, offset_s=3 * 3600)
    assert entry.slot(datetime(2027, 3, 2, 2, 59, tzinfo=UTC)) == datetime(2027, 3, 1, 3, 0, tzinfo=UTC)
    assert entry.slot(datetime(2027, 3, 2, 3, 0, tzinfo=UTC)) == datetime(2027, 3, 2, 3, 0, tzinfo=UTC)


def catches_sigterm(pid: int) -> bool:
    """Whether the process has come as far as its own handler; before that a signal ends it, as any process."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


async def test_what_another_release_had_scheduled_is_forgotten_after_a_day(database: str):
    await guard.rows(
        """insert into schedules (name, kind, every_s, missed, next_slot, seen_at)
           values ('gone', 'x', 60, 'latest', now(), now() - interval '25 hours'),
                  ('beside us', 'x', 60, 'latest', now(), now() - interval '23 hours')"""
    )
    told = asyncio.Event()
    keeping = asyncio.create_task(clock.keep_time(told, (_entry(Missed.LATEST),)))

    async def forgotten() -> bool:
        return not await guard.value("select count(*) from schedules where name = 'gone'")

    await until(forgotten, what="the schedule of another release to be forgotten")
    told.set()
    await asyncio.wait_for(keeping, 5)
    assert await guard.value("select array_agg(name order by name) from schedules") == ["beside us", "probe"]


async def test_two_clocks_run_and_leave_at_sigterm(database: str, start: Start):
    clocks = [start("tasks.clock") for _ in range(2)]

    async def all_there() -> bool:
        return bool(await guard.value("select count(*) >= $1 from schedules", len(clock.SCHEDULE)))

    await until(all_there, what="the first slots")
    assert await guard.value("select count(*) = count(distinct key) from job_keys")

    async def both_listen() -> bool:
        return all([await asyncio.to_thread(catches_sigterm, one.pid) for one in clocks])

    await until(both_listen, what="both clocks to be up")
    began = time.monotonic()
    for one in clocks:
        one.send_signal(signal.SIGTERM)
    assert [await asyncio.to_thread(one.wait, 5) for one in clocks] == [0, 0]
    assert time.monotonic() - began < 2


async def test_upkeep_makes_partitions_and_forgets_what_is_past_keeping(database: str):
    from tasks import upkeep  # noqa: F401  registers the performer

    await guard.commit(outbox.publish, events.ProjectUpdated(project_id=1, status="old"), events.user(1))
    await guard.rows("update events set created_at = now() - interval '31 days', relayed = true")
    await guard.commit(outbox.publish, events.ProjectUpdated(project_id=1, status="new"), events.user(1))
    await tick((_entry(Missed.LATEST),), NOON, {})
    await guard.commit(outbox.enqueue, jobs.SweepEscrow(), once="mail:7")
    await guard.rows("update job_keys set created_at = now() - interval '41 days'")
    for _ in range(2):
        made = await guard.commit(outbox.enqueue, TendPartitions())
        done = await perform_now(made.job_id)
        assert done.status is JobStatus.SUCCEEDED
    assert await guard.value("select count(*) from events") == 1
    assert [one["key"] for one in await guard.rows("select key from job_keys")] == ["mail:7"]


async def test_partitions_are_made_ahead_and_dropped_when_nothing_needs_them(database: str):
    assert await guard.commit(retention.make_partitions, date(2027, 12, 15)) == [
        "jobs_2027_12", "jobs_2028_01", "jobs_2028_02",
    ]  # fmt: skip
    await guard.commit(retention.make_partitions, date(2020, 1, 15))
    now = datetime.now(UTC)
    assert await guard.commit(retention.drop_partitions, now) == [
        f"{parent}_2020_{month}" for parent in ("job_attempts", "jobs") for month in ("01", "02", "03")
    ]
    assert await guard.commit(retention.drop_partitions, now) == []
    assert await guard.value("select count(*) from jobs") == 0


async def _shown(name: str) -> tuple[object, ...]:
    found = await guard.only(
        "select kind, every_s, missed, last_slot, last_job_id, next_slot from schedules where name = $1", name
    )
    return tuple(found.values())


async def test_the_schedule_is_shown_with_what_it_last_did(database: str):
    slot, entry = NOON.replace(second=0), _entry(Missed.LATEST)
    minute = timedelta(seconds=60)
    for _ in range(2):  # two clocks, one slot
        await tick((entry,), NOON, {})
    first = await guard.value("select job_id from job_live")
    assert await _shown("probe") == ("escrow.sweep", 60, "latest", slot, first, slot + minute)
    await tick((entry,), NOON + minute, {})
    second = await guard.value("select job_id from job_live where job_id <> $1", first)
    assert await _shown("probe") == ("escrow.sweep", 60, "latest", slot + minute, second, slot + 2 * minute)
    assert await guard.value("select seen_at >= now() - interval '1 minute' from schedules")


async def test_a_slot_that_is_let_pass_moves_the_schedule_on_and_keeps_what_it_last_did(database: str):
    entry = Entry("late", 3600, jobs.SweepEscrow, Missed.NONE)
    assert await tick((entry,), NOON, {}) == 0 + (NOON.second <= 30)
    before = await _shown("late")
    assert await tick((entry,), NOON + timedelta(hours=1, minutes=5), {}) == 0
    after = await _shown("late")
    assert after[:5] == before[:5]
    assert after[5] == NOON.replace(second=0) + timedelta(hours=2)


async def test_an_entry_that_changes_is_shown_as_it_is_now(database: str):
    await tick((_entry(Missed.LATEST),), NOON, {})
    await tick((Entry("probe", 120, jobs.CheckLedger, Missed.ALL),), NOON, {})
    assert (await _shown("probe"))[:3] == ("invariants.check_ledger", 120, "all")


async def test_a_partition_that_a_live_job_needs_is_kept_with_all_older_ones(database: str):
    await guard.commit(retention.make_partitions, date(2020, 1, 15))
    await guard.rows("insert into job_live (job_id, queue) select uuid7_floor('2020-02-03'), 'bulk'")
    assert await guard.commit(retention.drop_partitions, datetime.now(UTC)) == []
    assert await guard.value("select to_regclass('job_attempts_2020_01') is not null")
    await guard.rows("delete from job_live")
    assert len(await guard.commit(retention.drop_partitions, datetime.now(UTC))) == 6
    assert await guard.value("select to_regclass('job_attempts_2020_01') is null")


async def test_partitions_within_keeping_are_kept_to_the_month(database: str):
    await guard.commit(retention.make_partitions, date(2027, 1, 15))
    kept = datetime(2027, 6, 30, tzinfo=UTC)  # 120 days back is the 2nd of March
    dropped = await guard.commit(retention.drop_partitions, kept)
    assert {"jobs_2027_01", "jobs_2027_02", "job_attempts_2027_02"} <= set(dropped)
    assert "jobs_2027_03" not in dropped
    assert await guard.value("select to_regclass('jobs_2027_03') is not null")


async def test_keys_that_stand_for_something_are_kept_and_a_slice_goes_at_a_time(database: str):
    rows = [
        ("clock:a:2027-01-01T00:00:00Z", 41), ("clock:a:2027-02-01T00:00:00Z", 39), ("hourly:x:1:2027010100", 41),
        ("coalesce:a", 41), ("coalesce:b", 39), ("clockwork", 400), ("mail:1", 400), ("hourlyrate", 400),
    ]  # fmt: skip
    for key, days in rows:
        await guard.rows(
            "insert into job_keys (key, job_id, created_at) values ($1, gen_random_uuid(), now() - $2 * interval '1 day')",
            key,
            days,
        )
    assert await guard.commit(retention.forget_keys) == 3
    assert await guard.commit(retention.forget_keys) == 0
    assert {one["key"] for one in await guard.rows("select key from job_keys")} == {
        "clock:a:2027-02-01T00:00:00Z", "coalesce:b", "clockwork", "mail:1", "hourlyrate",
    }  # fmt: skip
