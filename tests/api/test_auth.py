"""Every route says who may call it, admins have a second factor, and a service that forgot to say so does not start."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest
from litestar import Litestar, Router, WebSocket, get, post, websocket
from litestar.params import FromPath
from litestar.types import Guard

from api.app import ROUTERS
from api.auth import FRESH, PUBLIC, Asking, Caller, role, signed_in, verified
from models import guard, sessions
from models.accounts import Person, Role
from tests import factories
from tests.api.callers import anonymous, body_of, calling, living, problem_of
from tests.api.conftest import Client, create_app


@get("/admins", guards=[role(Role.ADMIN)])
async def admins_only(caller: Asking) -> bool:
    return caller.admin


@get("/both", guards=[role(Role.ADMIN, Role.CLIENT)])
async def admins_and_clients(caller: Asking) -> bool:
    return caller.admin


@get("/all", guards=[signed_in])
async def everybody(caller: Asking) -> bool:
    return caller.admin


@get("/verified", guards=[signed_in, verified])
async def verified_only() -> bool:
    return True


@get("/fresh", guards=[signed_in], opt=dict(FRESH))
async def fresh(caller: Asking) -> int:
    return caller.id


@pytest.fixture
async def app(database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Litestar]:
    guarded = Router("/guarded", route_handlers=[admins_only, admins_and_clients, everybody, fresh, verified_only])
    monkeypatch.setattr("api.app.ROUTERS", (*ROUTERS, guarded))
    async with living(create_app()) as made:
        yield made


async def unproved(app: Litestar, person: Person) -> httpx.AsyncClient:
    """This person in a session that a password alone opened."""
    begun = await guard.commit(sessions.begin, person.id, person.role)
    made = anonymous(app)
    access = app.state.tokens.issue_access(person.id, person.role, begun.session_id)
    made.headers["Authorization"] = f"Bearer {access}"
    return made


async def test_an_admin_without_a_second_factor_is_sent_for_it(app: Litestar):
    admin = await factories.an_admin()
    client, proved = await unproved(app, admin), await calling(app, admin)
    for path in ("/guarded/admins", "/guarded/both", "/api/admin/jobs", "/api/metrics"):
        problem_of(await client.get(path), 403, "second_factor_required")
        assert (await proved.get(path)).status_code == 200


async def test_behind_a_door_for_all_an_admin_without_a_second_factor_is_nobody_special(app: Litestar):
    admin = await factories.an_admin()
    assert body_of(await (await unproved(app, admin)).get("/guarded/all"), 200) is False
    assert body_of(await (await calling(app, admin)).get("/guarded/all"), 200) is True


async def test_a_role_that_is_not_named_is_refused_whatever_it_proved(app: Litestar):
    freelancer = await calling(app, await factories.a_freelancer())
    said = problem_of(await freelancer.get("/guarded/both"), 403, "role_not_allowed")
    assert said["detail"] == "This is for admins and clients only."
    client = await calling(app, await factories.a_client())
    assert body_of(await client.get("/guarded/both"), 200) is False
    problem_of(await client.get("/guarded/admins"), 403, "role_not_allowed")


async def test_without_a_token_no_guard_is_asked(app: Litestar, client: Client):
    for path in ("/guarded/admins", "/guarded/both", "/guarded/all", "/guarded/fresh"):
        problem_of(await client.get(path), 401, "token_invalid")
        assert (await client.options(path)).status_code == 204
    assert (await client.options("/api/notifications")).status_code == 204, "its router's guard is not asked either"


@pytest.mark.parametrize("sent", ["Basic abc", "Bearer", "Bearer  ", "bearer not.a.token"])
async def test_what_is_no_token_of_ours_is_refused(app: Litestar, client: Client, sent: str):
    problem_of(await client.get("/guarded/all", headers={"Authorization": sent}), 401, "token_invalid")


async def test_a_token_of_somebody_elses_session_is_refused(app: Litestar):
    person, other = await factories.a_client(), await factories.a_client()
    client = await calling(app, person)
    session_id = await guard.value('select id from sessions where "user" = $1', person.id)
    crossed = app.state.tokens.issue_access(other.id, "client", session_id)
    problem_of(await client.get("/guarded/all", headers={"Authorization": f"Bearer {crossed}"}), 401, "token_invalid")


async def test_where_an_address_must_be_verified_the_others_are_told_how(app: Litestar):
    person = await factories.a_client(verified=False)
    client = await calling(app, person)
    problem_of(await client.get("/guarded/verified"), 403, "email_unverified")
    assert (await client.options("/guarded/verified")).status_code == 204

    async def verify() -> None:
        await guard.rows("update users set email_verified_at = now()")
        sessions.standing_changed()

    await guard.commit(verify)
    assert (await client.get("/guarded/verified")).status_code == 200


async def test_where_money_is_shown_a_reader_is_looked_up(app: Litestar):
    person = await factories.a_client()
    client = await calling(app, person)
    assert [(await client.get("/guarded/fresh")).status_code for _ in range(2)] == [200, 200]
    await guard.rows("update sessions set revoked_at = now()")  # in another process: nothing rings here
    problem_of(await client.get("/guarded/fresh"), 401, "token_invalid")


def test_an_admin_is_one_with_a_second_factor_only():
    def caller(known_role: Role, proved_at: datetime | None) -> Caller:
        return Caller(1, known_role, uuid4(), verified=True, proved_at=proved_at)

    now = datetime.now(UTC)
    assert [caller(Role.ADMIN, now).admin, caller(Role.ADMIN, None).admin, caller(Role.CLIENT, now).admin] == [
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("opt", "guards", "how"),
    [
        ({}, [], "neither public nor guarded"),
        ({}, [verified], "neither public nor guarded"),
        (PUBLIC, [signed_in], "both public and guarded"),
    ],
)
def test_a_handler_that_does_not_say_who_may_call_it_stops_the_start(
    database: str, monkeypatch: pytest.MonkeyPatch, opt: dict[str, Any], guards: list[Guard], how: str
):
    @post("/orders/{number:int}", opt=dict(opt), guards=guards)
    async def forgotten(number: FromPath[int]) -> None:
        return None

    monkeypatch.setattr("api.app.ROUTERS", (*ROUTERS, Router("/careless", route_handlers=[forgotten])))
    with pytest.raises(AssertionError, match=rf"POST /careless/orders/\{{number\}} \(forgotten\) is {how}"):
        create_app()


def test_what_is_no_http_route_stops_the_start(database: str, monkeypatch: pytest.MonkeyPatch):
    @websocket("/calls")
    async def calls(socket: WebSocket[Any, Any, Any]) -> None:
        await socket.close()

    monkeypatch.setattr("api.app.ROUTERS", (*ROUTERS, calls))
    with pytest.raises(AssertionError, match="/calls is no HTTP route: nothing guards it"):
        create_app()


def test_a_router_may_say_it_for_its_handlers(database: str, monkeypatch: pytest.MonkeyPatch):
    @get("/mine")
    async def mine() -> None:
        return None

    for said in ({"guards": [signed_in]}, {"opt": dict(PUBLIC)}):
        router = Router("/careful", route_handlers=[mine], **said)  # type: ignore[arg-type]
        monkeypatch.setattr("api.app.ROUTERS", (*ROUTERS, router))
        create_app()
