"""Interleavings that lost a job, a slot or a right, until they were found: each as it happened."""

import asyncio
import contextlib
import contextvars
import os
import signal
import sys
import time
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from models import guard, outbox, retention
from models.base import uuid7_at
from models.jobs import Job, JobStatus, Queue
from models.queue import control
from tasks.broker import statements, working
from tasks.broker.feeder import Feeder, Post
from tasks.broker.performing import perform
from tasks.broker.shift import Shift
from tasks.job import PERFORMERS, Claim, Performer
from tests.performing import claim_now, perform_now, view
from tests.tasks.conftest import Start, until
from tests.tasks.line import Line
from tests.tasks.probes import Alone, Answer, Note


async def _enqueue(job: Job) -> UUID:
    return (await guard.commit(outbox.enqueue, job)).job_id


def _apart(coroutine: Any) -> asyncio.Task[Any]:
    return asyncio.get_running_loop().create_task(coroutine, context=contextvars.Context())


async def _status(job_id: UUID) -> int | None:
    found: int | None = await guard.value("select status from job_live where job_id = $1", job_id)
    return found


async def test_what_was_claimed_ahead_when_the_connection_broke_is_given_back_and_keeps_no_slot(
    effects: str, redis_url: str
):
    mine = Shift(uuid4(), (Queue.BULK,))
    claims = [await claim_now(await _enqueue(Note(key=str(n))), mine) for n in range(3)]
    claims[0].begun_at = time.monotonic()
    waiting = claims[1:]
    feeder = Feeder(Post(effects, redis_url, "t:", (Queue.BULK,), 1), mine, lambda _: None, lambda: waiting)
    feeder.mine = {claim.job_id: (claim, time.monotonic() - 1) for claim in claims}
    connection = await asyncpg.connect(effects)
    connection.terminate()
    with pytest.raises(guard.LOST_CONNECTION):
        await feeder._unhoard(connection)
    # Dramatiq has them no more: whoever still counts them as held waits for ever.
    again = await asyncpg.connect(effects)
    await again.fetch(statements.ORPHANS, mine.worker_id, feeder._known())
    await again.close()
    feeder._loop.close()
    assert list(feeder.mine) == [claims[0].job_id]
    assert [await _status(claim.job_id) for claim in claims] == [1, 0, 0]


async def test_a_claim_that_commits_after_the_worker_has_reconnected_is_given_back(effects: str, start: Start):
    """PostgreSQL is slow, the line breaks under a claim, and its commit comes after the look for orphans."""
    await guard.rows("""create function dawdle() returns trigger language plpgsql as $$
        begin if new.status = 1 and new.claim_no = 1 then perform pg_sleep(1.5); end if; return new; end $$""")
    await guard.rows("create trigger dawdle before update on job_live for each row execute function dawdle()")
    async with Line(effects) as line:
        start("tests.tasks.probes", "--queues", "bulk", "--threads", "4", **line.environment)
        job_id = await _enqueue(Note(key="a"))

        async def claiming() -> bool:
            return bool(await guard.value("select count(*) from pg_stat_activity where wait_event = 'PgSleep'"))

        await until(claiming, what="a claim under way")
        await line.cut()
        await line.mend()

        async def ended() -> bool:
            return (await view(job_id)).status is JobStatus.SUCCEEDED

        await until(ended, within_s=15, what="its end")


async def test_a_result_that_postgres_refuses_fails_its_own_job_and_no_neighbours(
    effects: str, monkeypatch: pytest.MonkeyPatch
):
    async def say(job: Answer, _: Claim) -> dict[str, str]:
        return {"said": "a\0b" if job.value == 0 else "ab"}

    monkeypatch.setitem(PERFORMERS, "probe.answer", Performer(Answer, say))
    mine = Shift(uuid4())
    ids = [await _enqueue(Answer(value=n)) for n in range(5)]
    claims = [await claim_now(job_id, mine) for job_id in ids]
    await asyncio.gather(*(_apart(perform(claim)) for claim in claims))
    found = [await view(job_id) for job_id in ids]
    assert [one.status for one in found] == [JobStatus.QUEUED, *[JobStatus.SUCCEEDED] * 4]
    assert found[0].error_code == "internal_error"


OLD = datetime(2025, 1, 10, tzinfo=UTC)


async def _old_dead_job() -> UUID:
    await guard.commit(guard.value, "select make_jobs_partition($1)", date(2025, 1, 1))
    job_id = uuid7_at(int(OLD.timestamp() * 1000))
    await guard.rows(
        """insert into jobs (id, kind, version, payload, queue, status, is_dead, attempts, claim_no, created_at)
           values ($1, 'probe.note', 1, '{"key": "old"}', 'bulk', 3, true, 1, 1, $2)""",
        job_id,
        OLD,
    )
    return job_id


async def test_an_old_job_that_is_retried_while_its_month_is_dropped_keeps_its_facts(effects: str):
    job_id = await _old_dead_job()
    async with guard.transaction():
        await control.retry(job_id, 1)
        dropping = _apart(guard.commit(retention.drop_partitions, datetime.now(UTC)))
        await asyncio.sleep(0.5)
    dropped = await dropping
    assert await guard.value("select count(*) from jobs where id = $1", job_id) == 1, dropped
    assert (await perform_now(job_id)).status is JobStatus.SUCCEEDED
    assert await guard.commit(retention.drop_partitions, datetime.now(UTC)) == [
        "job_attempts_2025_01",
        "jobs_2025_01",
    ]


async def test_one_row_without_a_history_does_not_keep_its_dead_workers_others(effects: str):
    mine = Shift(uuid4())
    good = await claim_now(await _enqueue(Note(key="a")), mine)
    lonely = uuid7_at(int(OLD.timestamp() * 1000))
    await guard.rows(
        "insert into job_live (job_id, queue, status, worker_id, claim_no, deadline) values ($1, 'bulk', 1, $2, 1, now() - interval '1 h')",
        lonely,
        mine.worker_id,
    )
    await guard.rows(statements.RELEASE_REAPED, mine.worker_id)
    assert await _status(good.job_id) == 0


async def test_two_that_reach_for_the_right_at_once_never_both_have_it(effects: str):
    """One's statement has begun, and stands still, while the other claims its job and takes the right."""
    first, second = await _enqueue(Alone(pause_s=1.5)), await _enqueue(Alone(pause_s=1.5))
    one = await claim_now(first)
    await guard.rows("""create function dawdle() returns trigger language plpgsql as $$
        begin if new.job_id = current_setting('test.slow', true)::uuid then perform pg_sleep(0.7); end if;
        return new; end $$""")
    await guard.rows("create trigger dawdle before insert on job_singles for each row execute function dawdle()")
    name = await guard.value("select current_database()")
    await guard.rows(f"alter database {name} set test.slow = '{first}'")
    await guard.close_pool()
    await guard.open_pool(max_size=8)
    running = [_apart(perform(one))]
    await asyncio.sleep(0.3)
    running.append(_apart(perform(await claim_now(second))))
    await asyncio.gather(*running)
    keys = [row["key"] for row in await guard.rows("select key from effects order by id")]
    assert keys in (["in", "out"], ["in", "out", "in", "out"])


async def test_who_leaves_with_jobs_in_hand_stays_listed_for_the_sweepers(effects: str):
    mine = Shift(uuid4())
    claim = await claim_now(await _enqueue(Note(key="a")), mine)
    await guard.rows("insert into workers (id) values ($1)", mine.worker_id)
    await guard.rows(statements.LEAVE, mine.worker_id)
    assert await guard.value("select count(*) from workers") == 1
    await guard.rows(statements.RELEASE_SILENT, mine.worker_id, 1)
    assert await _status(claim.job_id) == 0
    assert await guard.value("select count(*) from workers") == 0


async def test_what_has_no_deadline_and_belongs_to_nobody_listed_is_released_too(effects: str):
    """A claim of a silent worker that committed after its rows were released."""
    claim = await claim_now(await _enqueue(Note(key="a")))
    listed = await claim_now(await _enqueue(Note(key="b")))
    await guard.rows("insert into workers (id) values ($1)", listed.worker_id)
    await guard.rows("update job_live set deadline = null, started_at = now() - interval '5 min'")
    await guard.rows(statements.RELEASE_OVERDUE, 60.0)
    assert [await _status(one.job_id) for one in (claim, listed)] == [0, 1]


async def test_a_backend_that_is_ended_under_a_performer_costs_it_no_attempt(
    effects: str, monkeypatch: pytest.MonkeyPatch
):
    """A pooler restarts, or an admin ends a session: the feeder, with a connection of its own, sees nothing of it."""

    async def look(_: Answer, __: Claim) -> None:
        await guard.rows("select pg_terminate_backend(pg_backend_pid())")

    monkeypatch.setitem(PERFORMERS, "probe.answer", Performer(Answer, look))
    waiting = await perform_now(await _enqueue(Answer()))
    assert (waiting.status, waiting.attempts, waiting.error_code) == (JobStatus.QUEUED, 0, None)


TOLD_AT_ONCE = """
import os, signal, sys, threading
from models import guard
from models.jobs import Queue
from tasks.broker import crew
fork = os.fork
def forked():
    pid = fork()
    if pid == 0:
        import time; time.sleep(1)  # the kernel lets the parent run first
    return pid
os.fork = forked
real = guard.engine
def engine():
    guard.engine = real
    found = real()
    os.kill(os.getpid(), signal.SIGTERM)
    return found
guard.engine = engine
sys.exit(crew.Crew((Queue.BULK,), processes=2, threads=1).run())
"""


async def test_a_crew_that_is_told_to_end_while_it_starts_is_gone_at_once(effects: str):
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", TOLD_AT_ONCE, env={**os.environ, "DRAIN_SECONDS": "6"}, start_new_session=True
    )
    try:
        status = await asyncio.wait_for(process.wait(), 20)
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert (status, time.monotonic() - began < 6) == (0, True)


def test_the_last_exit_is_taken_whatever_the_last_give_back_meets(monkeypatch: pytest.MonkeyPatch):
    left: list[int] = []
    monkeypatch.setattr(os, "_exit", left.append)

    class Broker:
        class feeder:  # noqa: N801
            mine: dict[UUID, Any] = {}  # noqa: RUF012

            @staticmethod
            def give_back(*_: Any) -> None:
                raise asyncpg.DeadlockDetectedError

    with contextlib.suppress(asyncpg.DeadlockDetectedError):
        working._abandon(Broker)  # type: ignore[arg-type]
    assert left == [working.ABANDONED_EXIT]
