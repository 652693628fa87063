"""Our side of the queue's benches: jobs, performers, and the worker that works them (`python -m bench.queue_jobs`)."""

import sys
import time
from pathlib import Path

from models.jobs import Job, Queue
from tasks.job import Claim, performs
from tasks.launch import launch


class Stamp(Job):
    """Write down the moment it began at."""

    kind = "bench.stamp"
    queue = Queue.BULK
    path: str


@performs(Stamp)
async def stamp(job: Stamp, _: Claim) -> None:
    """Write down the moment, on a clock that all processes of the machine share."""
    began = time.monotonic_ns()
    with Path(job.path).open("a", encoding="ascii") as file:  # noqa: ASYNC230  a line; both sides do it
        file.write(f"{began}\n")


if __name__ == "__main__":
    sys.exit(launch(sys.argv[1:]))
