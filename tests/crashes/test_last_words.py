"""What a dying PostgreSQL says before its connections close: a performer that meets those words has lost a connection."""

import asyncio
import struct
from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit

import pytest

from models import guard
from models.jobs import JobStatus
from tests.crashes.conftest import enqueue, keys, point_at
from tests.crashes.probes import Piece
from tests.performing import claim_now, view

FIELDS = b"SFATAL\0VFATAL\0C57P02\0Mterminating connection because of crash of another server process\0\0"
FATAL = b"E" + struct.pack("!i", len(FIELDS) + 4) + FIELDS
CLOSES_AFTER_S = 0.3


class Wire:
    """A wire to the server that can speak in its name."""

    def __init__(self, host: str, port: int) -> None:
        self._to = host, port
        self._clients: list[asyncio.StreamWriter] = []

    async def join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass everything on, in both directions."""
        there, back = await asyncio.open_connection(*self._to)
        self._clients.append(writer)
        await asyncio.gather(_pass_on(reader, back), _pass_on(there, writer))

    def speak_last_words(self) -> None:
        """Every connection hears that it is over; the closing comes a moment later."""
        for writer in self._clients:
            writer.write(FATAL)
            asyncio.get_running_loop().call_later(CLOSES_AFTER_S, writer.close)
        self._clients.clear()

    def cut(self) -> None:
        """Close what is left."""
        for writer in self._clients:
            writer.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while read := await reader.read(65536):
            writer.write(read)
    except OSError:
        pass
    writer.close()


@pytest.fixture
async def wire(tables: str) -> AsyncIterator[Wire]:
    """The pool's connections go through this wire."""
    parts = urlsplit(tables)
    made = Wire(parts.hostname or "", parts.port or 0)
    server = await asyncio.start_server(made.join, "127.0.0.1", 0)
    user = parts.netloc.rpartition("@")[0]
    port = server.sockets[0].getsockname()[1]
    await point_at(urlunsplit(parts._replace(netloc=f"{user}@127.0.0.1:{port}")))
    yield made
    await point_at(tables)
    server.close()
    made.cut()
    await asyncio.sleep(0.05)


async def test_a_job_that_ends_between_the_last_words_and_the_closing_ends_once_at_one_attempt(wire: Wire):
    from tasks.broker.performing import perform

    job_id = await enqueue(Piece(key="a"))
    claim = await claim_now(job_id)
    wire.speak_last_words()
    await asyncio.sleep(0.05)
    await perform(claim)
    ended = await view(job_id)
    assert (ended.status, ended.attempts) == (JobStatus.SUCCEEDED, 1)
    assert await keys() == {"a": 1}
    assert await guard.value("select count(*) from events") == 1
