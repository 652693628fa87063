"""How often one person may ask, counted inside this process."""

import time
from collections.abc import Callable, Hashable
from typing import Final

KEPT_MOST: Final = 10_000
"""Above this many counts, those that are full again (they say nothing) are forgotten."""


class Pace:
    """A bucket per key that holds `burst` and refills at `rate` a second."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._left: dict[Hashable, tuple[float, float]] = {}

    def wait_s(self, key: Hashable) -> float:
        """Take one and answer 0, or take none and answer in how many seconds there will be one."""
        now = self._clock()
        left = self._now_left(key, now)
        if left < 1:
            return (1 - left) / self._rate
        if len(self._left) >= KEPT_MOST:
            self._left = {one: kept for one, kept in self._left.items() if self._now_left(one, now) < self._burst}
        self._left[key] = (left - 1, now)
        return 0.0

    def _now_left(self, key: Hashable, now: float) -> float:
        left, since = self._left.get(key, (float(self._burst), now))
        return min(float(self._burst), left + (now - since) * self._rate)
