"""A worker is dead only when its beat was seen to stand still, without a gap, for long enough."""

import asyncio
from uuid import uuid4

import asyncpg
import pytest

from models import guard, outbox
from tasks.broker import statements, sweeper
from tasks.broker.shift import Shift
from tasks.broker.sweeper import Sweeper
from tests.performing import claim_now
from tests.tasks.probes import Note


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeper, "SILENT_S", 0.3)
    monkeypatch.setattr(sweeper, "LOOK_S", 0.0)
    monkeypatch.setattr(sweeper, "OVERDUE_LOOK_S", 0.0)


async def _beat(shift: Shift) -> None:
    await guard.rows(statements.BEAT, shift.worker_id, "host", 1, ["bulk"], "", 8, [], [], [])


async def _held() -> Shift:
    shift = Shift(uuid4())
    made = await guard.commit(outbox.enqueue, Note(key="a"))
    await claim_now(made.job_id, shift)
    await _beat(shift)
    return shift


async def _is_held() -> bool:
    return bool(await guard.value("select count(*) = 1 from job_live where status = 1"))


async def test_a_silent_worker_loses_its_jobs_and_the_loss_is_counted(database: str):
    await _held()
    connection = await asyncpg.connect(database)
    one = Sweeper()
    assert await one.sweep(connection) == set()
    assert await _is_held()
    await asyncio.sleep(0.35)
    assert await one.sweep(connection) == {"bulk"}
    row = await guard.only("select status, attempts, lost, worker_id from job_live")
    assert tuple(row.values()) == (0, 0, 1, None)
    assert await guard.value("select count(*) from workers") == 0
    await connection.close()


async def test_a_beat_or_a_broken_observation_begins_the_count_anew(database: str):
    shift = await _held()
    connection = await asyncpg.connect(database)
    one = Sweeper()
    for forgets in (False, True, False):
        await one.sweep(connection)
        await asyncio.sleep(0.2)
        if forgets:
            one.forget()
        else:
            await _beat(shift)
        assert await one.sweep(connection) == set()
    assert await _is_held()
    await connection.close()


async def test_nobody_sweeps_themselves_and_many_sweepers_release_once(database: str):
    shift = await _held()
    connection = await asyncpg.connect(database)
    mine, others = Sweeper(shift.worker_id), [Sweeper(), Sweeper()]
    for one in (mine, *others):
        await one.sweep(connection)
    await asyncio.sleep(0.35)
    assert await mine.sweep(connection) == set()
    assert [await one.sweep(connection) for one in others] == [{"bulk"}, set()]
    assert await guard.value("select lost from job_live") == 1
    await connection.close()


async def test_a_row_long_past_its_deadline_is_taken_from_whoever_holds_it(database: str):
    await _held()
    connection = await asyncpg.connect(database)
    one = Sweeper(overdue=True)
    assert await one.sweep(connection) == set()
    await guard.rows("update job_live set deadline = now() - interval '61 s'")
    assert await one.sweep(connection) == {"bulk"}
    assert not await _is_held()
    await connection.close()


async def test_after_a_slow_look_nothing_that_was_seen_counts(database: str, monkeypatch: pytest.MonkeyPatch):
    """The sweeper itself stood still: so may everybody else have."""
    monkeypatch.setattr(sweeper, "SLOW_LOOK_S", 0.5)
    await _held()
    connection = await asyncpg.connect(database)
    one = Sweeper()
    assert await one.sweep(connection) == set()
    await asyncio.sleep(0.6)
    assert await one.sweep(connection) == set()
    assert await _is_held()
    await asyncio.sleep(0.35)
    assert await one.sweep(connection) == {"bulk"}
    await connection.close()


async def test_what_is_overdue_is_taken_only_after_a_while_on_an_unbroken_connection(
    database: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sweeper, "OVERDUE_LOOK_S", 0.3)
    monkeypatch.setattr(sweeper, "SILENT_S", 60.0)
    await _held()
    await guard.rows("update job_live set deadline = now() - interval '61 s'")
    connection = await asyncpg.connect(database)
    one, other = Sweeper(overdue=True), Sweeper()
    for _ in range(3):
        assert await one.sweep(connection) == set()
        await asyncio.sleep(0.2)
        one.forget()  # the connection was broken: nobody could record an end meanwhile
    assert await one.sweep(connection) == set()
    await asyncio.sleep(0.35)
    assert await other.sweep(connection) == set()  # that look is the clock's and the launchers'
    await guard.rows("update job_live set deadline = now() - interval '59 s'")
    assert await one.sweep(connection) == set()
    await guard.rows("update job_live set deadline = now() - interval '61 s'")
    await asyncio.sleep(0.35)
    assert await one.sweep(connection) == {"bulk"}
    assert not await _is_held()
    await connection.close()


async def test_a_look_counts_who_serves_each_queue(database: str):
    await _beat(Shift(uuid4()))
    await _beat(Shift(uuid4()))
    await guard.rows(statements.BEAT, uuid4(), "host", 1, ["mail", "bulk"], "", 8, [], [], [])
    connection = await asyncpg.connect(database)
    one = Sweeper()
    await one.sweep(connection)
    assert one.serving == {"bulk": 3, "mail": 1}
    await guard.rows("delete from workers")
    await one.sweep(connection)
    assert one.serving == {}
    await connection.close()
