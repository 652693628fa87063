"""The commands of ./megilance besides `up`: each starts what it needs, runs one program, and leaves nothing behind."""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from sandbox.desk.child import python_module, say, shell_command
from sandbox.desk.databases import start_databases
from sandbox.desk.procfile import RELEASE, parse_procfile
from sandbox.desk.record import only_desk, read_record
from sandbox.desk.supervisor import READY_LIMIT_S
from sandbox.desk.surroundings import ROOT, Places, desk_home, desk_secrets, given_environment, service_environment
from sandbox.leash import leashed
from sandbox.ports import free_port

CHECKS = (
    "ruff format --check .",
    "ruff check .",
    "mypy",
    "lint-imports",
    "pytest tests/house -q",
)


def _tool_environment() -> dict[str, str]:
    here = str(Path(sys.executable).parent)
    return {**os.environ, "PATH": os.pathsep.join([here, os.environ.get("PATH", os.defpath)])}


WHOLE_SUITE = ("--numprocesses", "3", "--dist", "loadfile", "--no-loadscope-reorder")
"""What `test` runs when nothing is named: every test but those that need another registry. In the files' own order,
because the reordering puts the files of one long test last, where they would run alone.

One process more than a small machine has cores: the tests of kills and time-outs mostly wait.
"""


def test(arguments: list[str]) -> NoReturn:
    """Become pytest: its exit code and its signals are the caller's. `--interop` runs what needs node or Chromium.

    `--cov` adds what the tests reach, held to a minimum, and takes longer. `--schema` becomes schemathesis'
    long run against a service of its own instead.
    """
    if arguments[:1] == ["--schema"]:
        command = python_module("tests.schema.service", *arguments[1:])
    else:
        named = {"--interop": ["-m", "interop"], "--cov": [*WHOLE_SUITE, "--cov", "--cov-report", "term"]}
        chosen = named.get(" ".join(arguments), arguments) or list(WHOLE_SUITE)
        command = python_module("pytest", *chosen)
    os.chdir(ROOT)
    os.execve(command[0], command, _tool_environment())  # noqa: S606


def crash_test(arguments: list[str]) -> NoReturn:
    """Become the soak: servers of its own, kills at random, and the proof. Needs no desk, and leaves one alone."""
    _become("tests.crashes.soak", arguments)


def histories(arguments: list[str]) -> NoReturn:
    """Become the walk of every state machine, over a PostgreSQL of its own. Needs no desk, and leaves one alone."""
    _become("tests.histories", arguments)


def _become(module: str, arguments: list[str]) -> NoReturn:
    command = python_module(module, *arguments)
    os.chdir(ROOT)
    os.execve(command[0], command, _tool_environment())  # noqa: S606


def check(_: list[str]) -> int:
    """Run every check, all of them even when one fails. Returns 0 when all passed."""
    results = []
    for line in CHECKS:
        say(f"$ {line}")
        began = time.monotonic()
        name, *arguments = shlex.split(line)
        program = Path(sys.executable).parent / name
        code = subprocess.run([str(program), *arguments], cwd=ROOT, check=False, env=_tool_environment()).returncode
        results.append((line, code, time.monotonic() - began))
    say("")
    for line, code, seconds in results:
        say(f"  {'passed' if code == 0 else 'FAILED'}  {seconds:6.1f} s  {line}")
    return 0 if all(code == 0 for _, code, _ in results) else 1


@contextlib.contextmanager
def desk_environment() -> Iterator[dict[str, str]]:
    """The environment of the running desk, else of databases started for as long as this lasts."""
    home = desk_home()
    record = read_record(home)
    if record:
        yield {**os.environ, **record["environment"]}
        return
    with only_desk(home):
        given = given_environment(ROOT)
        databases = start_databases(home, given)
        try:
            # No stand-in is started for one command, but its settings are to be those of `up`.
            places = Places(
                port=int(given.get("PORT", "8000")),
                database_url=databases.database_url,
                redis_url=databases.redis_url,
                stripe_port=None if "STRIPE_SECRET_KEY" in given else free_port(),
                mail_port=None if "AWS_ACCESS_KEY_ID" in given else free_port(),
                sms_port=None if "TWILIO_ACCOUNT_SID" in given else free_port(),
                files_port=None if given.keys() & {"AWS_ACCESS_KEY_ID", "S3_BUCKET"} else free_port(),
            )
            yield service_environment(given, desk_secrets(home), places)
        finally:
            databases.stop()


def migrate(_: list[str]) -> int:
    """Run the Procfile's release command."""
    with desk_environment() as environment:
        return _migrate(environment)


def _migrate(environment: dict[str, str]) -> int:
    command = parse_procfile(ROOT / "Procfile")[RELEASE]
    say(f"$ {command}")
    return subprocess.run(shell_command(command), cwd=ROOT, env=environment, check=False).returncode


def admin(arguments: list[str]) -> int:
    """Run `python -m tasks.admin`, which asks for the password itself: a command line is no place for one."""
    with desk_environment() as environment:
        command = python_module("tasks.admin", *arguments)
        return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def seed(arguments: list[str]) -> int:
    """Run `python -m sandbox.seed` on the desk's database; one that no desk uses is migrated before."""
    running = read_record(desk_home())
    with desk_environment() as environment:
        if not running and (code := _migrate(environment)):
            return code
        command = python_module("sandbox.seed", *arguments)
        return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def clock(arguments: list[str]) -> int:
    """Show or move the time of the running desk's deadlines: `python -m sandbox.clock`."""
    return subprocess.run(
        python_module("sandbox.clock", *arguments), cwd=ROOT, env=_tool_environment(), check=False
    ).returncode


def demo(arguments: list[str]) -> int:
    """Drive the story on the running desk, else on one brought up for it alone and thrown away after."""
    home = desk_home()
    if read_record(home):
        return _run_demo(home, arguments)
    with tempfile.TemporaryDirectory(prefix="megilance-demo-", ignore_cleanup_errors=True) as directory:
        # PostgreSQL may have to run as another user than root, and must then be able to walk in.
        Path(directory).chmod(0o711)
        temporary = Path(directory) / "home"
        environment = {**os.environ, "MEGILANCE_HOME": str(temporary)}
        # In a session of its own, so that Ctrl-C ends the demo, and the demo's end the desk.
        command = leashed(
            python_module("sandbox.desk", "up", "--port", "0", *_scale(arguments)), farewell=signal.SIGTERM
        )
        desk = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True)
        try:
            if not _wait_until_ready(temporary, desk):
                return 1
            return _run_demo(temporary, arguments)
        except KeyboardInterrupt:
            return 130
        finally:
            desk.terminate()
            desk.wait()


def _scale(arguments: list[str]) -> list[str]:
    """Rivals meet at processes that share nothing but the database."""
    return ["--processes", "web=2,worker_money=2"] if "--rivals" in arguments else []


def _wait_until_ready(home: Path, desk: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + READY_LIMIT_S + 60
    while desk.poll() is None and time.monotonic() < deadline:
        record = read_record(home)
        if record and record["ready"]:
            return True
        time.sleep(0.1)
    return False


def _run_demo(home: Path, arguments: list[str]) -> int:
    environment = {**_tool_environment(), "MEGILANCE_HOME": str(home)}
    return subprocess.run(python_module("sandbox.demo", *arguments), cwd=ROOT, env=environment, check=False).returncode
