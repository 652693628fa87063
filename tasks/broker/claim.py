"""A claim: one worker's right to carry out one job. Whatever a performer says of its job goes through it, fenced."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any, Final, ParamSpec, TypeVar
from uuid import UUID

import msgspec

from models import guard
from models.errors import LeaseLost
from models.jobs import POLICIES, JobStatus, Queue, QueuePolicy
from tasks.broker import statements
from tasks.broker.shift import UNKNOWN_COMMIT_S, Shift, has_ended, persistently, publish_end

PROGRESS_S: Final = 1.0
"""At most one tick in this time: progress is for eyes."""
RECORD_S: Final = 5.0
"""How much longer than its time limit a job may take to record what it has done."""
STUCK_S: Final = 30.0
"""How far past its time a performer that ignores it makes the watchdog end the process."""

P = ParamSpec("P")
R = TypeVar("R")
Failure = tuple[str | None, str | None, str | None]


class Reschedule(Exception):
    """Not now: a limit, a lock, a confirmation still missing. The job waits `after_s` and no attempt is used.

    `bookmark` is where the next claim goes on: it finds it in `claim.bookmark`.
    """

    def __init__(self, after_s: float, *, bookmark: Any = None) -> None:
        super().__init__(f"again in {after_s:g} s")
        self.after_s = after_s
        self.bookmark = bookmark


class Claim:
    """One worker's right to carry out one job, until it ends or is given to somebody else."""

    def __init__(self, shift: Shift, row: Mapping[str, Any]) -> None:
        """`row`: what the claiming statement returned."""
        self.shift = shift
        self.job_id = UUID(int=row["job_id"].int)
        self.claim_no: int = row["claim_no"]
        self.attempt: int = row["attempts"]
        self.lost: int = row["lost"]
        self.kind: str = row["kind"]
        self.version: int = row["version"]
        self.queue = Queue(row["queue"])
        self.payload: str = row["payload"]
        self.caller_id: int | None = row["caller_id"]
        self.request_id: str | None = row["request_id"]
        self.created_at: datetime = row["created_at"]
        self._due_s: float = row["waited_s"]
        self._claimed_at = time.monotonic()
        self._bookmark: str | None = row["bookmark"]
        self.task: asyncio.Task[Any] | None = None
        self.begun_at: float | None = None
        self.stuck_at: float | None = None
        """The moment, on the monotonic clock, at which the watchdog ends the process; None: never."""
        self.limit: asyncio.Timeout | None = None
        """The time limit, while the performer runs under it."""
        self.is_settled = False
        """Whether the row no longer waits for this claim: ended, rescheduled, given back or lost."""
        self._told_at = 0.0
        self._waited: Future[Any] | None = None
        self._is_ending = False

    def __repr__(self) -> str:
        return f"<Claim {self.kind} {self.job_id} no. {self.claim_no}>"

    @property
    def worker_id(self) -> UUID:
        """The process that holds the claim."""
        return self.shift.worker_id

    @property
    def policy(self) -> QueuePolicy:
        """How long the job may take and how often it is tried."""
        return POLICIES[self.queue]

    @property
    def fence(self) -> tuple[UUID, int, UUID]:
        """What names this claim in every statement about it."""
        return self.job_id, self.claim_no, self.worker_id

    @property
    def waited_s(self) -> float:
        """Seconds from due to begun: by PostgreSQL's clock until it was claimed, by ours from then on."""
        return self._due_s + (self.begun_at or self._claimed_at) - self._claimed_at

    @property
    def age_s(self) -> float:
        """Seconds since the job was made, by PostgreSQL's clock then and ours now: for alarms only."""
        return (datetime.now(UTC) - self.created_at).total_seconds()

    @property
    def bookmark(self) -> Any:
        """Where an earlier slice of this job got to, as it said; None at the beginning."""
        return None if self._bookmark is None else msgspec.json.decode(self._bookmark)

    def begin(self) -> None:
        """The job runs from now on: its time is counted."""
        self.task = asyncio.current_task()
        self.begun_at = time.monotonic()
        limit_s = self.policy.time_limit_s
        self.stuck_at = None if limit_s is None else self.begun_at + limit_s + STUCK_S

    def extend(self, by_s: float) -> None:
        """What was to be done is being recorded, which has a time of its own: to stop now would be to do it twice."""
        if self.limit is not None and not self.limit.expired():
            ends_at = self.limit.when()
            if ends_at is not None:
                self.limit.reschedule(max(ends_at, asyncio.get_running_loop().time() + by_s))
        if self.stuck_at is not None:
            self.stuck_at = max(self.stuck_at, time.monotonic() + by_s + STUCK_S)

    def wait_for_database(self) -> None:
        """PostgreSQL is away: that is not the job's fault, and its end is repeated until it is known."""
        self.extend(UNKNOWN_COMMIT_S)

    async def complete(self, verb: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the verb and end the job as succeeded, in one transaction; what the verb returns is the job's result.

        Returns it once committed. Raises LeaseLost, with everything rolled back, when the job is no longer ours; what
        the verb raises rolls everything back too. The verb runs anew after a deadlock and may run anew after an
        unanswered COMMIT, but takes effect once.
        """
        return await self._end(JobStatus.SUCCEEDED, (None, None, None), lambda: verb(*args, **kwargs))

    async def fail(
        self,
        error_code: str,
        detail: str,
        verb: Callable[..., Awaitable[object]] | None = None,
        *args: Any,
        data: dict[str, Any] | None = None,
        is_dead: bool = False,
    ) -> None:
        """End the job as failed, with what the verb does about it in the same transaction.

        `error_code` and `detail` are shown to the caller; `data` adds fields such as `decline_code`. `is_dead`: nobody
        said no, it was tried as often as it may be, so an admin may have it tried again.
        """
        detail = detail.replace("\0", "")  # a provider's words may hold what PostgreSQL does not
        error = (error_code, detail, None if data is None else msgspec.json.encode(data).decode())
        await self._end(JobStatus.FAILED, error, None if verb is None else lambda: verb(*args), is_dead=is_dead)

    async def still_mine(self) -> None:
        """Look once more before an effect outside. Raises LeaseLost. A key at the provider closes what this narrows."""
        if await guard.row(statements.STILL_MINE, *self.fence) is None:
            self.is_settled = True
            raise LeaseLost(repr(self))

    async def progress(self, share: float, *, bookmark: Any = None) -> None:
        """Say how far the job is (0 to 1), and where another attempt would go on. Raises LeaseLost.

        Ticks within a second of the last one are dropped, unless they bring a bookmark.
        """
        assert 0 <= share <= 1, share
        now = time.monotonic()
        if bookmark is None and now - self._told_at < PROGRESS_S:
            return
        self._told_at = now
        kept = None if bookmark is None else msgspec.json.encode(bookmark).decode()
        if await guard.row(statements.PROGRESS, *self.fence, share, kept) is None:
            self.is_settled = True
            raise LeaseLost(repr(self))
        self.shift.tell_running(self, share)

    def wait(self, running: Coroutine[Any, Any, R]) -> R:
        """From a plain function's thread: run a coroutine on the loop and return what it does."""
        waited: Future[R] = asyncio.run_coroutine_threadsafe(running, self.shift.loop)
        self._waited = waited
        return waited.result()

    def stop_waiting(self) -> None:
        """End what a plain function's thread waits for: while it waits it does not notice that it was asked to stop."""
        if self._waited is not None and not self._is_ending:  # an end is short, and would have to be done again
            self._waited.cancel()

    async def _end(
        self,
        status: JobStatus,
        error: Failure,
        verb: Callable[[], Awaitable[R]] | None,
        *,
        is_dead: bool = False,
    ) -> R:
        assert not self.is_settled, f"{self} has ended already"
        self.extend(RECORD_S)
        earlier: list[Any] = []  # what the verb returned in a try whose COMMIT got no answer

        async def once(unknown: bool) -> Any:  # noqa: FBT001  the shape `persistently` calls
            result: Any = None
            try:
                async with guard.transaction():
                    ended = await guard.row(statements.END, *self.fence, status, *error, self.shift.worker, is_dead)
                    if ended is None:
                        raise LeaseLost(repr(self))  # noqa: TRY301  it must roll the transaction back
                    if verb is not None:
                        result = await verb()
                    if result is not None and status is JobStatus.SUCCEEDED:
                        await guard.rows(statements.RESULT, self.job_id, msgspec.json.encode(result).decode())
                    await publish_end(self, status, result if status is JobStatus.SUCCEEDED else None)
                    earlier.append(result)
            except LeaseLost:
                # No row: either that try was committed after all, or the claim was lost meanwhile. The end tells.
                if unknown and earlier and await has_ended(self):
                    return earlier[-1]
                self.is_settled = True
                raise
            return result

        self._is_ending = True
        try:
            result: R = await persistently(once, self.wait_for_database)
        finally:
            self._is_ending = False
        self.is_settled = True
        self.shift.announce([self.job_id])
        return result
