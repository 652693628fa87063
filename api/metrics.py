"""What the service counts: `/metrics` for Prometheus, every process in one answer, and four figures for an admin."""

import asyncio
import hmac
import time
from collections.abc import Mapping
from typing import Any, Final

import asyncpg
import msgspec
import structlog
from litestar import MediaType, Request, Response, Router, get
from litestar.exceptions import NotFoundException
from prometheus_client import CollectorRegistry

from api.auth import ANYBODY, PUBLIC, role
from api.limits import UNLIMITED
from api.requests import QUIET
from models import guard
from models.accounts import Role
from models.errors import TokenInvalid
from models.jobs import Queue
from models.metrics import QueueState, Snapshot, count_people, count_unnumbered, read_fresh, read_queues, this_process
from models.queue.figures import COUNTED, DEAD_COUNTED
from settings import Settings
from wire.budget import expected_processes
from wire.metrics import CONTENT_TYPE, Exposition, Family, Reporter, snapshot
from wire.tokens import REFRESH_DAYS

LOOK_S: Final = 2.0
"""How old what was read may be: scrapers, however many, cost PostgreSQL one look in this time."""
PATIENCE_S: Final = 1.0
"""How long a look may take; whoever scrapes gets the rest of the answer then."""
DURATIONS: Final = "megilance_http_request_duration_seconds"
ANSWERS: Final = "megilance_http_requests"

log = structlog.get_logger(__name__)
_families: Final = msgspec.json.Decoder(list[Family])


class Looked(msgspec.Struct, frozen=True):
    """What PostgreSQL said. `queues` is None when it answered, but could not count them in time."""

    snapshots: list[Snapshot]
    queues: dict[str, QueueState] | None = None
    unnumbered: int = 0


class Scrape:
    """Answers scrapes, and writes this process' own snapshot: a router may lead the scraper to another web process."""

    def __init__(self, registry: CollectorRegistry, chosen: Settings) -> None:
        self._registry = registry
        self._chosen = chosen
        self._process = this_process("web", chosen.release)
        self._reporter = Reporter(self._process.write, registry)
        self._looking = asyncio.Lock()
        self._looked: Looked | None = None
        self._looked_at = float("-inf")

    async def report_forever(self) -> None:
        """Write snapshots until cancelled."""
        await self._reporter.report_forever(guard.rows)

    async def leave(self, reporting: asyncio.Task[None]) -> None:
        """Stop writing, and strike the process off: it ends because it was told to."""
        reporting.cancel()
        await asyncio.gather(reporting, return_exceptions=True)
        if guard.engine().pool is None:
            return
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._process.leave(guard.rows)
        except (*guard.LOST_CONNECTION, asyncpg.PostgresError) as error:
            log.info("metrics.not_left", error=type(error).__name__)

    async def text(self) -> bytes:
        """The whole exposition. Without PostgreSQL it is what this process knows by itself, and says so."""
        looked, said = await self.look(), Exposition()
        said.add(snapshot(self._registry), self._labels(self._process.role, self._process.host, self._process.pid))
        said.gauge("megilance_database_up", "1: PostgreSQL answered this scrape.", [({}, looked is not None)])
        if looked is not None:
            self._show_processes(said, looked.snapshots)
            if looked.queues is not None:
                _show_queues(said, looked.queues)
                said.gauge(
                    "megilance_events_unnumbered", "Events that no relay has numbered yet.", [({}, looked.unnumbered)]
                )
        return await asyncio.to_thread(said.text)  # tens of milliseconds, when there is much to say

    async def look(self) -> Looked | None:
        """What PostgreSQL says, at most LOOK_S old; None when it does not answer."""
        async with self._looking:
            if time.monotonic() - self._looked_at >= LOOK_S:
                self._looked = await _look()
                self._looked_at = time.monotonic()
            return self._looked

    def families_of_web(self, looked: Looked | None) -> list[Family]:
        """What all web processes count, this one as of now."""
        others = [
            family
            for one in (looked.snapshots if looked else ())
            if one.process.role == self._process.role and not self._is_ours(one)
            for family in _decoded(one)
        ]
        return snapshot(self._registry) + others

    def _show_processes(self, said: Exposition, snapshots: list[Snapshot]) -> None:
        others = [one for one in snapshots if not self._is_ours(one)]
        seen = [(self._labels(self._process.role, self._process.host, self._process.pid), 0.0, True)]
        for one in others:
            labels = self._labels(one.process.role, one.process.host, one.process.pid)
            said.add(_decoded(one), labels)
            seen.append((labels, one.age_s, one.families is not None))
        expected = expected_processes(self._chosen.scale)
        up = dict.fromkeys(expected, 0)
        for labels, _, is_up in seen:
            up[labels["process"]] = up.get(labels["process"], 0) + is_up
        said.gauge(
            "megilance_process_up",
            "1: its snapshot is fresh; 0: it fell silent.",
            [(ls, is_up) for ls, _, is_up in seen],
        )
        said.gauge(
            "megilance_process_snapshot_age_seconds", "Age of its last snapshot.", [(ls, age) for ls, age, _ in seen]
        )
        said.gauge("megilance_processes", "Processes that report.", [({"process": name}, n) for name, n in up.items()])
        said.gauge(
            "megilance_processes_expected",
            "Processes that SCALE says there are.",
            [({"process": name}, n) for name, n in expected.items()],
        )

    def _is_ours(self, one: Snapshot) -> bool:
        """Whether it is this process, or one that died as what this one now is to whoever reads."""
        ours, its = self._process, one.process
        return (its.role, its.host, its.pid) == (ours.role, ours.host, ours.pid)

    @staticmethod
    def _labels(role_: str, host: str, pid: int) -> dict[str, str]:
        return {"process": role_, "instance": f"{host}:{pid}"}


def _decoded(one: Snapshot) -> list[Family]:
    if one.families is None:
        return []
    try:
        return _families.decode(one.families)
    except msgspec.DecodeError:  # another release's shape
        log.warning("metrics.unreadable", release=one.process.release)
        return []


async def _look() -> Looked | None:
    snapshots: list[Snapshot] | None = None
    try:
        async with asyncio.timeout(PATIENCE_S):
            snapshots = await read_fresh()
            queues = await read_queues([queue.value for queue in Queue])
            return Looked(snapshots, queues, await count_unnumbered())
    except (*guard.LOST_CONNECTION, asyncpg.PostgresError) as error:
        log.warning("metrics.not_read", error=type(error).__name__)
        return None if snapshots is None else Looked(snapshots)


def _show_queues(said: Exposition, queues: Mapping[str, QueueState]) -> None:
    said.gauge(
        "megilance_queue_jobs",
        "Jobs by queue and state: due, scheduled, running, dead. "
        f"Counting stops at {COUNTED} of a queue, scheduled ones apart, and at {DEAD_COUNTED} dead ones of all queues.",
        [
            ({"queue": queue, "state": state}, getattr(found, state))
            for queue, found in queues.items()
            for state in ("due", "scheduled", "running", "dead")
        ],
    )
    for name, about, field in (
        ("megilance_queue_oldest_due_seconds", "How long the oldest due job has waited.", "oldest_due_s"),
        ("megilance_queue_paused", "1: an admin has paused the queue.", "is_paused"),
        ("megilance_queue_workers", "Live worker processes that serve the queue.", "workers"),
    ):
        said.gauge(name, about, [({"queue": queue}, getattr(found, field)) for queue, found in queues.items()])


class Figures(msgspec.Struct, frozen=True):
    """How the service does at a glance. Time and errors are of all web processes since each began, probes left out."""

    total_users: int
    active_sessions: int
    avg_response_time_ms: float
    error_rate: float


@get("/metrics", opt=PUBLIC | UNLIMITED, security=ANYBODY, include_in_schema=False, media_type=MediaType.TEXT)
async def expose(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Everything that every process counts, in Prometheus' text format."""
    chosen: Settings = request.app.state.settings
    _admit(chosen, request.headers.getall("authorization", []))
    scraped: Scrape = request.app.state.scraped
    return Response(await scraped.text(), headers={"Content-Type": CONTENT_TYPE})


def _admit(chosen: Settings, sent: list[str]) -> None:
    """Raises NotFoundException where nobody may read, TokenInvalid for a wrong token."""
    if chosen.metrics.token:
        wanted = f"Bearer {chosen.metrics.token}".encode()
        if len(sent) != 1 or not hmac.compare_digest(sent[0].encode("latin-1", "replace"), wanted):
            raise TokenInvalid("Send the METRICS_TOKEN: `Authorization: Bearer …`.")
    elif not chosen.metrics.is_open:
        raise NotFoundException


@get("/metrics", guards=[role(Role.ADMIN)])
async def figures(request: Request[Any, Any, Any]) -> Figures:
    """Accounts, sessions that can still be refreshed, mean answer time and share of our own errors. Admins only."""
    scraped: Scrape = request.app.state.scraped
    people = await count_people(REFRESH_DAYS)
    mean_ms, errors = _summed(scraped.families_of_web(await scraped.look()))
    return Figures(people.users, people.sessions, mean_ms, errors)


def _summed(families: list[Family]) -> tuple[float, float]:
    """Mean answer time in ms, and the share of answers with a status of 500 or more; 0 where nothing was counted."""
    spent = taken = answers = failed = 0.0
    for one in (sample for family in families if family.name in (DURATIONS, ANSWERS) for sample in family.samples):
        if one.labels["route"].startswith(QUIET):
            continue
        spent += one.value if one.name == f"{DURATIONS}_sum" else 0
        taken += one.value if one.name == f"{DURATIONS}_count" else 0
        if one.name == f"{ANSWERS}_total":
            answers += one.value
            failed += one.value if one.labels["status"] == "5xx" else 0
    return (round(spent / taken * 1000, 3) if taken else 0.0, round(failed / answers, 6) if answers else 0.0)


pages: Final = Router("/", route_handlers=[expose])
router: Final = Router("/api", route_handlers=[figures], tags=["health"])
