"""Real worker processes: a committed row is worked once, promptly, and its end is seen by who waits."""

import asyncio
import time

import pytest

from models import guard, outbox
from models.jobs import JobStatus
from models.queue import views
from tests.tasks.conftest import Start, until
from tests.tasks.probes import Answer, Newer, Note


async def _ended(*ids: object) -> bool:
    found = await views.read_many(list(ids))  # type: ignore[arg-type]
    return all(one.finished_at is not None for one in found)


async def test_a_committed_job_runs_and_its_effect_and_end_commit_together(effects: str, start: Start):
    start("tests.tasks.probes", "--queues", "bulk,interactive", "--threads", "4")
    made = await guard.commit(outbox.enqueue, Note(key="one"))
    await until(lambda: _ended(made.job_id), what="the job")
    (view,) = await views.read_many([made.job_id])
    assert (view.status, view.attempts, view.result) == (JobStatus.SUCCEEDED, 1, {"key": "one"})
    assert await guard.value("select count(*) from effects") == 1
    assert await guard.value("select count(*) from job_live") == 0


async def test_many_jobs_run_once_each(effects: str, start: Start):
    start("tests.tasks.probes", "--queues", "bulk,interactive", "--processes", "2")
    made = [await guard.commit(outbox.enqueue, Note(key=str(n))) for n in range(300)]
    await until(lambda: _ended(*(one.job_id for one in made)), within_s=20, what="300 jobs")
    assert await guard.value("select count(*) from effects") == 300
    assert await guard.value("select count(distinct key) from effects") == 300


async def test_a_job_without_an_effect_returns_its_result(effects: str, start: Start):
    start("tests.tasks.probes", "--queues", "interactive")
    made = [await guard.commit(outbox.enqueue, Answer(value=n)) for n in range(50)]
    await until(lambda: _ended(*(one.job_id for one in made)), what="50 answers")
    found = await views.read_many([one.job_id for one in made])
    assert sorted(one.result["value"] for one in found) == list(range(50))


async def test_an_unknown_kind_is_left_to_newer_workers_without_an_attempt(effects: str, start: Start):
    start("tests.tasks.probes", "--queues", "bulk")
    made = await guard.commit(outbox.enqueue, Newer())

    async def put_aside() -> bool:
        row = await guard.only("select *, run_at - now() as wait from job_live where job_id = $1", made.job_id)
        return row["claim_no"] == 1 and row["status"] == 0 and row["attempts"] == 0 and row["wait"].total_seconds() > 20

    await until(put_aside, what="putting it aside")


@pytest.mark.parametrize("redis_is_away", [False, True])
async def test_an_idle_worker_begins_at_once_when_rung_and_within_a_sweep_without_redis(
    effects: str, start: Start, redis_url: str, *, redis_is_away: bool
):
    from wire.bell import Bell
    from wire.redis import Names

    start("tests.tasks.probes", "--queues", "bulk", **({"REDIS_URL": "redis://127.0.0.1:1/0"} if redis_is_away else {}))
    bell = Bell(redis_url, Names("mgl:test:"))
    guard.hang_bell(bell)
    first = await guard.commit(outbox.enqueue, Note(key="warm"))
    await until(lambda: _ended(first.job_id), what="the first job")
    await asyncio.sleep(0.3)
    waits = []
    for n in range(10):
        began = time.monotonic()
        made = await guard.commit(outbox.enqueue, Note(key=str(n)))
        await until(lambda made=made: _ended(made.job_id))
        waits.append(time.monotonic() - began)
        await asyncio.sleep(0.05)
    await bell.close()
    assert sorted(waits)[5] < (0.7 if redis_is_away else 0.05), waits
