"""desk.json: where a running desk's parts are, for the demo, the tests and people; and the lock that says it runs."""

import contextlib
import fcntl
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

from sandbox.desk.surroundings import write_private


class Part(TypedDict):
    """One process: its id, the port it listens on if it does, its log."""

    pid: int | None
    port: int | None
    log: str


class Record(TypedDict):
    """What desk.json holds. `environment` is what the service's processes were given, secrets and all."""

    pid: int
    port: int
    ready: bool
    home: str
    urls: dict[str, str]
    processes: dict[str, Part]
    environment: dict[str, str]


def record_path(home: Path) -> Path:
    """Where a desk of this home writes its record."""
    return home / "desk.json"


def write_record(home: Path, record: Record) -> None:
    """Replace the record; a reader sees the old one or the new one, whole."""
    write_private(record_path(home), json.dumps(record, indent=2))


def read_record(home: Path) -> Record | None:
    """The record of the desk that runs from this home, None when none runs."""
    lock = home / "desk.lock"
    if not lock.exists() or not record_path(home).exists():
        return None
    with lock.open("a", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            with contextlib.suppress(FileNotFoundError):  # it is just ending
                record: Record = json.loads(record_path(home).read_text(encoding="utf-8"))
                return record
    return None


@contextlib.contextmanager
def only_desk(home: Path) -> Iterator[None]:
    """Hold the home: one desk at a time may use its databases. Exits with a sentence when another does."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "desk.lock").open("a", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            running = read_record(home)
            where = f" (process {running['pid']}, {running['urls']['api']})" if running else ""
            sys.exit(
                f"A desk is already running from {home}{where}. End it, or set MEGILANCE_HOME to another directory."
            )
        try:
            yield
        finally:
            record_path(home).unlink(missing_ok=True)
