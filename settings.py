"""The only reader of the environment. Every setting has a name here, a line in `.env.example` and a check.

`load()` returns one frozen tree, grouped by who needs it, or raises `SettingsError` naming each variable that is
wrong. In production a missing, weak or sandbox value is wrong.
"""

import os
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from functools import cache
from ipaddress import ip_network
from string import ascii_letters, digits
from typing import Final
from urllib.parse import urlsplit

import msgspec

from wire.budget import Budget, Scale, ScaleError, budget, parse_scale
from wire.limits import Limit, parse_limit
from wire.places import MapUnreadable, Places
from wire.presigning import Storage

MIN_SECRET_CHARS: Final = 32
MAX_JOB_WAIT_S: Final = 20
PRODUCTION: Final = "production"
MIN_WEBHOOK_SECRET_CHARS: Final = 30
"""Stripe's have 38: `whsec_` and 32 more."""
WIDEST_PROXIES: Final = 8
WIDEST_PROXIES_V6: Final = 16
"""10.0.0.0/8 is a private network; fc00::/7 is all of them, of which anybody has a /48."""
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


class Sms(msgspec.Struct, frozen=True):
    """Text messages through Twilio. An empty `account_sid`: none can be sent, and the answers say so."""

    account_sid: str
    auth_token: str
    from_number: str
    api_base: str


class Limits(msgspec.Struct, frozen=True):
    """How often one may ask, as `N/seconds` says it; None: as often as one likes. `routes` names exceptions."""

    anonymous: Limit | None
    user: Limit | None
    routes: dict[str, Limit]


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
    sms: Sms
    files: Storage
    limits: Limits
    geoip_database: str
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
    Setting("AWS_REGION", "us-east-1", "region of SES and S3"),
    Setting("AWS_ACCESS_KEY_ID", "", "unset on a desk: the sandbox's"),
    Setting("AWS_SECRET_ACCESS_KEY", "", "the secret half of the key"),
    Setting("SES_SENDER_EMAIL", "noreply@megilance.com", "the From of every mail"),
    Setting("SES_API_BASE", "", "where the SES SDK calls; unset: AWS; the sandbox's address on a desk"),
    Setting("SES_MAILS_PER_SECOND", "14", "the account's sending rate, which all workers share; 0.1 to 10000"),
    Setting("S3_BUCKET", "", "private bucket for people's files; unset: the sandbox's on a desk, else no uploads"),
    Setting("S3_API_BASE", "", "where the S3 SDK and browsers go; unset: AWS; the sandbox's address on a desk"),
    Setting("TWILIO_ACCOUNT_SID", "", "AC…; unset on a desk: the sandbox's; unset in production: no text messages"),
    Setting("TWILIO_AUTH_TOKEN", "", "the secret half of the account"),
    Setting("TWILIO_FROM_NUMBER", "", "the number that text messages come from: + and up to 15 digits"),
    Setting("TWILIO_API_BASE", "", "where the Twilio SDK calls; unset: Twilio; the sandbox's address on a desk"),
    Setting("GEOIP_DATABASE", "", "path of an MMDB file with cities; unset: sign-in risk knows no places"),
    Setting("RATE_LIMIT_ANONYMOUS", "10/60", "requests per seconds, per IP and route, of who is not signed in; or off"),
    Setting("RATE_LIMIT_USER", "240/60", "requests per seconds, per user and route; or off"),
    Setting("RATE_LIMITS", "", "exceptions: POST /api/auth/register=5/3600, comma-separated; replaces a route's own"),
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
        sms=_sms(read),
        files=_files(read),
        limits=_limits(read),
        geoip_database=_geoip_database(read),
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


def _sms(read: _Reader) -> Sms:
    sms = Sms(
        account_sid=read.text("TWILIO_ACCOUNT_SID"),
        auth_token=read.text("TWILIO_AUTH_TOKEN"),
        from_number=read.text("TWILIO_FROM_NUMBER"),
        api_base=read.url("TWILIO_API_BASE", "http", "https"),
    )
    if sms.auth_token and not sms.account_sid:
        read.wrongs("TWILIO_ACCOUNT_SID", "is missing beside TWILIO_AUTH_TOKEN")
    if sms.account_sid:
        if not sms.auth_token:
            read.wrongs("TWILIO_AUTH_TOKEN", "is missing beside TWILIO_ACCOUNT_SID")
        if not re.fullmatch(r"\+[1-9][0-9]{6,14}", sms.from_number, re.ASCII):
            read.wrongs("TWILIO_FROM_NUMBER", "must be a number as +15551234567")
    return sms


def _files(read: _Reader) -> Storage:
    files = Storage(
        bucket=read.text("S3_BUCKET"),
        region=read.text("AWS_REGION"),
        access_key_id=read.text("AWS_ACCESS_KEY_ID"),
        secret_access_key=read.text("AWS_SECRET_ACCESS_KEY"),
        endpoint=read.url("S3_API_BASE", "http", "https"),
    )
    # Amazon's own rule for names, which every store that speaks its language shares.
    if files.bucket and not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", files.bucket, re.ASCII):
        read.wrongs("S3_BUCKET", "must be a bucket's name: 3 to 63 lower-case letters, digits, dots and hyphens")
    return files


def _limits(read: _Reader) -> Limits:
    found: dict[str, Limit | None] = {}
    for name in ("RATE_LIMIT_ANONYMOUS", "RATE_LIMIT_USER"):
        found[name] = _limit(read, name, read.text(name))
    routes = {}
    for one in read.words("RATE_LIMITS"):
        route, _, said = one.partition("=")
        if not re.fullmatch(r"[A-Z]+ /\S*", route):
            read.wrongs("RATE_LIMITS", f"must name routes as `POST /api/auth/login=10/60`; {route!r} is none")
        limit = _limit(read, "RATE_LIMITS", said)
        if limit is None:
            read.wrongs("RATE_LIMITS", f"must say a limit for {route!r}: one route's cannot be lifted")
        else:
            routes[route] = limit
    return Limits(found["RATE_LIMIT_ANONYMOUS"], found["RATE_LIMIT_USER"], routes)


def _limit(read: _Reader, name: str, said: str) -> Limit | None:
    try:
        return None if said == "off" else parse_limit(said)
    except ValueError:
        read.wrongs(name, f"must be requests per seconds, as 10/60; {said!r} is not")
        return None


def _geoip_database(read: _Reader) -> str:
    path = read.text("GEOIP_DATABASE")
    try:
        Places(path).close()
    except MapUnreadable:
        read.wrongs("GEOIP_DATABASE", f"names no MMDB file that can be read: {path!r}")
    return path


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
    _refuse_guessable_keys(settings, read)
    _refuse_test_stripe(settings.stripe, read)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        if not read.text(name) or "sandbox" in read.text(name).lower():
            read.wrongs(name, "is missing or the sandbox's")
    if settings.post.sender.rstrip(">").endswith(".test"):
        read.wrongs("SES_SENDER_EMAIL", "is the sandbox's")
    if "sandbox" in settings.files.bucket:
        read.wrongs("S3_BUCKET", "is the sandbox's")
    _refuse_test_sms(settings.sms, read)
    for name, address in (
        ("STRIPE_API_BASE", settings.stripe.api_base),
        ("SES_API_BASE", settings.post.endpoint),
        ("TWILIO_API_BASE", settings.sms.api_base),
        ("S3_API_BASE", settings.files.endpoint),
    ):
        if address and urlsplit(address).scheme != "https":
            read.wrongs(name, "points at a stand-in")
    _refuse_open_web(settings.web, settings.limits, read)


def _refuse_guessable_keys(settings: Settings, read: _Reader) -> None:
    if _is_guessable(settings.tokens.key):
        read.wrongs("SECRET_KEY", "is guessable")
    if any(_is_guessable(key) for key in settings.tokens.old_keys):
        read.wrongs("SECRET_KEYS", "holds a guessable key: whoever guesses it signs in as anybody")
    if settings.metrics.token and _is_guessable(settings.metrics.token):
        read.wrongs("METRICS_TOKEN", "is guessable")
    if settings.metrics.token and settings.metrics.token in (settings.tokens.key, *settings.tokens.old_keys):
        read.wrongs("METRICS_TOKEN", "is a SECRET_KEY: whoever scrapes could sign tokens")


def _refuse_test_stripe(stripe: Stripe, read: _Reader) -> None:
    if not stripe.secret_key.startswith(("sk_live_", "rk_live_")):
        read.wrongs("STRIPE_SECRET_KEY", "is not a live key")
    for name in ("STRIPE_WEBHOOK_SECRET", "STRIPE_CONNECT_WEBHOOK_SECRET"):
        secret = read.text(name)
        if not secret.startswith("whsec_") or len(secret) < MIN_WEBHOOK_SECRET_CHARS or "sandbox" in secret.lower():
            read.wrongs(name, "is missing, too short or the sandbox's")
    if not stripe.publishable_key.startswith("pk_live_"):
        read.wrongs("STRIPE_PUBLISHABLE_KEY", "is not a live key")


def _is_wide(named: str) -> bool:
    try:
        network = ip_network(named, strict=False)
    except ValueError:
        return False  # refused already
    return network.prefixlen < (WIDEST_PROXIES if network.version == 4 else WIDEST_PROXIES_V6)


def _refuse_test_sms(sms: Sms, read: _Reader) -> None:
    """A stand-in's account, or no account's: Twilio's have 32 hexadecimal digits, and so have their tokens."""
    if sms.account_sid and not re.fullmatch(r"AC[0-9a-f]{32}", sms.account_sid, re.ASCII):
        read.wrongs("TWILIO_ACCOUNT_SID", "is the sandbox's, or none of Twilio's")
    if sms.account_sid and not re.fullmatch(r"[0-9a-f]{32}", sms.auth_token, re.ASCII):
        read.wrongs("TWILIO_AUTH_TOKEN", "is missing, the sandbox's, or none of Twilio's")
    if sms.account_sid and sms.from_number.startswith("+1500555"):
        read.wrongs("TWILIO_FROM_NUMBER", "is one of Twilio's numbers for tests")


def _refuse_open_web(web: Web, limits: Limits, read: _Reader) -> None:
    for limited, limit in (("RATE_LIMIT_ANONYMOUS", limits.anonymous), ("RATE_LIMIT_USER", limits.user)):
        if limit is None:
            read.wrongs(limited, "is off: anybody could try passwords and codes as fast as they like")
    for name, address in (
        ("API_PUBLIC_URL", web.public_url),
        ("REALTIME_PUBLIC_URL", web.realtime_public_url),
        ("FRONTEND_URL", web.frontend_url),
    ):
        if address and urlsplit(address).scheme != "https":
            read.wrongs(name, "must begin with https:// in production")
    if any("*" in origin or not origin.startswith("https://") for origin in web.cors_origins):
        read.wrongs("CORS_ORIGINS", "must name https:// origins, each one in full")
    if any(_is_wide(one) for one in web.trusted_proxies):
        read.wrongs("TRUSTED_PROXIES", "believes everybody, or nearly: name at most a /8, or a /16 of IPv6")


@cache
def load() -> Settings:
    """The process' settings, read once."""
    return parse(os.environ)
