"""A worker dies while PostgreSQL still works on its claim: the claim is committed after everyone has mourned."""

import asyncio
import contextvars
import os
import signal

from models import guard
from tests.crashes.conftest import Hire, all_ended, enqueue, keys, outcomes
from tests.crashes.probes import Piece
from tests.tasks.conftest import until

FOUND_S = 16
"""As soon as a lost host's jobs: ten seconds of silence, a look every two, and some patience."""


async def _claims_waiting(least: int) -> bool:
    found = await guard.value("select count(*) from pg_locks where locktype = 'advisory' and not granted")
    return found >= least


async def test_a_claim_that_is_committed_after_its_worker_was_reaped_is_released_all_the_same(tables: str, hire: Hire):
    crew = hire("--queues", "bulk", "--processes", "1", "--threads", "4")
    (doomed,) = await crew.ready()
    keeper = await crew.keeper()
    held, release = asyncio.Event(), asyncio.Event()
    await guard.rows(
        "create function hold_claim() returns trigger language plpgsql as $$ begin "
        "perform pg_advisory_xact_lock_shared(7); return new; end $$"
    )
    await guard.rows(
        "create trigger hold before update on job_live for each row when (new.status = 1) execute function hold_claim()"
    )

    async def hold() -> None:
        async with guard.transaction():
            await guard.rows("select pg_advisory_xact_lock(7)")
            held.set()
            await release.wait()

    holding = asyncio.get_running_loop().create_task(hold(), context=contextvars.Context())
    await held.wait()
    await enqueue(Piece(key="a"))
    await until(lambda: _claims_waiting(1), what="the claim that waits")
    os.kill(doomed, signal.SIGKILL)
    while not (heirs := crew.children() - {doomed, keeper}):  # noqa: ASYNC110  the kernel's news
        await asyncio.sleep(0)
    (heir,) = heirs
    os.kill(heir, signal.SIGSTOP)  # before it claims itself

    async def is_struck_off() -> bool:
        return bool(await guard.value("select 1 from workers where pid = $1 and queues = '{}'", doomed))

    await until(is_struck_off, what="the keeper's release")
    release.set()
    await holding
    await asyncio.sleep(0.3)
    os.kill(heir, signal.SIGCONT)
    await until(all_ended, within_s=FOUND_S, what="the end of the job")
    assert await keys() == {"a": 1}
    assert await outcomes() == {(2, 1): 1}
