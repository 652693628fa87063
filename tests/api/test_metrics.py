"""`/metrics`: every process in one answer that Prometheus can read, for those who may, also without PostgreSQL."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from litestar import Litestar
from msgspec.structs import replace
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from api.metrics import Scrape
from models import guard, metrics, outbox
from models.jobs import SendMail
from models.metrics import this_process
from models.queue import figures
from settings import Metrics, Settings
from tests import factories
from tests.api.callers import calling, make_admin, problem_of
from tests.api.conftest import Client, SignedIn
from tests.api.test_health import lose_postgres
from wire.metrics import Relay, Requests, new_registry, snapshot

HERE = f"{socket.gethostname()}:{os.getpid()}"


def values(text: str) -> dict[tuple[str, ...], float]:
    """Every line by its name and its labels' values, the instance left out."""
    return {
        (one.name, *(value for label, value in sorted(one.labels.items()) if label != "instance")): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


def families(text: str) -> dict[str, Metric]:
    return {one.name: one for one in text_string_to_metric_families(text)}


def look_anew(app: Litestar) -> None:
    scraped: Scrape = app.state.scraped
    scraped._looked_at = float("-inf")


def allow(app: Litestar, token: str, *, is_open: bool) -> None:
    settings: Settings = app.state.settings
    app.state.settings = replace(settings, metrics=Metrics(token, is_open))


async def until_the_process_has_reported() -> None:
    while not await metrics.read_fresh():  # noqa: ASYNC110  a row that another task of the process writes
        await asyncio.sleep(0.01)


async def test_the_format_is_prometheus_own_and_requests_are_counted_by_template(client: Client):
    await client.get("/api/health/live")
    await client.get("/api/projects/123456")
    await client.get("/nothing/like/it")

    answer = await client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    said = values(answer.text)
    assert said["megilance_http_requests_total", "GET", "web", "/api/health/live", "2xx"] == 1
    assert said["megilance_http_requests_total", "GET", "web", "(none)", "4xx"] == 1
    assert said["megilance_http_request_duration_seconds_count", "GET", "web", "/api/health/live"] == 1
    assert "123456" not in answer.text
    assert "nothing" not in answer.text
    assert said["megilance_database_up",] == 1


async def test_two_paths_of_one_route_are_one_line(client: Client):
    for path in ("/api/jobs/0190b5a0-0000-7000-8000-000000000001", "/api/jobs/0190b5a0-0000-7000-8000-000000000002"):
        assert (await client.get(path)).status_code == 401

    (found,) = families((await client.get("/metrics")).text)["megilance_http_requests"].samples
    assert (found.labels["route"], found.labels["status"], found.value) == ("/api/jobs/{job_id}", "4xx", 2)


async def test_a_process_that_nobody_can_scrape_is_shown_by_its_snapshot(client: Client, app: Litestar):
    await until_the_process_has_reported()
    registry = new_registry()
    counted = Relay(registry)
    counted.relayed.inc(7)
    relay, silent = this_process("relay", "r1"), replace(this_process("clock", "r1"), pid=1)
    await relay.write(guard.rows, snapshot(registry))
    await silent.write(guard.rows, [])
    await guard.rows("update process_metrics set written_at = now() - interval '2 minutes' where role = 'clock'")
    look_anew(app)

    text = (await client.get("/metrics")).text
    said = values(text)
    assert said["megilance_relay_events_total", "relay"] == 7
    assert said["megilance_process_up", "relay"] == 1
    assert said["megilance_process_up", "clock"] == 0
    assert said["megilance_process_up", "web"] == 1
    assert said["megilance_process_snapshot_age_seconds", "clock"] >= 120
    assert {name: said["megilance_processes", name] for name in ("web", "relay", "clock", "worker", "realtime")} == {
        "web": 1, "relay": 1, "clock": 0, "worker": 0, "realtime": 0,
    }  # fmt: skip
    assert said["megilance_processes_expected", "worker"] == 2
    assert [one.labels["instance"] for one in families(text)["megilance_relay_events"].samples] == [HERE]


async def test_every_line_has_bounded_labels(client: Client):
    text = (await client.get("/metrics")).text
    labels = {label for family in families(text).values() for one in family.samples for label in one.labels}
    assert labels <= {"process", "instance", "method", "route", "status", "le", "queue", "state", "outcome", "schedule"}


async def test_the_queues_are_shown_as_they_stand(client: Client, app: Litestar):
    await guard.commit(outbox.enqueue, SendMail(mail_id=1))
    look_anew(app)

    text = (await client.get("/metrics")).text
    said = values(text)
    assert "Counting stops at 25000 " in families(text)["megilance_queue_jobs"].documentation
    assert said["megilance_queue_jobs", "mail", "due"] == 1
    assert said["megilance_queue_jobs", "payments", "due"] == 0
    assert said["megilance_queue_paused", "mail"] == 0
    assert said["megilance_queue_workers", "mail"] == 0
    assert 0 <= said["megilance_queue_oldest_due_seconds", "mail"] < 60
    assert said["megilance_events_unnumbered",] == 0


async def test_many_scrapes_are_one_look_at_the_database(
    client: Client, monkeypatch: pytest.MonkeyPatch, app: Litestar
):
    asked: list[str] = []
    rows: Callable[..., Awaitable[Any]] = guard.rows

    async def counting(sql: str, *args: object) -> Any:
        asked.append(sql)
        return await rows(sql, *args)

    monkeypatch.setattr(metrics.guard, "rows", counting)
    look_anew(app)
    await asyncio.gather(*(client.get("/metrics") for _ in range(10)))
    assert asked.count(metrics.READ) == 1


async def test_without_postgres_the_process_says_what_it_knows(
    client: Client, monkeypatch: pytest.MonkeyPatch, app: Litestar
):
    await lose_postgres(monkeypatch)
    look_anew(app)

    answer = await client.get("/metrics")
    said = values(answer.text)
    assert answer.status_code == 200
    assert said["megilance_database_up",] == 0
    assert "megilance_jobs_awaited" in families(answer.text)
    assert "megilance_queue_jobs" not in families(answer.text)


async def test_a_queue_that_is_too_long_to_count_costs_only_its_figures(
    client: Client, monkeypatch: pytest.MonkeyPatch, app: Litestar
):
    rows: Callable[..., Awaitable[Any]] = guard.rows

    async def slow(sql: str, *args: object) -> Any:
        if sql == figures.DEPTHS:
            raise TimeoutError
        return await rows(sql, *args)

    monkeypatch.setattr(figures, "rows", slow)
    look_anew(app)
    text = (await client.get("/metrics")).text
    assert values(text)["megilance_database_up",] == 1
    assert "megilance_process_up" in families(text)
    assert "megilance_queue_jobs" not in families(text)


async def test_a_token_that_is_set_is_asked_for(client: Client, app: Litestar):
    allow(app, "right-token", is_open=True)

    for wrong in ({}, {"Authorization": "Bearer wrong-token"}, {"Authorization": "right-token"}):
        problem_of(await client.get("/metrics", headers=wrong), 401, "token_invalid")
    assert (await client.get("/metrics", headers={"Authorization": "Bearer right-token"})).status_code == 200


async def test_production_without_a_token_has_no_metrics(client: Client, app: Litestar):
    allow(app, "", is_open=False)

    problem_of(await client.get("/metrics"), 404, "not_found")


async def test_an_admin_sees_four_figures_that_are_true(client: Client, app: Litestar, signed_in: SignedIn):
    person = await signed_in()
    problem_of(await client.get("/api/metrics"), 401, "token_invalid")
    problem_of(await person.get("/api/metrics"), 403, "role_not_allowed")
    await make_admin(person.me["id"])  # type: ignore[attr-defined]

    body = (await person.get("/api/metrics")).json()
    assert (body["total_users"], body["active_sessions"], body["error_rate"]) == (1, 1, 0.0)
    assert body["avg_response_time_ms"] > 0


async def test_our_own_failures_are_the_error_rate(client: Client, app: Litestar, signed_in: SignedIn):
    person = await signed_in()
    await make_admin(person.me["id"])  # type: ignore[attr-defined]
    registry = new_registry()
    elsewhere = Requests(registry)
    for n in range(97):
        elsewhere.answered("GET", "/api/projects", 500 if n < 5 else 200, 0.1)
    elsewhere.answered("GET", "/api/health/ready", 503, 0.1)
    await replace(this_process("web", "r1"), host="elsewhere").write(guard.rows, snapshot(registry))
    look_anew(app)

    # Three answers of this process: registered, signed in, and none of the probe's.
    body = (await person.get("/api/metrics")).json()
    assert body["error_rate"] == round(5 / (97 + 2), 6)


async def test_waiting_for_a_job_is_counted(client: Client, app: Litestar):
    caller = await calling(app, await factories.a_freelancer(payouts_ready=False))
    answer = await caller.post("/api/stripe/accounts", headers={"Prefer": "respond-async"})
    assert answer.status_code == 202

    said = values((await client.get("/metrics")).text)
    assert said["megilance_job_waits_total", "still_running", "web"] == 1
    assert said["megilance_jobs_awaited", "web"] == 0
    await caller.aclose()
