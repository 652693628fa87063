"""Migrations: all or nothing, once, and a sentence when they cannot."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from models import guard, piccolo_app
from tasks import migrate
from tasks.migrate import MigrationFailed
from wire.budget import Budget, budget, parse_scale

BROKEN = '''
"""A migration that fails halfway."""
from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from models.guard import script
ID = "2099-01-0{n}T00:00:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "broken"
async def forwards():
    manager = MigrationManager(migration_id=ID, app_name="megilance", description=DESCRIPTION)
    manager.add_raw(script("{sql}"))
    return manager
'''


@pytest.fixture
async def empty(database: str) -> AsyncIterator[str]:
    """An empty database, and no pool: migrations have a connection of their own."""
    await guard.rows("create database empty_" + str(os.getpid()))
    await guard.close_pool()
    yield urlunsplit(urlsplit(database)._replace(path=f"/empty_{os.getpid()}"))
    connection = await asyncpg.connect(database)
    await connection.execute(f"drop database empty_{os.getpid()} with (force)")
    await connection.close()


async def _tables(url: str) -> int:
    connection = await asyncpg.connect(url)
    count: int = await connection.fetchval("select count(*) from pg_tables where schemaname = 'public'")
    await connection.close()
    return count


async def test_the_first_run_makes_everything_and_the_second_nothing(empty: str):
    assert await migrate.migrate(empty) >= 1
    assert await migrate.migrate(empty) == 0


async def test_several_at_once_are_one(empty: str):
    environment = {**os.environ, "DATABASE_URL": empty, "DATABASE_DIRECT_URL": empty}
    programs = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tasks.migrate", env=environment, stderr=subprocess.PIPE
        )
        for _ in range(3)
    ]
    said = sorted([(await one.communicate())[1].decode().splitlines()[-1] for one in programs])
    assert [one.returncode for one in programs] == [0, 0, 0]
    assert said[1:] == ["The database is up to date."] * 2, said
    assert said[0].endswith("migrations run.")


async def test_a_release_whose_connections_the_server_does_not_allow_is_refused(database: str):
    def asked_for(web: int) -> Budget:
        scale = parse_scale(f"web={web}")
        return budget(scale, pool_size=8, is_pooled=False, database_limit=10_000, redis_limit=10_000)

    allowed = await guard.value(
        """select current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
                - coalesce(current_setting('reserved_connections', true)::int, 0)"""
    )
    others = asked_for(0).database
    await migrate.check_budget(database, asked_for((allowed - others) // 8))
    with pytest.raises(MigrationFailed, match=rf"the server allows {allowed}; nothing was changed"):
        await migrate.check_budget(database, asked_for((allowed - others) // 8 + 1))


async def test_the_limit_of_our_role_counts_too(database: str):
    needed = budget(parse_scale(""), pool_size=8, is_pooled=False, database_limit=97, redis_limit=97)
    role = await guard.value("select current_user::text")
    await guard.rows(f'alter role "{role}" connection limit {needed.database - 1}')
    try:
        with pytest.raises(MigrationFailed, match=rf"the server allows {needed.database - 1}; "):
            await migrate.check_budget(database, needed)
    finally:
        await guard.rows(f'alter role "{role}" connection limit -1')


async def test_one_that_fails_leaves_nothing_behind_and_says_which(
    empty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for number, sql in ((1, "create table half_done (id int)"), (2, "create table half_done (id int)")):
        (tmp_path / f"broken_{number}.py").write_text(BROKEN.format(n=number, sql=sql))
    monkeypatch.setattr(piccolo_app.APP_CONFIG, "migrations_folder_path", str(tmp_path))
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(MigrationFailed, match=r"Migration 2099-01-02T.* failed and nothing was changed: .*half_done"):
        await migrate.migrate(empty)
    assert await _tables(empty) == 0


async def test_an_absent_database_is_waited_for_and_then_named():
    with pytest.raises(MigrationFailed, match=r"PostgreSQL did not answer within 0\.3 s"):
        await migrate.wait_for_postgres("postgresql://nobody@127.0.0.1:1/none", patience_s=0.3)


async def test_a_database_that_does_not_exist_is_no_reason_to_wait(database: str):
    with pytest.raises(MigrationFailed, match="refuses DATABASE_DIRECT_URL"):
        await migrate.wait_for_postgres(urlunsplit(urlsplit(database)._replace(path="/nowhere")))
