"""The shelf that keeps objects: two files each, so that they survive a restart and a person finds them."""

import os
from datetime import UTC, datetime
from hashlib import md5, sha256
from pathlib import Path

import msgspec


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an object beside its bytes."""

    key: str
    content_type: str
    size: int
    etag: str
    at: datetime


class Shelf:
    """A directory of objects. An object is there whole or not at all."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def _path(self, key: str) -> Path:
        # Hashed: a key may be anything, and no key becomes a path.
        return self._directory / sha256(key.encode()).hexdigest()[:32]

    def keep(self, key: str, content: bytes, content_type: str) -> Stored:
        """Store an object, in place of one that had its key."""
        stored = Stored(
            key=key,
            content_type=content_type,
            size=len(content),
            etag=md5(content, usedforsecurity=False).hexdigest(),
            at=datetime.now(UTC).replace(microsecond=0),
        )
        self._write(self._path(key), content)
        self._write(self._path(key).with_suffix(".json"), msgspec.json.encode(stored))
        return stored

    def _write(self, path: Path, content: bytes) -> None:
        unfinished = path.with_name(f"{path.name}.new")
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)

    def find(self, key: str) -> Stored | None:
        """What is known of an object, or None when there is none."""
        told = self._path(key).with_suffix(".json")
        return msgspec.json.decode(told.read_bytes(), type=Stored) if told.exists() else None

    def read(self, key: str) -> bytes:
        """The bytes of an object that is there."""
        return self._path(key).read_bytes()

    def drop(self, key: str) -> None:
        """Forget an object, if there is one."""
        self._path(key).with_suffix(".json").unlink(missing_ok=True)
        self._path(key).unlink(missing_ok=True)

    def newest(self) -> list[Stored]:
        """What is known of every object, newest first."""
        found = [msgspec.json.decode(one.read_bytes(), type=Stored) for one in self._directory.glob("*.json")]
        return sorted(found, key=lambda one: (one.at, one.key), reverse=True)
