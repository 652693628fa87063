"""How fast jobs are accepted: one after another, 64 at once, and by the bulk facility. No worker runs meanwhile."""

from random import Random
from typing import Any, Final

from bench.queues.bed import Place
from bench.queues.numbers import spread

WAYS: Final = {"single": 0.25, "concurrent": 1.0, "batch": 2.0}
"""The share of a round's jobs, so that each way takes about as long."""


def measure(places: list[Place], *, jobs: int, rounds: int, chance: Random) -> dict[str, Any]:
    """Jobs a second of each system, by way: median and range of the rounds."""
    found: dict[str, dict[str, list[float]]] = {place.name: {way: [] for way in WAYS} for place in places}
    lacks: dict[str, str] = {}
    for _ in range(rounds):
        for place in chance.sample(places, len(places)):
            place.clear()
            place.ask("single", letter="w", count=20)  # connections are open now
            for way, share in WAYS.items():
                answer = place.ask(way, letter="w", count=max(1, int(jobs * share)))
                if answer["per_s"] is None:
                    lacks[place.name] = answer["why"]
                else:
                    found[place.name][way].append(answer["per_s"])
            place.clear()
    return {
        name: {**{way: spread(values) for way, values in ways.items()}, "no_batch": lacks.get(name)}
        for name, ways in found.items()
    }
