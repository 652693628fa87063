"""Bring the database to this release: `python -m tasks.migrate`. All of it in one transaction, or nothing.

Any number may run at once; one works, the others wait for it and find nothing to do.
"""

import asyncio
import io
import sys
import time
from contextlib import redirect_stdout
from typing import Final

import asyncpg

import settings
from models.guard import LOST_CONNECTION
from wire.budget import Budget

APP: Final = "megilance"
LOCK: Final = 0x6D67_6C01
"""The advisory lock of migrations: `mgl` and a number."""
PATIENCE_S: Final = 30.0
"""How long a database that is still starting is waited for."""
POLL_S: Final = 0.25


CONNECTIONS: Final = """
select least(
    current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
        - coalesce(current_setting('reserved_connections', true)::int, 0),
    (select nullif(rolconnlimit, -1) from pg_roles where rolname = current_user),
    (select nullif(datconnlimit, -1) from pg_database where datname = current_database()))
"""
"""What the server lets us open: its own limit less what it reserves, and those of our role and database if any."""


AHEAD: Final = "select ahead from business_clock where ahead > interval '0'"


class MigrationFailed(SystemExit):
    """The database is as it was; the message is one sentence and says why."""


async def wait_for_postgres(url: str, patience_s: float = PATIENCE_S) -> None:
    """Return once the database answers. Raises MigrationFailed when it does not in time, or refuses us."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            connection = await asyncpg.connect(url, timeout=5)
        except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError) as error:
            raise MigrationFailed(f"PostgreSQL refuses DATABASE_DIRECT_URL: {error}.") from None
        except LOST_CONNECTION as error:
            if time.monotonic() > deadline:
                reason = str(error) or type(error).__name__
                raise MigrationFailed(f"PostgreSQL did not answer within {patience_s:g} s: {reason}") from None
            await asyncio.sleep(POLL_S)
        else:
            await connection.close()
            return


async def migrate(url: str) -> int:
    """Run what this database lacks, in one transaction, under a lock. Returns how many migrations ran.

    Raises MigrationFailed, with nothing changed, when one fails.
    """
    await wait_for_postgres(url)
    # Imported now, because Piccolo's engine connects as it is made.
    from piccolo.apps.migrations.commands.forwards import ForwardsMigrationManager  # noqa: PLC0415
    from piccolo.apps.migrations.tables import Migration  # noqa: PLC0415

    from models import guard  # noqa: PLC0415

    engine = guard.engine()
    assert engine.pool is None, "migrations need the server itself, not a pool"
    before, engine.config = engine.config, {"dsn": url}
    said = io.StringIO()
    try:
        async with engine.transaction():
            await guard.rows("select pg_advisory_xact_lock($1)", LOCK)
            with redirect_stdout(said):  # Piccolo prints; a release log wants one line
                manager = ForwardsMigrationManager(app_name=APP)
                await manager.create_migration_table()
                ran_before = await Migration.count()
                outcome = await manager.run()
            if not outcome.success:
                raise MigrationFailed(f"Migrations refused: {outcome.message}.")
            ran: int = await Migration.count() - ran_before
    except asyncpg.PostgresError as error:
        raise MigrationFailed(_sentence(error, said.getvalue())) from error
    except LOST_CONNECTION as error:
        raise MigrationFailed(f"PostgreSQL went away during a migration; nothing was changed: {error}") from error
    finally:
        engine.config = before
    return ran


async def check_clock(url: str) -> None:
    """Return when the business clock is the real one. Raises MigrationFailed: only a sandbox moves it."""
    await wait_for_postgres(url)
    connection = await asyncpg.connect(url, timeout=5)
    try:
        known = await connection.fetchval("select to_regclass('public.business_clock') is not null")
        ahead = await connection.fetchval(AHEAD) if known else None
    finally:
        await connection.close()
    if ahead:
        raise MigrationFailed(
            f"business_clock is {ahead} ahead of the real time, and this is production: only a sandbox moves it; "
            "nothing was changed."
        )


async def check_budget(url: str, budget: Budget) -> None:
    """Return when the server lets every process of this release connect. Raises MigrationFailed when it does not."""
    await wait_for_postgres(url)
    try:
        connection = await asyncpg.connect(url, timeout=5)
        try:
            allowed: int = await connection.fetchval(CONNECTIONS)
        finally:
            await connection.close()
    except (*LOST_CONNECTION, asyncpg.PostgresError) as error:
        raise MigrationFailed(f"PostgreSQL does not say how many connections it allows: {error}") from error
    if budget.database > allowed:
        raise MigrationFailed(
            f"SCALE needs {budget.database} connections to PostgreSQL, and the server allows {allowed}; "
            f"nothing was changed.\n{budget.table()}"
        )


def _sentence(error: asyncpg.PostgresError, said: str) -> str:
    begun = [line.split("[", 1)[0].strip(" -") for line in said.splitlines() if line.startswith("  - ")]
    where = f"Migration {begun[-1]}" if begun else "Migrating"
    return f"{where} failed and nothing was changed: {error} (SQLSTATE {error.sqlstate})."


def main() -> None:
    """Migrate the database the settings name, and say so in one line."""
    chosen = settings.load()
    url = chosen.database.direct_url
    asyncio.run(check_budget(url, chosen.budget))
    if chosen.environment == settings.PRODUCTION:
        asyncio.run(check_clock(url))
    print(chosen.budget.table(), file=sys.stderr)  # noqa: T201  for the release's log
    ran = asyncio.run(migrate(url))
    print(f"{ran} migrations run." if ran else "The database is up to date.", file=sys.stderr)  # noqa: T201  a program's one line to a person


if __name__ == "__main__":
    main()
