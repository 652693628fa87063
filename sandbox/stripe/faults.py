"""Misbehaviour on request: which calls fail, how, and which answers are being held back right now."""

import asyncio
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum

from sandbox.stripe.state import Store
from sandbox.stripe.wire import Object

HOLD_MAX_S = 600.0
"""No answer is held longer than ten minutes, so that a forgotten switch cannot leave a call hanging for ever."""
HOLD_DEFAULT_S = 30.0
FAULTS_MAX = 100


class FaultKind(StrEnum):
    """What goes wrong."""

    RATE_LIMIT = "rate_limit"
    """429, nothing done."""
    ERROR_BEFORE = "error_before"
    """500, nothing done and nothing kept under the key: a retry works."""
    ERROR_AFTER_COMMIT = "error_after_commit"
    """Done, but 500; the 500 is kept under the key and replayed, as Stripe replays it: only a look-up tells."""
    BAD_GATEWAY_AFTER_COMMIT = "bad_gateway_after_commit"
    """Done and kept, but this one answer is a 502 on the way back: a retry with the key gets the real answer."""
    TIMEOUT_AFTER_COMMIT = "timeout_after_commit"
    """Done and kept, then the answer is held for `delay_s`."""
    SLOW = "slow"
    """Held for `delay_s` before it is done; meanwhile its key is in flight."""
    REFUSE_CONNECTION = "refuse_connection"
    """The connection is cut, nothing done."""


class Faults:
    """The faults still to happen, in the order they were asked for."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def all(self) -> list[Object]:
        """Every fault that is still to happen."""
        found: list[Object] = self._store.setting("faults", [])
        return found

    def add(self, asked: Object) -> Object:
        """Add one fault. Raises ValueError when it is not written as the switch wants it."""
        match, times, delay_s = asked.get("match", "*"), asked.get("times", 1), asked.get("delay_s", HOLD_DEFAULT_S)
        if unknown := set(asked) - {"match", "kind", "times", "delay_s"}:
            message = f"unknown: {', '.join(sorted(unknown))}"
            raise ValueError(message)
        if not isinstance(match, str) or not isinstance(times, int) or not 1 <= times <= 10_000:
            message = "match is `POST /v1/payment_intents/*/capture`, times is 1 to 10000"
            raise ValueError(message)
        if not isinstance(delay_s, int | float) or not 0 <= delay_s <= HOLD_MAX_S:
            message = f"delay_s is 0 to {HOLD_MAX_S:.0f}"
            raise ValueError(message)
        fault = {"match": match, "kind": FaultKind(asked.get("kind", "")), "times": times, "delay_s": delay_s}
        self._store.set("faults", [*self.all()[-FAULTS_MAX:], fault])
        return fault

    def clear(self) -> None:
        """No more faults."""
        self._store.set("faults", [])

    def take(self, method: str, path: str) -> Object | None:
        """The fault that this call meets, used up by one; None when it meets none."""
        faults = self.all()
        for fault in faults:
            if _matches(fault["match"], method, path):
                fault["times"] -= 1
                self._store.set("faults", [left for left in faults if left["times"] > 0])
                return fault
        return None


def _matches(match: str, method: str, path: str) -> bool:
    """`*` alone means every call; within a path it means one segment, and a missing method any method."""
    if match == "*":
        return True
    pattern = re.escape(match).replace(r"\*", "[^/]+").replace(r"\ ", " ")
    return re.fullmatch(pattern, f"{method} {path}") is not None or re.fullmatch(pattern, path) is not None


@dataclass
class Holding:
    """The calls whose answers are being held back."""

    _held: dict[int, Object] = field(default_factory=dict)
    _ended: asyncio.Event = field(default_factory=asyncio.Event)
    _next: int = 0

    def all(self) -> list[Object]:
        """What is held, the longest first."""
        return list(self._held.values())

    def release(self) -> int:
        """Let everything go at once. Returns how many were held."""
        count = len(self._held)
        self._ended.set()
        self._ended = asyncio.Event()
        return count

    @contextmanager
    def _listed(self, method: str, path: str, key: str | None, committed: str) -> Iterator[None]:
        self._next += 1
        number = self._next
        self._held[number] = {
            "method": method,
            "path": path,
            "idempotency_key": key,
            "since": time.time(),
            "phase": committed,
        }
        try:
            yield
        finally:
            del self._held[number]

    async def hold(
        self,
        delay_s: float,
        *,
        method: str,
        path: str,
        key: str | None,
        phase: str,
        gone: asyncio.Task[None] | None = None,
    ) -> None:
        """Wait until the delay is over, the switch releases all, or (when watched) the caller is gone."""
        with self._listed(method, path, key, phase):
            ended = asyncio.create_task(self._ended.wait())
            waiting: set[asyncio.Task[None] | asyncio.Task[bool]] = {ended} if gone is None else {ended, gone}
            try:
                await asyncio.wait(waiting, timeout=delay_s, return_when=asyncio.FIRST_COMPLETED)
            finally:
                ended.cancel()
