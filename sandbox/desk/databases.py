"""A desk's PostgreSQL and Redis: the person's own where the environment names them, else the embedded ones."""

import sys
from dataclasses import dataclass
from pathlib import Path

from sandbox.postgres import Postgres, PostgresUnavailable
from sandbox.redis import Redis, RedisUnavailable


@dataclass
class Databases:
    """The two servers. None: the environment names one, and nothing was started."""

    database_url: str
    redis_url: str
    postgres: Postgres | None
    redis: Redis | None

    def revive(self) -> list[str]:
        """Start again whichever has ended; returns their names."""
        revived = []
        if self.postgres and self.postgres.pid is None:
            self.postgres.start()
            revived.append("postgres")
        if self.redis and self.redis.pid is None:
            self.redis.start()
            revived.append("redis")
        return revived

    def stop(self, timeout_s: float = 1.0) -> None:
        """End both, PostgreSQL last."""
        if self.redis:
            self.redis.stop(timeout_s)
        if self.postgres:
            self.postgres.stop(timeout_s)


def start_databases(home: Path, given: dict[str, str], *, with_redis: bool = True) -> Databases:
    """Start what the environment does not name. Exits with a sentence when that cannot be."""
    logs = home / "logs"
    logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    postgres = None if "DATABASE_URL" in given else Postgres(home / "postgres", log=logs / "postgres.log")
    redis = None if "REDIS_URL" in given or not with_redis else Redis(home / "redis", log=logs / "redis.log")
    try:
        database_url = postgres.start() if postgres else given["DATABASE_URL"]
        redis_url = redis.start() if redis else given.get("REDIS_URL", "")
    except (PostgresUnavailable, RedisUnavailable) as unavailable:
        if postgres:
            postgres.stop()
        sys.exit(str(unavailable))
    return Databases(database_url, redis_url, postgres, redis)
