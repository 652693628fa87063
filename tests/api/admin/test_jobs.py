"""The admin's side as JSON: what each route answers, to whom it is shut, and that a refusal changes nothing."""

import asyncio
from typing import Any
from uuid import UUID

import httpx
import pytest
from litestar import Litestar

from models import guard
from models.base import uuid7
from models.jobs import JobStatus
from tests.api.callers import anonymous, body_of, calling, problem_of
from tests.factories import a_client, a_freelancer, an_admin
from tests.queued import a_dead_job, a_job, everything

ID = UUID(int=7)
ROUTES = [
    ("GET", "/jobs"),
    ("GET", f"/jobs/{ID}"),
    ("POST", "/jobs/{dead}/retry"),
    ("POST", "/jobs/{waiting}/cancel"),
    ("POST", "/jobs/{dead}/discard"),
    ("POST", "/jobs/retry"),
    ("GET", "/queues"),
    ("POST", "/queues/mail/pause"),
    ("POST", "/queues/mail/resume"),
    ("GET", "/workers"),
    ("GET", "/schedule"),
]


@pytest.fixture
async def admin(app: Litestar) -> Any:
    """An admin's program."""
    person = await an_admin()
    async with await calling(app, person) as made:
        made.person = person  # type: ignore[attr-defined]
        yield made


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_every_route_is_shut_to_everybody_else_and_nothing_moves(app: Litestar, method: str, path: str):
    dead, waiting = await a_dead_job(), await a_job(JobStatus.QUEUED)
    address = "/api/admin" + path.format(dead=dead, waiting=waiting)
    body = {"reason": "x"} if path.endswith("pause") else {"queue": "bulk"} if path == "/jobs/retry" else None
    before = await everything()
    async with anonymous(app) as nobody:
        problem_of(await nobody.request(method, address, json=body), 401, "token_invalid")
    for person in (await a_client(), await a_freelancer()):
        async with await calling(app, person) as caller:
            problem_of(await caller.request(method, address, json=body), 403, "role_not_allowed")
    assert await everything() == before


async def test_jobs_are_searched_by_every_field_a_page_at_a_time(admin: httpx.AsyncClient):
    wanted = await a_job(JobStatus.FAILED, caller_id=5, error_code="wrong_state", error_detail="No more <b>")
    await a_job()
    query = {
        "id": str(wanted), "kind": "escrow.sweep", "caller_id": 5, "state": "failed", "queue": "bulk",
        "error_code": "wrong_state", "text": "no MORE <b>", "created_from": "2026-01-01T00:00:00Z", "created_to": "2099-01-01T00:00:00+01:00",
    }  # fmt: skip
    for names in [[name] for name in query if not name.startswith("created")] + [list(query)]:
        found = body_of(await admin.get("/api/admin/jobs", params={name: query[name] for name in names}), 200)
        assert str(wanted) in [one["id"] for one in found["items"]], names
    (one,) = found["items"]
    assert (one["state"], one["error_code"], one["error_detail"], one["attempts"]) == (
        "failed",
        "wrong_state",
        "No more <b>",
        1,
    )
    first = body_of(await admin.get("/api/admin/jobs?limit=1"), 200)
    second = body_of(await admin.get("/api/admin/jobs", params={"limit": 1, "cursor": first["next_cursor"]}), 200)
    assert [second["items"][0]["id"], second["next_cursor"] is None] == [str(wanted), True]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("state=gone", "state"), ("queue=gone", "queue"), ("id=x", "id"), ("caller_id=0", "caller_id"), ("limit=101", "limit"),
        ("kind=" + "x" * 65, "kind"), ("error_code=%20", None), ("text=a%00b", "text"), ("text=" + "x" * 201, "text"),
        ("created_from=x", "created_from"), ("created_to=2026-11-22T20:00:00", "created_to"), ("cursor=x", "cursor"),
        ("created_to=0.5", "created_to"), ("created_from=1790000000", "created_from"),
        ("created_from=2026-02-30T00:00:00Z", "created_from"), ("created_to=0001-01-01T00:00:00%2B01:00", "created_to"),
    ],
)  # fmt: skip
async def test_a_bad_query_is_refused_by_name(admin: httpx.AsyncClient, query: str, field: str | None):
    answer = await admin.get(f"/api/admin/jobs?{query}")
    if field is None:
        body_of(answer, 200)
    else:
        assert problem_of(answer, 422, "invalid")["errors"][0]["field"] == field


async def test_one_job_is_shown_with_its_history_and_payload(admin: httpx.AsyncClient):
    job_id = await a_dead_job(payload={"project_id": 4})
    shown = body_of(await admin.get(f"/api/admin/jobs/{job_id}"), 200)
    assert (shown["state"], shown["payload"], shown["is_dead"], shown["deeds"]) == ("dead", {"project_id": 4}, True, [])
    assert [(one["outcome"], one["claim_no"], one["error_code"]) for one in shown["history"]] == [
        ("dead", 5, "unreachable")
    ]
    problem_of(await admin.get(f"/api/admin/jobs/{uuid7()}"), 404, "not_found")


async def test_verbs_answer_the_job_as_it_stands_and_a_second_time_a_conflict(admin: httpx.AsyncClient):
    dead, other, waiting = await a_dead_job(), await a_dead_job(), await a_job(JobStatus.QUEUED)
    for job_id, verb, state in (
        (dead, "retry", "queued"),
        (other, "discard", "failed"),
        (waiting, "cancel", "cancelled"),
    ):
        shown = body_of(await admin.post(f"/api/admin/jobs/{job_id}/{verb}"), 200)
        assert (shown["state"], shown["deeds"][0]["actor_id"]) == (state, admin.person.id)  # type: ignore[attr-defined]
        assert shown["deeds"][0]["request_id"]
        before = await everything()
        problem_of(await admin.post(f"/api/admin/jobs/{job_id}/{verb}"), 409, "wrong_state")
        problem_of(await admin.post(f"/api/admin/jobs/{uuid7()}/{verb}"), 404, "not_found")
        problem_of(await admin.post(f"/api/admin/jobs/{job_id}/{verb}", json={"force": True}), 422, "invalid")
        assert await everything() == before
    mine = body_of(await admin.get(f"/api/jobs/{dead}"), 200)
    assert (mine["status"], mine["error"], mine["attempts"], mine["finished_at"]) == ("queued", None, 0, None)


async def test_of_requests_at_the_same_moment_one_retries(admin: httpx.AsyncClient):
    dead = await a_dead_job()
    answers = await asyncio.gather(*(admin.post(f"/api/admin/jobs/{dead}/retry") for _ in range(8)))
    assert sorted(one.status_code for one in answers) == [200] + [409] * 7
    assert await guard.value("select count(*) from job_attempts") == 1


async def test_many_are_retried_by_a_filter(admin: httpx.AsyncClient):
    for _ in range(3):
        await a_dead_job(error_code="time_limit")
    await a_dead_job()
    body = {"error_code": "time_limit", "queue": "bulk", "created_from": "2026-01-01T00:00:00Z"}
    assert body_of(await admin.post("/api/admin/jobs/retry", json=body), 200) == {"retried": 3, "more": False}
    assert body_of(await admin.post("/api/admin/jobs/retry", json=body), 200) == {"retried": 0, "more": False}


@pytest.mark.parametrize(
    "body",
    [{}, {"queue": None}, {"queue": "gone"}, {"state": "dead"}, {"kind": ""}, {"kind": "  "}, {"caller_id": 0},
     {"created_from": "2026-01-01T00:00:00"}, {"created_from": 0.5}, {"created_to": "0001-01-01T00:00:00+01:00"}, {"text": "x" * 201}, [], {"error_code": 5}],
)  # fmt: skip
async def test_a_filter_that_says_nothing_retries_nothing(admin: httpx.AsyncClient, body: Any):
    await a_dead_job()
    before = await everything()
    problem_of(await admin.post("/api/admin/jobs/retry", json=body), 422, "invalid")
    assert await everything() == before


async def test_no_body_at_all_is_refused_in_words(admin: httpx.AsyncClient):
    refused = problem_of(await admin.post("/api/admin/jobs/retry"), 422, "invalid")
    assert refused["errors"] == [{"field": "", "message": "Send a JSON object."}]


async def test_queues_are_paused_shown_and_resumed(admin: httpx.AsyncClient):
    path = "/api/admin/queues"
    assert body_of(await admin.post(f"{path}/mail/pause", json={"reason": "SES"}), 200) == {
        "queue": "mail", "paused": True, "changed": True,
    }  # fmt: skip
    assert not body_of(await admin.post(f"{path}/mail/pause", json={"reason": "SES"}), 200)["changed"]
    (mail,) = [one for one in body_of(await admin.get(path), 200) if one["name"] == "mail"]
    assert (mail["pause"]["reason"], mail["waiting"], mail["run"]["p95_s"], len(mail["series"])) == ("SES", 0, None, 59)
    assert mail["workers"] == 0
    assert body_of(await admin.post(f"{path}/mail/resume"), 200) == {"queue": "mail", "paused": False, "changed": True}
    problem_of(await admin.post(f"{path}/gone/pause", json={"reason": "x"}), 404, "not_found")
    problem_of(await admin.post(f"{path}/mail/pause", json={"reason": ""}), 422, "invalid")
    problem_of(await admin.post(f"{path}/mail/pause"), 422, "invalid")


async def test_workers_and_the_schedule_are_lists(admin: httpx.AsyncClient):
    await guard.rows("insert into workers (id, host) values ($1, 'box')", ID)
    await guard.rows("insert into schedules values ('sweep', 'escrow.sweep', 60, 'latest', null, null, now())")
    (worker,) = body_of(await admin.get("/api/admin/workers"), 200)
    assert (worker["id"], worker["host"], worker["running"]) == (str(ID), "box", [])
    (slot,) = body_of(await admin.get("/api/admin/schedule"), 200)
    assert (slot["name"], slot["every_s"], slot["last_slot"]) == ("sweep", 60, None)
