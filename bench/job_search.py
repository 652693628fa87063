"""An admin's searches among a million jobs: `python -m bench.job_search [--jobs 1000000] [--runs 20]`.

Fills a scratch database of its own: a month of jobs, of which one in a hundred failed and one in a hundred of those is
dead, and a backlog. Prints each question's median and maximum in milliseconds, rows decoded, and last one line of JSON.
`--explain` prints the plans too. `MEGILANCE_TEST_DATABASE_URL` names a server to use.
"""

# ruff: noqa: PLC0415  our modules read the settings as they are imported, and the servers come first
import argparse
import asyncio
import json
import os
import statistics
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg

from tests.conftest import SETTINGS, _renamed
from tests.seeding import seed_jobs, seed_live
from tests.servers import start_servers

if TYPE_CHECKING:
    from models.queue.search import Filter

SCRATCH = "bench_job_search"
GOAL_MS = 100


async def questions() -> dict[str, "Filter"]:
    """What an admin asks, each by its name."""
    from models import guard
    from models.jobs import Queue
    from models.queue.search import Filter, State

    middle = await guard.value(
        "select id from jobs where kind = 'escrow.release_milestone' order by id offset 500 limit 1"
    )
    now = datetime.now(UTC)
    return {
        "everything, newest": Filter(),
        "by id": Filter(id=UUID(int=middle.int)),
        "a user's": Filter(caller_id=4_242),
        "a user's that failed": Filter(caller_id=4_242, state=State.FAILED),
        "nobody's": Filter(caller_id=999_999_999),
        "an error code": Filter(error_code="unreachable"),
        "an error code of a kind": Filter(error_code="unreachable", kind="mail.send_mail"),
        "an error code nobody had": Filter(error_code="no_such_code"),
        "a kind": Filter(kind="mail.send_mail"),
        "a rare kind": Filter(kind="upkeep.tend_partitions"),
        "a kind that does not exist": Filter(kind="no.such_kind"),
        "a queue": Filter(queue=Queue.PAYMENTS),
        "an empty queue": Filter(queue=Queue.ML),
        "a queue's successes": Filter(queue=Queue.BULK, state=State.SUCCEEDED),
        "a common kind's successes": Filter(kind="mail.send_mail", state=State.SUCCEEDED),
        "a common kind's cancelled": Filter(kind="mail.send_mail", state=State.CANCELLED),
        "a common kind in another queue": Filter(kind="mail.send_mail", queue=Queue.ML),
        "queued": Filter(state=State.QUEUED),
        "queued in a queue": Filter(state=State.QUEUED, queue=Queue.PAYMENTS),
        "queued of a kind, by nobody": Filter(state=State.QUEUED, kind="mail.send_mail", caller_id=999_999_999),
        "running": Filter(state=State.RUNNING),
        "succeeded": Filter(state=State.SUCCEEDED),
        "failed": Filter(state=State.FAILED),
        "dead": Filter(state=State.DEAD),
        "dead in a queue": Filter(state=State.DEAD, queue=Queue.PAYMENTS),
        "cancelled": Filter(state=State.CANCELLED),
        "a text in an error": Filter(text="timed out after 8"),
        "a text that nobody said": Filter(text="no such words"),
        "an hour, a fortnight ago": Filter(
            created_from=now - timedelta(days=14), created_to=now - timedelta(days=14) + timedelta(hours=1)
        ),
        "all that failed in that hour": Filter(
            created_from=now - timedelta(days=14),
            created_to=now - timedelta(days=14) + timedelta(hours=1),
            state=State.FAILED,
        ),
        "everything at once": Filter(
            kind="mail.send_mail", state=State.FAILED, queue=Queue.MAIL, error_code="unreachable", text="timed out"
        ),
    }


async def timed(question: Callable[[], Awaitable[Any]], runs: int) -> tuple[float, float]:
    """The median and the longest of so many runs, in milliseconds, after one to warm up."""
    await question()
    found = []
    for _ in range(runs):
        began = time.perf_counter()
        await question()
        found.append((time.perf_counter() - began) * 1000)
    return round(statistics.median(found), 1), round(max(found), 1)


async def explain(wanted: "Filter") -> None:
    """Print the plan of a search."""
    from models import guard
    from models.queue import search

    question = search._Question()  # noqa: SLF001  its own statement, as it is sent
    made = search._candidates(question, wanted, None, 51)  # noqa: SLF001
    sieve = " and ".join(made.sieve) or "true"
    sql = search.PAGE.format(candidates=made.sql, sieve=sieve, limit=question.value(51))
    for line in await guard.rows("explain (analyze, buffers) " + sql, *question.values):
        print("   ", line[0])


async def measure(jobs: int, runs: int, *, plans: bool) -> dict[str, tuple[float, float]]:
    """Fill the database, ask every question."""
    from models import guard
    from models.queue import figures, search

    await guard.open_pool(max_size=2)
    began = time.monotonic()
    await seed_jobs(jobs, days=28)
    await seed_live(jobs, days=2)
    await guard.rows("analyze jobs")
    await guard.rows("analyze job_live")
    print(f"{jobs:,} ended and {jobs:,} waiting jobs written in {time.monotonic() - began:.0f} s")
    found = {}
    for name, wanted in (await questions()).items():
        found[name] = await timed(lambda wanted=wanted: search.find(wanted, limit=50), runs)
        print(f"{name:34}{found[name][0]:>9} ms{found[name][1]:>9} ms")
        if plans:
            await explain(wanted)
    overview = found["figures of all queues"] = await timed(figures.queues, runs)
    print(f"{'figures of all queues':34}{overview[0]:>9} ms{overview[1]:>9} ms")
    await guard.close_pool()
    return found


async def scratch(url: str, *statements: str) -> None:
    """Run statements on the server."""
    connection = await asyncpg.connect(url)
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


def main() -> None:
    """Start a server, fill, ask, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--explain", action="store_true")
    chosen = parser.parse_args()
    servers = start_servers()
    url = _renamed(servers.database_url, SCRATCH)
    os.environ.update(SETTINGS, DATABASE_URL=url, REDIS_URL=servers.redis_url)
    from tasks import migrate

    asyncio.run(scratch(servers.database_url, f"drop database if exists {SCRATCH}", f"create database {SCRATCH}"))
    try:
        asyncio.run(migrate.migrate(url))
        found = asyncio.run(measure(chosen.jobs, chosen.runs, plans=chosen.explain))
    finally:
        asyncio.run(scratch(servers.database_url, f"drop database {SCRATCH} with (force)"))
        servers.stop()
    slowest = max(found, key=lambda name: found[name][0])
    print(json.dumps({"bench": "job_search", "jobs": chosen.jobs, "runs": chosen.runs, "goal_ms": GOAL_MS,
                      "slowest": slowest, "median_max_ms": found}))  # fmt: skip


if __name__ == "__main__":
    main()
