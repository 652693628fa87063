"""The watchdog: sees, from the feeder's thread, that the performers' loop stands still or that one ignores its time.

It names the culprit, with the line it stands at. The feeder then ends the process in order, and its launcher starts a
fresh one: nothing else can take a thread back from code that does not give it.
"""

import asyncio
import sys
import threading
import time
import traceback
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from tasks.broker.claim import Claim

LOOP_STILL_S: Final = 10.0
"""A loop that did not run a callback for so long is held by somebody. Every job in the process waits for it."""
DEEPEST: Final = 8


class Stuck(msgspec.Struct, frozen=True):
    """What holds the process up, and why we say so; `claim` is None when no performer is seen to do it."""

    claim: Claim | None
    why: str
    stands_at: list[str]


class Watchdog:
    """Watches one process' performers."""

    def __init__(self) -> None:
        self._thread_id: int | None = None
        self._is_answered = True
        self._asked_at = 0.0
        self._looked_at = time.monotonic()

    def look(self, loop: asyncio.AbstractEventLoop, claims: Iterable[Claim]) -> Stuck | None:
        """What holds the process up, if anything does. Called often."""
        now = time.monotonic()
        stood_still, self._looked_at = now - self._looked_at > LOOP_STILL_S, now
        if self._is_answered:
            self._is_answered, self._asked_at = False, now
            loop.call_soon_threadsafe(self._answer)
        elif stood_still:  # we did not look either: the whole process was stopped, and the loop may need a moment
            self._asked_at = now
        elif now - self._asked_at > LOOP_STILL_S:
            held = asyncio.current_task(loop)
            culprit = next((claim for claim in claims if claim.task is not None and claim.task is held), None)
            return Stuck(culprit, f"the loop stands still for {now - self._asked_at:.0f} s", self._stack())
        for claim in claims:
            if claim.stuck_at is not None and now > claim.stuck_at:
                is_at_it = claim.task is not None and claim.task is asyncio.current_task(loop)
                return Stuck(claim, "it ignores its time limit", self._stack() if is_at_it else _where(claim.task))
        return None

    def _answer(self) -> None:
        self._is_answered = True
        self._thread_id = threading.get_ident()

    def _stack(self) -> list[str]:
        # Where a foreign thread stands is only to be had from here.
        frame = sys._current_frames().get(self._thread_id or 0)  # noqa: SLF001
        return [] if frame is None else _lines(traceback.extract_stack(frame))


def _where(task: asyncio.Task[Any] | None) -> list[str]:
    # `task.get_stack()` stops at the outermost coroutine, which is always the same wrapper: what it awaits is meant.
    lines: list[str] = []
    awaited: Any = None if task is None else task.get_coro()
    while (frame := getattr(awaited, "cr_frame", None)) is not None:
        lines.append(f"{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_name}")
        awaited = awaited.cr_await
    return lines[-DEEPEST:]


def _lines(stack: traceback.StackSummary) -> list[str]:
    return [f"{line.filename}:{line.lineno} {line.name}" for line in stack[-DEEPEST:]]
