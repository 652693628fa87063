"""Finding projects among 200,000: `python -m bench.search [--size large] [--runs 50]`; writes docs/bench/search.md.

Fills a scratch database with the made-up marketplace (or takes one that is: `--database-url`), asks for twenty words
from common to absent and for plain lists, each at page 1 and at page 1,000 (or its last, when there are fewer), through
the service's own `models.search.find`. A time is what all statements of a page took, less the way there and back; beside
it stands what the server's process computed for them, which tells the same on a machine that others use too.
"""

# ruff: noqa: PLC0415, E501  our modules read the settings as they are imported, and the servers come first; a page has long lines
import argparse
import asyncio
import os
import platform
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import asyncpg

from bench.job_search import scratch
from sandbox.seed.market import load
from sandbox.seed.plan import SIZES
from tests.conftest import SETTINGS, _renamed
from tests.servers import start_servers

if TYPE_CHECKING:
    from models.sought import Position, Sort, Sought

SCRATCH = "bench_search"
PAGE = Path(__file__).parents[1] / "docs" / "bench" / "search.md"
GOAL_MS = 10.0
LIMIT = 20
DEEP_PAGE = 1_000
WARM = 8
SHARES = (0.66, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005, 0.0002, 0.0001, 0.00003)
"""How many of all open projects have the word that is asked for: sixteen words, and the four below."""
TOGETHER = ('"graphic design"', "react kubernetes", "modern -logo", "zzyzzx")
"""A phrase, two words that never meet, one without the other, and one that nobody wrote."""

FREQUENCIES = """
select word, ndoc from ts_stat($$ select search from projects where status = 'open' and visibility = 'public' $$)
 where word ~ '^[a-z]+$' order by ndoc desc, word
"""
OPEN = "select count(*) from projects where status = 'open' and visibility = 'public'"
NTH = "select id from projects where status = 'open' and visibility = 'public' order by id desc offset $1 limit 1"
MATCHES = """
select id from projects where status = 'open' and visibility = 'public'
   and search @@ websearch_to_tsquery('english', plain($1)) order by id desc
"""


class Clock:
    """What statements took, in milliseconds, less a round trip each."""

    def __init__(self, round_trip_ms: float) -> None:
        self.round_trip_ms = round_trip_ms
        self.ms = 0.0
        self.statements = 0

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count what goes through the guard meanwhile."""
        from models import guard

        rows = guard.rows

        async def timed(sql: str, *values: Any) -> list[Any]:
            began = time.perf_counter()
            try:
                return await rows(sql, *values)
            finally:
                self.ms += max(0.0, (time.perf_counter() - began) * 1000 - self.round_trip_ms)
                self.statements += 1

        guard.rows = timed
        try:
            yield
        finally:
            guard.rows = rows


async def round_trip_ms() -> float:
    """The median way to the server and back, through the pool."""
    from models import guard

    found = []
    for _ in range(200):
        began = time.perf_counter()
        await guard.value("select 1")
        found.append((time.perf_counter() - began) * 1000)
    return statistics.median(found)


class Times(NamedTuple):
    """Of so many runs, in milliseconds: what they took, and what the server's process computed (None: not told)."""

    p50: float
    p99: float
    cpu_p99: float | None

    def __str__(self) -> str:
        return f"{self.p50:.2f} | {self.p99:.2f} | {'' if self.cpu_p99 is None else f'{self.cpu_p99:.2f}'}"


def cpu_ms(pid: int) -> float | None:
    """What a process of this machine has computed so far; None where the kernel does not say."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0]) / 1e6
    except OSError:
        return None


def _p99(found: list[float]) -> float:
    return sorted(found)[min(len(found) - 1, int(len(found) * 0.99))]


async def timed(question: Callable[[], Awaitable[Any]], runs: int, trip_ms: float) -> Times:
    """So many runs, after as many as make a server choose its plan for good."""
    from models import guard

    backend = await guard.value("select pg_backend_pid()")
    for _ in range(WARM):
        await question()
    took, computed = [], []
    for _ in range(runs):
        clock, before = Clock(trip_ms), cpu_ms(backend)
        with clock.watching():
            await question()
        took.append(clock.ms)
        after = cpu_ms(backend)
        if before is not None and after is not None:
            computed.append(after - before)
    return Times(statistics.median(took), _p99(took), _p99(computed) if computed else None)


class Question(NamedTuple):
    """What is asked: its name, how many there are (None: nobody counted), and where its deep page begins, if it has one."""

    name: str
    count: int | None
    sought: "Sought"
    sort: "Sort"
    deep: "Position | None"

    async def ask(self, position: "Position | None") -> None:
        """Ask for a page."""
        from models import search

        await search.find(self.sought, sort=self.sort, position=position, limit=LIMIT)


async def questions() -> list[Question]:
    """Twenty words, and some plain lists."""
    from models import guard, sought

    total = await guard.value(OPEN)
    frequencies = await guard.rows(FREQUENCIES)
    words = [min(frequencies, key=lambda one: abs(one["ndoc"] / total - share))["word"] for share in SHARES]
    found = []
    for text in (*dict.fromkeys(words), *TOGETHER):
        ids = [one["id"] for one in await guard.rows(MATCHES, text)]
        before = min(LIMIT * (DEEP_PAGE - 1), len(ids) - LIMIT)
        deep = sought.Position(id=ids[before - 1]) if before > 0 else None
        found.append(Question(text, len(ids), sought.Sought(q=text), sought.Sort.NEWEST, deep))
    behind = sought.Position(id=await guard.value(NTH, LIMIT * (DEEP_PAGE - 1)))
    return [
        *found,
        Question("*all, newest first*", total, sought.Sought(), sought.Sort.NEWEST, behind),
        Question("*one category*", None, sought.Sought(category="writing"), sought.Sort.NEWEST, behind),
        Question("*one skill*", None, sought.Sought(skills=["Level Design"]), sought.Sort.NEWEST, behind),
        Question("*website, best first*", None, sought.Sought(q="website"), sought.Sort.RELEVANCE, None),
        Question("*in USD, dearest first*", None, sought.Sought(currency="USD"), sought.Sort.BUDGET_HIGH, None),
    ]


async def measure(runs: int) -> tuple[list[str], Times]:
    """The lines of the table, and the slowest p99s of all."""
    from models import guard

    await guard.open_pool(min_size=1, max_size=1)  # one process of the server answers everything
    trip = await round_trip_ms()
    lines, slowest = [], Times(0, 0, 0)
    for question in await questions():
        pages = [None, question.deep] if question.deep else [None]
        times = [await timed(partial(question.ask, page), runs, trip) for page in pages]
        slowest = Times(0, max(slowest.p99, *(one.p99 for one in times)),
                        max(slowest.cpu_p99 or 0, *(one.cpu_p99 or 0 for one in times)))  # fmt: skip
        cells = [str(one) for one in times] + [" |  | "] * (2 - len(times))
        counted = "" if question.count is None else f"{question.count:,}"
        lines.append(f"| {question.name} | {counted} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    await guard.close_pool()
    return lines, slowest


HEAD = """# Finding projects

`python -m bench.search`, {day}, {cores} cores, Python {python}: {projects:,} made-up projects of {users:,} people, analysed, with the
planner's defaults. Milliseconds that all statements of one page of 20 took in the database, less the way there and back: p50 and p99 of {runs} runs, at
page 1 and at page 1,000, or the last one where there are fewer; **CPU** is the p99 of what the server's process computed for the page. {load}
Goal: a p99 of at most {goal:g} ms; the slowest was {slowest:.1f} ms, {cpu:.1f} ms of CPU.

| asked for | projects | page 1 p50 | p99 | CPU | page 1,000 p50 | p99 | CPU |
|---|---:|---:|---:|---:|---:|---:|---:|
"""


def written(lines: list[str], slowest: Times, runs: int, size: str) -> str:
    """The page's text."""
    head = HEAD.format(
        day=time.strftime("%Y-%m-%d"),
        cores=os.cpu_count(),
        python=platform.python_version(),
        projects=SIZES[size].projects,
        users=SIZES[size].users,
        runs=runs,
        goal=GOAL_MS,
        slowest=slowest.p99,
        cpu=slowest.cpu_p99 or 0,
        load=f"The machine's load was {os.getloadavg()[0]:.1f}.",
    )
    return head + "\n".join([*lines, ""])


def main() -> None:
    """Start a server, fill, ask, print, write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", choices=sorted(SIZES), default="large")
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--database-url", help="a database that is migrated and seeded already")
    chosen = parser.parse_args()
    servers = None if chosen.database_url else start_servers()
    url = chosen.database_url or _renamed(servers.database_url if servers else "", SCRATCH)
    os.environ.update(SETTINGS, DATABASE_URL=url, REDIS_URL=servers.redis_url if servers else "redis://127.0.0.1:1")
    from tasks import migrate

    try:
        if servers:
            asyncio.run(scratch(servers.database_url, f"create database {SCRATCH}"))
            asyncio.run(migrate.migrate(url))
            began = time.monotonic()
            asyncio.run(load(url, SIZES[chosen.size]))
            print(f"seeded in {time.monotonic() - began:.0f} s")
        asyncio.run(settle(url))
        lines, slowest = asyncio.run(measure(chosen.runs))
    finally:
        if servers:
            servers.stop()
    PAGE.write_text(written(lines, slowest, chosen.runs, chosen.size), encoding="utf-8")
    print(f"slowest p99: {slowest.p99:.1f} ms, {slowest.cpu_p99 or 0:.1f} ms of CPU; goal {GOAL_MS:g} ms")


async def settle(url: str) -> None:
    """Leave nothing for a background process to do while times are taken."""
    connection = await asyncpg.connect(url)
    await connection.execute("vacuum analyze")
    await connection.close()


if __name__ == "__main__":
    main()
