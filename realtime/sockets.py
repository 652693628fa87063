"""Socket.IO's server, with what it lacks: a bound on what waits for a slow reader, and a strict door for packets.

Everything that leans on the inside of python-socketio 5.18 and python-engineio 4.15 is in this file, and nowhere else;
tests/realtime/test_sockets.py says what would break.
"""

import asyncio
import re
import sys
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final
from urllib.parse import urlsplit

import engineio  # type: ignore[import-untyped]
import msgspec
import socketio
import structlog
from engineio.async_drivers import asgi  # type: ignore[import-untyped]
from engineio.packet import MESSAGE, Packet  # type: ignore[import-untyped]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Answer = Callable[[str, str, list[Any]], Awaitable[dict[str, Any]]]
"""Carries out a client's event (its socket, its name, its arguments) and says what to acknowledge."""

OUTGOING_LIMIT_BYTES: Final = 1_000_000
"""What may wait for one socket, events and answers together. Who reads less than it asks for is cut, and may return."""

BATCH_BYTES: Final = 64 * 1024
"""What the writer takes from the queue at once; more would leave the queue's count without leaving memory."""

PACKET_LIMIT_BYTES: Final = 64 * 1024
PACKETS_A_POST: Final = 256
"""A polling client sends all it has in one request; the engine's own 16 silently loses the seventeenth."""

CLOSE_LIMIT_S: Final = 5.0
"""How long a closed transport may take to write what was queued before it is cut."""

FRAME: Final = re.compile(r"4[0-3]|[1235](probe)?$")
"""How a client's frame may begin: a Socket.IO packet without attachments, or the engine's own small talk."""

log = structlog.get_logger(__name__)


class Outgoing(asyncio.Queue[Packet | None]):
    """What waits to be written to one socket, counted in bytes."""

    def __init__(self, on_overflow: Callable[["Outgoing"], None]) -> None:
        super().__init__()
        self.opened = time.monotonic()
        self.pending_bytes = 0
        self._taken_bytes = 0
        self._overflowed = False
        self._on_overflow = on_overflow

    async def get(self) -> Packet | None:
        """The next packet: the beginning of a batch."""
        self._taken_bytes = 0
        return await super().get()

    def get_nowait(self) -> Packet | None:
        """One more packet of the batch; QueueEmpty when it is full or there is none."""
        if self._taken_bytes >= BATCH_BYTES:
            raise asyncio.QueueEmpty
        return super().get_nowait()

    def _put(self, item: Packet | None) -> None:
        super()._put(item)
        self.pending_bytes += _size(item)
        if self.pending_bytes > OUTGOING_LIMIT_BYTES and not self._overflowed:
            self._overflowed = True
            self._on_overflow(self)

    def _get(self) -> Packet | None:
        item: Packet | None = super()._get()
        self.pending_bytes -= _size(item)
        self._taken_bytes += _size(item)
        return item


def _size(item: Packet | None) -> int:
    return len(item.data) if item is not None and isinstance(item.data, str) else 8


class _EngineLog:
    """The engine's log. It reports each bad packet with a traceback, and a line is enough.

    What fails in code of ours never comes here: `Door.admit` and `Desk.answer` report it themselves.
    """

    def _quiet(self, *_: object, **__: object) -> None:
        return

    debug = info = warning = _quiet

    def error(self, message: str, *args: object, **_: object) -> None:
        log.info("sockets.refused", why=message % args if args else message)

    def exception(self, message: str, *_: object, **__: object) -> None:
        log.info("sockets.packet_refused", where=message, why=repr(sys.exception())[:200])


class _Members(socketio.AsyncManager):  # type: ignore[misc]
    """The engine's own list of clients, which says when one's acceptance has been written: events may follow."""

    async def connect(self, sid: str, namespace: str) -> Any:
        """Count a client in, then tell the server."""
        joined = await super().connect(sid, namespace)
        if self.server.is_open(self.eio_sid_from_sid(sid, namespace)):
            self.server.welcome(sid)
        else:  # it closed while its sign-in was being read, when the engine did not count it yet
            await self.disconnect(sid, namespace)
        return joined


class _WebSocket(asgi.WebSocket):  # type: ignore[misc]
    """A WebSocket whose socket knows the transport below, which alone can end a connection that nobody reads.

    Not in ASGI, so only where the web server shows it (uvicorn does); elsewhere its keep-alive has to do.
    """

    async def __call__(self, environ: dict[str, Any]) -> Any:
        protocol = getattr(environ["asgi.send"], "__self__", None)
        self.handler.__self__.transport = getattr(protocol, "transport", None)
        return await super().__call__(environ)


def _abort(socket: Any) -> None:
    transport = getattr(socket, "transport", None)
    if transport is not None:
        transport.abort()


class Server(socketio.AsyncServer):  # type: ignore[misc]
    """Socket.IO's server. `answer` and `welcome` are hung by the composition root before the first connection."""

    answer: Answer
    welcome: Callable[[str], None]

    def __init__(
        self, *, transports: tuple[str, ...], origin_allowed: Callable[[str | None, dict[str, Any]], bool]
    ) -> None:
        super().__init__(
            client_manager=_Members(),
            async_mode="asgi",
            # Neighbouring events of one sender would change places.
            async_handlers=False,
            transports=list(transports),
            cors_allowed_origins=origin_allowed,
            max_http_buffer_size=PACKET_LIMIT_BYTES,
            logger=_EngineLog(),
            engineio_logger=_EngineLog(),
        )
        engineio.payload.Payload.max_decode_packets = PACKETS_A_POST
        self.eio._async = {**self.eio._async, "websocket": _WebSocket}  # noqa: SLF001
        self.eio.create_queue = lambda: Outgoing(self._overflowed)

    async def _handle_event(self, eio_sid: str, namespace: str | None, id: int | None, data: Any) -> None:  # noqa: A002
        """Instead of the engine's table of handlers, in which a client's own `connect` would find ours."""
        sid = self.manager.sid_from_eio_sid(eio_sid, namespace or "/")
        if sid is None or not self.manager.is_connected(sid, namespace or "/"):
            return
        well_formed = isinstance(data, list) and data and isinstance(data[0], str)
        name, arguments = (data[0], data[1:]) if well_formed else ("", [])
        acknowledged = await self.answer(sid, name, arguments)
        if id is not None:
            text = msgspec.json.encode(acknowledged).decode()
            self.push(eio_sid, Packet(MESSAGE, f"3{id}[{text}]"))

    async def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
        """However a socket ends: closing waits for its reader, so it is given a limit."""
        socket = self.eio.sockets.get(eio_sid)
        await super()._handle_eio_disconnect(eio_sid, reason)
        if socket is not None and reason == self.eio.reason.CLIENT_DISCONNECT:
            # The engine would leave a poll of the client that has just said goodbye hanging, for up to 45 s.
            socket.queue.put_nowait(None)
        asyncio.get_running_loop().call_later(CLOSE_LIMIT_S, _abort, socket)

    def engine_sid(self, sid: str) -> str:
        """The engine's name of a socket. It outlives the sign-in and begins before it."""
        found: str = self.manager.eio_sid_from_sid(sid, "/")
        return found

    def push(self, engine_sid: str, packet: Packet) -> bool:
        """Queue a packet, at once and in order. False when the socket is gone."""
        socket = self.eio.sockets.get(engine_sid)
        if socket is None or socket.closed or socket.closing:
            return False
        socket.queue.put_nowait(packet)
        return True

    def is_open(self, engine_sid: str) -> bool:
        """Whether the socket still takes packets."""
        socket = self.eio.sockets.get(engine_sid)
        return socket is not None and not socket.closed and not socket.closing

    def pending_bytes(self, engine_sid: str) -> int:
        """What waits to be written to the socket."""
        socket = self.eio.sockets.get(engine_sid)
        return 0 if socket is None else socket.queue.pending_bytes

    def unsigned(self, signed: set[str], older_than_s: float) -> list[str]:
        """The engine's names of sockets that have been open this long and have not signed in (or signed out again)."""
        limit = time.monotonic() - older_than_s
        return [one for one, socket in self.eio.sockets.items() if one not in signed and socket.queue.opened < limit]

    async def sign_out(self, sid: str) -> None:
        """Tell a client that we end its stay (it will not come back by itself), and close its transport."""
        engine_sid = self.engine_sid(sid)
        await self.disconnect(sid)
        await self.close(engine_sid)

    async def close(self, engine_sid: str) -> None:
        """Close a transport after what is queued; its client comes back by itself."""
        socket = self.eio.sockets.get(engine_sid)
        if socket is None:
            return
        await socket.close(wait=False)
        # The engine would now wait for the client to close, for up to 45 s: nothing more ends the writer at once.
        socket.queue.put_nowait(None)

    async def close_all(self) -> None:
        """Close every transport, so that each client comes back to a process that stays."""
        for engine_sid in list(self.eio.sockets):
            await self.close(engine_sid)

    def _overflowed(self, queue: Outgoing) -> None:
        for engine_sid, socket in self.eio.sockets.items():
            if socket.queue is queue and not socket.closed and not socket.closing:
                asyncio.get_running_loop().create_task(self._cut(engine_sid), name=f"cut {engine_sid}")
                return

    async def _cut(self, engine_sid: str) -> None:
        """Drop a slow reader now: no farewell, as it would wait behind all that is unread."""
        socket = self.eio.sockets.get(engine_sid)
        if socket is None or socket.closed:
            return
        log.info("sockets.slow_reader_cut", socket=engine_sid, pending_bytes=socket.queue.pending_bytes)
        await socket.close(wait=False, abort=True)
        while not socket.queue.empty():
            socket.queue._get()  # noqa: SLF001  (get_nowait keeps to batches)
        socket.queue.put_nowait(None)
        self.eio.sockets.pop(engine_sid, None)
        _abort(socket)


def event_packet(name: str, payload_json: str, meta_json: str | None) -> Packet:
    """An event as it goes over the wire. Its payload is JSON already and is not decoded on its way."""
    named = msgspec.json.encode(name).decode()
    second = "" if meta_json is None else "," + meta_json
    return Packet(MESSAGE, f"2[{named},{payload_json}{second}]")


class Refused(socketio.exceptions.ConnectionRefusedError):  # type: ignore[misc]
    """The connection is refused: the client's error has `detail` as its message and all of it as its data."""

    def __init__(self, code: str, detail: str, **more: float) -> None:
        super().__init__(detail, {"code": code, "detail": detail, **more})


def origin_check(allowed: tuple[str, ...], ours: tuple[str, ...]) -> Callable[[str | None, dict[str, Any]], bool]:
    """Who may connect from a browser: the named origins, our own public addresses, and the very host that was asked.

    Signing in is by token and never by cookie, so a proxy that hides the scheme costs nothing here.
    """
    named = {origin.rstrip("/") for origin in allowed}
    named |= {f"{parts.scheme}://{parts.netloc}" for parts in map(urlsplit, ours)}

    def is_allowed(origin: str | None, environ: dict[str, Any]) -> bool:
        return "*" in named or origin in named or (origin or "").partition("://")[2] == environ.get("HTTP_HOST")

    return is_allowed


def strict_frames(receive: Receive) -> Receive:
    """The connection's frames, ending at the first one that is no packet.

    The engine parses a WebSocket's frames outside any guard of its own: a bad one would end its task with a traceback
    and leave the writer behind.
    """

    async def checked() -> MutableMapping[str, Any]:
        event = await receive()
        if event["type"] == "websocket.receive":
            text = event.get("text")
            if not isinstance(text, str) or not FRAME.match(text):
                log.info("sockets.packet_refused", why="not a frame of ours")
                return {"type": "websocket.disconnect", "code": 1007}
        return event

    return checked
