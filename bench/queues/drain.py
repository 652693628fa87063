"""How fast a backlog is worked off: jobs of nothing and of 2 ms, with one process and with two; ours with effects too.

A rate is taken over the last nine tenths of a kind's jobs, by their first lines: a worker's start is not in it.
"""

import time
from bisect import bisect_left
from random import Random
from typing import Any, Final

from bench.queues.bed import Place, Workers
from bench.queues.numbers import spread
from bench.queues.processes import cpu_s

LIMIT_S: Final = 25.0
SAMPLE_S: Final = 0.02
LOOK_S: Final = 0.25
"""How often the list of processes is read anew."""
PAUSE_S: Final = 0.002
LETTERS: Final = {"noop": "n", "pause_2ms": "p", "effect": "e"}


def measure(places: list[Place], *, jobs: int, rounds: int, chance: Random) -> dict[str, Any]:
    """Jobs a second, and jobs a CPU second of the workers: median and range of the rounds."""
    rates: dict[tuple[str, int, str], list[float]] = {}
    costs: dict[tuple[str, int, str], list[float]] = {}
    for _ in range(rounds):
        for place in chance.sample(places, len(places)):
            for count in (1, 2):
                for kind, (per_s, per_cpu_s) in _drain(place, count, max(50, int(jobs * place.system.share))).items():
                    rates.setdefault((place.name, count, kind), []).append(per_s)
                    costs.setdefault((place.name, count, kind), []).append(per_cpu_s)
    found: dict[str, Any] = {place.name: {} for place in places}
    for (name, count, kind), values in rates.items():
        found[name][f"{kind}_{count}"] = {
            "per_s": spread(values),
            "per_cpu_s": spread([one for one in costs[name, count, kind] if one]),
        }
    return found


def _drain(place: Place, count: int, jobs: int) -> dict[str, tuple[float, float]]:
    """Fill, start the workers, watch; the rates by kind."""
    place.clear()
    place.fill(letter="n", count=jobs)
    place.fill(letter="p", count=jobs, pause_s=PAUSE_S)
    kinds = ["noop", "pause_2ms"]
    if place.system.is_ours:
        kinds.append("effect")
        place.fill(letter="e", count=jobs, prefix="drain-")
    with Workers(place, count) as workers:
        samples = _watch(place, workers, jobs * len(kinds))
    found = {}
    for kind in kinds:
        marks = place.marks(LETTERS[kind])
        steady = marks[len(marks) // 10 :]
        if len(steady) > 1:
            seconds = (steady[-1] - steady[0]) / 1e9
            used = _at(samples, steady[-1]) - _at(samples, steady[0])
            found[kind] = ((len(steady) - 1) / seconds, (len(steady) - 1) / used if used > 0 else 0.0)
    place.clear()
    return found


def _watch(place: Place, workers: Workers, jobs: int) -> list[tuple[int, float]]:
    """Until all have begun: how much CPU the workers had used at which moment."""
    samples: list[tuple[int, float]] = []
    pids: list[int] = []
    look_at = 0.0
    deadline = time.monotonic() + LIMIT_S
    while place.count_marks() < jobs and time.monotonic() < deadline:
        if time.monotonic() >= look_at or place.count_marks() == 0:
            pids, look_at = workers.pids(), time.monotonic() + LOOK_S
        samples.append((time.monotonic_ns(), cpu_s(pids)))
        time.sleep(SAMPLE_S)
    samples.append((time.monotonic_ns(), cpu_s(workers.pids())))
    return samples


def _at(samples: list[tuple[int, float]], moment: int) -> float:
    """The CPU used by a moment, between the samples around it."""
    after = min(max(1, bisect_left(samples, (moment, 0.0))), len(samples) - 1)
    (left, low), (right, high) = samples[after - 1], samples[after]
    return low + (high - low) * min(1.0, max(0.0, (moment - left) / max(1, right - left)))
