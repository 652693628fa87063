"""Whether the service lives and is ready, and what a browser must know before it signs in."""

import asyncio
from typing import Any, Final, Literal

import msgspec
from litestar import Request, Router, get

from api.answers import Answer
from api.auth import ANYBODY, PUBLIC
from api.limits import UNLIMITED
from models import guard
from models.money import EXPONENTS
from settings import Settings
from wire.redis import AWAY, connect

PROBE_S: Final = 1.0
"""A probe that takes longer has failed: whoever asks will not wait for it."""
RETRY_AFTER_S: Final = 2

Standing = Literal["connected", "degraded", "unavailable", "unknown"]


class Live(msgspec.Struct, frozen=True):
    """The process answers."""

    status: str = "alive"


class Services(msgspec.Struct, frozen=True):
    """What we depend on. `unknown`: nobody looked. The payment provider is not probed; its failures show in jobs."""

    database: Standing
    cache: Standing
    payment_provider: Standing


class Ready(msgspec.Struct, frozen=True):
    """`healthy`, `degraded` (slower, but nothing is refused) or `unhealthy` (no request can be served)."""

    status: Literal["healthy", "degraded", "unhealthy"]
    services: Services
    release: str


class Config(msgspec.Struct, frozen=True):
    """What a browser must know: public keys and addresses, never a secret."""

    environment: str
    release: str
    stripe_publishable_key: str
    api_url: str
    realtime_url: str
    frontend_url: str
    socketio_transports: tuple[str, ...]
    currencies: tuple[str, ...]


@get("/health/live", opt=PUBLIC | UNLIMITED, security=ANYBODY)
async def live() -> Live:
    """Whether the process answers; looks at nothing else."""
    return Live()


@get("/health/ready", opt=PUBLIC | UNLIMITED, security=ANYBODY)
async def ready(request: Request[Any, Any, Any]) -> Answer[Ready]:
    """Whether requests can be served. 503 without PostgreSQL; without Redis 200 and `degraded`."""
    chosen: Settings = request.app.state.settings
    database, cache = await asyncio.gather(_database(), _cache(chosen.redis.url))
    services = Services(database, cache, "unknown")
    if database != "connected":
        body = Ready("unhealthy", services, chosen.release)
        return Answer(body, status_code=503, headers={"Retry-After": str(RETRY_AFTER_S)})
    return Answer(Ready("healthy" if cache == "connected" else "degraded", services, chosen.release))


async def _database() -> Standing:
    try:
        async with asyncio.timeout(PROBE_S):
            await guard.value("select 1")
    except guard.LOST_CONNECTION:
        return "unavailable"
    return "connected"


async def _cache(url: str) -> Standing:
    client = connect(url, socket_timeout_s=PROBE_S, single=True)
    try:
        await client.ping()
    except AWAY:
        return "degraded"
    finally:
        await client.aclose()
    return "connected"


@get("/config", opt=dict(PUBLIC), security=ANYBODY)
async def config(request: Request[Any, Any, Any]) -> Config:
    """What a web app needs before anybody signs in."""
    chosen: Settings = request.app.state.settings
    return Config(
        environment=chosen.environment,
        release=chosen.release,
        stripe_publishable_key=chosen.stripe.publishable_key,
        api_url=chosen.web.public_url,
        realtime_url=chosen.web.realtime_public_url,
        frontend_url=chosen.web.frontend_url,
        socketio_transports=chosen.web.socketio_transports,
        currencies=tuple(sorted(EXPONENTS)),
    )


router = Router("/api", route_handlers=[live, ready, config], tags=["health"])
