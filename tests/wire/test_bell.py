"""The bell never holds anybody up, and a listener is woken at once, or sweeps."""

import asyncio
import time

import redis.asyncio

from wire.bell import KEPT_TOKENS, Bell, Listener
from wire.redis import Names

NAMES = Names("mgl:test:")
NOWHERE = "redis://127.0.0.1:1/0"


async def test_a_listener_is_woken_by_the_most_urgent_name(redis_url: str):
    bell, listener = Bell(redis_url, NAMES), Listener(redis_url, NAMES, sweep_s=0.25)
    assert await listener.wait(["a", "b"]) is None
    bell({"b"})
    began = time.monotonic()
    assert await listener.wait(["a", "b"]) == "b"
    assert time.monotonic() - began < 0.1
    bell({"a", "b"})
    await asyncio.sleep(0.05)
    assert [await listener.wait(["a", "b"]) for _ in range(3)] == ["a", "b", None]
    await bell.close()
    await listener.close()


async def test_tokens_are_coalesced_and_cut(redis_url: str):
    bell = Bell(redis_url, NAMES)
    for _ in range(50):
        bell({"a"})
    await asyncio.sleep(0.05)
    client = redis.asyncio.Redis.from_url(redis_url)
    assert await client.llen(NAMES.bell("a")) <= 2
    for _ in range(20):
        bell({"a"})
        await asyncio.sleep(0.008)
    assert await client.llen(NAMES.bell("a")) == KEPT_TOKENS
    await bell.close()
    await client.aclose()


async def test_ringing_never_blocks_or_raises(redis_url: str):
    taken: list[asyncio.StreamWriter] = []
    stalled = await asyncio.start_server(lambda _, writer: taken.append(writer), "127.0.0.1", 0)
    port = stalled.sockets[0].getsockname()[1]
    for url in (NOWHERE, f"redis://127.0.0.1:{port}/0"):
        bell = Bell(url, NAMES)
        slowest = 0.0
        for _ in range(100):
            began = time.perf_counter()
            bell({"a"})
            slowest = max(slowest, time.perf_counter() - began)
            await asyncio.sleep(0)
        assert slowest < 0.005
        await bell.close()
    for writer in taken:
        writer.close()
    stalled.close()
    await asyncio.sleep(0.01)


def test_without_a_loop_nothing_happens():
    Bell(NOWHERE, NAMES)({"a"})


async def test_a_deaf_listener_sweeps(redis_url: str):
    listener = Listener(NOWHERE, NAMES, sweep_s=0.1)
    began = time.monotonic()
    for _ in range(3):
        assert await listener.wait(["a"]) is None
    assert 0.2 <= time.monotonic() - began < 0.5
    await listener.close()
