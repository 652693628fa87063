"""A realtime process as production runs it, and people who connect to it.

One process and one database serve all of these tests, because starting them takes longer than most tests: each test
makes people of its own. A test that harms Redis or ends the process starts its own.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import asyncpg
import httpx
import pytest

import settings
from models import guard
from models.accounts import Role
from sandbox.ports import free_port
from tests.realtime import world
from tests.servers import Servers
from wire.tokens import Tokens

UVICORN = ["--no-access-log", "--no-server-header", "--ws-per-message-deflate", "false", "--ws-max-size", "65536"]
START_LIMIT_S = 30.0

APP = "realtime.app:create_app"

_numbers = count(1)


@dataclass(frozen=True)
class Person:
    """Somebody with a session."""

    id: int
    session_id: UUID
    role: Role

    def token(self, *, life_s: int = 1800, key: str = "") -> str:
        """An access token, forged when `key` is another than ours."""
        keys = settings.load().tokens
        tokens = Tokens(key or keys.key, algorithm=keys.algorithm)
        tokens.access_s = life_s
        return tokens.issue_access(self.id, self.role, self.session_id)

    def auth(self, **more: Any) -> dict[str, Any]:
        """What the client sends to sign in."""
        return {"token": self.token(), **more}


@dataclass(frozen=True)
class Realtime:
    """A running process, and the file it logs to."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def memory_mib(self) -> float:
        """What the process holds in memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


@contextmanager
def run_realtime(log: Path, port: int = 0, **environment: str) -> Iterator[Realtime]:
    """A process of one's own. It has ended on leaving."""
    port = port or free_port()
    command = [sys.executable, "-m", "uvicorn", "--factory", APP, "--port", str(port), *UVICORN]
    with log.open("ab") as lines:
        process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=lines, stderr=lines)
    running = Realtime(f"http://127.0.0.1:{port}", process, log)
    try:
        _wait_until_live(running)
        yield running
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_live(running: Realtime) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        assert running.process.poll() is None, running.log.read_text(encoding="utf-8")
        try:
            if httpx.get(running.url + "/health/live").status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError("the process did not come up")


@pytest.fixture(scope="session")
def shared_database(servers: Servers, template: str) -> Iterator[str]:
    """A migrated database that these tests share."""
    name = f"realtime_{os.getpid()}"

    async def admin(statement: str) -> None:
        connection = await asyncpg.connect(servers.database_url)
        await connection.execute(statement)
        await connection.close()

    asyncio.run(admin(f"create database {name} template {template}"))
    yield urlunsplit(urlsplit(servers.database_url)._replace(path="/" + name))
    asyncio.run(admin(f"drop database {name} with (force)"))


@pytest.fixture(scope="session")
def shared_realtime(
    shared_database: str, servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Realtime]:
    log = tmp_path_factory.mktemp("realtime") / "log"
    with run_realtime(log, DATABASE_URL=shared_database, REDIS_URL=servers.redis_url) as running:
        yield running


@pytest.fixture
async def database(shared_database: str) -> AsyncIterator[str]:
    """The shared database, open on the test's loop."""
    import piccolo_conf

    os.environ["DATABASE_URL"] = os.environ["DATABASE_DIRECT_URL"] = shared_database
    settings.load.cache_clear()
    piccolo_conf.DB.config = {"dsn": shared_database}
    await guard.open_pool(max_size=4)
    yield shared_database
    await guard.close_pool()


@pytest.fixture
def realtime(shared_realtime: Realtime, database: str) -> Iterator[Realtime]:
    """The shared process. Whatever a test sends it, it logs no traceback."""
    begins = shared_realtime.log.stat().st_size
    yield shared_realtime
    said = shared_realtime.log.read_bytes()[begins:].decode()
    assert "Traceback" not in said, said


@pytest.fixture
async def ada(database: str) -> Person:
    return await make_person()


async def make_person(role: Role = Role.CLIENT) -> Person:
    user_id = await world.make_user(f"person{next(_numbers)}@example.com", role)
    return Person(user_id, await world.make_session(user_id, role), role)
