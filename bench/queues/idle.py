"""An idle worker of each system, all at the same time: what it weighs, what it costs, and how soon it begins a job.

The systems take turns in a new order each time, and each is left alone for 0.6 to 1.4 s before its next job.
"""

import contextlib
import time
from random import Random
from typing import Any, Final

from bench.queues.bed import READY_S, Bed, Place, Workers
from bench.queues.numbers import percentile
from bench.queues.processes import cpu_s, pss_mib

WARM: Final = 5
WARM_GAP_S: Final = 0.2
SETTLE_S: Final = 3.0
BEGIN_S: Final = 15.0
GAP_S: Final = (0.6, 1.4)


def measure(bed: Bed, places: list[Place], *, jobs: int, chance: Random) -> dict[str, Any]:
    """Latency, idle CPU and memory of each system's worker (1 process of 8)."""
    with contextlib.ExitStack() as stack:
        workers = {}
        for place in places:
            place.clear()
            workers[place.name] = stack.enter_context(Workers(place, 1))
        _warm(places)
        time.sleep(SETTLE_S)
        pids = {name: one.pids() for name, one in workers.items()}
        memory = {name: round(pss_mib(found), 1) for name, found in pids.items()}
        before, began = _cpu(bed, places, workers), time.monotonic()
        latencies = _take_turns(places, jobs, chance)
        took_s, after = time.monotonic() - began, _cpu(bed, places, workers)
    return {
        place.name: {
            "p50_ms": percentile(latencies[place.name], 0.5),
            "p90_ms": percentile(latencies[place.name], 0.9),
            "p99_ms": percentile(latencies[place.name], 0.99),
            "max_ms": round(max(latencies[place.name]), 2),
            "cpu_percent": round(100 * (after[place.name][0] - before[place.name][0]) / took_s, 2),
            "postgres_cpu_percent": round(100 * (after[place.name][1] - before[place.name][1]) / took_s, 2),
            "memory_pss_mib": memory[place.name],
            "processes": len(pids[place.name]),
        }
        for place in places
    }


def _warm(places: list[Place]) -> None:
    for place in places:
        for number in range(1, WARM + 1):
            place.ask("single", letter="i", count=1)
            if not place.await_marks(number, READY_S):
                raise place.trouble(f"no job began within {READY_S:g} s")
            time.sleep(WARM_GAP_S)


def _cpu(bed: Bed, places: list[Place], workers: dict[str, Workers]) -> dict[str, tuple[float, float]]:
    return {place.name: (cpu_s(workers[place.name].pids()), cpu_s(bed.backends(place))) for place in places}


def _take_turns(places: list[Place], jobs: int, chance: Random) -> dict[str, list[float]]:
    """Milliseconds from the return of the enqueue to the job's first line."""
    found: dict[str, list[float]] = {place.name: [] for place in places}
    for number in range(WARM + 1, WARM + jobs + 1):
        for place in chance.sample(places, len(places)):
            time.sleep(chance.uniform(*GAP_S) / len(places))
            returned_ns: int = place.ask("single", letter="i", count=1)["returned_ns"]
            if not place.await_marks(number, BEGIN_S):
                raise place.trouble(f"a job did not begin within {BEGIN_S:g} s")
            found[place.name].append(max(0, place.marks("i")[-1] - returned_ns) / 1e6)
    return found
