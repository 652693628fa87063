"""A stand-in for a transaction pooler: clients share a few sessions of the server, each lent for one transaction.

Like PgBouncer with `pool_mode=transaction`: a session is lent when a client sends something and taken back when the
server says that it is ready outside a transaction; what a client left behind in it is the next one's surprise. A session
is lent to whoever waited longest, and never to the same client twice in a row while others wait.
"""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import asyncpg

REFUSED_AT_START: Final = ("jit", "search_path", "statement_timeout", "lock_timeout")
"""What PgBouncer does not know how to keep for a client, and so refuses."""
READY, IDLE = b"Z", b"I"


class Session:
    """One session of the server."""

    def __init__(self, origin: asyncpg.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.origin = origin
        self.reader = reader
        self.writer = writer

    def end(self) -> None:
        """Cut it."""
        self.origin.terminate()
        self.writer.close()


class TransactionPooler:
    """Lends `size` sessions. `lent` counts how often, `flushed` how often a client waited in between."""

    def __init__(self, server_url: str, size: int) -> None:
        self._server = urlsplit(server_url)
        self.size = size
        self._free: asyncio.Queue[Session] = asyncio.Queue()
        self._greeting = b""
        self._tasks: set[asyncio.Task[None]] = set()
        self.lent = self.flushed = 0

    @property
    def free(self) -> int:
        """How many sessions are lent to nobody."""
        return self._free.qsize()

    async def open(self) -> str:
        """Open the sessions and listen; the URL to connect to."""
        for _ in range(self.size):
            self._free.put_nowait(await self._session())
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self._listening = server
        port = server.sockets[0].getsockname()[1]
        return urlunsplit(self._server._replace(netloc=f"{self._server.username}@127.0.0.1:{port}"))

    async def close(self) -> None:
        """End everything."""
        self._listening.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        while not self._free.empty():
            self._free.get_nowait().end()

    async def _session(self) -> Session:
        """A signed-in session, by asyncpg's own hand: it signs in, and its transport is then ours."""
        connection = await asyncpg.connect(urlunsplit(self._server), statement_cache_size=0)
        settings = connection.get_settings()
        names = ("server_version", "server_encoding", "client_encoding", "DateStyle", "TimeZone", "integer_datetimes")
        parameters = {name: getattr(settings, name, None) for name in names}
        self._greeting = _message(b"R", struct.pack("!i", 0))
        for name, value in {**parameters, "standard_conforming_strings": "on"}.items():
            if value is not None:
                self._greeting += _message(b"S", f"{name}\0{value}\0".encode())
        self._greeting += _message(b"K", struct.pack("!ii", 1, 1)) + _message(READY, IDLE)
        transport = connection._transport
        reader = asyncio.StreamReader(limit=1 << 24)
        protocol = asyncio.StreamReaderProtocol(reader)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        return Session(
            connection, reader, asyncio.StreamWriter(transport, protocol, reader, asyncio.get_running_loop())
        )

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not await self._greet(reader, writer):
            return
        while True:
            kind, message = await _read(reader)
            if kind == b"X":
                return
            session = await self._free.get()
            self.lent += 1
            try:
                await self._lend(session, message, reader, writer)
            except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                # It left in the middle: what it had begun must not be the next one's.
                session.end()
                session = await self._session()
                raise
            finally:
                self._free.put_nowait(session)

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        while True:
            (length,) = struct.unpack("!i", await reader.readexactly(4))
            body = await reader.readexactly(length - 4)
            (code,) = struct.unpack("!i", body[:4])
            if code == 80877103:  # may we speak TLS?
                writer.write(b"N")
                continue
            break
        if code == 80877102:  # a wish to cancel: the tests have none
            return False
        words = body[4:].rstrip(b"\0").split(b"\0")
        asked = dict(zip(words[::2], words[1::2], strict=False))
        refused = [name for name in REFUSED_AT_START if name.encode() in asked]
        if refused:
            text = f"SFATAL\0VFATAL\0C08P01\0Munsupported startup parameter: {refused[0]}\0\0"
            writer.write(_message(b"E", text.encode()))
            await writer.drain()
            return False
        writer.write(self._greeting)
        return True

    async def _lend(
        self, session: Session, first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Carry messages both ways until the server is ready outside a transaction, and owes no other answer."""
        owed = 0

        async def upward() -> None:
            nonlocal owed
            message = first
            while True:
                owed += message[:1] in (b"Q", b"S")
                self.flushed += message[:1] == b"H"
                session.writer.write(message)
                await session.writer.drain()
                _, message = await _read(reader)

        sending = asyncio.create_task(upward())
        try:
            while True:
                answering = asyncio.create_task(_read(session.reader))
                await asyncio.wait({answering, sending}, return_when=asyncio.FIRST_COMPLETED)
                if sending.done() and not answering.done():
                    answering.cancel()
                    sending.result()
                kind, message = await answering
                writer.write(message)
                if kind == READY:
                    owed -= 1
                    if message[-1:] == IDLE and owed == 0:
                        return
        finally:
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError, asyncio.IncompleteReadError):
                await sending


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


async def _read(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readexactly(5)
    (length,) = struct.unpack("!i", head[1:])
    return head[:1], head + await reader.readexactly(length - 4)


@asynccontextmanager
async def a_pooler(server_url: str, *, size: int) -> AsyncIterator[tuple[TransactionPooler, str]]:
    """A pooler before this server while inside, and its URL."""
    pooler = TransactionPooler(server_url, size)
    url = await pooler.open()
    try:
        yield pooler, url
    finally:
        await pooler.close()
