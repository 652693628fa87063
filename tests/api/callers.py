"""People of the factories as callers of the API: a session each, and no password to hash."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, Final

import httpx
import msgspec
from litestar import Litestar

from models import guard, sessions
from models.accounts import Person, Role
from wire.tokens import Tokens

BASE: Final = "http://testserver"

_decoder: Final = msgspec.json.Decoder(float_hook=Decimal)


def anonymous(app: Litestar) -> httpx.AsyncClient:
    """Somebody who does not say who they are."""
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=transport, base_url=BASE)


@asynccontextmanager
async def living(app: Litestar) -> AsyncIterator[Litestar]:
    """The application, running while inside. In a task of its own: a lifespan must end in the task it began in."""
    started, over = asyncio.Event(), asyncio.Event()

    async def live() -> None:
        async with app.lifespan():
            started.set()
            await over.wait()

    life = asyncio.create_task(live())
    await asyncio.wait({life, asyncio.create_task(started.wait())}, return_when=asyncio.FIRST_COMPLETED)
    if life.done():
        life.result()
    try:
        yield app
    finally:
        over.set()
        await life


async def calling(app: Litestar, person: Person) -> httpx.AsyncClient:
    """This person with a session of their own; admins have proved their second factor in it."""
    begun = await guard.commit(sessions.begin, person.id, person.role, proved=person.role is Role.ADMIN)
    tokens: Tokens = app.state.tokens
    made = anonymous(app)
    made.headers["Authorization"] = f"Bearer {tokens.issue_access(person.id, person.role, begun.session_id)}"
    return made


async def make_admin(user_id: int) -> None:
    """Make an admin of somebody who is signed in, as if they had proved a second factor in every session."""

    async def change() -> None:
        await guard.rows("update users set role = 'admin' where id = $1", user_id)
        await guard.rows('update sessions set proved_at = now() where "user" = $1', user_id)
        sessions.standing_changed()

    await guard.commit(change)


def body_of(answer: httpx.Response, status: int) -> Any:
    """The answer's JSON with its decimals exact, once the status is the one expected."""
    assert answer.status_code == status, (answer.status_code, answer.text)
    return _decoder.decode(answer.content)


def problem_of(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The answer's problem, once status and code are the ones expected."""
    found: dict[str, Any] = body_of(answer, status)
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert found["code"] == code, found
    return found
