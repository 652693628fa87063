"""From a bare Python to a virtual environment that matches the lock, and on into the desk.

Only the standard library, since nothing else is there yet. Everything installed is pinned by version and hash. It
refuses to write where another user's files lie, because half of an environment owned by root helps nobody.
"""

import ast
import fcntl
import hashlib
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements-desk.txt"

USAGE = """usage: ./megilance COMMAND

  up [--port N] [--processes web=2,worker=2]   start everything on this machine
  demo [--crash | --rivals]                    drive the whole story, with proof at the end
  test [pytest arguments]                      run the tests; --interop: those that need node or Chromium;
                                               --schema: try every operation against the OpenAPI document
  check                                        run every check that CI runs
  crash-test [--kills N --jobs M --seeds K]    kill everything at random, prove that nothing was lost or done twice
  histories [--histories N --machine X --seed N]   walk random histories of every state machine, held to its table
  migrate                                      bring the database to the newest form
  seed --size small|large [--seed N]           fill an empty desk with a made-up marketplace, the same each time
  clock show | +14d | +3h                      what time it is for deadlines, or let so much of it pass
  admin create --email E                       make an administrator, with a second factor
  admin factor --email E                       make a new second factor for one

Settings: PORT, MEGILANCE_HOME (data, .megilance), MEGILANCE_VENV (.venv), and everything in .env."""

COMMANDS = {"up", "demo", "test", "check", "crash-test", "histories", "migrate", "admin", "seed", "clock"}

# What uv calls the settings a person may have given pip. Spaces separate a list for pip, commas some of uv's.
PIP_TO_UV = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "cert": "SSL_CERT_FILE",
    "trusted-host": "UV_INSECURE_HOST",
    "no-index": "UV_NO_INDEX",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
}
COMMA_SEPARATED = {"UV_FIND_LINKS"}


def say(line: str) -> None:
    """Tell the person at the terminal, apart from what a command prints as its result."""
    print(line, file=sys.stderr, flush=True)


def venv_path() -> Path:
    """Where the virtual environment is or will be."""
    return Path(os.environ.get("MEGILANCE_VENV") or ROOT / ".venv").expanduser().absolute()


def home_path() -> Path:
    """Where a desk keeps its data."""
    return Path(os.environ.get("MEGILANCE_HOME") or ROOT / ".megilance").expanduser().absolute()


def refuse_foreign(path: Path, setting: str) -> None:
    """Exit with one sentence when the directory is another user's, or cannot be made."""
    uid = os.geteuid()
    if path.exists():
        owner = path.stat().st_uid
        if owner != uid:
            sys.exit(
                f"{path} belongs to {_user_name(owner)}, so ./megilance was run as that user before: do so again, hand "
                f"it over with `sudo chown -R {_user_name(uid)} '{path}'`, or set {setting} to a directory of your own."
            )
        return
    parent = next(parent for parent in path.parents if parent.exists())
    if not os.access(parent, os.W_OK | os.X_OK):
        sys.exit(
            f"{parent} is not writable for {_user_name(uid)}, so {path} cannot be made: set {setting} to a directory "
            "of your own."
        )


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def wanted_stamp(venv: Path) -> str:
    """What the stamp says when the environment matches: its place too, as its scripts name it in their first line."""
    return hashlib.sha256(LOCK.read_bytes() + os.fsencode(venv)).hexdigest()


def is_ready(venv: Path) -> bool:
    """Whether the environment was brought to this very lock, at this very place."""
    try:
        stamp = (venv / "megilance.stamp").read_text(encoding="ascii")
    except OSError:
        return False
    return stamp == wanted_stamp(venv) and os.access(venv / "bin" / "python", os.X_OK)


def make_ready(venv: Path) -> None:
    """Bring the environment to the lock; a second caller waits for the first and finds it done."""
    if is_ready(venv):
        return
    refuse_foreign(venv, "MEGILANCE_VENV")
    venv.mkdir(parents=True, exist_ok=True)
    with (venv / ".installing").open("w", encoding="ascii") as guard:
        try:
            fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another ./megilance is installing; waiting for it …")
            fcntl.flock(guard, fcntl.LOCK_EX)
        if is_ready(venv):
            return
        _create_venv(venv)
        _synchronise(venv)
        (venv / "megilance.stamp").write_text(wanted_stamp(venv), encoding="ascii")


def _create_venv(venv: Path) -> None:
    """Make the environment, or keep the one that is there if its Python still runs."""
    python = venv / "bin" / "python"
    if _runs(python):
        return
    for module in ("venv", "ensurepip"):
        if find_spec(module) is None:
            version = f"{sys.version_info.major}.{sys.version_info.minor}"
            sys.exit(
                f"This Python {version} has no `{module}`: on Debian and Ubuntu install the package "
                f"python{version}-venv (or python3-venv), then run ./megilance again."
            )
    others = [path for path in venv.iterdir() if path.name != ".installing"]
    if others and not (venv / "pyvenv.cfg").exists():
        sys.exit(f"{venv} holds files that are no virtual environment; set MEGILANCE_VENV to another directory.")
    for path in others:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    say(f"Making {venv} with Python {sys.version_info.major}.{sys.version_info.minor} …")
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)


def _runs(python: Path) -> bool:
    try:
        asked = [str(python), "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
        return subprocess.run(asked, check=False, capture_output=True).returncode == 0
    except OSError:
        return False


def uv_requirement() -> str:
    """The lock's own entry for uv, with its hashes."""
    found = re.search(r"^uv==.*?(?=^\S|\Z)", LOCK.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert found, "the lock names uv"
    return found.group(0)


def _synchronise(venv: Path) -> None:
    """Install exactly what the lock names: with uv in seconds, with pip in a minute when uv is not to be had."""
    python = str(venv / "bin" / "python")
    pip = [python, "-m", "pip", "install", "--require-hashes", "--disable-pip-version-check"]
    if not _runs_pip(python):
        subprocess.run([python, "-m", "ensurepip", "--upgrade"], check=True, stdout=subprocess.DEVNULL)
    say("Installing what requirements-desk.txt names, each file checked against its hash …")
    if _has_uv(venv, [*pip, "--quiet", "--requirement"]):
        command = [str(venv / "bin" / "uv"), "pip", "install", "--exact", "--require-hashes", "--python", python]
        if (
            subprocess.run([*command, "--requirement", str(LOCK)], check=False, env=uv_environment(python)).returncode
            == 0
        ):
            return
        say("uv could not do it; trying pip, which takes a minute …")
    if subprocess.run([*pip, "--requirement", str(LOCK)], check=False).returncode != 0:
        sys.exit(
            "The packages could not be installed; the lines above say why. Without a direct connection set "
            "PIP_INDEX_URL (and PIP_CERT), or a proxy, and run ./megilance again: it goes on where it stopped."
        )


def _runs_pip(python: str) -> bool:
    return subprocess.run([python, "-m", "pip", "--version"], check=False, capture_output=True).returncode == 0


def _has_uv(venv: Path, pip: list[str]) -> bool:
    """Whether the environment has the pinned uv, installing it first where it is missing."""
    wanted = uv_requirement().split(" ", 1)[0].removeprefix("uv==")
    try:
        asked = subprocess.run([str(venv / "bin" / "uv"), "--version"], check=False, capture_output=True, text=True)
        if asked.stdout.split()[1:2] == [wanted]:
            return True
    except OSError:
        pass
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write(uv_requirement())
        file.flush()
        return subprocess.run([*pip, file.name], check=False).returncode == 0


def uv_environment(python: str) -> dict[str, str]:
    """The environment for uv: it reads neither pip's variables nor its files, so they are told in its words."""
    environment = dict(os.environ)
    asked = subprocess.run([python, "-m", "pip", "config", "list"], check=False, capture_output=True, text=True)
    settings: dict[str, str] = {}
    rank = {"global": 0, "install": 1, ":env:": 2}
    lines = [line.partition("=") for line in asked.stdout.splitlines()]
    for name, _, value in sorted(lines, key=lambda line: rank.get(line[0].partition(".")[0], -1)):
        section, _, option = name.partition(".")
        if section in rank and option in PIP_TO_UV:
            settings[PIP_TO_UV[option]] = str(ast.literal_eval(value))
    for name, value in settings.items():
        environment.setdefault(name, ",".join(value.split()) if name in COMMA_SEPARATED else " ".join(value.split()))
    # As pip does, look at every index: the hashes, not the order of indexes, say what may be installed.
    environment.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    environment.setdefault("UV_LINK_MODE", "copy")  # quiet where the cache lies on another file system
    if not os.access(Path.home(), os.W_OK):
        environment.setdefault("UV_NO_CACHE", "1")
    return environment


def main(arguments: list[str]) -> NoReturn:
    """Carry out one command; does not return."""
    if not arguments or arguments[0] not in COMMANDS:
        asked = not arguments or arguments[0] in {"-h", "--help", "help"}
        say(USAGE if asked else f"No such command: {arguments[0]}\n\n{USAGE}")
        sys.exit(0 if asked else 2)
    refuse_foreign(home_path(), "MEGILANCE_HOME")
    venv = venv_path()
    try:
        make_ready(venv)
    except KeyboardInterrupt:
        sys.exit(130)
    environment = dict(os.environ)
    for name in ("PYTHONHOME", "PYTHONPATH", "PYTHONSAFEPATH"):
        environment.pop(name, None)  # another environment's, and it would find its modules instead of ours
    environment["MEGILANCE_HOME"] = str(home_path())
    environment["MEGILANCE_VENV"] = str(venv)
    os.chdir(ROOT)
    python = str(venv / "bin" / "python")
    os.execve(python, [python, "-m", "sandbox.desk", *arguments], environment)  # noqa: S606
