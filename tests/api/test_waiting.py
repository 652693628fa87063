"""Waiting for a job: its result, its failure, or where to look; and never an outage once it is committed."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

import msgspec
import pytest
from litestar import Litestar, Request, Response, Router, post
from litestar.params import FromPath

from api import waiting
from api.app import ROUTERS
from api.auth import Asking, signed_in
from api.waiting import Wait, answer, preferred
from models import guard, outbox
from models.jobs import JobStatus, SendMail
from models.outbox import Enqueued
from tests.api.conftest import Client, SignedIn
from wire.notices import Announcer
from wire.redis import Names

Ends = Callable[..., Awaitable[None]]


class Asked(msgspec.Struct, frozen=True):
    job: Enqueued


class AskedById(msgspec.Struct, frozen=True):
    job: UUID


async def _fetched(result: Any) -> dict[str, Any]:
    return {**result, "secret": "fetched"}


SHOWN: dict[str, Callable[[Any], Any]] = {
    "body": lambda result: result,
    "awaited": _fetched,
    "response": lambda result: Response(result, status_code=203),
}


@post("/{shown:str}")
async def act(request: Request[Any, Any, Any], caller: Asking, shown: FromPath[str]) -> Response[Any]:
    """Enqueue a job nobody performs, and wait for it."""
    enqueued = await guard.commit(outbox.enqueue, SendMail(mail_id=1))
    requested = {"body": enqueued, "awaited": Asked(enqueued)}.get(shown, AskedById(enqueued.job_id))
    return await answer(request, requested, SHOWN[shown], status_code=201)


@pytest.fixture(autouse=True)
def probes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.app.ROUTERS", (*ROUTERS, Router("/probes", route_handlers=[act], guards=[signed_in])))


@pytest.fixture
async def caller(signed_in: SignedIn) -> Client:
    one = await signed_in()
    await guard.rows("delete from job_live")  # the mails of registering are somebody else's test
    return one


@pytest.fixture
async def ends(database: str, redis_url: str) -> AsyncIterator[Ends]:
    """Ends the one live job as a worker would: its rows first, the notice after."""
    import settings

    announcer = Announcer(redis_url, Names(settings.load().redis.prefix))

    async def end(
        status: JobStatus = JobStatus.SUCCEEDED, *, result: str | None = '{"n": 1}', told: bool = True, **error: Any
    ) -> None:
        while (job_id := await guard.value("select job_id from job_live")) is None:  # noqa: ASYNC110  a row tells nobody
            await asyncio.sleep(0.01)
        async with guard.transaction():
            await guard.rows("delete from job_live where job_id = $1", job_id)
            await guard.rows(
                """update jobs set status = $2, result = $3::text::jsonb, error_code = $4, error_detail = $5,
                          error_data = $6::text::jsonb, finished_at = now() where id = $1""",
                job_id,
                status.value,
                result,
                error.get("code"),
                error.get("detail"),
                error.get("data"),
            )
        if told:
            announcer.announce([UUID(str(job_id))])

    yield end
    await announcer.close()


async def asked(caller: Client, shown: str = "body", *, prefer: str | None = None) -> Any:
    return await caller.post(f"/probes/{shown}", headers={"Prefer": prefer} if prefer else {})


@pytest.mark.parametrize(
    ("shown", "status", "body"),
    [("body", 201, {"n": 1}), ("awaited", 201, {"n": 1, "secret": "fetched"}), ("response", 203, {"n": 1})],
)
async def test_a_job_that_succeeds_is_answered_with_its_result(
    caller: Client, ends: Ends, shown: str, status: int, body: dict
):
    response, _ = await asyncio.gather(asked(caller, shown), ends())
    assert (response.status_code, response.json()) == (status, body)
    assert "preference-applied" not in response.headers
    assert "secret" not in str(await guard.rows("select result::text from jobs"))


async def test_a_notice_is_heard_at_once(caller: Client, ends: Ends):
    asking = asyncio.create_task(asked(caller))
    await asyncio.sleep(0.3)
    began = time.perf_counter()
    await ends()
    assert (await asking).status_code == 201
    assert time.perf_counter() - began < 0.5


async def test_a_notice_that_is_lost_costs_a_look_at_the_row(caller: Client, ends: Ends):
    response, _ = await asyncio.gather(asked(caller), ends(told=False))
    assert response.status_code == 201


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        ({"code": "wrong_state", "detail": "Funded already."}, 409, "wrong_state"),
        ({"code": "card_not_supported", "detail": "Another card."}, 422, "refused_by_provider"),
        ({"code": "attempts_exhausted", "detail": "Given up."}, 502, "job_failed"),
        ({}, 502, "job_failed"),
    ],
)
async def test_a_job_that_fails_is_answered_with_its_problem(
    caller: Client, ends: Ends, error: dict, status: int, code: str
):
    response, _ = await asyncio.gather(asked(caller), ends(JobStatus.FAILED, result=None, **error))
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.json()["detail"] == error.get("detail", "")
    assert response.headers["content-type"] == "application/problem+json"


async def test_a_declined_card_carries_the_banks_word(caller: Client, ends: Ends):
    declined = {"code": "card_declined", "detail": "Declined.", "data": '{"decline_code": "lost_card"}'}
    response, _ = await asyncio.gather(asked(caller), ends(JobStatus.FAILED, result=None, **declined))
    assert (response.status_code, response.json()["decline_code"]) == (402, "lost_card")


async def test_a_cancelled_job_is_a_conflict(caller: Client, ends: Ends):
    response, _ = await asyncio.gather(asked(caller), ends(JobStatus.CANCELLED, result=None))
    assert (response.status_code, response.json()["code"]) == (409, "job_cancelled")


@pytest.mark.parametrize(
    ("prefer", "applied", "longest_s"),
    [
        ("respond-async", "respond-async", 0.6),
        ("wait=0", "wait=0", 0.6),
        ("respond-async, wait=1", "wait=1, respond-async", 2),
    ],
)
async def test_whoever_will_not_wait_is_told_where_to_look(caller: Client, prefer: str, applied: str, longest_s: float):
    began = time.perf_counter()
    response = await asked(caller, prefer=prefer)
    assert time.perf_counter() - began < longest_s
    job = response.json()
    assert (response.status_code, job["status"], job["kind"]) == (202, "queued", "mail.send_mail")
    assert response.headers["location"] == f"/api/jobs/{job['id']}"
    assert response.headers["preference-applied"] == applied
    assert (await caller.get(response.headers["location"])).json() == job


async def test_a_job_that_ended_before_anybody_waited_is_answered_at_once(
    caller: Client, ends: Ends, monkeypatch: pytest.MonkeyPatch
):
    read, calls = waiting._read, []

    async def ended_when_read(job_id: UUID) -> Any:
        if not calls:
            await ends(told=False)
        calls.append(job_id)
        return await read(job_id)

    monkeypatch.setattr(waiting, "_read", ended_when_read)
    assert (await asked(caller, prefer="respond-async")).status_code == 201
    assert len(calls) == 1


async def test_once_committed_an_outage_is_an_unfinished_job_and_never_a_503(
    caller: Client, monkeypatch: pytest.MonkeyPatch
):
    async def away(job_id: UUID) -> Any:
        raise ConnectionRefusedError("no server")

    monkeypatch.setattr(waiting, "_read", away)
    response = await asked(caller, prefer="wait=3")
    assert (response.status_code, response.json()["status"]) == (202, "queued")
    assert response.headers["location"] == f"/api/jobs/{response.json()['id']}"
    assert response.headers["preference-applied"] == "wait=3"


async def test_nobody_is_left_waiting_in_the_register(caller: Client, app: Litestar):
    await asked(caller, prefer="wait=0")
    await asyncio.sleep(0)
    assert app.state.waiting.notices._waiting == {}


@pytest.mark.parametrize(
    ("sent", "wait"),
    [
        ([], Wait(10, None)),
        ([""], Wait(10, None)),
        (["respond-async"], Wait(0, "respond-async")),
        (["Respond-Async"], Wait(0, "respond-async")),
        (["respond-async; x=y"], Wait(0, "respond-async")),
        (["wait=5"], Wait(5, "wait=5")),
        (['wait = "5"'], Wait(5, "wait=5")),
        (["wait=500"], Wait(20, "wait=20")),
        (["wait=5, wait=7"], Wait(5, "wait=5")),
        (["handling=lenient, wait=5; foo"], Wait(5, "wait=5")),
        (["return=minimal", "wait=3"], Wait(3, "wait=3")),
        (["wait=5, respond-async"], Wait(5, "wait=5, respond-async")),
        (["wait"], Wait(10, None)),
        (["wait=-1"], Wait(10, None)),
        (["wait=1.5"], Wait(10, None)),
        (["wait=soon"], Wait(10, None)),
        (["wait=٣"], Wait(10, None)),
        (["wait=" + "9" * 400], Wait(10, None)),
        (["???, ;;;, =5"], Wait(10, None)),
    ],
)
def test_preferences_are_read_as_the_rfc_says(sent: list[str], wait: Wait):
    assert preferred(sent, 10) == wait


def test_a_header_made_to_be_read_slowly_is_read_at_once():
    # Cubic time here would be hours: the suite would not end.
    assert preferred(["a=" + " " * 60_000 + '"x"y'], 3.0) == Wait(3.0, None)
