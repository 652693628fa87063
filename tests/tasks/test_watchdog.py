"""A performer that holds the loop, or ignores its time, is named; what ran beside it pays nothing."""

import asyncio
import signal
import threading
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from models import guard, outbox
from models.jobs import Job, JobStatus
from tasks.broker import watchdog
from tasks.broker.watchdog import Watchdog
from tests.performing import claim_now, view
from tests.tasks.conftest import Start, until
from tests.tasks.line import Line
from tests.tasks.probes import Deaf, Note, Odd, Stubborn

QUEUES = ("tests.tasks.hurried", "--queues", "interactive,bulk")


async def _enqueue(job: Job) -> UUID:
    return (await guard.commit(outbox.enqueue, job)).job_id


async def _running(count: int) -> bool:
    return bool(await guard.value("select count(*) = $1 from job_live where status = 1", count))


async def _row(job_id: UUID) -> tuple[Any, ...]:
    sql = "select status, attempts, lost, error_code, claim_no from job_live where job_id = $1"
    return tuple((await guard.only(sql, job_id)).values())


async def _waits_again(job_id: UUID) -> bool:
    return bool(await guard.value("select status = 0 and claim_no > 0 from job_live where job_id = $1", job_id))


async def _put_off(job_id: UUID) -> None:
    await guard.rows("update job_live set run_at = now() + interval '1 hour' where job_id = $1", job_id)


@pytest.mark.parametrize(
    ("job", "limit_s", "why"),
    [(Stubborn(hold_s=60), 9, "the loop stands still for 2 s"), (Deaf(for_s=60), 0.5, "it ignores its time limit")],
    ids=["holds the loop", "ignores its limit"],
)
async def test_the_culprit_uses_an_attempt_its_neighbours_none_and_they_finish_elsewhere(
    effects: str, start: Start, tmp_path: Path, job: Job, limit_s: float, why: str
):
    log = tmp_path / "log"
    start(*QUEUES, "--threads", "4", HURRIED=f'{{"limit:interactive": {limit_s}}}', LOG=str(log))
    notes = [await _enqueue(Note(key=str(n), pause_s=5)) for n in range(3)]
    await until(lambda: _running(3), what="the neighbours")
    pid = await guard.value("select pid from workers")
    culprit = await _enqueue(job)
    await until(lambda: _waits_again(culprit), what="its being given back")
    assert (await _row(culprit))[1:] == (1, 0, "time_limit", 1)
    await _put_off(culprit)

    async def begun_again() -> bool:
        return bool(await guard.value("select count(*) = 3 from job_live where claim_no = 2 and status = 1"))

    await until(begun_again, what="the neighbours elsewhere")
    assert await guard.value("select count(*) from workers where pid = $1 and queues <> '{}'", pid) == 0
    rows = await guard.rows("select attempts, lost from job_live where job_id = any($1)", notes)
    assert [tuple(one.values()) for one in rows] == [(1, 0)] * 3
    said = log.read_text()
    assert ("feeder.performer_stuck" in said, f"kind={job.kind}" in said, "code=70" in said) == (True, True, True)
    assert (f" {job.kind.removeprefix('probe.')}'" in said, why in said, str(culprit) in said) == (True, True, True)
    await until(lambda: _running(0), within_s=8, what="their end")
    assert [(await view(one)).status for one in notes] == [JobStatus.SUCCEEDED] * 3
    assert await guard.value("select count(*) from effects") == 3
    history = await guard.rows("select outcome, attempt, error_code from job_attempts order by outcome")
    assert [tuple(one.values()) for one in history] == [("retried", 1, "time_limit"), *[("stopped", 1, None)] * 3]


async def test_one_that_nobody_can_name_costs_each_a_loss_so_that_it_comes_to_an_end(effects: str, start: Start):
    start(*QUEUES, "--threads", "4")
    culprit = await _enqueue(Odd(how="child holds the loop", hold_s=60))
    await until(lambda: _waits_again(culprit), what="its being given back")
    await _put_off(culprit)
    assert (await _row(culprit))[1:3] == (0, 1)


async def test_without_postgres_the_process_ends_all_the_same(effects: str, start: Start, tmp_path: Path):
    async with Line(effects) as line:
        await _ends(line, start, tmp_path / "log")


async def _ends(line: Line, start: Start, log: Path) -> None:
    start(*QUEUES, LOG=str(log), **line.environment)
    culprit = await _enqueue(Stubborn(hold_s=60))
    await until(lambda: _running(1), what="its beginning")

    async def ended() -> bool:
        return "code=70" in await asyncio.to_thread(log.read_text)

    await line.cut()
    await until(ended, what="its end")
    await line.mend()
    await until(lambda: _waits_again(culprit), what="its being released")
    await _put_off(culprit)
    assert (await _row(culprit))[1:3] == (0, 1)  # the launcher's keeper knows only that the worker has died


async def test_a_performer_that_is_merely_slow_is_left_alone(effects: str, start: Start):
    crew = start(*QUEUES, HURRIED='{"limit:bulk": 6}')
    job_id = await _enqueue(Note(key="a", pause_s=3))

    async def ended() -> bool:
        return (await view(job_id)).finished_at is not None

    await until(ended, what="its end")
    done = await view(job_id)
    assert (done.status, done.attempts) == (JobStatus.SUCCEEDED, 1)
    assert crew.poll() is None


class Held:
    """A loop in a thread of its own, which the test can hold."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(watchdog, "LOOP_STILL_S", 0.2)
    held = Held()
    yield held
    held.close()


def _look_for(dog: Watchdog, loop: asyncio.AbstractEventLoop, seconds: float) -> list[Any]:
    seen, until_ = [], time.monotonic() + seconds
    while time.monotonic() < until_:
        found = dog.look(loop, [])
        if found is not None:
            seen.append(found)
        time.sleep(0.01)
    return seen


def test_a_loop_that_answers_is_never_stuck_and_one_held_by_nobody_we_know_is_shown(watched: Held):
    dog = Watchdog()
    assert _look_for(dog, watched.loop, 0.5) == []
    watched.loop.call_soon_threadsafe(time.sleep, 0.6)
    stuck = _look_for(dog, watched.loop, 0.4)[0]
    assert (stuck.claim, stuck.why) == (None, "the loop stands still for 0 s")
    assert any("run_forever" in line for line in stuck.stands_at)
    time.sleep(0.3)
    assert _look_for(dog, watched.loop, 0.3) == []


def test_a_process_that_stood_still_itself_accuses_nobody(watched: Held):
    dog = Watchdog()
    watched.loop.call_soon_threadsafe(time.sleep, 0.5)
    assert dog.look(watched.loop, []) is None
    time.sleep(0.4)  # SIGSTOP, or the machine was moved: the looks stopped too
    assert dog.look(watched.loop, []) is None
    time.sleep(0.15)
    assert _look_for(dog, watched.loop, 0.3) == []


def test_a_loop_that_never_ran_has_no_stack(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(watchdog, "LOOP_STILL_S", 0.05)
    loop, dog = asyncio.new_event_loop(), Watchdog()
    (stuck, *_) = _look_for(dog, loop, 0.1)
    assert (stuck.claim, stuck.stands_at) == (None, [])
    loop.close()


async def test_a_claim_past_its_time_is_named_with_where_it_stands(effects: str):
    claim = await claim_now(await _enqueue(Note(key="a")))
    dog, loop = Watchdog(), asyncio.get_running_loop()

    async def waits_here() -> None:
        await asyncio.sleep(60)

    async def performs() -> None:
        claim.begin()
        await waits_here()

    performing = asyncio.create_task(performs())
    await asyncio.sleep(0)
    assert dog.look(loop, [claim]) is None
    claim.stuck_at = time.monotonic() - 1
    stuck = dog.look(loop, [claim])
    assert stuck is not None
    assert (stuck.claim, stuck.why) == (claim, "it ignores its time limit")
    assert [line.rpartition(" ")[2] for line in stuck.stands_at] == ["performs", "waits_here", "sleep"]
    claim.wait_for_database()  # what is being recorded has its own time
    assert dog.look(loop, [claim]) is None
    claim.stuck_at, claim.task = time.monotonic() - 1, None
    unbegun = dog.look(loop, [claim])
    assert unbegun is not None
    assert unbegun.stands_at == []
    performing.cancel()


async def test_a_frozen_process_that_comes_to_changes_nothing_of_its_successors(effects: str, start: Start):
    """Its looks stood still too, so it accuses nobody; its jobs are others' by then, and the fence says so."""
    start(*QUEUES, HURRIED='{"tasks.broker.sweeper.SILENT_S": 1, "tasks.broker.sweeper.LOOK_S": 0.2}')
    job_id = await _enqueue(Note(key="a", pause_s=1.5))
    await until(lambda: _running(1), what="its beginning")
    pid = await guard.value("select pid from workers")
    await asyncio.sleep(0.2)
    await asyncio.to_thread(_freeze, pid, 5)

    async def ended() -> bool:
        return (await view(job_id)).finished_at is not None

    await until(ended, what="its end")
    assert await guard.value("select count(*) from effects") == 1
    assert await guard.value("select outcome from job_attempts") == "lost"


def _freeze(pid: int, seconds: float) -> None:
    import os

    os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.kill(pid, signal.SIGCONT)
