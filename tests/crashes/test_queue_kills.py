"""Workers are killed and Redis forgets everything, at random, while jobs run: nothing is lost, nothing happens twice.

The seed is printed; QUEUE_KILLS_SEED repeats a run.
"""

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from models import guard, outbox
from sandbox.redis import Redis
from tests.tasks.conftest import until
from tests.tasks.probes import Note
from wire.bell import Bell
from wire.redis import Names

JOBS = 200
PAUSE_S = (0.2, 0.5)
KILLS = 8
LOSSES_OF_REDIS = 2


@contextlib.asynccontextmanager
async def _workers(**environment: str) -> AsyncIterator[None]:
    crews = [
        subprocess.Popen(  # noqa: ASYNC220  our own program
            [sys.executable, "-m", "tests.tasks.probes", "--queues", "bulk", "--processes", "2", "--threads", "4"],
            env={**os.environ, **environment},
            start_new_session=True,
        )
    ]
    try:
        yield
    finally:
        for crew in crews:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(crew.pid, signal.SIGKILL)
            crew.wait()


async def _kill_one(chance: random.Random) -> int:
    """Kill a worker that lives and holds jobs, waiting for one if need be; returns 1, so that kills can be counted."""
    for _ in range(1000):
        pids = await guard.rows(
            "select pid from workers w where exists (select 1 from job_live where worker_id = w.id) order by pid"
        )
        if pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(chance.choice(pids)["pid"], signal.SIGKILL)
                return 1
        await asyncio.sleep(0.01)
    raise AssertionError("no worker to kill: did the jobs end before the faults?")


async def test_kills_lose_nothing_and_double_nothing(effects: str):
    seed = int(os.environ.get("QUEUE_KILLS_SEED") or random.randrange(10**6))
    print(f"QUEUE_KILLS_SEED={seed}")  # noqa: T201  pytest shows it when the test fails
    chance = random.Random(seed)  # repeatable on purpose
    with (
        tempfile.TemporaryDirectory() as directory,
        Redis(Path(directory) / "redis", append_only=False) as server,
    ):
        bell = Bell(server.url, Names("mgl:test:"))
        guard.hang_bell(bell)
        faults = ["kill"] * KILLS + ["redis"] * LOSSES_OF_REDIS
        chance.shuffle(faults)
        landed = 0
        async with _workers(REDIS_URL=server.url):
            for n in range(JOBS):
                await guard.commit(outbox.enqueue, Note(key=str(n), pause_s=chance.uniform(*PAUSE_S)))
            for fault in faults:
                await asyncio.sleep(chance.uniform(0.1, 0.5))
                if fault == "redis":
                    await asyncio.to_thread(server.kill_with_total_loss)
                    continue
                landed += await _kill_one(chance)
            assert landed == KILLS
            await until(_all_ended, within_s=60, what="the end of every job")
        await bell.close()
    assert await guard.value("select count(*) from effects") == JOBS
    assert await guard.value("select count(distinct key) from effects") == JOBS
    assert await guard.value("select count(*) from jobs where status <> 2") == 0
    assert await guard.value("select count(*) from jobs where attempts <> 1") == 0


async def _all_ended() -> bool:
    return bool(await guard.value("select not exists (select 1 from job_live)"))
