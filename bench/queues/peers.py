"""The peers' own venv, from their own lock: made on first use, and anew when the lock changes."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from sandbox.installation import uv_environment

ROOT: Final = Path(__file__).resolve().parents[2]
LOCK: Final = ROOT / "bench" / "requirements-peers.txt"
HOME: Final = ROOT / ".megilance" / "bench" / "peers"
BIN: Final = HOME / "bin"
STAMP: Final = HOME / "lock.sha256"
NAMED: Final = ("dramatiq", "celery", "kombu", "saq", "taskiq", "taskiq-redis", "procrastinate", "redis", "psycopg")
VERSIONS: Final = """
import json, sys
from importlib.metadata import version
print(json.dumps({name: version(name) for name in sys.argv[1:]}))
"""


def make() -> None:
    """Have the venv as the lock says."""
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    if STAMP.exists() and STAMP.read_text(encoding="ascii") == digest:
        return
    print("Installing the peers from bench/requirements-peers.txt …", flush=True)
    shutil.rmtree(HOME, ignore_errors=True)
    uv = [sys.executable, "-m", "uv"]
    told = uv_environment(sys.executable)
    subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, str(HOME)], check=True, env=told)
    sync = [*uv, "pip", "sync", "--quiet", "--require-hashes", "--python", str(BIN / "python"), str(LOCK)]
    subprocess.run(sync, check=True, env=told)
    STAMP.write_text(digest, encoding="ascii")


def versions() -> dict[str, str]:
    """The versions that stand in the venv, of what is named in a table."""
    asked = subprocess.run([str(BIN / "python"), "-c", VERSIONS, *NAMED], check=True, capture_output=True, text=True)
    found: dict[str, str] = json.loads(asked.stdout)
    return found
