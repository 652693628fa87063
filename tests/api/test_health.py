"""Alive, ready, and honest about what is missing."""

import time

import pytest
from litestar import Litestar
from msgspec.structs import replace

from models import guard
from tests.api.conftest import Client

NOWHERE = "redis://127.0.0.1:9"


def lose_redis(app: Litestar) -> None:
    settings = app.state.settings
    app.state.settings = replace(settings, redis=replace(settings.redis, url=NOWHERE))


async def lose_postgres(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object) -> None:
        raise ConnectionRefusedError("no server")

    monkeypatch.setattr(guard, "rows", refuse)


async def test_a_process_that_answers_is_alive(client: Client, monkeypatch: pytest.MonkeyPatch):
    await lose_postgres(monkeypatch)
    response = await client.get("/api/health/live")
    assert (response.status_code, response.json()) == (200, {"status": "alive"})


async def test_ready_answers_the_sources_body(client: Client):
    response = await client.get("/api/health/ready")
    assert response.status_code == 200
    assert response.json() == {
        "status": "healthy",
        "services": {"database": "connected", "cache": "connected", "payment_provider": "unknown"},
        "release": "",
    }


async def test_without_redis_we_are_degraded_and_serve(client: Client, app: Litestar):
    lose_redis(app)
    response = await client.get("/api/health/ready")
    assert response.status_code == 200
    assert (response.json()["status"], response.json()["services"]["cache"]) == ("degraded", "degraded")


async def test_without_postgres_we_are_not_ready(client: Client, monkeypatch: pytest.MonkeyPatch):
    await lose_postgres(monkeypatch)
    response = await client.get("/api/health/ready")
    assert (response.status_code, response.json()["status"]) == (503, "unhealthy")
    assert response.json()["services"]["database"] == "unavailable"
    assert int(response.headers["retry-after"]) > 0


async def test_a_stalled_database_is_not_waited_for(client: Client, monkeypatch: pytest.MonkeyPatch):
    import asyncio

    async def stall(*_: object) -> None:
        await asyncio.sleep(30)

    monkeypatch.setattr(guard, "rows", stall)
    began = time.perf_counter()
    assert (await client.get("/api/health/ready")).status_code == 503
    assert time.perf_counter() - began < 3


async def test_probes_are_logged_only_when_they_fail(
    client: Client, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    await client.get("/api/health/ready")
    assert not [one for one in caplog.records if one.name == "api.access"]
    await lose_postgres(monkeypatch)
    await client.get("/api/health/ready")
    assert [one for one in caplog.records if one.name == "api.access"]
