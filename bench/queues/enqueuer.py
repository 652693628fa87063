"""The enqueueing side: a process that reads one command a line and answers with one line of JSON.

Every system is driven by this same loop, ours too; only what `put` does differs.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, Final, Protocol

from bench.queues.work import Work

BULK: Final = 500
"""Jobs handed to a bulk facility at once."""
WIDTH: Final = 64
TICK_S: Final = 0.001
NEXT_TRY_S: Final = 0.02
"""Between attempts while Redis is away: a caller is not a busy loop."""


class NoBulk(Exception):
    """The system has no way to enqueue many at once."""


class Enqueues(Protocol):
    """What a system's file provides."""

    async def prepare(self) -> None:
        """Make the schema or the consumer group, once."""

    async def open(self) -> None:
        """Connect."""

    async def put(self, job: Work) -> None:
        """Enqueue one, as the guide says to; a blocking client blocks here, as it would its caller."""

    async def put_at_once(self, job: Work) -> None:
        """The same among many at a time; a blocking client goes to a thread."""

    async def put_together(self, jobs: Sequence[Work]) -> None:
        """Enqueue many by the bulk facility. Raises NoBulk."""

    async def close(self) -> None:
        """Disconnect."""


class Ticker:
    """Measures how long the loop was held up at most, by a sleep of a millisecond that came back late."""

    def __init__(self) -> None:
        self.worst_ms = 0.0
        self._task = asyncio.create_task(self._tick())

    async def _tick(self) -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(TICK_S)
            self.worst_ms = max(self.worst_ms, (time.monotonic() - began - TICK_S) * 1000)

    async def stop(self) -> float:
        """The worst lag so far, in milliseconds."""
        await asyncio.sleep(2 * TICK_S)
        self._task.cancel()
        return self.worst_ms


class Enqueuer:
    """Carries commands out on one system."""

    def __init__(self, system: Enqueues) -> None:
        self.system = system

    async def obey(self, command: dict[str, Any]) -> dict[str, Any]:
        """Carry one out; its answer."""
        verb: Callable[..., Coroutine[Any, Any, dict[str, Any]]] = getattr(self, command.pop("do"))
        return await verb(**command)

    async def prepare(self) -> dict[str, Any]:
        """Make what the system needs and connect."""
        await self.system.prepare()
        await self.system.open()
        return {}

    async def single(self, letter: str, count: int, pause_s: float = 0.0) -> dict[str, Any]:
        """One after another."""
        began = time.monotonic()
        for _ in range(count):
            await self.system.put(Work(letter, pause_s))
        return {"per_s": count / (time.monotonic() - began), "returned_ns": time.monotonic_ns()}

    async def concurrent(self, letter: str, count: int, pause_s: float = 0.0, prefix: str = "") -> dict[str, Any]:
        """As many as 64 at once."""
        jobs = _jobs(letter, count, pause_s, prefix)
        began = time.monotonic()

        async def put_all() -> None:
            for job in jobs:
                await self.system.put_at_once(job)

        await asyncio.gather(*(put_all() for _ in range(WIDTH)))
        return {"per_s": count / (time.monotonic() - began)}

    async def batch(self, letter: str, count: int, pause_s: float = 0.0, prefix: str = "") -> dict[str, Any]:
        """By the bulk facility, if there is one."""
        jobs = list(_jobs(letter, count, pause_s, prefix))
        began = time.monotonic()
        try:
            for start in range(0, count, BULK):
                await self.system.put_together(jobs[start : start + BULK])
        except NoBulk as error:
            return {"per_s": None, "why": str(error)}
        return {"per_s": count / (time.monotonic() - began)}

    async def fill(self, letter: str, count: int, pause_s: float = 0.0, prefix: str = "") -> dict[str, Any]:
        """Make a backlog the fastest way there is."""
        filled = await self.batch(letter, count, pause_s, prefix)
        return filled if filled["per_s"] else await self.concurrent(letter, count, pause_s, prefix)

    async def outage(self, letter: str, count: int, limit_s: float, prefix: str) -> dict[str, Any]:
        """Enqueue while Redis is away, one after another: when each attempt ended, how, and how long it took."""
        ticker, tries = Ticker(), []
        until = time.monotonic() + limit_s
        for job in _jobs(letter, count, 0.0, prefix):
            if time.monotonic() > until:
                break
            began = time.monotonic()
            try:
                await self.system.put(job)
            except Exception as error:  # noqa: BLE001  each library has its own
                failed = type(error).__name__
            else:
                failed = ""
            tries.append((job.key, failed, time.monotonic_ns(), round((time.monotonic() - began) * 1000, 1)))
            await asyncio.sleep(NEXT_TRY_S)
        return {"tries": tries, "worst_lag_ms": round(await ticker.stop(), 1)}


def _jobs(letter: str, count: int, pause_s: float, prefix: str) -> Iterator[Work]:
    return (Work(letter, pause_s, f"{prefix}{number}" if prefix else "") for number in range(count))


def serve(system: Enqueues) -> None:
    """Obey commands from stdin until it ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints is no answer

    async def live() -> None:
        enqueuer = Enqueuer(system)
        while line := await asyncio.to_thread(sys.stdin.readline):
            answers.write(json.dumps(await enqueuer.obey(json.loads(line))) + "\n")
            answers.flush()
        await system.close()

    asyncio.run(live())
