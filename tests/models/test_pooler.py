"""Through a transaction pooler every statement finds its own session, and leaves nothing in it."""

import asyncio
from typing import Any

import asyncpg
import pytest

from models.pooler import Pooled, engine_config
from tests.transaction_pooler import a_pooler


async def work(pool: asyncpg.Pool, number: int) -> list[str]:
    """Statements of many shapes, alone and in transactions; what went wrong."""
    wrong: list[str] = []
    for turn in range(20):
        try:
            async with pool.acquire() as connection:
                if turn % 3:
                    sql = (
                        f"select $1::int + {turn % 7} as sum, $2::text as text, $3::uuid[] as ids, $4::int[] as numbers"
                    )
                    (row,) = await connection.fetch(sql, number, "x" * turn, [], [number, turn])
                    assert tuple(row) == (number + turn % 7, "x" * turn, [], [number, turn])
                else:
                    async with connection.transaction():
                        first = await connection.fetchval("select pg_backend_pid()")
                        await connection.executemany("select $1::int", [(1,), (2,)])
                        assert await connection.fetchval("select pg_backend_pid()") == first
        except (asyncpg.PostgresError, asyncpg.InterfaceError, AssertionError) as error:
            wrong.append(f"{type(error).__name__}: {error}")
    return wrong


async def all_work(url: str, **options: Any) -> list[str]:
    async def as_is(_: object) -> None:
        return None

    pool = await asyncpg.create_pool(url, min_size=1, max_size=6, reset=as_is, **options)
    try:
        return [error for errors in await asyncio.gather(*(work(pool, n) for n in range(12))) for error in errors]
    finally:
        await pool.close()


async def test_an_ordinary_connection_loses_its_statements(database: str):
    async with a_pooler(database, size=2) as (_, url):
        assert any("prepared statement" in error for error in await all_work(url))


async def test_ours_does_not_and_shares_two_sessions_between_six(database: str):
    async with a_pooler(database, size=2) as (pooler, url):
        assert await all_work(url, connection_class=Pooled) == []
        assert pooler.lent > 240
        assert pooler.free == 2


async def test_nothing_is_left_behind_in_a_session(database: str):
    async with a_pooler(database, size=1) as (_, url):
        first = await asyncpg.connect(url, connection_class=Pooled)
        await first.fetch("select $1::uuid[], current_setting('jit')", [])
        statement = await first.prepare("select $1::int + 1")
        assert await statement.fetchval(1) == 2
        second = await asyncpg.connect(url, connection_class=Pooled)
        assert await second.fetchval("select count(*) from pg_prepared_statements") == 0
        async with first.transaction():
            found = [one[0] async for one in first.cursor("select generate_series(1, 3)")]
        assert found == [1, 2, 3]
        assert await second.fetchval("select count(*) from pg_prepared_statements") == 0
        assert await statement.fetchval(2) == 3
        for one in (first, second):
            await one.close()


async def test_a_wrong_argument_keeps_no_session(database: str):
    async with a_pooler(database, size=1) as (_, url):
        first, second = [await asyncpg.connect(url, connection_class=Pooled) for _ in range(2)]
        for _ in range(2):
            with pytest.raises(asyncpg.DataError):
                await first.fetch("select $1::int", "no number")
            assert await second.fetchval("select 1", timeout=5) == 1
        for one in (first, second):
            await one.close()


async def test_a_statement_is_one_round_trip_once_it_is_known(database: str):
    async with a_pooler(database, size=1) as (pooler, url):
        connection = await asyncpg.connect(url, connection_class=Pooled)
        await connection.fetchval("select $1::int", 1)
        before = pooler.lent, pooler.flushed
        for number in range(5):
            assert await connection.fetchval("select $1::int", number) == number
        assert (pooler.lent, pooler.flushed) == (before[0] + 5, before[1])
        await connection.close()


def test_without_a_pooler_connections_are_asyncpgs_own():
    assert engine_config("postgresql://a/b", is_pooled=False) == {"dsn": "postgresql://a/b"}
    assert engine_config("postgresql://a/b", is_pooled=True) == {"dsn": "postgresql://a/b", "connection_class": Pooled}
