"""One port for a desk: a reverse proxy that sends each path to the process that answers it.

`python -m sandbox.front_door --port 8000 --route /socket.io/=127.0.0.1:8002 --default 127.0.0.1:8001`

A connection carries one request, on either side, so nothing can be smuggled behind it: a request whose length is told
twice is refused, and bytes after its end are never read. It keeps no state and knows nothing of the paths' meaning.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus

import h11

HEAD_LIMIT_BYTES = 64 * 1024
PIECE_BYTES = 64 * 1024
HEAD_LIMIT_S = 10.0  # a browser opens connections it may never use
CONNECT_LIMIT_S = 2.0  # loopback answers at once or not at all
BACKLOG = 1024
DRAIN_LIMIT_S = 6.0  # what the desk gives the processes behind
RETRY_AFTER_S = 1

# Ours to say, or meant for one hop only.
DROPPED = {b"connection", b"keep-alive", b"proxy-connection", b"proxy-authorization", b"te", b"upgrade", b"forwarded",
           b"x-real-ip"}  # fmt: skip
# Which a `Connection` header may not remove: the upstream would then place the request's end elsewhere.
KEPT = {b"host", b"content-length", b"transfer-encoding"}


class Refusal(Exception):
    """The request gets this answer from the door itself."""

    def __init__(self, status: HTTPStatus, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail

    def render(self) -> bytes:
        """The answer's bytes, as RFC 9457 wants them."""
        problem = {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": self.status.value,
            "detail": self.detail,
            "code": self.code,
        }
        body = json.dumps(problem).encode()
        lines = [
            f"HTTP/1.1 {self.status.value} {self.status.phrase}",
            "Content-Type: application/problem+json",
            f"Content-Length: {len(body)}",
            "Connection: close",
        ]
        if self.status in (HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE):
            lines.append(f"Retry-After: {RETRY_AFTER_S}")
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@dataclass(frozen=True)
class Upstream:
    """Where a process listens."""

    host: str
    port: int


class Routes:
    """Which upstreams answer which path: the longest prefix wins, several for one prefix take turns."""

    def __init__(self, prefixes: dict[str, list[Upstream]]) -> None:
        self._prefixes = sorted(prefixes.items(), key=lambda item: -len(item[0]))
        self._turns = itertools.count()

    def candidates(self, path: str) -> list[Upstream]:
        """The upstreams to try, in order: the one whose turn it is, then the others."""
        for prefix, upstreams in self._prefixes:
            if path.startswith(prefix):
                first = next(self._turns) % len(upstreams)
                return upstreams[first:] + upstreams[:first]
        raise Refusal(HTTPStatus.NOT_FOUND, "no_route", "Nothing on this desk answers that path.")


@dataclass
class Streams:
    """One side's connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


def _headers(request: h11.Request, name: bytes) -> list[bytes]:
    return [value for key, value in request.headers if key == name]


def check_framing(request: h11.Request) -> None:
    """Refuse a request whose end two readers could place differently."""
    lengths = _headers(request, b"content-length")
    encodings = _headers(request, b"transfer-encoding")
    if lengths and encodings:
        raise Refusal(HTTPStatus.BAD_REQUEST, "bad_framing", "Content-Length and Transfer-Encoding exclude each other.")
    if request.http_version != b"1.1" and encodings:
        raise Refusal(HTTPStatus.BAD_REQUEST, "bad_framing", "HTTP/1.0 knows no Transfer-Encoding.")


def path_of(request: h11.Request) -> str:
    """The path a request is routed by, also where the client wrote a whole address, as it would to a proxy."""
    target = request.target.decode("latin-1")
    if target.startswith(("http://", "https://")):
        return "/" + target.split("//", 1)[1].partition("/")[2]
    return target


def wants_upgrade(request: h11.Request) -> bool:
    """Whether the client asks to go on in another protocol, which here is WebSocket."""
    tokens = b",".join(_headers(request, b"connection")).lower()
    return request.method == b"GET" and b"upgrade" in tokens and bool(_headers(request, b"upgrade"))


def render_head(request: h11.Request, peer: str) -> bytes:
    """The request's head as the upstream gets it.

    The peer's address replaces what the client claimed: this is the first hop, and the only one the processes trust.
    """
    named = {name.strip().lower() for value in _headers(request, b"connection") for name in value.split(b",")}
    lines = [request.method + b" " + path_of(request).encode("latin-1") + b" HTTP/1.1"]
    for name, value in request.headers.raw_items():
        lowered = name.lower()
        if lowered in DROPPED or lowered in named - KEPT or lowered.startswith(b"x-forwarded-"):
            continue
        lines.append(name + b": " + value)
    lines += [b"X-Forwarded-For: " + peer.encode(), b"X-Forwarded-Proto: http"]
    if wants_upgrade(request):
        lines += [b"Connection: Upgrade", b"Upgrade: " + _headers(request, b"upgrade")[0]]
    else:
        lines.append(b"Connection: close")
    return b"\r\n".join(lines) + b"\r\n\r\n"


class Passage:
    """One client's connection, from its head to the last byte of the answer."""

    def __init__(self, client: Streams, routes: Routes) -> None:
        self.client = client
        self.routes = routes
        self.parser = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_LIMIT_BYTES)
        self.has_begun = False
        self.has_answered = False

    async def run(self) -> None:
        """Carry one request to its upstream and the answer back."""
        try:
            request = await self._read_head()
            if request is not None:
                self.has_begun = True
                check_framing(request)
                await self._carry(request)
        except Refusal as refusal:
            if not self.has_answered:
                self.client.writer.write(refusal.render())
                await self.client.writer.drain()
                # Closing upon unread bytes resets the connection, and the client would never see the answer.
                await self._discard()

    async def _discard(self) -> None:
        with contextlib.suppress(TimeoutError, OSError):
            self.client.writer.write_eof()
            async with asyncio.timeout(1.0):
                while await self.client.reader.read(PIECE_BYTES):
                    pass

    async def _next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        try:
            while (event := self.parser.next_event()) is h11.NEED_DATA:
                piece = await self.client.reader.read(PIECE_BYTES)
                self.parser.receive_data(piece)
        except h11.RemoteProtocolError as error:
            status = HTTPStatus(error.error_status_hint)
            raise Refusal(status, "bad_request", f"This is no HTTP request this server accepts: {error}.") from error
        return event

    async def _read_head(self) -> h11.Request | None:
        try:
            async with asyncio.timeout(HEAD_LIMIT_S):
                event = await self._next_event()
        except TimeoutError:
            return None
        return event if isinstance(event, h11.Request) else None

    async def _body(self, request: h11.Request) -> AsyncIterator[bytes]:
        """The body as the upstream gets it, framed anew where it came in chunks."""
        chunked = bool(_headers(request, b"transfer-encoding"))
        while True:
            event = await self._next_event()
            if isinstance(event, h11.Data):
                data = bytes(event.data)
                yield b"%x\r\n%s\r\n" % (len(data), data) if chunked else data
            elif isinstance(event, h11.EndOfMessage):
                if chunked:
                    yield b"0\r\n\r\n"
                return
            else:
                raise ConnectionResetError

    async def _connect(self, path: str) -> Streams:
        for upstream in self.routes.candidates(path):
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(CONNECT_LIMIT_S):
                    return Streams(*await asyncio.open_connection(upstream.host, upstream.port))
        raise Refusal(
            HTTPStatus.SERVICE_UNAVAILABLE, "upstream_away", "The process that answers this is not up; retry."
        )

    async def _carry(self, request: h11.Request) -> None:
        peer = self.client.writer.get_extra_info("peername")[0]
        upstream = await self._connect(path_of(request))
        upstream.writer.write(render_head(request, peer))
        sending = asyncio.create_task(self._send(request, upstream))
        answering = asyncio.create_task(self._answer(request, upstream))
        try:
            await asyncio.wait((sending, answering), return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                sending.result()  # raises when the client left, or its body is malformed: then no answer is awaited
            await answering
        finally:
            for task in (sending, answering):
                task.cancel()
            await asyncio.gather(sending, answering, return_exceptions=True)
            upstream.writer.close()

    async def _send(self, request: h11.Request, upstream: Streams) -> None:
        """Send the body, then watch for the client's leaving, so that the upstream need not work for nobody."""
        async for piece in self._body(request):
            upstream.writer.write(piece)
            # An upstream may answer early and stop reading: its answer is what counts, not our failure to write.
            with contextlib.suppress(ConnectionError):
                await upstream.writer.drain()
        if wants_upgrade(request):
            return  # what follows belongs to the other protocol
        # Bytes after the request are a second one on this connection: never read past the first piece, never passed on.
        if not self.parser.trailing_data[0] and not await self.client.reader.read(1):
            raise ConnectionResetError

    async def _answer(self, request: h11.Request, upstream: Streams) -> None:
        """Pass the answer on byte by byte; after a 101, go on in both directions."""
        first = await upstream.reader.read(PIECE_BYTES)
        while first and b"\r\n" not in first:
            more = await upstream.reader.read(PIECE_BYTES)
            if not more:
                break
            first += more
        if not first:
            detail = "The process that answers this ended before it did; whether it acted is unknown."
            raise Refusal(HTTPStatus.BAD_GATEWAY, "upstream_ended", detail)
        self.has_answered = True
        self.client.writer.write(first)
        if wants_upgrade(request) and first.split(b" ", 2)[1:2] == [b"101"]:
            trailing, _ = self.parser.trailing_data
            upstream.writer.write(trailing)
            await _tunnel(self.client, upstream)
            return
        await _pump(upstream.reader, self.client.writer)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(PIECE_BYTES):
        writer.write(piece)
        await writer.drain()
    await writer.drain()


async def _tunnel(one: Streams, other: Streams) -> None:
    """Until either side leaves."""
    ways = [asyncio.create_task(_pump(one.reader, other.writer)), asyncio.create_task(_pump(other.reader, one.writer))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


class FrontDoor:
    """The listener, and the passages under way."""

    def __init__(self, routes: Routes) -> None:
        self._routes = routes
        self._passages: dict[asyncio.Task[None], Passage] = {}

    async def serve(self, host: str, port: int) -> None:
        """Listen until SIGTERM or SIGINT; requests under way may end first, for a few seconds."""
        server = await asyncio.start_server(self._admit, host, port, backlog=BACKLOG, limit=PIECE_BYTES)
        ended = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
        await ended.wait()
        server.close()
        for task, passage in self._passages.items():
            if not passage.has_begun:
                task.cancel()
        if self._passages:
            await asyncio.wait(self._passages, timeout=DRAIN_LIMIT_S)
        for task in self._passages:
            task.cancel()
        await asyncio.gather(*self._passages, return_exceptions=True)

    async def _admit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        passage = self._passages[task] = Passage(Streams(reader, writer), self._routes)
        try:
            await passage.run()
        except (OSError, asyncio.CancelledError):
            pass  # the client left, or the desk ends
        finally:
            del self._passages[task]
            writer.close()


def _parse_upstream(text: str) -> Upstream:
    host, _, port = text.rpartition(":")
    return Upstream(host, int(port))


def _parse_routes(arguments: argparse.Namespace) -> Routes:
    prefixes: dict[str, list[Upstream]] = {}
    for route in [*arguments.route, *(f"/={text}" for text in arguments.default)]:
        prefix, _, text = route.rpartition("=")
        prefixes.setdefault(prefix, []).append(_parse_upstream(text))
    return Routes(prefixes)


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.front_door")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--route", action="append", default=[], metavar="PREFIX=HOST:PORT")
    parser.add_argument("--default", action="append", default=[], metavar="HOST:PORT")
    arguments = parser.parse_args()
    try:
        asyncio.run(FrontDoor(_parse_routes(arguments)).serve(arguments.host, arguments.port))
    except OSError as error:
        sys.exit(f"The front door cannot open port {arguments.port}: {error.strerror}")


if __name__ == "__main__":
    main()
