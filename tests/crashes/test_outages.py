"""PostgreSQL or Redis is away, or there and mute: jobs are late, never lost, never begun twice."""

import asyncio
import os
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Self

import pytest

from models import guard
from models.queue import views
from sandbox.postgres import Postgres
from tests.crashes.conftest import Hire, all_ended, enqueue, keys, outcomes, running
from tests.crashes.probes import TABLES, Echo, Look, Piece, Stumble
from tests.tasks.conftest import until
from wire.bell import Bell
from wire.notices import Notices
from wire.redis import Names

BOTH = ("--queues", "notify,bulk", "--processes", "2", "--threads", "8")
OUTAGE_S = float(os.environ.get("QUEUE_OUTAGE_S") or 6)
"""Longer ones: QUEUE_OUTAGE_S=25, or the soak's `--outage 25`."""
JOBS = 200
NAMES = Names("mgl:test:")

Begun = Callable[[], Counter[str]]


async def _make_tables() -> None:
    for statement in TABLES.split(";\n"):
        if statement.strip():
            await guard.rows(statement)


async def _go_away(server: Postgres, seconds: float) -> None:
    await asyncio.to_thread(server.kill)
    await asyncio.sleep(seconds)
    await asyncio.to_thread(server.start)


async def test_postgresql_is_away_while_two_hundred_jobs_run_and_none_begins_twice(
    own_postgres: Postgres, hire: Hire, begun: Begun
):
    await _make_tables()
    crew = hire(*BOTH)
    await crew.ready(2)
    for n in range(JOBS):
        await enqueue(Piece(key=f"n-{n}", pause_s=0.3, how="follows" if n % 4 == 0 else "plainly"))
    await until(lambda: running(16), what="all threads at work")
    await _go_away(own_postgres, OUTAGE_S)
    await until(all_ended, within_s=60, what="the end of every job")
    wanted = [f"n-{n}" for n in range(JOBS)] + [f"n-{n}/next" for n in range(0, JOBS, 4)]
    assert begun() == Counter(wanted)
    assert await keys() == Counter(wanted)
    assert await guard.value("select count(*) from events") == len(wanted)
    assert await outcomes() == {(2, 1): len(wanted)}
    assert crew.said("crew.child_died") == 0


async def test_postgresql_dies_while_performers_ask_it_and_that_costs_no_attempt(
    own_postgres: Postgres, hire: Hire, begun: Begun
):
    await _make_tables()
    crew = hire(*BOTH)
    await crew.ready(2)
    for n in range(16):
        await enqueue(Look(key=f"n-{n}", looks=20))
    await until(lambda: running(16), what="all threads at work")
    await asyncio.sleep(0.3)
    await _go_away(own_postgres, 1.0)
    await until(all_ended, within_s=40, what="the end of every job")
    assert await keys() == Counter(f"n-{n}" for n in range(16))
    assert await outcomes() == {(2, 1): 16}


async def _work_goes_on(begun: Begun) -> None:
    """Plain jobs, follow-ups, retries, reschedules, delays and batched ends, each to its end and once."""
    for n in range(40):
        await enqueue(Piece(key=f"plain-{n}", pause_s=0.05, how="follows"))
        await enqueue(Echo(value=n))
    for n in range(5):
        await enqueue(Stumble(key=f"stumble-{n}"))
        await enqueue(Piece(key=f"again-{n}", how="reschedules"))
    due = datetime.now(UTC) + timedelta(seconds=2)
    for n in range(5):
        await enqueue(Piece(key=f"later-{n}"), run_at=due)
    await until(all_ended, within_s=15, what="the end of every job")
    names = [f"plain-{n}{part}" for n in range(40) for part in ("", "/next")]
    names += [f"{what}-{n}" for what in ("stumble", "again", "later") for n in range(5)]
    assert await keys() == Counter(names)
    assert await outcomes() == {(2, 1): 80 + 40 + 10, (2, 2): 5}
    early = "select count(*) from effects where key like 'later-%' and at < $1"
    assert await guard.value(early, due) == 0
    late_s = "select extract(epoch from max(at) - $1)::float8 from effects where key like 'later-%'"
    assert await guard.value(late_s, due) < 1.0
    assert begun()["again-0"] == 2


async def test_redis_is_away_for_the_whole_of_it_and_work_goes_on_delayed_jobs_too(
    tables: str, hire: Hire, begun: Begun
):
    crew = hire(*BOTH, REDIS_URL="redis://127.0.0.1:1/0")
    await crew.ready(2)
    bell = Bell("redis://127.0.0.1:1/0", NAMES)
    guard.hang_bell(bell)
    await _work_goes_on(begun)
    await bell.close()


@pytest.fixture
async def mute_redis() -> AsyncIterator[str]:
    """A Redis that accepts connections, reads, and never says a word."""
    open_: set[asyncio.StreamWriter] = set()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_.add(writer)
        while await reader.read(4096):
            pass
        writer.close()
        open_.discard(writer)

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    server.close()
    for writer in open_:
        writer.transport.abort()
    await asyncio.sleep(0.05)


async def test_under_a_mute_redis_work_goes_on(tables: str, hire: Hire, begun: Begun, mute_redis: str):
    crew = hire(*BOTH, REDIS_URL=mute_redis)
    await crew.ready(2)
    bell = Bell(mute_redis, NAMES)
    guard.hang_bell(bell)
    await _work_goes_on(begun)
    await bell.close()


class Lateness:
    """How late a loop and a thread of this process come back from a sleep of a millisecond, meanwhile.

    What holds the loop up and not the thread is the loop's own doing; what holds both up is the machine.
    """

    def __init__(self) -> None:
        self.loop_s: list[float] = []
        self.thread_s: list[float] = []
        self._over = threading.Event()

    def _sleep_in_thread(self) -> None:
        while not self._over.is_set():
            began = time.perf_counter()
            time.sleep(0.001)
            self.thread_s.append(time.perf_counter() - began - 0.001)

    async def _sleep_in_loop(self) -> None:
        while not self._over.is_set():
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            self.loop_s.append(time.perf_counter() - began - 0.001)

    async def __aenter__(self) -> Self:
        self._thread = threading.Thread(target=self._sleep_in_thread)
        self._thread.start()
        self._task = asyncio.create_task(self._sleep_in_loop())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over.set()
        await self._task
        await asyncio.to_thread(self._thread.join)


def _worst_but_one_in_a_hundred(values: list[float]) -> float:
    return sorted(values)[-1 - len(values) // 100]


async def test_an_enqueue_never_holds_the_loop_up_however_mute_redis_is(tables: str, mute_redis: str):
    bell = Bell(mute_redis, NAMES)
    guard.hang_bell(bell)
    await enqueue(Piece(key="warm"))
    async with Lateness() as late:
        until_s = time.monotonic() + 3
        while time.monotonic() < until_s:
            await enqueue(Piece(key="x"))
    assert len(late.loop_s) > 200
    noise_s = _worst_but_one_in_a_hundred(late.thread_s)
    assert _worst_but_one_in_a_hundred(late.loop_s) < noise_s + 0.005, (noise_s, sorted(late.loop_s)[-10:])
    # A call that waits for Redis would take one of its time-outs: 300 ms at the least.
    assert max(late.loop_s) < max(late.thread_s) + 0.1
    await bell.close()


async def test_whoever_waits_under_a_mute_redis_is_told_by_the_rows(tables: str, hire: Hire, mute_redis: str):
    crew = hire(*BOTH, REDIS_URL=mute_redis)
    await crew.ready(2)

    async def read_ended(job_ids: object) -> list[object]:
        return [one.id for one in await views.read_many(list(job_ids)) if one.finished_at is not None]

    notices = Notices(mute_redis, NAMES, read_ended)
    await notices.open()
    took_s = []
    for n in range(10):
        began = time.monotonic()
        job_id = await enqueue(Echo(value=n))
        await asyncio.wait_for(notices.register(job_id), 5)
        took_s.append(time.monotonic() - began)
    await notices.close()
    # A sweep of the worker and a look of the waiter, each at its slowest; and never one of Redis' time-outs on top.
    assert sorted(took_s)[5] < 0.6, took_s
    assert max(took_s) < 1.5, took_s
