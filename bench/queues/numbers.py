"""Figures from samples."""

import statistics
from collections.abc import Sequence


def spread(values: Sequence[float], digits: int = 0) -> dict[str, float] | None:
    """Median and range; None of nothing."""
    if not values:
        return None
    return {
        "median": round(statistics.median(values), digits),
        "min": round(min(values), digits),
        "max": round(max(values), digits),
    }


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile."""
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 2)
