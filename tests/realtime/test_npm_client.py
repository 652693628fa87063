"""The stock npm client, with no option but its token, signs in, asks, hears, and hears what it missed.

Needs node and the npm registry: `./megilance test --interop`.
"""

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from models import events, guard, sessions
from tests.realtime import world
from tests.realtime.conftest import Person, Realtime, run_realtime

CLIENT = "socket.io-client@^4.8"
SCRIPT = Path(__file__).with_name("npm_client.cjs")
PATIENCE_S = 15

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(not (shutil.which("node") and shutil.which("npm")), reason="node and npm are not here"),
]


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("npm")
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(directory), CLIENT]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    shutil.copy(SCRIPT, directory)
    return directory


class NpmClient:
    """The client's process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.said: list[list[Any]] = []

    async def until(self, *begins: Any) -> list[Any]:
        """The next thing it says that begins so."""
        assert self._process.stdout is not None
        while True:
            line = await asyncio.wait_for(self._process.stdout.readline(), PATIENCE_S)
            assert line, self.said
            self.said.append(json.loads(line))
            if self.said[-1][: len(begins)] == list(begins):
                return self.said[-1]

    def tell(self, *what: Any) -> None:
        """Have it emit an event, or `drop` its transport."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what).encode() + b"\n")


@asynccontextmanager
async def started(installed: Path, url: str, token: str) -> AsyncIterator[NpmClient]:
    process = await asyncio.create_subprocess_exec(
        shutil.which("node") or "node", str(installed / SCRIPT.name), cwd=installed,
        env={"REALTIME_URL": url, "TOKEN": token}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield NpmClient(process)
    finally:
        process.kill()
        await process.wait()


async def test_it_connects_hears_and_hears_what_it_missed(
    installed: Path, realtime: Realtime, ada: Person, redis_url: str
) -> None:
    async with started(installed, realtime.url, ada.token()) as client:
        # It begins by polling, and is in before it has upgraded or after, as the moment has it.
        await client.until("connect")
        if ["upgrade", "websocket"] not in client.said:
            await client.until("upgrade", "websocket")
        await world.happen((world.notified(1), events.user(ada.id)))
        await world.relay(redis_url)
        told = {"type": "test", "title": "number 1", "message": "", "data": {"n": 1}}
        assert await client.until("event") == ["event", "notification", [told, {"seq": 1}]]

        client.tell("sync", {"events_after": 0})
        answer = (await client.until("ack", "sync"))[2]
        assert answer["events"] == [{"seq": 1, "name": "notification", "payload": told}]
        client.tell("join_project", {"project_id": "seven"})
        assert (await client.until("ack", "join_project"))[2]["code"] == "invalid"

        client.tell("drop")
        await client.until("disconnect")
        await world.happen(*[(world.notified(n), events.user(ada.id)) for n in range(2, 30)])
        await world.relay(redis_url)
        await client.until("connect")
        heard = [(await client.until("event"))[2] for _ in range(28)]
        assert [arguments[1]["seq"] for arguments in heard] == list(range(2, 30))

        await guard.commit(sessions.revoke, ada.session_id, "signed_out")
        assert await client.until("disconnect") == ["disconnect", "io server disconnect"]


async def test_it_is_told_why_it_is_refused(installed: Path, realtime: Realtime, ada: Person) -> None:
    async with started(installed, realtime.url, ada.token(life_s=-1)) as client:
        _, message, data = await client.until("connect_error")
        assert message
        assert data == {"code": "token_invalid", "detail": message}


async def test_it_comes_back_by_itself_when_the_process_is_replaced(
    installed: Path, database: str, ada: Person, redis_url: str, tmp_path: Path
) -> None:
    with run_realtime(tmp_path / "log", DATABASE_URL=database, REDIS_URL=redis_url) as first:
        port = first.url.rpartition(":")[2]
        async with started(installed, first.url, ada.token()) as client:
            await client.until("connect")
            first.process.terminate()
            assert (await client.until("disconnect"))[1] == "transport close"
            await asyncio.to_thread(first.process.wait)
            with run_realtime(tmp_path / "log", port=int(port), DATABASE_URL=database, REDIS_URL=redis_url):
                await client.until("connect")
