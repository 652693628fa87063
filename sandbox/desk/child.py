"""One process of a desk: started, listened to, started again when it crashes, ended with everything it started."""

import asyncio
import contextlib
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from sandbox.leash import leashed

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0
STEADY_S = 30.0  # having run so long, the next crash is a new misfortune and not the same one
LAST_WORDS_S = 1.0
PIECE_BYTES = 64 * 1024

ALARMING = re.compile(
    rb'\b(WARNING|ERROR|CRITICAL|FATAL)\b|"level": ?"(warning|error|critical)"|\[(warning|error|critical) *\]'
)
TRACE = re.compile(rb"^(Traceback \(most recent call last\)|  \+ Exception Group Traceback)")


def say(line: str) -> None:
    """Tell the person at the terminal."""
    print(line, flush=True)


class Listener:
    """Writes a process's lines to its log, and those that alarm to the terminal, under its name."""

    def __init__(self, name: str, log: Path, *, everything: bool = False) -> None:
        self.name, self.log, self.everything = name, log, everything
        self._within_trace = False

    async def listen(self, stream: asyncio.StreamReader) -> None:
        """Until the process and all that share its output have ended."""
        with self.log.open("ab", buffering=0) as file:
            rest = b""
            while piece := await stream.read(PIECE_BYTES):
                file.write(piece)
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    self._show(line)
            if rest:
                self._show(rest)

    def _show(self, line: bytes) -> None:
        if TRACE.match(line):
            self._within_trace = True
        shown = self.everything or self._within_trace or ALARMING.search(line)
        if self._within_trace and line[:1] not in (b" ", b"T", b""):
            self._within_trace = False  # this line, the error itself, ends the trace
        if shown:
            say(f"{self.name:<14}│ {line.decode('utf-8', 'replace').rstrip()}")


class Child:
    """A process that the desk keeps running."""

    def __init__(
        self, name: str, command: Sequence[str], environment: dict[str, str], *, log: Path, port: int | None = None
    ) -> None:
        self.name, self.command, self.environment = name, list(command), environment
        self.log, self.port = log, port
        self.pid: int | None = None
        self._ended = asyncio.Event()

    async def run(self, cwd: Path, changed: Callable[[], None]) -> None:
        """Keep it running until `terminate`; `changed` is called upon each start and end."""
        pause_s = FIRST_PAUSE_S
        while not self._ended.is_set():
            began = time.monotonic()
            code = await self._run_once(cwd, changed)
            if self._ended.is_set():
                break
            if time.monotonic() - began > STEADY_S:
                pause_s = FIRST_PAUSE_S
            say(f"{self.name:<14}│ ended ({_cause(code)}), starting it again in {pause_s:g} s; its log: {self.log}")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    async def _run_once(self, cwd: Path, changed: Callable[[], None]) -> int:
        process = await asyncio.create_subprocess_exec(
            *leashed(self.command, farewell=signal.SIGTERM), cwd=cwd, env=self.environment, start_new_session=True,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        assert process.stdout is not None
        listening = asyncio.create_task(Listener(self.name, self.log).listen(process.stdout))
        self.pid = process.pid
        changed()
        try:
            if self._ended.is_set():  # asked to end while it was being started
                self._signal(signal.SIGTERM)
            code = await process.wait()
        finally:
            # What it started and left behind would hold its port, and its rows in the database.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            self.pid = None
            await asyncio.wait([listening], timeout=LAST_WORDS_S)
            listening.cancel()
            changed()
        return code

    def terminate(self) -> None:
        """Ask it to end, and start it no more."""
        self._ended.set()
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it and everything it started, now."""
        self._ended.set()
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        # To the process alone: a launcher ends its own children in order, and a second signal would confuse them.
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def _cause(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def shell_command(command: str) -> list[str]:
    """A Procfile's line as a process of its own: the shell gives way to it, so signals reach it."""
    return ["/bin/sh", "-c", f"exec {command}"]


def python_module(module: str, *arguments: str) -> list[str]:
    """A module of ours as a command."""
    return [sys.executable, "-m", module, *arguments]
