"""Carry out a job as a worker would, in the test's own loop: claimed with the real statement, settled by the real wrapper.

Three ways for every performer: it works (`perform_now`), it works twice (`give_back_first=True`, or perform again), it
survives a crash between two steps (`killed_before`).
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch
from uuid import UUID, uuid4

import tasks.worker  # noqa: F401  every performer
from models import guard
from models.jobs import POLICIES, Queue
from models.queue import views
from models.queue.views import JobView
from tasks.broker import statements
from tasks.broker.feeder import DEADLINE_MARGIN_S
from tasks.broker.performing import give_back, perform
from tasks.broker.shift import Shift
from tasks.job import Claim

BY_ID = """
select job_id, ($3::float8[])[1] as limit_s from job_live
 where job_id = $6 and status = 0 and run_at <= now() and queue = any($1::text[])
   and $2::timestamptz[] is not null and $4 > 0 for update
"""
CLAIM_ONE = statements.claiming(BY_ID)


class Killed(BaseException):
    """The process died here: nothing after this ran, and the row still says `running`."""


async def claim_now(job_id: UUID, shift: Shift | None = None) -> Claim:
    """Claim exactly this job for a test's worker. AssertionError when it does not wait, or not yet."""
    shift = shift or Shift(uuid4())
    queues = list(Queue)
    row = await guard.row(
        CLAIM_ONE,
        [queue.value for queue in queues],
        [datetime(2000, 1, 1, tzinfo=UTC)],
        [max(policy.time_limit_s or 0 for policy in POLICIES.values()) + DEADLINE_MARGIN_S],
        1,
        shift.worker_id,
        job_id,
    )
    assert row is not None, f"job {job_id} is not waiting"
    shift.loop = asyncio.get_running_loop()
    return Claim(shift, row)


async def perform_now(job_id: UUID, *, give_back_first: bool = False, even_if_early: bool = False) -> JobView:
    """Carry out a waiting job and return it as its row then stands.

    `give_back_first`: another worker takes it and returns it unbegun. `even_if_early`: its `run_at` is not waited for.
    """
    if even_if_early:
        await guard.rows("update job_live set run_at = now() where job_id = $1 and status = 0", job_id)
    if give_back_first:
        await give_back(await claim_now(job_id))
    await perform(await claim_now(job_id))
    return await view(job_id)


async def perform_killed(job_id: UUID) -> None:
    """Carry out a job that dies (see `killed_before`), as the kernel would leave it: `running`, held by nobody."""
    try:
        await perform(await claim_now(job_id))
    except Killed:
        return
    raise AssertionError("the job was not killed on its way")


async def release_dead(job_id: UUID) -> None:
    """What the launcher does once it has reaped the worker that held this job."""
    worker = await guard.value("select worker_id from job_live where job_id = $1", job_id)
    await guard.rows(statements.RELEASE_REAPED, worker)


@contextmanager
def killed_before(owner: Any, name: str) -> Iterator[None]:
    """While inside, the process dies where `owner.name` would have been called."""

    async def die(*_: object, **__: object) -> None:
        raise Killed(name)

    with patch.object(owner, name, die):
        yield


@contextmanager
def killed_after(owner: Any, name: str) -> Iterator[None]:
    """While inside, the process dies just after `owner.name` has returned, its answer unused."""
    real = getattr(owner, name)

    async def die(*args: Any, **kwargs: Any) -> None:
        await real(*args, **kwargs)
        raise Killed(name)

    with patch.object(owner, name, die):
        yield


async def perform_all(queues: tuple[Queue, ...] = tuple(Queue), *, most: int = 200) -> list[JobView]:
    """Carry out what is due now, and what that causes, in order; returns the jobs performed."""
    performed: list[JobView] = []
    while len(performed) < most:
        row = await guard.row(
            """select job_id from job_live where status = 0 and run_at <= now() and queue = any($1)
                order by run_at, job_id limit 1""",
            [queue.value for queue in queues],
        )
        if row is None:
            return performed
        performed.append(await perform_now(UUID(int=row["job_id"].int)))
    raise AssertionError(f"more than {most} jobs: do they cause one another for ever?")


async def view(job_id: UUID) -> JobView:
    """The job as its row stands."""
    (found,) = await views.read_many([job_id])
    return found
