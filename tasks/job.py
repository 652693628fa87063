"""Performers and their claims: `@performs(Job)` names the coroutine that carries a job out, `Claim` is its right to.

A performer looks, reaches out, and ends with `claim.complete(verb, …)`: the verb, its follow-up jobs and events and
the end of the job commit together, or not at all because the claim was lost. Whoever returns without completing has
had no effect of its own, and its return value is the result.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Concatenate, Final, ParamSpec, TypeVar
from uuid import UUID

import msgspec

from models import guard
from models.errors import LeaseLost
from models.jobs import POLICIES, Job, JobStatus, Queue, QueuePolicy
from tasks.broker import statements
from tasks.broker.shift import Shift, has_ended, persistently, publish_end

J = TypeVar("J", bound=Job)
P = ParamSpec("P")
R = TypeVar("R")
Outcome = msgspec.Struct | dict[str, Any] | None


class Reschedule(Exception):
    """Not now: a limit, a lock, a confirmation still missing. The job waits `after_s` and no attempt is used."""

    def __init__(self, after_s: float) -> None:
        super().__init__(f"again in {after_s:g} s")
        self.after_s = after_s


class Claim:
    """One worker's right to carry out one job, until it ends or is given to somebody else."""

    def __init__(
        self,
        shift: Shift,
        *,
        job_id: UUID,
        claim_no: int,
        attempt: int,
        lost: int,
        kind: str,
        version: int,
        queue: Queue,
        payload: str,
        caller_id: int | None,
        request_id: str | None,
    ) -> None:
        self.shift = shift
        self.job_id = job_id
        self.claim_no = claim_no
        self.attempt = attempt
        self.lost = lost
        self.kind = kind
        self.version = version
        self.queue = queue
        self.payload = payload
        self.caller_id = caller_id
        self.request_id = request_id
        self.begun_at: float | None = None
        self.is_settled = False
        """Whether the row no longer waits for this claim: ended, rescheduled, given back or lost."""

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
    ) -> None:
        """End the job as failed, with what the verb does about it in the same transaction.

        `error_code` and `detail` are shown to the caller; `data` adds fields such as `decline_code`.
        """
        error = (error_code, detail, None if data is None else msgspec.json.encode(data).decode())
        await self._end(JobStatus.FAILED, error, None if verb is None else lambda: verb(*args))

    async def still_mine(self) -> None:
        """Look once more before an effect outside. Raises LeaseLost. A key at the provider closes what this narrows."""
        if await guard.row(statements.STILL_MINE, *self.fence) is None:
            self.is_settled = True
            raise LeaseLost(repr(self))

    async def _end(
        self,
        status: JobStatus,
        error: tuple[str | None, str | None, str | None],
        verb: Callable[[], Awaitable[R]] | None,
    ) -> R:
        assert not self.is_settled, f"{self} has ended already"
        earlier: list[Any] = []  # what the verb returned in a try whose COMMIT got no answer

        async def once(unknown: bool) -> Any:  # noqa: FBT001  the shape `persistently` calls
            result: Any = None
            try:
                async with guard.transaction():
                    if await guard.row(statements.END, *self.fence, status, *error) is None:
                        raise LeaseLost(repr(self))  # noqa: TRY301  it must roll the transaction back
                    if verb is not None:
                        result = await verb()
                    if result is not None and status is JobStatus.SUCCEEDED:
                        await guard.rows(statements.RESULT, self.job_id, msgspec.json.encode(result).decode())
                    await publish_end(self, status, result if status is JobStatus.SUCCEEDED else None)
                    earlier.append(result)
            except LeaseLost:
                # No row: either that try was committed after all, or the claim was lost meanwhile. The end tells.
                if unknown and earlier and await has_ended(self.job_id):
                    return earlier[-1]
                self.is_settled = True
                raise
            return result

        result: R = await persistently(once)
        self.is_settled = True
        self.shift.announce([self.job_id])
        return result


Perform = Callable[[Any, Claim], Awaitable[Outcome]]


class Performer(msgspec.Struct, frozen=True):
    """Who carries out a kind of job, and what is done about one that can never succeed."""

    job: type[Job]
    perform: Perform
    when_dead: Callable[[Any], Awaitable[object]] | None = None


PERFORMERS: Final[dict[str, Performer]] = {}
"""By the job's kind. Importing a performer's module puts it here."""


def performs(
    job: type[J], *, when_dead: Callable[[J], Awaitable[object]] | None = None
) -> Callable[[Callable[Concatenate[J, Claim, ...], Awaitable[Outcome]]], Callable[[J, Claim], Awaitable[Any]]]:
    """Register the one performer of a job; the coroutine itself is returned, so tests can await it.

    `when_dead` is a verb that runs in the transaction which gives the job up after its last attempt, for states that
    would otherwise wait for ever.
    """

    def register(
        perform: Callable[Concatenate[J, Claim, ...], Awaitable[Outcome]],
    ) -> Callable[[J, Claim], Awaitable[Any]]:
        assert job.kind not in PERFORMERS, f"{job.kind} has a performer already"
        PERFORMERS[job.kind] = Performer(job, perform, when_dead)
        return perform

    return register
