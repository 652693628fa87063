"""Redis dies, the process ends, readers stall: what was committed is heard all the same."""

import asyncio
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from models import events
from sandbox.ports import free_port
from sandbox.redis import Redis
from tests.realtime import world
from tests.realtime.client import RefusedSignIn, raw, signed_in
from tests.realtime.conftest import Person, Realtime, run_realtime
from tests.servers import Servers


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    with Redis(tmp_path / "redis", append_only=False) as running:
        yield running


async def test_a_redis_that_dies_with_all_it_knew_loses_and_doubles_nothing(
    database: str, ada: Person, redis: Redis, tmp_path: Path
) -> None:
    with run_realtime(tmp_path / "log", DATABASE_URL=database, REDIS_URL=redis.url) as realtime:
        async with signed_in(realtime.url, ada.auth()) as client:
            told = 0

            async def tell(*, aloud: bool) -> None:
                nonlocal told
                for _ in range(20):
                    told += 1
                    await world.happen((world.notified(told), events.user(ada.id)))
                    numbered = await world.number()
                    if aloud:
                        await world.publish(numbered, redis.url)

            for _ in range(2):
                await tell(aloud=True)
                redis.kill()
                await tell(aloud=False)
                # With nobody to publish, the sweep brings them.
                await client.wait_for(told, 3)
                redis.start()
                # It is back and we may not have noticed yet: what is published now, nobody hears.
                await tell(aloud=True)
                await client.wait_for(told, 3)
                redis.kill_with_total_loss()
                await tell(aloud=True)
            await client.wait_for(told, 6)
            assert client.seqs() == list(range(1, told + 1))
            assert [arguments[0]["data"]["n"] for _, arguments in client.heard] == list(range(1, told + 1))


async def test_without_redis_people_sign_in_and_hear(database: str, ada: Person, tmp_path: Path) -> None:
    nowhere = f"redis://127.0.0.1:{free_port()}/0"
    with run_realtime(tmp_path / "log", DATABASE_URL=database, REDIS_URL=nowhere) as realtime:
        async with signed_in(realtime.url, ada.auth()) as client:
            await world.happen((world.notified(1), events.user(ada.id)))
            await world.number()
            await client.wait_for(1, 1.5)
            assert client.seqs() == [1]


async def test_a_process_that_is_told_to_end_closes_its_sockets_and_is_gone(
    database: str, ada: Person, redis: Redis, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with run_realtime(log, DATABASE_URL=database, REDIS_URL=redis.url) as realtime:
        async with signed_in(realtime.url, ada.auth()) as client, httpx.AsyncClient(base_url=realtime.url) as http:
            path = "/socket.io/?EIO=4&transport=polling"
            path += "&sid=" + (await http.get(path)).text.split('"sid":"')[1].split('"')[0]
            await http.post(path, content=f'40{{"token":"{ada.token()}"}}')
            await http.get(path)
            polling = asyncio.create_task(http.get(path))
            await asyncio.sleep(0.2)

            began = time.monotonic()
            realtime.process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(client.cut.wait(), 2)
            # Not told to leave: a client that is comes back only when its user asks.
            assert not client.told_to_leave
            assert (await asyncio.wait_for(polling, 2)).text == "1"
            await asyncio.to_thread(realtime.process.wait, 3)
            assert time.monotonic() - began < 2
            assert realtime.process.returncode in {0, -signal.SIGTERM}
    assert "Traceback" not in log.read_text(encoding="utf-8")


@asynccontextmanager
async def stalled(realtime: Realtime, person: Person) -> AsyncIterator[ClientConnection]:
    """A socket that signs in, and reads no further than the system's smallest buffer does for it."""
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    small.setblocking(False)
    await asyncio.get_running_loop().sock_connect(small, ("127.0.0.1", int(realtime.url.rpartition(":")[2])))
    address = realtime.url.replace("http", "ws") + "/socket.io/?EIO=4&transport=websocket"
    async with connect(address, sock=small, max_size=None, max_queue=1, close_timeout=0) as one:
        await one.recv()
        await one.send(f'40{{"token":"{person.token()}"}}')
        await one.recv()
        yield one


async def ask_on_and_on(greedy: ClientConnection) -> None:
    for number in itertools.count():
        await greedy.send(f'42{number}["sync",{{"events_after":0}}]')
        await asyncio.sleep(0.2)


BIG = events.Notified(type="test", title="x" * 50_000, message="", data={})


async def test_a_burst_beside_a_reader_that_stalls_costs_no_memory_and_no_event(
    database: str, ada: Person, redis: Redis, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with run_realtime(log, DATABASE_URL=database, REDIS_URL=redis.url) as realtime:
        async with stalled(realtime, ada), signed_in(realtime.url, ada.auth()) as client:
            before = realtime.memory_mib()
            for sent in range(1, 5):
                await world.happen(*[(BIG, events.user(ada.id)) for _ in range(100)])
                await world.relay(redis.url)
                await client.wait_for(100 * sent)
            assert client.seqs() == list(range(1, 401))
            # 20 MB were told to a socket that read none of it.
            assert realtime.memory_mib() - before < 12
        async with signed_in(realtime.url, ada.auth(events_after=100)) as client:
            await client.wait_for(300)
            assert client.seqs() == list(range(101, 401))
    assert "Traceback" not in log.read_text(encoding="utf-8")


async def test_who_asks_for_more_than_it_reads_is_cut(database: str, ada: Person, redis: Redis, tmp_path: Path) -> None:
    log = tmp_path / "log"
    await world.happen(*[(BIG, events.user(ada.id)) for _ in range(10)])
    await world.number()
    with run_realtime(log, DATABASE_URL=database, REDIS_URL=redis.url) as realtime:
        async with stalled(realtime, ada) as greedy:
            asking = asyncio.create_task(ask_on_and_on(greedy))
            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(asking, 40)
            assert greedy.close_code == 1006
            assert "slow_reader_cut" in log.read_text(encoding="utf-8")
    assert "Traceback" not in log.read_text(encoding="utf-8")


async def test_while_postgresql_is_away_the_door_closes_and_turns_nobody_off(
    servers: Servers, template: str, ada: Person, redis: Redis, tmp_path: Path
) -> None:
    """A refusal would end the client's own reconnecting; a transport that closes does not."""
    name = f"realtime_away_{os.getpid()}"
    url = urlunsplit(urlsplit(servers.database_url)._replace(path="/" + name))
    admin = await asyncpg.connect(servers.database_url)
    await admin.execute(f"create database {name} template {template}")
    try:
        with run_realtime(tmp_path / "log", DATABASE_URL=url, REDIS_URL=redis.url) as realtime:
            await admin.execute(f"alter database {name} allow_connections false")
            await admin.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = $1", name)
            async with raw(realtime.url) as socket:
                await socket.send(f'40{{"token":"{ada.token()}"}}')
                assert await asyncio.wait_for(socket.recv(), 5) == "1"
                await asyncio.wait_for(socket.wait_closed(), 2)

            await admin.execute(f"alter database {name} allow_connections true")
            # That database does not know her session; what counts is that it was asked.
            with pytest.raises(RefusedSignIn, match="session has ended"):
                async with signed_in(realtime.url, ada.auth()):
                    pass
    finally:
        await admin.execute(f"drop database {name} with (force)")
        await admin.close()


async def test_a_relay_that_is_killed_again_and_again_loses_and_doubles_nothing(
    database: str, realtime: Realtime, ada: Person, redis_url: str
) -> None:
    async with signed_in(realtime.url, ada.auth()) as client:
        for kill in range(3):
            relay = subprocess.Popen(  # noqa: ASYNC220  it starts at once
                [sys.executable, "-m", "tasks.relay"], stderr=subprocess.DEVNULL
            )
            try:
                # Killed while it is at work: after the first of these is heard, and before the last.
                for n in range(100):
                    await world.happen((world.notified(kill * 100 + n), events.user(ada.id)))
                    if n == 60:
                        await client.wait_for(kill * 100 + 1)
            finally:
                relay.kill()
                relay.wait()
        await world.relay(redis_url)
        await client.wait_for(300)
        assert client.seqs() == list(range(1, 301))
        assert [arguments[0]["data"]["n"] for _, arguments in client.heard] == list(range(300))
