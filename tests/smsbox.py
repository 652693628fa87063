"""The Twilio stand-in as a process of a test module: what it took, and switches that make it misbehave."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.sandbox.conftest import Stand

BOX = "/sandbox/sms"
ACCOUNT = "ACsandbox0123456789"


class SmsBox(Stand):
    """A running stand-in."""

    def __init__(self, data: Path) -> None:
        super().__init__("sandbox.sms", data, BOX)

    def messages(self, to: str = "") -> list[dict[str, Any]]:
        """What was taken, the newest first; to one number when asked."""
        found: list[dict[str, Any]] = self.http.get(f"{BOX}/messages", params={"to": to} if to else {}).json()
        return found

    def misbehave(self, kind: str, **how: Any) -> None:
        """The next sending meets this fault."""
        answer = self.http.post(f"{BOX}/faults", json={"kind": kind, **how})
        assert answer.status_code == 200, answer.text

    def reset(self) -> None:
        """Empty, and behaving."""
        self.http.delete(f"{BOX}/faults")
        self.http.delete(f"{BOX}/messages")


@contextmanager
def an_smsbox(data: Path) -> Iterator[SmsBox]:
    """A stand-in for as long as the block lasts."""
    started = SmsBox(data)
    try:
        yield started
    finally:
        started.stop()
