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


async def test_two_clocks_run_and_leave_at_sigterm(database: str, start: Start):
    clocks = [start("tasks.clock") for _ in range(2)]

    async def all_there() -> bool:
        return bool(await guard.value("select count(*) >= $1 from jobs", len(clock.SCHEDULE)))

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
    assert await guard.commit(retention.drop_partitions, now) == ["jobs_2020_01", "jobs_2020_02", "jobs_2020_03"]
    assert await guard.commit(retention.drop_partitions, now) == []
    assert await guard.value("select count(*) from jobs") == 0
