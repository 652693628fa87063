"""The one door to PostgreSQL: transactions, and statements that join the open one.

Edges (a handler, a performer, a socket handler) open transactions with `commit` or `transaction`; verbs say
`in_transaction()`; gateways say `outside_transaction()`. Nested transactions do not exist here.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from typing import Any, Final, ParamSpec, TypeVar

import asyncpg
from piccolo.engine.finder import engine_finder
from piccolo.engine.postgres import PostgresEngine, PostgresTransaction

P = ParamSpec("P")
R = TypeVar("R")

RETRIES: Final = 3
"""How often a verb is begun anew after a deadlock or a serialisation failure: both mean that somebody else won."""

LOST_CONNECTION: Final = (
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that is used while the server says goodbye on it
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    OSError,
    TimeoutError,
)
"""What a dying or absent PostgreSQL raises. One tuple, used everywhere."""


class OutcomeUnknown(ConnectionError):
    """COMMIT was sent and not answered: it may have been written. Also a lost connection, for whoever just repeats."""


def _silent(_: frozenset[str]) -> None:
    """No bell hangs yet: whoever listens sweeps."""


_rung: ContextVar[set[str] | None] = ContextVar("rung", default=None)
_bell: Callable[[frozenset[str]], None] = _silent


def engine() -> PostgresEngine:
    """Piccolo's engine, as `piccolo_conf.py` configured it."""
    found = engine_finder()
    assert isinstance(found, PostgresEngine)
    return found


async def open_pool(*, min_size: int = 1, max_size: int = 8, statement_limit_s: float | None = None) -> None:
    """Start this process's connection pool.

    Connections are not reset between uses (that is a second round trip per query), so nothing may set session state:
    `SET LOCAL` and transaction-scoped locks only. A transaction left open is rolled back by `transaction` itself.
    A statement that takes longer than `statement_limit_s` is cancelled (TimeoutError), so that one costly question
    cannot hold a connection others wait for. Behind a transaction pooler the connections are `models.pooler.Pooled`.
    """

    async def keep_as_is(_: object) -> None:
        return None

    await engine().start_connection_pool(
        min_size=min_size,
        max_size=max_size,
        reset=keep_as_is,
        max_inactive_connection_lifetime=0,
        command_timeout=statement_limit_s,
    )


async def close_pool() -> None:
    """Close the pool; connections still in use are waited for, for at most two seconds."""
    pool = engine().pool
    if pool is None:
        return
    engine().pool = None
    try:
        await asyncio.wait_for(pool.close(), timeout=2)
    except TimeoutError:
        pool.terminate()


def hang_bell(bell: Callable[[frozenset[str]], None]) -> None:
    """Name what is called, after a commit, with the names rung in it. It must not block and must not raise."""
    global _bell  # noqa: PLW0603  composition: each process hangs one bell at its start
    _bell = bell


def ring(name: str) -> None:
    """Ask for the bell of a queue (or of the events) to be rung once the open transaction has committed."""
    in_transaction()
    names = _rung.get()
    assert names is not None, "an open transaction gathers what is to be rung"
    names.add(name)


def in_transaction() -> None:
    """Assert that a transaction is open: verbs change nothing outside one."""
    assert engine().current_transaction.get() is not None, "a verb was called outside a transaction"


def outside_transaction() -> None:
    """Assert that none is open: nobody holds locks while somebody else's server thinks."""
    assert engine().current_transaction.get() is None, "a gateway was called inside a transaction"


@asynccontextmanager
async def transaction() -> AsyncIterator[None]:
    """Open a transaction; commit at the end, roll back on any exception; then ring what was asked for.

    Ours and not Piccolo's own context manager, because that one keeps the connection for ever when COMMIT fails
    and lets transactions nest silently. Piccolo's queries inside join it all the same.
    """
    outside_transaction()
    db = engine()
    assert db.pool is not None, "the pool is not open"
    joined = PostgresTransaction(db)
    names: set[str] = set()
    async with db.pool.acquire() as connection:
        joined.connection = connection
        begun = connection.transaction()
        await begun.start()
        here, rung = db.current_transaction.set(joined), _rung.set(names)
        try:
            yield
        except BaseException:
            with suppress(*LOST_CONNECTION):  # whoever cannot be told to roll back has done so
                await begun.rollback()
            raise
        finally:
            db.current_transaction.reset(here)
            _rung.reset(rung)
        try:
            await begun.commit()
        except LOST_CONNECTION as error:
            raise OutcomeUnknown("PostgreSQL went away during COMMIT.") from error
    if names:
        _bell(frozenset(names))


async def commit(verb: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a verb in a transaction of its own and return its result once committed.

    Begun anew up to three times after a deadlock or serialisation failure, so the verb must have no effect outside
    PostgreSQL. Whatever the verb raises rolls everything back.
    """
    for attempt in range(RETRIES + 1):
        try:
            async with transaction():
                return await verb(*args, **kwargs)
        except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError):
            if attempt == RETRIES:
                raise
            await asyncio.sleep(random.uniform(0.005, 0.05) * 2**attempt)  # noqa: S311  spreads rivals, hides nothing
    raise AssertionError("unreachable")


async def rows(sql: str, *args: Any) -> list[asyncpg.Record]:
    """Run one statement, in the open transaction or on its own, and return its rows."""
    db = engine()
    joined = db.current_transaction.get()
    if joined is not None:
        return list(await joined.connection.fetch(sql, *args))
    assert db.pool is not None, "the pool is not open"
    async with db.pool.acquire() as connection:
        return list(await connection.fetch(sql, *args))


async def row(sql: str, *args: Any) -> asyncpg.Record | None:
    """The first row, or None."""
    found = await rows(sql, *args)
    return found[0] if found else None


async def only(sql: str, *args: Any) -> asyncpg.Record:
    """The one row there must be: anything else is our mistake."""
    found = await rows(sql, *args)
    assert len(found) == 1, f"{len(found)} rows from: {sql}"
    return found[0]


async def value(sql: str, *args: Any) -> Any:
    """The first column of the first row, or None."""
    found = await row(sql, *args)
    return None if found is None else found[0]


async def execute(sql: str, *args: Any) -> int:
    """Run a statement for its effect and return how many rows it returned (write RETURNING to count)."""
    return len(await rows(sql, *args))


def script(sql: str) -> Callable[[], Awaitable[None]]:
    """A migration step that runs several statements at once, in the migration's transaction."""

    async def run() -> None:
        db = engine()
        joined = db.current_transaction.get()
        if joined is not None:
            await joined.connection.execute(sql)
            return
        connection = await db.get_new_connection()
        try:
            async with connection.transaction():
                await connection.execute(sql)
        finally:
            await connection.close()

    return run
