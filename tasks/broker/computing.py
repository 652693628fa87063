"""Plain functions of CPU-bound performers: each in a thread of its own, so that the loop and the beat go on.

A thread cannot be stopped from outside, only asked to. One that computes on past its time limit, or past the process'
end, keeps a core for nothing: the process leaves, in order, and its launcher starts a fresh one.
"""

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Any, Final

import structlog
from dramatiq.threading import Interrupt, raise_thread_exception

from tasks.broker.claim import Claim

GRACE_S: Final = 1.0
"""How long a thread that was asked to stop may take to notice: Python asks it between two bytecodes."""

log = structlog.get_logger(__name__)


class Stopped(Interrupt):
    """Raised in the middle of a performer's thread: its time is over."""


async def compute(function: Callable[[Any, Claim], Any], job: Any, claim: Claim) -> Any:
    """Run the function in a thread and return what it returns, or raise what it raises.

    Cancelled (the time limit, or the process leaves), it asks the thread to stop; if that does not, the process ends.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()

    def run() -> None:
        try:
            outcome, failure = function(job, claim), None
        except BaseException as error:  # noqa: BLE001  it is raised where it is awaited
            outcome, failure = None, error
        with contextlib.suppress(RuntimeError):  # the loop is gone: so is the process
            loop.call_soon_threadsafe(_settle, done, outcome, failure)

    thread = threading.Thread(target=copy_context().run, args=(run,), name=f"compute {claim.kind}", daemon=True)
    thread.start()
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        await _stop(thread, done, claim)
        raise


def _settle(done: asyncio.Future[Any], outcome: Any, failure: BaseException | None) -> None:
    if failure is None:
        done.set_result(outcome)
    elif isinstance(failure, StopIteration):  # which a future refuses, and then nobody would ever hear of the end
        done.set_exception(RuntimeError("the performer raised StopIteration"))
    else:
        done.set_exception(failure)


async def _stop(thread: threading.Thread, done: asyncio.Future[Any], claim: Claim) -> None:
    done.add_done_callback(lambda late: late.exception())  # whatever it is, nobody waits for it any more
    if not thread.is_alive():  # its number may be another thread's by now
        return
    assert thread.ident is not None
    claim.stop_waiting()  # first: a thread that waits for us cannot be asked
    raise_thread_exception(thread.ident, Stopped)  # type: ignore[no-untyped-call]
    stopped, _ = await asyncio.wait([done], timeout=GRACE_S)
    if stopped or not thread.is_alive():
        return
    log.critical("job.cannot_be_stopped", kind=claim.kind, job_id=str(claim.job_id))
    os.kill(os.getpid(), signal.SIGTERM)  # the outcome is still recorded; then the launcher replaces us
