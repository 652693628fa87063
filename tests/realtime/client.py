"""A Socket.IO client written from the protocol's own description, so that a mistake of the server's library shows."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

PATIENCE_S = 10.0


class RefusedSignIn(Exception):
    """The server's CONNECT_ERROR; `data` is its second half."""

    def __init__(self, told: dict[str, Any]) -> None:
        super().__init__(told["message"])
        self.data: dict[str, Any] = told.get("data", {})


class Client:
    """A signed-in socket. `heard` holds every event so far: its name and its arguments."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.heard: list[tuple[str, list[Any]]] = []
        self.cut = asyncio.Event()
        self.told_to_leave = False
        self._news = asyncio.Condition()
        self._answers: dict[int, asyncio.Future[list[Any]]] = {}
        self._ids = itertools.count()

    async def read(self) -> None:
        """Take what comes until the connection ends."""
        try:
            async for frame in self.socket:
                await self._take(str(frame))
        except ConnectionClosed:
            pass
        finally:
            self.cut.set()
            async with self._news:
                self._news.notify_all()

    async def _take(self, frame: str) -> None:
        if frame == "2":
            await self.socket.send("3")
        elif frame.startswith("42"):
            name, *arguments = json.loads(frame[2:])
            async with self._news:
                self.heard.append((name, arguments))
                self._news.notify_all()
        elif frame.startswith("43"):
            number, _, rest = frame[2:].partition("[")
            self._answers.pop(int(number)).set_result(json.loads("[" + rest))
        elif frame == "41":
            self.told_to_leave = True

    async def ask(self, name: str, *arguments: Any) -> Any:
        """Emit and wait for the acknowledgement."""
        number = next(self._ids)
        self._answers[number] = asyncio.get_running_loop().create_future()
        future = self._answers[number]
        await self.socket.send(f"42{number}{json.dumps([name, *arguments])}")
        return (await asyncio.wait_for(future, PATIENCE_S))[0]

    async def wait_for(self, count: int, patience_s: float = PATIENCE_S) -> list[tuple[str, list[Any]]]:
        """What was heard, once there are this many."""

        async def enough() -> None:
            async with self._news:
                await self._news.wait_for(lambda: len(self.heard) >= count or self.cut.is_set())

        await asyncio.wait_for(enough(), patience_s)
        return self.heard

    def seqs(self) -> list[int]:
        """The numbers of one's own events, in the order they came."""
        return [arguments[1]["seq"] for name, arguments in self.heard if name != "resync" and len(arguments) > 1]


@asynccontextmanager
async def raw(url: str) -> AsyncIterator[ClientConnection]:
    """The transport, opened and not signed in."""
    address = url.replace("http", "ws", 1) + "/socket.io/?EIO=4&transport=websocket"
    async with connect(address, max_size=None) as socket:
        assert str(await socket.recv()).startswith("0{")
        yield socket


@asynccontextmanager
async def signed_in(url: str, auth: dict[str, Any] | None) -> AsyncIterator[Client]:
    """A client that is in, or RefusedSignIn."""
    async with raw(url) as socket:
        await socket.send("40" + ("" if auth is None else json.dumps(auth)))
        answer = str(await asyncio.wait_for(socket.recv(), PATIENCE_S))
        if answer.startswith("44"):
            raise RefusedSignIn(json.loads(answer[2:]))
        assert answer.startswith("40{"), answer
        client = Client(socket)
        reading = asyncio.create_task(client.read())
        try:
            yield client
        finally:
            await socket.close()
            await reading
