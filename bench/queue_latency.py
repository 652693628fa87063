"""Idle commit → start of a job: ours, and stock Dramatiq on Redis, side by side in one run, each with a real worker.

`python -m bench.queue_latency [--jobs 50]`. Both get the same gaps, long enough to be idle; the two take turns. Prints
a table and, last, one line of JSON. Quote the ratio, not the absolutes.
"""

# ruff: noqa: PLC0415  our modules read the settings as they are imported, and the servers come first
import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from bench.queue_jobs import Stamp
from tests.conftest import SETTINGS
from tests.servers import start_servers

WARM = 5
LONGEST_S = 10.0
GAP_S = (0.6, 1.4)
"""Longer than stock's longest back-off between polls, so that every job finds its worker idle."""


def read(stamps: Path, count: int) -> list[int]:
    """The moments jobs began at, once there are `count` of them."""
    deadline = time.monotonic() + LONGEST_S
    while time.monotonic() < deadline:
        lines = stamps.read_text(encoding="ascii").split() if stamps.exists() else []
        if len(lines) >= count:
            return [int(line) for line in lines]
        time.sleep(0.002)
    raise SystemExit(f"{stamps.name}: a job did not begin within {LONGEST_S:g} s")


async def latencies(
    enqueues: dict[str, Callable[[], Awaitable[None]]], stamps: dict[str, Path], jobs: int
) -> dict[str, list[float]]:
    """Milliseconds from the return of the enqueue to the job's first line, for each system."""
    found: dict[str, list[float]] = {name: [] for name in enqueues}
    for number in range(1, jobs + WARM + 1):
        for name, enqueue in enqueues.items():
            await asyncio.sleep(random.uniform(*GAP_S))  # noqa: S311  not in step with anybody's polls
            await enqueue()
            committed = time.monotonic_ns()
            began = (await asyncio.to_thread(read, stamps[name], number))[number - 1]
            if number > WARM:
                found[name].append(max(0, began - committed) / 1e6)
    return found


async def measure(jobs: int, directory: Path, redis_url: str) -> dict[str, dict[str, float]]:
    """Run both, in turns."""
    from models import guard, outbox
    from wire.bell import Bell
    from wire.redis import Names

    stamps = {"ours": directory / "ours", "stock": directory / "stock"}
    await guard.open_pool(max_size=2)
    bell = Bell(redis_url, Names("mgl:test:"))
    guard.hang_bell(bell)

    async def ours() -> None:
        await guard.commit(outbox.enqueue, Stamp(path=str(stamps["ours"])))

    from bench.queue_stock import stamp

    async def stock() -> None:
        stamp.send(str(stamps["stock"]))

    found = await latencies({"ours": ours, "stock": stock}, stamps, jobs)
    await bell.close()
    await guard.close_pool()
    return {
        name: {
            "p50_ms": round(statistics.median(values), 2),
            "p90_ms": round(sorted(values)[int(len(values) * 0.9)], 2),
            "max_ms": round(max(values), 2),
        }
        for name, values in found.items()
    }


def main() -> None:
    """Start servers and workers, measure, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=50)
    jobs: int = parser.parse_args().jobs
    servers = start_servers()
    os.environ.update(SETTINGS, DATABASE_URL=servers.database_url, REDIS_URL=servers.redis_url)
    from tasks import migrate

    asyncio.run(migrate.migrate(servers.database_url))
    workers = [
        subprocess.Popen([sys.executable, "-m", "bench.queue_jobs", "--queues", "bulk"], start_new_session=True),
        subprocess.Popen(
            [sys.executable, "-m", "dramatiq", "bench.queue_stock", "-p", "1", "-t", "8"],
            start_new_session=True,
            stderr=subprocess.DEVNULL,
        ),
    ]
    try:
        with tempfile.TemporaryDirectory() as directory:
            time.sleep(3)
            found = asyncio.run(measure(jobs, Path(directory), servers.redis_url))
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.wait(30)
        servers.stop()
    print(f"{'idle commit → start':24}{'p50 ms':>10}{'p90 ms':>10}{'max ms':>10}   ({jobs} jobs each)")
    for name, label in (("ours", "MegiLance"), ("stock", "Dramatiq on Redis")):
        print(f"{label:24}" + "".join(f"{found[name][key]:>10}" for key in ("p50_ms", "p90_ms", "max_ms")))
    ratio = round(found["stock"]["p50_ms"] / max(found["ours"]["p50_ms"], 0.01), 1)
    print(json.dumps({"bench": "queue_latency", "jobs": jobs, **found, "stock_over_ours_p50": ratio}))


if __name__ == "__main__":
    main()
