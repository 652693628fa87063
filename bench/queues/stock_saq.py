"""SAQ on Redis: retries on, a time-out for each job, stuck ones swept for every 10 s (by default every 60)."""

from collections.abc import Sequence
from typing import Any

import saq

from bench.queues import work
from bench.queues.enqueuer import NoBulk, serve
from bench.queues.work import THREADS, Work

TIMEOUT_S = 10  # its default
queue = saq.Queue.from_url(work.REDIS_URL)


async def perform(_: dict[str, Any], *, letter: str, pause_s: float, key: str) -> None:
    """Do the work."""
    await work.perform(letter, pause_s, key)


settings = {"queue": queue, "functions": [("perform", perform)], "concurrency": THREADS, "timers": {"sweep": 10}}


class StockSaq:
    """A native coroutine."""

    async def prepare(self) -> None:
        """Nothing to make."""

    async def open(self) -> None:
        """Connect."""
        await queue.connect()

    async def put(self, job: Work) -> None:
        """Enqueue one."""
        await queue.enqueue(saq.Job("perform", kwargs=job._asdict(), timeout=TIMEOUT_S, retries=5))

    put_at_once = put

    async def put_together(self, _: Sequence[Work]) -> None:
        """There is `map`, but it waits for results."""
        raise NoBulk("none that does not wait for results")

    async def close(self) -> None:
        """Disconnect."""
        await queue.disconnect()


if __name__ == "__main__":
    serve(StockSaq())
