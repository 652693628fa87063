"""How many connections the whole service opens, to PostgreSQL and to Redis: all together reach a server's limit.

The numbers stand here, below every process, so that each can refuse to start when the sum does not fit. Whoever opens a
pool takes its size from here, and a test counts the connections of the real processes.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

WORKER_POOL: Final = 4
"""Of one worker process: performers hold a connection only inside a transaction."""
CLOCK_POOL: Final = 2
MOST_PROCESSES: Final = 1000
"""Of a kind: beyond it, somebody has mistyped."""

_COUNT: Final = re.compile(r"(?P<name>[a-z_]+)=(?P<count>[0-9]{1,4})(?:x(?P<processes>[0-9]{1,3}))?", re.ASCII)


class ScaleError(ValueError):
    """What was said about the scale makes no sense; the message says where."""


class Needs(msgspec.Struct, frozen=True):
    """The connections of one program at its busiest: through the pool's address, to the server itself, to Redis.

    A worker program forks: `fork_…` are those of each of its worker processes. `pooled` of None is the pool's setting.
    """

    role: str
    pooled: int | None = 0
    direct: int = 0
    redis: int = 0
    fork_pooled: int = 0
    fork_direct: int = 0
    fork_redis: int = 0


# A worker program: its keeper's connection and bell; each process its pool, its feeder and, of Redis, two bells, a
# listener and the announcer. The web: its pool; the bell, the notices' subscription, the rate limit and a probe.
# Migrations run while the release before is still at work.
_WORKER: Final = Needs("worker", direct=1, redis=1, fork_pooled=WORKER_POOL, fork_direct=1, fork_redis=4)
KINDS: Final[dict[str, Needs]] = {
    "web": Needs("web", pooled=None, redis=4),
    "realtime": Needs("realtime", pooled=None, redis=1),
    "worker": _WORKER,
    "worker_money": _WORKER,
    "relay": Needs("relay", direct=1, redis=2),
    "clock": Needs("clock", pooled=CLOCK_POOL, direct=1, redis=1),
}
"""Every process of the Procfile that stays, by its name there. `role` is the program, as metrics and logs name it."""
RELEASE: Final = Needs("release", direct=1)


class Scale(msgspec.Struct, frozen=True):
    """How many programs of a kind run, and how many processes each of them forks."""

    programs: int = 1
    processes: int = 1


class Part(msgspec.Struct, frozen=True):
    """What the programs of one kind need together."""

    name: str
    scale: Scale
    pooled: int
    direct: int
    redis: int


class Budget(msgspec.Struct, frozen=True):
    """What all of them need, and what there is. Behind a pooler only the direct connections are the server's."""

    parts: tuple[Part, ...]
    is_pooled: bool
    database_limit: int
    redis_limit: int

    @property
    def database(self) -> int:
        """Connections that the server of PostgreSQL sees from us, less those a pooler makes of its own."""
        return sum(part.direct + (0 if self.is_pooled else part.pooled) for part in self.parts)

    @property
    def redis(self) -> int:
        """Connections that Redis sees."""
        return sum(part.redis for part in self.parts)

    def complaints(self) -> dict[str, str]:
        """What does not fit, by the name of the limit's setting; empty when all does."""
        found: dict[str, str] = {}
        if self.database > self.database_limit:
            parts = ((part, part.direct + (0 if self.is_pooled else part.pooled)) for part in self.parts)
            found["DATABASE_CONNECTION_LIMIT"] = _over(self.database, self.database_limit, "PostgreSQL", parts)
        if self.redis > self.redis_limit:
            redis = ((part, part.redis) for part in self.parts)
            found["REDIS_CONNECTION_LIMIT"] = _over(self.redis, self.redis_limit, "Redis", redis)
        return found

    def table(self) -> str:
        """The budget for a person, one line a kind."""
        lines = [f"{'connections':<14}{'programs':>9}{'postgres':>10}{'pool':>7}{'redis':>7}"]
        for part in self.parts:
            count = f"{part.scale.programs}" + (f"x{part.scale.processes}" if part.scale.processes > 1 else "")
            lines.append(f"{part.name:<14}{count:>9}{part.direct:>10}{part.pooled:>7}{part.redis:>7}")
        where = "through a pooler" if self.is_pooled else "with the pools"
        database = f"{self.database} of {self.database_limit} to PostgreSQL {where}"
        lines.append(f"{database}, {self.redis} of {self.redis_limit} to Redis")
        return "\n".join(lines)


def _over(total: int, limit: int, server: str, parts: Iterable[tuple[Part, int]]) -> str:
    said = ", ".join(f"{part.name} {needed}" for part, needed in parts if needed)
    return f"is {limit}, and SCALE needs {total} connections to {server}: {said}"


def parse_scale(text: str) -> dict[str, Scale]:
    """How much of each kind runs, from `web=2,worker=2x4`: two web programs, two of worker with 4 processes each.

    One of what is not named. Raises ScaleError.
    """
    found = dict.fromkeys(KINDS, Scale())
    for part in filter(None, (one.strip() for one in text.split(","))):
        match = _COUNT.fullmatch(part)
        if match is None or match["name"] not in KINDS or int(match["count"]) > MOST_PROCESSES:
            raise ScaleError(f"{part!r} is no NAME=COUNT with NAME one of {', '.join(KINDS)}")
        if match["processes"] and not KINDS[match["name"]].fork_direct:
            raise ScaleError(f"{part!r}: only workers have processes")
        found[match["name"]] = Scale(int(match["count"]), max(1, int(match["processes"] or 1)))
    return found


def budget(
    scale: Mapping[str, Scale], *, pool_size: int, is_pooled: bool, database_limit: int, redis_limit: int
) -> Budget:
    """The sum over everything that runs, the release's migration included."""
    parts = [
        _part(name, needs, scale.get(name, Scale()), pool_size)
        for name, needs in [*KINDS.items(), (RELEASE.role, RELEASE)]
    ]
    return Budget(tuple(parts), is_pooled, database_limit, redis_limit)


def _part(name: str, needs: Needs, scale: Scale, pool_size: int) -> Part:
    forks = scale.programs * scale.processes
    return Part(
        name,
        scale,
        pooled=scale.programs * (pool_size if needs.pooled is None else needs.pooled) + forks * needs.fork_pooled,
        direct=scale.programs * needs.direct + forks * needs.fork_direct,
        redis=scale.programs * needs.redis + forks * needs.fork_redis,
    )


def expected_processes(scale: Mapping[str, Scale]) -> dict[str, int]:
    """How many processes of each role report their metrics when everything runs."""
    found = {needs.role: 0 for needs in KINDS.values()}
    for name, needs in KINDS.items():
        found[needs.role] += scale[name].programs * scale[name].processes
    return found
