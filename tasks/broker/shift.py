"""A shift: what one process is working on, and how the ends of its jobs reach PostgreSQL.

It lives on the loop that the performers run on.
"""

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import UUID

import asyncpg
import msgspec
import structlog

from models import events, guard, outbox
from models.errors import LeaseLost
from models.jobs import JobStatus, Queue
from tasks.broker import statements
from tasks.broker.tally import Tally
from wire.notices import Announcer

if TYPE_CHECKING:
    from tasks.job import Claim

UNKNOWN_COMMIT_S: Final = 45.0
"""How long an end is repeated whose COMMIT got no answer: a restart of PostgreSQL takes seconds, a failover half a
minute. Nobody else begins the job meanwhile, so what ran once is recorded and not run again."""
REPEAT_S: Final = 0.2
MOST_TOGETHER: Final = 500
"""Ends written by one statement."""

R = TypeVar("R")
log = structlog.get_logger(__name__)


def _is_lost_connection(error: BaseException) -> bool:
    # asyncpg calls a wrong argument an InterfaceError too; that one is our mistake, and repeating it would hide it.
    return isinstance(error, guard.LOST_CONNECTION) and not isinstance(error, ValueError)


async def persistently(attempt: Callable[[bool], Awaitable[R]], lost: Callable[[], None] | None = None) -> R:
    """Run a fenced transaction until its outcome is known, for at most UNKNOWN_COMMIT_S.

    `attempt` is told whether an earlier try may have been committed. Deadlocks and serialisation failures begin anew.
    `lost` is called each time the connection was.
    """
    deadline = time.monotonic() + UNKNOWN_COMMIT_S
    unknown, rivals = False, 0
    while True:
        try:
            return await attempt(unknown)
        except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError):
            rivals += 1
            if rivals > guard.RETRIES:
                raise
            await asyncio.sleep(0.01 * 2**rivals)
        except guard.LOST_CONNECTION as error:
            if not _is_lost_connection(error) or time.monotonic() > deadline:
                raise
            unknown = True
            if lost is not None:
                lost()
            await asyncio.sleep(REPEAT_S)


async def has_ended(claim: "Claim") -> bool:
    """Whether this claim's end of its job is committed."""
    return bool(await guard.rows(statements.ENDED, [claim.job_id], [claim.claim_no], claim.shift.worker))


class Shift:
    """What this process works on now."""

    def __init__(self, worker_id: UUID, queues: tuple[Queue, ...] = tuple(Queue)) -> None:
        self.worker_id = worker_id
        self.worker = f"{socket.gethostname()}:{os.getpid()}"
        """The process as the history names it."""
        self.loop: asyncio.AbstractEventLoop
        """The loop that performers run on; set when it has begun."""
        self.announcer: Announcer | None = None
        self.bell: Callable[[frozenset[str]], None] | None = None
        self.tally = Tally(queues)
        self.running: set[asyncio.Task[Any]] = set()
        self.database_lost_at = -float("inf")
        """When the feeder last found PostgreSQL away, on the monotonic clock."""
        self.is_ending = False
        """Set before the running jobs are cancelled: a cancellation then means shutdown."""
        self._ends: list[tuple[Claim, str | None, asyncio.Future[None]]] = []
        self._flushing: asyncio.Task[None] | None = None

    def cancel_running(self) -> None:
        """Stop every performer; each gives its job back with its attempt."""
        self.is_ending = True
        for task in list(self.running):
            task.cancel()

    def announce(self, job_ids: list[UUID]) -> None:
        """Tell whoever waits that these jobs have ended."""
        if self.announcer is not None:
            self.announcer.announce(job_ids)

    def ring_later(self, after_s: float, queue: Queue) -> None:
        """Ring for a retry when it is due."""
        if self.bell is not None:
            asyncio.get_running_loop().call_later(after_s, self.bell, frozenset({queue.value}))

    def tell_running(self, claim: "Claim", progress: float | None = None) -> None:
        """Let the caller see that the job has begun, or how far it is: volatile, since its end will be an event."""
        if self.announcer is None or claim.caller_id is None or not is_followed(claim):
            return
        update = events.JobUpdated(id=claim.job_id, kind=claim.kind, status="running", progress=progress)
        self.announcer.tell(events.user(claim.caller_id), update.name, update)

    async def finish(self, claim: "Claim", result: str | None) -> None:
        """End a job that has no effect of its own, together with all that end at this moment.

        Committed on return. Raises LeaseLost when the claim is no longer ours.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ends.append((claim, result, done))
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush())
        await done

    async def _flush(self) -> None:
        # A batch is what gathered while the last one was being committed: no timer, no waiting when there is little.
        while self._ends:
            batch, self._ends = self._ends[:MOST_TOGETHER], self._ends[MOST_TOGETHER:]
            if not await self._write(batch):  # one result that PostgreSQL refuses is its own job's fault only
                for one in batch:
                    await self._write([one])

    async def _write(self, batch: list[tuple["Claim", str | None, asyncio.Future[None]]]) -> bool:
        """End these together and tell who waits. False: they were refused together, and nobody has been told."""
        try:
            ended = await persistently(lambda unknown: self._end_many(batch, unknown=unknown))
        except Exception as error:  # noqa: BLE001  every waiter is told, and records it for its own job
            if len(batch) > 1 and isinstance(error, asyncpg.PostgresError) and not _is_lost_connection(error):
                return False
            for _, _, done in batch:
                if not done.done():
                    done.set_exception(error)
            return True
        for claim, _, done in batch:
            if done.done():
                continue
            if claim.job_id in ended:
                done.set_result(None)
            else:
                done.set_exception(LeaseLost(f"{claim.kind} {claim.job_id}"))
        self.announce(list(ended))
        return True

    async def _end_many(
        self, batch: list[tuple["Claim", str | None, asyncio.Future[None]]], *, unknown: bool
    ) -> set[UUID]:
        ids = [claim.job_id for claim, _, _ in batch]
        numbers, results = [claim.claim_no for claim, _, _ in batch], [result for _, result, _ in batch]
        arguments = (ids, numbers, results, self.worker_id, self.worker)
        followed = [(claim, result) for claim, result, _ in batch if is_followed(claim)]
        if not followed:
            ended = {one["id"] for one in await guard.rows(statements.END_MANY, *arguments)}
        else:
            async with guard.transaction():
                ended = {one["id"] for one in await guard.rows(statements.END_MANY, *arguments)}
                for claim, result in followed:
                    if claim.job_id in ended:
                        await publish_end(
                            claim, JobStatus.SUCCEEDED, None if result is None else msgspec.Raw(result.encode())
                        )
        if unknown and len(ended) < len(ids):
            ended |= {one["id"] for one in await guard.rows(statements.ENDED, ids, numbers, self.worker)}
        return ended


def is_followed(claim: "Claim") -> bool:
    """Whether a caller is told of the job. Mails are nobody's to follow."""
    return claim.caller_id is not None and claim.queue is not Queue.MAIL


async def publish_end(claim: "Claim", status: JobStatus, result: object) -> None:
    """Tell the job's caller of its end, in the transaction that ends it."""
    if claim.caller_id is None or not is_followed(claim):
        return
    update = events.JobUpdated(id=claim.job_id, kind=claim.kind, status=status.name.lower(), result=result)
    await outbox.publish(update, events.user(claim.caller_id))
