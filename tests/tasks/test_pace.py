"""Queues that may not go as fast as they could, and queues that an admin has stopped."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from models import guard, outbox
from models.jobs import Job, Queue
from tasks.broker import pace
from tasks.broker.feeder import Feeder, Post
from tasks.broker.pace import NO_LIMIT, Pace
from tasks.broker.shift import Shift
from tests.tasks.conftest import Start, until
from tests.tasks.probes import Answer, Note

ONE = Counter({"mail": 1})
TWO = Counter({"mail": 2})


class Clock:
    """The time, as the test says."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(pace, "time", made)
    return made


def _taken(one: Pace, serving: Counter[str]) -> int:
    one.fill(serving)
    room = one.room(Queue.MAIL)
    for _ in range(room):
        one.take(Queue.MAIL)
    return room


def test_it_begins_with_one_and_then_keeps_the_rate(clock: Clock):
    one = Pace({Queue.MAIL: 10})
    took = []
    for _ in range(50):
        took.append(_taken(one, ONE))
        clock.now += 0.1
    assert took == [1] * 50


def test_no_more_than_a_second_is_saved_up(clock: Clock):
    one = Pace({Queue.MAIL: 10})
    clock.now += 3600
    assert (_taken(one, ONE), _taken(one, ONE)) == (10, 0)
    clock.now += 0.55
    assert _taken(one, ONE) == 5
    clock.now += 0.05
    assert _taken(one, ONE) == 1


def test_the_rate_is_shared_by_whoever_serves_the_queue(clock: Clock):
    one = Pace({Queue.MAIL: 10})
    _taken(one, TWO)
    clock.now += 1
    assert _taken(one, TWO) == 5
    clock.now += 3600
    assert (_taken(one, TWO), _taken(one, TWO)) == (5, 0)
    clock.now += 1
    assert _taken(one, Counter()) == 10  # before its first look it thinks that it is alone


def test_a_rate_of_less_than_one_a_second_saves_up_one_job(clock: Clock):
    one = Pace({Queue.MAIL: 0.5})
    took = []
    for _ in range(8):
        took.append(_taken(one, ONE))
        clock.now += 1
    assert took == [1, 0, 1, 0, 1, 0, 1, 0]
    clock.now += 3600
    assert _taken(one, ONE) == 1


def test_a_queue_without_a_rate_is_not_held_up(clock: Clock):
    one = Pace({Queue.MAIL: 1})
    one.take(Queue.BULK)
    assert one.room(Queue.BULK) == NO_LIMIT
    assert Pace({}).room(Queue.MAIL) == NO_LIMIT


async def _send(count: int) -> None:
    await guard.commit(outbox.enqueue_many, [Note(key=str(n)) for n in range(count)])
    await guard.rows("update job_live set queue = 'mail'")
    await guard.rows("update jobs set queue = 'mail'")


async def test_two_processes_together_keep_the_rate(effects: str, start: Start):
    start("tests.tasks.probes", "--queues", "mail,bulk", "--processes", "2", SES_MAILS_PER_SECOND="10")

    async def two() -> bool:
        return bool(await guard.value("select count(*) = 2 from workers"))

    await until(two, what="two workers")
    await asyncio.sleep(2.5)  # by now each has seen the other
    await _send(100)
    other = (await guard.commit(outbox.enqueue, Note(key="unpaced"))).job_id
    assert await until(lambda: _ended(other), what="the other queue") < 1
    await asyncio.sleep(4)
    begun = [
        one["began"]
        for one in await guard.rows(
            """select extract(epoch from started_at)::float8 as began from jobs
                where queue = 'mail' and started_at is not null order by 1"""
        )
    ]
    assert 30 <= len(begun) <= 10 * 4.5 + 10
    most = max(sum(1 for later in begun if one <= later < one + 1) for one in begun)
    assert most <= 20  # a second's worth and what had been saved up
    steady = [one for one in begun if begun[0] + 2 <= one < begun[0] + 4]
    assert 16 <= len(steady) <= 24


async def _ended(job_id: UUID) -> bool:
    return await guard.value("select finished_at from jobs where id = $1", job_id) is not None


async def test_a_paused_queue_rests_the_others_go_on_and_it_goes_on_when_told(effects: str, start: Start):
    start("tests.tasks.probes", "--queues", "interactive,bulk")
    first = await _enqueue(Answer())
    await until(lambda: _ended(first), what="the first job")
    await guard.rows(
        "insert into queue_pauses (queue, paused_by, reason) values ('interactive', 1, 'the provider asked')"
    )
    await asyncio.sleep(1.3)
    held = [await _enqueue(Answer()) for _ in range(5)]
    other = await _enqueue(Note(key="other"))
    await until(lambda: _ended(other), within_s=3, what="the other queue")
    await asyncio.sleep(0.7)
    rows = await guard.rows("select status, claim_no, attempts from job_live")
    assert [tuple(one.values()) for one in rows] == [(0, 0, 0)] * 5
    await guard.rows("delete from queue_pauses")
    for one in held:
        await until(lambda one=one: _ended(one), within_s=3, what="the rest")


async def _enqueue(job: Job) -> UUID:
    return (await guard.commit(outbox.enqueue, job)).job_id


async def test_with_every_queue_paused_nothing_is_claimed_and_with_none_all_is(database: str):
    handed: list[object] = []
    shift = Shift(UUID(int=1))
    one = Feeder(
        Post(database, "redis://127.0.0.1:1/0", "mgl:", (Queue.BULK, Queue.MAIL), 4), shift, handed.append, list
    )
    await _enqueue(Note(key="a"))
    await guard.rows("insert into queue_pauses (queue, paused_by, reason) values ('bulk', 1, 'x'), ('mail', 1, 'x')")
    async with guard.engine().pool.acquire() as connection:  # type: ignore[union-attr]
        shift.loop = asyncio.get_running_loop()
        await one._tend(connection)
        assert (await one._claim(connection, 4), handed) == (0, [])
        await guard.rows("delete from queue_pauses")
        one._pauses_at = 0.0
        await one._tend(connection)
        assert (await one._claim(connection, 4), len(handed)) == (1, 1)
    one._loop.close()


async def test_what_is_paced_is_claimed_only_as_far_as_there_is_room(database: str):
    handed: list[object] = []
    post = Post(database, "redis://127.0.0.1:1/0", "mgl:", (Queue.MAIL, Queue.BULK), 8, per_second={Queue.MAIL: 3})
    one = Feeder(post, Shift(UUID(int=1)), handed.append, list)
    await _send(5)
    for n in range(2):
        await _enqueue(Note(key=str(n)))
    one._pace._tokens[Queue.MAIL] = 3.0
    async with guard.engine().pool.acquire() as connection:  # type: ignore[union-attr]
        assert await one._claim(connection, 8) == 5
    assert Counter(claim.queue for claim in handed) == {Queue.MAIL: 3, Queue.BULK: 2}  # type: ignore[attr-defined]
    assert one._pace.room(Queue.MAIL) == 0
    one._loop.close()


async def test_a_job_is_not_claimed_before_its_time(database: str):
    handed: list[object] = []
    one = Feeder(
        Post(database, "redis://127.0.0.1:1/0", "mgl:", (Queue.BULK,), 8), Shift(UUID(int=1)), handed.append, list
    )
    await guard.commit(outbox.enqueue_many, [Note(key="a")], run_at=datetime.now(UTC) + timedelta(seconds=0.4))
    async with guard.engine().pool.acquire() as connection:  # type: ignore[union-attr]
        assert await one._claim(connection, 8) == 0
        await asyncio.sleep(0.45)
        assert await one._claim(connection, 8) == 1
    one._loop.close()
