"""The worker program under signals: what it gives back, what it finishes, and how soon it is gone."""

import asyncio
import os
import signal
import time
from uuid import UUID

import pytest

from models import guard, outbox
from models.jobs import Job, Queue
from models.queue import views
from tasks.launch import parse
from tests.tasks.conftest import Start, until
from tests.tasks.probes import Note, Stubborn


async def _enqueue(job: Job) -> UUID:
    return (await guard.commit(outbox.enqueue, job)).job_id


async def _running(count: int) -> bool:
    return bool(await guard.value("select count(*) = $1 from job_live where status = 1", count))


@pytest.mark.parametrize("signals", [1, 2])
@pytest.mark.parametrize("whole_group", [False, True])
async def test_sigterm_gives_back_and_is_gone_in_time_with_no_attempt_used(
    effects: str, start: Start, signals: int, *, whole_group: bool
):
    crew = start("tests.tasks.probes", "--queues", "bulk", "--processes", "2", "--threads", "2", DRAIN_SECONDS="1")
    for n in range(10):
        await _enqueue(Note(key=str(n), pause_s=20))
    await until(lambda: _running(4), what="four jobs running")
    began = time.monotonic()
    for _ in range(signals):
        (os.killpg if whole_group else os.kill)(crew.pid, signal.SIGTERM)
        await asyncio.sleep(0.1)
    code = await asyncio.to_thread(crew.wait, 10)
    assert (code, time.monotonic() - began < 4) == (0, True)
    rows = await guard.rows("select status, attempts, lost, worker_id from job_live")
    assert [tuple(row.values()) for row in rows] == [(0, 0, 0, None)] * 10
    assert await guard.value("select count(*) from workers") == 0


async def test_what_runs_may_finish_and_what_has_not_begun_goes_back_at_once(effects: str, start: Start):
    crew = start("tests.tasks.probes", "--queues", "bulk", "--threads", "2", DRAIN_SECONDS="5")
    for n in range(6):
        await _enqueue(Note(key=str(n), pause_s=1.5))
    await until(lambda: _running(2), what="two jobs running")
    await asyncio.sleep(0.3)  # claimed is not begun yet, and what has not begun would go back
    crew.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(crew.wait, 8) == 0
    assert await guard.value("select count(*) from effects") == 2
    assert await guard.value("select count(*) from job_live where status = 0 and attempts = 0") == 4


async def test_a_performer_that_cannot_be_stopped_does_not_keep_the_process(effects: str, start: Start):
    crew = start("tests.tasks.probes", "--queues", "interactive", DRAIN_SECONDS="1")
    await _enqueue(Stubborn(hold_s=60))
    await until(lambda: _running(1), what="the job running")
    await asyncio.sleep(0.3)
    began = time.monotonic()
    crew.send_signal(signal.SIGTERM)
    await asyncio.to_thread(crew.wait, 12)
    assert time.monotonic() - began < 8
    assert await guard.value("select count(*) from job_live where status = 0 and worker_id is null") == 1


async def test_a_killed_child_is_replaced_and_its_jobs_run_again_within_a_second(effects: str, start: Start):
    start("tests.tasks.probes", "--queues", "bulk", "--processes", "1", "--threads", "4")
    made = [await _enqueue(Note(key=str(n), pause_s=0.5)) for n in range(4)]
    await until(lambda: _running(4), what="the jobs running")
    pid = await guard.value("select pid from workers")
    first = await guard.value("select max(claim_no) from job_live")
    os.kill(pid, signal.SIGKILL)

    async def again() -> bool:
        return bool(await guard.value("select count(*) = 4 from job_live where claim_no > $1 and status = 1", first))

    assert await until(again, within_s=3, what="running again") < 1.0

    async def ended() -> bool:
        return all(one.finished_at for one in await views.read_many(made))

    await until(ended, what="the end")
    assert await guard.value("select count(*) from effects") == 4


async def test_workers_whose_launcher_was_killed_go(effects: str, start: Start):
    crew = start("tests.tasks.probes", "--queues", "bulk")

    async def there(count: int) -> bool:
        return bool(await guard.value("select count(*) = $1 from workers", count))

    await until(lambda: there(1), what="the worker")
    os.kill(crew.pid, signal.SIGKILL)
    await until(lambda: there(0), what="its leaving")


def test_a_command_line_that_makes_no_sense_is_refused(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        parse(["--queues", "bulk,letters"])
    assert "no such queue: letters" in capsys.readouterr().err
    assert parse(["--queues", "mail, bulk,mail"]).queues == (Queue.MAIL, Queue.BULK)
