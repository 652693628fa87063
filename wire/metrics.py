"""What every process counts: all names, helps and units in one place, and how the counts travel.

Each process has one registry, of its own making. It is written to PostgreSQL every 15 s as a snapshot: no router
leads to a relay or a worker; the API shows the snapshots beside its own. Labels are bounded: routes are templates,
methods and outcomes are lists, and nothing that a caller writes becomes one.
"""

import asyncio
import time
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
WRITE_S: Final = 15.0
"""How often a process writes its snapshot: as often as Prometheus usually asks."""
LATENCY_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)
"""Up to the longest wait for a job that an answer may take."""
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
NO_ROUTE: Final = "(none)"
"""The route of a request that found none: the path itself is whatever a stranger likes to write."""
CLASSES: Final = ("0xx", "1xx", "2xx", "3xx", "4xx", "5xx")

Run = Callable[..., Awaitable[Any]]
"""Runs one statement: `guard.rows`, or a connection's `fetch`."""

log = structlog.get_logger(__name__)


def new_registry() -> CollectorRegistry:
    """The registry of a process; its composition root makes it."""
    return CollectorRegistry(auto_describe=False)


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """One line of the text format."""

    name: str
    labels: dict[str, str]
    value: float


class Family(msgspec.Struct, frozen=True):
    """A metric with all its lines, as it is stored."""

    name: str
    type: str
    help: str
    samples: list[Sample]


def snapshot(registry: Collector) -> list[Family]:
    """The registry as values that JSON can carry; the moments at which counters were made are left out."""
    return [
        Family(
            found.name,
            found.type,
            found.documentation,
            [
                Sample(one.name, dict(one.labels), one.value)
                for one in found.samples
                if not one.name.endswith("_created")
            ],
        )
        for found in registry.collect()
    ]


class Exposition(Collector):
    """Families of several processes as one registry: a name's lines must stand together, under one help."""

    def __init__(self) -> None:
        self._families: dict[str, Metric] = {}

    def add(self, families: Iterable[Family], labels: Mapping[str, str] | None = None) -> None:
        """Add what a process counted, with these labels on every line."""
        for family in families:
            metric = self._families.setdefault(family.name, Metric(family.name, family.help, family.type))
            if metric.type != family.type:
                continue  # another release means something else by the name
            for one in family.samples:
                metric.add_sample(one.name, {**one.labels, **(labels or {})}, one.value)

    def gauge(self, name: str, about: str, samples: Iterable[tuple[Mapping[str, str], float]]) -> None:
        """Add a gauge that is computed now."""
        self.add([Family(name, "gauge", about, [Sample(name, dict(labels), value) for labels, value in samples])])

    def collect(self) -> Iterator[Metric]:
        """What was added, by name."""
        for name in sorted(self._families):
            yield self._families[name]

    def text(self) -> bytes:
        """Prometheus' text format, version 0.0.4."""
        return generate_latest(self)


def histogram(
    name: str,
    about: str,
    labels: Sequence[str],
    bounds: Sequence[float],
    rows: Iterable[tuple[Sequence[str], Any, float]],
) -> HistogramMetricFamily:
    """A histogram family from counts by bucket (one more than bounds, not cumulative) and sums, by label values."""
    family = HistogramMetricFamily(name, about, labels=labels)
    for values, counts, total in rows:
        so_far, buckets = 0, []
        for bound, count in zip([*map(str, bounds), "+Inf"], counts, strict=True):
            so_far += count
            buckets.append((bound, so_far))
        family.add_metric(values, buckets=buckets, sum_value=total)
    return family


class Requests(Collector):
    """Requests by method and route: how many of each status class, and how long they took.

    Written on the event loop alone and read there, so plain lists do; prometheus_client's own would take a lock and
    several microseconds for each.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seen: dict[tuple[str, str], tuple[list[int], list[int], list[float]]] = {}
        registry.register(self)

    def answered(self, method: str, route: str | None, status: int, seconds: float) -> None:
        """Count an answer. `route` is the template; None when there was none."""
        key = method if method in METHODS else "OTHER", route or NO_ROUTE
        seen = self._seen.get(key)
        if seen is None:
            seen = self._seen[key] = [0] * len(CLASSES), [0] * (len(LATENCY_BUCKETS_S) + 1), [0.0]
        seen[0][status // 100 if 100 <= status < 600 else 0] += 1
        seen[1][bisect_left(LATENCY_BUCKETS_S, seconds)] += 1
        seen[2][0] += seconds

    def describe(self) -> list[Metric]:
        """Nothing: the registry need not collect to learn the names."""
        return []

    def collect(self) -> Iterator[Metric]:
        """A counter and a histogram."""
        name = "megilance_http_requests"
        total = Metric(name, "Requests answered, by status class.", "counter")
        for (method, route), (classes, _, _) in self._seen.items():
            for status, count in zip(CLASSES, classes, strict=True):
                if count:
                    total.add_sample(f"{name}_total", {"method": method, "route": route, "status": status}, count)
        yield total
        yield histogram(
            "megilance_http_request_duration_seconds",
            "Time from a request's arrival to the end of its answer.",
            ("method", "route"),
            LATENCY_BUCKETS_S,
            ((key, durations, spent[0]) for key, (_, durations, spent) in self._seen.items()),
        )


class Web:
    """What the API counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Requests(registry)
        self.awaited = Gauge("megilance_jobs_awaited", "Answers that wait for a job now.", registry=registry)
        self.waits = Counter(
            "megilance_job_waits", "Answers that waited for a job, by what came of it.", ["outcome"], registry=registry
        )
        self.limited = Counter(
            "megilance_requests_limited", "Requests refused for coming too often.", ["by"], registry=registry
        )


class Relay:
    """What the relay counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.lag_s = Gauge(
            "megilance_relay_lag_seconds", "Age of the oldest event of the last batch published.", registry=registry
        )
        self.relayed = Counter("megilance_relay_events", "Events published.", registry=registry)
        self.too_late = Counter("megilance_relay_events_too_late", "Events not published for age.", registry=registry)
        self.is_active = Gauge("megilance_relay_active", "1: this relay numbers; 0: it stands by.", registry=registry)


class Clock:
    """What the clock counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.enqueued = Counter(
            "megilance_clock_slots", "Slots this clock has enqueued.", ["schedule"], registry=registry
        )


class Realtime:
    """What the realtime process counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.connections = Gauge("megilance_realtime_connections", "Sockets that are signed in.", registry=registry)
        self.pushed = Counter("megilance_realtime_events", "Events handed to sockets.", registry=registry)


class Worker:
    """What a worker process counts beside its tally. `in_hand` is read when it is collected."""

    def __init__(self, in_hand: Callable[[], float], registry: CollectorRegistry) -> None:
        Gauge("megilance_jobs_in_hand", "Jobs claimed and not ended.", registry=registry).set_function(in_hand)
        self.reconnects = Counter("megilance_feeder_reconnects", "Times the feeder lost PostgreSQL.", registry=registry)
        self.released = Counter(
            "megilance_workers_released", "Silent workers whose jobs this sweeper gave back.", registry=registry
        )


class Reporter:
    """Writes this process's snapshot every 15 s, through whatever connection its process has."""

    def __init__(self, write: Callable[[Run, list[Family]], Awaitable[None]], registry: CollectorRegistry) -> None:
        """`write` stores the families with the given runner: `models.metrics.Process.write`."""
        self._write = write
        self._registry = registry
        self._due_at = 0.0

    async def report(self, run: Run) -> None:
        """Write if it is time to: for a process whose loop comes by here often, on its one connection."""
        now = time.monotonic()
        if now >= self._due_at:
            self._due_at = now + WRITE_S
            await self._write(run, snapshot(self._registry))

    async def report_forever(self, run: Run) -> None:
        """Write again and again: for a process with a pool. Never returns; cancel it."""
        while True:
            try:
                await self.report(run)
            except Exception as error:  # noqa: BLE001  the loop must outlive an absent database; the age tells of it
                log.info("metrics.not_written", error=type(error).__name__)
            await asyncio.sleep(WRITE_S)
