"""What becomes of a job that fails: later, dead, or at once, with an error its caller may read."""

import asyncio
from uuid import UUID, uuid4

import pytest

from models import guard, outbox
from models.jobs import POLICIES, JobStatus, Queue, QueuePolicy
from tasks.broker.performing import backoff_s, perform
from tasks.broker.shift import Shift
from tests.performing import claim_now, perform_now, view
from tests.tasks.probes import Fail


async def _enqueue(how: str) -> UUID:
    return (await guard.commit(outbox.enqueue, Fail(how=how))).job_id


async def _wait_s(job_id: UUID) -> float:
    return float(await guard.value("select extract(epoch from run_at - now()) from job_live where job_id = $1", job_id))


async def test_an_unreachable_provider_is_tried_again_until_the_limit_then_dead(effects: str):
    job_id = await _enqueue("unreachable")
    for attempt in range(1, POLICIES[Queue.INTERACTIVE].max_attempts):
        waiting = await perform_now(job_id, even_if_early=True)
        assert (waiting.status, waiting.attempts) == (JobStatus.QUEUED, attempt)
        assert await guard.value("select error_code from job_live") == "unreachable"
    dead = await perform_now(job_id, even_if_early=True)
    assert (dead.status, dead.error_code) == (JobStatus.FAILED, "unreachable")
    assert "10.0.0.1" not in str(dead)
    assert [one["key"] for one in await guard.rows("select key from effects")] == ["dead:unreachable"]


async def test_a_provider_that_says_when_is_believed(effects: str):
    job_id = await _enqueue("later")
    await perform_now(job_id)
    assert 100 < await _wait_s(job_id) <= 120


async def test_a_refusal_fails_at_once_with_its_decline_code(effects: str):
    job_id = await _enqueue("refused")
    done = await perform_now(job_id)
    assert (done.status, done.error_code, done.attempts) == (JobStatus.FAILED, "card_declined", 1)
    data = await guard.value("select error_data::text from jobs where id = $1", job_id)
    assert data == '{"decline_code": "insufficient_funds"}'


async def test_a_rule_that_says_no_fails_at_once(effects: str):
    done = await perform_now(await _enqueue("not_found"))
    assert (done.status, done.error_code, done.error_detail) == (
        JobStatus.FAILED, "not_found", "There is no milestone 7.",
    )  # fmt: skip


async def test_our_own_mistake_is_tried_again_and_never_shown(effects: str):
    job_id = await _enqueue("crash")
    await perform_now(job_id)
    dead = await perform_now(job_id, even_if_early=True)
    assert (dead.status, dead.error_code) == (JobStatus.FAILED, "internal_error")
    assert "hunter2" not in str(dead)


async def test_rescheduling_uses_no_attempt(effects: str):
    job_id = await _enqueue("reschedule")
    for _ in range(5):
        waiting = await perform_now(job_id, even_if_early=True)
        assert (waiting.status, waiting.attempts) == (JobStatus.QUEUED, 0)
    assert 20 < await _wait_s(job_id) <= 30


async def test_the_time_limit_uses_an_attempt(effects: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(POLICIES, Queue.INTERACTIVE, QueuePolicy(0.05, 2, 0.2, 1))
    job_id = await _enqueue("slow")
    waiting = await perform_now(job_id)
    assert (waiting.status, waiting.attempts) == (JobStatus.QUEUED, 1)
    dead = await perform_now(job_id, even_if_early=True)
    assert (dead.status, dead.error_code) == (JobStatus.FAILED, "time_limit")


async def test_a_shutdown_uses_none(effects: str):
    job_id = await _enqueue("slow")
    shift = Shift(uuid4())
    running = asyncio.create_task(perform(await claim_now(job_id, shift)))
    await asyncio.sleep(0.05)
    shift.cancel_running()
    await running
    back = await view(job_id)
    assert (back.status, back.attempts) == (JobStatus.QUEUED, 0)


async def test_the_pause_grows_to_its_ceiling_and_is_spread(effects: str):
    claim = await claim_now(await _enqueue("later"))
    policy = POLICIES[Queue.INTERACTIVE]
    pauses = [backoff_s(claim) for _ in range(200)]
    assert all(0 <= pause <= policy.backoff_min_s for pause in pauses)
    assert len(set(pauses)) > 100
    claim.attempt = 50
    assert all(backoff_s(claim) <= policy.backoff_max_s for _ in range(200))
