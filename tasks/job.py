"""Performers and their claims: `@performs(Job)` names what carries a job out, `Claim` is its right to.

A performer looks, reaches out, and ends with `claim.complete(verb, …)`: the verb, its follow-up jobs and events and
the end of the job commit together, or not at all because the claim was lost. Whoever returns without completing has
had no effect of its own, and its return value is the result.
"""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Concatenate, Final, TypeVar

import msgspec

from models.jobs import CPU_BOUND, Job
from tasks.broker.claim import Claim, Reschedule

__all__ = ["PERFORMERS", "Claim", "Performer", "Reschedule", "performs"]

J = TypeVar("J", bound=Job)
R = TypeVar("R")
Outcome = msgspec.Struct | dict[str, Any] | None


class Performer(msgspec.Struct, frozen=True):
    """Who carries out a kind of job, and what is done about one that can never succeed."""

    job: type[Job]
    perform: Callable[[Any, Claim], Any]
    when_dead: Callable[[Any], Awaitable[object]] | None = None

    @property
    def computes(self) -> bool:
        """Whether it is a plain function, run in a thread beside the loop."""
        return self.job.queue in CPU_BOUND


PERFORMERS: Final[dict[str, Performer]] = {}
"""By the job's kind. Importing a performer's module puts it here."""


def performs(
    job: type[J], *, when_dead: Callable[[J], Awaitable[object]] | None = None
) -> Callable[[Callable[Concatenate[J, Claim, ...], R]], Callable[[J, Claim], R]]:
    """Register the one performer of a job; the function itself is returned, so tests can call it.

    A coroutine function, or for a CPU-bound queue a plain one, which reaches the loop by `claim.wait(…)`.
    `when_dead` is a verb that runs in the transaction which gives the job up after its last attempt, for states that
    would otherwise wait for ever; such a job cannot be cancelled either.
    """

    def register(perform: Callable[Concatenate[J, Claim, ...], R]) -> Callable[[J, Claim], R]:
        assert job.kind not in PERFORMERS, f"{job.kind} has a performer already"
        assert inspect.iscoroutinefunction(perform) != (job.queue in CPU_BOUND), (
            f"{job.kind}: {job.queue} wants {'a plain function' if job.queue in CPU_BOUND else 'a coroutine function'}"
        )
        assert when_dead is None or not job.is_cancellable, f"{job.kind}: when cancelled, who would tell its row?"
        PERFORMERS[job.kind] = Performer(job, perform, when_dead)
        return perform

    return register
