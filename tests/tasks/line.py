"""A line to PostgreSQL that a test can cut: what a worker at its end meets is an outage."""

import asyncio
import contextlib
from typing import Self
from urllib.parse import urlsplit, urlunsplit


class Line:
    """Carries bytes between a port of its own and a server's, until it is cut; mended, it has the same port."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url)
        self._port = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        await self.mend()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cut()

    @property
    def environment(self) -> dict[str, str]:
        """What a worker at this end is started with."""
        user = self._address.netloc.rpartition("@")[0]
        url = urlunsplit(self._address._replace(netloc=f"{user}@127.0.0.1:{self._port}"))
        return {"DATABASE_URL": url, "DATABASE_DIRECT_URL": url}

    async def mend(self) -> None:
        """Accept connections."""
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Break every connection, and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._open):
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _carry(self, here: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        assert self._address.port is not None
        there, on = await asyncio.open_connection(self._address.hostname, self._address.port)
        self._open |= {back, on}
        await asyncio.gather(self._pump(here, on), self._pump(there, back))
        self._open -= {back, on}

    @staticmethod
    async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while read := await source.read(65536):
                sink.write(read)
                await sink.drain()
        sink.close()
