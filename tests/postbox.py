"""The SES stand-in as a process of a test module: what it took, and switches that make it misbehave."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.sandbox.conftest import Stand

MAILBOX = "/sandbox/mail"


class Postbox(Stand):
    """A running mailbox."""

    def __init__(self, data: Path) -> None:
        super().__init__("sandbox.post", data, MAILBOX)

    def messages(self, to: str = "") -> list[dict[str, Any]]:
        """What was taken, the newest first; to one address when asked."""
        found: list[dict[str, Any]] = self.http.get(f"{MAILBOX}/messages", params={"to": to} if to else {}).json()
        return found

    def misbehave(self, kind: str, **how: Any) -> None:
        """The next sending meets this fault."""
        answer = self.http.post(f"{MAILBOX}/faults", json={"kind": kind, **how})
        assert answer.status_code == 200, answer.text

    def reset(self) -> None:
        """Empty, and behaving."""
        self.http.delete(f"{MAILBOX}/faults")
        self.http.delete(f"{MAILBOX}/messages")


@contextmanager
def a_postbox(data: Path) -> Iterator[Postbox]:
    """A mailbox for as long as the block lasts."""
    started = Postbox(data)
    try:
        yield started
    finally:
        started.stop()
