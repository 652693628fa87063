"""Secrets never reach a log line, by whatever road."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from wire import logs


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
