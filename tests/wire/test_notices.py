"""Who waits for a job hears of its end once, whether Redis lives, dies or comes back."""

import asyncio
import time
from collections.abc import Sequence
from uuid import UUID, uuid4

import msgspec
import redis.asyncio

from wire.notices import Announcer, Notices
from wire.redis import Names

NAMES = Names("mgl:test:")
NOWHERE = "redis://127.0.0.1:1/0"


class Rows:
    """The rows, as the reading function sees them."""

    def __init__(self) -> None:
        self.ended: set[UUID] = set()
        self.reads = 0

    async def read(self, waiting: Sequence[UUID]) -> set[UUID]:
        """Which of these have ended."""
        self.reads += 1
        return self.ended & set(waiting)


async def test_an_announced_job_wakes_its_waiters(redis_url: str):
    rows, announcer = Rows(), Announcer(redis_url, NAMES)
    notices = Notices(redis_url, NAMES, rows.read)
    await notices.open()
    await asyncio.sleep(0.1)
    mine, other = uuid4(), uuid4()
    futures = [notices.register(mine), notices.register(mine), notices.register(other)]
    began = time.monotonic()
    announcer.announce([mine])
    await asyncio.wait_for(asyncio.gather(*futures[:2]), 1)
    assert time.monotonic() - began < 0.1
    assert not futures[2].done()
    futures[2].cancel()
    await asyncio.sleep(0)
    assert notices._waiting == {}
    await announcer.close()
    await notices.close()


async def test_without_redis_one_read_serves_all_waiters_ten_times_a_second():
    rows = Rows()
    notices = Notices(NOWHERE, NAMES, rows.read)
    await notices.open()
    futures = [notices.register(uuid4()) for _ in range(50)]
    jobs = list(notices._waiting)
    await asyncio.sleep(0.55)
    assert 3 <= rows.reads <= 7
    rows.ended |= set(jobs)
    await asyncio.wait_for(asyncio.gather(*futures), 0.5)
    await notices.close()


async def test_what_ended_unheard_is_read_on_resubscription(redis_url: str):
    rows = Rows()
    notices = Notices(redis_url, NAMES, rows.read)
    await notices.open()
    await asyncio.sleep(0.1)
    job = uuid4()
    future = notices.register(job)
    rows.ended.add(job)
    client = redis.asyncio.Redis.from_url(redis_url)
    began = time.monotonic()
    await client.client_kill_filter(_type="pubsub")
    await asyncio.wait_for(future, 1)
    assert time.monotonic() - began < 0.6
    await client.aclose()
    await notices.close()


async def test_volatile_news_goes_out_and_a_missing_redis_is_nobodys_problem(redis_url: str):
    client = redis.asyncio.Redis.from_url(redis_url)
    channel = client.pubsub(ignore_subscribe_messages=True)
    await channel.subscribe(NAMES.volatile)
    await channel.get_message(timeout=0.2)
    announcer = Announcer(redis_url, NAMES)
    announcer.tell("user:1", "job_update", {"status": "running"})
    message = None
    while message is None:
        message = await channel.get_message(timeout=1)
    assert msgspec.json.decode(message["data"]) == {
        "audience": "user:1", "name": "job_update", "payload": {"status": "running"},
    }  # fmt: skip
    await announcer.close()
    await channel.aclose()
    await client.aclose()
    absent = Announcer(NOWHERE, NAMES)
    absent.announce([uuid4()])
    await asyncio.sleep(0.05)
    await absent.close()
