"""The only reader of the environment. Every setting has a name here, a line in `.env.example` and a check.

`load()` returns one frozen tree, grouped by who needs it, or raises `SettingsError` naming each variable that is
wrong. In production a missing, weak or sandbox value is wrong.
"""

import os
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from functools import cache
from ipaddress import ip_network
from string import ascii_letters, digits
from typing import Final
from urllib.parse import urlsplit

import msgspec

from wire.budget import Budget, Scale, ScaleError, budget, parse_scale

MIN_SECRET_CHARS: Final = 32
MAX_JOB_WAIT_S: Final = 20
PRODUCTION: Final = "production"
MIN_WEBHOOK_SECRET_CHARS: Final = 30
"""Stripe's have 38: `whsec_` and 32 more."""
GUESSABLE: Final = ("secret", "change", "your-", "password", "example", "megilance", "12345678")


class SettingsError(SystemExit):
    """The environment is wrong; the message names every variable that is."""


class Database(msgspec.Struct, frozen=True):
    """PostgreSQL: `url` may be a transaction pooler, `direct_url` is the server itself."""

    url: str
    direct_url: str
    pool_size: int

    @property
    def is_pooled(self) -> bool:
        """Whether the pool goes through a pooler: that is what an address of its own is for."""
        return self.url != self.direct_url


class Redis(msgspec.Struct, frozen=True):
    """Redis, and the prefix of every key in it."""

    url: str
    prefix: str


class Tokens(msgspec.Struct, frozen=True):
    """What signs tokens and seals secrets at rest. `old_keys` still verify and unseal, and sign nothing."""

    key: str
    old_keys: tuple[str, ...]
    algorithm: str
    access_minutes: int


class Stripe(msgspec.Struct, frozen=True):
    """Card payments. An empty `secret_key`: no card can be charged, and the answers say so."""

    secret_key: str
    publishable_key: str
    webhook_secret: str
    connect_webhook_secret: str
    api_base: str


class Post(msgspec.Struct, frozen=True):
    """Mail through SES. `endpoint` is empty for AWS itself; `per_second` is what the account may send."""

    region: str
    access_key_id: str
    secret_access_key: str
    sender: str
    endpoint: str
    per_second: float


class Web(msgspec.Struct, frozen=True):
    """What browsers see of us."""

    public_url: str
    realtime_public_url: str
    frontend_url: str
    cors_origins: tuple[str, ...]
    trusted_proxies: tuple[str, ...]
    socketio_transports: tuple[str, ...]
    job_wait_s: float


class Fees(msgspec.Struct, frozen=True):
    """What the platform takes, in basis points of the gross amount."""

    platform_bp: int


class Metrics(msgspec.Struct, frozen=True):
    """Who may read `/metrics`: whoever knows `token`, or everybody, or nobody."""

    token: str
    is_open: bool


class Settings(msgspec.Struct, frozen=True):
    """Everything the processes are told."""

    environment: str
    release: str
    drain_s: float
    database: Database
    redis: Redis
    tokens: Tokens
    stripe: Stripe
    post: Post
    web: Web
    fees: Fees
    metrics: Metrics
    scale: dict[str, Scale]
    budget: Budget


class Setting(msgspec.Struct, frozen=True):
    """One variable: its name, its value when unset, and what it is for (the text of `.env.example`)."""

    name: str
    default: str
    about: str


SETTINGS: Final = (
    Setting("ENVIRONMENT", "development", "development, test or production, which refuses weak and sandbox values"),
    Setting("RELEASE", "", "the release's name, shown by workers and health; Heroku's HEROKU_SLUG_COMMIT serves too"),
    Setting("DATABASE_URL", "", "postgresql://…; may be a transaction pooler; unset on a desk: an embedded server"),
    Setting("DATABASE_DIRECT_URL", "", "the server itself, for migrations, relay and sweeps; unset: DATABASE_URL"),
    Setting("DATABASE_POOL_SIZE", "8", "connections of each process' pool, 2 to 32"),
    Setting("DATABASE_CONNECTION_LIMIT", "97", "what the server gives us: 100 less 3 reserved is PostgreSQL's default"),
    Setting("REDIS_URL", "", "redis://… or rediss://…; unset on a desk: an embedded server"),
    Setting("REDIS_CONNECTION_LIMIT", "10000", "Redis' own default; small plans have less, often 20 to 40"),
    Setting("SCALE", "", "programs of each kind in all: web=2,worker=2x4 (x processes); unset: 1 of each"),
    Setting("SECRET_KEY", "", "signs tokens, seals secrets at rest; at least 32 characters"),
    Setting("SECRET_KEYS", "", "earlier SECRET_KEYs, comma-separated: they verify and unseal, and sign nothing"),
    Setting("ALGORITHM", "HS256", "of access and refresh tokens: HS256, HS384 or HS512"),
    Setting("ACCESS_TOKEN_EXPIRE_MINUTES", "30", "life of an access token, 1 to 1440"),
    Setting("STRIPE_SECRET_KEY", "", "sk_test_… or sk_live_…; unset on a desk: the sandbox's"),
    Setting("STRIPE_PUBLISHABLE_KEY", "", "pk_…, handed to browsers by /api/config"),
    Setting("STRIPE_WEBHOOK_SECRET", "", "whsec_… of the account's webhook endpoint"),
    Setting("STRIPE_CONNECT_WEBHOOK_SECRET", "", "whsec_… of the Connect webhook endpoint"),
    Setting("STRIPE_API_BASE", "https://api.stripe.com", "where the Stripe SDK calls; the sandbox's address on a desk"),
    Setting("STRIPE_PLATFORM_FEE_PERCENT", "10.0", "platform fee of new contracts, percent, 0 to 50, two decimals"),
    Setting("AWS_REGION", "us-east-1", "region of SES"),
    Setting("AWS_ACCESS_KEY_ID", "", "unset on a desk: the sandbox's"),
    Setting("AWS_SECRET_ACCESS_KEY", "", "the secret half of the key"),
    Setting("SES_SENDER_EMAIL", "noreply@megilance.com", "the From of every mail"),
    Setting("SES_API_BASE", "", "where the SES SDK calls; unset: AWS; the sandbox's address on a desk"),
    Setting("SES_MAILS_PER_SECOND", "14", "the account's sending rate, which all workers share; 0.1 to 10000"),
    Setting("API_PUBLIC_URL", "http://localhost:8000", "this API as browsers reach it"),
    Setting("REALTIME_PUBLIC_URL", "", "the Socket.IO process as browsers reach it; unset: API_PUBLIC_URL"),
    Setting("FRONTEND_URL", "", "the web app; mailed links lead there; unset: to plain pages of the API"),
    Setting("CORS_ORIGINS", "", "comma-separated origins; unset: FRONTEND_URL's"),
    Setting("TRUSTED_PROXIES", "", "comma-separated addresses or networks whose X-Forwarded-For is believed"),
    Setting("SOCKETIO_TRANSPORTS", "polling,websocket", "websocket alone when realtime is scaled out"),
    Setting("METRICS_TOKEN", "", "bearer token of /metrics; unset: open on a desk, absent in production"),
    Setting("JOB_WAIT_SECONDS", "10", "how long an answer waits for its job before it is a 202; 0 to 20"),
    Setting("DRAIN_SECONDS", "20", "how long running jobs have after SIGTERM; `up` uses 6; 1 to 20"),
)  # fmt: skip


class _Reader:
    """Reads one environment and gathers every complaint before it gives up."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.wrong: list[str] = []
        self.defaults = {one.name: one.default for one in SETTINGS}

    def text(self, name: str) -> str:
        return (self.environ.get(name) or self.defaults[name]).strip()

    def wrongs(self, name: str, why: str) -> None:
        self.wrong.append(f"{name} {why}")

    def number(self, name: str, low: float, high: float) -> float:
        try:
            found = float(self.text(name))
        except ValueError:
            found = low - 1
        if not low <= found <= high:
            self.wrongs(name, f"must be a number from {low:g} to {high:g}")
            return low
        return found

    def url(self, name: str, *schemes: str, required: bool = False) -> str:
        found = self.text(name)
        if not found and not required:
            return ""
        parts = urlsplit(found)
        if (
            any(character.isspace() for character in found)
            or parts.scheme not in schemes
            or not (parts.netloc or parts.path)
        ):
            self.wrongs(name, f"must be an address that begins with {' or '.join(s + '://' for s in schemes)}")
        return found.rstrip("/")

    def words(self, name: str) -> tuple[str, ...]:
        return tuple(word.strip() for word in self.text(name).split(",") if word.strip())

    def networks(self, name: str) -> tuple[str, ...]:
        found = self.words(name)
        for one in found:
            try:
                ip_network(one, strict=False)
            except ValueError:
                self.wrongs(name, f"must name addresses or networks; {one!r} is neither")
        return found

    def basis_points(self, name: str) -> int:
        try:
            found = Decimal(self.text(name)) * 100
        except InvalidOperation:
            found = Decimal(-1)
        if not found.is_finite() or not 0 <= found <= 5000 or found != found.to_integral_value():
            self.wrongs(name, "must be a percentage from 0 to 50 with at most two decimals")
            return 0
        return int(found)


def parse(environ: Mapping[str, str]) -> Settings:
    """Read settings from a mapping. Raises SettingsError naming every variable that is wrong."""
    read = _Reader(environ)
    environment = read.text("ENVIRONMENT")
    if environment not in ("development", "test", PRODUCTION):
        read.wrongs("ENVIRONMENT", "must be development, test or production")
    url = read.url("DATABASE_URL", "postgresql", "postgres", required=True)
    public_url = read.url("API_PUBLIC_URL", "http", "https", required=True)
    frontend_url = read.url("FRONTEND_URL", "http", "https")
    database = _database(read, url)
    scale = _scale(read)
    settings = Settings(
        environment=environment,
        release=read.text("RELEASE") or environ.get("HEROKU_SLUG_COMMIT", "")[:12],
        drain_s=read.number("DRAIN_SECONDS", 1, 20),
        database=database,
        redis=Redis(url=read.url("REDIS_URL", "redis", "rediss", required=True), prefix=f"mgl:{environment}:"),
        tokens=_tokens(read),
        stripe=_stripe(read),
        post=Post(
            region=read.text("AWS_REGION"),
            access_key_id=read.text("AWS_ACCESS_KEY_ID"),
            secret_access_key=read.text("AWS_SECRET_ACCESS_KEY"),
            sender=read.text("SES_SENDER_EMAIL"),
            endpoint=read.url("SES_API_BASE", "http", "https"),
            per_second=read.number("SES_MAILS_PER_SECOND", 0.1, 10_000),
        ),
        web=Web(
            public_url=public_url,
            realtime_public_url=read.url("REALTIME_PUBLIC_URL", "http", "https") or public_url,
            frontend_url=frontend_url,
            cors_origins=read.words("CORS_ORIGINS") or ((frontend_url,) if frontend_url else ()),
            trusted_proxies=read.networks("TRUSTED_PROXIES"),
            socketio_transports=_transports(read),
            job_wait_s=read.number("JOB_WAIT_SECONDS", 0, MAX_JOB_WAIT_S),
        ),
        fees=Fees(platform_bp=read.basis_points("STRIPE_PLATFORM_FEE_PERCENT")),
        metrics=Metrics(read.text("METRICS_TOKEN"), is_open=environment != PRODUCTION),
        scale=scale,
        budget=budget(
            scale,
            pool_size=database.pool_size,
            is_pooled=database.is_pooled,
            database_limit=int(read.number("DATABASE_CONNECTION_LIMIT", 1, 100_000)),
            redis_limit=int(read.number("REDIS_CONNECTION_LIMIT", 1, 100_000)),
        ),
    )
    for name, why in settings.budget.complaints().items():
        read.wrongs(name, why)
    if environment == PRODUCTION:
        _refuse_weak(settings, read)
    if read.wrong:
        raise SettingsError("Wrong settings (see .env.example):\n  " + "\n  ".join(read.wrong))
    return settings


def _database(read: _Reader, url: str) -> Database:
    direct_url = read.url("DATABASE_DIRECT_URL", "postgresql", "postgres") or url
    return Database(url, direct_url, pool_size=int(read.number("DATABASE_POOL_SIZE", 2, 32)))


def _scale(read: _Reader) -> dict[str, Scale]:
    try:
        return parse_scale(read.text("SCALE"))
    except ScaleError as wrong:
        read.wrongs("SCALE", f"cannot be read: {wrong}")
        return parse_scale("")


def _tokens(read: _Reader) -> Tokens:
    key, algorithm = read.text("SECRET_KEY"), read.text("ALGORITHM")
    if len(key) < MIN_SECRET_CHARS:
        read.wrongs("SECRET_KEY", f"must have at least {MIN_SECRET_CHARS} characters")
    if algorithm not in ("HS256", "HS384", "HS512"):
        read.wrongs("ALGORITHM", "must be HS256, HS384 or HS512")
    return Tokens(key, read.words("SECRET_KEYS"), algorithm, int(read.number("ACCESS_TOKEN_EXPIRE_MINUTES", 1, 1440)))


def _stripe(read: _Reader) -> Stripe:
    return Stripe(
        secret_key=read.text("STRIPE_SECRET_KEY"),
        publishable_key=read.text("STRIPE_PUBLISHABLE_KEY"),
        webhook_secret=read.text("STRIPE_WEBHOOK_SECRET"),
        connect_webhook_secret=read.text("STRIPE_CONNECT_WEBHOOK_SECRET"),
        api_base=read.url("STRIPE_API_BASE", "http", "https", required=True),
    )


def _transports(read: _Reader) -> tuple[str, ...]:
    found = read.words("SOCKETIO_TRANSPORTS")
    if not found or set(found) - {"polling", "websocket"}:
        read.wrongs("SOCKETIO_TRANSPORTS", "must name polling, websocket or both")
    return found


def _is_guessable(secret: str) -> bool:
    return (
        len(secret) < MIN_SECRET_CHARS
        or len(set(secret)) < MIN_SECRET_CHARS // 3
        or any(word in secret.lower() for word in GUESSABLE)
        or secret in ascii_letters + digits * 4
    )


def _refuse_weak(settings: Settings, read: _Reader) -> None:
    """What a desk may have and production may not."""
    if _is_guessable(settings.tokens.key):
        read.wrongs("SECRET_KEY", "is guessable")
    if any(_is_guessable(key) for key in settings.tokens.old_keys):
        read.wrongs("SECRET_KEYS", "holds a guessable key: whoever guesses it signs in as anybody")
    _refuse_test_stripe(settings.stripe, read)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        if not read.text(name) or "sandbox" in read.text(name).lower():
            read.wrongs(name, "is missing or the sandbox's")
    for name, address in (("STRIPE_API_BASE", settings.stripe.api_base), ("SES_API_BASE", settings.post.endpoint)):
        if address and urlsplit(address).scheme != "https":
            read.wrongs(name, "points at a stand-in")
    if settings.metrics.token and _is_guessable(settings.metrics.token):
        read.wrongs("METRICS_TOKEN", "is guessable")
    if settings.metrics.token and settings.metrics.token in (settings.tokens.key, *settings.tokens.old_keys):
        read.wrongs("METRICS_TOKEN", "is a SECRET_KEY: whoever scrapes could sign tokens")
    _refuse_open_web(settings.web, read)


def _refuse_test_stripe(stripe: Stripe, read: _Reader) -> None:
    if not stripe.secret_key.startswith(("sk_live_", "rk_live_")):
        read.wrongs("STRIPE_SECRET_KEY", "is not a live key")
    for name in ("STRIPE_WEBHOOK_SECRET", "STRIPE_CONNECT_WEBHOOK_SECRET"):
        secret = read.text(name)
        if not secret.startswith("whsec_") or len(secret) < MIN_WEBHOOK_SECRET_CHARS or "sandbox" in secret.lower():
            read.wrongs(name, "is missing, too short or the sandbox's")
    if not stripe.publishable_key.startswith("pk_live_"):
        read.wrongs("STRIPE_PUBLISHABLE_KEY", "is not a live key")


def _refuse_open_web(web: Web, read: _Reader) -> None:
    for name, address in (
        ("API_PUBLIC_URL", web.public_url),
        ("REALTIME_PUBLIC_URL", web.realtime_public_url),
        ("FRONTEND_URL", web.frontend_url),
    ):
        if address and urlsplit(address).scheme != "https":
            read.wrongs(name, "must begin with https:// in production")
    if any("*" in origin or not origin.startswith("https://") for origin in web.cors_origins):
        read.wrongs("CORS_ORIGINS", "must name https:// origins, each one in full")
    if any(one.endswith("/0") for one in web.trusted_proxies):
        read.wrongs("TRUSTED_PROXIES", "believes everybody")


@cache
def load() -> Settings:
    """The process' settings, read once."""
    return parse(os.environ)
