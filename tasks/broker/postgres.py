"""What Dramatiq sees: a broker whose messages come from the feeder and whose outcomes are already recorded.

Dramatiq keeps what it is best at, worker threads and the loop beside them. Its delays, retries, results and dead
letters are unused: those are rows.
"""

import asyncio
import threading
import time
from typing import Any, Final

import dramatiq
import structlog
from dramatiq.asyncio import get_event_loop_thread
from dramatiq.broker import Consumer, MessageProxy
from dramatiq.middleware import AsyncIO, Middleware, MiddlewareError

import settings
from models import guard
from models.jobs import ALIASES, Queue
from tasks.broker.claim import Claim
from tasks.broker.feeder import Feeder, Post
from tasks.broker.performing import perform
from tasks.broker.shift import Shift
from tasks.job import PERFORMERS
from wire.bell import Bell
from wire.budget import WORKER_POOL
from wire.notices import Announcer
from wire.redis import Names

WAKE_MS: Final = 300
"""How often idle threads of Dramatiq look whether they should end."""
OPEN_PAUSE_S: Final = 0.5

log = structlog.get_logger(__name__)


class PgConsumer(Consumer):
    """Takes messages back. They are handed to Dramatiq's thread by the feeder, so there is never one to fetch."""

    def __init__(self, broker: "PgBroker", timeout_ms: int) -> None:
        self._broker = broker
        self._timeout_s = timeout_ms / 1000

    def __next__(self) -> MessageProxy | None:
        """Wait a while; there is nothing to fetch."""
        self._broker.is_closing.wait(self._timeout_s)
        return None

    def ack(self, message: MessageProxy) -> None:
        """The performer's wrapper has recorded the outcome: the slot is free."""
        self._broker.feeder.release(message.args[0])

    def nack(self, message: MessageProxy) -> None:
        """Dramatiq could not run it. The feeder settles whatever comes back unsettled."""
        self._broker.feeder.release(message.args[0])


class Boot(Middleware):
    """Opens, beside Dramatiq's event loop, what performers need; closes it in the other order."""

    def before_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        """Open the pool, the bell and the announcer on the loop that performers run on."""
        del worker
        assert isinstance(broker, PgBroker)
        thread = get_event_loop_thread()
        if thread is None:
            raise MiddlewareError("Dramatiq's event loop did not start")
        broker.loop = broker.shift.loop = thread.loop
        try:
            thread.run_coroutine(broker.open())
        except Exception as error:
            raise MiddlewareError("the worker could not open its pool") from error

    def after_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        """Begin to claim."""
        assert isinstance(broker, PgBroker)
        broker.worker = worker
        while not broker.is_ready():
            time.sleep(0.002)
        broker.feeder.start()

    def after_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        """Leave the list of workers and close the connections."""
        del worker
        assert isinstance(broker, PgBroker)
        broker.feeder.leave(timeout_s=2)
        thread = get_event_loop_thread()
        if thread is not None:
            thread.run_coroutine(broker.shut())


class PgBroker(dramatiq.Broker):
    """The broker of one worker process. Nothing is enqueued here: `models.outbox.enqueue` does, in a transaction."""

    def __init__(self, post: Post, shift: Shift, told: threading.Event, *, pool_size: int = WORKER_POOL) -> None:
        """`told`: set when the process should end."""
        super().__init__(middleware=[AsyncIO(), Boot()])
        self.queues: dict[str, None] = {}
        self.told = told
        self.post = post
        self.shift = shift
        self.feeder = Feeder(post, shift, self.hand_over, self.unbegun)
        self.is_closing = threading.Event()
        self.loop: asyncio.AbstractEventLoop
        self.worker: dramatiq.Worker
        self._pool_size = pool_size
        for queue in post.queues:
            self.declare_queue(queue.value)
        for kind, performer in PERFORMERS.items():
            # A renamed kind's rows may lie in another queue than its performer's; each queue costs a thread.
            queue = performer.job.queue if performer.job.queue in post.queues else post.queues[0]
            dramatiq.actor(actor_name=kind, queue_name=queue.value, broker=self)(work)

    async def open(self) -> None:
        """Open the pool, waiting for a PostgreSQL that is still away, and hang the bell."""
        guard.outside_transaction()
        while True:
            try:
                await guard.open_pool(min_size=1, max_size=self._pool_size)
            except guard.LOST_CONNECTION as error:
                if self.told.is_set():
                    raise
                log.warning("worker.waits_for_postgres", error=str(error))
                await asyncio.sleep(OPEN_PAUSE_S)
            else:
                break
        names = Names(self.post.redis_prefix)
        bell = Bell(self.post.redis_url, names)
        guard.hang_bell(bell)
        self.shift.bell, self.shift.announcer = bell, Announcer(self.post.redis_url, names)

    async def shut(self) -> None:
        """Close what `open` opened."""
        if isinstance(self.shift.bell, Bell):
            await self.shift.bell.close()
        if self.shift.announcer is not None:
            await self.shift.announcer.close()
        await guard.close_pool()

    def hand_over(self, claim: Claim) -> None:
        """Give a claim to Dramatiq's worker threads. The live object travels: nothing is encoded here."""
        message = dramatiq.Message[Any](
            queue_name=claim.queue.value,
            actor_name=ALIASES.get(claim.kind, claim.kind),
            args=(claim,),
            kwargs={},
            options={},
            message_id=str(claim.job_id),
        )
        self.worker.consumers[claim.queue.value].handle_message(MessageProxy(message))

    def unbegun(self) -> list[Claim]:
        """Take back, from Dramatiq, what no thread has begun."""
        claims: list[Claim] = []
        waiting = self.worker.work_queue
        while not waiting.empty():
            try:
                item = waiting.get_nowait()
            except Exception:  # noqa: BLE001  queue.Empty of whichever queue Dramatiq uses: a thread was quicker
                break
            waiting.task_done()
            claims.append(item.message.args[0])
        return claims

    def is_ready(self) -> bool:
        """Whether every consumer can take messages back."""
        return all(thread.consumer is not None for thread in self.worker.consumers.values())

    # Dramatiq's interface.

    def declare_queue(self, queue_name: str) -> None:
        """Make a consumer for the queue. Delay queues are never declared, so they have no threads."""
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues[queue_name] = None
            self.emit_after("declare_queue", queue_name)

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 30000) -> Consumer:
        """Prefetching is the feeder's business: it knows what is free."""
        del queue_name, prefetch
        return PgConsumer(self, timeout)

    def enqueue(self, message: dramatiq.Message[Any], *, delay: int | None = None) -> dramatiq.Message[Any]:
        """Refuse for good: a job that is no row would be lost. Dramatiq's interface has the call; nobody may use it."""
        raise NotImplementedError(f"{message.actor_name}: jobs are enqueued by models.outbox.enqueue")


async def work(claim: Claim) -> None:
    """Every actor's function: the wrapper knows the performer."""
    await perform(claim)


def post_from(config: settings.Settings, queues: tuple[Any, ...], threads: int) -> Post:
    """A worker's post, from the settings."""
    return Post(
        database_url=config.database.direct_url,
        redis_url=config.redis.url,
        redis_prefix=config.redis.prefix,
        queues=queues,
        threads=threads,
        release=config.release,
        per_second={Queue.MAIL: config.post.per_second},
    )
