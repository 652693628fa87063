"""How much of a paced queue this process may claim now, so that all together stay within the provider's rate."""

import time
from collections import Counter
from collections.abc import Mapping
from typing import Final

from models.jobs import Queue

NO_LIMIT: Final = 10_000


class Pace:
    """A token bucket a queue. Each of the workers that serve it has an equal share of its rate.

    How many they are is what the last look at their beats said, so for two seconds after a worker came the rate may be
    exceeded by its share. A second's worth may be saved up, and at least one job.
    """

    def __init__(self, per_second: Mapping[Queue, float]) -> None:
        self._per_second = dict(per_second)
        self._tokens = dict.fromkeys(self._per_second, 1.0)
        self._filled_at = time.monotonic()

    def room(self, queue: Queue) -> int:
        """How many jobs of the queue may be claimed now."""
        return int(self._tokens.get(queue, NO_LIMIT))

    def fill(self, serving: Counter[str]) -> None:
        """Add what the time since the last call is worth, given how many workers serve each queue."""
        now = time.monotonic()
        passed_s, self._filled_at = now - self._filled_at, now
        for queue, per_second in self._per_second.items():
            share = per_second / max(1, serving[queue.value])
            self._tokens[queue] = min(max(1.0, share), self._tokens[queue] + share * passed_s)

    def take(self, queue: Queue) -> None:
        """A job of the queue was claimed."""
        if queue in self._tokens:
            self._tokens[queue] -= 1
