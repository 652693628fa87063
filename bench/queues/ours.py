"""Ours: the row commits with its cause, the effect with its end. `python -m bench.queues.ours [--queues bulk …]`."""

import asyncio
import sys
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import settings
from bench.queues.enqueuer import NoBulk, serve
from bench.queues.work import EFFECT, POOL, Work, mark
from models import guard, outbox
from models.jobs import Job, Queue
from tasks.job import Claim, performs
from tasks.launch import launch
from wire.bell import Bell
from wire.redis import Names


class Perform(Job, frozen=True):
    """Mark, pause, and write an effect if it has a key."""

    kind = "bench.perform"
    queue = Queue.BULK
    letter: str
    pause_s: float = 0.0
    key: str = ""


async def write_effect(key: str) -> None:
    """The verb: it commits together with the end of its job."""
    guard.in_transaction()
    await guard.rows(EFFECT.format("$1"), key)


@performs(Perform)
async def perform(job: Perform, claim: Claim) -> None:
    """Do the work."""
    mark(job.letter)
    if job.pause_s:
        await asyncio.sleep(job.pause_s)
    if job.key:
        await claim.complete(write_effect, job.key)


def _job(work: Work) -> Perform:
    return Perform(letter=work.letter, pause_s=work.pause_s, key=work.key)


class Ours:
    """The outbox, as a handler uses it: one transaction a job, the bell after its commit."""

    def __init__(self) -> None:
        config = settings.load()
        self._bell = Bell(config.redis.url, Names(config.redis.prefix))

    async def prepare(self) -> None:
        """Migrated by the harness."""

    async def open(self) -> None:
        """Open the pool and hang the bell."""
        await guard.open_pool(max_size=POOL)
        guard.hang_bell(self._bell)

    async def put(self, job: Work) -> None:
        """Commit one job."""
        await guard.commit(outbox.enqueue, _job(job))

    put_at_once = put

    async def put_together(self, jobs: Sequence[Work]) -> None:
        """Commit many in one transaction. Raises NoBulk where the outbox cannot do it yet."""
        many: Any = getattr(outbox, "enqueue_many", None)
        if many is None:
            raise NoBulk("outbox.enqueue_many is not there yet")
        made: list[UUID] = await guard.commit(many, [_job(one) for one in jobs])
        assert len(made) == len(jobs)

    async def close(self) -> None:
        """Close the pool."""
        await self._bell.close()
        await guard.close_pool()


if __name__ == "__main__":
    if sys.argv[1:]:
        sys.exit(launch(sys.argv[1:]))
    serve(Ours())
