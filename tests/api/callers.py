"""People of the factories as callers of the API: a session each, and no password to hash."""

from decimal import Decimal
from typing import Any, Final

import httpx
import msgspec
from litestar import Litestar

from models import guard, sessions
from models.accounts import Person
from wire.tokens import Tokens

BASE: Final = "http://testserver"

_decoder: Final = msgspec.json.Decoder(float_hook=Decimal)


def anonymous(app: Litestar) -> httpx.AsyncClient:
    """Somebody who does not say who they are."""
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=transport, base_url=BASE)


async def calling(app: Litestar, person: Person) -> httpx.AsyncClient:
    """This person with a session of their own."""
    begun = await guard.commit(sessions.begin, person.id, person.role, user_agent="tests", ip_address="127.0.0.1")
    tokens: Tokens = app.state.tokens
    made = anonymous(app)
    made.headers["Authorization"] = f"Bearer {tokens.issue_access(person.id, person.role, begun.session_id)}"
    return made


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
