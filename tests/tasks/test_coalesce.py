"""One waiting job a key: whoever joins it is sure that it begins after his own commit."""

import asyncio
import contextvars
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from models import guard, outbox, retention
from models.jobs import JobStatus
from models.outbox import Enqueued
from tests.performing import claim_now, perform_now, view
from tests.tasks.conftest import Start, until
from tests.tasks.probes import Look, Note

SOON = datetime.now(UTC) + timedelta(hours=1)
LATER = SOON + timedelta(hours=1)


async def _join(key: str = "digest:7", run_at: datetime | None = None) -> Enqueued:
    return await guard.commit(outbox.enqueue, Look(), coalesce=key, run_at=run_at)


async def _change() -> None:
    await guard.rows("insert into effects (key) values ('change')")


async def _effects() -> list[str]:
    return [one["key"] for one in await guard.rows("select key from effects order by id")]


async def _waiting() -> int:
    return int(await guard.value("select count(*) from job_live where status = 0"))


async def test_two_before_it_runs_are_one_job(effects: str):
    first, second = await _join(), await _join()
    assert (first.created, second) == (True, Enqueued(job_id=first.job_id, created=False))
    assert await guard.value("select count(*) from jobs") == 1
    other = await _join("digest:8")
    assert (other.created, await _waiting()) == (True, 2)


async def test_one_that_runs_is_not_enough_and_one_that_has_ended_neither(effects: str):
    first = await _join()
    claim = await claim_now(first.job_id)
    second, third = await _join(), await _join()
    assert (second.created, third.created, third.job_id) == (True, False, second.job_id)
    assert second.job_id != first.job_id
    await claim.complete(_change)
    assert (await _join()).job_id == second.job_id
    assert (await perform_now(second.job_id)).status is JobStatus.SUCCEEDED
    fourth = await _join()
    assert (fourth.created, fourth.job_id in {first.job_id, second.job_id}) == (True, False)
    assert await _waiting() == 1


async def test_a_key_is_free_of_the_once_keys_and_both_together_are_refused(effects: str):
    once = await guard.commit(outbox.enqueue, Look(), once="digest:7")
    assert (await _join()).job_id != once.job_id
    with pytest.raises(AssertionError, match="made once, or once at a time"):
        await guard.commit(outbox.enqueue, Look(), once="a", coalesce="a")
    assert await _waiting() == 2


@pytest.mark.parametrize(
    ("first", "second", "wanted"), [(LATER, SOON, SOON), (SOON, LATER, SOON), (SOON, None, None), (None, SOON, None)]
)
async def test_the_earlier_moment_wins(
    database: str, first: datetime | None, second: datetime | None, wanted: datetime | None
):
    job_id = (await _join(run_at=first)).job_id
    assert (await _join(run_at=second)).job_id == job_id
    run_at = await guard.value("select run_at from job_live")
    assert run_at == wanted if wanted else run_at <= datetime.now(UTC)


async def test_a_rollback_leaves_nothing(effects: str):
    async def give_up(run_at: datetime | None) -> None:
        await outbox.enqueue(Look(), coalesce="digest:7", run_at=run_at)
        raise KeyError

    with pytest.raises(KeyError):
        await guard.commit(give_up, None)
    counts = await guard.only("select (select count(*) from jobs), (select count(*) from job_keys)")
    assert tuple(counts.values()) == (0, 0)
    assert (await _join(run_at=LATER)).created
    with pytest.raises(KeyError):
        await guard.commit(give_up, None)
    assert await guard.value("select run_at from job_live") == LATER


async def test_twenty_at_once_are_one_waiting_job(database: str):
    made = await asyncio.gather(*(_join() for _ in range(20)))
    assert sorted(one.created for one in made) == [False] * 19 + [True]
    assert len({one.job_id for one in made}) == 1
    await claim_now(made[0].job_id)
    made = await asyncio.gather(*(_join() for _ in range(20)))
    assert sorted(one.created for one in made) == [False] * 19 + [True]
    assert await _waiting() == 1


async def test_rivals_with_two_keys_in_either_order_both_come_through(database: str):
    async def both(*keys: str) -> None:
        for key in keys:
            await outbox.enqueue(Look(), coalesce=key)
            await asyncio.sleep(0.05)

    await asyncio.gather(guard.commit(both, "a", "b"), guard.commit(both, "b", "a"))
    assert await _waiting() == 2


async def test_nobody_takes_it_before_whoever_joined_has_committed(effects: str, start: Start):
    first = await _join(run_at=datetime.now(UTC) + timedelta(seconds=1.5))
    start("tests.tasks.probes", "--queues", "bulk")
    async with guard.transaction():
        await _change()
        assert (await outbox.enqueue(Look(), coalesce="digest:7")).job_id == first.job_id
        await asyncio.sleep(3)  # the worker is there, and the job is due
        assert await guard.value("select count(*) from workers") == 1
        assert (await guard.only("select status, claim_no from job_live"))["claim_no"] == 0

    async def ended() -> bool:
        return (await view(first.job_id)).finished_at is not None

    await until(ended, within_s=5, what="the job")
    assert await _effects() == ["change", "saw 1"]


async def test_a_worker_that_was_quicker_is_waited_for_and_then_another_job_is_made(effects: str):
    """The claim is open, uncommitted, as the enqueuer looks."""
    first = await _join()
    async with guard.transaction():
        await guard.rows("update job_live set status = 1, claim_no = 1, attempts = 1 where job_id = $1", first.job_id)
        joining = asyncio.get_running_loop().create_task(_join(), context=contextvars.Context())
        await asyncio.sleep(0.2)
        assert not joining.done()
    second = await asyncio.wait_for(joining, 2)
    assert (second.created, second.job_id != first.job_id) == (True, True)


async def test_a_key_in_use_is_never_forgotten_and_an_idle_one_is(effects: str):
    async def forget(*, aged: bool) -> list[str]:
        if aged:
            await guard.rows("update job_keys set created_at = now() - interval '41 days'")
        await guard.commit(retention.forget_keys)
        return [one["key"] for one in await guard.rows("select key from job_keys order by key")]

    await guard.commit(outbox.enqueue, Look(), once="mail:7")
    first = await _join()
    assert await forget(aged=True) == ["coalesce:digest:7", "mail:7"]  # it waits
    await perform_now(first.job_id)
    assert (await _join()).created
    await claim_now((await _join()).job_id)
    assert await forget(aged=False) == ["coalesce:digest:7", "mail:7"]  # used again lately
    await guard.rows("delete from job_live")
    assert await forget(aged=True) == ["mail:7"]


async def test_many_are_enqueued_in_order_with_their_origin_and_every_bell(database: str):
    rung: list[frozenset[str]] = []
    guard.hang_bell(rung.append)
    cause = UUID(int=7)
    wanted = [Note(key=str(n)) if n % 3 else Look() for n in range(100)]
    with outbox.caused_by(outbox.Origin(request_id="req-1", caller_id=3, cause=cause)):
        made = await guard.commit(outbox.enqueue_many, wanted, run_at=SOON)
    found = {UUID(int=one["id"].int): one for one in await guard.rows("select *, payload->>'key' as key from jobs")}
    assert [(found[one]["kind"], found[one]["key"]) for one in made] == [
        (job.kind, job.key if isinstance(job, Note) else None) for job in wanted
    ]
    assert {(one["caller_id"], one["cause"], one["request_id"], one["version"]) for one in found.values()} == {
        (3, cause, "req-1", 1)
    }
    live = await guard.rows("select distinct queue, status, run_at, claim_no, attempts from job_live")
    assert [tuple(one.values()) for one in live] == [("bulk", 0, SOON, 0, 0)]
    assert rung == [frozenset({"bulk"})]
    assert await guard.commit(outbox.enqueue_many, []) == []
    assert len(rung) == 1


async def test_five_thousand_at_once_and_not_one_more(database: str):
    with pytest.raises(AssertionError, match="5001 jobs"):
        await guard.commit(outbox.enqueue_many, [Look()] * 5001)
    assert await _waiting() == 0
    assert len(set(await guard.commit(outbox.enqueue_many, [Look()] * 5000))) == 5000
    assert await _waiting() == 5000


async def test_all_of_many_or_none(effects: str):
    large = Note(key="x" * outbox.MAX_PAYLOAD_BYTES)
    with pytest.raises(AssertionError, match=r"probe.note: a payload of 655\d\d bytes"):
        await guard.commit(outbox.enqueue_many, [Look(), large])

    async def then_fail() -> None:
        await outbox.enqueue_many([Look(), Look()])
        raise KeyError

    with pytest.raises(KeyError):
        await guard.commit(then_fail)
    with pytest.raises(AssertionError, match="outside a transaction"):
        await outbox.enqueue_many([Look()])
    assert await guard.value("select count(*) from jobs") == await _waiting() == 0


async def test_a_payload_holds_ids_and_no_more(effects: str):
    room = outbox.MAX_PAYLOAD_BYTES - len('{"key":"","pause_s":0.0}')
    await guard.commit(outbox.enqueue, Note(key="x" * room))
    with pytest.raises(AssertionError, match="a payload of 65537 bytes"):
        await guard.commit(outbox.enqueue, Note(key="x" * (room + 1)))
    assert await _waiting() == 1
