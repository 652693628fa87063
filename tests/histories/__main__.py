"""Thousands of histories: `./megilance histories [--histories 2000] [--machine dispute] [--seed N]`."""

import argparse
import asyncio
import os
import sys
import time
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from models.errors import DomainError
from tests.conftest import SETTINGS
from tests.histories.drivers import ALL
from tests.histories.driving import Driver
from tests.histories.many import report, untaken, walk
from tests.histories.walking import Tally
from tests.servers import start_servers

A_DATABASE = 250
"""Histories of one database: the plans that PostgreSQL keeps are made for few rows, so it stays small."""


def _named(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path="/" + name))


async def _admin(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@asynccontextmanager
async def _database(server: str, number: int) -> AsyncIterator[None]:
    """A clone of the migrated template with the pool open on it."""
    import piccolo_conf
    from models import guard

    name = f"histories_{number}"
    await _admin(server, f"create database {name} template histories")
    piccolo_conf.DB.config = {"dsn": _named(server, name)}
    await guard.open_pool(max_size=2)
    try:
        yield
    finally:
        await guard.close_pool()
        await _admin(server, f"drop database {name} with (force)")


async def _run(server: str, drivers: list[type[Driver]], histories: int, seed: int) -> bool:
    """Walk them all; whether every machine was kept to and every edge taken."""
    from tasks import migrate

    await _admin(server, "create database histories")
    await migrate.migrate(_named(server, "histories"))
    number, whole = 0, True
    for driver in drivers:
        tally, began = Tally(), time.monotonic()
        try:
            for first in range(0, histories, A_DATABASE):
                number += 1
                async with _database(server, number):
                    await walk(driver, range(first, min(first + A_DATABASE, histories)), seed=seed, tally=tally)
            missed = untaken(driver, tally)
            but = " but for those that are owed" if driver.owed else ""
            said = f"MISSED: {missed}" if missed else f"every edge was taken{but}"
        except (AssertionError, DomainError) as wrong:
            said = "FAILED: " + "".join(traceback.format_exception(wrong))
        print(report(driver, tally))
        print(f"  {said}; {time.monotonic() - began:.0f} s\n", flush=True)
        whole = whole and said.startswith("every")
    return whole


def main() -> int:
    """Read the arguments, start a PostgreSQL, walk."""
    nouns = [driver.machine.noun for driver in ALL]
    said = argparse.ArgumentParser(prog="./megilance histories", description=(__doc__ or "").partition("\n")[0])
    said.add_argument("--histories", type=int, default=2000, help="of each machine")
    said.add_argument("--machine", choices=nouns, help="only this one")
    said.add_argument("--seed", type=int, default=1, help="the same seed walks the same histories")
    wanted = said.parse_args()
    drivers = [one for one in ALL if wanted.machine in (None, one.machine.noun)]
    servers = start_servers()
    os.environ.update(SETTINGS, DATABASE_URL=servers.database_url, REDIS_URL=servers.redis_url)
    print(f"{wanted.histories} histories of each of {len(drivers)} machines, seed {wanted.seed}\n", flush=True)
    try:
        return 0 if asyncio.run(_run(servers.database_url, drivers, wanted.histories, wanted.seed)) else 1
    finally:
        servers.stop()


if __name__ == "__main__":
    sys.exit(main())
