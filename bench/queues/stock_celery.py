"""Celery on Redis: prefork, acknowledged late, requeued when its process is lost, one message prefetched a process."""

import asyncio
import time
from collections.abc import Sequence

import celery
import psycopg

from bench.queues import work
from bench.queues.enqueuer import serve
from bench.queues.work import Work

app = celery.Celery("bench", broker=work.REDIS_URL)
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    task_ignore_result=True,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"visibility_timeout": 30},  # the default of an hour would end no run
    worker_cancel_long_running_tasks_on_connection_loss=False,
)

_connection: psycopg.Connection | None = None


@app.task(name="perform")
def perform(letter: str, pause_s: float, key: str) -> None:
    """Do the work; a process of its own runs it, so nothing here is a coroutine."""
    global _connection  # noqa: PLW0603  one a process, as Celery's users keep it
    work.mark(letter)
    if pause_s:
        time.sleep(pause_s)
    if key:
        if _connection is None:
            _connection = psycopg.connect(work.DATABASE_URL, autocommit=True)
        _connection.execute(work.EFFECT.format("%s"), (key,))


class StockCelery:
    """`delay` blocks; from asyncio, many at a time go through threads."""

    async def prepare(self) -> None:
        """Nothing to make."""

    async def open(self) -> None:
        """It connects by itself."""

    async def put(self, job: Work) -> None:
        """Send from the loop, as handlers do."""
        perform.delay(*job)

    async def put_at_once(self, job: Work) -> None:
        """Send from a thread."""
        await asyncio.to_thread(perform.delay, *job)

    async def put_together(self, jobs: Sequence[Work]) -> None:
        """A group is sent one by one over one connection."""
        celery.group(perform.s(*job) for job in jobs).apply_async()

    async def close(self) -> None:
        """Disconnect."""
        app.close()


if __name__ == "__main__":
    serve(StockCelery())
