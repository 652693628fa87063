"""Snapshots of processes, and how the queues stand: exact figures from real rows."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from models import events, guard, metrics, outbox
from models.jobs import CheckLedger, JobStatus, SendMail, SweepEscrow
from models.metrics import People, Process, QueueState, this_process
from models.queue import control, figures
from tests.queued import a_dead_job, a_job
from wire.metrics import Family, Sample

ONE = [Family("megilance_x", "gauge", "One.", [Sample("megilance_x", {}, 1.5)])]


def a_process(role: str = "relay") -> Process:
    return this_process(role, "r1")


async def age(process: Process, seconds: float) -> None:
    await guard.rows(
        "update process_metrics set written_at = now() - make_interval(secs => $2) where process_id = $1",
        process.process_id,
        seconds,
    )


async def test_a_process_has_one_snapshot_the_last_one_it_wrote(database: str):
    process = a_process()
    await process.write(guard.rows, [])
    await process.write(guard.rows, ONE)

    (found,) = await metrics.read_fresh()
    assert found.process == process
    assert (
        found.families
        == '[{"help": "One.", "name": "megilance_x", "type": "gauge", "samples": [["megilance_x", {}, 1.5]]}]'
    )


async def test_a_process_that_fell_silent_is_shown_without_counts_then_forgotten(database: str):
    silent, gone, alive = a_process("clock"), a_process("worker"), a_process("relay")
    for process in (silent, gone, alive):
        await process.write(guard.rows, ONE)
    await age(silent, metrics.FRESH_S + 1)
    await age(gone, metrics.KEPT_S + 1)

    assert {one.process.process_id: one.families is None for one in await metrics.read_fresh()} == {
        silent.process_id: True,
        alive.process_id: False,
    }
    assert await guard.commit(metrics.forget) == 1
    assert await guard.commit(metrics.forget) == 0


async def test_of_two_lives_of_one_host_and_pid_the_newer_is_shown(database: str):
    killed, reborn = a_process(), a_process()
    for process in (killed, reborn):
        await process.write(guard.rows, ONE)
    await age(killed, 20)

    assert [one.process.process_id for one in await metrics.read_fresh()] == [reborn.process_id]


async def test_a_process_that_ends_as_it_should_is_not_missed(database: str):
    process = a_process()
    await process.write(guard.rows, ONE)
    await process.leave(guard.rows)

    assert await metrics.read_fresh() == []


async def test_queues_are_counted_by_what_their_jobs_wait_for(database: str):
    later = datetime.now(UTC) + timedelta(hours=1)
    for n in range(3):
        await guard.commit(outbox.enqueue, SendMail(mail_id=n))
    await guard.commit(outbox.enqueue, CheckLedger(), run_at=later)
    running = await guard.commit(outbox.enqueue, SweepEscrow())
    await guard.rows("update job_live set status = 1 where job_id = $1", running.job_id)
    await guard.rows("update job_live set run_at = now() - interval '90 s' where queue = 'mail'")
    await guard.rows("insert into queue_pauses values ('bulk', 1, 'a look', now())")
    for queues, beat in ((["mail", "bulk"], "now()"), (["mail"], "now()"), (["mail"], "now() - interval '1 minute'")):
        await guard.rows(f"insert into workers (id, queues, beat_at) values ($1, $2, {beat})", uuid4(), queues)

    found = await metrics.read_queues(["mail", "bulk", "payments"])
    assert 90 <= found["mail"].oldest_due_s < 120
    assert found == {
        "mail": QueueState(due=3, oldest_due_s=found["mail"].oldest_due_s, workers=2),
        "bulk": QueueState(scheduled=1, running=1, is_paused=True, workers=1),
        "payments": QueueState(),
    }


async def test_a_job_is_dead_until_somebody_retries_or_discards_it(database: str):
    _, retried, discarded = [await a_dead_job(kind="mail.send_mail", queue="mail") for _ in range(3)]
    assert (await metrics.read_queues(["mail"]))["mail"].dead == 3

    await guard.commit(control.retry, retried, 7)
    await guard.commit(control.discard, discarded, 7)
    found = (await metrics.read_queues(["mail"]))["mail"]
    assert (found.dead, found.due) == (1, 1)


async def test_counts_stop_where_the_admins_figures_stop(database: str, monkeypatch: pytest.MonkeyPatch):
    for status in (JobStatus.QUEUED, JobStatus.FAILED):
        for _ in range(4):
            await a_job(status, kind="mail.send_mail", queue="mail", is_dead=status is JobStatus.FAILED)
    monkeypatch.setattr(figures, "COUNTED", 2)
    monkeypatch.setattr(figures, "DEAD_COUNTED", 3)

    found = (await metrics.read_queues(["mail"]))["mail"]
    assert (found.due, found.dead) == (2, 3)


async def test_events_without_a_number_and_people_are_counted(database: str):
    await guard.commit(
        outbox.publish, events.ProjectUpdated(project_id=1, status="open"), events.user(1), events.user(2)
    )

    assert await metrics.count_unnumbered() == 2
    assert await metrics.count_people(7) == People(users=0, sessions=0)
