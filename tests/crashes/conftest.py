"""Workers whose logs and beginnings can be read, servers of a test's own, and what the tests of the queue use."""

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

import settings
from models import guard, outbox
from models.jobs import Job
from sandbox.postgres import Postgres
from tests.crashes.probes import TABLES
from tests.crashes.stage import children
from tests.tasks.conftest import effects, start, until

__all__ = ["effects", "start"]

PROGRAM = "tests.crashes.probes"


class Hired(msgspec.Struct):
    """A running crew."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        """The launcher's."""
        return self.process.pid

    def said(self, event: str) -> int:
        """How many lines of its log name this."""
        return self.log.read_text(errors="replace").count(event)

    def children(self) -> set[int]:
        """Its workers and its keeper."""
        return set(children(self.pid))

    async def workers(self) -> list[int]:
        """Its workers that have told of themselves."""
        pids = [row["pid"] for row in await guard.rows("select pid from workers order by pid")]
        return [pid for pid in pids if pid in self.children()]

    async def ready(self, count: int = 1) -> list[int]:
        """Its workers, once there are so many."""

        async def there() -> bool:
            return len(await self.workers()) == count

        await until(there, within_s=15, what=f"{count} workers")
        return await self.workers()

    async def keeper(self) -> int:
        """The keeper's process id: the child that is no worker."""
        found: set[int] = set()

        async def one() -> bool:
            found.clear()
            found.update(self.children() - set(await self.workers()))
            return len(found) == 1

        await until(one, what="the keeper")
        return found.pop()


Hire = Callable[..., Hired]


@pytest.fixture
async def tables(database: str) -> str:
    """A fresh database with the tables that these probes write to."""
    # The migration says so too, but of the database it ran in: a clone of a template does not inherit it.
    name = await guard.value("select current_database()")
    await guard.rows(f"alter database {name} set idle_in_transaction_session_timeout = '10s'")
    for statement in TABLES.split(";\n"):
        if statement.strip():
            await guard.rows(statement)
    return database


@pytest.fixture
def hire(tmp_path: Path) -> Iterator[Hire]:
    """Start crews, each in a process group of its own; whatever is left of them is killed at the end."""
    hired: list[Hired] = []

    def run(*arguments: str, program: tuple[str, ...] = (PROGRAM,), **environment: str) -> Hired:
        log = tmp_path / f"crew-{len(hired)}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", *program, *arguments],
                env={**os.environ, "BEGINNINGS": str(tmp_path / "beginnings"), **environment},
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        hired.append(Hired(process, log))
        return hired[-1]

    yield run
    for one in hired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(one.pid, signal.SIGCONT)
            os.killpg(one.pid, signal.SIGKILL)
        one.process.wait()
        sys.stderr.write(_without_secrets(one.log.read_text(errors="replace")[-6000:]))


def _without_secrets(text: str) -> str:
    return re.sub(r"://[^@\s]*@", "://…@", text)


@pytest.fixture
def begun(tmp_path: Path) -> Callable[[], Counter[str]]:
    """How often each performer has begun, counted outside every server."""

    def count() -> Counter[str]:
        path = tmp_path / "beginnings"
        lines = path.read_text().splitlines() if path.exists() else []
        return Counter(line.split()[0] for line in lines)

    return count


@pytest.fixture
async def own_postgres(database: str) -> AsyncIterator[Postgres]:
    """A PostgreSQL of this test's own, durable, that it may kill; the pool and the settings point at it."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o711)  # noqa: ASYNC240  once, at the start
        server = Postgres(Path(directory) / "postgres", fsync=True)
        url = server.start()
        try:
            before = os.environ["DATABASE_URL"]
            await point_at(url)
            await asyncio.to_thread(subprocess.run, [sys.executable, "-m", "tasks.migrate"], check=True)
            yield server
            await point_at(before)
        finally:
            server.stop()


async def point_at(url: str) -> None:
    """Let the settings and the pool of this process point at another server."""
    import piccolo_conf  # behind the settings that the fixtures made

    await guard.close_pool()
    os.environ["DATABASE_URL"] = os.environ["DATABASE_DIRECT_URL"] = url
    settings.load.cache_clear()
    piccolo_conf.DB.config = {"dsn": url}
    await guard.open_pool(max_size=8)


async def enqueue(job: Job, **how: Any) -> UUID:
    """Commit a job; its id."""
    return (await guard.commit(outbox.enqueue, job, **how)).job_id


async def running(count: int) -> bool:
    """Whether so many jobs run."""
    return bool(await guard.value("select count(*) = $1 from job_live where status = 1", count))


async def all_ended() -> bool:
    """Whether no job waits or runs; False while PostgreSQL is away."""
    try:
        return bool(await guard.value("select not exists (select 1 from job_live)"))
    except guard.LOST_CONNECTION:
        return False


async def keys() -> Counter[str]:
    """How often each effect has happened."""
    return Counter(row["key"] for row in await guard.rows("select key from effects"))


async def outcomes() -> Counter[tuple[int, int]]:
    """How many jobs have each status and number of attempts used."""
    found = await guard.rows("select status, attempts, count(*) as n from jobs group by 1, 2")
    return Counter({(row["status"], row["attempts"]): row["n"] for row in found})
