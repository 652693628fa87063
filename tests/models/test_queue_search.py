"""Finding jobs by anything, in pages that neither repeat nor skip; what became of one; how the queues do."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from models import guard
from models.base import uuid7
from models.errors import NotFound
from models.guard import commit
from models.jobs import JobStatus, Queue
from models.queue import control, figures, history, search
from models.queue.minutes import BUCKETS_S, WRITE
from models.queue.search import Filter, State
from tests.queued import a_dead_job, a_job
from tests.seeding import seed_jobs, seed_live

pytestmark = pytest.mark.usefixtures("database")

NOW = datetime.now(UTC)


async def ids(limit: int = 50, **sought: Any) -> list[UUID]:
    return [one.id for one in (await search.find(Filter(**sought), limit=limit)).jobs]


@pytest.fixture
async def jobs(database: str) -> dict[str, UUID]:
    """One of each."""
    return {
        "old": await a_job(kind="mail.send_mail", queue="mail", at=NOW - timedelta(days=9)),
        "old failed": await a_job(JobStatus.FAILED, error_code="time_limit", error_detail="Ümläut", at=NOW - timedelta(days=8)),
        "succeeded": await a_job(caller_id=5),
        "failed": await a_job(JobStatus.FAILED, caller_id=5, error_code="wrong_state", error_detail="50% <b>_ÜMLÄUT_</b>"),
        "dead": await a_dead_job(kind="mail.send_mail", queue="mail"),
        "cancelled": await a_job(JobStatus.CANCELLED, error_code="cancelled"),
        "queued": await a_job(JobStatus.QUEUED, kind="mail.send_mail", queue="mail", caller_id=5),
        "again": await a_job(JobStatus.QUEUED, error_code="unreachable", error_detail="ümläut", attempts=2),
        "running": await a_job(JobStatus.RUNNING, kind="escrow.release_milestone", queue="payments", caller_id=5),
        "unknown": await a_job(kind="old.kind", queue="payments"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("sought", "names"),
    [
        ({}, "unknown running again queued cancelled dead failed succeeded old_failed old"),
        ({"kind": "mail.send_mail"}, "queued dead old"),
        ({"kind": "no.such"}, ""),
        ({"caller_id": 5}, "running queued failed succeeded"),
        ({"caller_id": 5, "state": State.FAILED}, "failed"),
        ({"caller_id": 5, "state": State.QUEUED}, "queued"),
        ({"state": State.QUEUED}, "again queued"),
        ({"state": State.QUEUED, "queue": Queue.MAIL}, "queued"),
        ({"state": State.QUEUED, "kind": "mail.send_mail"}, "queued"),
        ({"state": State.QUEUED, "kind": "mail.send_mail", "queue": Queue.MAIL, "caller_id": 5}, "queued"),
        ({"state": State.QUEUED, "kind": "no.such"}, ""),
        ({"state": State.QUEUED, "error_code": "unreachable"}, "again"),
        ({"state": State.QUEUED, "text": "ÜMLÄUT"}, "again"),
        ({"state": State.RUNNING}, "running"),
        ({"state": State.RUNNING, "caller_id": 5, "queue": Queue.PAYMENTS}, "running"),
        ({"state": State.RUNNING, "caller_id": 6}, ""),
        ({"state": State.SUCCEEDED}, "unknown succeeded old"),
        ({"state": State.FAILED}, "failed old_failed"),
        ({"state": State.DEAD}, "dead"),
        ({"state": State.DEAD, "queue": Queue.BULK}, ""),
        ({"state": State.CANCELLED}, "cancelled"),
        ({"queue": Queue.MAIL}, "queued dead old"),
        ({"queue": Queue.PAYMENTS}, "unknown running"),
        ({"queue": Queue.PAYMENTS, "state": State.SUCCEEDED}, "unknown"),
        ({"queue": Queue.ML}, ""),
        ({"error_code": "wrong_state"}, "failed"),
        ({"error_code": "unreachable", "kind": "mail.send_mail"}, "dead"),
        ({"text": "ümläut"}, "failed"),
        ({"text": "50% <B>_"}, "failed"),
        ({"text": "%"}, "failed"),
        ({"text": "'; drop table jobs; --"}, ""),
        ({"created_from": NOW - timedelta(days=8, hours=1), "created_to": NOW - timedelta(days=7)}, "old_failed"),
        ({"created_to": NOW - timedelta(days=8, hours=1)}, "old"),
        ({"created_from": NOW - timedelta(hours=1), "text": "No answer"}, "dead"),
    ],
)
async def test_jobs_are_found_by_anything_newest_first(jobs: dict[str, UUID], sought: dict[str, Any], names: str):
    wanted = [jobs[name.replace("_", " ")] for name in names.split()]
    assert await ids(**sought) == sorted(wanted, reverse=True)


async def test_a_job_is_found_by_its_id_with_what_it_is_now(jobs: dict[str, UUID]):
    (again,) = (await search.find(Filter(id=jobs["again"]), limit=5)).jobs
    assert (again.state, again.attempts, again.error_code, again.error_detail) == (
        State.QUEUED,
        2,
        "unreachable",
        "ümläut",
    )
    (dead,) = (await search.find(Filter(id=jobs["dead"]), limit=5)).jobs
    assert (dead.state, dead.attempts, dead.error_code, dead.run_at) == (State.DEAD, 5, "unreachable", None)
    assert await ids(id=uuid7()) == []


async def test_a_job_that_a_worker_names_is_found_behind_the_front(
    jobs: dict[str, UUID], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(search, "RUNNING_LOOKED_AT", 0)
    assert await ids(state=State.RUNNING) == []
    await guard.rows(
        "insert into workers (id, running) values ($1, jsonb_build_array(jsonb_build_object('id', $2::text), jsonb_build_object('id', $3::text)))",
        uuid4(), str(jobs["running"]), str(jobs["succeeded"]),
    )  # fmt: skip
    assert await ids(state=State.RUNNING) == [jobs["running"]]


@pytest.mark.parametrize(
    "sought",
    [
        {}, {"kind": "mail.send_mail"}, {"queue": Queue.PAYMENTS}, {"state": State.QUEUED}, {"state": State.FAILED},
        {"state": State.QUEUED, "queue": Queue.BULK}, {"state": State.SUCCEEDED, "caller_id": 8}, {"error_code": "time_limit"},
        {"queue": Queue.BULK, "state": State.SUCCEEDED}, {"state": State.DEAD}, {"text": "after 1"},
    ],
)  # fmt: skip
async def test_pages_neither_repeat_nor_skip_however_few_jobs_each_looks_at(
    sought: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    await seed_jobs(1500, days=3)
    await seed_live(200, days=1)
    whole = (await search.find(Filter(**sought), limit=5000)).jobs
    monkeypatch.setattr(search, "LOOKED_AT", 300)
    monkeypatch.setattr(search, "LOOKED_AT_BY_KIND", 300)
    found, before, pages = [], None, 0
    while pages == 0 or before:
        page = await search.find(Filter(**sought), before=before, limit=97)
        found, before, pages = found + page.jobs, page.further, pages + 1
    assert [one.id for one in found] == [one.id for one in whole] == sorted({one.id for one in whole}, reverse=True)


async def test_dead_jobs_are_counted_up_to_a_cap():
    for _ in range(3):
        await a_dead_job()
    await a_dead_job(error_code="time_limit")
    assert await search.count_dead(Filter(), most=10) == 4
    assert await search.count_dead(Filter(error_code="unreachable"), most=10) == 3
    assert await search.count_dead(Filter(error_code="unreachable"), most=2) == 2


# What became of one


async def test_a_jobs_history_is_every_attempt_and_every_hand():
    parent = await a_job()
    job_id = await a_dead_job(cause=parent, payload={"project_id": 4})
    await guard.rows(
        "insert into job_attempts (job_id, claim_no, attempt, worker, outcome, error_code) values ($1, 1, 1, 'w:1', 'retried', 'x'), ($1, 2, 2, 'w:2', 'lost', null)",
        job_id,
    )  # fmt: skip
    child = await a_job(JobStatus.QUEUED, cause=job_id)
    file = await history.read(job_id)
    assert [(one.claim_no, one.outcome, one.worker) for one in file.history] == [
        (1, "retried", "w:1"), (2, "lost", "w:2"), (5, "dead", "host-1:42"),
    ]  # fmt: skip
    assert (file.payload, file.state, file.error_code) == ({"project_id": 4}, State.DEAD, "unreachable")
    assert file.cause is not None
    assert (file.cause.id, file.cause.kind) == (parent, "escrow.sweep")
    assert [(one.id, one.state) for one in file.following] == [(child, State.QUEUED)]

    await commit(control.retry, job_id, 7)
    file = await history.read(job_id)
    assert [one.outcome for one in file.history] == ["retried", "lost", "dead"]
    assert [(one.action, one.actor_id) for one in file.deeds] == [("job.retried", 7)]
    assert (file.state, file.claim_no, file.error_code) == (State.QUEUED, 5, None)


async def test_a_running_job_says_who_has_it():
    worker = uuid4()
    await guard.rows("insert into workers (id, host, pid) values ($1, 'box', 99)", worker)
    job_id = await a_job(JobStatus.RUNNING, error_code="unreachable")
    await guard.rows("update job_live set worker_id = $1, progress = 0.25", worker)
    file = await history.read(job_id)
    (attempt,) = file.history
    assert (attempt.outcome, attempt.worker, attempt.error_code, attempt.ended_at) == ("running", "box:99", None, None)
    assert file.progress == 0.25


async def test_a_job_that_waits_or_was_cancelled_has_no_attempt_of_its_own_yet():
    job_id = await a_job(JobStatus.QUEUED)
    assert (await history.read(job_id)).history == []
    await commit(control.cancel, job_id, 7)
    file = await history.read(job_id)
    assert (file.history, file.state, file.cause, file.following) == ([], State.CANCELLED, None, [])


async def test_a_job_that_is_not_there_has_no_history():
    with pytest.raises(NotFound):
        await history.read(uuid7())


# How the queues do


async def test_depths_are_counted_from_the_front_and_say_when_counting_stopped(monkeypatch: pytest.MonkeyPatch):
    for _ in range(3):
        await a_job(JobStatus.QUEUED, kind="mail.send_mail", queue="mail")
    await a_job(JobStatus.RUNNING, kind="mail.send_mail", queue="mail")
    await guard.rows("update job_live set run_at = now() - interval '90 s'")
    later = await a_job(JobStatus.QUEUED, kind="mail.send_mail", queue="mail")
    await guard.rows("update job_live set run_at = now() + interval '1 h' where job_id = $1", later)
    await a_dead_job(kind="mail.send_mail", queue="mail")
    await commit(control.pause, "mail", "SES is down", 7)
    for name, silent in (("{mail,bulk}", "1 s"), ("{mail}", "14 s"), ("{mail}", "16 s")):
        beaten = f"now() - interval '{silent}'"
        await guard.rows(f"insert into workers (id, queues, beat_at) values ($1, '{name}', {beaten})", uuid4())

    found = {one.name: one for one in await figures.queues()}
    assert list(found) == [queue.value for queue in Queue]
    mail = found["mail"]
    assert (mail.waiting, mail.running, mail.later, mail.dead) == (3, 1, 1, 1)
    assert (mail.waiting_capped, mail.later_capped, mail.dead_capped) == (False, False, False)
    assert [found[name].workers for name in ("mail", "bulk", "payments")] == [2, 1, 0]
    assert mail.oldest_s is not None
    assert 90 <= mail.oldest_s < 120
    assert mail.pause is not None
    assert (mail.pause.reason, mail.pause.paused_by, mail.pause.email) == ("SES is down", 7, "")
    bulk = found["bulk"]
    assert (bulk.waiting, bulk.oldest_s, bulk.pause, bulk.rate_per_s, bulk.run.p95_s) == (0, None, None, 0, None)
    assert len(bulk.series) == figures.SERIES_MINUTES - 1

    monkeypatch.setattr(figures, "COUNTED", 2)
    monkeypatch.setattr(figures, "DEAD_COUNTED", 1)
    (mail,) = [one for one in await figures.queues() if one.name == "mail"]
    assert (mail.waiting, mail.waiting_capped, mail.dead_capped) == (2, True, True)


async def test_rates_and_percentiles_add_up_what_the_workers_wrote():
    minute = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=1)
    runs = [0] * (len(BUCKETS_S) + 1)
    runs[6] = 100  # up to 0.25 s
    for succeeded, failed in ((60, 0), (50, 10)):
        await guard.rows(WRITE, minute, "mail", uuid4(), succeeded, failed, 3, runs, runs)
    await guard.rows(WRITE, minute - timedelta(minutes=30), "mail", uuid4(), 600, 0, 0, runs, runs)
    (mail,) = [one for one in await figures.queues() if one.name == "mail"]
    assert [(one.rate_per_s, one.failed_per_s) for one in mail.series[-1:]] == [(2.0, 10 / 60)]
    assert mail.series[-31].rate_per_s == 10.0
    assert mail.series[-2].run_p95_s is None
    assert 240 <= 120 / mail.rate_per_s <= 300
    assert mail.run.p50_s == pytest.approx(0.175)
    assert mail.wait.p99_s == pytest.approx(0.2485)


async def test_workers_and_the_schedule_are_shown_as_they_were_written():
    since = "2026-11-22T20:00:00Z"
    await guard.rows(
        """insert into workers (id, host, pid, queues, release, threads, running, beat_at)
           values ($1, 'box', 7, '{mail,bulk}', 'r1', 8, $2::text::jsonb, now() - interval '12 s')""",
        UUID(int=1), f'[{{"id": "{UUID(int=9)}", "kind": "mail.send_mail", "since": "{since}"}}]',
    )  # fmt: skip
    (worker,) = await figures.workers()
    assert (worker.host, worker.pid, worker.queues, worker.threads, worker.release) == (
        "box",
        7,
        ["mail", "bulk"],
        8,
        "r1",
    )
    assert [(one.id, one.kind) for one in worker.running] == [(UUID(int=9), "mail.send_mail")]
    assert 12 <= worker.silent_s < 30
    await guard.rows("insert into schedules values ('sweep', 'escrow.sweep', 60, 'latest', null, null, now())")
    (slot,) = await figures.schedule()
    assert (slot.name, slot.kind, slot.every_s, slot.missed, slot.last_slot) == (
        "sweep",
        "escrow.sweep",
        60,
        "latest",
        None,
    )
