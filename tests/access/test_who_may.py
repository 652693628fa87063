"""Every route, asked by everybody: the exact status of the table, and after a refusal or a reading not one row moved."""

import re
from typing import Any, Final

import httpx
import pytest
from litestar import Litestar

from models import guard
from tests.access.requests import REQUESTS, request_for
from tests.access.who_may import WHO_MAY, Line, Who
from tests.access.world import World
from tests.api.callers import BASE
from wire.tokens import Tokens

MOVES_BY_ITSELF: Final = {
    "throttles": "an attempt is counted whether it is refused or not: that is its purpose",
    "security_events": "a refused proof is noted for its owner",
    "process_metrics": "a process writes its counters whether anybody asks or not",
}
"""Tables that a refusal may change, or that change without being asked, and why."""
OUTSIDE_THE_DOCUMENT: Final = re.compile(
    r"/(admin|api/(docs|redoc|openapi\.json))?(/.*)?|/payouts|/verify-email|/reset-password"
)
"""Pages for people and their files. They are tried by tests of their own; whatever else is hidden is in the table."""
CHANGING: Final = ("POST", "PUT", "PATCH", "DELETE")
ALONE: Final = {
    "POST /api/auth/logout",
    "POST /api/auth/change-password",
    "POST /api/auth/2fa/confirm",
    "POST /api/auth/2fa/disable",
    "POST /api/security/mfa/send",
    "DELETE /api/security/mfa/methods/{factor_id}",
    "POST /api/security/webauthn/register/finish",
    "POST /api/users/me/deactivate",
    "DELETE /api/users/me",
}
"""Routes that end the session or the account they are called with, or change factors: each has a world of its own."""


def changes(who: Who, line: Line) -> bool:
    return line.method in CHANGING and line.statuses[who] < 300


APART: Final = [
    pytest.param(line, who, id=f"{who}: {line.route}")
    for line in WHO_MAY
    for who in Who
    if line.route in ALONE and changes(who, line)
]

# How many rows a table has, and a sum over all they hold, whatever their order.
SUM: Final = (
    "select {name!r} as name, count(*) || ':' || coalesce(sum(hashtextextended(t::text, 0)), 0) as sum from {name} t"
)


async def sums() -> dict[str, str]:
    """Of every table but those that move by themselves."""
    tables = await guard.rows(
        """select c.oid::regclass::text as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
            where n.nspname = 'public' and c.relkind in ('r', 'p') and not c.relispartition"""
    )
    names = {one["name"].strip('"') for one in tables} - set(MOVES_BY_ITSELF)
    found = await guard.rows(" union all ".join(SUM.format(name=name) for name in sorted(names)))
    return {one["name"]: one["sum"] for one in found}


async def ask(app: Litestar, world: World, line: Line, who: Who) -> httpx.Response:
    tokens: Tokens = app.state.tokens
    asked = request_for(line.route, world, tokens)
    headers = {"Prefer": "respond-async", **asked.headers}
    if asked.body is not None:
        headers["Content-Type"] = "application/json"
    if who is not Who.ANONYMOUS:
        person, session = world.people[who], world.sessions[who]
        headers["Authorization"] = f"Bearer {tokens.issue_access(person.id, person.role, session.session_id)}"
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url=BASE, headers=headers) as caller:
        path = line.path.format(**asked.path)
        return await caller.request(line.method, path, params=asked.query, content=asked.content)


def routes(app: Litestar) -> set[str]:
    """Every route there is, as OpenAPI writes it, but for pages and their files."""
    found, known = set(), documented(app)
    for one in app.routes:
        path = re.sub(r"\{(\w+):\w+\}", r"{\1}", one.path)
        if path in known or not OUTSIDE_THE_DOCUMENT.fullmatch(path):
            found |= {f"{method} {path}" for method in one.methods - {"OPTIONS", "HEAD"}}  # type: ignore[operator]
    return found


def documented(app: Litestar) -> dict[str, Any]:
    return app.openapi_schema.to_schema()["paths"]  # type: ignore[no-any-return]


def test_every_route_has_a_line_and_every_line_a_route(app: Litestar):
    in_document = {f"{m.upper()} {path}" for path, methods in documented(app).items() for m in methods}
    listed = [line.route for line in WHO_MAY]
    assert len(listed) == len(set(listed))
    assert sorted(routes(app)) == sorted(listed)
    assert in_document <= set(listed)
    assert set(REQUESTS) <= set(listed)


async def test_refusals_and_readings_move_no_row(app: Litestar, world: World, subtests: pytest.Subtests):
    before = await sums()
    assert before.keys().isdisjoint(MOVES_BY_ITSELF)
    assert before.keys() >= {"users", "sessions", "projects", "journals", "postings", "jobs", "mails", "audit_log"}
    for line in WHO_MAY:
        for who in Who:
            if changes(who, line):
                continue
            with subtests.test(f"{who}: {line.route}"):
                answer = await ask(app, world, line, who)
                assert answer.status_code == line.statuses[who], answer.text
                after = await sums()
                moved, before = {name for name in after if after[name] != before[name]}, after
                assert moved == set()


@pytest.mark.parametrize("who", Who)
async def test_who_may_does(app: Litestar, world: World, who: Who, subtests: pytest.Subtests):
    # What is refused is held to rows that stand still above; here each route has things of its own to change.
    for line in WHO_MAY:
        if changes(who, line) and line.route not in ALONE:
            with subtests.test(line.route):
                answer = await ask(app, world, line, who)
                assert answer.status_code == line.statuses[who], answer.text


@pytest.mark.parametrize(("line", "who"), APART)
async def test_who_may_leaves(app: Litestar, world: World, line: Line, who: Who):
    answer = await ask(app, world, line, who)
    assert answer.status_code == line.statuses[who], answer.text


async def test_a_row_that_moves_is_seen(database: str, world: World):
    before = await sums()
    await guard.rows("update projects set title = title || '.' where id = $1", world.draft)
    after = await sums()
    assert [name for name in after if after[name] != before[name]] == ["projects"]
