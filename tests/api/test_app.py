"""The application's own life: what it opens it closes, and what it was given it leaves."""

import asyncio
from typing import Any

import httpx
import pytest

from models import guard
from tests.api.conftest import create_app


class Server:
    """As much of an ASGI server as a lifespan needs."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.from_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.life: asyncio.Task[None] | None = None

    async def start(self) -> str:
        self.life = asyncio.create_task(self.app({"type": "lifespan"}, self.to_app.get, self.from_app.put))
        await self.to_app.put({"type": "lifespan.startup"})
        return str((await self.from_app.get())["type"])

    async def stop(self) -> str:
        assert self.life is not None
        await self.to_app.put({"type": "lifespan.shutdown"})
        said = str((await self.from_app.get())["type"])
        await self.life
        return said


async def test_a_server_starts_and_stops_it_with_a_pool_of_its_own(database: str):
    await guard.close_pool()
    app = create_app()
    server = Server(app)
    assert await server.start() == "lifespan.startup.complete"
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://t") as client:  # type: ignore[arg-type]
        assert (await client.get("/api/health/ready")).status_code == 200
    assert await server.stop() == "lifespan.shutdown.complete"
    assert guard.engine().pool is None


async def test_a_pool_it_was_given_stays_open(database: str):
    server = Server(create_app())
    await server.start()
    await server.stop()
    assert await guard.value("select 1") == 1


async def test_behind_https_browsers_are_told_to_stay_there(database: str, monkeypatch: pytest.MonkeyPatch):
    import settings

    monkeypatch.setenv("API_PUBLIC_URL", "https://api.example.com")
    settings.load.cache_clear()
    app = create_app()
    server = Server(app)
    await server.start()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://t") as client:  # type: ignore[arg-type]
        answer = await client.get("/api/health/live")
    assert "max-age=31536000" in answer.headers["strict-transport-security"]
    await server.stop()
    settings.load.cache_clear()


async def test_whoever_waits_learns_from_the_rows_while_redis_is_away(database: str, monkeypatch: pytest.MonkeyPatch):
    import settings
    from models import outbox
    from models.jobs import SendMail

    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:9")
    settings.load.cache_clear()
    app = create_app()
    server = Server(app)
    await server.start()
    job_id = (await guard.commit(outbox.enqueue, SendMail(mail_id=1))).job_id
    ended = app.state.waiting.notices.register(job_id)
    await asyncio.sleep(0.3)
    assert not ended.done()
    await guard.rows("delete from job_live")
    await guard.rows("update jobs set status = 2, finished_at = now()")
    await asyncio.wait_for(ended, 2)
    await server.stop()
    settings.load.cache_clear()
