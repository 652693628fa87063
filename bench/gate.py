"""What the gate costs a request: server CPU of token check and rate limit, beside PyJWT's and Litestar's own.

`python -m bench.gate [--rounds 7] [--requests 2000] [--write]`. Each way is an ASGI application with one trivial route,
called in this process: what is counted is the process's CPU time, user and system, so PostgreSQL's and Redis' own is
not in it. Rounds go round-robin, in an order of their own each, so that a busy machine is busy for all. Prints medians
and ranges in microseconds, and last one line of JSON; `--write` writes docs/bench/gate.md.
`MEGILANCE_TEST_DATABASE_URL` and `MEGILANCE_TEST_REDIS_URL` name servers to use.
"""

# ruff: noqa: PLC0415  our modules read the settings as they are imported, and the servers come first
import argparse
import asyncio
import gc
import json
import os
import platform
import random
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import jwt
import redis.asyncio
from litestar import Litestar, get
from litestar.connection import ASGIConnection
from litestar.middleware import DefineMiddleware
from litestar.middleware.rate_limit import RateLimitConfig
from litestar.security.jwt import JWTAuth, Token
from litestar.stores.redis import RedisStore

from tests.conftest import SETTINGS, _renamed
from tests.servers import start_servers

SCRATCH = "bench_gate"
KEY = "0123456789abcdef" * 4
PAGE = Path(__file__).parents[1] / "docs" / "bench" / "gate.md"
WARM_UP = 300
AT_ONCE = 16
Way = Callable[[], Awaitable[None]]


async def receive() -> dict[str, Any]:
    """An empty body."""
    return {"type": "http.request", "body": b"", "more_body": False}


class Caller:
    """Calls one route of an application with one set of headers."""

    def __init__(self, app: Any, token: str | None, status: int = 200) -> None:
        self._app, self._status = app, status
        self._headers = [(b"host", b"localhost")]
        if token is not None:
            self._headers.append((b"authorization", f"Bearer {token}".encode()))

    async def __call__(self) -> None:
        """One request; anything but the status expected is an error."""
        seen = []

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                seen.append(message["status"])

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": "/trivial",
            "raw_path": b"/trivial",
            "query_string": b"",
            "root_path": "",
            "headers": list(self._headers),
            "client": ("192.0.2.1", 1),
            "server": ("localhost", 80),
        }
        await self._app(scope, receive, send)
        assert seen == [self._status], seen


@get("/trivial")
async def trivial() -> dict[str, bool]:
    """As little as a route can do."""
    return {"ok": True}


class Ways:
    """Every way that is compared, by its name. `baseline` of each is what it is the surplus over."""

    def __init__(self, redis_url: str) -> None:
        self._redis_url = redis_url
        self.found: dict[str, Way] = {}
        self._closing: list[Callable[[], Awaitable[Any]]] = []

    async def make(self) -> None:
        """Make them all."""
        self.found["nothing: a bare Litestar route"] = Caller(Litestar([trivial], openapi_config=None), None)
        await self._tokens()
        self._jwt_auth()
        self._limits()

    async def _tokens(self) -> None:
        from api.auth import Authentication, provide_caller, signed_in
        from api.limits import Limiting
        from api.standing import Standing
        from models import guard, sessions
        from models.accounts import Role
        from settings import Limits
        from tests import factories
        from wire.limits import Limiter
        from wire.metrics import Web, new_registry
        from wire.redis import Names
        from wire.tokens import Tokens

        person = await factories.a_client()
        begun = await guard.commit(sessions.begin, person.id, Role.CLIENT)
        tokens = Tokens(KEY)
        access = tokens.issue_access(person.id, "client", begun.session_id)
        limiter = Limiter(self._redis_url, Names("bench:"))
        self._closing.append(limiter.close)

        def ours(standing: Standing, how: Tokens) -> Caller:
            limiting = Limiting(Limits(anonymous=None, user=None, routes={}), limiter, Web(new_registry()))
            guarded = get("/trivial", guards=[signed_in])(trivial.fn)
            made = DefineMiddleware(Authentication, tokens=how, standing=standing, limiting=limiting)
            return Caller(
                Litestar([guarded], middleware=[made], dependencies={"caller": provide_caller}, openapi_config=None),
                access,
            )

        watched = Standing()
        await watched.watch()
        believed = ours(watched, tokens)

        async def kept() -> None:
            # The watcher's own cost is told apart: it is two statements a second, however many requests there are.
            watched._good_at = time.monotonic()  # noqa: SLF001
            await believed()

        class Forgetful(Tokens):
            """Decodes every token anew: a caller's first request with each token."""

            def read_access(self, token: str) -> Any:
                self._known.clear()
                return super().read_access(token)

        fresh = ours(Standing(), tokens)
        self.found["ours: token and standing kept"] = kept
        self.found["ours: token kept, session looked up"] = fresh
        self.found["ours: token decoded, session looked up"] = ours(Standing(), Forgetful(KEY))

        async def watch() -> None:
            await watched.watch()

        self.found["ours: one read of the watcher"] = watch

        async def bare() -> None:
            jwt.decode(access, tokens._keys[tokens._kid], algorithms=["HS256"], audience="megilance-api")  # noqa: SLF001

        self.found["PyJWT: decode alone, no request"] = bare

    def _jwt_auth(self) -> None:
        async def retrieve(token: Token, _: ASGIConnection[Any, Any, Any, Any]) -> Any:
            return token.sub

        auth = JWTAuth[Any](retrieve_user_handler=retrieve, token_secret=KEY)
        app = Litestar([trivial], on_app_init=[auth.on_app_init], openapi_config=None)
        token = auth.create_token(identifier=str(uuid4()))
        self.found["Litestar: JWTAuth, no session asked"] = Caller(app, token)

    def _limits(self) -> None:
        from api.auth import PUBLIC, Authentication
        from api.limits import Limiting
        from api.standing import Standing
        from settings import Limits
        from wire.limits import Limit, Limiter
        from wire.metrics import Web, new_registry
        from wire.places import Places
        from wire.redis import Names
        from wire.tokens import Tokens

        public = get("/trivial", opt=dict(PUBLIC))(trivial.fn)

        def limited(limit: Limit | None, url: str) -> Caller:
            import settings

            limiter = Limiter(url, Names("bench:"))
            self._closing.append(limiter.close)
            limiting = Limiting(Limits(anonymous=limit, user=None, routes={}), limiter, Web(new_registry()))
            made = DefineMiddleware(Authentication, tokens=Tokens(KEY), standing=Standing(), limiting=limiting)
            app = Litestar([public], middleware=[made], openapi_config=None)
            app.state.update({"settings": settings.load(), "places": Places("")})
            return Caller(app, None)

        wide = Limit(1_000_000, 60)
        self.found["no limit, our middleware"] = limited(None, self._redis_url)
        ours = limited(wide, self._redis_url)
        self.found["ours: limit in Redis"] = ours
        self.found["ours: limit in Redis, 16 at once"] = _at_once(ours)
        self.found["ours: limit while Redis is away"] = limited(wide, "redis://127.0.0.1:9")

        client = redis.asyncio.Redis.from_url(self._redis_url)
        self._closing.append(client.aclose)
        config = RateLimitConfig(rate_limit=("minute", 1_000_000), store="limits")
        stored = Caller(
            Litestar(
                [trivial],
                middleware=[config.middleware],
                stores={"limits": RedisStore(client, namespace="bench")},
                openapi_config=None,
            ),
            None,
        )
        self.found["Litestar: RateLimitMiddleware in Redis"] = stored
        self.found["Litestar: RateLimitMiddleware in Redis, 16 at once"] = _at_once(stored)

    async def close(self) -> None:
        """Disconnect."""
        for one in self._closing:
            await one()


def _at_once(one: Way) -> Way:
    async def several() -> None:
        await asyncio.gather(*(one() for _ in range(AT_ONCE)))

    return several


async def spent_us(name: str, way: Way, requests: int) -> float:
    """CPU of this process for each request, in microseconds."""
    calls, each = (requests // AT_ONCE, AT_ONCE) if "at once" in name else (requests, 1)
    gc.collect()
    began = time.process_time()
    for _ in range(calls):
        await way()
    return (time.process_time() - began) / (calls * each) * 1e6


async def measure(redis_url: str, rounds: int, requests: int) -> dict[str, list[float]]:
    """Every way in every round."""
    from models import guard

    await guard.open_pool(max_size=2)
    ways = Ways(redis_url)
    await ways.make()
    found: dict[str, list[float]] = {name: [] for name in ways.found}
    for name, way in ways.found.items():
        await spent_us(name, way, WARM_UP)
    for _ in range(rounds):
        for name in random.sample(list(ways.found), len(ways.found)):
            found[name].append(await spent_us(name, ways.found[name], requests))
    await ways.close()
    await guard.close_pool()
    return found


def table(found: dict[str, list[float]]) -> str:
    """Medians and ranges, as Markdown."""
    lines = ["| way | CPU, µs | lowest to highest |", "|---|---:|---:|"]
    for name, spent in found.items():
        lines.append(f"| {name} | {statistics.median(spent):.0f} | {min(spent):.0f} to {max(spent):.0f} |")
    return "\n".join(lines)


PAGE_TEXT = """# What the gate costs

Written by `python -m bench.gate --write`: {rounds} rounds of {requests:,} requests each, Python {python} on
{machine} with {cores} cores, which others used as well. CPU of the web process for one request to a trivial route,
user and system; PostgreSQL's and Redis' own CPU is not in it.

{table}

What each adds, in µs, by these medians:

| question | ours | Litestar's own |
|---|---:|---:|
| who asks | {kept} when kept, {looked_up} with the session looked up | {jwt_auth}, no session asked |
| how often, one after the other | {ours} | {theirs} |
| how often, {at_once} at once | {ours_at_once} | {theirs_at_once} |

PyJWT's decode alone takes {bare_jwt} µs: we keep what it said of a token, and look at its expiry each time. JWTAuth
believes a token until it expires; ours refuses an ended session at once where something is changed, and within a second
where something is read. The watcher that this rests on reads twice a second, {watcher} µs each, however many requests
there are. RateLimitMiddleware reads a window and writes it back in two steps, so requests at the same moment can pass
together; ours is one script, exact across processes, and what is asked while a call is under way goes together in the
next one.
"""


def page(found: dict[str, list[float]], rounds: int, requests: int) -> str:
    """docs/bench/gate.md."""
    middle = {name: statistics.median(spent) for name, spent in found.items()}
    bare, empty = middle["nothing: a bare Litestar route"], middle["no limit, our middleware"]
    theirs = "Litestar: RateLimitMiddleware in Redis"
    over = {
        "kept": middle["ours: token and standing kept"] - bare,
        "looked_up": middle["ours: token kept, session looked up"] - bare,
        "jwt_auth": middle["Litestar: JWTAuth, no session asked"] - bare,
        "ours": middle["ours: limit in Redis"] - empty,
        "theirs": middle[theirs] - bare,
        "ours_at_once": middle["ours: limit in Redis, 16 at once"] - empty,
        "theirs_at_once": middle[f"{theirs}, 16 at once"] - bare,
        "bare_jwt": middle["PyJWT: decode alone, no request"],
        "watcher": middle["ours: one read of the watcher"],
    }
    return PAGE_TEXT.format(
        rounds=rounds,
        requests=requests,
        python=platform.python_version(),
        machine=platform.machine(),
        cores=os.cpu_count(),
        table=table(found),
        at_once=AT_ONCE,
        **{name: f"{spent:.0f}" for name, spent in over.items()},
    )


async def scratch(url: str, *statements: str) -> None:
    """Run statements on the server."""
    connection = await asyncpg.connect(url)
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


def main() -> None:
    """Start servers, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--requests", type=int, default=2000, help="of each way in a round (2000)")
    parser.add_argument("--write", action="store_true", help="write docs/bench/gate.md")
    chosen = parser.parse_args()
    servers = start_servers()
    url = _renamed(servers.database_url, SCRATCH)
    asyncio.run(scratch(servers.database_url, f"drop database if exists {SCRATCH}", f"create database {SCRATCH}"))
    try:
        os.environ.update(SETTINGS, DATABASE_URL=url, DATABASE_DIRECT_URL=url, REDIS_URL=servers.redis_url)
        from tasks import migrate

        asyncio.run(migrate.migrate(url))
        found = asyncio.run(measure(servers.redis_url, chosen.rounds, chosen.requests))
    finally:
        asyncio.run(scratch(servers.database_url, f"drop database if exists {SCRATCH} with (force)"))
        servers.stop()
    print(table(found))
    if chosen.write:
        PAGE.write_text(page(found, chosen.rounds, chosen.requests), encoding="utf-8")
    print(json.dumps({name: [round(one, 1) for one in spent] for name, spent in found.items()}))


if __name__ == "__main__":
    main()
