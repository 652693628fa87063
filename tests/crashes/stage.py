"""Everything a soak runs, as processes that can be killed and started again: servers, crews, relay, clock, door."""

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import asyncpg

from models import guard
from sandbox.leash import leashed
from sandbox.postgres import Postgres
from sandbox.redis import Redis
from tests.conftest import SETTINGS
from tests.crashes.probes import TABLES

CREWS = ("crew 1", "crew 2")
PROCESSES, THREADS = 2, 8
WORKER = ("tests.crashes.probes", "--queues", "notify,bulk", "--processes", str(PROCESSES), "--threads", str(THREADS))
PROGRAMS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(CREWS, WORKER),
    "relay": ("tasks.relay",),
    "clock": ("tests.crashes.timekeeper",),
    "door": ("tests.crashes.door",),
}
LONGEST_OUTAGE_S = 90.0
UP_S = 4.0
"""After this long a program has its own answer to SIGTERM; before, it simply ends."""


class Stage:
    """The processes of one soak, in one directory. Use as an asynchronous context manager, from the main thread."""

    def __init__(self, directory: Path) -> None:
        directory.chmod(0o711)  # PostgreSQL may have to run as another user than root, and must be able to walk in
        self.directory = directory
        # Durable, since an unwritten commit lost in a crash restart would look like a job lost by the queue.
        self.postgres = Postgres(directory / "postgres", fsync=True)
        self.redis = Redis(directory / "redis", append_only=False)
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    async def __aenter__(self) -> Self:
        logging.getLogger("asyncpg").setLevel(logging.CRITICAL)  # its pool reports every outage with a traceback
        url = self.postgres.start()
        os.environ.update(SETTINGS, DATABASE_URL=url, DATABASE_DIRECT_URL=url, REDIS_URL=self.redis.start())
        self._run("tasks.migrate")
        await guard.open_pool(max_size=4)
        for statement in TABLES.split(";\n"):
            if statement.strip():
                await guard.rows(statement)
        return self

    async def __aexit__(self, *_: object) -> None:
        for name in list(self.running):
            self.kill(name)
        await guard.close_pool()
        self.redis.stop()
        self.postgres.stop()

    @staticmethod
    def _run(module: str) -> None:
        subprocess.run([sys.executable, "-m", module], check=True, capture_output=True)

    def start(self, name: str) -> None:
        """Start a program, in a process group of its own that ends with this process; its log is kept."""
        module, *arguments = PROGRAMS[name]
        command = leashed([sys.executable, "-m", module, *arguments], farewell=signal.SIGKILL)
        with self.log(name).open("ab") as log:
            self.running[name] = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def kill(self, name: str) -> None:
        """Kill a program with all its children."""
        process = self.running.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def restart(self, name: str) -> None:
        """Kill a program with all its children, and start it again."""
        self.kill(name)
        self.start(name)

    async def tell(self, name: str, within_s: float) -> int | None:
        """End a program with SIGTERM; its exit status, or None when it had to be killed."""
        process = self.running[name]
        while age_s(process.pid) < UP_S and process.poll() is None:  # noqa: ASYNC110  the kernel's news
            await asyncio.sleep(0.1)
        process.terminate()
        try:
            return await asyncio.to_thread(process.wait, within_s)
        except subprocess.TimeoutExpired:
            return None
        finally:
            self.kill(name)

    def log(self, name: str) -> Path:
        """Where a program's lines go."""
        return self.directory / f"{name.replace(' ', '-')}.log"

    def workers_and_keepers(self) -> set[int]:
        """The ids of every crew's children."""
        return {pid for name in CREWS if name in self.running for pid in children(self.running[name].pid)}


async def ask(sql: str, *arguments: Any) -> list[Any]:
    """The rows of a statement, asked again while PostgreSQL is away."""
    until = asyncio.get_running_loop().time() + LONGEST_OUTAGE_S
    while True:
        try:
            return await guard.rows(sql, *arguments)
        except (*guard.LOST_CONNECTION, asyncpg.InternalClientError):
            if asyncio.get_running_loop().time() > until:
                raise
            await asyncio.sleep(0.05)


async def ask_value(sql: str, *arguments: Any) -> Any:
    """The first column of the only row."""
    (found,) = await ask(sql, *arguments)
    return found[0]


def children(pid: int) -> list[int]:
    """The ids of a process' children; none when it is gone."""
    try:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]
    except OSError:
        return []


def age_s(pid: int) -> float:
    """For how long a process has lived; 0 when it is gone."""
    try:
        ticks = int(Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(") ")[2].split()[19])
        up_s = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    except (OSError, IndexError):
        return 0.0
    return up_s - ticks / os.sysconf("SC_CLK_TCK")
