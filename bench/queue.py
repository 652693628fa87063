"""Our queue beside its peers, in one run: same servers, same work, same faults. `python -m bench.queue --help`."""

import argparse
import json
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any, Final

from bench.queues import drain, enqueue, faults, goals, idle, peers, report
from bench.queues.bed import Bed, Bench
from bench.queues.systems import SYSTEMS, System

SECTIONS: Final = ("enqueue", "idle", "drain", "faults", "goals")
SIZES: Final = ("rounds", "enqueue_jobs", "idle_jobs", "drain_jobs", "fault_jobs")
JSON: Final = peers.ROOT / "docs" / "bench" / "queue.json"


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.queue", description=__doc__)
    names = [system.name for system in SYSTEMS]
    parser.add_argument("--only", default=",".join(SECTIONS), help=f"some of {','.join(SECTIONS)}")
    parser.add_argument("--systems", default=",".join(names), help=f"some of {','.join(names)}")
    parser.add_argument("--rounds", type=int, default=3, help="of enqueue and drain (3)")
    parser.add_argument("--seed", type=int, default=None, help="of orders, gaps and kills; printed")
    parser.add_argument("--enqueue-jobs", type=int, default=1000, help="enqueued 64 at once in a round (1000)")
    parser.add_argument("--idle-jobs", type=int, default=50, help="idle latencies of each system (50)")
    parser.add_argument("--drain-jobs", type=int, default=3000, help="of each kind in a drain of the fastest (3000)")
    parser.add_argument("--fault-jobs", type=int, default=300, help="of 200 ms under kills (300)")
    parser.add_argument("--json", type=Path, default=None, help="where to write the figures")
    parser.add_argument("--write", action="store_true", help="write docs/bench/queue.json and queue.md")
    found = parser.parse_args()
    for name, known in (("only", SECTIONS), ("systems", names)):
        chosen = getattr(found, name).split(",")
        if set(chosen) - set(known):
            parser.error(f"--{name}: choose from {', '.join(known)}")
        setattr(found, name, chosen)
    found.seed = random.randrange(10**6) if found.seed is None else found.seed  # noqa: S311
    return found


def measure(chosen: argparse.Namespace, systems: list[System]) -> dict[str, Any]:
    """Run the sections asked for, each printed as it ends."""
    chance = random.Random(chosen.seed)  # noqa: S311  repeatable on purpose
    found: dict[str, Any] = {}
    with Bed() as bed:
        places = bed.take(systems)
        steps = {
            "enqueue": lambda: {
                "enqueue": enqueue.measure(places, jobs=chosen.enqueue_jobs, rounds=chosen.rounds, chance=chance)
            },
            "idle": lambda: {"idle": idle.measure(bed, places, jobs=chosen.idle_jobs, chance=chance)},
            "drain": lambda: {
                "drain": drain.measure(places, jobs=chosen.drain_jobs, rounds=chosen.rounds, chance=chance)
            },
            "faults": lambda: {
                "kills": faults.kills(places, jobs=chosen.fault_jobs, chance=chance),
                "redis_lost": faults.redis_lost(bed, places, jobs=chosen.fault_jobs),
                "redis_away": faults.redis_away(bed, places, jobs=50),
            },
            "goals": lambda: {"goals": goals.measure(bed, places, chance=chance)},
        }
        for section in SECTIONS:
            if section in chosen.only:
                began = time.monotonic()
                print(f"{section} …", end="", file=sys.stderr, flush=True)
                found |= steps[section]()
                print(f" {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return found


def main() -> None:
    """Make the peers' venv, measure, print, write."""
    chosen = options()
    systems = [system for system in SYSTEMS if system.name in chosen.systems]
    if any(not system.is_ours for system in systems):
        peers.make()
    print(f"seed {chosen.seed}", flush=True)
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit("told to end"))  # by way of every `finally`
    began = time.monotonic()
    try:
        found = measure(chosen, systems)
    except Bench as error:
        sys.exit(str(error))
    sizes = {name: getattr(chosen, name) for name in SIZES}
    figures = {
        "bench": "queue",
        "seed": chosen.seed,
        "seconds": round(time.monotonic() - began),
        "machine": report.machine(systems),
        "sizes": sizes,
        **found,
    }
    print(report.text(figures))
    target = chosen.json or (JSON if chosen.write else None)
    if target is not None:
        report.write(target, json.dumps(figures, indent=1) + "\n")
    if chosen.write:
        report.write(JSON.with_suffix(".md"), report.markdown(figures, systems))


if __name__ == "__main__":
    main()
