"""Workers that are neither dead nor alive: stopped by the kernel, in a transaction, over their limit. Nobody waits."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Callable

from models import guard
from tests.crashes.conftest import Hire, all_ended, enqueue, keys, outcomes, running
from tests.crashes.probes import Deaf, Endless, Piece
from tests.tasks.conftest import until

BULK = ("--queues", "bulk", "--threads", "4")
NOTIFY = ("--queues", "notify", "--threads", "4")
FOUND_S = 18
"""Ten seconds of silence, a look every two, and some patience."""
HELD = 4

Begun = Callable[[], Counter[str]]


async def test_of_two_live_performers_on_one_row_the_second_counts_and_the_first_finds_its_lease_lost(
    tables: str, hire: Hire, begun: Begun
):
    first = hire(*BULK)
    (frozen,) = await first.ready()
    names = [f"held-{n}" for n in range(HELD)]
    for name in names:
        await enqueue(Piece(key=name, pause_s=1.5))
    await until(lambda: running(HELD), what="all running")
    await asyncio.sleep(0.3)  # claimed is not begun yet
    os.kill(frozen, signal.SIGSTOP)
    second = hire(*BULK)
    await second.ready()
    for n in range(20):
        await enqueue(Piece(key=f"other-{n}", pause_s=0.05))
    await until(all_ended, within_s=FOUND_S, what="the end of every job by the second worker")
    assert begun() == Counter({**dict.fromkeys(names, 2), **{f"other-{n}": 1 for n in range(20)}})
    os.kill(frozen, signal.SIGCONT)

    async def all_lost() -> bool:
        return first.said("job.lease_lost") == HELD

    await until(all_lost, what="the first worker's finding out")
    for n in range(20):
        await enqueue(Piece(key=f"after-{n}", pause_s=0.05))
    second.process.terminate()
    await until(all_ended, what="the first worker's going on")
    wanted = [*names, *(f"other-{n}" for n in range(20)), *(f"after-{n}" for n in range(20))]
    assert await keys() == Counter(wanted)
    assert await outcomes() == {(2, 1): len(wanted)}
    assert await guard.value("select count(*) from events") == len(wanted)
    assert first.children() >= {frozen}


async def test_a_worker_stopped_inside_its_last_transaction_holds_nobody_up(tables: str, hire: Hire, begun: Begun):
    first = hire(*NOTIFY)
    (frozen,) = await first.ready()
    await enqueue(Endless(key="a"))

    async def holds() -> bool:
        return begun()["a:holds"] == 1

    await until(holds, what="the open transaction")
    os.kill(frozen, signal.SIGSTOP)
    second = hire("--queues", "notify,bulk", "--threads", "4")
    await second.ready()
    for n in range(20):
        await enqueue(Piece(key=f"other-{n}"))

    async def others() -> bool:
        return sum((await keys()).values()) == 20

    assert await until(others, what="the others") < 2
    await until(all_ended, within_s=2 * FOUND_S, what="the end of what was held")
    os.kill(frozen, signal.SIGCONT)

    async def is_over() -> bool:
        return first.said("job.lease_lost") + first.said("job.time_limit") + first.said("job.crashed") >= 1

    await until(is_over, what="the first worker's waking up")
    await asyncio.sleep(1)
    assert await keys() == Counter(["a", *(f"other-{n}" for n in range(20))])
    assert await outcomes() == {(2, 1): 21}
    assert begun()["a"] == 2


async def test_a_transaction_that_never_ends_is_over_at_the_time_limit_and_costs_one_attempt(
    tables: str, hire: Hire, begun: Begun
):
    crew = hire("--queues", "notify,bulk", "--threads", "4")
    await crew.ready()
    await enqueue(Endless(key="a"))

    async def holds() -> bool:
        return begun()["a:holds"] == 1

    await until(holds, what="the open transaction")
    for n in range(20):
        await enqueue(Piece(key=f"other-{n}", how="follows"))

    async def others() -> bool:
        return sum((await keys()).values()) == 40

    assert await until(others, what="the others") < 2
    await until(all_ended, within_s=15, what="the end of what was held")
    assert (await keys())["a"] == 1
    assert await outcomes() == {(2, 1): 40, (2, 2): 1}
    assert crew.said("job.time_limit") == 1


async def test_a_performer_that_swallows_its_time_limit_holds_only_its_own_thread(
    tables: str, hire: Hire, begun: Begun
):
    crew = hire("--queues", "notify,bulk", "--threads", "2")
    await crew.ready()
    await enqueue(Deaf(key="deaf", hold_s=8))
    await until(lambda: running(1), what="the deaf one")
    for n in range(20):
        await enqueue(Piece(key=f"other-{n}", pause_s=0.05))

    async def others() -> bool:
        return sum((await keys()).values()) == 20

    assert await until(others, what="the others") < 3
    await until(all_ended, within_s=15, what="the deaf one's end")
    assert begun()["deaf:swallowed"] == 1
    # It had its effect in time to be recorded: late, but once, and at one attempt.
    assert (await keys())["deaf"] == 1
    assert begun()["deaf"] == 1
    assert await outcomes() == {(2, 1): 21}
