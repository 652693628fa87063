"""PostgreSQL slow or gone while a job runs: what was done is recorded once, and nobody pays for the outage."""

import asyncio
import contextvars
import time
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from models import guard, outbox
from models.errors import LeaseLost
from models.jobs import POLICIES, Job, JobStatus, Queue, QueuePolicy
from tasks.broker import performing, shift, statements
from tasks.broker.claim import Claim
from tasks.broker.performing import perform
from tasks.broker.shift import Shift, persistently
from tests.performing import claim_now, perform_now, view
from tests.tasks import probes
from tests.tasks.conftest import Start, hearing, until
from tests.tasks.line import Line
from tests.tasks.probes import Answer, Fail, Note, Odd, Reckon, write_effect


async def _enqueue(job: Job, caller_id: int | None = None) -> UUID:
    with outbox.caused_by(outbox.Origin(caller_id=caller_id)):
        return (await guard.commit(outbox.enqueue, job)).job_id


async def _effects() -> list[str]:
    return [one["key"] for one in await guard.rows("select key from effects order by id")]


async def _ended(job_id: UUID) -> bool:
    return (await view(job_id)).finished_at is not None


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little time to perform, and little patience afterwards."""
    for queue in (Queue.INTERACTIVE, Queue.BULK, Queue.SCORE):
        monkeypatch.setitem(POLICIES, queue, QueuePolicy(0.3, 5, 0.2, 1))
    monkeypatch.setattr(performing, "NOTICE_S", 0.05)


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize(
    "job", [Note(key="a"), Answer(), Fail(how="effect_and_error"), Reckon(how="complete")], ids=repr
)
async def test_the_time_limit_does_not_cut_the_recording(effects: str, job: Job):
    """Somebody holds the job's row for longer than the job may take."""
    job_id = await _enqueue(job)
    claim = await claim_now(job_id)
    async with guard.transaction():
        await guard.rows("select 1 from jobs where id = $1 for update", job_id)
        running = asyncio.get_running_loop().create_task(perform(claim), context=contextvars.Context())
        await asyncio.sleep(0.8)
        assert not running.done()
    await running
    done = await view(job_id)
    assert (done.status, done.attempts) == (
        JobStatus.FAILED if isinstance(job, Fail) else JobStatus.SUCCEEDED, 1,
    )  # fmt: skip
    assert len(await _effects()) == (0 if isinstance(job, Answer) else 1)
    assert await guard.value("select count(*) from job_attempts") == 0


@pytest.mark.usefixtures("brief")
async def test_the_time_limit_does_cut_what_comes_before(effects: str):
    waiting = await perform_now(await _enqueue(Note(key="a", pause_s=5)))
    assert (waiting.status, waiting.attempts, waiting.error_code) == (JobStatus.QUEUED, 1, "time_limit")
    assert await _effects() == []


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("how", ["connection lost", "own time-out"])
@pytest.mark.parametrize("noticed", [False, True])
async def test_only_an_outage_that_the_feeder_saw_too_is_postgresqls_fault(effects: str, how: str, *, noticed: bool):
    job_id, mine = await _enqueue(Odd(how=how)), Shift(uuid4())
    mine.database_lost_at = time.monotonic() - 1  # an earlier one
    claim = await claim_now(job_id, mine)
    if noticed:
        asyncio.get_running_loop().call_later(0.02, setattr, mine, "database_lost_at", time.monotonic() + 60)
    await perform(claim)
    waiting = await view(job_id)
    assert (waiting.status, waiting.attempts) == (JobStatus.QUEUED, 0 if noticed else 1)
    assert waiting.error_code == (None if noticed else "internal_error")
    assert await guard.value("select count(*) from job_attempts") == (0 if noticed else 1)


async def test_postgres_lost_under_performers_costs_no_attempt_and_they_succeed_later(effects: str, start: Start):
    async with Line(effects) as line:
        await _survives(line, start)


async def _survives(line: Line, start: Start) -> None:
    start("tests.tasks.probes", "--queues", "bulk", "--threads", "4", **line.environment)
    ids = [await _enqueue(Note(key=str(n), pause_s=1)) for n in range(3)]

    async def running() -> bool:
        return bool(await guard.value("select count(*) = 3 from job_live where status = 1"))

    await until(running, what="their beginning")
    await line.cut()
    await asyncio.sleep(2)
    await line.mend()
    for job_id in ids:
        await until(lambda job_id=job_id: _ended(job_id), within_s=20, what="the end")
    found = [await view(job_id) for job_id in ids]
    assert [(one.status, one.attempts) for one in found] == [(JobStatus.SUCCEEDED, 1)] * 3
    assert sorted(await _effects()) == ["0", "1", "2"]
    assert await guard.value("select count(*) from job_attempts where outcome = 'retried'") == 0


@pytest.mark.parametrize("how", ["exit", "stray cancellation"])
async def test_however_a_performer_leaves_it_uses_an_attempt_and_comes_to_an_end(effects: str, how: str):
    job_id = await _enqueue(Odd(how=how))
    waiting = await perform_now(job_id)
    assert (waiting.status, waiting.attempts, waiting.error_code) == (JobStatus.QUEUED, 1, "internal_error")
    dead = await perform_now(job_id, even_if_early=True)
    assert (dead.status, dead.error_code) == (JobStatus.FAILED, "internal_error")


async def test_a_stop_while_the_end_is_being_recorded_is_the_end_or_a_return_never_both(effects: str):
    job_id, mine = await _enqueue(Note(key="a")), Shift(uuid4())
    claim = await claim_now(job_id, mine)
    async with guard.transaction():
        await guard.rows("select 1 from jobs where id = $1 for update", job_id)
        running = asyncio.get_running_loop().create_task(perform(claim), context=contextvars.Context())
        await asyncio.sleep(0.2)
        mine.cancel_running()
        await asyncio.sleep(0.2)
    await running
    back = await view(job_id)
    assert (back.status, back.attempts, await _effects()) == (JobStatus.QUEUED, 0, [])
    assert (await perform_now(job_id)).status is JobStatus.SUCCEEDED
    assert await _effects() == ["a"]


async def test_a_job_that_ended_stays_ended_whatever_its_performer_does_then(
    effects: str, monkeypatch: pytest.MonkeyPatch
):
    from tasks.job import PERFORMERS, Performer

    async def end_and_fall(_: Note, claim: Claim) -> None:
        await claim.complete(write_effect, "a")
        raise RuntimeError

    monkeypatch.setitem(PERFORMERS, "probe.note", Performer(Note, end_and_fall))
    with hearing(performing) as said:
        done = await perform_now(await _enqueue(Note(key="a")))
    assert (done.status, done.attempts, await _effects()) == (JobStatus.SUCCEEDED, 1, ["a"])
    assert "job.failed_after_its_end" in [line["event"] for line in said]


async def test_when_dead_that_fails_does_not_keep_the_job_alive(effects: str, monkeypatch: pytest.MonkeyPatch):
    async def refuse(_: Fail) -> None:
        raise KeyError

    from tasks.job import PERFORMERS, Performer

    monkeypatch.setitem(PERFORMERS, "probe.fail", Performer(Fail, probes.fail, refuse))
    job_id = await _enqueue(Fail(how="unreachable"))
    for _ in range(2):
        await perform_now(job_id, even_if_early=True)
    dead = await view(job_id)
    assert (dead.status, dead.error_code) == (JobStatus.FAILED, "unreachable")


async def test_whoever_lost_the_claim_does_not_bury_the_job(effects: str, monkeypatch: pytest.MonkeyPatch):
    job_id = await _enqueue(Fail(how="unreachable"))
    await guard.rows("update job_live set attempts = 1")
    claim = await claim_now(job_id)
    await guard.rows("update job_live set claim_no = 9")
    await perform(claim)
    assert ((await view(job_id)).status, await _effects()) == (JobStatus.RUNNING, [])
    assert claim.is_settled


@pytest.mark.parametrize("error", [asyncpg.DeadlockDetectedError, asyncpg.SerializationError])
async def test_rivals_begin_anew_four_times_and_no_more(error: type[Exception]):
    seen: list[bool] = []

    async def once(unknown: bool) -> int:  # noqa: FBT001  the shape `persistently` calls
        seen.append(unknown)
        if len(seen) < 4:
            raise error
        return 7

    assert (await persistently(once), seen) == (7, [False] * 4)
    seen.clear()

    async def never(_: bool) -> int:  # noqa: FBT001
        seen.append(True)
        raise error

    with pytest.raises(error):
        await persistently(never)
    assert len(seen) == 4


async def test_an_unanswered_end_is_repeated_for_its_time_and_our_own_mistake_never(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shift, "UNKNOWN_COMMIT_S", 0.3)
    monkeypatch.setattr(shift, "REPEAT_S", 0.05)
    seen: list[bool] = []

    async def unanswered(unknown: bool) -> int:  # noqa: FBT001
        seen.append(unknown)
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await persistently(unanswered)
    assert (seen[0], set(seen[1:]), 4 <= len(seen) <= 8) == (False, {True}, True)
    seen.clear()

    async def mistaken(unknown: bool) -> int:  # noqa: FBT001
        seen.append(unknown)
        raise asyncpg.DataError  # a wrong argument is an InterfaceError as well

    with pytest.raises(asyncpg.DataError):
        await persistently(mistaken)
    assert seen == [False]


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("job", [Note(key="a"), Answer()], ids=repr)
async def test_what_could_not_be_recorded_stays_ours_until_the_feeder_settles_it(
    effects: str, monkeypatch: pytest.MonkeyPatch, job: Job
):
    monkeypatch.setattr(shift, "UNKNOWN_COMMIT_S", 0.1)
    monkeypatch.setattr(shift, "REPEAT_S", 0.05)
    job_id = await _enqueue(job)
    claim = await claim_now(job_id)

    async def away(*_: Any) -> Any:
        raise ConnectionResetError

    monkeypatch.setattr(guard, "rows", away)
    with hearing(performing) as said:
        await perform(claim)
    monkeypatch.undo()
    assert "job.unrecorded" in [line["event"] for line in said]
    assert (claim.is_settled, (await view(job_id)).status) == (False, JobStatus.RUNNING)


async def test_a_verb_that_is_lost_after_an_unanswered_commit_takes_no_effect(
    effects: str, monkeypatch: pytest.MonkeyPatch
):
    """The COMMIT was not answered, nor written, and the claim went to somebody else meanwhile."""
    job_id = await _enqueue(Note(key="a"))
    claim, real = await claim_now(job_id), guard.row
    failures = iter([True])

    async def lost_in_between(sql: str, *args: Any) -> Any:
        if sql == statements.END and next(failures, False):
            await real("update job_live set claim_no = claim_no + 1 returning 1")
            raise ConnectionResetError
        return await real(sql, *args)

    monkeypatch.setattr(guard, "row", lost_in_between)
    monkeypatch.setattr(shift, "REPEAT_S", 0.01)
    await guard.rows("update job_live set claim_no = claim_no + 1")
    with pytest.raises(LeaseLost):
        await claim.complete(write_effect, "a")
    assert (claim.is_settled, await _effects()) == (True, [])
