"""The worker program: `python -m tasks.launch --queues payments --processes 1 --threads 8`.

Money and the rest are worked by the same program on different queues, so they are scaled apart and cannot starve one
another. Queues are named the most urgent first.
"""

import argparse
import sys
from collections.abc import Sequence

import settings
from models.jobs import CPU_BOUND, Queue
from tasks.broker.crew import Crew
from wire import logs


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line; exits with a sentence when it makes no sense."""
    parser = argparse.ArgumentParser(prog="python -m tasks.launch", description="Work queues until told to stop.")
    parser.add_argument("--queues", required=True, help=f"comma-separated, the most urgent first: {', '.join(Queue)}")
    parser.add_argument("--processes", type=int, default=1, help="worker processes (1)")
    parser.add_argument("--threads", type=int, help="jobs at a time in each (8; of CPU-bound queues 1)")
    found = parser.parse_args(arguments)
    names = [name.strip() for name in found.queues.split(",") if name.strip()]
    unknown = sorted(set(names) - set(Queue))
    if unknown or not names:
        parser.error(f"no such queue: {', '.join(unknown) or '(none named)'}")
    found.queues = tuple(dict.fromkeys(Queue(name) for name in names))
    computes = CPU_BOUND & set(found.queues)
    if computes and not CPU_BOUND.issuperset(found.queues):
        parser.error(f"{', '.join(sorted(computes))}: what computes has processes of its own, without other queues")
    if found.threads is None:
        found.threads = 1 if computes else 8
    if found.processes < 1 or found.threads < 1:
        parser.error("--processes and --threads must be at least 1")
    return found


def launch(arguments: Sequence[str]) -> int:
    """Launch workers that have whatever performers are imported by now. Returns the exit status."""
    found = parse(arguments)
    config = settings.load()
    logs.set_up(json=config.environment == settings.PRODUCTION, process="worker")
    return Crew(found.queues, processes=found.processes, threads=found.threads).run()


def main() -> None:
    """Import every performer, then launch: before the fork, so that a replacement begins in milliseconds."""
    import tasks.worker  # noqa: F401, PLC0415  here, so that a test may launch with performers of its own

    sys.exit(launch(sys.argv[1:]))


if __name__ == "__main__":
    main()
