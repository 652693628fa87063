"""The real PostgreSQL and Redis the tests run against: started once, by the process that runs or distributes them."""

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sandbox.postgres import Postgres
from sandbox.redis import Redis


@dataclass(frozen=True)
class Servers:
    """Where the servers are, and how to be rid of them."""

    database_url: str
    redis_url: str
    stop: Callable[[], None]


MEMORY: Final = Path("/dev/shm")  # noqa: S108  what is put there ends with the tests
ROOM_BYTES: Final = 4 << 30
"""Three test processes with a template, the databases of the moment and a log each take a quarter of it."""


def _memory() -> Path | None:
    """A disk in memory with room for the servers' files, else None: every test makes a thousand files and drops them."""
    if os.access(MEMORY, os.W_OK | os.X_OK) and shutil.disk_usage(MEMORY).free >= ROOM_BYTES:
        return MEMORY
    return None


def start_servers() -> Servers:
    """Start both in a temporary directory, without durability; they end with this process even when it is killed.

    MEGILANCE_TEST_DATABASE_URL and MEGILANCE_TEST_REDIS_URL name servers to use instead; the tests make and drop
    databases there.
    """
    given_database = os.environ.get("MEGILANCE_TEST_DATABASE_URL")
    given_redis = os.environ.get("MEGILANCE_TEST_REDIS_URL")
    directory = Path(tempfile.mkdtemp(prefix="megilance-tests-", dir=_memory()))
    # PostgreSQL may have to run as another user than root, and must then be able to walk in.
    directory.chmod(0o711)
    postgres = None if given_database else Postgres(directory / "postgres", fsync=False)
    redis = None if given_redis else Redis(directory / "redis", append_only=False)

    def stop() -> None:
        for server in (redis, postgres):
            if server:
                server.stop()
        shutil.rmtree(directory, ignore_errors=True)

    try:
        return Servers(
            database_url=given_database or (postgres.start() if postgres else ""),
            redis_url=given_redis or (redis.start() if redis else ""),
            stop=stop,
        )
    except BaseException:
        stop()
        raise
