"""What a job went through before its end: each claim that was not the last has one line, with its worker's name."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from models import guard, outbox
from models.jobs import Job, JobStatus
from tasks.broker import statements, sweeper
from tasks.broker.performing import give_back, perform
from tasks.broker.shift import Shift
from tasks.broker.sweeper import Sweeper
from tests.performing import claim_now, perform_now, release_dead, view
from tests.tasks.conftest import Start, until
from tests.tasks.probes import Answer, Fail, Note, Slices

ATTEMPTS = """
select claim_no, attempt, outcome, error_code, worker from job_attempts where job_id = $1 order by claim_no
"""


async def _enqueue(job: Job) -> UUID:
    return (await guard.commit(outbox.enqueue, job)).job_id


async def _history(job_id: UUID) -> list[tuple[Any, ...]]:
    return [tuple(one.values()) for one in await guard.rows(ATTEMPTS, job_id)]


async def _last(job_id: UUID) -> tuple[Any, ...]:
    found = await guard.only("select claim_no, attempts, worker, is_dead, error_code from jobs where id = $1", job_id)
    return tuple(found.values())


async def _beat(shift: Shift) -> str:
    await guard.rows(statements.BEAT, shift.worker_id, "host-9", 77, ["bulk"], "", 8, [], [], [])
    return "host-9:77"


async def _at_once() -> None:
    await guard.rows("update job_live set run_at = now()")


async def test_a_retry_that_succeeds_leaves_the_failure_and_its_own_claim(effects: str):
    job_id, me = await _enqueue(Slices(of=2, leave_after=1, how="crash")), Shift(uuid4()).worker
    await perform_now(job_id)
    assert await _history(job_id) == [(1, 1, "retried", "internal_error", me)]
    assert await guard.value("select ended_at >= started_at from job_attempts")
    done = await perform_now(job_id, even_if_early=True)
    assert (done.status, done.attempts, done.error_code) == (JobStatus.SUCCEEDED, 2, None)
    assert await _history(job_id) == [(1, 1, "retried", "internal_error", me)]
    assert await _last(job_id) == (2, 2, me, False, None)


async def test_a_job_that_died_says_so_in_its_own_row(effects: str):
    job_id, me = await _enqueue(Fail(how="unreachable")), Shift(uuid4()).worker
    for _ in range(2):
        await perform_now(job_id, even_if_early=True)
    assert await _history(job_id) == [(1, 1, "retried", "unreachable", me)]
    assert await _last(job_id) == (2, 2, me, True, "unreachable")
    refused = await _enqueue(Fail(how="refused"))
    await perform_now(refused)
    assert (await _history(refused), await _last(refused)) == ([], (1, 1, me, False, "card_declined"))


async def test_a_reschedule_and_a_claim_that_never_began_leave_no_line(effects: str):
    job_id = await _enqueue(Fail(how="reschedule"))
    for _ in range(2):
        await perform_now(job_id, even_if_early=True, give_back_first=True)
    assert await _history(job_id) == []
    row = await guard.only("select claim_no, attempts, lost from job_live")
    assert tuple(row.values()) == (4, 0, 0)


@pytest.mark.parametrize("how", ["reaped", "silent", "overdue"])
async def test_a_lost_worker_is_named(effects: str, how: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sweeper, "SILENT_S", 0.0)
    monkeypatch.setattr(sweeper, "LOOK_S", 0.0)
    monkeypatch.setattr(sweeper, "OVERDUE_LOOK_S", 0.0)
    job_id, shift = await _enqueue(Note(key="a")), Shift(uuid4())
    name = await _beat(shift)
    claim = await claim_now(job_id, shift)
    connection = await asyncpg.connect(effects)
    one = Sweeper(overdue=how == "overdue")
    for _ in range(2):  # twice is once
        if how == "reaped":
            await guard.rows(statements.RELEASE_REAPED, shift.worker_id)
        elif how == "overdue":
            await _beat(shift)
            await guard.rows("update job_live set deadline = now() - interval '61 s' where status = 1")
            await one.sweep(connection)
        else:
            await one.sweep(connection)
            await one.sweep(connection)
    await connection.close()
    assert await _history(job_id) == [(1, 1, "lost", None, name)]
    await give_back(claim)  # it comes to, too late
    assert await _history(job_id) == [(1, 1, "lost", None, name)]
    done = await perform_now(job_id)
    assert (done.status, done.attempts) == (JobStatus.SUCCEEDED, 1)
    assert await _last(job_id) == (2, 1, shift.worker, False, None)


async def test_a_job_that_was_stopped_in_the_middle_says_so_and_used_no_attempt(effects: str):
    job_id, shift = await _enqueue(Fail(how="slow")), Shift(uuid4())
    running = asyncio.create_task(perform(await claim_now(job_id, shift)))
    await asyncio.sleep(0.05)
    shift.cancel_running()
    await running
    assert await _history(job_id) == [(1, 1, "stopped", None, shift.worker)]
    assert (await view(job_id)).attempts == 0


async def test_each_claim_is_told_of_once_and_its_number_never_falls(effects: str):
    job_id = await _enqueue(Fail(how="unreachable"))
    numbers = []
    for how in ("lose", "give back", "stop", "fail", "lose", "fail"):
        await _at_once()
        claim = await claim_now(job_id)
        numbers.append(claim.claim_no)
        if how == "lose":
            await release_dead(job_id)
        elif how == "fail":
            await perform(claim)
        else:
            claim.begun_at = 1.0 if how == "stop" else None
            await give_back(claim)
    assert numbers == [1, 2, 3, 4, 5, 6]
    assert [one[:4] for one in await _history(job_id)] == [
        (1, 1, "lost", None),
        (3, 1, "stopped", None),
        (4, 1, "retried", "unreachable"),
        (5, 2, "lost", None),
    ]
    assert (await _last(job_id))[:2] == (6, 2)


async def test_an_unanswered_retry_is_repeated_and_told_of_once(effects: str, monkeypatch: pytest.MonkeyPatch):
    job_id, real, failures = await _enqueue(Fail(how="unreachable")), guard.row, iter([True])

    async def answered_late(sql: str, *args: Any) -> Any:
        found = await real(sql, *args)
        if sql == statements.AGAIN and next(failures, False):
            raise ConnectionResetError("the answer was lost")
        return found

    monkeypatch.setattr(guard, "row", answered_late)
    await perform_now(job_id)
    assert [one[:4] for one in await _history(job_id)] == [(1, 1, "retried", "unreachable")]
    assert await guard.value("select attempts from job_live") == 1


async def test_unanswered_ends_of_many_are_repeated_and_none_is_lost(effects: str, monkeypatch: pytest.MonkeyPatch):
    ids, shift, real = [await _enqueue(Answer(value=n)) for n in range(5)], Shift(uuid4()), guard.rows
    ids += [(await guard.commit(_mine, n)).job_id for n in range(5)]
    failures = iter([True, True])

    async def answered_late(sql: str, *args: Any) -> Any:
        found = await real(sql, *args)
        if sql == statements.END_MANY and guard.engine().current_transaction.get() is None and next(failures, False):
            raise ConnectionResetError("the answer was lost")
        return found

    transaction, unanswered = guard.transaction, iter([True, True])

    @contextlib.asynccontextmanager
    async def committed_late() -> AsyncIterator[None]:
        async with transaction():
            yield
        if next(unanswered, False):
            raise guard.OutcomeUnknown

    claims = [await claim_now(job_id, shift) for job_id in ids]
    lost = claims[0]
    await guard.rows("update job_live set claim_no = claim_no + 1 where job_id = $1", lost.job_id)
    monkeypatch.setattr(guard, "rows", answered_late)
    monkeypatch.setattr(guard, "transaction", committed_late)
    await asyncio.gather(*(perform(claim) for claim in claims))
    monkeypatch.undo()
    assert [(await view(job_id)).result for job_id in ids[1:]] == [{"value": n} for n in [1, 2, 3, 4, 0, 1, 2, 3, 4]]
    assert await guard.value("select count(*) from events") == 5
    assert (await view(ids[0])).status is JobStatus.RUNNING  # somebody else's by now


async def _mine(value: int) -> outbox.Enqueued:
    with outbox.caused_by(outbox.Origin(caller_id=3)):
        return await outbox.enqueue(Answer(value=value))


async def test_real_workers_killed_and_stopped_write_it_too(effects: str, start: Start):
    crew = start("tests.tasks.probes", "--queues", "bulk", DRAIN_SECONDS="1")
    job_id = await _enqueue(Note(key="a", pause_s=30))

    async def running(claim_no: int) -> bool:
        return bool(await guard.value("select status = 1 and claim_no = $1 from job_live", claim_no))

    await until(lambda: running(1), what="the first claim")
    first = await guard.only("select pid, host || ':' || pid as name from workers")
    os.kill(first["pid"], signal.SIGKILL)
    await until(lambda: running(2), what="the second claim")

    async def shown() -> bool:
        return bool(await guard.value("select running <> '[]' from workers where pid <> $1", first["pid"]))

    await until(shown, what="a beat that tells of it")
    second = await guard.only(
        "select host || ':' || pid as name, running::text as running, threads from workers where queues <> '{}'"
    )
    assert (str(job_id) in second["running"], '"probe.note"' in second["running"], second["threads"]) == (True, True, 8)
    crew.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(crew.wait, 10) == 0
    assert await _history(job_id) == [(1, 1, "lost", None, first["name"]), (2, 1, "stopped", None, second["name"])]
    row = await guard.only("select status, attempts, lost, claim_no from job_live")
    assert tuple(row.values()) == (0, 0, 1, 2)
