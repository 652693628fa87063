"""One process of a crew dies, in each of the ways there are: the others go on, and what it held is taken up."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Callable

from models import guard
from models.jobs import JobStatus
from tests.crashes.conftest import Hire, all_ended, enqueue, keys, outcomes, running
from tests.crashes.probes import Piece, Poison
from tests.crashes.stage import age_s
from tests.tasks.conftest import until

BULK = ("--queues", "bulk")
ALLOWED_LOSSES = 5

Begun = Callable[[], Counter[str]]


async def test_a_job_that_kills_its_worker_each_time_is_given_up_and_its_neighbours_keep_their_attempts(
    tables: str, hire: Hire, begun: Begun
):
    crew = hire(*BULK, "--processes", "2", "--threads", "4")
    await crew.ready(2)
    poison = await enqueue(Poison(key="poison"))
    good = [f"good-{n}" for n in range(60)]
    for name in good:
        await enqueue(Piece(key=name, pause_s=0.2))

    async def is_dead() -> bool:
        # Lost several times, a job waits up to a minute for its next turn; here that turn is now.
        await guard.rows("update job_live set run_at = now() where job_id = $1 and status = 0", poison)
        return bool(await guard.value("select finished_at is not null from jobs where id = $1", poison))

    await until(is_dead, within_s=20, what="the poison's end")
    await until(all_ended, within_s=70, what="the end of the others")
    assert begun()["poison"] == ALLOWED_LOSSES
    dead = await guard.only("select status, error_code from jobs where id = $1", poison)
    assert (dead["error_code"], dead["status"] == JobStatus.SUCCEEDED) == ("attempts_exhausted", False)
    assert await keys() == Counter(good)
    assert (
        await guard.value("select count(*) from jobs where kind = 'probe.crash_piece' and (status, attempts) <> (2, 1)")
        == 0
    )
    assert crew.said("crew.child_died") == ALLOWED_LOSSES


async def test_a_killed_keeper_is_replaced_and_still_releases_at_once(tables: str, hire: Hire):
    crew = hire(*BULK, "--processes", "1", "--threads", "4")
    (worker,) = await crew.ready()
    for round_ in range(2):
        keeper = await crew.keeper()
        os.kill(keeper, signal.SIGKILL)

        async def is_replaced(gone: int = keeper) -> bool:
            pid = await crew.keeper()
            return pid != gone and age_s(pid) > 0.3

        await until(is_replaced, what="another keeper")
        for n in range(4):
            await enqueue(Piece(key=f"{round_}-{n}", pause_s=0.6))
        await until(lambda: running(4), what="the jobs running")
        os.kill(worker, signal.SIGKILL)

        async def released() -> bool:
            return bool(await guard.value("select count(*) = 4 from job_live where lost = 1"))

        # Released, not running again: a worker that lived so shortly is replaced a moment later.
        assert await until(released, within_s=5, what="their release") < 0.5
        await until(all_ended, what="the end")
        (worker,) = await crew.ready()
    assert await keys() == Counter(f"{round_}-{n}" for round_ in range(2) for n in range(4))
    assert await outcomes() == {(2, 1): 8}


async def test_a_worker_and_its_keeper_killed_together_lose_nothing(tables: str, hire: Hire):
    crew = hire(*BULK, "--processes", "1", "--threads", "4")
    (worker,) = await crew.ready()
    for n in range(4):
        await enqueue(Piece(key=f"n-{n}", pause_s=0.6))
    await until(lambda: running(4), what="the jobs running")
    keeper = await crew.keeper()
    os.kill(keeper, signal.SIGKILL)
    os.kill(worker, signal.SIGKILL)
    # The dead worker's id waits in the pipe for the next keeper; at the worst the sweep finds it silent.
    await until(all_ended, within_s=20, what="the end")
    assert await keys() == Counter(f"n-{n}" for n in range(4))
    assert await outcomes() == {(2, 1): 4}


async def test_when_the_launcher_alone_is_killed_its_children_leave_and_others_take_their_jobs(
    tables: str, hire: Hire, begun: Begun
):
    other = hire(*BULK, "--threads", "4")
    doomed = hire(*BULK, "--processes", "2", "--threads", "4", DRAIN_SECONDS="1")
    await other.ready()
    await doomed.ready(2)
    orphans = doomed.children()
    assert len(orphans) == 3
    long = [f"long-{n}" for n in range(12)]
    for name in long:
        await enqueue(Piece(key=name, pause_s=3))
    await until(lambda: running(12), what="all running")
    for n in range(20):
        await enqueue(Piece(key=f"short-{n}", pause_s=0.05))
    os.kill(doomed.pid, signal.SIGKILL)
    began = time.monotonic()

    async def have_left() -> bool:
        return not any(_lives(pid) for pid in orphans)

    await until(have_left, within_s=8, what="the children's leaving")
    assert time.monotonic() - began < 6
    await until(all_ended, within_s=20, what="the end of every job")
    wanted = [*long, *(f"short-{n}" for n in range(20))]
    assert await keys() == Counter(wanted)
    assert await outcomes() == {(2, 1): 32}
    assert await guard.value("select count(*) from workers") == 1


def _lives(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:  # noqa: PTH123  one line of the kernel's
            return file.read().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


async def test_sigterm_twice_to_the_group_is_out_in_time_and_gives_back_at_once_what_had_not_begun(
    tables: str, hire: Hire, begun: Begun
):
    crew = hire(*BULK, "--processes", "2", "--threads", "4", DRAIN_SECONDS="1")
    await crew.ready(2)
    for n in range(400):  # instant ones, so that the workers learn to take more than they have threads for
        await enqueue(Piece(key=f"quick-{n}"))
    await until(all_ended, within_s=20, what="the quick ones")
    async with guard.transaction():
        from models import outbox

        for n in range(60):
            await outbox.enqueue(Piece(key=f"long-{n}", pause_s=20))

    async def eight_begun() -> bool:
        return sum(n for key, n in begun().items() if key.startswith("long-")) == 8

    await until(eight_begun, what="eight at work")
    taken = await guard.value("select count(*) from job_live where status = 1")
    began = time.monotonic()
    os.killpg(crew.pid, signal.SIGTERM)
    await asyncio.sleep(0.05)
    os.killpg(crew.pid, signal.SIGTERM)
    given_back_s = await until(lambda: running(8), within_s=2, what="the giving back")
    assert given_back_s < 0.9, (given_back_s, taken)  # the running ones are still at it
    code = await asyncio.to_thread(crew.process.wait, 10)
    assert (code, time.monotonic() - began < 4) == (0, True)
    rows = await guard.rows("select status, attempts, lost, worker_id from job_live")
    assert [tuple(row.values()) for row in rows] == [(0, 0, 0, None)] * 60
    assert sum(n for key, n in begun().items() if key.startswith("long-")) == 8
    assert await guard.value("select count(*) from workers") == 0
