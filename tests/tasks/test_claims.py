"""The fence: whoever lost a claim changes nothing, and an end commits with its effect or not at all."""

import contextlib
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest

from models import events, guard, jobs, outbox
from models.errors import LeaseLost
from models.jobs import JobStatus
from models.outbox import Origin, caused_by
from tasks.broker import statements
from tasks.broker.performing import perform
from tests.performing import claim_now, killed_after, killed_before, perform_killed, perform_now, release_dead, view
from tests.tasks import probes
from tests.tasks.probes import Answer, Fail, Note, write_effect


async def _enqueue(job: jobs.Job, caller_id: int | None = None) -> UUID:
    with caused_by(Origin(request_id="req-1", caller_id=caller_id)):
        return (await guard.commit(outbox.enqueue, job)).job_id


async def _effects() -> list[str]:
    return [one["key"] for one in await guard.rows("select key from effects order by id")]


async def test_a_completed_job_has_its_effect_its_result_and_no_live_row(effects: str):
    job_id = await _enqueue(Note(key="a"))
    done = await perform_now(job_id)
    assert (done.status, done.attempts, done.result) == (JobStatus.SUCCEEDED, 1, {"key": "a"})
    assert done.started_at is not None
    assert done.finished_at is not None
    assert done.started_at <= done.finished_at
    assert await _effects() == ["a"]
    assert await guard.value("select count(*) from job_live") == 0


async def test_a_claim_given_back_costs_no_attempt(effects: str):
    job_id = await _enqueue(Note(key="a"))
    done = await perform_now(job_id, give_back_first=True)
    assert (done.status, done.attempts) == (JobStatus.SUCCEEDED, 1)


async def test_whoever_lost_the_claim_changes_nothing(effects: str):
    job_id = await _enqueue(Note(key="a"))
    first = await claim_now(job_id)
    await release_dead(job_id)
    second = await claim_now(job_id)
    with pytest.raises(LeaseLost):
        await first.still_mine()
    first.is_settled = False
    with pytest.raises(LeaseLost):
        await first.complete(write_effect, "first")
    assert await second.complete(write_effect, "second") == {"key": "second"}
    assert await _effects() == ["second"]
    assert second.claim_no > first.claim_no


async def test_the_same_claim_number_of_another_worker_is_refused(effects: str):
    job_id = await _enqueue(Note(key="a"))
    claim = await claim_now(job_id)
    await guard.rows("update job_live set worker_id = $1", uuid4())
    with pytest.raises(LeaseLost):
        await claim.complete(write_effect, "a")
    assert await _effects() == []


async def test_a_refusal_inside_the_verb_rolls_back_and_fails_the_job(effects: str):
    done = await perform_now(await _enqueue(Fail(how="rolled_back")))
    assert (done.status, done.error_code, done.error_detail) == (
        JobStatus.FAILED, "not_found", "There is no milestone 8.",
    )  # fmt: skip
    assert await _effects() == []


async def test_a_failure_may_have_an_effect_in_its_transaction(effects: str):
    done = await perform_now(await _enqueue(Fail(how="effect_and_error")))
    assert (done.status, done.error_code) == (JobStatus.FAILED, "funding_expired")
    assert await _effects() == ["gave up"]


@pytest.mark.parametrize("where", ["before", "after"])
async def test_a_crash_on_the_way_is_begun_again_and_the_effect_happens_once(effects: str, where: str):
    job_id = await _enqueue(Note(key="a"))
    kill = killed_before if where == "before" else killed_after
    with kill(probes, "write_effect"):
        await perform_killed(job_id)
    assert (await view(job_id)).status is JobStatus.RUNNING
    assert await _effects() == []
    await release_dead(job_id)
    done = await perform_now(job_id)
    assert (done.status, done.attempts) == (JobStatus.SUCCEEDED, 1)
    assert await _effects() == ["a"]


async def test_a_job_that_kills_its_workers_comes_to_an_end(effects: str):
    job_id = await _enqueue(Note(key="a"))
    for _ in range(5):
        await guard.rows("update job_live set run_at = now()")
        await claim_now(job_id)
        await release_dead(job_id)
    done = await perform_now(job_id, even_if_early=True)
    assert (done.status, done.error_code) == (JobStatus.FAILED, "attempts_exhausted")
    assert await _effects() == []


async def test_a_payload_of_another_shape_is_dead_at_once(effects: str):
    job_id = await _enqueue(Note(key="a"))
    await guard.rows("""update jobs set payload = '{"key": 7}' where id = $1""", job_id)
    done = await perform_now(job_id)
    assert (done.status, done.error_code) == (JobStatus.FAILED, "payload_unreadable")


async def test_the_caller_is_told_and_follow_up_jobs_inherit_the_origin(effects: str):
    job_id = await _enqueue(Answer(value=7), caller_id=3)
    assert (await perform_now(job_id)).result == {"value": 7}
    told = await guard.only("select audience, name, payload::text from events")
    assert (told["audience"], told["name"]) == (events.user(3), "job_update")
    assert '"succeeded"' in told["payload"]
    assert '"value": 7' in told["payload"]

    job_id = await _enqueue(Note(key="next"), caller_id=3)
    claim = await claim_now(job_id)

    async def follow(key: str) -> None:
        await outbox.enqueue(Note(key=key))

    with caused_by(Origin(request_id=claim.request_id, caller_id=claim.caller_id, cause=claim.job_id)):
        await claim.complete(follow, "more")
    next_one = await guard.only("select cause, caller_id, request_id from jobs where payload->>'key' = 'more'")
    assert (next_one["cause"], next_one["caller_id"], next_one["request_id"]) == (job_id, 3, "req-1")


async def test_an_unanswered_commit_is_repeated_and_takes_effect_once(effects: str, monkeypatch: pytest.MonkeyPatch):
    real, failures = guard.transaction, iter([True, False])

    @contextlib.asynccontextmanager
    async def answered_late() -> AsyncIterator[None]:
        async with real():
            yield
        if next(failures, False):
            raise ConnectionResetError("the answer to COMMIT was lost")

    claim = await claim_now(await _enqueue(Note(key="a")))
    monkeypatch.setattr(guard, "transaction", answered_late)
    assert await claim.complete(write_effect, "a") == {"key": "a"}
    assert await _effects() == ["a"]


async def test_orphans_of_an_unanswered_claim_are_given_back_free(effects: str):
    job_id = await _enqueue(Note(key="a"))
    claim = await claim_now(job_id)
    await guard.rows(statements.ORPHANS, claim.worker_id, [job_id])
    assert (await view(job_id)).status is JobStatus.RUNNING
    await guard.rows(statements.ORPHANS, claim.worker_id, [])
    back = await view(job_id)
    assert (back.status, back.attempts) == (JobStatus.QUEUED, 0)
    await perform(claim)  # it wakes up after all, and finds that it lost
    assert await _effects() == []
