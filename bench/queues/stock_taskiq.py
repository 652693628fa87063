"""taskiq on a Redis stream, the most durable of its Redis brokers: acknowledged when executed, reclaimed when idle."""

from collections.abc import Sequence

from taskiq_redis import RedisStreamBroker

from bench.queues import work
from bench.queues.enqueuer import NoBulk, serve
from bench.queues.work import THREADS, Work

broker = RedisStreamBroker(
    url=work.REDIS_URL,
    consumer_id="0",  # what came before the first worker counts too
    idle_timeout=15_000,  # by default ten minutes: no run would see a reclaim
    unacknowledged_lock_timeout=5,  # by default none: a killed holder would keep it for ever
    xread_count=THREADS,  # by default 100, of which the last would wait longer than the idle time-out
)


@broker.task(task_name="perform")
async def perform(letter: str, pause_s: float, key: str) -> None:
    """Do the work."""
    await work.perform(letter, pause_s, key)


class StockTaskiq:
    """A native coroutine."""

    async def prepare(self) -> None:
        """`open` makes the group."""

    async def open(self) -> None:
        """Connect, and make the consumer group."""
        await broker.startup()

    async def put(self, job: Work) -> None:
        """Enqueue one."""
        await perform.kiq(*job)

    put_at_once = put

    async def put_together(self, _: Sequence[Work]) -> None:
        """It has none."""
        raise NoBulk("none")

    async def close(self) -> None:
        """Disconnect."""
        await broker.shutdown()


if __name__ == "__main__":
    serve(StockTaskiq())
