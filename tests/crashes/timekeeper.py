"""The clock with a schedule of its own: `python -m tests.crashes.timekeeper` enqueues a tick a second, and makes up for all."""

from functools import partial

from tasks import clock
from tasks.clock import Entry, Missed
from tests.crashes.probes import Tick

TICKS = (Entry("probe.crash_tick", 1, Tick, Missed.ALL),)

if __name__ == "__main__":
    clock.keep_time = partial(clock.keep_time, schedule=TICKS)
    clock.main()
