"""The box that keeps every message, one file each, so that they survive a restart and a person can read them."""

import os
from pathlib import Path

import msgspec

from sandbox.sms.message import Message

KEPT_MAX = 5_000
"""Messages kept; beyond it the oldest go."""


class Box:
    """A directory of messages whose names sort by time."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def _names(self) -> list[Path]:
        return sorted(self._directory.glob("*.json"), reverse=True)

    def keep(self, message: Message) -> None:
        """Write the message so that it is there whole or not at all, before the sender is told that it was taken."""
        path = self._directory / f"{message.sid}.json"
        unfinished = path.with_suffix(".new")
        with unfinished.open("wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(message), indent=1))
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
        for old in self._names()[KEPT_MAX:]:
            old.unlink(missing_ok=True)

    def newest(self, limit: int, to: str | None = None) -> list[Message]:
        """The messages, newest first; those to one number when asked."""
        found: list[Message] = []
        for path in self._names():
            message = msgspec.json.decode(path.read_bytes(), type=Message)
            if to is None or to == message.to:
                found.append(message)
            if len(found) == limit:
                break
        return found

    def empty(self) -> int:
        """Throw everything away. Returns how many messages there were."""
        names = self._names()
        for path in names:
            path.unlink(missing_ok=True)
        return len(names)
