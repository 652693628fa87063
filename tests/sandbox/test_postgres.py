"""The embedded PostgreSQL: kept, restarted, killed, and closed to others."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from sandbox import postgres as subject
from sandbox.postgres import Postgres, PostgresUnavailable

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.enable_socket
only_as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")


async def _run(url: str, *statements: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        answer = None
        for statement in statements:
            answer = await connection.fetchval(statement)
        return answer
    finally:
        await connection.close()


def run(url: str, *statements: str) -> object:
    """The last statement's first value."""
    return asyncio.run(_run(url, *statements))


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory every user may walk through, which pytest's own is not."""
    directory = Path(tempfile.mkdtemp(prefix="megilance test "))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


def test_data_survives_restart_and_kill_on_the_same_address(tmp_path: Path) -> None:
    with Postgres(tmp_path / "with space") as server:
        url = server.url
        run(url, "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (1)")
        assert server.restart() == url
        run(url, "INSERT INTO kept VALUES (2)")
        server.kill()
        assert server.pid is None
        assert server.start() == url
        assert run(url, "SELECT sum(n) FROM kept") == 3
        assert run(url, "SHOW fsync") == "on"
        assert run(url, "SHOW max_prepared_transactions") == "0"


def test_second_start_is_quick(tmp_path: Path) -> None:
    with Postgres(tmp_path, fsync=False):
        pass
    began = time.monotonic()
    with Postgres(tmp_path, fsync=False) as server:
        assert time.monotonic() - began < 2
        assert run(server.url, "SHOW fsync") == "off"


def test_nobody_enters_without_the_password(tmp_path: Path) -> None:
    with Postgres(tmp_path, fsync=False) as server:
        password = (tmp_path / "password").read_text()
        assert (tmp_path / "password").stat().st_mode & 0o777 == 0o600
        for wrong in (server.url.replace(password, "guess"), server.url.replace(f":{password}", "")):
            with pytest.raises((asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError)):
                asyncio.run(_run_as_guest(wrong))
        assert run(server.url, "SHOW listen_addresses") == "127.0.0.1"
        assert password not in subprocess.run(["ps", "-ef"], capture_output=True, text=True, check=True).stdout


async def _run_as_guest(url: str) -> None:
    connection = await asyncpg.connect(url, passfile=__file__ + ".none")
    await connection.close()


def test_stale_pid_file_of_a_living_stranger_is_cleared(tmp_path: Path) -> None:
    with Postgres(tmp_path, fsync=False):
        pass
    # Our own id: alive, the same user, and no PostgreSQL. PostgreSQL itself would refuse to start.
    (tmp_path / "data" / "postmaster.pid").write_text(f"{os.getpid()}\n{tmp_path}/data\n")
    with Postgres(tmp_path, fsync=False) as server:
        assert run(server.url, "SELECT 1") == 1


def test_directory_in_use_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "STOP_LIMIT_S", 0.2)
    with Postgres(tmp_path, fsync=False) as server:
        with pytest.raises(PostgresUnavailable, match="already running"):
            Postgres(tmp_path, fsync=False).start()
        assert run(server.url, "SELECT 1") == 1


def test_port_taken_meanwhile_is_exchanged(tmp_path: Path) -> None:
    with Postgres(tmp_path, fsync=False) as server:
        first = server.url
    with socket.create_server(("127.0.0.1", int((tmp_path / "port").read_text()))), server:
        assert server.url != first
        assert run(server.url, "SELECT 1") == 1


def test_server_dies_with_the_one_who_started_it(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux ties a process to its parent")
    program = (
        "import sys; from pathlib import Path; from sandbox.postgres import Postgres; import time\n"
        "server = Postgres(Path(sys.argv[1]), fsync=False); server.start()\n"
        "print(server.pid, flush=True); time.sleep(60)"
    )
    starter = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE)
    with starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        starter.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(f"/proc/{pid}").exists()


def test_without_any_postgres_the_message_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "_candidates", list)
    with pytest.raises(PostgresUnavailable, match="Set DATABASE_URL"):
        subject.installation.__wrapped__()


def test_data_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PG_VERSION").write_text("12\n")
    with pytest.raises(PostgresUnavailable, match="made by PostgreSQL 12"):
        Postgres(tmp_path).start()


@only_as_root
def test_root_without_namespaces_hands_the_data_to_nobody(
    open_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "_namespace_works", lambda: False)
    home = open_directory / "postgres"
    try:
        with Postgres(home, fsync=False) as server:
            assert run(server.url, "SELECT 1") == 1
            assert (home / "data").stat().st_uid == 65534
            assert server.restart()
    except PostgresUnavailable as unavailable:
        # The checkout itself may lie where nobody can walk in.
        assert "nobody" in str(unavailable)  # noqa: PT017
    # Namespaces or not, data once handed over stays so.
    monkeypatch.setattr(subject, "_namespace_works", lambda: True)
    if (home / "data").exists():
        with Postgres(home, fsync=False) as server:
            assert run(server.url, "SELECT 1") == 1


@only_as_root
def test_root_in_a_closed_directory_without_namespaces_is_told_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "_namespace_works", lambda: False)
    tmp_path.chmod(0o700)
    with pytest.raises(PostgresUnavailable, match="refuses to run as root"):
        Postgres(tmp_path / "postgres", fsync=False).start()


@only_as_root
@pytest.mark.parametrize("uid", [pytest.param(65534, id="known by name"), pytest.param(12345, id="without a name")])
def test_ordinary_user_needs_nothing_special(uid: int, open_directory: Path) -> None:
    os.chown(open_directory, uid, uid)
    program = (
        "import sys; sys.path[:0] = sys.argv[2:]; from pathlib import Path; from sandbox.postgres import Postgres\n"
        "server = Postgres(Path(sys.argv[1]), fsync=False)\n"
        "print(server.start()); print(server.restart()); server.stop()"
    )
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    for python in (sys.executable, "/usr/bin/python3"):
        try:
            done = subprocess.run(
                [python, "-I", "-c", program, str(open_directory / "postgres"), str(ROOT), packages],
                user=uid, group=uid, extra_groups=[], capture_output=True, text=True, cwd="/",
                check=False,
            )  # fmt: skip
        except PermissionError:  # this Python lies in root's home
            continue
        assert done.returncode == 0, done.stderr
        assert len(set(done.stdout.split())) == 1
        return
    pytest.skip("no Python here that an ordinary user may run")
