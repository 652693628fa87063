"""The budget against reality: every process at its busiest opens what the budget says, and never more."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncpg
import httpx
import pytest
import redis.asyncio

from models import guard, outbox
from sandbox.ports import free_port
from sandbox.redis import Redis
from tests.tasks.conftest import Start, until
from tests.tasks.probes import Note
from wire.budget import CLOCK_POOL, Part, budget, parse_scale

POOL_SIZE = 3
AT_ONCE = 24
LOOKS = 20


class Servers:
    """Counts the connections that are not the test's own."""

    def __init__(self, looker: asyncpg.Connection, own: list[int], client: redis.asyncio.Redis) -> None:
        self._looker = looker
        self._own = own
        self._client = client

    async def postgres(self) -> int:
        found: int = await self._looker.fetchval(
            """select count(*) from pg_stat_activity
                where datname = current_database() and backend_type = 'client backend' and not pid = any($1)""",
            self._own,
        )
        return found

    async def redis(self) -> int:
        return len(await self._client.client_list()) - 1

    async def most(self) -> tuple[int, int]:
        """The most seen of each while everybody is stuck in what they do."""
        seen = []
        for _ in range(LOOKS):
            seen.append((await self.postgres(), await self.redis()))
            await asyncio.sleep(0.05)
        return max(one[0] for one in seen), max(one[1] for one in seen)


@pytest.fixture
async def crowded(effects: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Servers]:
    """Both servers, with tables locked that every job and sign-in needs: whoever works gets stuck, holding what it has."""
    for number in range(AT_ONCE):
        await guard.commit(outbox.enqueue, Note(key=str(number)))
    await guard.close_pool()
    looker, locker = [await asyncpg.connect(effects) for _ in range(2)]
    lock = locker.transaction()
    await lock.start()
    await locker.execute("lock table effects, users in access exclusive mode")
    own_redis = Redis(tmp_path / "redis", append_only=False)  # the other one serves tests that run beside this one
    monkeypatch.setenv("REDIS_URL", own_redis.start())
    client = redis.asyncio.Redis.from_url(own_redis.url)
    own = [await one.fetchval("select pg_backend_pid()") for one in (looker, locker)]
    yield Servers(looker, own, client)
    for one in (looker, locker):
        one.terminate()
    await client.aclose()
    own_redis.stop()
    await guard.open_pool()


def part(name: str, scale: str = "") -> Part:
    found = budget(parse_scale(scale), pool_size=POOL_SIZE, is_pooled=False, database_limit=1000, redis_limit=1000)
    return next(one for one in found.parts if one.name == name)


def at_least(count: Callable[[], Awaitable[int]], wanted: int) -> Callable[[], Awaitable[bool]]:
    async def met() -> bool:
        return await count() >= wanted

    return met


async def test_a_worker_program(crowded: Servers, start: Start):
    needs = part("worker", "worker=1x2")
    assert (needs.direct, needs.pooled, needs.redis) == (3, 8, 9)
    start("tests.tasks.probes", "--queues", "bulk", "--processes", "2", "--threads", "8")

    await until(at_least(crowded.postgres, needs.direct + needs.pooled), what="every connection")
    postgres, in_redis = await crowded.most()
    assert postgres == needs.direct + needs.pooled
    assert in_redis <= needs.redis


async def test_a_web_program(crowded: Servers, start: Start):
    needs, port = part("web"), free_port()
    start(
        "uvicorn",
        "--factory",
        "api.app:create_app",
        "--port",
        str(port),
        "--no-access-log",
        DATABASE_POOL_SIZE=str(POOL_SIZE),
    )
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:

        async def answers() -> bool:
            try:
                return (await client.get("/api/health/ready")).status_code == 200
            except httpx.TransportError:
                return False

        await until(answers, what="an answer", within_s=20)
        known = {"email": "a@example.com", "password": "SecurePass123!"}
        stuck = [asyncio.create_task(client.post("/api/auth/login", json=known)) for _ in range(AT_ONCE)]
        await until(at_least(crowded.postgres, needs.pooled), what="every connection")
        stuck.append(asyncio.create_task(client.get("/api/health/ready")))
        postgres, in_redis = await crowded.most()
        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)
    assert postgres == needs.pooled == POOL_SIZE
    assert in_redis <= needs.redis


@pytest.mark.parametrize("name", ["relay", "clock", "realtime"])
async def test_the_others(name: str, crowded: Servers, start: Start):
    needs = part(name)
    if name == "realtime":
        command = ("uvicorn", "--factory", "realtime.app:create_app", "--port", str(free_port()), "--no-access-log")
        start(*command, DATABASE_POOL_SIZE=str(POOL_SIZE))
    else:
        start(f"tasks.{name}")

    await until(at_least(crowded.redis, 1), what="a connection", within_s=20)
    await until(at_least(crowded.postgres, max(1, needs.direct)), what="a connection")
    postgres, in_redis = await crowded.most()
    assert postgres <= needs.direct + needs.pooled
    assert in_redis <= needs.redis


def test_whoever_opens_a_pool_takes_its_size_from_the_budget(environment: None):
    assert (part("clock").pooled, part("clock").direct) == (CLOCK_POOL, 1)


async def test_a_process_over_its_budget_does_not_start(environment: None):
    crowd = {**os.environ, "SCALE": "web=50", "DATABASE_URL": "postgresql://x@127.0.0.1:1/x", "DATABASE_DIRECT_URL": ""}
    for module in ("tasks.relay", "tasks.clock", "tasks.migrate"):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, env=crowd, stderr=asyncio.subprocess.PIPE
        )
        said = (await process.communicate())[1].decode()
        assert process.returncode == 1
        assert "DATABASE_CONNECTION_LIMIT is 97, and SCALE needs 425 connections to PostgreSQL: web 400, " in said
