"""The keeper: a launcher's one child with a connection. It releases the rows of workers that the launcher has reaped.

Their ids come through a pipe, whose end says that all of them have gone. It also sweeps, as every worker does: when a
whole crew works on one host, somebody must be left to watch the others.
"""

import asyncio
import os
import signal
import time
from typing import Final
from uuid import UUID

import asyncpg
import structlog

import settings
from models.guard import LOST_CONNECTION
from tasks.broker import statements
from tasks.broker.sweeper import LOOK_S, Sweeper
from wire.bell import Bell
from wire.redis import Names

LAST_S: Final = 2.0
"""How long it tries to release what is left once every worker has gone."""
LOOK_AGAIN_S: Final = 0.5
"""A claim that a killed worker had sent may be committed after its rows were released; by then it can be seen."""
RECONNECT_S: Final = 0.2
ID_BYTES: Final = 16

log = structlog.get_logger(__name__)


def keep(dead_in: int) -> int:
    """Be the keeper until the pipe ends. Returns the exit status."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # the launcher says when, by closing the pipe
    asyncio.run(Keeper(dead_in).run())
    return 0


class Keeper:
    """Releases what the dead held, and sweeps."""

    def __init__(self, dead_in: int) -> None:
        self._dead_in = dead_in
        self._due: list[tuple[float, UUID]] = []
        """Whom to release, and when. Kept over a lost connection."""
        self._heard = asyncio.Event()
        self._until = float("inf")
        self._sweeper = Sweeper(overdue=True)

    async def run(self) -> None:
        """Keep until the pipe has ended and what was due is done, or cannot be."""
        config = settings.load()
        bell = Bell(config.redis.url, Names(config.redis.prefix))
        asyncio.get_running_loop().add_reader(self._dead_in, self._read)
        while time.monotonic() < self._until and not self._is_done():
            try:
                connection = await asyncpg.connect(config.database.direct_url, timeout=2, command_timeout=5)
            except (*LOST_CONNECTION, asyncpg.PostgresError):
                await asyncio.sleep(RECONNECT_S)
                continue
            try:
                self._sweeper.forget()
                while not self._is_done():
                    rung = await self._release(connection) | await self._sweeper.sweep(connection)
                    if rung:
                        bell(rung)
                    await self._rest()
            except (*LOST_CONNECTION, asyncpg.PostgresError) as error:
                log.warning("keeper.disconnected", error=type(error).__name__)
            finally:
                connection.terminate()
        await bell.close()

    def _is_done(self) -> bool:
        return self._until < float("inf") and not self._due

    def _read(self) -> None:
        """Somebody died, or all have gone."""
        read = os.read(self._dead_in, ID_BYTES * 64)
        now = time.monotonic()
        for start in range(0, len(read), ID_BYTES):
            worker = UUID(bytes=read[start : start + ID_BYTES])
            self._due += [(now, worker), (now + LOOK_AGAIN_S, worker)]
        if not read:
            asyncio.get_running_loop().remove_reader(self._dead_in)
            self._until = now + LAST_S
        self._heard.set()

    async def _rest(self) -> None:
        """Until somebody dies, or somebody is due again, or it is time to sweep."""
        if self._is_done():
            return
        longest_s = min([LOOK_S, *(at - time.monotonic() for at, _ in self._due)])
        self._heard.clear()
        try:
            await asyncio.wait_for(self._heard.wait(), max(0.0, longest_s))
        except TimeoutError:
            return

    async def _release(self, connection: asyncpg.Connection) -> set[str]:
        rung: set[str] = set()
        while due := [one for one in self._due if one[0] <= time.monotonic()]:
            taken = await connection.fetch(statements.RELEASE_REAPED, due[0][1])
            if taken:
                log.info("keeper.released", worker=str(due[0][1]), jobs=len(taken))
            rung |= {one["queue"] for one in taken}
            self._due.remove(due[0])
        return rung
