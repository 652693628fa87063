"""The real PostgreSQL and Redis the tests run against: started once, by the process that runs or distributes them."""

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sandbox.postgres import Postgres
from sandbox.redis import Redis


@dataclass(frozen=True)
class Servers:
    """Where the servers are, and how to be rid of them."""

    database_url: str
    redis_url: str
    stop: Callable[[], None]


def start_servers() -> Servers:
    """Start both in a temporary directory, without durability; they end with this process even when it is killed.

    MEGILANCE_TEST_DATABASE_URL and MEGILANCE_TEST_REDIS_URL name servers to use instead; the tests make and drop
    databases there.
    """
    given_database = os.environ.get("MEGILANCE_TEST_DATABASE_URL")
    given_redis = os.environ.get("MEGILANCE_TEST_REDIS_URL")
    directory = Path(tempfile.mkdtemp(prefix="megilance-tests-"))
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
