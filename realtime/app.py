"""The realtime process as one ASGI app: `uvicorn --factory realtime.app:create_app`.

It answers `/socket.io/` and `GET /health/live`, and nothing else. It needs PostgreSQL; without Redis it is slower.
"""

import asyncio
import contextlib
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Final

import structlog
from engineio.packet import Packet  # type: ignore[import-untyped]

import settings
from models import guard
from models.metrics import this_process
from realtime.delivery import Delivery
from realtime.requests import Desk
from realtime.sign_in import Door
from realtime.sockets import Receive, Scope, Send, Server, origin_check, strict_frames
from realtime.subscription import listen_forever
from realtime.watch import watch_forever
from wire import logs, metrics
from wire.redis import Names
from wire.tokens import Tokens

PATHS: Final = ("/socket.io/", "/socket.io")
LIVE: Final = "/health/live"
LEAVE_S: Final = 1.0
"""Striking the process off is a courtesy: nobody waits for an absent PostgreSQL."""

log = structlog.get_logger(__name__)


class Counted:
    """The sockets as delivery knows them, and a count of what goes out to them."""

    def __init__(self, server: Server, counted: metrics.Realtime) -> None:
        self._server = server
        self._pushed = counted.pushed
        self.pending_bytes = server.pending_bytes

    def push(self, engine_sid: str, packet: Packet) -> bool:
        """Queue a packet, at once and in order."""
        self._pushed.inc()
        return self._server.push(engine_sid, packet)


class App:
    """Routes what the web server hands over. `life` is everything that must run while it does."""

    def __init__(self, server: Server, life: Callable[[], contextlib.AbstractAsyncContextManager[None]]) -> None:
        self._server = server
        self._life = life

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection, request, or the process's own life."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["path"] in PATHS:
            checked = strict_frames(receive) if scope["type"] == "websocket" else receive
            await self._server.handle_request(scope, checked, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        elif scope["path"] == LIVE and scope["method"] == "GET":
            await _say(send, 200, b'{"status":"live"}')
        else:
            await _say(send, 404, b'{"status":404,"code":"not_found"}')

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            async with self._life():
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except Exception as error:
            log.exception("app.failed_to_start")
            await send({"type": "lifespan.startup.failed", "message": repr(error)})
            return
        await send({"type": "lifespan.shutdown.complete"})


async def _say(send: Send, status: int, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})


def create_app() -> App:
    """The composition root: nothing connects before the web server begins the app's life."""
    set_to = settings.load()
    logs.set_up(json=set_to.environment == settings.PRODUCTION, process="realtime")
    server = Server(
        transports=set_to.web.socketio_transports,
        origin_allowed=origin_check(
            set_to.web.cors_origins, ours=(set_to.web.public_url, set_to.web.realtime_public_url)
        ),
    )
    registry = metrics.new_registry()
    counted = metrics.Realtime(registry)
    delivery = Delivery(Counted(server, counted))
    keys = set_to.tokens
    tokens = Tokens(keys.key, keys.old_keys, algorithm=keys.algorithm, access_minutes=keys.access_minutes)
    door = Door(server, delivery, tokens)
    counted.connections.set_function(lambda: len(door.listeners))
    process = this_process("realtime", set_to.release)
    reporter = metrics.Reporter(process.write, registry)
    server.on("connect", door.admit)
    server.on("disconnect", door.part)
    server.welcome = door.welcome
    server.answer = Desk(server, delivery, door).answer
    names = Names(set_to.redis.prefix)

    @contextlib.asynccontextmanager
    async def life() -> AsyncIterator[None]:
        await guard.open_pool(max_size=set_to.database.pool_size)
        loops = [
            asyncio.create_task(listen_forever(set_to.redis.url, names, delivery), name="subscription"),
            asyncio.create_task(delivery.sweep_forever(), name="sweep"),
            asyncio.create_task(watch_forever(server, door), name="watch"),
            asyncio.create_task(reporter.report_forever(guard.rows), name="metrics"),
        ]
        try:
            with _farewell(server.close_all):
                yield
        finally:
            await server.close_all()
            await server.shutdown()
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
            await delivery.close()
            with contextlib.suppress(*guard.LOST_CONNECTION):
                async with asyncio.timeout(LEAVE_S):
                    await process.leave(guard.rows)
            await guard.close_pool()

    return App(server, life)


@contextlib.contextmanager
def _farewell(say: Callable[[], Awaitable[None]]) -> Iterator[None]:
    """Say farewell to the sockets as soon as the process is told to end.

    The web server tells the app only after every connection has closed, and a polling client's may stay open for 45 s.
    Its own handler still runs, after ours.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    theirs = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    tasks: set[asyncio.Task[None]] = set()

    async def said() -> None:
        await say()

    def begin() -> None:
        tasks.add(loop.create_task(said(), name="farewell"))

    def ours(number: int, frame: object) -> None:
        loop.call_soon_threadsafe(begin)
        after = theirs[signal.Signals(number)]
        if callable(after):
            after(number, frame)  # type: ignore[arg-type]

    for number in theirs:
        signal.signal(number, ours)
    try:
        yield
    finally:
        for number, handler in theirs.items():
            signal.signal(number, handler)
