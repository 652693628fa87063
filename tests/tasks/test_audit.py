"""Sealing and verifying as jobs: each second for a minute, and a walk that tells and mends nothing."""

from datetime import timedelta
from typing import Any

import pytest

from models import audit, audit_chain, guard, outbox
from models.jobs import Job, JobStatus, SealAudit, VerifyAudit
from tasks import audit as performers
from tasks.clock import SCHEDULE
from tests.models.test_audit import deed, tamper
from tests.performing import killed_after, perform_killed, perform_now, release_dead
from tests.tasks.conftest import hearing


async def enqueued(job: Job) -> Any:
    return (await guard.commit(outbox.enqueue, job)).job_id


async def age(job_id: Any, seconds: float) -> None:
    """Let the job have been made so long ago."""
    await guard.rows(
        "update jobs set created_at = now() - $2::interval where id = $1", job_id, timedelta(seconds=seconds)
    )


def test_the_clock_seals_each_minute_and_verifies_each_night() -> None:
    kept = {entry.name: (entry.every_s, entry.missed.value) for entry in SCHEDULE if entry.name.startswith("audit.")}
    assert kept == {"audit.seal": (60, "latest"), "audit.verify": (86_400, "latest")}


async def test_what_was_done_is_sealed_now_and_each_second_until_the_minute_is_over(database: str):
    job_id = await enqueued(SealAudit())
    await deed("1")
    with hearing(performers) as said:
        assert (await perform_now(job_id)).status is JobStatus.QUEUED
        await deed("2")
        assert (await perform_now(job_id, even_if_early=True)).status is JobStatus.QUEUED
        assert (await perform_now(job_id, even_if_early=True)).status is JobStatus.QUEUED
        await age(job_id, 59.5)
        await deed("3")
        done = await perform_now(job_id, even_if_early=True)
    heads = [(one["seq"], one["head"]) for one in said if one["event"] == "audit.sealed"]
    assert [seq for seq, _ in heads] == [1, 2, 3]
    assert (done.status, done.result) == (JobStatus.SUCCEEDED, {"rows": 3, "seq": 3, "head": heads[-1][1]})


async def test_a_sealer_that_dies_after_its_commit_has_sealed_and_the_next_goes_on(database: str):
    job_id = await enqueued(SealAudit())
    await deed("1")
    with killed_after(guard, "commit"):
        await perform_killed(job_id)
    await release_dead(job_id)
    await deed("2")
    await age(job_id, 70)
    done = await perform_now(job_id, even_if_early=True)
    assert (done.result["rows"], done.result["seq"]) == (1, 2)


async def test_many_rows_are_sealed_in_batches_and_no_longer_than_fits(database: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(performers, "MOST_BATCHES", 2)
    monkeypatch.setattr(performers, "BATCH", 1000)
    async with guard.transaction():
        await guard.rows(
            """insert into audit_log (actor_id, action, subject_kind, subject_id)
               select 1, 'a', 'b', n::text from generate_series(1, 2500) n"""
        )
    job_id = await enqueued(SealAudit())
    await perform_now(job_id)
    assert await guard.value("select count(*) from audit_log where seq is null") == 500
    await age(job_id, 70)
    assert (await perform_now(job_id, even_if_early=True)).result["rows"] == 2500


async def test_a_whole_chain_is_verified_and_the_result_shown(database: str):
    await deed("1")
    batch = await guard.commit(audit_chain.seal)
    done = await perform_now(await enqueued(VerifyAudit()), give_back_first=True)
    assert done.result == {"rows": 1, "head": batch.head.hash, "found": 0, "differences": []}
    standing = await audit_chain.read_standing()
    assert (standing.verified, standing.verified_at is not None) == (done.result, True)


async def test_each_difference_is_logged_as_an_error_and_none_is_mended(database: str):
    for subject in ("1", "2"):
        await deed(subject)
    await guard.commit(audit_chain.seal)
    await tamper("update audit_log set actor_id = 8 where seq = 1")
    with hearing(performers) as said:
        done = await perform_now(await enqueued(VerifyAudit()))
    (alarm,) = [one for one in said if one["event"] == "audit.difference"]
    assert (alarm["log_level"], alarm["check"], alarm["seq"]) == ("error", "row_changed", 1)
    assert done.result["differences"][0]["detail"] == f"Row {alarm['id']} at place 1 is not what was sealed there."
    assert (await audit.find(audit.Sought(), before=None, limit=9))[-1].actor_id == 8


async def test_a_long_walk_rests_and_goes_on_where_it_was(database: str, monkeypatch: pytest.MonkeyPatch):
    for subject in ("1", "2", "3"):
        await deed(subject)
    await guard.commit(audit_chain.seal)
    await tamper("update audit_log set actor_id = 8 where seq = 1")
    real = audit_chain.walk

    async def one_row(so_far: audit_chain.Walk) -> audit_chain.Walk:
        monkeypatch.setattr(performers, "SLICE_S", -1.0)
        return await real(so_far, limit=1)

    monkeypatch.setattr(audit_chain, "walk", one_row)
    job_id = await enqueued(VerifyAudit())
    for _ in range(3):
        monkeypatch.setattr(performers, "SLICE_S", 15.0)
        assert (await perform_now(job_id, even_if_early=True)).status is JobStatus.QUEUED
    monkeypatch.setattr(performers, "SLICE_S", 15.0)
    done = await perform_now(job_id, even_if_early=True)
    assert (done.result["rows"], [one["seq"] for one in done.result["differences"]]) == (3, [1])
