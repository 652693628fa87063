"""Notices between processes: which jobs have ended, and volatile news that nobody needs to hear twice.

Workers announce, the API waits. Everything told here can be read from PostgreSQL, so a lost notice costs a waiter its
next look at the row.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
import structlog

from wire.redis import AWAY, Names, connect

AWAY_POLL_S: Final = 0.1
"""How often a process looks at the rows its callers wait for while Redis is away."""
QUIET_POLL_S: Final = 1.0
"""How often it looks although subscribed: a connection may be dead without knowing it."""
REST_S: Final = 0.002
"""Notices of one process within this time travel together."""
MOST_PENDING: Final = 2000
"""Beyond this, with Redis stalled, news is dropped rather than hoarded."""

log = structlog.get_logger(__name__)


class Announcer:
    """Tells other processes, in the background. Nothing here blocks or raises; what cannot be told is dropped."""

    def __init__(self, url: str, names: Names) -> None:
        self._redis = connect(url)
        self._names = names
        self._ended: list[UUID] = []
        self._news: list[bytes] = []
        self._telling: asyncio.Task[None] | None = None

    def announce(self, job_ids: Iterable[UUID]) -> None:
        """These jobs have ended, and their rows are committed."""
        self._ended.extend(job_ids)
        self._soon()

    def tell(self, audience: str, name: str, payload: Any) -> None:
        """A volatile event: whoever is connected hears it, nobody else ever will."""
        self._news.append(msgspec.json.encode({"audience": audience, "name": name, "payload": payload}))
        self._soon()

    def _soon(self) -> None:
        if len(self._ended) + len(self._news) > MOST_PENDING:
            self._ended, self._news = self._ended[-MOST_PENDING:], []
        if self._telling is None or self._telling.done():
            self._telling = asyncio.get_running_loop().create_task(self._tell())

    async def _tell(self) -> None:
        while self._ended or self._news:
            ended, self._ended, news, self._news = self._ended, [], self._news, []
            try:
                async with self._redis.pipeline(transaction=False) as pipe:
                    for one in news:
                        pipe.publish(self._names.volatile, one)
                    if ended:
                        pipe.publish(self._names.jobs_ended, msgspec.json.encode(ended))
                    await pipe.execute()
            except AWAY as error:
                log.info("notices.redis_away", error=type(error).__name__)
            await asyncio.sleep(REST_S)

    async def close(self) -> None:
        """Let the last notices go out, for at most a second, and disconnect."""
        if self._telling is not None:
            await asyncio.wait([self._telling], timeout=1)
            self._telling.cancel()
        await self._redis.aclose()


class Notices:
    """Hears which jobs have ended, for everyone in this process who waits: one subscription, whatever their number."""

    def __init__(self, url: str, names: Names, ended: Callable[[Sequence[UUID]], Awaitable[Iterable[UUID]]]) -> None:
        """`ended` reads which of the given jobs have ended, in one statement."""
        # An idle subscription has nothing to read, so the time-out must outlast the polls.
        self._redis = connect(url, socket_timeout_s=QUIET_POLL_S + 1)
        self._names = names
        self._read_ended = ended
        self._waiting: dict[UUID, set[asyncio.Future[None]]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._subscribed = False

    async def open(self) -> None:
        """Begin to listen, on the running loop."""
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._look())]

    async def close(self) -> None:
        """Stop listening; whoever still waits is cancelled."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for futures in list(self._waiting.values()):
            for future in list(futures):
                future.cancel()
        await self._redis.aclose()

    def register(self, job_id: UUID) -> asyncio.Future[None]:
        """A future that is done once the job has ended. Register before the commit; cancel it to stop waiting."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(job_id, set()).add(future)
        future.add_done_callback(lambda done: self._forget(job_id, done))
        return future

    def _forget(self, job_id: UUID, done: asyncio.Future[None]) -> None:
        futures = self._waiting.get(job_id)
        if futures is not None:
            futures.discard(done)
            if not futures:
                del self._waiting[job_id]

    def _resolve(self, job_ids: Iterable[UUID]) -> None:
        for job_id in job_ids:
            for future in list(self._waiting.get(job_id, ())):
                if not future.done():
                    future.set_result(None)

    async def _listen(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        while not task.cancelling():  # the client swallows a cancellation that comes while it reads an answer
            try:
                async with self._redis.pubsub(ignore_subscribe_messages=True) as channel:
                    await channel.subscribe(self._names.jobs_ended)
                    # What was told while nobody listened is in the rows: look once, now that nothing more is missed.
                    self._subscribed = True
                    await self._look_once()
                    while not task.cancelling():
                        heard = await channel.get_message(timeout=QUIET_POLL_S)
                        if heard is not None:
                            self._resolve(msgspec.json.decode(heard["data"], type=list[UUID]))
            except AWAY as error:
                if self._subscribed:
                    log.warning("notices.redis_away", error=type(error).__name__)
            except msgspec.DecodeError:
                log.warning("notices.unreadable")
            self._subscribed = False
            if not task.cancelling():
                await asyncio.sleep(AWAY_POLL_S)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(QUIET_POLL_S if self._subscribed else AWAY_POLL_S)
            await self._look_once()

    async def _look_once(self) -> None:
        waiting = list(self._waiting)
        if not waiting:
            return
        try:
            self._resolve(await self._read_ended(waiting))
        except Exception as error:  # noqa: BLE001  the loop must outlive a failing database; the waiters have time-outs
            log.warning("notices.unread", error=type(error).__name__)
