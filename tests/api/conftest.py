"""The API as its clients meet it: in process, over ASGI, with a real database and a real Redis behind it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from litestar import Litestar

PASSWORD = "SecurePass123!"
Client = httpx.AsyncClient
SignedIn = Callable[..., Awaitable[Client]]


def registration(**changed: Any) -> dict[str, Any]:
    """A registration as the source documents it, with what the test changes."""
    return {
        "email": "user@example.com",
        "password": PASSWORD,
        "first_name": "John",
        "last_name": "Doe",
        "user_type": "freelancer",
        **changed,
    }


def create_app() -> Litestar:
    """The application, not started; imported behind the settings that the fixtures made."""
    from api import app

    return app.create_app()


@pytest.fixture
async def app(database: str) -> AsyncIterator[Litestar]:
    """The running application."""
    made = create_app()
    started, over = asyncio.Event(), asyncio.Event()

    async def live() -> None:
        # A task of its own: a fixture is set up and torn down in different ones, and a lifespan must end where it began.
        async with made.lifespan():
            started.set()
            await over.wait()

    life = asyncio.create_task(live())
    await asyncio.wait({life, asyncio.create_task(started.wait())}, return_when=asyncio.FIRST_COMPLETED)
    if life.done():
        life.result()
    yield made
    over.set()
    await life


def _client(app: Litestar, **headers: str) -> Client:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=transport, base_url="http://testserver", headers=headers)


@pytest.fixture
async def client(app: Litestar) -> AsyncIterator[Client]:
    """Somebody we do not know."""
    async with _client(app) as made:
        yield made


@pytest.fixture
async def signed_in(app: Litestar, client: Client) -> AsyncIterator[SignedIn]:
    """Makes clients who have registered and signed in; `.tokens` and `.me` are what they were answered."""
    made: list[Client] = []

    async def sign_in(**changed: Any) -> Client:
        body = registration(**{"email": f"user{len(made)}@example.com", **changed})
        me = (await client.post("/api/auth/register", json=body)).json()
        known = {"email": body["email"], "password": body["password"]}
        tokens = (await client.post("/api/auth/login", json=known)).json()
        one = _client(app, Authorization=f"Bearer {tokens['access_token']}")
        one.tokens, one.me = tokens, me  # type: ignore[attr-defined]
        made.append(one)
        return one

    yield sign_in
    for one in made:
        await one.aclose()
