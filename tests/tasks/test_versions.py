"""Jobs that an older release enqueued, or one that named them otherwise, are understood; what nobody reads is dead."""

from typing import Any
from uuid import UUID

import msgspec
import pytest

from models import guard, outbox
from models.jobs import ALIASES, UPGRADES, Job, JobStatus, Queue, decode
from tasks.broker import feeder
from tasks.broker.feeder import Feeder, Post
from tasks.broker.shift import Shift
from tests.performing import claim_now, perform_now, view
from tests.tasks.conftest import Start, hearing, until
from tests.tasks.probes import Newer, Note, Third


@pytest.fixture(autouse=True)
def _upgrades(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(UPGRADES, ("probe.third", 1), lambda old: {"key": old["name"]})
    monkeypatch.setitem(UPGRADES, ("probe.third", 2), lambda old: {**old, "times": 2})


async def _enqueue(version: int, payload: str, kind: str = "probe.third") -> UUID:
    job_id = (await guard.commit(outbox.enqueue, Third(key="k", times=1))).job_id
    await guard.rows(
        "update jobs set version = $2, payload = $3::text::jsonb, kind = $4 where id = $1",
        job_id,
        version,
        payload,
        kind,
    )
    return job_id


async def _effects() -> list[str]:
    return [one["key"] for one in await guard.rows("select key from effects")]


@pytest.mark.parametrize(
    ("version", "payload", "effect"),
    [
        (1, '{"name": "a"}', "a x 2"),
        (2, '{"key": "b"}', "b x 2"),
        (3, '{"key": "c", "times": 3}', "c x 3"),
        (3, '{"key": "c", "times": 3, "added_by_a_newer_release": true}', "c x 3"),
    ],
)
async def test_every_version_since_the_first_is_performed(effects: str, version: int, payload: str, effect: str):
    done = await perform_now(await _enqueue(version, payload))
    assert (done.status, await _effects()) == (JobStatus.SUCCEEDED, [effect])


@pytest.mark.parametrize(
    ("version", "payload"),
    [
        (0, '{"key": "a"}'),  # nothing reads it
        (1, '{"label": "a"}'),  # the upgrade misses a field
        (1, "[]"),
        (2, '{"key": 7}'),
        (3, '{"key": "a"}'),
        (3, '"a"'),
    ],
)
async def test_what_nothing_reads_is_dead_at_once(effects: str, version: int, payload: str):
    done = await perform_now(await _enqueue(version, payload))
    assert (done.status, done.error_code, done.attempts) == (JobStatus.FAILED, "payload_unreadable", 1)
    assert await guard.value("select is_dead from jobs")
    assert await _effects() == []
    assert await guard.value("select count(*) from job_live") == 0


async def test_what_nothing_reads_comes_to_an_end_also_when_its_attempts_are_used_up(effects: str):
    job_id = await _enqueue(1, '{"label": "a"}')
    await guard.rows("update job_live set attempts = 99")
    done = await perform_now(job_id)
    assert (done.status, done.error_code) == (JobStatus.FAILED, "attempts_exhausted")


def test_an_upgraded_payload_is_read_as_json_is():
    class Keyed(Job):
        kind = "probe.keyed"
        version = 2
        queue = Queue.BULK
        amounts: dict[int, UUID]

    made: dict[str, Any] = {"amounts": {"7": "01a204e3-5862-7fa8-b4c4-eb79f7a56ee1"}}
    UPGRADES["probe.keyed", 1] = lambda old: old
    try:
        assert decode(Keyed, 1, msgspec.json.encode(made).decode()) == decode(
            Keyed, 2, msgspec.json.encode(made).decode()
        )
    finally:
        del UPGRADES["probe.keyed", 1]


async def test_a_renamed_kind_is_performed_by_its_heir_also_from_another_queue(
    effects: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(ALIASES, "probe.jotting", "probe.note")
    job_id = await _enqueue(1, '{"key": "old name"}', kind="probe.jotting")
    await guard.rows("update job_live set queue = 'mail'")
    assert (await perform_now(job_id)).kind == "probe.jotting"
    assert await _effects() == ["old name"]


async def test_a_newer_version_is_left_to_newer_workers_and_the_rest_goes_on(effects: str, start: Start):
    newer = await _enqueue(4, '{"word": "a"}')
    present = (await guard.commit(outbox.enqueue, Note(key="present"))).job_id
    start("tests.tasks.probes", "--queues", "bulk")

    async def settled() -> bool:
        row = await guard.row(
            "select claim_no, attempts, run_at - now() as wait from job_live where job_id = $1", newer
        )
        assert row is not None
        ended = (await view(present)).finished_at is not None
        return ended and (row["claim_no"], row["attempts"]) == (1, 0) and row["wait"].total_seconds() > 20

    await until(settled, what="both")
    assert await _effects() == ["present"]


@pytest.mark.parametrize(("age_s", "level"), [(599, "warning"), (601, "error")])
async def test_what_nobody_knows_for_ten_minutes_is_an_alarm(effects: str, age_s: int, level: str):
    job_id = (await guard.commit(outbox.enqueue, Newer())).job_id
    await guard.rows("update jobs set created_at = now() - $1 * interval '1 s'", age_s)
    claim = await claim_now(job_id)
    one = Feeder(Post(effects, "redis://127.0.0.1:1/0", "mgl:", (Queue.BULK,), 1), Shift(claim.worker_id), print, list)
    with hearing(feeder) as said:
        async with guard.engine().pool.acquire() as connection:  # type: ignore[union-attr]
            await one._put_aside(connection, claim)
    one._loop.close()
    assert [(line["event"], line["log_level"], line["kind"]) for line in said] == [
        ("feeder.kind_unknown", level, "probe.newer")
    ]
    row = await guard.only("select status, attempts, run_at - now() as wait from job_live")
    assert (row["status"], row["attempts"]) == (0, 0)
    assert 29 < row["wait"].total_seconds() <= feeder.UNKNOWN_PAUSE_S
