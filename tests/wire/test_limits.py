"""The limiter lets exactly so many through, whoever counts, and never lets an absent Redis hold anybody up."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis.asyncio
import structlog

from wire import limits
from wire.limits import Limit, Limiter, LocalBuckets, Taken, parse_limit
from wire.redis import Names

NAMES = Names("mgl:test:")
NOWHERE = "redis://127.0.0.1:1/0"
TEN_A_MINUTE = Limit(10, 60)

ASKS = """
import asyncio, sys
from wire import limits
from wire.limits import Limit, Limiter
from wire.redis import Names

limits.PATIENCE_S = 30.0  # however busy this machine is

async def main() -> None:
    limiter = Limiter(sys.argv[1], Names("mgl:test:"))
    taken = await asyncio.gather(*(limiter.take("GET /x:ip:1", Limit(100, 3600)) for _ in range(80)))
    print(sum(not one.retry_after_s for one in taken))

asyncio.run(main())
"""


@pytest.fixture
async def limiter(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Limiter]:
    monkeypatch.setattr(limits, "PATIENCE_S", 10.0)  # however busy this machine is
    made = Limiter(redis_url, NAMES)
    yield made
    await made.close()


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[redis.asyncio.Redis]:
    made = redis.asyncio.Redis.from_url(redis_url)
    yield made
    await made.aclose()


@pytest.mark.parametrize(("said", "limit"), [("10/60", Limit(10, 60)), (" 1000000/1 ", Limit(1_000_000, 1))])
def test_a_limit_is_written_as_requests_per_seconds(said: str, limit: Limit):
    assert parse_limit(said) == limit


@pytest.mark.parametrize(
    "said", ["", "10", "0/60", "10/0", "-1/60", "10/60/1", "1000001/1", "1/1000001", "\u0661/\u0666"]
)
def test_what_is_no_limit_is_refused(said: str):
    with pytest.raises(ValueError, match=said or "^$"):
        parse_limit(said)


async def test_ten_pass_at_once_and_the_next_is_told_when(limiter: Limiter):
    taken = [await limiter.take("a", TEN_A_MINUTE) for _ in range(11)]
    assert taken[0] == Taken(limit=10, remaining=9, reset_s=6, retry_after_s=0)
    assert taken[9] == Taken(limit=10, remaining=0, reset_s=60, retry_after_s=0)
    assert taken[10] == Taken(limit=10, remaining=0, reset_s=60, retry_after_s=6)
    assert (await limiter.take("b", TEN_A_MINUTE)).remaining == 9, "a bucket of its own"
    assert (await limiter.take("a", Limit(11, 60))).remaining == 10, "another limit is another bucket"


async def test_a_place_comes_back_each_interval_and_refusals_cost_nothing(limiter: Limiter):
    limit = Limit(5, 1)
    while (await limiter.take("a", limit)).retry_after_s == 0:
        pass
    for _ in range(50):
        await limiter.take("a", limit)
    await asyncio.sleep(1.05)
    taken = [await limiter.take("a", limit) for _ in range(6)]
    assert [one.retry_after_s for one in taken] == [0] * 5 + [1], "a second after the last of them all five are back"


async def test_a_bucket_says_nothing_once_it_is_whole_and_redis_forgets_it(
    limiter: Limiter, client: redis.asyncio.Redis
):
    await limiter.take("POST /x:ip:127.0.0.1", Limit(10, 60))
    [key] = await client.keys("*")
    assert key == b"mgl:test:limit:10/60:POST /x:ip:127.0.0.1"
    assert 5_900 <= await client.pttl(key) <= 6_000
    await client.aclose()


async def test_a_clock_that_goes_back_gives_nobody_more(limiter: Limiter, client: redis.asyncio.Redis):
    ahead = int((time.time() + 3600) * 1000)
    await client.set(NAMES.limit("10/60:a"), f"{10 * 60_000} {ahead}")
    assert (await limiter.take("a", TEN_A_MINUTE)).retry_after_s == 6
    await client.aclose()


def test_four_processes_together_let_exactly_a_hundred_through(redis_url: str):
    root = Path(limits.__file__).parents[1]
    running = [
        subprocess.Popen([sys.executable, "-c", ASKS, redis_url], cwd=root, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    passed = [int(one.communicate(timeout=60)[0]) for one in running]
    assert sum(passed) == 100, passed


async def test_what_is_asked_at_once_goes_together_and_each_gets_its_own_answer(
    limiter: Limiter, client: redis.asyncio.Redis
):
    await limiter.take("warm", TEN_A_MINUTE)
    await client.config_resetstat()
    taken = await asyncio.gather(*(limiter.take(f"user:{n % 2}", TEN_A_MINUTE) for n in range(30)))
    calls = (await client.info("commandstats"))["cmdstat_evalsha"]["calls"]
    assert calls == 2, "the first alone, and the others in one call"
    assert [one.retry_after_s for one in taken] == [0] * 20 + [6] * 10
    assert [one.remaining for one in taken[::2][:10]] == list(range(9, -1, -1))
    await client.aclose()


async def test_a_redis_that_lost_the_script_is_told_it_again(limiter: Limiter, client: redis.asyncio.Redis):
    assert (await limiter.take("a", TEN_A_MINUTE)).remaining == 9
    await client.script_flush()
    assert (await limiter.take("a", TEN_A_MINUTE)).remaining == 8
    await client.aclose()


async def test_an_asker_who_leaves_takes_nobody_with_it(limiter: Limiter):
    await limiter.take("a", TEN_A_MINUTE)
    asking = [asyncio.create_task(limiter.take("a", TEN_A_MINUTE)) for _ in range(4)]
    await asyncio.sleep(0)
    asking[0].cancel()  # the one that asks Redis
    asking[2].cancel()  # one that waits
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(one) for one in answers[1:]] == [Taken, asyncio.CancelledError, Taken]
    assert (await limiter.take("b", TEN_A_MINUTE)).remaining == 9


async def test_without_redis_each_process_counts_for_itself_and_says_so_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "log", structlog.get_logger())  # one that no earlier test has bound
    limiter = Limiter(NOWHERE, NAMES)
    with structlog.testing.capture_logs() as logged:
        taken = [await limiter.take("a", TEN_A_MINUTE) for _ in range(11)]
    assert [one.retry_after_s for one in taken] == [0] * 10 + [6]
    assert [one["event"] for one in logged] == ["limits.redis_away"]
    await limiter.close()


async def test_a_stalled_redis_holds_up_nobody_for_long_and_then_nobody_at_all():
    taken: list[asyncio.StreamWriter] = []
    stalled = await asyncio.start_server(lambda _, writer: taken.append(writer), "127.0.0.1", 0)
    now = [0.0]
    limiter = Limiter(f"redis://127.0.0.1:{stalled.sockets[0].getsockname()[1]}/0", NAMES, clock=lambda: now[0])

    async def timed() -> float:
        began = time.perf_counter()
        assert (await limiter.take("a", Limit(1000, 60))).retry_after_s == 0
        return time.perf_counter() - began

    first = await asyncio.gather(*(timed() for _ in range(20)))
    assert max(first) < limits.PATIENCE_S + 0.1
    assert await timed() < 0.02, "left alone for a second"
    now[0] += limits.DEAF_S
    again = await asyncio.gather(*(timed() for _ in range(20)))
    assert sorted(again)[-2] < 0.05, "one tries, the others do not wait for it"
    assert max(again) >= limits.PATIENCE_S * 0.9
    await limiter.close()
    for writer in taken:
        writer.close()
    stalled.close()


async def test_redis_counts_again_once_it_is_back(
    redis_url: str, client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(limits, "PATIENCE_S", 10.0)
    now = [0.0]
    limiter = Limiter(redis_url, NAMES, clock=lambda: now[0])
    limiter._away, limiter._deaf_until = True, limits.DEAF_S
    assert (await limiter.take("a", TEN_A_MINUTE)).remaining == 9
    now[0] += limits.DEAF_S
    assert [(await limiter.take("a", TEN_A_MINUTE)).remaining for _ in range(2)] == [9, 8]
    assert len(await client.keys("*")) == 1
    await limiter.close()
    await client.aclose()


def test_local_buckets_are_exact_and_refill():
    now = [0.0]
    buckets = LocalBuckets(lambda: now[0])
    assert [buckets.take("a", TEN_A_MINUTE).retry_after_s for _ in range(12)] == [0] * 10 + [6, 6]
    now[0] += 5.9
    assert buckets.take("a", TEN_A_MINUTE) == Taken(limit=10, remaining=0, reset_s=55, retry_after_s=1)
    now[0] += 0.1
    assert buckets.take("a", TEN_A_MINUTE).retry_after_s == 0
    now[0] += 3600
    assert buckets.take("a", TEN_A_MINUTE) == Taken(limit=10, remaining=9, reset_s=6, retry_after_s=0)


def test_local_buckets_are_bounded_and_forget_who_asked_least_lately():
    buckets = LocalBuckets(lambda: 0.0, most=3)
    for name in "abcad":
        buckets.take(name, TEN_A_MINUTE)
    assert len(buckets) == 3
    assert [buckets.take(name, TEN_A_MINUTE).remaining for name in "ab"] == [7, 9]
