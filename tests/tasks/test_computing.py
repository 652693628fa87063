"""Performers that compute: in a thread beside the loop, stopped when their time is over, and no reason to lose a job."""

import asyncio
import contextlib
import signal
import threading
import time
from pathlib import Path
from uuid import UUID, uuid4

import coverage
import pytest

from models import guard, outbox
from models.jobs import POLICIES, JobStatus, Queue, QueuePolicy
from tasks.broker import computing
from tasks.broker.computing import Stopped, compute
from tasks.broker.performing import perform
from tasks.broker.shift import Shift
from tasks.job import PERFORMERS, performs
from tasks.launch import parse
from tests.performing import claim_now, perform_now, view
from tests.tasks import probes
from tests.tasks.conftest import Start, hearing, until
from tests.tasks.probes import Reckon


async def _enqueue(how: str, for_s: float = 0.0) -> UUID:
    with outbox.caused_by(outbox.Origin(request_id="req-1", caller_id=3)):
        return (await guard.commit(outbox.enqueue, Reckon(how=how, for_s=for_s))).job_id


def _not_traced() -> None:
    """While a thread in C is asked to stop, a traced CPython 3.11 spins in every other until that one returns."""
    if coverage.Coverage.current() is not None:
        pytest.skip("not under coverage")


def _computing() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("compute ")]


@pytest.fixture
def quick_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(POLICIES, Queue.SCORE, QueuePolicy(0.2, 2, 0.2, 1))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """What the process would have been told; it stays."""
    signals: list[tuple[int, int]] = []
    monkeypatch.setattr(computing.os, "kill", lambda pid, number: signals.append((pid, number)))
    monkeypatch.setattr(computing, "GRACE_S", 0.2)
    return signals


async def test_the_result_passes_through(effects: str):
    assert (await perform_now(await _enqueue("value"))).result == {"value": 42}
    done = await perform_now(await _enqueue("complete"), give_back_first=True)
    assert (done.status, done.attempts, done.result) == (JobStatus.SUCCEEDED, 1, {"key": "reckoned"})
    assert await guard.value("select count(*) from effects") == 1


async def test_what_it_raises_passes_through(effects: str):
    refused = await perform_now(await _enqueue("refused"))
    assert (refused.status, refused.error_code) == (JobStatus.FAILED, "too_little")


@pytest.mark.parametrize("how", ["crash", "stop iteration", "exit"])
async def test_however_it_fails_an_attempt_is_used_and_the_loop_lives(effects: str, how: str):
    job_id = await _enqueue(how)
    waiting = await asyncio.wait_for(perform_now(job_id), 3)
    assert (waiting.status, waiting.attempts, waiting.error_code) == (JobStatus.QUEUED, 1, "internal_error")
    dead = await asyncio.wait_for(perform_now(job_id, even_if_early=True), 3)
    assert (dead.status, dead.error_code) == (JobStatus.FAILED, "internal_error")


async def test_what_caused_the_job_is_known_in_the_thread_and_in_what_it_waits_for(effects: str):
    done = await perform_now(await _enqueue("context"))
    assert done.result == {"kind": "probe.reckon", "caller_id": 3, "request_id": "req-1"}


async def test_the_loop_goes_on_while_it_computes(effects: str):
    running = asyncio.create_task(perform_now(await _enqueue("loop", for_s=0.5)))
    longest, last = 0.0, time.monotonic()
    while not running.done():
        await asyncio.sleep(0.005)
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
    assert (await running).result == {"counted": True}
    assert longest < 0.3


@pytest.mark.usefixtures("quick_limit")
async def test_the_time_limit_stops_a_loop_and_uses_an_attempt(effects: str, told: list[tuple[int, int]]):
    job_id, began = await _enqueue("loop", for_s=30), time.monotonic()
    waiting = await perform_now(job_id)
    assert (waiting.status, waiting.attempts, waiting.error_code) == (JobStatus.QUEUED, 1, "time_limit")
    assert time.monotonic() - began < 1
    assert (told, _computing()) == ([], [])
    dead = await perform_now(job_id, even_if_early=True)
    assert (dead.status, dead.error_code) == (JobStatus.FAILED, "time_limit")


@pytest.mark.usefixtures("quick_limit")
@pytest.mark.parametrize("how", ["sleep", "swallow"])
async def test_one_that_cannot_be_stopped_is_recorded_and_the_process_told_to_leave(
    effects: str, told: list[tuple[int, int]], how: str
):
    _not_traced()
    job_id = await _enqueue(how, for_s=1.5)
    with hearing(computing) as said:
        waiting = await perform_now(job_id)
    assert (waiting.status, waiting.attempts, waiting.error_code) == (JobStatus.QUEUED, 1, "time_limit")
    assert [number for _, number in told] == [signal.SIGTERM]
    assert [line["kind"] for line in said if line["event"] == "job.cannot_be_stopped"] == ["probe.reckon"]
    await until(_no_thread, within_s=3, what="its end")


async def _no_thread() -> bool:
    return _computing() == []


@pytest.mark.usefixtures("quick_limit")
async def test_one_that_only_waits_for_the_loop_is_stopped_there(effects: str, told: list[tuple[int, int]]):
    waiting = await perform_now(await _enqueue("wait", for_s=30))
    assert (waiting.attempts, waiting.error_code) == (1, "time_limit")
    assert (told, _computing()) == ([], [])


async def test_shutdown_while_it_computes_gives_it_back_without_an_attempt(effects: str, told: list[tuple[int, int]]):
    job_id, shift = await _enqueue("loop", for_s=30), Shift(uuid4())
    running = asyncio.create_task(perform(await claim_now(job_id, shift)))

    async def computes() -> bool:
        return _computing() == ["compute probe.reckon"]

    await until(computes, what="the thread")
    shift.cancel_running()
    await running
    back = await view(job_id)
    assert (back.status, back.attempts, _computing(), told) == (JobStatus.QUEUED, 0, [], [])
    assert await guard.value("select outcome from job_attempts") == "stopped"


async def test_whoever_lost_the_claim_learns_it_in_the_thread(effects: str):
    claim = await claim_now(await _enqueue("complete"))
    await guard.rows("update job_live set claim_no = 9")
    await perform(claim)
    assert await guard.value("select count(*) from effects") == 0
    assert await guard.value("select status from job_live") == 1


async def test_a_thread_that_ended_as_its_time_did_is_not_mistaken_for_another(
    effects: str, told: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
):
    """Threads' numbers are used again: nobody may be asked to stop for somebody who has gone."""
    asked: list[object] = []
    monkeypatch.setattr(computing, "raise_thread_exception", lambda ident, _: asked.append(ident))
    claim = await claim_now(await _enqueue("value"))
    running = asyncio.create_task(compute(lambda *_: 7, None, claim))
    await asyncio.sleep(0)  # the thread has begun, and the loop does not hear that it has ended
    time.sleep(0.1)  # noqa: ASYNC251
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (asked, told) == ([], [])


async def test_a_thread_that_is_stopped_while_it_says_that_it_has_ended_is_not_waited_for(
    effects: str, told: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
):
    loop = asyncio.get_running_loop()
    real, monkey_at_work = loop.call_soon_threadsafe, threading.current_thread()

    def stopped_here(*args: object, **kwargs: object) -> object:
        if threading.current_thread() is not monkey_at_work:
            time.sleep(0.1)
            raise Stopped
        return real(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    claim = await claim_now(await _enqueue("value"))
    monkeypatch.setattr(loop, "call_soon_threadsafe", stopped_here, raising=False)
    monkeypatch.setattr(computing, "raise_thread_exception", lambda *_: None)
    running = asyncio.create_task(compute(lambda *_: 7, None, claim))
    await asyncio.sleep(0.02)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert told == []


@pytest.mark.parametrize("how", ["sleep", "hash"])
async def test_a_real_process_that_cannot_stop_it_leaves_and_is_replaced(
    effects: str, start: Start, tmp_path: Path, how: str
):
    _not_traced()
    crew = start(
        "tests.tasks.hurried", "--queues", "score", HURRIED='{"limit:score": 0.5}', LOG=str(tmp_path / "log"), DRAIN_SECONDS="2"
    )  # fmt: skip
    stuck = await _enqueue(how, for_s=60)

    async def recorded() -> bool:
        row = await guard.only("select attempts, error_code from job_live where job_id = $1", stuck)
        return tuple(row.values()) == (1, "time_limit")

    async def first_gone() -> bool:
        return await guard.value("select pid from workers") not in {None, pid}

    await until(lambda: _begun(stuck), what="its beginning")
    pid = await guard.value("select pid from workers")
    await until(recorded, within_s=6, what="its time limit")
    await guard.rows("update job_live set run_at = now() + interval '1 hour'")
    other = await _enqueue("value")
    await until(lambda: _ended(other), within_s=10, what="the other job")
    await until(first_gone, within_s=5, what="the replacement")
    assert (await view(stuck)).attempts == 1
    assert await guard.value("select lost from job_live where job_id = $1", stuck) == 0
    said = (tmp_path / "log").read_text()
    assert ("job.cannot_be_stopped" in said, "code=0" in said) == (True, True)
    assert crew.poll() is None


async def _begun(job_id: UUID) -> bool:
    return bool(await guard.value("select status = 1 from job_live where job_id = $1", job_id))


async def _ended(job_id: UUID) -> bool:
    return (await view(job_id)).finished_at is not None


async def test_a_real_process_beats_while_it_computes_and_gives_it_back_at_its_end(effects: str, start: Start):
    hurry = '{"tasks.broker.feeder.BEAT_S": 0.2, "limit:score": 20}'
    crew = start("tests.tasks.hurried", "--queues", "score", HURRIED=hurry, DRAIN_SECONDS="1")
    job_id = await _enqueue("loop", for_s=20)
    await until(lambda: _begun(job_id), what="its beginning")
    before = await guard.value("select beat from workers")

    async def beats() -> bool:
        return bool(await guard.value("select beat >= $1 from workers", before + 4))

    await until(beats, within_s=5, what="four beats")
    crew.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(crew.wait, 8) == 0
    row = await guard.only("select status, attempts, lost, worker_id from job_live")
    assert tuple(row.values()) == (0, 0, 0, None)


def test_what_computes_has_processes_of_its_own(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        parse(["--queues", "score,bulk"])
    assert "score: what computes has processes of its own" in capsys.readouterr().err
    found = parse(["--queues", "score,ml"])
    assert (found.queues, found.threads, found.processes) == ((Queue.SCORE, Queue.ML), 1, 1)
    assert parse(["--queues", "bulk"]).threads == 8
    for wrong in ("--threads", "--processes"):
        with pytest.raises(SystemExit):
            parse(["--queues", "ml", wrong, "0"])


def test_a_performer_is_of_its_queues_sort_and_the_only_one():
    class Sum(Reckon):
        kind = "probe.sum"

    class Sheet(probes.Note):
        kind = "probe.sheet"

    async def coroutine(_: object, __: object) -> None: ...
    def plain(_: object, __: object) -> None: ...

    with pytest.raises(AssertionError, match="score wants a plain function"):
        performs(Sum)(coroutine)
    with pytest.raises(AssertionError, match="bulk wants a coroutine function"):
        performs(Sheet)(plain)
    with pytest.raises(AssertionError, match=r"probe.reckon has a performer already"):
        performs(Reckon)(plain)
    with pytest.raises(AssertionError, match="when cancelled"):
        performs(Sheet, when_dead=lambda _: asyncio.sleep(0))(coroutine)
    assert {"probe.sum", "probe.sheet"} & set(PERFORMERS) == set()
    with contextlib.suppress(KeyError):
        assert not PERFORMERS["probe.note"].computes
    assert PERFORMERS["probe.reckon"].computes
