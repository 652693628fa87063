"""Settings, `.env.example` and the names that the product promised are one list."""

from pathlib import Path

import pytest

import settings
from tests.maps import a_map
from wire import budget
from wire.limits import Limit

ROOT = Path(__file__).parents[2]

PROMISED = {
    "DATABASE_URL", "SECRET_KEY", "ALGORITHM", "ACCESS_TOKEN_EXPIRE_MINUTES", "AWS_REGION", "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY", "SES_SENDER_EMAIL", "STRIPE_SECRET_KEY", "STRIPE_PUBLISHABLE_KEY",
    "STRIPE_WEBHOOK_SECRET", "STRIPE_PLATFORM_FEE_PERCENT", "FRONTEND_URL", "ENVIRONMENT", "REDIS_URL",
    "DATABASE_DIRECT_URL", "SECRET_KEYS", "STRIPE_CONNECT_WEBHOOK_SECRET", "STRIPE_API_BASE", "CORS_ORIGINS",
    "JOB_WAIT_SECONDS", "REALTIME_PUBLIC_URL", "TRUSTED_PROXIES", "SOCKETIO_TRANSPORTS", "TWILIO_ACCOUNT_SID",
    "TWILIO_AUTH_TOKEN", "TWILIO_FROM_NUMBER",
}  # fmt: skip
"""What the API's contract names, as far as the product has come."""

GOOD = {
    "DATABASE_URL": "postgresql://u:p@db/megilance",
    "REDIS_URL": "rediss://cache:6380/0",
    "SECRET_KEY": "hG7!kd92lsPqzX0v@bn4mT6yRwEuJc51",
}

PRODUCTION = GOOD | {
    "ENVIRONMENT": "production",
    "STRIPE_SECRET_KEY": "sk_live_1",
    "STRIPE_PUBLISHABLE_KEY": "pk_live_1",
    "STRIPE_WEBHOOK_SECRET": "whsec_" + "aB3" * 11,
    "STRIPE_CONNECT_WEBHOOK_SECRET": "whsec_" + "xY9" * 11,
    "AWS_ACCESS_KEY_ID": "AKIA1",
    "AWS_SECRET_ACCESS_KEY": "k",
    "API_PUBLIC_URL": "https://api.example.com",
    "FRONTEND_URL": "https://example.com",
}

TWILIO = {
    "TWILIO_ACCOUNT_SID": "AC" + "0a" * 16,
    "TWILIO_AUTH_TOKEN": "0b1c" * 8,
    "TWILIO_FROM_NUMBER": "+15551234567",
}


def example() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    return dict(
        line.removeprefix("#").partition("=")[::2] for line in lines if "=" in line and not line.startswith("# ")
    )


def test_every_setting_stands_in_the_example_with_its_default() -> None:
    assert example() == {one.name: one.default for one in settings.SETTINGS}


def test_every_promised_name_is_a_setting() -> None:
    assert {one.name for one in settings.SETTINGS} >= PROMISED


def test_good_settings_are_read() -> None:
    found = settings.parse(GOOD)

    assert found.database.direct_url == found.database.url == GOOD["DATABASE_URL"]
    assert found.fees.platform_bp == 1000
    assert found.web.realtime_public_url == found.web.public_url == "http://localhost:8000"
    assert found.redis.prefix == "mgl:development:"
    assert settings.parse(PRODUCTION).environment == "production"
    assert settings.parse(PRODUCTION).sms.account_sid == ""
    assert settings.parse(PRODUCTION | TWILIO).sms.from_number == "+15551234567"
    assert not settings.parse(PRODUCTION).files.is_there
    stored = settings.parse(PRODUCTION | {"S3_BUCKET": "megilance-files", "AWS_REGION": "eu-west-1"}).files
    assert stored.base == "https://megilance-files.s3.eu-west-1.amazonaws.com"


def test_limits_are_read_and_can_be_lifted_on_a_desk() -> None:
    found = settings.parse(GOOD | {"RATE_LIMITS": "POST /api/auth/register=5/3600, GET /api/config=9/1"}).limits

    assert found.anonymous == Limit(10, 60)
    assert found.user == Limit(240, 60)
    assert found.routes == {"POST /api/auth/register": Limit(5, 3600), "GET /api/config": Limit(9, 1)}
    lifted = settings.parse(GOOD | {"RATE_LIMIT_ANONYMOUS": "off", "RATE_LIMIT_USER": "off"}).limits
    assert (lifted.anonymous, lifted.user) == (None, None)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("DATABASE_URL", ""), ("DATABASE_URL", "mysql://x/y"), ("REDIS_URL", "http://x"), ("SECRET_KEY", "short"),
        ("ALGORITHM", "none"), ("ALGORITHM", "RS256"), ("ACCESS_TOKEN_EXPIRE_MINUTES", "0"),
        ("ACCESS_TOKEN_EXPIRE_MINUTES", "x"), ("STRIPE_PLATFORM_FEE_PERCENT", "-1"),
        ("STRIPE_PLATFORM_FEE_PERCENT", "10.005"), ("STRIPE_PLATFORM_FEE_PERCENT", "NaN"), ("STRIPE_PLATFORM_FEE_PERCENT", "ten"),
        ("STRIPE_PLATFORM_FEE_PERCENT", "51"), ("JOB_WAIT_SECONDS", "21"), ("DRAIN_SECONDS", "0"),
        ("SOCKETIO_TRANSPORTS", "carrier-pigeon"), ("ENVIRONMENT", "prod"), ("DATABASE_POOL_SIZE", "1"),
        ("FRONTEND_URL", "example.com"), ("TRUSTED_PROXIES", "nginx"), ("STRIPE_API_BASE", "ftp://x"),
        ("SCALE", "web"), ("SCALE", "worker_ml=1"), ("SCALE", "web=2x2"), ("SCALE", "web=1001"), ("SCALE", "web=-1"),
        ("DATABASE_CONNECTION_LIMIT", "0"), ("REDIS_CONNECTION_LIMIT", "x"), ("RATE_LIMIT_ANONYMOUS", "10"),
        ("RATE_LIMIT_ANONYMOUS", "0/60"), ("RATE_LIMIT_USER", "many"), ("RATE_LIMITS", "POST /x"),
        ("RATE_LIMITS", "login=1/1"), ("RATE_LIMITS", "POST /x=off"), ("GEOIP_DATABASE", "/nowhere/cities.mmdb"),
        ("S3_BUCKET", "No_Bucket"), ("S3_BUCKET", "ab"), ("S3_API_BASE", "ftp://x"),
        ("GEOIP_DATABASE", "/dev"), ("GEOIP_DATABASE", __file__), ("TWILIO_API_BASE", "ftp://x"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_by_name(name: str, wrong: str) -> None:
    with pytest.raises(settings.SettingsError, match=name):
        settings.parse(GOOD | {name: wrong})


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("TWILIO_ACCOUNT_SID", ""), ("TWILIO_AUTH_TOKEN", ""), ("TWILIO_FROM_NUMBER", ""), ("TWILIO_FROM_NUMBER", "555"),
        ("TWILIO_FROM_NUMBER", "MegiLance"), ("TWILIO_FROM_NUMBER", "+05551234567"), ("TWILIO_FROM_NUMBER", "+1555\u0661\u0662\u0663"),
    ],
)  # fmt: skip
def test_half_an_account_for_text_messages_is_refused_by_name(name: str, wrong: str) -> None:
    with pytest.raises(settings.SettingsError, match=name):
        settings.parse(GOOD | TWILIO | {name: wrong})


def test_a_map_that_can_be_read_is_taken(tmp_path: Path) -> None:
    file = a_map(tmp_path / "cities.mmdb", {})

    assert settings.parse(GOOD | {"GEOIP_DATABASE": str(file)}).geoip_database == str(file)
    assert settings.parse(PRODUCTION | {"GEOIP_DATABASE": str(file)}).geoip_database == str(file)
    assert settings.parse(PRODUCTION).geoip_database == ""


def test_a_scale_that_a_server_has_no_room_for_is_refused_with_its_sum_and_its_parts() -> None:
    scale = {"SCALE": "web=4,worker=3x4", "REDIS_CONNECTION_LIMIT": "70"}
    with pytest.raises(settings.SettingsError) as refusal:
        settings.parse(GOOD | scale)

    assert (
        "DATABASE_CONNECTION_LIMIT is 97, and SCALE needs 114 connections to PostgreSQL: "
        "web 32, realtime 8, worker 63, worker_money 6, relay 1, clock 3, release 1"
    ) in str(refusal.value)
    assert (
        "REDIS_CONNECTION_LIMIT is 70, and SCALE needs 76 connections to Redis: "
        "web 16, realtime 1, worker 51, worker_money 5, relay 2, clock 1"
    ) in str(refusal.value)


def test_behind_a_pooler_only_direct_connections_are_the_servers() -> None:
    pooled = settings.parse(GOOD | {"DATABASE_DIRECT_URL": "postgresql://u:p@server/megilance"})

    assert (settings.parse(GOOD).budget.database, pooled.budget.database) == (33, 7)
    assert (settings.parse(GOOD).database.is_pooled, pooled.database.is_pooled) == (False, True)


def test_one_of_each_process_runs_unless_scale_says_otherwise() -> None:
    found = settings.parse(GOOD | {"SCALE": " web=2, worker=2x4,clock=0"})

    assert found.scale["web"] == settings.Scale(2, 1)
    assert found.scale["worker"] == settings.Scale(2, 4)
    assert found.scale["clock"] == settings.Scale(0, 1)
    assert found.scale["relay"] == settings.Scale(1, 1)


def test_every_process_of_the_procfile_has_its_place_in_the_budget() -> None:
    lines = (ROOT / "Procfile").read_text(encoding="utf-8").splitlines()

    assert {line.partition(":")[0] for line in lines} == {*budget.KINDS, budget.RELEASE.role}


def test_every_wrong_value_is_named_at_once() -> None:
    with pytest.raises(settings.SettingsError) as refusal:
        settings.parse({"SECRET_KEY": "x", "JOB_WAIT_SECONDS": "-1"})

    for name in ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "JOB_WAIT_SECONDS"):
        assert name in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "weak"),
    [
        ("SECRET_KEY", "a" * 40), ("SECRET_KEY", "my-secret-key-that-is-long-enough-0123"), ("STRIPE_SECRET_KEY", ""),
        ("STRIPE_SECRET_KEY", "sk_test_sandbox1"), ("STRIPE_WEBHOOK_SECRET", ""), ("AWS_ACCESS_KEY_ID", "sandbox"),
        ("AWS_SECRET_ACCESS_KEY", ""), ("STRIPE_API_BASE", "http://127.0.0.1:1"), ("SES_API_BASE", "http://127.0.0.1:1"),
        ("API_PUBLIC_URL", "http://api.example.com"), ("FRONTEND_URL", "http://example.com"), ("CORS_ORIGINS", "*"),
        ("CORS_ORIGINS", "https://*"), ("CORS_ORIGINS", "null"), ("CORS_ORIGINS", "http://example.com"),
        ("SECRET_KEYS", "a"), ("SECRET_KEY", "change-me-please-change-me-please!"), ("STRIPE_WEBHOOK_SECRET", "x"),
        ("STRIPE_CONNECT_WEBHOOK_SECRET", "whsec_sandbox"), ("STRIPE_SECRET_KEY", "x"), ("STRIPE_PUBLISHABLE_KEY", "pk_test_1"),
        ("REALTIME_PUBLIC_URL", "http://x.example"), ("TRUSTED_PROXIES", "0.0.0.0/0"), ("METRICS_TOKEN", "prometheus"),
        ("TRUSTED_PROXIES", "::/0"), ("TRUSTED_PROXIES", "10.0.0.0/8,0.0.0.0/1"), ("TRUSTED_PROXIES", "2000::/3"),
        ("TRUSTED_PROXIES", "nginx"), ("METRICS_TOKEN", GOOD["SECRET_KEY"]), ("RATE_LIMIT_ANONYMOUS", "off"), ("RATE_LIMIT_USER", "off"),
        ("GEOIP_DATABASE", "/nowhere/cities.mmdb"), ("GEOIP_DATABASE", __file__), ("TWILIO_API_BASE", "http://127.0.0.1:1"),
        ("SES_SENDER_EMAIL", "MegiLance <no-reply@megilance.test>"), ("AWS_SECRET_ACCESS_KEY", "sandbox"),
        ("S3_API_BASE", "http://127.0.0.1:1"), ("S3_BUCKET", "sandbox-files"),
    ],
)  # fmt: skip
def test_production_refuses_what_is_weak_missing_or_a_stand_in(name: str, weak: str) -> None:
    with pytest.raises(settings.SettingsError, match=name):
        settings.parse(PRODUCTION | {name: weak})


@pytest.mark.parametrize(
    ("name", "weak"),
    [
        ("TWILIO_ACCOUNT_SID", "ACsandbox" + "0" * 25), ("TWILIO_ACCOUNT_SID", "AC123"), ("TWILIO_AUTH_TOKEN", "token"),
        ("TWILIO_AUTH_TOKEN", "sandbox" + "0" * 25), ("TWILIO_AUTH_TOKEN", ""), ("TWILIO_FROM_NUMBER", "+15005550006"),
        ("TWILIO_API_BASE", "http://127.0.0.1:1"),
    ],
)  # fmt: skip
def test_production_refuses_a_stand_ins_account_for_text_messages(name: str, weak: str) -> None:
    with pytest.raises(settings.SettingsError, match=name):
        settings.parse(PRODUCTION | TWILIO | {name: weak})


@pytest.mark.parametrize("named", ["10.0.0.0/8", "127.0.0.1", "192.168.0.0/16", "fd00::/16", "::1"])
def test_production_takes_the_networks_of_a_house(named: str) -> None:
    assert settings.parse(PRODUCTION | {"TRUSTED_PROXIES": named}).web.trusted_proxies == (named,)
