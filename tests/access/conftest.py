"""The seeded world as a template: every test here gets a clone of it instead of an empty database."""

import asyncio
import os
from typing import Any

import pytest

from tests.access.world import World, make_world
from tests.api.conftest import app  # noqa: F401  a fixture
from tests.conftest import _admin, _renamed
from tests.servers import Servers


@pytest.fixture(scope="session")
def seeded(servers: Servers, request: pytest.FixtureRequest) -> tuple[str, World]:
    """The name of the database that has the world in it, and the world."""
    # The root's `template` is overridden below, so the empty one is made anew, once.
    from tasks import migrate

    name = f"seeded_{os.getpid()}"
    request.getfixturevalue("environment")
    asyncio.run(_admin(servers.database_url, f"create database {name}"))
    url = _renamed(servers.database_url, name)
    asyncio.run(migrate.migrate(url))
    return name, asyncio.run(_seed(url))


async def _seed(url: str) -> World:
    import piccolo_conf
    from models import guard

    piccolo_conf.DB.config = {"dsn": url}
    await guard.open_pool(max_size=4)
    try:
        return await make_world()
    finally:
        await guard.close_pool()


@pytest.fixture(scope="session")
def template(seeded: tuple[str, Any]) -> str:
    """What each test's database is cloned from."""
    return seeded[0]


@pytest.fixture(scope="session")
def world(seeded: tuple[str, World]) -> World:
    """The people and things in it."""
    return seeded[1]
