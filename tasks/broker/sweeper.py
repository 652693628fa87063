"""Gives back the jobs of workers that are dead, and calls a worker dead only after seeing its beat stand still.

One's own connection must have been unbroken and one's own monotonic clock have run for ten seconds meanwhile, so an
outage of PostgreSQL, during which nobody can beat, kills nobody. Sweepers live in every worker, in the clock and in
each launcher: one that lives only in what is being killed never gets its ten seconds.
"""

import time
from collections import Counter
from collections.abc import Callable
from typing import Final
from uuid import UUID

import asyncpg
import structlog

from tasks.broker import statements

BEAT_S: Final = 3.0
"""How often a worker beats."""
SILENT_S: Final = 10.0
"""Three missed beats: a lost host's jobs run again within 15 s."""
LOOK_S: Final = 2.0
"""How often a sweeper looks."""
OVERDUE_S: Final = 60.0
"""How far past its deadline a row is taken away whoever holds it; a worker's own watchdog is much earlier."""
OVERDUE_LOOK_S: Final = 30.0
"""That look reads all live rows, so it is rare, and only the clock and the launchers do it. The first is that long
after a connection was made: while PostgreSQL was away nobody could record an end, and that is nobody's fault."""
SLOW_LOOK_S: Final = 3 * LOOK_S
"""Two looks further apart than this were not ours to take: we stood still ourselves, and perhaps everybody did."""

log = structlog.get_logger(__name__)


class Sweeper:
    """What one process has seen of the others' beats, on one connection."""

    def __init__(
        self, myself: UUID | None = None, *, overdue: bool = False, on_release: Callable[[], None] | None = None
    ) -> None:
        """`on_release` is called for each silent worker."""
        self._myself = myself
        self._on_release = on_release
        self._overdue = overdue
        self._seen: dict[UUID, tuple[int, float]] = {}
        self._looked_at = self._look_at = 0.0
        self._overdue_at = time.monotonic() + OVERDUE_LOOK_S
        self.serving: Counter[str] = Counter()
        """How many live workers serve each queue, as of the last look."""

    def forget(self) -> None:
        """The connection was broken: what was observed across the gap proves nothing."""
        self._seen.clear()
        self._overdue_at = time.monotonic() + OVERDUE_LOOK_S

    async def sweep(self, connection: asyncpg.Connection) -> set[str]:
        """Look if it is time to; returns the queues that got jobs back."""
        now = time.monotonic()
        rung: set[str] = set()
        if now >= self._look_at:
            if now - self._looked_at > SLOW_LOOK_S:
                self._seen.clear()
            self._looked_at, self._look_at = now, now + LOOK_S
            rung |= await self._sweep_silent(connection, now)
        if self._overdue and now >= self._overdue_at:
            self._overdue_at = now + OVERDUE_LOOK_S
            taken = await connection.fetch(statements.RELEASE_OVERDUE, OVERDUE_S)
            if taken:
                log.error("sweep.overdue", jobs=[str(one["job_id"]) for one in taken])
            rung |= {one["queue"] for one in taken}
        return rung

    async def _sweep_silent(self, connection: asyncpg.Connection, now: float) -> set[str]:
        found = await connection.fetch(statements.BEATS)
        beats = {one["id"]: one["beat"] for one in found}
        self.serving = Counter(queue for one in found for queue in one["queues"])
        self._seen = {worker: seen for worker, seen in self._seen.items() if worker in beats}
        rung: set[str] = set()
        for worker, beat in beats.items():
            if worker == self._myself:
                continue
            seen = self._seen.get(worker)
            if seen is None or seen[0] != beat:
                self._seen[worker] = beat, now
            elif now - seen[1] >= SILENT_S:
                taken = await connection.fetch(statements.RELEASE_SILENT, worker, beat)
                log.warning("sweep.worker_silent", worker=str(worker), jobs=len(taken))
                rung |= {one["queue"] for one in taken}
                del self._seen[worker]
                if self._on_release is not None:
                    self._on_release()
        return rung
