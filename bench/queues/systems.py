"""The systems measured: what starts their workers, and what to know about how each was set up."""

import sys
from collections.abc import Callable
from typing import Final

import msgspec

from bench.queues.peers import BIN
from bench.queues.work import THREADS


class System(msgspec.Struct, frozen=True):
    """A queue: its name on the command line and in tables, its module here, and how its workers are started."""

    name: str
    label: str
    module: str
    commands: Callable[[int], list[list[str]]]
    """The commands that make this many processes of 8 jobs at a time each; a supervisor keeps each running."""
    share: float
    """Of a drain's jobs: slower systems get fewer, so that all drains take about as long."""
    notes: str
    has_masters: bool = True
    """Whether each command starts a parent of the processes that work."""

    @property
    def is_ours(self) -> bool:
        """Whether it runs in our own interpreter, with our settings."""
        return self.name == "ours"

    @property
    def interpreter(self) -> str:
        """The Python its processes run with."""
        return sys.executable if self.is_ours else str(BIN / "python")


def _ours(processes: int) -> list[list[str]]:
    crew = [sys.executable, "-m", "bench.queues.ours", "--queues", "bulk"]
    return [[*crew, "--processes", str(processes), "--threads", str(THREADS)]]


def _dramatiq(processes: int) -> list[list[str]]:
    return [[str(BIN / "dramatiq"), "bench.queues.stock_dramatiq", "-p", str(processes), "-t", str(THREADS)]]


def _celery(processes: int) -> list[list[str]]:
    # As an argument of -A it would be searched for an `app`; each job at a time is a process of its own.
    worker = [str(BIN / "celery"), "-A", "bench.queues.stock_celery", "worker", "-O", "fair", "-l", "WARNING"]
    return [[*worker, "-c", str(THREADS * processes)]]


def _saq(processes: int) -> list[list[str]]:
    return [[str(BIN / "saq"), "bench.queues.stock_saq.settings"]] * processes


def _taskiq(processes: int) -> list[list[str]]:
    worker = [str(BIN / "taskiq"), "worker", "bench.queues.stock_taskiq:broker", "--ack-type", "when_executed"]
    limits = ["--max-async-tasks", str(THREADS), "--max-prefetch", str(THREADS), "--log-level", "WARNING"]
    return [[*worker, *limits, "--workers", str(processes)]]


def _procrastinate(processes: int) -> list[list[str]]:
    app = [str(BIN / "procrastinate"), "--app", "bench.queues.stock_procrastinate.app"]
    return [[*app, "worker", "--concurrency", str(THREADS)]] * processes


SYSTEMS: Final = (
    System(
        "ours", "MegiLance", "bench.queues.ours", _ours, 1.0,
        "Jobs in PostgreSQL with fsync; an effect commits with the end of its job. Its worker's figures include the"
        " launcher and the keeper.",
    ),
    System(
        "dramatiq", "Dramatiq, Redis", "bench.queues.stock_dramatiq", _dramatiq, 1.0,
        "RedisBroker with its default middleware (retries among it) and AsyncIO. A killed worker's messages are found"
        " by maintenance that one command in a thousand starts, after 60 s of silence. When a child dies the whole"
        " worker ends; the harness starts it again. `send` blocks its caller; `group` sends one by one.",
    ),
    System(
        "celery", "Celery, Redis", "bench.queues.stock_celery", _celery, 0.3,
        "prefork, 8 processes where others have one with 8 jobs at a time; acks_late, task_reject_on_worker_lost,"
        " prefetch multiplier 1, -O fair, results ignored, visibility_timeout 30 s (by default an hour). `delay` blocks"
        " its caller; `group` sends one by one.",
    ),
    System(
        "saq", "SAQ, Redis", "bench.queues.stock_saq", _saq, 0.4,
        "Time-out 10 s (its default), 5 retries (by default 1, which gives up what was swept), sweep every 10 s (by"
        " default 60). One command a process, kept by the harness.", has_masters=False,
    ),
    System(
        "taskiq", "taskiq, Redis stream", "bench.queues.stock_taskiq", _taskiq, 0.5,
        "RedisStreamBroker (ListQueueBroker has no acknowledgement at all), acknowledged when executed; idle time-out"
        " 15 s (by default ten minutes), lock time-out 5 s (by default none), 8 messages a read (by default 100)."
        " Nothing trims the stream, for a trimmed one may drop what waits.",
    ),
    System(
        "procrastinate", "procrastinate, PostgreSQL", "bench.queues.stock_procrastinate", _procrastinate, 0.25,
        "LISTEN/NOTIFY on; its guide's periodic retry of stalled jobs every 10 s (there every ten minutes), for workers"
        " silent for 15 s of a beat every 5 s (by default 30 and 10). One command a process, kept by the harness.",
        has_masters=False,
    ),
)  # fmt: skip
