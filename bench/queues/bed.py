"""The bed all systems are tested on: one PostgreSQL with fsync, one Redis, a database of each for every system."""

import asyncio
import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import redis

from bench.queues import processes
from bench.queues.peers import ROOT
from bench.queues.systems import System
from bench.queues.work import EFFECTS, MARK_BYTES
from sandbox.leash import leashed
from sandbox.postgres import Postgres
from sandbox.redis import Redis
from tests.conftest import SETTINGS

ANSWER_LIMIT_S: Final = 120.0
READY_S: Final = 30.0
POLL_S: Final = 0.005
EMPTY: Final = {
    "ours": "truncate jobs, job_live, job_keys, workers",
    "procrastinate": "truncate procrastinate_jobs, procrastinate_events, procrastinate_periodic_defers,"
    " procrastinate_workers restart identity cascade",
}


class Bench(Exception):
    """The measurement itself went wrong; the message says where."""


def sql(url: str, statement: str, *arguments: Any) -> list[asyncpg.Record]:
    """Run one statement on a connection of its own."""

    async def run() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(url)
        try:
            return list(await connection.fetch(statement, *arguments))
        finally:
            await connection.close()

    return asyncio.run(run())


class Place:
    """One system's share of the bed: its database, its Redis database, its marks, its enqueuer."""

    def __init__(self, bed: "Bed", system: System, number: int) -> None:
        self.system = system
        self.name = system.name
        self.marks_path = bed.directory / f"{system.name}.marks"
        self.log = bed.directory / f"{system.name}.log"
        self.database_url = _renamed(bed.postgres.url, f"bench_{system.name}")
        self.redis_url = _renamed(bed.redis.url, str(number))
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("DATABASE_", "REDIS_"))},
            **SETTINGS,
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "BENCH_MARKS": str(self.marks_path),
            "BENCH_DATABASE_URL": self.database_url,
            "BENCH_REDIS_URL": self.redis_url,
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "ignore",
        }
        sql(bed.postgres.url, f"create database bench_{system.name}")
        sql(self.database_url, EFFECTS)
        if system.is_ours:
            subprocess.run([sys.executable, "-m", "tasks.migrate"], env=self.environment, cwd=ROOT, check=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        self._enqueuer = self.start([system.interpreter, "-m", system.module], pipes=True)
        self.ask("prepare")

    def start(self, command: list[str], *, pipes: bool = False) -> subprocess.Popen[str]:
        """Start a program in a session of its own, which ends when we do, with its children if it has any."""
        farewell = signal.SIGTERM if self.system.has_masters and not pipes else signal.SIGKILL
        ends = subprocess.PIPE if pipes else subprocess.DEVNULL
        with self.log.open("ab") as log:
            return subprocess.Popen(
                leashed(command, farewell=farewell), env=self.environment, cwd=ROOT, start_new_session=True,
                stdin=ends, stdout=ends if pipes else log, stderr=log, text=True,
            )  # fmt: skip

    def trouble(self, what: str) -> Bench:
        """The error to raise, with the last words of the system's processes."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:] if self.log.exists() else []
        return Bench("\n".join([f"{self.system.label}: {what}. Its log ends:", *lines]))

    def await_first_mark(self) -> None:
        """Wait until a worker works. Raises Bench when none does."""
        if not self.await_marks(1, READY_S):
            raise self.trouble(f"no job began within {READY_S:g} s")

    def tell(self, do: str, **fields: Any) -> None:
        """Send the enqueuer a command."""
        assert self._enqueuer.stdin is not None
        self._enqueuer.stdin.write(json.dumps({"do": do, **fields}) + "\n")
        self._enqueuer.stdin.flush()

    def hear(self) -> dict[str, Any]:
        """The enqueuer's answer."""
        assert self._enqueuer.stdout is not None
        ready, _, _ = select.select([self._enqueuer.stdout], [], [], ANSWER_LIMIT_S)
        line = self._enqueuer.stdout.readline() if ready else ""
        if not line:
            raise self.trouble("the enqueuer gave no answer")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ask(self, do: str, **fields: Any) -> dict[str, Any]:
        """Send a command and wait for the answer."""
        self.tell(do, **fields)
        return self.hear()

    def fill(self, **fields: Any) -> None:
        """Make a backlog, and let PostgreSQL know of it as its autovacuum soon would: stale statistics slow a claim."""
        self.ask("fill", **fields)
        sql(self.database_url, "analyze")

    def marks(self, letter: str) -> list[int]:
        """The moments the jobs with this letter began at, in nanoseconds."""
        text = self.marks_path.read_text(encoding="ascii") if self.marks_path.exists() else ""
        return sorted(int(line[:-1]) for line in text.splitlines() if line.endswith(letter))

    def count_marks(self) -> int:
        """How many jobs have begun since the last `clear`."""
        return self.marks_path.stat().st_size // MARK_BYTES if self.marks_path.exists() else 0

    def await_marks(self, count: int, limit_s: float) -> bool:
        """Wait until so many have begun; whether they have."""
        deadline = time.monotonic() + limit_s
        while self.count_marks() < count:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_S)
        return True

    def clear(self) -> None:
        """Forget every job, mark and effect. No worker may be running."""
        with redis.Redis.from_url(self.redis_url) as client:
            client.flushdb()
        if self.name in EMPTY:
            sql(self.database_url, EMPTY[self.name])
        sql(self.database_url, "truncate effects")
        self.marks_path.unlink(missing_ok=True)

    def effects(self, prefix: str) -> tuple[int, int]:
        """How many keys with this prefix took effect, and how many of them more than once."""
        found = sql(
            self.database_url,
            "select count(*), count(*) filter (where n > 1) from"
            " (select count(*) n from effects where key like $1 || '%' group by key) k",
            prefix,
        )
        return found[0][0], found[0][1]

    def close(self) -> None:
        """End the enqueuer."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._enqueuer.pid, signal.SIGKILL)
        self._enqueuer.communicate()


class Workers:
    """A system's workers, with what a supervisor does: what dies is started again."""

    def __init__(self, place: Place, count: int) -> None:
        self.place = place
        self.restarts = 0
        self._sessions: set[int] = set()
        self._running = [(command, self._start(command)) for command in place.system.commands(count)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _start(self, command: list[str]) -> subprocess.Popen[str]:
        started = self.place.start(command)
        self._sessions.add(started.pid)
        return started

    def pids(self) -> list[int]:
        """Every process of theirs."""
        return processes.members(self._sessions)

    def victims(self) -> list[int]:
        """Those that work on jobs: a child, not its launcher, where there is one."""
        if self.place.system.is_ours:
            return [one["pid"] for one in sql(self.place.database_url, "select pid from workers order by pid")]
        masters = {one.pid for _, one in self._running} if self.place.system.has_masters else set()
        return [pid for pid in self.pids() if pid not in masters and not processes.is_helper(pid)]

    def tend(self) -> None:
        """Start again what has ended by itself."""
        for number, (command, process) in enumerate(self._running):
            if process.poll() is not None:
                self._kill(process)
                self._running[number] = command, self._start(command)
                self.restarts += 1

    @staticmethod
    def _kill(process: subprocess.Popen[str]) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def end(self) -> tuple[float, int]:
        """Tell them to end, as a supervisor does: the seconds until they were out, and the first one's exit code."""
        began = time.monotonic()
        for _, process in self._running:
            process.terminate()
        codes = [process.wait(ANSWER_LIMIT_S) for _, process in self._running]
        return time.monotonic() - began, codes[0]

    def stop(self) -> None:
        """Kill them all, at once."""
        for _, process in self._running:
            self._kill(process)


class Bed:
    """Servers and places. Leaving it ends everything it started."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="megilance-bench-"))
        self.directory.chmod(0o711)  # PostgreSQL may have to run as another user than root
        self.postgres = Postgres(self.directory / "postgres", fsync=True)
        self.redis = Redis(self.directory / "redis", append_only=False)
        self.places: list[Place] = []

    def __enter__(self) -> Self:
        try:
            self.postgres.start()
            self.redis.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for place in self.places:
            place.close()
        self.redis.stop()
        self.postgres.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def take(self, systems: list[System]) -> list[Place]:
        """Make a place for each system."""
        for number, system in enumerate(systems):
            self.places.append(Place(self, system, number))
        return self.places

    def backends(self, place: Place) -> list[int]:
        """The PostgreSQL processes that serve a place."""
        found = sql(self.postgres.url, "select pid from pg_stat_activity where datname = $1", f"bench_{place.name}")
        return [one["pid"] for one in found]


def _renamed(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path="/" + name))
