"""An admin's hand on jobs and queues: what each verb does, twice, beside rivals, and to what it may not touch."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from models import audit, guard
from models.base import uuid7
from models.errors import Invalid, NotFound, WrongState
from models.guard import commit
from models.jobs import ALIASES, JobStatus, Queue
from models.outbox import Origin, caused_by
from models.queue import control, history, views
from models.queue.control import Retried
from models.queue.search import Filter, State
from tests.queued import a_dead_job, a_job, everything

pytestmark = pytest.mark.usefixtures("database")

ADMIN = 7
RUNG: list[frozenset[str]] = []


@pytest.fixture(autouse=True)
def bell(database: str) -> list[frozenset[str]]:
    RUNG.clear()
    guard.hang_bell(RUNG.append)
    return RUNG


async def deeds() -> list[tuple[int, str, str, str]]:
    return [
        (one["actor_id"], one["action"], one["subject_kind"], one["subject_id"])
        for one in await guard.rows("select * from audit_log order by id")
    ]


async def outcomes(*calls: Any) -> list[str]:
    ended = await asyncio.gather(*calls, return_exceptions=True)
    return sorted("done" if not isinstance(one, BaseException) else type(one).__name__ for one in ended)


# Cancelling


async def test_a_waiting_job_is_cancelled_and_its_caller_is_told():
    job_id = await a_job(JobStatus.QUEUED, kind="probe.follow", queue="interactive", caller_id=12)
    with caused_by(Origin(request_id="r-1")):
        await commit(control.cancel, job_id, ADMIN)

    (row,) = await guard.rows("select status, error_code, finished_at, attempts, is_dead from jobs")
    assert (row["status"], row["error_code"], row["attempts"], row["is_dead"]) == (4, "cancelled", 0, False)
    assert row["finished_at"] is not None
    assert await guard.value("select count(*) from job_live") == 0
    (event,) = await guard.rows("select audience, name, payload ->> 'status' as status from events")
    assert tuple(event) == ("user:12", "job_update", "cancelled")
    (deed,) = await audit.read_for("job", str(job_id))
    assert (deed.actor_id, deed.action, deed.details, deed.request_id) == (
        ADMIN, "job.cancelled", {"kind": "probe.follow"}, "r-1",
    )  # fmt: skip
    assert [frozenset({"events"})] == RUNG


@pytest.mark.parametrize(("caller_id", "queue"), [(None, "interactive"), (12, "mail")])
async def test_nobody_is_told_of_a_job_that_nobody_follows(caller_id: int | None, queue: str):
    job_id = await a_job(JobStatus.QUEUED, kind="probe.follow", queue=queue, caller_id=caller_id)
    await commit(control.cancel, job_id, ADMIN)
    assert (await views.read(job_id, caller_id=0, admin=True)).status is JobStatus.CANCELLED
    assert await guard.value("select count(*) from events") == 0


async def test_a_job_that_waits_for_its_next_attempt_keeps_the_attempts_it_used():
    job_id = await a_job(JobStatus.QUEUED, attempts=3, error_code="unreachable")
    await commit(control.cancel, job_id, ADMIN)
    assert tuple(await guard.only("select attempts, claim_no from jobs")) == (3, 3)


@pytest.mark.parametrize(
    ("status", "is_dead", "sentence"),
    [
        (JobStatus.RUNNING, False, "is running."),
        (JobStatus.SUCCEEDED, False, "has succeeded."),
        (JobStatus.FAILED, False, "has failed."),
        (JobStatus.FAILED, True, "is dead."),
        (JobStatus.CANCELLED, False, "was cancelled."),
    ],
)
async def test_only_a_waiting_job_can_be_cancelled(status: JobStatus, sentence: str, *, is_dead: bool):
    job_id = await a_job(status, is_dead=is_dead)
    before = await everything()
    with pytest.raises(WrongState) as refusal:
        await commit(control.cancel, job_id, ADMIN)
    assert refusal.value.detail == f"Only a waiting job can be cancelled; job {job_id} {sentence}"
    assert await everything() == before


@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.RUNNING])
async def test_a_job_that_a_rows_state_waits_for_is_never_cancelled(status: JobStatus):
    job_id = await a_job(status, kind="escrow.release_milestone", queue="payments")
    before = await everything()
    with pytest.raises(WrongState, match=r"A escrow.release_milestone cannot be cancelled: a row's state waits"):
        await commit(control.cancel, job_id, ADMIN)
    assert await everything() == before


async def test_nor_is_one_that_was_enqueued_by_an_old_name(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(ALIASES, "escrow.pay_out", "escrow.release_milestone")
    job_id = await a_job(JobStatus.QUEUED, kind="escrow.pay_out", queue="payments")
    with pytest.raises(WrongState, match=r"A escrow.pay_out cannot be cancelled"):
        await commit(control.cancel, job_id, ADMIN)


async def test_a_job_in_somebodys_hands_is_not_waited_for():
    job_id = await a_job(JobStatus.QUEUED)
    before = await everything()
    async with guard.transaction():
        await guard.rows("select 1 from job_live where job_id = $1 for update", job_id)
        with pytest.raises(WrongState, match="is being taken by a worker or another admin at this moment"):
            await asyncio.wait_for(asyncio.create_task(_apart(control.cancel, job_id)), 3)
    assert await everything() == before


async def _apart(verb: Any, job_id: UUID) -> None:
    guard.engine().current_transaction.set(None)  # a task inherits the transaction of whoever made it
    await commit(verb, job_id, ADMIN)


async def test_of_rivals_who_cancel_one_wins():
    job_id = await a_job(JobStatus.QUEUED, caller_id=1)
    assert await outcomes(*(commit(control.cancel, job_id, by) for by in range(1, 9))) == ["WrongState"] * 7 + ["done"]
    assert len(await deeds()) == 1
    assert await guard.value("select count(*) from events") == 1


# Retrying


async def test_a_dead_job_waits_again_and_its_last_attempt_stays_in_the_history():
    job_id = await a_dead_job(queue="payments", kind="escrow.release_milestone")
    ended = await guard.only("select * from jobs")
    await commit(control.retry, job_id, ADMIN)

    seen = await views.read(job_id, caller_id=0, admin=True)
    assert (seen.status, seen.attempts, seen.error_code, seen.error_detail, seen.started_at, seen.finished_at) == (
        JobStatus.QUEUED, 0, None, None, None, None,
    )  # fmt: skip
    live = await guard.only("select * from job_live")
    assert (live["queue"], live["status"], live["claim_no"], live["attempts"], live["lost"]) == ("payments", 0, 5, 0, 0)
    assert live["run_at"] <= await guard.value("select now()")
    kept = await guard.only("select * from job_attempts")
    assert dict(kept) == {
        "job_id": job_id,
        "claim_no": 5,
        "attempt": 5,
        "worker": "host-1:42",
        "outcome": "dead",
        "error_code": "unreachable",
        "error_detail": "No answer.",
        "started_at": ended["started_at"],
        "ended_at": ended["finished_at"],
    }
    assert not await guard.value("select is_dead from jobs")
    assert await deeds() == [(ADMIN, "job.retried", "job", str(job_id))]
    assert [frozenset({"payments"})] == RUNG


async def test_a_job_can_die_and_be_retried_again_and_its_claims_go_on_counting():
    job_id = await a_dead_job()
    await commit(control.retry, job_id, ADMIN)
    await guard.rows("delete from job_live")
    await guard.rows(
        "update jobs set status = 3, is_dead = true, attempts = 5, claim_no = 10, error_code = 'time_limit'"
    )
    await commit(control.retry, job_id, ADMIN)
    assert await guard.value("select claim_no from job_live") == 10
    kept = await guard.rows("select claim_no, attempt, outcome, error_code from job_attempts order by claim_no")
    assert [tuple(one) for one in kept] == [(5, 5, "dead", "unreachable"), (10, 5, "dead", "time_limit")]


@pytest.mark.parametrize("status", list(JobStatus))
@pytest.mark.parametrize("verb", [control.retry, control.discard])
async def test_only_a_dead_job_can_be_retried_or_discarded(status: JobStatus, verb: Any):
    job_id = await a_job(status)
    before = await everything()
    with pytest.raises(WrongState, match="Only a dead job can be"):
        await commit(verb, job_id, ADMIN)
    assert await everything() == before


@pytest.mark.parametrize("verb", [control.retry, control.discard, control.cancel])
async def test_a_job_that_is_not_there_is_not_found(verb: Any):
    with pytest.raises(NotFound):
        await commit(verb, uuid7(), ADMIN)


@pytest.mark.parametrize("verb", [control.retry, control.discard])
async def test_of_rivals_one_wins_and_it_happens_once(verb: Any):
    job_id = await a_dead_job()
    assert await outcomes(*(commit(verb, job_id, by) for by in range(1, 9))) == ["WrongState"] * 7 + ["done"]
    assert len(await deeds()) == 1


async def test_of_a_retry_and_a_discard_one_wins():
    for _ in range(8):
        job_id = await a_dead_job()
        assert await outcomes(commit(control.retry, job_id, 1), commit(control.discard, job_id, 2)) == [
            "WrongState", "done",
        ]  # fmt: skip
        waits = await guard.value("select count(*) from job_live where job_id = $1", job_id)
        assert (await audit.read_for("job", str(job_id)))[0].action == ("job.retried" if waits else "job.discarded")


async def test_a_discarded_job_stays_failed_and_is_dead_no_more():
    job_id = await a_dead_job()
    await commit(control.discard, job_id, ADMIN)
    row = await guard.only("select status, is_dead, error_code from jobs")
    assert tuple(row) == (3, False, "unreachable")
    assert await deeds() == [(ADMIN, "job.discarded", "job", str(job_id))]
    assert RUNG == []


# Retrying many


async def test_a_thousand_dead_jobs_are_retried_in_one_click_the_oldest_first():
    await guard.rows(
        """insert into jobs (id, kind, version, payload, queue, status, attempts, claim_no, is_dead, error_code)
           select (lpad(to_hex((extract(epoch from now()) * 1000)::bigint - 5000 + n), 12, '0')
                   || '7000800000000000' || lpad(to_hex(n), 4, '0'))::uuid, 'escrow.sweep', 1, '{}',
                  case when n % 2 = 0 then 'bulk' else 'payments' end, 3, 5, 5, true, 'unreachable'
             from generate_series(1, 1003) n"""
    )
    ids = [one["id"] for one in await guard.rows("select id from jobs order by id")]

    assert await commit(control.retry_many, Filter(), ADMIN) == Retried(count=1000, more=True)
    assert [one["job_id"] for one in await guard.rows("select job_id from job_live order by 1")] == ids[:1000]
    assert await guard.value("select count(*) from job_attempts where outcome = 'dead'") == 1000
    assert [frozenset({"bulk", "payments"})] == RUNG
    (deed,) = await audit.read_for("jobs", "dead")
    assert (deed.action, deed.details["count"]) == ("jobs.retried", 1000)
    assert deed.details["ids"] == [str(one) for one in ids[:1000]]
    assert deed.details["filter"] == {"state": "dead"}

    assert await commit(control.retry_many, Filter(), ADMIN) == Retried(count=3, more=False)
    assert await commit(control.retry_many, Filter(), ADMIN) == Retried(count=0, more=False)
    assert len(await deeds()) == 2


async def test_rivals_who_retry_many_share_them_and_each_is_retried_once():
    for _ in range(60):
        await a_dead_job()
    done = await asyncio.gather(*(commit(control.retry_many, Filter(), by, limit=25) for by in range(1, 7)))
    assert sum(one.count for one in done) <= 60
    await commit(control.retry_many, Filter(), ADMIN)
    assert await guard.value("select count(*) from job_live") == 60
    assert await guard.value("select count(*) from job_attempts") == 60
    assert await guard.value("select sum((details ->> 'count')::int) from audit_log") == 60


async def test_a_filter_chooses_which_are_retried_and_is_written_down():
    now = datetime.now(UTC)
    wanted = await a_dead_job(kind="mail.send_mail", queue="mail", caller_id=5, error_detail="Timed OUT 100% of_it")
    await a_dead_job(kind="mail.send_mail", queue="mail", caller_id=6)
    await a_dead_job(kind="escrow.sweep", queue="bulk", caller_id=5)
    await a_dead_job(kind="mail.send_mail", queue="mail", error_code="time_limit", caller_id=5)
    await a_dead_job(kind="mail.send_mail", queue="mail", caller_id=5, at=now - timedelta(hours=2))
    await a_job(JobStatus.FAILED, kind="mail.send_mail", queue="mail", caller_id=5, error_code="unreachable")
    sought = Filter(
        kind="mail.send_mail",
        queue=Queue.MAIL,
        caller_id=5,
        error_code="unreachable",
        created_from=now - timedelta(hours=1),
        text="timed out 100%",
        state=State.FAILED,
    )
    assert await commit(control.retry_many, sought, ADMIN) == Retried(count=1, more=False)
    assert await guard.value("select job_id from job_live") == wanted
    details = (await audit.read_for("jobs", "dead"))[0].details
    assert details["filter"]["queue"] == "mail"
    assert details["filter"]["state"] == "dead"
    assert details["ids"] == [str(wanted)]
    assert [one.action for one in (await history.read(wanted)).deeds] == ["jobs.retried"]


# Pausing


async def test_a_queue_is_paused_once_and_resumed_once():
    assert await commit(control.pause, "mail", " SES is down ", ADMIN)
    assert not await commit(control.pause, "mail", "another reason", 8)
    row = await guard.only("select queue, paused_by, reason from queue_pauses")
    assert tuple(row) == ("mail", ADMIN, "SES is down")
    assert RUNG == []
    assert await commit(control.resume, "mail", 8)
    assert not await commit(control.resume, "mail", 8)
    assert [frozenset({"mail"})] == RUNG
    assert await guard.value("select count(*) from queue_pauses") == 0
    assert await deeds() == [(ADMIN, "queue.paused", "queue", "mail"), (8, "queue.resumed", "queue", "mail")]
    assert {one.details["reason"] for one in await audit.read_for("queue", "mail")} == {"SES is down"}


async def test_of_rivals_who_pause_one_is_named():
    await asyncio.gather(*(commit(control.pause, "bulk", f"reason {by}", by) for by in range(1, 9)))
    assert len(await deeds()) == 1


@pytest.mark.parametrize("reason", ["", "   ", "x" * 201, "two\nlines", "a\x00b"])
async def test_a_reason_that_says_nothing_is_refused(reason: str):
    before = await everything()
    with pytest.raises(Invalid) as refusal:
        await commit(control.pause, "mail", reason, ADMIN)
    assert refusal.value.field == "reason"
    assert await everything() == before


@pytest.mark.parametrize("name", ["", "Mail", "nothing", "mail "])
async def test_a_queue_that_does_not_exist_is_not_found(name: str):
    with pytest.raises(NotFound):
        await commit(control.pause, name, "why", ADMIN)
    with pytest.raises(NotFound):
        await commit(control.resume, name, ADMIN)


# The audit log


async def test_a_deed_that_is_rolled_back_was_never_written_down():
    async def fails() -> None:
        await audit.record(ADMIN, "job.retried", "job", str(uuid4()))
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await commit(fails)
    assert await deeds() == []


async def test_a_deed_outside_a_transaction_is_our_mistake():
    with pytest.raises(AssertionError):
        await audit.record(ADMIN, "job.retried", "job", "1")


@pytest.mark.parametrize("sql", ["update audit_log set actor_id = 1", "delete from audit_log", "truncate audit_log"])
async def test_a_deed_stays_as_it_was_written(sql: str):
    await commit(audit.record, ADMIN, "job.retried", "job", "1", {"note": "ünïcode \u2028 ✓"})
    with pytest.raises(asyncpg.RestrictViolationError):
        await guard.rows(sql)
    (deed,) = await audit.read_for("job", "1")
    assert (deed.details, deed.request_id) == ({"note": "ünïcode \u2028 ✓"}, None)


async def test_the_newest_deeds_come_first_and_only_of_the_subject():
    for number in range(3):
        await commit(audit.record, number, "a", "job", "1")
    await commit(audit.record, 9, "a", "job", "2")
    assert [one.actor_id for one in await audit.read_for("job", "1", limit=2)] == [2, 1]
