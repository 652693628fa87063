"""The composition root of the API: settings in, one ASGI application out."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final
from uuid import UUID

from litestar import Litestar
from litestar.config.cors import CORSConfig
from litestar.datastructures import State
from litestar.di import Provide
from litestar.middleware import DefineMiddleware

import settings
from api import (
    accounts,
    blocks,
    catalogue,
    contracts,
    conversations,
    counter_offers,
    disputes,
    documentation,
    escrow,
    factors,
    favorites,
    freelancers,
    health,
    invitations,
    invoices,
    jobs,
    link_pages,
    messages,
    metrics,
    milestones,
    notifications,
    passkeys,
    passwords,
    portfolio,
    preferences,
    projects,
    proposals,
    refund_requests,
    reviews,
    saved_searches,
    sessions,
    sign_in,
    stripe,
    support,
    time_entries,
    two_factor,
    uploads,
    users,
    webhooks,
)
from api.admin import audit as admin_audit
from api.admin import jobs as admin_jobs
from api.admin import pages as admin_pages
from api.admin import people as admin_people
from api.answers import Answer, Question, tell_methods
from api.auth import Authentication, provide_caller, see_declared
from api.idempotency import provide_once, refuse_keys, tell_replayed
from api.limits import Limiting
from api.metrics import Scrape
from api.problems import EXCEPTION_HANDLERS
from api.requests import MAX_BODY_BYTES, Application, refuse_other_media
from api.standing import Standing
from api.waiting import ENDED, Waiting
from models import guard
from models.queue.views import read_many
from settings import Settings
from wire import logs
from wire.bell import Bell
from wire.limits import Limiter
from wire.metrics import Web, new_registry
from wire.notices import Notices
from wire.places import Places
from wire.redis import Names
from wire.tokens import Tokens

ROUTERS: Final = (
    accounts.router,
    admin_audit.router,
    admin_jobs.router,
    admin_pages.router,
    admin_people.router,
    blocks.router,
    catalogue.router,
    contracts.router,
    conversations.router,
    counter_offers.router,
    disputes.router,
    documentation.pages,
    documentation.router,
    escrow.router,
    factors.router,
    favorites.router,
    freelancers.router,
    health.router,
    invoices.router,
    invitations.router,
    jobs.router,
    link_pages.pages,
    messages.router,
    metrics.pages,
    metrics.router,
    milestones.router,
    notifications.router,
    passkeys.router,
    passwords.router,
    preferences.router,
    portfolio.router,
    projects.router,
    proposals.router,
    reviews.router,
    saved_searches.links,
    saved_searches.router,
    refund_requests.router,
    sign_in.router,
    sessions.router,
    stripe.router,
    support.router,
    time_entries.router,
    two_factor.router,
    uploads.router,
    users.router,
    webhooks.router,
)

STATEMENT_LIMIT_S: Final = 5.0
"""What a caller waits for is milliseconds; past this the answer is a 503 and the connection is somebody else's."""

EXPOSED_HEADERS: Final = [
    "Location",
    "Retry-After",
    "RateLimit-Limit",
    "RateLimit-Remaining",
    "RateLimit-Reset",
    "X-Request-ID",
    "Idempotent-Replayed",
    "Preference-Applied",
]
ALLOWED_HEADERS: Final = ["Authorization", "Content-Type", "Idempotency-Key", "Prefer", "X-Request-ID"]


async def _ended(job_ids: Sequence[UUID]) -> Iterable[UUID]:
    """Which of these jobs have ended: what Notices reads while Redis is away."""
    return [job.id for job in await read_many(list(job_ids)) if job.status in ENDED]


def _life(
    chosen: Settings, counted: Web, scraped: Scrape, standing: Standing, limiter: Limiter
) -> Callable[[Litestar], AbstractAsyncContextManager[None]]:
    """What lives as long as the application: the pool, the bell, the notices, what is believed of callers."""
    names = Names(chosen.redis.prefix)

    @asynccontextmanager
    async def life(app: Litestar) -> AsyncIterator[None]:
        # A test opens the pool on its own loop before it starts the application, and keeps it.
        ours = guard.engine().pool is None
        if ours:
            await guard.open_pool(max_size=chosen.database.pool_size, statement_limit_s=STATEMENT_LIMIT_S)
        bell, notices = Bell(chosen.redis.url, names), Notices(chosen.redis.url, names, _ended)
        guard.hang_bell(lambda rung: bell(standing.rung(rung)))
        await notices.open()
        app.state.waiting = Waiting(notices, chosen.web.job_wait_s, counted)
        reporting = asyncio.create_task(scraped.report_forever())
        watching = asyncio.create_task(standing.watch_forever())
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.wait([watching])
            await scraped.leave(reporting)
            await limiter.close()
            await notices.close()
            guard.hang_bell(lambda _: None)
            await bell.close()
            if ours:
                await guard.close_pool()

    return life


def create_app() -> Litestar:
    """The API, as the process' settings want it."""
    chosen = settings.load()
    logs.set_up(json=chosen.environment == settings.PRODUCTION, process="web")
    keys = chosen.tokens
    tokens = Tokens(keys.key, keys.old_keys, algorithm=keys.algorithm, access_minutes=keys.access_minutes)
    registry = new_registry()
    counted = Web(registry)
    scraped = Scrape(registry, chosen)
    standing, limiter = Standing(), Limiter(chosen.redis.url, Names(chosen.redis.prefix))
    limiting = Limiting(chosen.limits, limiter, counted)
    app = Application(
        route_handlers=ROUTERS,
        lifespan=[_life(chosen, counted, scraped, standing, limiter)],
        state=State(
            {
                "settings": chosen,
                "tokens": tokens,
                "scraped": scraped,
                "standing": standing,
                "places": Places(chosen.geoip_database),
            }
        ),
        dependencies={"caller": Provide(provide_caller), "once": Provide(provide_once)},
        guards=[refuse_keys],
        before_send=[tell_replayed, tell_methods],
        middleware=[DefineMiddleware(Authentication, tokens=tokens, standing=standing, limiting=limiting)],
        exception_handlers=EXCEPTION_HANDLERS,
        before_request=refuse_other_media,
        request_max_body_size=MAX_BODY_BYTES,
        request_class=Question,
        response_class=Answer,
        cors_config=_cors(chosen.web.cors_origins),
        openapi_config=documentation.openapi(chosen.release),
        plugins=[documentation.DecimalsAreNumbers()],
        logging_config=None,
        debug=False,
    )
    see_declared(app.routes)
    limiting.check(app.routes)
    app.counted = counted.requests
    app.hsts = chosen.web.public_url.startswith("https://")
    return app


def _cors(origins: Sequence[str]) -> CORSConfig | None:
    """Browsers of these origins may call us. No cookies: who asks is said by a header that pages must add."""
    if not origins:
        return None
    methods: Any = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    return CORSConfig(
        allow_origins=list(origins),
        allow_methods=methods,
        allow_headers=list(ALLOWED_HEADERS),
        expose_headers=list(EXPOSED_HEADERS),
        max_age=600,
    )
