"""What a worker process tells of itself: its minutes for the console, and a snapshot of its metrics for Prometheus."""

from collections.abc import Callable

import asyncpg

from models.metrics import this_process
from tasks.broker.shift import Shift
from wire import metrics


class Reports:
    """Writes them on the feeder's connection, each when it is time to."""

    def __init__(self, shift: Shift, release: str, in_hand: Callable[[], int]) -> None:
        registry = metrics.new_registry()
        registry.register(shift.tally)
        self.counted = metrics.Worker(in_hand, registry)
        self._shift = shift
        self._process = this_process("worker", release, shift.worker_id)
        self._reporter = metrics.Reporter(self._process.write, registry)

    async def write(self, connection: asyncpg.Connection) -> None:
        """Write what is due. Called with every beat."""
        await self._shift.tally.write_minutes(connection, self._shift.worker_id)
        await self._reporter.report(connection.fetch)

    async def leave(self, connection: asyncpg.Connection) -> None:
        """Write the last minute, and take the process off the list: it ends as it should."""
        await self._shift.tally.write_minutes(connection, self._shift.worker_id)
        await self._process.leave(connection.fetch)
