"""Real servers for every test: one PostgreSQL and one Redis a test process, a database of its own for each test."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from itertools import count
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from pytest_socket import socket_allow_hosts

from tests.servers import Servers, start_servers
from tests.stripe_sandbox import StripeSandbox

_numbers = count(1)

SETTINGS = {
    "ENVIRONMENT": "test",
    "SECRET_KEY": "tests-only-0123456789abcdefghijklmnopqrstuvwxyz",
    "STRIPE_WEBHOOK_SECRET": "whsec_tests",
    "STRIPE_CONNECT_WEBHOOK_SECRET": "whsec_tests_connect",
    "STRIPE_SECRET_KEY": "sk_test_sandbox",
    "STRIPE_PUBLISHABLE_KEY": "pk_test_sandbox",
    "AWS_ACCESS_KEY_ID": "sandbox",
    "AWS_SECRET_ACCESS_KEY": "sandbox",
    # Nobody listens there: to sign an address needs no storage.
    "S3_BUCKET": "sandbox-files",
    "S3_API_BASE": "http://127.0.0.1:9",
    "FRONTEND_URL": "http://localhost:3000",
    "RATE_LIMIT_ANONYMOUS": "off",
    "RATE_LIMIT_USER": "off",
}


@pytest.fixture(autouse=True)
def _loopback_only() -> None:
    """Nothing leaves this machine: a test that reaches for the internet fails."""
    socket_allow_hosts(["127.0.0.1", "::1", "localhost"], allow_unix_socket=True)


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """PostgreSQL and Redis of this test process."""
    started = start_servers()
    yield started
    started.stop()


@pytest.fixture(scope="session")
def environment(servers: Servers) -> Iterator[None]:
    """The settings of every test, as variables, so that processes a test starts have them too."""
    before = dict(os.environ)
    for name in list(os.environ):
        if name.startswith(
            ("STRIPE_", "AWS_", "SES_", "DATABASE_", "REDIS_", "TWILIO_", "RATE_LIMIT", "GEOIP_", "S3_")
        ):
            del os.environ[name]
    os.environ.update(SETTINGS, DATABASE_URL=servers.database_url, REDIS_URL=servers.redis_url)
    yield
    os.environ.clear()
    os.environ.update(before)


def _renamed(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path="/" + name))


async def _admin(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def template(servers: Servers, environment: None) -> str:
    """The name of a migrated database that each test's own is cloned from."""
    from tasks import migrate

    name = f"template_{os.getpid()}"
    asyncio.run(_admin(servers.database_url, f"create database {name}"))
    asyncio.run(migrate.migrate(_renamed(servers.database_url, name)))
    return name


@pytest.fixture
def redis_url(servers: Servers, environment: None) -> str:
    """An empty Redis."""
    import redis

    client = redis.Redis.from_url(servers.redis_url)
    client.flushall()
    client.close()
    return servers.redis_url


@pytest.fixture
async def database(servers: Servers, template: str, redis_url: str) -> AsyncIterator[str]:
    """A fresh migrated database: its URL, with settings pointing at it and the pool open on the test's loop."""
    import piccolo_conf
    import settings
    from models import guard

    name = f"test_{os.getpid()}_{next(_numbers)}"
    url = _renamed(servers.database_url, name)
    await _admin(servers.database_url, f"create database {name} template {template}")
    os.environ["DATABASE_URL"] = os.environ["DATABASE_DIRECT_URL"] = url
    settings.load.cache_clear()
    piccolo_conf.DB.config = {"dsn": url}
    await guard.open_pool(max_size=16)
    yield url
    guard.hang_bell(lambda _: None)
    await guard.close_pool()
    await _admin(servers.database_url, f"drop database {name} with (force)")


@pytest.fixture(scope="session")
def stripe_sandbox(environment: None) -> Iterator[StripeSandbox]:
    """Our stand-in for Stripe, with webhooks held: one process a test process."""
    started = StripeSandbox()
    os.environ["STRIPE_API_BASE"] = started.base
    yield started
    started.stop()


@pytest.fixture
async def stripe(stripe_sandbox: StripeSandbox, database: str) -> AsyncIterator[StripeSandbox]:
    """The stand-in, behaving, beside a fresh database whose ids it has not seen: keys and groups derive from ids."""
    from models import guard
    from tasks.gateways import cards

    stripe_sandbox.reset()
    first = 1_000 * next(_numbers)
    for table in ("users", "milestones", "payments", "releases"):
        await guard.rows(f"alter sequence {table}_id_seq restart with {first}")
    await cards.close()
    yield stripe_sandbox
    await cards.close()
