"""Secrets never reach a log line, by whatever road."""

import json
import logging
import time
from collections.abc import Iterator

import pytest
import structlog

from wire import logs
from wire.sealing import Sealer


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Logging belongs to the process; the next test has its own."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_secrets_are_hidden_at_any_depth(capsys: pytest.CaptureFixture[str]):
    logs.set_up(json=True, process="test")
    log = structlog.get_logger("a.module")
    log.info(
        "signed_in", access_token="t0p", headers={"Authorization": "Bearer t0p", "x": [{"client_secret": "t0p"}]},
        password=None, user_id=7, note="sent Bearer t0p", dsn="postgresql://me:t0p@host/db",
    )  # fmt: skip
    logging.getLogger("some.library").warning("connecting to redis://:t0p@host:1/0")
    try:
        raise RuntimeError("postgresql://me:t0p@host/db")  # noqa: TRY301  what a library would do
    except RuntimeError:
        log.exception("failed")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert "t0p" not in "".join(lines)
    first = json.loads(lines[0])
    assert (first["user_id"], first["password"], first["process"]) == (7, None, "test")
    assert first["dsn"] == "postgresql://me:[hidden]@host/db"


def test_a_person_gets_lines(capsys: pytest.CaptureFixture[str]):
    logs.set_up(json=False, process="test")
    structlog.get_logger("a.module").info("ready", port=8000, token="t0p")
    line = capsys.readouterr().err
    assert "ready" in line
    assert "port=8000" in line
    assert "t0p" not in line


JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI3In0.c2lnbmF0dXJl"
SEALED = Sealer("k" * 40).seal("t0p")


@pytest.mark.parametrize(
    ("said", "written"),
    [
        (f"refused {JWT}, why", "refused [hidden], why"),
        (f"row holds {SEALED}", "row holds [hidden]"),
        ("scan otpauth://totp/MegiLance:a?secret=ABC now", "scan [hidden] now"),
        ("key sk_live_abc and whsec_def", "key [hidden] and [hidden]"),
        ("GET /verify-email?token=abc.def&x=1", "GET /verify-email?token=[hidden]&x=1"),
        ('{"password": "hunter2", "n": 1}', '{"password": "[hidden]", "n": 1}'),
        ("{'mfa_token': 'abc'}", "{'mfa_token': '[hidden]'}"),
        ("code=123456 came", "code=[hidden] came"),
        ("error_code=card_declined", "error_code=card_declined"),
        ("Basic QUNzYW5kYm94OnQwcA==", "Basic [hidden]"),
        ("Basic rules apply", "Basic rules apply"),
        ("mail to ada.lovelace@example.co.uk failed", "mail to a…@example.co.uk failed"),
        ("ünal@example.com", "ü…@example.com"),
        ("text to +4915112345678.", "text to +49…78."),
        ("at 2026-11-22T22:00:00+0000 it began", "at 2026-11-22T22:00:00+0000 it began"),
        ("12+34567890123 apples", "12+34567890123 apples"),
        ("amqp://me:pw@host.example/x", "amqp://me:[hidden]@host.example/x"),
        ("user 123456 of 4242424242", "user 123456 of 4242424242"),
    ],
)
def test_a_text_is_told_without_what_looks_like_a_secret(said: str, written: str):
    assert logs.clean_text(said) == written


@pytest.mark.parametrize(
    ("key", "value", "written"),
    [
        ("code", "123456", "[hidden]"),
        ("code", 123456, "[hidden]"),
        ("code", "MessageRejected", "MessageRejected"),
        ("code", 21211, 21211),
        ("error_code", "card_declined", "card_declined"),
        ("sms_code", "12345678", "[hidden]"),
        ("backup_codes", ["ABCDEFGHIJKLM"], "[hidden]"),
        ("codes", ["ABCDE-FGHI-JKLM", "ABCDEFGHIJK23", 7], ["[hidden]", "[hidden]", 7]),
        ("code_hash", "x", "[hidden]"),
        ("recovery", "x", "[hidden]"),
        ("seed", "x", "[hidden]"),
        ("secret_sealed", "x", "[hidden]"),
        ("token", None, None),
        ("email", "ada@example.com", "a…@example.com"),
        ("email", "not an address", "[hidden]"),
        ("email", "", ""),
        ("email", None, None),
        ("email_verified", True, True),
        ("contact", "+15551234567", "+15…67"),
        ("phone_number", "(555) 123 45 67", "[hidden]"),
        ("ip", "203.0.113.7", "203.0.113.0/24"),
        ("ip_address", "2001:db8:1:2::3", "2001:db8:1::/48"),
        ("client_ip", "unknown", "unknown"),
        ("ship", "203.0.113.7", "203.0.113.7"),
        ("body", b"token=abc", "token=[hidden]"),
        ("why", ValueError("ada@example.com"), "a…@example.com"),
        ("seen", {"ada@example.com"}, ["a…@example.com"]),
        ("by", {"ada@example.com": 1, 7: "x", None: 1.5}, {"a…@example.com": 1, "7": "x", "null": 1.5}),
        ("deep", [[[[[[["x"]]]]]]], [[[[[["[hidden]"]]]]]]),
    ],
)
def test_a_line_of_every_kind(capsys: pytest.CaptureFixture[str], key: str, value: object, written: object):
    logs.set_up(json=True, process="test")
    structlog.get_logger("a.module").info("happened", **{key: value})

    assert json.loads(capsys.readouterr().err)[key] == written


def test_what_a_library_or_a_traceback_says_is_cleaned_too(capsys: pytest.CaptureFixture[str]):
    logs.set_up(json=True, process="test")
    logging.getLogger("twilio.http_client").info("never written")
    logging.getLogger("some.library").warning("to %s with %s", "+15551234567", JWT)
    try:
        raise RuntimeError("ada@example.com")  # noqa: TRY301  what a library would do
    except RuntimeError:
        structlog.get_logger("a.module").exception("failed")
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())

    assert first["event"] == "to +15…67 with [hidden]"
    assert second["exception"].splitlines()[-1] == "RuntimeError: a…@example.com"


@pytest.mark.parametrize(
    "piece",
    ["a", "a.", "a@", "-", "token", "a-code", "eyJ-", "eyJa.", "+1", "a@a.", "Bearer ", "Basic ", "x://a:", "://", "'", "gAAAA-", "="],
)  # fmt: skip
def test_a_long_text_costs_no_more_than_its_length(piece: str):
    began = time.process_time()
    logs.clean_text(piece * (100_000 // len(piece)))
    assert time.process_time() - began < 0.5
