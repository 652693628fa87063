"""A kind that runs once at a time: rivals wait without an attempt, and a dead holder's right passes on."""

import asyncio
import os
import signal
from uuid import UUID

import pytest

from models import guard, outbox
from models.jobs import ALIASES, JobStatus
from tasks.broker import performing
from tasks.broker.performing import perform
from tests.performing import claim_now, perform_now, release_dead, view
from tests.tasks.conftest import Start, until
from tests.tasks.probes import Alone


async def _enqueue(pause_s: float = 0.0) -> UUID:
    return (await guard.commit(outbox.enqueue, Alone(pause_s=pause_s))).job_id


async def _effects() -> list[str]:
    return [one["key"] for one in await guard.rows("select key from effects order by id")]


async def _begun(count: int) -> bool:
    return (await _effects()).count("in") == count


async def test_of_two_at_once_one_runs_and_the_other_waits_without_an_attempt(effects: str):
    ids = [await _enqueue(pause_s=0.3) for _ in range(2)]
    claims = [await claim_now(job_id) for job_id in ids]
    first = asyncio.create_task(perform(claims[0]))
    await until(lambda: _begun(1))
    await perform(claims[1])
    row = await guard.only(
        "select status, attempts, claim_no, run_at - now() as wait from job_live where job_id = $1", ids[1]
    )
    assert (row["status"], row["attempts"], row["claim_no"]) == (0, 0, 1)
    assert 4 < row["wait"].total_seconds() <= 5
    assert await guard.value("select count(*) from job_attempts") == 0
    await first
    assert (await perform_now(ids[1], even_if_early=True)).status is JobStatus.SUCCEEDED
    assert await _effects() == ["in", "out", "in", "out"]


async def test_of_ten_at_the_same_moment_exactly_one_runs(effects: str):
    claims = [await claim_now(await _enqueue(pause_s=0.5)) for _ in range(10)]
    await asyncio.gather(*(perform(claim) for claim in claims))
    assert await _effects() == ["in", "out"]
    assert await guard.value("select count(*) from job_live where status = 0 and attempts = 0") == 9


async def test_a_caller_is_not_told_that_a_job_runs_which_only_waits(effects: str):
    told: list[tuple[str, str]] = []
    claims = [await claim_now(await _enqueue(pause_s=0.2)) for _ in range(2)]
    for name, claim in zip("ab", claims, strict=True):
        claim.shift.tell_running = lambda _, __=None, name=name: told.append((name, "running"))  # type: ignore[assignment]
    first = asyncio.create_task(perform(claims[0]))
    await until(lambda: _begun(1))
    await perform(claims[1])
    await first
    assert told == [("a", "running")]


async def test_a_dead_holders_right_passes_on(effects: str):
    first, second = await _enqueue(pause_s=60), await _enqueue()
    holding = asyncio.create_task(perform(await claim_now(first)))
    await until(lambda: _begun(1))
    await perform_now(second)
    assert (await view(second)).status is JobStatus.QUEUED
    await release_dead(first)
    assert (await perform_now(second, even_if_early=True)).status is JobStatus.SUCCEEDED
    holding.cancel()
    await holding
    assert await _effects() == ["in", "in", "out"]


async def test_whoever_lost_the_claim_cannot_take_the_right_back(effects: str):
    """A process that stood still between its claim and its beginning comes to, while others have gone on."""
    first, second = await _enqueue(pause_s=0.5), await _enqueue()
    frozen = await claim_now(first)
    await release_dead(first)
    running = asyncio.create_task(perform(await claim_now(first)))
    await until(lambda: _begun(1))
    await perform(frozen)
    await perform_now(second)
    assert (await view(second)).status is JobStatus.QUEUED
    await running
    assert await _effects() == ["in", "out"]


async def test_a_former_name_is_the_same_kind(effects: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(ALIASES, "probe.lonely", "probe.alone")
    old, new = await _enqueue(pause_s=0.5), await _enqueue()
    await guard.rows("update jobs set kind = 'probe.lonely' where id = $1", old)
    running = asyncio.create_task(perform(await claim_now(old)))
    await until(lambda: _begun(1))
    await perform_now(new)
    assert (await view(new)).status is JobStatus.QUEUED
    await running
    assert (await view(old)).status is JobStatus.SUCCEEDED


async def test_real_workers_run_one_at_a_time_also_when_the_holder_is_killed(effects: str, start: Start):
    pace = f'{{"{performing.__name__}.ALONE_PAUSE_S": 0.1}}'
    start("tests.tasks.hurried", "--queues", "bulk", "--processes", "2", "--threads", "2", HURRIED=pace)
    ids = [await _enqueue(pause_s=0.3) for _ in range(4)]
    await until(lambda: _begun(1), what="the first")
    held = await guard.only(
        "select w.pid from job_singles s join job_live l using (job_id) join workers w on w.id = l.worker_id"
    )
    os.kill(held["pid"], signal.SIGKILL)

    async def ended() -> bool:
        return not await guard.value("select count(*) from job_live")

    await until(ended, within_s=15, what="the end of all")
    assert [(await view(job_id)).attempts for job_id in ids] == [1, 1, 1, 1]
    keys = await _effects()
    assert keys == ["in", *["in", "out"] * 4]
