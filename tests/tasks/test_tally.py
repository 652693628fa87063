"""The tally: exact counts, minute by minute and since the beginning, whoever reads meanwhile."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from models import guard
from models.jobs import Queue
from models.queue import minutes
from models.queue.minutes import BUCKETS_S, MinuteRow, bucket
from tasks.broker import tally as module
from tasks.broker.tally import Outcome, Tally
from wire.metrics import new_registry

MINUTE = 29_000_000
AT = datetime.fromtimestamp(MINUTE * 60, UTC)


class Watch:
    """A wall clock that a test sets."""

    def __init__(self) -> None:
        self.now = MINUTE * 60 + 1.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    found = Watch()
    monkeypatch.setattr(module, "time", found)
    return found


def counted(*seconds: float) -> list[int]:
    counts = [0] * (len(BUCKETS_S) + 1)
    for one in seconds:
        counts[bucket(one)] += 1
    return counts


def a_row(queue: str, *, minute: int = 0, waits: list[int], runs: list[int], **counts: int) -> MinuteRow:
    whole = {"succeeded": 0, "failed": 0, "retried": 0, **counts}
    return MinuteRow(minute=AT + timedelta(minutes=minute), queue=queue, waits=waits, runs=runs, **whole)


async def write(url: str, one: Tally, worker_id: object) -> int:
    connection = await asyncpg.connect(url)
    try:
        return await one.write_minutes(connection, worker_id)  # type: ignore[arg-type]
    finally:
        await connection.close()


async def stored() -> list[tuple[object, ...]]:
    found = await guard.rows("select minute, queue, succeeded, failed, retried from queue_minutes order by 1, 2")
    return [tuple(one) for one in found]


def test_each_end_is_counted_by_queue_outcome_and_time(watch: Watch):
    tally = Tally((Queue.MAIL, Queue.BULK))
    tally.ended(Queue.MAIL, Outcome.SUCCEEDED, 0.001, 0.3)
    tally.ended(Queue.MAIL, Outcome.FAILED, 0.002, 7200.0)
    tally.ended(Queue.MAIL, Outcome.DEAD, 0.003, 0.3)
    tally.ended(Queue.BULK, Outcome.RETRIED, 1.0, 0.0)
    tally.ended(Queue.BULK, Outcome.RESCHEDULED, 1.0, 0.0)

    assert tally.minute_rows() == [
        a_row("mail", succeeded=1, failed=2, waits=counted(0.001, 0.002, 0.003), runs=counted(0.3, 7200.0, 0.3)),
        a_row("bulk", retried=1, waits=counted(1.0, 1.0), runs=counted(0.0, 0.0)),
    ]


def test_what_has_not_been_worked_on_has_no_rows(watch: Watch):
    assert Tally(tuple(Queue)).minute_rows() == []


def test_a_minute_that_is_over_is_told_once_more_beside_the_new_one(watch: Watch):
    tally = Tally((Queue.MAIL,))
    tally.ended(Queue.MAIL, Outcome.SUCCEEDED, 0.0, 0.0)
    watch.now += 60
    tally.ended(Queue.MAIL, Outcome.SUCCEEDED, 0.0, 0.0)
    tally.ended(Queue.MAIL, Outcome.SUCCEEDED, 0.0, 0.0)

    assert [(row.minute, row.succeeded) for row in tally.minute_rows()] == [(AT, 1), (AT + timedelta(minutes=1), 2)]


def test_hours_without_a_job_belong_to_no_minute(watch: Watch):
    tally = Tally((Queue.MAIL,))
    tally.ended(Queue.MAIL, Outcome.SUCCEEDED, 0.0, 0.0)
    watch.now += 7200
    tally.ended(Queue.MAIL, Outcome.SUCCEEDED, 0.0, 0.0)

    assert [(row.minute, row.succeeded) for row in tally.minute_rows()] == [(AT, 1), (AT + timedelta(hours=2), 1)]


async def test_writing_twice_counts_once_and_what_is_written_is_not_written_again(database: str, watch: Watch):
    tally, worker_id = Tally((Queue.MAIL,)), uuid4()
    tally.ended(Queue.MAIL, Outcome.SUCCEEDED, 0.0, 0.0)

    assert await write(database, tally, worker_id) == 1
    assert await write(database, tally, worker_id) == 0
    tally.ended(Queue.MAIL, Outcome.DEAD, 0.0, 0.0)
    assert await write(database, tally, worker_id) == 1
    assert await stored() == [(AT, "mail", 1, 1, 0)]


async def test_a_write_that_failed_is_made_up_for(database: str, watch: Watch):
    tally = Tally((Queue.MAIL,))
    tally.ended(Queue.MAIL, Outcome.SUCCEEDED, 0.0, 0.0)
    connection = await asyncpg.connect(database)
    await connection.close()
    with pytest.raises(asyncpg.InterfaceError):
        await tally.write_minutes(connection, uuid4())

    assert await write(database, tally, uuid4()) == 1


async def test_two_workers_write_beside_each_other_and_old_minutes_are_forgotten(database: str, watch: Watch):
    for _ in range(2):
        tally = Tally((Queue.MAIL,))
        tally.ended(Queue.MAIL, Outcome.SUCCEEDED, 0.0, 0.0)
        await write(database, tally, uuid4())
    assert await stored() == [(AT, "mail", 1, 0, 0)] * 2

    await guard.rows("update queue_minutes set minute = date_trunc('minute', now()) - interval '27 hours'")
    await guard.rows("insert into queue_minutes values (now(), 'bulk', $1, 1, 0, 0, '{}', '{}')", uuid4())
    assert await guard.commit(minutes.forget) == 2
    assert await guard.commit(minutes.forget) == 0
    assert [one[1] for one in await stored()] == ["bulk"]


async def test_a_reader_in_another_thread_never_sees_a_finished_minute_torn(watch: Watch):
    tally, over = Tally((Queue.MAIL,)), threading.Event()
    seen: list[MinuteRow] = []

    def read() -> None:
        while not over.is_set():
            running = datetime.fromtimestamp(tally._mark.minute * 60, UTC)
            seen.extend(row for row in tally.minute_rows() if row.minute < running)

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(200):
        for _ in range(50):
            tally.ended(Queue.MAIL, Outcome.SUCCEEDED, 0.0, 0.0)
        watch.now += 60
        await asyncio.sleep(0.001)
    over.set()
    reader.join()

    assert seen
    assert {(row.succeeded, sum(row.waits), sum(row.runs)) for row in seen} == {(50, 50, 50)}


def test_prometheus_reads_the_same_counts(watch: Watch):
    registry = new_registry()
    tally = Tally((Queue.MAIL,), registry)
    tally.ended(Queue.MAIL, Outcome.SUCCEEDED, 0.3, 2.0)
    tally.ended(Queue.MAIL, Outcome.RETRIED, 4000.0, 2.0)
    tally.lease_lost(Queue.MAIL)
    tally.time_limit(Queue.MAIL)

    said = {
        (one.name, *sorted(one.labels.values())): one.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for one in family.samples
    }
    assert said["megilance_jobs_ended_total", "mail", "succeeded"] == 1
    assert said["megilance_jobs_ended_total", "mail", "retried"] == 1
    assert said["megilance_jobs_ended_total", "dead", "mail"] == 0
    assert said["megilance_leases_lost_total", "mail"] == 1
    assert said["megilance_job_time_limits_total", "mail"] == 1
    assert said["megilance_job_wait_seconds_bucket", "0.25", "mail"] == 0
    assert said["megilance_job_wait_seconds_bucket", "0.5", "mail"] == 1
    assert said["megilance_job_wait_seconds_bucket", "3600.0", "mail"] == 1
    assert said["megilance_job_wait_seconds_bucket", "+Inf", "mail"] == 2
    assert said["megilance_job_wait_seconds_sum", "mail"] == 4000.3
    assert said["megilance_job_run_seconds_sum", "mail"] == 4.0
