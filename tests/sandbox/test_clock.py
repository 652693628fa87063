"""`./megilance clock`: deadlines and Stripe's stand-in go forward together, on a desk that runs and nowhere else."""

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from models import business_time
from sandbox.clock import move, parse_step, read
from sandbox.desk.record import only_desk, record_path
from tests.stripe_sandbox import StripeSandbox

ROOT = Path(__file__).resolve().parents[2]
DAY_S = 86_400


def record(database: str, **urls: str) -> Any:
    environment = {"ENVIRONMENT": "development", "DATABASE_DIRECT_URL": database}
    return {"urls": urls, "environment": environment}


def stripe_ahead_s(stripe: StripeSandbox) -> int:
    found: int = httpx.get(f"{stripe.base}/_sandbox/clock", trust_env=False).json()["offset_s"]
    return found


@pytest.mark.parametrize(
    ("written", "step"),
    [("+14d", timedelta(days=14)), ("+3h", timedelta(hours=3)), ("+90m", timedelta(minutes=90))],
)
def test_a_step_is_a_number_and_a_unit(written: str, step: timedelta) -> None:
    assert parse_step(written) == step


@pytest.mark.parametrize("written", ["14d", "-1d", "+0d", "+1w", "+1.5h", "+401d", "+99999h", "", "+d", "+1d "])
def test_what_is_no_step_is_said_in_a_sentence(written: str) -> None:
    with pytest.raises(ValueError, match="is no step: "):
        parse_step(written)


async def test_both_clocks_go_forward_together(database: str, stripe_sandbox: StripeSandbox) -> None:
    before = stripe_ahead_s(stripe_sandbox)
    desk = record(database, stripe=stripe_sandbox.base)
    assert await move(desk, timedelta(days=14)) == timedelta(days=14)
    assert await move(desk, timedelta(hours=3)) == timedelta(days=14, hours=3)
    assert await read(database) == await business_time.offset() == timedelta(days=14, hours=3)
    assert stripe_ahead_s(stripe_sandbox) - before == 14 * DAY_S + 3 * 3_600


async def test_where_stripe_is_the_real_one_deadlines_move_alone(database: str) -> None:
    assert await read(database) == timedelta()
    assert await move(record(database), timedelta(minutes=5)) == timedelta(minutes=5)


async def test_when_the_stand_in_refuses_nothing_moves(database: str, stripe_sandbox: StripeSandbox) -> None:
    with pytest.raises(httpx.HTTPStatusError):
        await move(record(database, stripe=f"{stripe_sandbox.base}/elsewhere"), timedelta(days=1))
    assert await read(database) == timedelta()


def command(home: Path, *arguments: str) -> tuple[int, str]:
    environment = {**os.environ, "MEGILANCE_HOME": str(home)}
    asked = [sys.executable, "-m", "sandbox.clock", *arguments]
    done = subprocess.run(asked, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, (done.stdout + done.stderr).strip()


def test_the_command_says_what_time_it_is(database: str, tmp_path: Path) -> None:
    assert command(tmp_path, "show") == (1, "No desk is running: ./megilance up")
    with only_desk(tmp_path):
        path = record_path(tmp_path)
        path.write_text(json.dumps(record(database)))
        assert command(tmp_path)[1].startswith("usage: ")
        assert command(tmp_path, "show")[1].endswith(" UTC, 0:00:00 ahead.")
        code, said = command(tmp_path, "+2d")
        assert (code, said.rsplit(" UTC, ", 1)[1]) == (0, "2 days, 0:00:00 ahead.")
        assert command(tmp_path, "yesterday")[1].startswith("'yesterday' is no step")
        path.write_text(json.dumps({**record(database), "environment": {"ENVIRONMENT": "production"}}))
        assert command(tmp_path, "+2d")[1] == "This is production, whose deadlines keep the real time."
