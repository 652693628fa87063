"""Who asks too often is told so, by address or by name, on every route but those that must always answer."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute

import settings
from api.limits import neighbourhood
from models import guard
from tests import factories
from tests.api.callers import BASE, calling, living, problem_of
from tests.api.conftest import create_app
from wire import limits

Limited = Callable[..., Awaitable[Litestar]]
BAD = {"Authorization": "Bearer not.a.token"}
OURS = "http://localhost:3000"
UNLIMITED = {
    "GET /",
    "GET /admin",
    "GET /admin/assets/{name}",
    "GET /api/docs",
    "GET /api/docs/assets/{name}",
    "GET /api/docs/errors",
    "GET /api/health/live",
    "GET /api/health/ready",
    "GET /api/openapi.json",
    "GET /api/openapi.json/openapi.json",
    "GET /api/openapi.json/{path}",
    "GET /api/redoc",
    "GET /metrics",
    "GET /payouts",
    "POST /api/stripe/webhooks",
}


@pytest.fixture
async def limited(database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Limited]:
    """Makes running applications with limits: the defaults, or what the test says."""
    monkeypatch.setattr(limits, "PATIENCE_S", 10.0)  # however busy this machine is
    async with AsyncExitStack() as lives:

        async def make(**said: str) -> Litestar:
            for name in ("RATE_LIMIT_ANONYMOUS", "RATE_LIMIT_USER"):
                monkeypatch.delenv(name)
            for name, value in said.items():
                monkeypatch.setenv(name, value)
            settings.load.cache_clear()
            return await lives.enter_async_context(living(create_app()))

        yield make
    settings.load.cache_clear()


def stranger(app: Litestar, address: str = "192.0.2.1", **headers: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False, client=(address, 1))  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=transport, base_url=BASE, headers=headers)


def said(answer: httpx.Response) -> tuple[str | None, ...]:
    names = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "Retry-After")
    return tuple(answer.headers.get(name) for name in names)


async def statuses(client: httpx.AsyncClient, path: str, times: int, method: str = "GET", **sent: Any) -> list[int]:
    return [(await client.request(method, path, **sent)).status_code for _ in range(times)]


async def test_a_stranger_asks_ten_times_a_minute_by_address_and_route(limited: Limited):
    app = await limited()
    one, other = stranger(app), stranger(app, "192.0.2.2")
    assert said(await one.get("/api/config")) == ("10", "9", "6", None)
    assert await statuses(one, "/api/config", 9) == [200] * 9
    refused = await one.get("/api/config", headers={"Origin": OURS})
    problem = problem_of(refused, 429, "rate_limited")
    assert problem["detail"] == "At most 10 at once here, and then one every 6 s; come back in 6 s."
    assert said(refused) == ("10", "0", "60", "6")
    assert refused.headers["access-control-allow-origin"] == OURS, "the page may read why"
    assert refused.headers["cache-control"] == "no-store"
    assert (await other.get("/api/config")).status_code == 200, "another address"
    assert (await one.post("/api/auth/refresh", json={"refresh_token": "x"})).status_code == 401, "another route"


async def test_errors_say_what_is_left_too(limited: Limited):
    client = stranger(await limited())
    assert said(await client.post("/api/auth/login", json={})) == ("10", "9", "6", None)
    assert said(await client.get("/api/auth/me")) == ("10", "9", "6", None)
    assert said(await client.get("/api/jobs/1", headers=BAD)) == ("10", "9", "6", None)
    assert said(await client.get("/nowhere")) == (None, None, None, None), "what is not there costs nothing"


async def test_a_route_has_a_limit_of_its_own(limited: Limited):
    client = stranger(await limited())
    assert await statuses(client, "/api/auth/register", 6, "POST", json={}) == [422] * 5 + [429]
    assert said(await client.post("/api/auth/register", json={})) == ("5", "0", "3600", "720")


async def test_guessing_tokens_costs_what_a_stranger_has_and_no_caller_anything(limited: Limited):
    app = await limited()
    guesser, caller = stranger(app), await calling(app, await factories.a_client())
    guessing = [
        *await statuses(guesser, "/api/contracts", 5, headers=BAD),
        *await statuses(guesser, "/api/contracts", 6),
    ]
    assert guessing == [401] * 10 + [429]
    answer = await caller.get("/api/contracts")
    assert (answer.status_code, said(answer)) == (200, ("240", "239", "1", None))


async def test_callers_are_counted_by_who_they_are(limited: Limited):
    app = await limited(RATE_LIMIT_USER="3/60")
    one = await calling(app, await factories.a_client())
    other = await calling(app, await factories.a_client())
    assert await statuses(one, "/api/contracts", 4) == [200, 200, 200, 429]
    assert await statuses(other, "/api/contracts", 3) == [200] * 3
    assert await statuses(one, "/api/notifications", 1) == [200]
    ids = [await guard.value("select min(id) from contracts") or 1, 2, 3, 4]
    assert [(await one.get(f"/api/contracts/{n}")).status_code for n in ids] == [404, 404, 404, 429], "one template"


async def test_what_must_always_answer_is_not_limited(limited: Limited):
    app = await limited(RATE_LIMIT_ANONYMOUS="1/60")
    client = stranger(app)
    for path in ("/", "/api/docs", "/api/openapi.json", "/api/health/live", "/metrics", "/admin/sign-in"):
        answers = [await client.get(path) for _ in range(3)]
        assert {(one.status_code < 400, said(one)) for one in answers} == {(True, (None,) * 4)}, path
    assert await statuses(client, "/api/stripe/webhooks", 3, "POST", json={}) == [422] * 3
    assert await statuses(client, "/api/auth/login", 3, "OPTIONS") == [204] * 3


async def test_every_route_is_limited_but_those_listed_here(limited: Limited):
    app = await limited()
    lifted = {
        f"{method} {route.path_format}"
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
        for method in handler.http_methods
        if method != "OPTIONS" and handler.opt.get("unlimited")
    }
    assert {name for name in lifted if not name.split()[1].startswith("/admin/")} == {
        name for name in UNLIMITED if not name.split()[1].startswith("/admin/")
    }
    assert "POST /admin/sign-in" not in lifted


async def test_settings_lift_limits_and_make_exceptions(limited: Limited):
    app = await limited(
        RATE_LIMIT_ANONYMOUS="off",
        RATE_LIMIT_USER="off",
        RATE_LIMITS="GET /api/config=2/60, GET /api/health/live=1/60",
    )
    client, caller = stranger(app), await calling(app, await factories.a_client())
    assert await statuses(client, "/api/config", 3) == [200, 200, 429]
    assert await statuses(client, "/api/health/live", 2) == [200, 429]
    assert await statuses(client, "/api/auth/register", 7, "POST", json={}) == [422] * 7, "its own is lifted too"
    assert said(await caller.get("/api/contracts")) == (None,) * 4


async def test_an_exception_for_no_route_stops_the_start(limited: Limited):
    with pytest.raises(settings.SettingsError, match=r"RATE_LIMITS names no route: POST /api/auth/regist$"):
        await limited(RATE_LIMITS="POST /api/auth/regist=5/60")


async def test_a_proxys_word_is_taken_from_proxies_alone(limited: Limited):
    app = await limited(RATE_LIMIT_ANONYMOUS="1/60", TRUSTED_PROXIES="10.0.0.0/8")
    liar, proxy = stranger(app), stranger(app, "10.0.0.1")
    asked = [
        (await client.get("/api/config", headers={"X-Forwarded-For": chain})).status_code
        for client, chain in (
            (liar, "203.0.113.1"),
            (liar, "203.0.113.2"),
            (proxy, "203.0.113.3"),
            (proxy, "203.0.113.4"),
            (proxy, "1.1.1.1, 203.0.113.4"),
        )
    ]
    assert asked == [200, 429, 200, 200, 429]


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", "unknown"),
        ("testclient", "unknown"),
    ],
)
def test_a_household_is_one_address(address: str, counted: str):
    assert neighbourhood(address) == counted


async def test_the_admins_sign_in_is_limited_and_says_so_on_a_page(limited: Limited):
    client = stranger(await limited(), Origin=BASE)
    form = {"email": "a@example.com", "password": "x", "form_token": "x"}
    assert await statuses(client, "/admin/sign-in", 10, "POST", data=form) == [403] * 10
    refused = await client.post("/admin/sign-in", data=form)
    assert (refused.status_code, said(refused)) == (429, ("10", "0", "60", "6"))
    assert "text/html" in refused.headers["content-type"]
    assert "come back in 6 s" in refused.text


async def test_limits_hold_while_redis_is_away(limited: Limited):
    client = stranger(await limited(REDIS_URL="redis://127.0.0.1:9"))
    assert await statuses(client, "/api/config", 11) == [200] * 10 + [429]


async def test_refusals_are_counted_by_what_was_counted(limited: Limited):
    app = await limited(RATE_LIMIT_ANONYMOUS="1/60", RATE_LIMIT_USER="1/60")
    client, caller = stranger(app), await calling(app, await factories.a_client())
    await statuses(client, "/api/config", 3)
    await statuses(caller, "/api/contracts", 2)
    lines = (await client.get("/metrics")).text.splitlines()
    found = {
        line.split("{")[1].split('"')[1]: float(line.rsplit(" ", 1)[1]) for line in lines if "limited_total{" in line
    }
    assert found == {"address": 2.0, "user": 1.0}


async def test_no_bucket_names_a_mail_address(limited: Limited):
    import redis.asyncio

    client = stranger(await limited())
    await client.post("/api/auth/login", json={"email": "secret@example.com", "password": "x"})
    async with redis.asyncio.Redis.from_url(settings.load().redis.url) as looking:
        keys = [key.decode() for key in await looking.keys("*limit*")]
    assert keys == ["mgl:test:limit:10/60:POST /api/auth/login:ip:192.0.2.1"]
    assert json.dumps(keys).count("@") == 0
