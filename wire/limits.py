"""How often one may ask: a bucket in Redis, taken from in one atomic call, exact across processes.

While Redis is away or stalled each process counts for itself, so a limit is then that much wider as there are
processes, and never absent. Nothing here holds a request up for longer than PATIENCE_S.
"""

import asyncio
import re
import time
from collections.abc import Callable, Hashable, Sequence
from hashlib import sha1
from typing import Final

import msgspec
import structlog
from redis.exceptions import NoScriptError

from wire.redis import AWAY, Names, connect

MOST: Final = 1_000_000
PATIENCE_S: Final = 0.1
"""The longest that a request waits for Redis before it is counted here."""
DEAF_S: Final = 1.0
"""How long Redis is left alone after an error; then one request tries it, and the others do not wait for that."""
KEPT_LOCAL: Final = 10_000
"""Buckets of one process: about 3 MiB. Beyond them the one that was asked least lately is forgotten."""
MOST_TOGETHER: Final = 100
"""Questions in one call: what has gathered while the one before was under way."""

# A bucket is a debt that each request adds to and time pays off (GCRA), in units that keep every number whole: a
# request costs the period in milliseconds, and each millisecond pays as many units as there are requests in a period.
# The greatest is then 10^15, exact in Lua's numbers. What is refused adds nothing, and is not written.
SCRIPT: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local answers = {}
for i, key in ipairs(KEYS) do
    local requests, period = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
    local debt, kept = 0, redis.call('GET', key)
    if kept then
        local owed, at = string.match(kept, '^(%d+) (%d+)$')
        debt = math.max(0, owed - math.max(0, now - at) * requests)
    end
    local wait = math.max(0, math.ceil((debt + period - requests * period) / requests))
    if wait == 0 then
        debt = debt + period
        local paid_off = string.format('%.0f', math.ceil(debt / requests))
        redis.call('SET', key, string.format('%.0f %.0f', debt, now), 'PX', paid_off)
    end
    answers[2 * i - 1], answers[2 * i] = wait, debt
end
return answers
"""
_SHA: Final = sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()

log = structlog.get_logger(__name__)


class Limit(msgspec.Struct, frozen=True):
    """`requests` at once if one likes, and then one more each `period_s / requests` (GCRA)."""

    requests: int
    period_s: int


class Taken(msgspec.Struct, frozen=True):
    """What came of asking. `retry_after_s` is 0 when one may; `reset_s`: until the bucket is whole again."""

    limit: int
    remaining: int
    reset_s: int
    retry_after_s: int


class _Question(msgspec.Struct, frozen=True):
    name: str
    limit: Limit
    answer: asyncio.Future[Taken] | None = None


def parse_limit(said: str) -> Limit:
    """A limit as settings and routes write it: `10/60`. Raises ValueError."""
    found = re.fullmatch(r"([0-9]{1,7})/([0-9]{1,7})", said.strip(), re.ASCII)
    limit = Limit(int(found[1]), int(found[2])) if found else Limit(0, 0)
    if not (1 <= limit.requests <= MOST and 1 <= limit.period_s <= MOST):
        raise ValueError(said)
    return limit


class LocalBuckets:
    """The same buckets inside this process: for when Redis is away."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, most: int = KEPT_LOCAL) -> None:
        self._clock, self._most = clock, most
        self._debts: dict[Hashable, tuple[int, int]] = {}

    def __len__(self) -> int:
        """How many buckets are kept."""
        return len(self._debts)

    def take(self, name: Hashable, limit: Limit) -> Taken:
        """Take one from a bucket, or learn how long until there is one."""
        now, period = int(self._clock() * 1000), limit.period_s * 1000
        owed, at = self._debts.pop(name, (0, now))
        debt = max(0, owed - (now - at) * limit.requests)
        wait = max(0, -((limit.requests * period - debt - period) // limit.requests))
        if wait == 0:
            debt += period
            if len(self._debts) >= self._most:
                self._debts.pop(next(iter(self._debts)))
        self._debts[name] = (debt, now)
        return _taken(limit, wait, debt)


class Limiter:
    """Asks Redis for one process, on one connection: what is asked meanwhile goes together in the next call."""

    def __init__(self, url: str, names: Names, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis = connect(url, socket_timeout_s=PATIENCE_S, single=True)
        self._names = names
        self._clock = clock
        self._local = LocalBuckets(clock)
        self._waiting: list[_Question] = []
        self._serving: asyncio.Task[None] | None = None
        self._asking = self._away = False
        self._deaf_until = 0.0

    async def take(self, name: str, limit: Limit) -> Taken:
        """Take one from the bucket of this name, or learn how long until there is one. Redis' faults are not told."""
        if self._away and (self._asking or self._clock() < self._deaf_until):
            return self._local.take((name, limit), limit)
        if self._asking:
            answer: asyncio.Future[Taken] = asyncio.get_running_loop().create_future()
            self._waiting.append(_Question(name, limit, answer))
            return await answer
        # Nobody asks: this request does it itself, and leaves what gathers meanwhile to a task.
        self._asking = True
        try:
            return (await self._ask([_Question(name, limit)]))[0]
        finally:
            if self._waiting:
                self._serving = asyncio.get_running_loop().create_task(self._serve())
            else:
                self._asking = False

    async def close(self) -> None:
        """Disconnect. Nobody may be asking any more."""
        await self._redis.aclose()

    async def _serve(self) -> None:
        while self._waiting:
            together, self._waiting = self._waiting[:MOST_TOGETHER], self._waiting[MOST_TOGETHER:]
            answers = self._count_here(together) if self._away else await self._ask(together)
            for question, taken in zip(together, answers, strict=True):
                if question.answer is not None and not question.answer.done():  # its asker may have gone
                    question.answer.set_result(taken)
        self._asking = False

    async def _ask(self, together: Sequence[_Question]) -> list[Taken]:
        keys = [self._names.limit(f"{one.limit.requests}/{one.limit.period_s}:{one.name}") for one in together]
        values = [value for one in together for value in (one.limit.requests, one.limit.period_s * 1000)]
        try:
            async with asyncio.timeout(PATIENCE_S):
                try:
                    found = await self._redis.evalsha(_SHA, len(keys), *keys, *values)
                except NoScriptError:  # a Redis that has restarted, or never heard of it
                    found = await self._redis.eval(SCRIPT, len(keys), *keys, *values)
        except AWAY as error:
            if not self._away:
                log.warning("limits.redis_away", error=type(error).__name__)
            self._away, self._deaf_until = True, self._clock() + DEAF_S
            return self._count_here(together)
        self._away = False
        return [_taken(one.limit, found[2 * i], found[2 * i + 1]) for i, one in enumerate(together)]

    def _count_here(self, together: Sequence[_Question]) -> list[Taken]:
        return [self._local.take((one.name, one.limit), one.limit) for one in together]


def _taken(limit: Limit, wait_ms: int, debt: int) -> Taken:
    period_ms = limit.period_s * 1000
    left = max(0, limit.requests * period_ms - debt) // period_ms
    return Taken(limit.requests, left, _seconds(-(-debt // limit.requests)), _seconds(wait_ms))


def _seconds(ms: int) -> int:
    return -(-ms // 1000)
