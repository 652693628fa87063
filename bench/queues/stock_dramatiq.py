"""Stock Dramatiq on Redis: default middleware (retries among it), AsyncIO for coroutines, as its guide sets it up."""

import asyncio
from collections.abc import Sequence

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import AsyncIO

from bench.queues import work
from bench.queues.enqueuer import serve
from bench.queues.work import Work

broker = RedisBroker(url=work.REDIS_URL)
broker.add_middleware(AsyncIO())
dramatiq.set_broker(broker)


@dramatiq.actor(max_retries=20, min_backoff=100)
async def perform(letter: str, pause_s: float, key: str) -> None:
    """Do the work."""
    await work.perform(letter, pause_s, key)


class StockDramatiq:
    """`send` blocks; from asyncio, many at a time go through threads."""

    async def prepare(self) -> None:
        """Nothing to make."""

    async def open(self) -> None:
        """It connects by itself."""

    async def put(self, job: Work) -> None:
        """Send from the loop, as handlers do."""
        perform.send(*job)

    async def put_at_once(self, job: Work) -> None:
        """Send from a thread."""
        await asyncio.to_thread(perform.send, *job)

    async def put_together(self, jobs: Sequence[Work]) -> None:
        """A group is sent one by one, but it is what there is."""
        dramatiq.group([perform.message(*job) for job in jobs]).run()

    async def close(self) -> None:
        """Disconnect."""
        broker.close()


if __name__ == "__main__":
    serve(StockDramatiq())
