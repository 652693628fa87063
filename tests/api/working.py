"""A worker in the test's own loop: what the API enqueues for Stripe is carried out, and its end announced."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import UUID, uuid4

import settings
from models import guard
from tasks.broker.performing import perform
from tasks.broker.shift import Shift
from tests.performing import claim_now
from wire.notices import Announcer
from wire.redis import Names

DUE = "select job_id from job_live where status = 0 and queue = $1 and run_at <= now() order by run_at limit 1"


@asynccontextmanager
async def a_worker(queue: str = "payments") -> AsyncIterator[None]:
    """While inside, jobs of a queue are worked."""
    config = settings.load()
    announcer = Announcer(config.redis.url, Names(config.redis.prefix))
    shift = Shift(uuid4())
    shift.announcer = announcer

    async def work() -> None:
        while True:
            due = await guard.value(DUE, queue)
            if due is None:
                await asyncio.sleep(0.005)
            else:
                await perform(await claim_now(UUID(int=due.int), shift))

    working = asyncio.create_task(work())
    try:
        yield
    finally:
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working
        await announcer.close()
