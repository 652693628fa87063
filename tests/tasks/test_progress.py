"""How far a job is, for whoever waits, and where another attempt goes on."""

import asyncio
import os
import signal
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from redis.asyncio import Redis

from models import events, guard, outbox
from models.errors import LeaseLost
from models.jobs import Job, JobStatus
from tasks.broker import claim as claims
from tasks.broker.claim import Claim, Reschedule
from tasks.broker.performing import perform
from tasks.broker.shift import Shift
from tasks.broker.tally import Outcome
from tests.api.conftest import SignedIn, app, client, signed_in  # noqa: F401  fixtures
from tests.performing import claim_now, perform_now, release_dead, view
from tests.tasks.conftest import Start, until
from tests.tasks.probes import Note, Slices
from wire.notices import Announcer
from wire.redis import Names


async def _enqueue(job: Job, caller_id: int | None = None) -> UUID:
    with outbox.caused_by(outbox.Origin(caller_id=caller_id)):
        return (await guard.commit(outbox.enqueue, job)).job_id


async def _effects() -> list[str]:
    return [one["key"] for one in await guard.rows("select key from effects order by id")]


async def _kept() -> tuple[Any, ...]:
    row = await guard.only("select progress::numeric::float8 as share, bookmark::text as bookmark from job_live")
    return tuple(row.values())


class Told(Announcer):
    """Keeps what would be told."""

    def __init__(self) -> None:
        self.news: list[tuple[str, str, Any]] = []

    def tell(self, audience: str, name: str, payload: Any) -> None:
        self.news.append((audience, name, payload))

    def announce(self, job_ids: Any) -> None:
        pass


def _telling(announcer: Announcer) -> Shift:
    shift = Shift(uuid4())
    shift.announcer = announcer
    return shift


async def test_the_caller_sees_how_far_it_is(effects: str, signed_in: SignedIn):  # noqa: F811
    owner = await signed_in()
    job_id = await _enqueue(Note(key="a"), owner.me["id"])  # type: ignore[attr-defined]
    claim = await claim_now(job_id)
    seen = []
    for share in (0.0, 0.3, 1.0):
        claim._told_at = 0.0
        await claim.progress(share)
        shown = (await owner.get(f"/api/jobs/{job_id}")).json()
        seen.append((shown["status"], shown["progress"]))
    assert seen == [("running", 0.0), ("running", 0.3), ("running", 1.0)]
    await claim.complete(_nothing)
    assert (await owner.get(f"/api/jobs/{job_id}")).json()["progress"] is None


async def _nothing() -> None: ...


async def test_a_tick_is_told_to_the_caller_alone_and_its_beginning_too(effects: str):
    told = Told()
    job_id = await _enqueue(Slices(of=2), 3)
    await perform(await claim_now(job_id, _telling(told)))
    assert [(audience, name, one.status, one.progress) for audience, name, one in told.news] == [
        (events.user(3), "job_update", "running", share) for share in (None, 0.5, 1.0)
    ]
    assert {one.id for _, _, one in told.news} == {job_id}
    told.news.clear()
    await perform(await claim_now(await _enqueue(Slices(of=2)), _telling(told)))
    assert told.news == []  # nobody asked for it


async def test_a_tick_goes_out_over_redis(effects: str, redis_url: str):
    names, heard = Names("mgl:test:"), []
    announcer, client_ = Announcer(redis_url, names), Redis.from_url(redis_url)
    async with client_.pubsub(ignore_subscribe_messages=True) as channel:
        await channel.subscribe(names.volatile)
        await channel.get_message(timeout=1)
        claim = await claim_now(await _enqueue(Note(key="a"), 3), _telling(announcer))
        await claim.progress(0.25)
        while not heard:
            message = await channel.get_message(timeout=2)
            heard += [] if message is None else [msgspec.json.decode(message["data"])]
    await announcer.close()
    await client_.aclose()
    payload = heard[0].pop("payload")
    assert heard == [{"audience": "user:3", "name": "job_update"}]
    assert (payload["status"], payload["progress"], payload["kind"]) == ("running", 0.25, "probe.note")


async def test_ticks_within_a_second_are_dropped_unless_they_bring_a_bookmark(
    effects: str, monkeypatch: pytest.MonkeyPatch
):
    claim = await claim_now(await _enqueue(Note(key="a")))
    await claim.progress(0.1)
    await claim.progress(0.2)
    assert await _kept() == (0.1, None)
    await claim.progress(0.3, bookmark={"row": 7})
    assert await _kept() == (0.3, '{"row": 7}')
    await claim.progress(0.4)
    assert await _kept() == (0.3, '{"row": 7}')
    monkeypatch.setattr(claims, "PROGRESS_S", 0.0)
    await claim.progress(0.5)
    assert await _kept() == (0.5, '{"row": 7}')  # a tick without a bookmark keeps the last one


@pytest.mark.parametrize("share", [-0.01, 1.01, float("nan")])
async def test_a_share_is_between_nothing_and_all(effects: str, share: float):
    claim = await claim_now(await _enqueue(Note(key="a")))
    with pytest.raises(AssertionError):
        await claim.progress(share)
    assert await _kept() == (None, None)


async def test_a_lost_lease_stops_it(effects: str):
    job_id = await _enqueue(Slices(of=3, pause_s=0.3))
    running = asyncio.create_task(perform(await claim_now(job_id)))

    async def begun() -> bool:
        return (await _kept())[1] == "1"

    await until(begun)
    await release_dead(job_id)
    await running
    assert await _effects() == ["slice 0", "slice 1"]  # it learned at its next tick
    claim = await claim_now(job_id)
    await guard.rows("update job_live set claim_no = claim_no + 1")
    with pytest.raises(LeaseLost):
        await claim.progress(0.9, bookmark=9)
    assert (claim.is_settled, (await _kept())[1]) == (True, "1")


@pytest.mark.parametrize(("how", "attempts"), [("reschedule", 1), ("crash", 2)])
async def test_another_attempt_goes_on_at_the_bookmark(effects: str, how: str, attempts: int):
    job_id = await _enqueue(Slices(of=4, leave_after=2, how=how))
    await perform_now(job_id)
    assert (await _kept())[1] == "2"
    done = await perform_now(job_id, even_if_early=True, give_back_first=True)
    assert (done.status, done.attempts) == (JobStatus.SUCCEEDED, attempts)
    assert await _effects() == [f"slice {n}" for n in range(4)]


async def test_a_reschedule_without_a_bookmark_keeps_the_last_one(effects: str):
    claim = await claim_now(await _enqueue(Note(key="a")))
    assert claim.bookmark is None
    await claim.progress(0.5, bookmark=[1, "x"])

    async def later(_: Any, __: Claim) -> None:
        raise Reschedule(0)

    from tasks.broker.performing import _run
    from tasks.job import Performer

    assert await _run(claim, Performer(Note, later)) is Outcome.RESCHEDULED
    assert (await claim_now(claim.job_id)).bookmark == [1, "x"]


async def test_after_a_killed_worker_it_goes_on_where_it_was(effects: str, start: Start):
    start("tests.tasks.probes", "--queues", "bulk")
    job_id = await _enqueue(Slices(of=6, pause_s=0.2))

    async def half() -> bool:
        return (await _kept())[1] in {"2", "3"}

    await until(half, what="two slices")
    os.kill(await guard.value("select pid from workers"), signal.SIGKILL)

    async def ended() -> bool:
        return (await view(job_id)).finished_at is not None

    await until(ended, what="its end")
    done, keys = await view(job_id), await _effects()
    assert (done.status, done.attempts, sorted(set(keys))) == (JobStatus.SUCCEEDED, 1, [f"slice {n}" for n in range(6)])
    assert len(keys) <= 7  # at most the slice in hand is done twice
