"""A database with a table for effects, and workers as real processes."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from models import guard
from tests.tasks.probes import EFFECTS

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
async def effects(database: str) -> str:
    """A fresh database with the table that probes write to."""
    await guard.rows(EFFECTS)
    return database


@pytest.fixture
def start(database: str) -> Iterator[Start]:
    """Start programs, each in a process group of its own; whatever is left of them is killed at the end."""
    started: list[subprocess.Popen[bytes]] = []

    def run(module: str, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments], env={**os.environ, **environment}, start_new_session=True
        )
        started.append(process)
        return process

    yield run
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def hearing(module: ModuleType) -> Iterator[list[Any]]:
    """What a module logs meanwhile, also when its logger remembers how another test had logs set up."""
    with pytest.MonkeyPatch.context() as patched, capture_logs() as said:
        patched.setattr(module, "log", structlog.get_logger())
        yield said


async def until(met: Callable[[], Awaitable[bool]], *, within_s: float = 10.0, what: str = "it") -> float:
    """Wait for a condition; the seconds it took."""
    began = time.monotonic()
    while not await met():
        assert time.monotonic() - began < within_s, f"{what} did not happen within {within_s} s"
        await asyncio.sleep(0.01)
    return time.monotonic() - began
