"""The worker program under a wrong wall clock: `python -m tests.crashes.skewed SECONDS --queues bulk`.

`time.time` and `datetime.now` are replaced before anything of ours is imported; the monotonic clock is left alone, as
a wrong wall clock leaves it. What PostgreSQL calls now() is right.
"""

import datetime as dt
import sys
import time

_really = time.time
_right = dt.datetime


class Skewed(_right):
    """A datetime that believes the wrong clock."""

    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> "Skewed":
        return cls.fromtimestamp(time.time(), tz)

    @classmethod
    def utcnow(cls) -> "Skewed":
        return cls.fromtimestamp(time.time(), dt.UTC).replace(tzinfo=None)


def skew(seconds: float) -> None:
    """From now on this process, and what it forks, is so many seconds ahead."""
    time.time = lambda: _really() + seconds
    time.time_ns = lambda: int((_really() + seconds) * 1e9)
    dt.datetime = Skewed


if __name__ == "__main__":
    skew(float(sys.argv[1]))
    from tests.crashes import probes

    sys.exit(probes.launch(sys.argv[2:]))
