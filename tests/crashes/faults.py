"""The faults of a soak: which, when, how each is done, and how soon the jobs it hit were claimed again."""

import asyncio
import contextlib
import os
import random
import signal
import statistics
import time
from collections import defaultdict
from uuid import UUID

import msgspec

from tests.crashes.stage import CREWS, Stage, age_s, ask, children

SHARES = {"keeper": 0.07, "crew": 0.04, "relay": 0.06, "clock": 0.04, "door": 0.04, "redis": 0.06, "postgres": 0.03}
"""Of all faults; each at least once; the rest are kills of single workers."""
FIRST, LAST = 0.02, 0.90
"""Between which parts of the work faults happen."""
GROWN_S = 2.0
"""A child this old that is in nobody's list of workers is the keeper."""
SAMPLE_S = 0.05
TRIES = 2000
PAUSE_S = 0.02


class Fault(msgspec.Struct, frozen=True):
    """One fault, and after which part of the work it comes."""

    at: float
    what: str


def draw(chance: random.Random, kills: int) -> list[Fault]:
    """The faults of a soak in their order. PostgreSQL's are spread evenly; the others fall where they fall."""
    drawn: list[Fault] = []
    for what, share in SHARES.items():
        count = max(1, round(kills * share))
        for n in range(count):
            low, high = (n / count, (n + 0.8) / count) if what == "postgres" else (0.0, 1.0)
            drawn.append(Fault(FIRST + (LAST - FIRST) * chance.uniform(low, high), what))
    drawn += [Fault(chance.uniform(FIRST, LAST), "worker") for _ in range(kills - len(drawn))]
    return sorted(drawn, key=lambda fault: fault.at)


class Recoveries:
    """Watches the jobs that a fault hit until somebody has claimed each of them anew."""

    def __init__(self) -> None:
        self._watched: list[tuple[str, float, dict[UUID, int]]] = []
        self._hit: dict[tuple[str, float], float] = {}

    def watch(self, what: str, held: dict[UUID, int]) -> None:
        """From now: these jobs, held under these claim numbers, are nobody's any more."""
        if held:
            self._watched.append((what, time.monotonic(), held))

    async def sample(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            ids = [job_id for _, _, held in self._watched for job_id in held]
            rows = await ask("select job_id, claim_no from job_live where job_id = any($1)", ids) if ids else []
            found = {row["job_id"]: row["claim_no"] for row in rows}
            now = time.monotonic()
            for what, began, held in self._watched:
                for job_id, claim_no in list(held.items()):
                    if job_id not in found:  # it had ended before the kill, or between two looks: either proves nothing
                        del held[job_id]
                    elif found[job_id] > claim_no:
                        self._hit[what, began] = now - began
                        del held[job_id]
            self._watched = [one for one in self._watched if one[2]]
            await asyncio.sleep(SAMPLE_S)

    def summary(self) -> dict[str, dict[str, float]]:
        """For each fault: how often, and the median and longest seconds until the last job it hit ran again."""
        by_fault: dict[str, list[float]] = defaultdict(list)
        for (what, _), took_s in self._hit.items():
            by_fault[what].append(took_s)
        return {
            what: {"count": len(took), "p50_s": round(statistics.median(took), 2), "max_s": round(max(took), 2)}
            for what, took in sorted(by_fault.items())
        }


class Inflicter:
    """Does what a fault says, to a stage."""

    def __init__(self, stage: Stage, chance: random.Random, outage_s: float) -> None:
        self._stage = stage
        self._chance = chance
        self._outage_s = outage_s
        self.recoveries = Recoveries()
        self.count: dict[str, int] = defaultdict(int)

    async def inflict(self, what: str) -> None:
        """One fault of this kind, waiting for something to hit if need be. AssertionError when nothing appears."""
        for _ in range(TRIES):
            if await self._try(what):
                self.count[what] += 1
                return
            await asyncio.sleep(PAUSE_S)
        raise AssertionError(f"there was no {what} to kill: did the jobs end before the faults?")

    async def _try(self, what: str) -> bool:
        match what:
            case "worker":
                return await self._kill_worker()
            case "keeper":
                return await self._kill_keeper()
            case "crew":
                return await self._kill_crew()
            case "redis":
                await asyncio.to_thread(self._stage.redis.kill_with_total_loss)
            case "postgres":
                await self._crash_postgres()
            case _:
                self._stage.restart(what)
        return True

    async def _held_by(self, pids: set[int]) -> dict[int, dict[UUID, int]]:
        """What each of these workers holds, without what waits a while by design when it is lost again."""
        rows = await ask(
            """select w.pid, l.job_id, l.claim_no, l.lost from workers w join job_live l on l.worker_id = w.id
                where l.status = 1 and w.pid = any($1) order by w.pid""",
            list(pids),
        )
        held: dict[int, dict[UUID, int]] = defaultdict(dict)
        for row in rows:
            if row["lost"] == 0:
                held[row["pid"]][row["job_id"]] = row["claim_no"]
            else:
                held.setdefault(row["pid"], {})
        return held

    async def _kill_worker(self) -> bool:
        held = await self._held_by(self._stage.workers_and_keepers())
        if not held:
            return False
        victim = self._chance.choice(sorted(held))
        if not _kill(victim):
            return False
        self.recoveries.watch("worker", held[victim])
        return True

    async def _kill_keeper(self) -> bool:
        workers = {row["pid"] for row in await ask("select pid from workers")}
        crews = [self._stage.running[name].pid for name in CREWS]
        keepers = [pid for crew in crews for pid in children(crew) if pid not in workers and age_s(pid) > GROWN_S]
        return bool(keepers) and _kill(self._chance.choice(sorted(keepers)))

    async def _kill_crew(self) -> bool:
        name = self._chance.choice(CREWS)
        held = await self._held_by(set(children(self._stage.running[name].pid)))
        if not held:
            return False
        self._stage.restart(name)
        self.recoveries.watch("crew", {job: no for one in held.values() for job, no in one.items()})
        return True

    async def _crash_postgres(self) -> None:
        await asyncio.to_thread(self._stage.postgres.kill)
        await asyncio.sleep(self._outage_s)
        url = self._stage.postgres.url
        assert await asyncio.to_thread(self._stage.postgres.start) == url, "another program has taken the port"


def _kill(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        return True
    return False
