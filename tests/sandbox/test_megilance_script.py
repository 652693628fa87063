"""./megilance from a bare Python to the desk's door; nothing here reaches the network."""

import ast
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sandbox import installation

ROOT = Path(__file__).resolve().parents[2]

only_as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a directory away")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What the script needs of a checkout, at a path with a space."""
    root = tmp_path / "a checkout"
    (root / "sandbox").mkdir(parents=True)
    for name in ("megilance", "requirements-desk.txt", "sandbox/__init__.py", "sandbox/installation.py"):
        shutil.copy(ROOT / name, root / name)
    return root


def run(checkout: Path, *arguments: str, prelude: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """The script's answer, after `prelude` has changed what Python it finds itself in."""
    program = f"{prelude}\nimport runpy, sys\nsys.argv = sys.argv[1:]\nrunpy.run_path(sys.argv[0], run_name='__main__')"
    return subprocess.run(
        [sys.executable, "-c", program, str(checkout / "megilance"), *arguments],
        env={**os.environ, "MEGILANCE_HOME": "", "MEGILANCE_VENV": "", **environment},
        cwd="/", capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip


def make_finished_venv(checkout: Path) -> Path:
    """An environment that is up to date, whose Python tells how it was called."""
    venv = checkout / ".venv"
    (venv / "bin").mkdir(parents=True)
    python = venv / "bin" / "python"
    python.write_text('#!/bin/sh\necho "$@"\npwd\necho "home=$MEGILANCE_HOME path=$PYTHONPATH"\n')
    python.chmod(0o755)
    (venv / "megilance.stamp").write_text(installation.wanted_stamp(venv))
    return venv


def test_script_is_readable_to_old_pythons() -> None:
    ast.parse((ROOT / "megilance").read_text(), feature_version=(3, 4))
    assert os.access(ROOT / "megilance", os.X_OK)


def test_old_python_says_what_it_needs(checkout: Path) -> None:
    done = run(checkout, "up", prelude="import sys; sys.version_info = (3, 10, 1)", PATH="/nowhere")
    assert done.returncode == 1
    assert done.stderr == "MegiLance needs Python 3.11 or later; this one is 3.10, and no later one is on PATH.\n"


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_missing_module_names_the_package(module: str, checkout: Path) -> None:
    hide = (
        "import importlib.util as u; find = u.find_spec\n"
        f"u.find_spec = lambda name, *more: None if name == '{module}' else find(name, *more)"
    )
    done = run(checkout, "up", prelude=hide)
    assert done.returncode == 1
    assert f"python3.{sys.version_info.minor}-venv" in done.stderr
    assert done.stderr.count("\n") == 1


def test_finished_environment_is_entered_at_once_from_anywhere(checkout: Path) -> None:
    make_finished_venv(checkout)
    began = time.monotonic()
    done = run(checkout, "up", "--port", "1", PYTHONPATH="")
    assert time.monotonic() - began < 1
    assert done.stdout.splitlines() == [
        "-m sandbox.desk up --port 1",
        str(checkout),
        f"home={checkout}/.megilance path=",
    ]


def test_each_command_is_known_at_the_door_and_behind_it(checkout: Path) -> None:
    from sandbox.desk.__main__ import COMMANDS

    assert set(COMMANDS) == installation.COMMANDS
    make_finished_venv(checkout)
    done = run(checkout, "crash-test", "--kills", "20", "--jobs", "1500")
    assert done.stdout.splitlines()[0] == "-m sandbox.desk crash-test --kills 20 --jobs 1500"
    for command in COMMANDS:
        assert f"\n  {command}" in installation.USAGE


def test_crash_test_becomes_the_soak_with_its_arguments() -> None:
    asked = [sys.executable, "-m", "sandbox.desk", "crash-test", "--kills", "1"]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "./megilance crash-test: error: --kills must be at least 8, one of each kind"


def test_histories_becomes_the_walk_with_its_arguments() -> None:
    asked = [sys.executable, "-m", "sandbox.desk", "histories", "--machine", "nothing"]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert "./megilance histories: error: argument --machine: invalid choice: 'nothing'" in done.stderr


def test_changed_lock_or_moved_checkout_is_not_taken_for_finished(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installation, "LOCK", checkout / "requirements-desk.txt")
    venv = make_finished_venv(checkout)
    assert installation.is_ready(venv)
    moved = venv.rename(checkout / "elsewhere")
    assert not installation.is_ready(moved)
    moved.rename(venv)
    with installation.LOCK.open("a") as lock:
        lock.write("# changed\n")
    assert not installation.is_ready(venv)


def test_two_at_once_install_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed: list[Path] = []

    def install(venv: Path) -> None:
        time.sleep(0.2)
        make = venv / "bin"
        make.mkdir()
        (make / "python").symlink_to(sys.executable)
        installed.append(venv)

    monkeypatch.setattr(installation, "_create_venv", install)
    monkeypatch.setattr(installation, "_synchronise", lambda _: None)
    callers = [threading.Thread(target=installation.make_ready, args=(tmp_path / "venv",)) for _ in range(3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(installed) == 1
    assert installation.is_ready(tmp_path / "venv")


def test_directory_that_is_no_environment_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(SystemExit, match="no virtual environment"):
        installation.make_ready(tmp_path)
    assert (tmp_path / "thesis.txt").exists()


@only_as_root
def test_home_of_another_user_is_refused_in_one_sentence(checkout: Path) -> None:
    home = checkout / ".megilance"
    home.mkdir()
    os.chown(home, 12345, 12345)
    done = run(checkout, "up")
    assert done.returncode == 1
    assert f"{home} belongs to 12345" in done.stderr
    assert done.stderr.count("\n") == 1


def test_checkout_that_cannot_be_written_is_refused_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(SystemExit, match=r"is not writable for .* set MEGILANCE_VENV to a directory of your own"):
        installation.refuse_foreign(tmp_path / "new" / ".venv", "MEGILANCE_VENV")


def test_unknown_command_shows_the_usage(checkout: Path) -> None:
    done = run(checkout, "upp")
    assert done.returncode == 2
    assert done.stderr.startswith("No such command: upp\n\nusage: ./megilance COMMAND")
    assert run(checkout).returncode == 0


def test_uv_is_pinned_by_hash() -> None:
    first, *hashes = installation.uv_requirement().splitlines()
    assert first.startswith("uv==")
    assert hashes
    assert all(line.strip().startswith("--hash=sha256:") for line in hashes)


def test_uv_is_told_what_pip_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("UV_", "SSL_CERT_FILE")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_INDEX_URL", "https://mirror.example/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://one.example https://two.example")
    monkeypatch.setenv("PIP_FIND_LINKS", "/wheels /more")
    monkeypatch.setenv("PIP_CERT", "/etc/own.pem")
    monkeypatch.setenv("UV_HTTP_TIMEOUT", "7")
    monkeypatch.setenv("PIP_TIMEOUT", "99")
    told = installation.uv_environment(sys.executable)
    assert told["UV_DEFAULT_INDEX"] == "https://mirror.example/simple"
    assert told["UV_INDEX"] == "https://one.example https://two.example"
    assert told["UV_FIND_LINKS"] == "/wheels,/more"
    assert told["SSL_CERT_FILE"] == "/etc/own.pem"
    assert told["UV_HTTP_TIMEOUT"] == "7"
