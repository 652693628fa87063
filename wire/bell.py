"""The bell: after a commit somebody rings, and an idle process that waits for that name begins at once.

A bell that is not heard costs the listener's next sweep (250 ms), never a job, so nothing here blocks or raises.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

import structlog

from wire.redis import AWAY, Names, connect

REST_S: Final = 0.005
"""At most one token per name and process in this time: a hundred commits need not wake a hundred listeners."""
KEPT_TOKENS: Final = 8
"""Nobody reads tokens while all are busy, so the list is cut; a surplus token costs one empty look."""
DEAF_S: Final = 1.0
"""How long a listener does not try Redis again after an error, and only sweeps."""
PATIENCE_S: Final = 0.3
"""How much longer than its own time-out a blocking pop may take before Redis counts as stalled."""

log = structlog.get_logger(__name__)


class Bell:
    """Rings for one process. Call it with names, on the process's loop, after the commit."""

    def __init__(self, url: str, names: Names) -> None:
        self._redis = connect(url)
        self._names = names
        self._pending: set[str] = set()
        self._ringing: asyncio.Task[None] | None = None
        self._away = False

    def __call__(self, rung: Iterable[str]) -> None:
        """Ring these names soon. Returns at once, whatever Redis does."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # no loop, nobody to ring: the sweeps will find the rows
            return
        self._pending.update(rung)
        if self._pending and (self._ringing is None or self._ringing.done()):
            self._ringing = loop.create_task(self._ring())

    async def _ring(self) -> None:
        while self._pending:
            rung, self._pending = self._pending, set()
            try:
                async with self._redis.pipeline(transaction=False) as pipe:
                    for name in sorted(rung):
                        pipe.lpush(self._names.bell(name), b"1")
                        pipe.ltrim(self._names.bell(name), 0, KEPT_TOKENS - 1)
                    await pipe.execute()
                self._away = False
            except AWAY as error:
                if not self._away:
                    log.warning("bell.redis_away", error=type(error).__name__)
                self._away = True
            await asyncio.sleep(REST_S)

    async def close(self) -> None:
        """Let the last ring go out, for at most a second, and disconnect."""
        if self._ringing is not None:
            await asyncio.wait([self._ringing], timeout=1)
            self._ringing.cancel()
        await self._redis.aclose()


def _text(key: bytes | str) -> str:
    return key.decode() if isinstance(key, bytes) else key


class Listener:
    """Waits for bells on a connection of its own. One waiter at a time."""

    def __init__(self, url: str, names: Names, *, sweep_s: float) -> None:
        self._redis = connect(url, socket_timeout_s=sweep_s + PATIENCE_S, single=True)
        self._names = names
        self._sweep_s = sweep_s
        self._deaf_until = 0.0

    async def wait(self, rung: Sequence[str]) -> str | None:
        """The first of these names that rings, looked at in their order; None when none did until the next sweep.

        Must not be cancelled: the token and the connection would go with it. It returns within `sweep_s` and a bit.
        """
        now = asyncio.get_running_loop().time()
        if now < self._deaf_until:
            await asyncio.sleep(self._sweep_s)
            return None
        keys = {self._names.bell(name): name for name in rung}
        try:
            popped = await self._redis.blpop(list(keys), timeout=self._sweep_s)
        except AWAY as error:
            log.info("bell.deaf", error=type(error).__name__)
            self._deaf_until = now + DEAF_S
            await asyncio.sleep(0.01)
            return None
        return None if popped is None else keys.get(_text(popped[0]))

    async def close(self) -> None:
        """Disconnect."""
        await self._redis.aclose()
