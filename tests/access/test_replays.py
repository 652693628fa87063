"""Every POST asked twice with one Idempotency-Key: the second time it is answered from what the first one made."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from litestar import Litestar

from api.idempotency import HEADER, PATHS, REPLAYED
from models import guard
from tests.access.requests import request_for
from tests.access.test_who_may import ALONE, changes
from tests.access.who_may import WHO_MAY, Line, Who
from tests.access.world import World
from tests.api.callers import BASE

EFFECTS = ("notifications", "mails", "jobs", "messages", "audit_log", "timers", "journals")
"""Where a second run of a verb would show."""


@asynccontextmanager
async def calling(app: Litestar, world: World, who: Who, key: str) -> AsyncIterator[httpx.AsyncClient]:
    person, session = world.people[who], world.sessions[who]
    token = app.state.tokens.issue_access(person.id, person.role, session.session_id)
    headers = {"Prefer": "respond-async", "Authorization": f"Bearer {token}", HEADER: key}
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url=BASE, headers=headers) as caller:
        yield caller


def tried() -> list[tuple[Line, Who]]:
    """Each POST that takes keys, with the first who may do it: what strangers may do knows nobody, and so no keys."""
    found = []
    for line in WHO_MAY:
        mighty = [who for who in Who if changes(who, line)]
        alone = line.route in ALONE or line.path.startswith(PATHS)
        if line.method == "POST" and not alone and mighty and Who.ANONYMOUS not in mighty:
            found.append((line, mighty[0]))
    return found


def said(answer: httpx.Response) -> str:
    """An answer but for moments, and but for whether it was this very call that changed something."""
    return re.sub(r"\d{4}-\d\d-\S+|\"changed\":\w+", "", answer.text)


async def counted() -> list[int]:
    return [await guard.value(f"select count(*) from {table}") for table in EFFECTS]


async def test_every_post_that_is_repeated_is_answered_from_what_it_made(
    app: Litestar, database: str, world: World
) -> None:
    wrong, untaken = [], []
    for number, (line, who) in enumerate(tried()):
        asked = request_for(line.route, world, app.state.tokens)
        async with calling(app, world, who, f"once-{number}") as caller:
            sent = {"params": asked.query, "headers": dict(asked.headers), "content": asked.content}
            if asked.content is not None:
                sent["headers"]["Content-Type"] = "application/json"
            path = line.path.format(**asked.path)
            first = await caller.post(path, **sent)
            before = await counted()
            again = await caller.post(path, **sent)
        if first.is_error:
            untaken.append((line.route, who, first.status_code, first.text[:120]))
        elif (again.status_code, again.headers.get(REPLAYED)) != (first.status_code, "true"):
            wrong.append((line.route, who, first.status_code, again.status_code, again.text[:120]))
        elif await counted() != before:
            wrong.append((line.route, who, "it ran twice"))
        elif said(again) != said(first):
            wrong.append((line.route, who, first.text, again.text))
    assert (wrong, untaken) == ([], [])
