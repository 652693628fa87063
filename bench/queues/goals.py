"""Ours alone, against its own goals: how soon work is back, how it ends when told to, what a stalled Redis holds up."""

import json
import os
import signal
import subprocess
import sys
import time
from random import Random
from typing import Any, Final

from bench.queues.bed import READY_S, Bed, Bench, Place, Workers, sql
from bench.queues.numbers import percentile
from bench.queues.peers import ROOT
from bench.queues.work import THREADS

KILLS: Final = 5
LONG_S: Final = 20.0
"""A job that outlasts its measurement, within its queue's time limit."""
TOLD_S: Final = 30.0
BACK_LIMIT_S: Final = 30.0
STALLED_S: Final = 3.0
STALLED_JOBS: Final = 100
WAITS: Final = 100

HOARD_JOBS: Final = 500
HOARD_S: Final = 4.0
HOLDERS: Final = """
select w.pid, count(*) as held from workers w join job_live l on l.worker_id = w.id and l.status = 1
 group by w.pid order by w.pid
"""


def measure(bed: Bed, places: list[Place], *, chance: Random) -> dict[str, Any]:
    """Every goal that can be measured here."""
    ours = [place for place in places if place.system.is_ours]
    if not ours:
        return {}
    (place,) = ours
    return {
        "killed_child": _killed_children(place, chance),
        "lost_host": _lost_host(place),
        "told_to_end": _told_to_end(place),
        "stalled_redis": _stalled_redis(bed, place),
        "waiting": _waiting(place),
        "long_after_instant": _long_after_instant(place),
    }


def _killed_children(place: Place, chance: Random) -> dict[str, Any]:
    """Kill a busy child; each of its jobs must begin again. Fresh jobs each time, so that each is lost once.

    No more jobs than one process has threads, so that none waits for a thread and only the recovery is measured.
    """
    back_ms: list[float] = []
    for _ in range(KILLS):
        place.clear()
        place.fill(letter="g", count=THREADS, pause_s=LONG_S)
        with Workers(place, 2):
            if not place.await_marks(THREADS, READY_S):
                raise place.trouble("the jobs did not all begin")
            time.sleep(chance.uniform(0.1, 1.0))
            victim = chance.choice(sql(place.database_url, HOLDERS))
            killed_ns = time.monotonic_ns()
            os.kill(victim["pid"], signal.SIGKILL)
            if not place.await_marks(THREADS + victim["held"], BACK_LIMIT_S):
                raise place.trouble("a killed child's jobs did not come back")
        back_ms += [(one - killed_ns) / 1e6 for one in place.marks("g")[THREADS:]]
    return {"kills": KILLS, "jobs": len(back_ms), "p50_ms": percentile(back_ms, 0.5), "max_ms": round(max(back_ms), 1)}


def _lost_host(place: Place) -> dict[str, Any]:
    """Kill a launcher, its keeper and its children at once, while another crew stands by."""
    place.clear()
    place.fill(letter="g", count=THREADS, pause_s=LONG_S)
    with Workers(place, 1) as lost:
        if not place.await_marks(THREADS, READY_S):
            raise place.trouble("the jobs did not all begin")
        with Workers(place, 1):
            deadline = time.monotonic() + READY_S
            while sql(place.database_url, "select count(*) from workers")[0][0] < 2:
                if time.monotonic() > deadline:
                    raise place.trouble("the second crew did not come up")
                time.sleep(0.05)
            killed_ns = time.monotonic_ns()
            lost.stop()
            if not place.await_marks(2 * THREADS, BACK_LIMIT_S):
                raise place.trouble("a lost host's jobs did not come back")
            last_ns = place.marks("g")[-1]
    return {"jobs": THREADS, "seconds": round((last_ns - killed_ns) / 1e9, 1)}


def _told_to_end(place: Place) -> dict[str, Any]:
    """SIGTERM to a crew whose jobs last longer than the drain; as many jobs again have not begun."""
    place.clear()
    place.fill(letter="g", count=2 * THREADS, pause_s=TOLD_S)
    with Workers(place, 1) as workers:
        if not place.await_marks(THREADS, READY_S):
            raise place.trouble("the jobs did not begin")
        seconds, code = workers.end()
    row = sql(
        place.database_url,
        "select count(*) as kept, count(*) filter (where status = 0) as waiting, max(attempts) as attempts"
        "  from job_live",
    )[0]
    return {
        "seconds": round(seconds, 1),
        "exit_code": code,
        "jobs_lost": 2 * THREADS - row["kept"],
        "not_given_back": row["kept"] - row["waiting"],
        "attempts_used": row["attempts"],
    }


def _stalled_redis(bed: Bed, place: Place) -> dict[str, Any]:
    """Enqueue and ring while Redis holds its connections and answers nothing."""
    place.clear()
    fields: dict[str, Any] = {"letter": "s", "count": STALLED_JOBS, "limit_s": STALLED_S, "prefix": ""}
    well = place.ask("outage", **fields)
    pid = bed.redis.pid
    if pid is None:
        raise Bench("Redis is not running")
    os.kill(pid, signal.SIGSTOP)
    try:
        stalled = place.ask("outage", **fields)
    finally:
        os.kill(pid, signal.SIGCONT)
    return {
        "enqueued": sum(not one[1] for one in stalled["tries"]),
        "of": len(stalled["tries"]),
        "loop_held_ms": stalled["worst_lag_ms"],
        "longest_call_ms": max(one[3] for one in stalled["tries"]),
        "loop_held_when_well_ms": well["worst_lag_ms"],
    }


def _long_after_instant(place: Place) -> dict[str, Any]:
    """Long jobs behind instant ones, as many as there are threads: what waits in one process has another's thread."""
    place.clear()
    place.fill(letter="n", count=HOARD_JOBS)
    place.fill(letter="g", count=2 * THREADS, pause_s=HOARD_S)
    with Workers(place, 2):
        if not place.await_marks(HOARD_JOBS + 2 * THREADS, READY_S):
            raise place.trouble("the jobs did not all begin")
    began = place.marks("g")
    late = [one for one in began if one - began[0] > HOARD_S * 1e9 / 2]
    return {"jobs": len(began), "waited_for_another": len(late), "seconds": round((began[-1] - began[0]) / 1e9, 1)}


def _waiting(place: Place) -> dict[str, Any]:
    """A job waited for as a handler does, and the same verb called inline, in turns."""
    place.clear()
    with Workers(place, 1):
        place.ask("single", letter="w", count=1)
        place.await_first_mark()
        done = subprocess.run(
            [sys.executable, "-m", "bench.queues.waiting", str(WAITS)], env=place.environment, cwd=ROOT, check=False,
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
    if done.returncode:
        raise Bench(f"waiting failed: {done.stderr[-1500:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
