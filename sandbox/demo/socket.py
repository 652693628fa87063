"""A browser's ear: a Socket.IO client with no option but its token."""

import threading
import time
from typing import Any

import socketio


class Ear:
    """A signed-in socket that remembers what it heard, each event with its sequence number."""

    def __init__(self, url: str, token: str) -> None:
        self.heard: list[tuple[str, Any, dict[str, Any]]] = []
        self._news = threading.Condition()
        self._client = socketio.Client(reconnection=True, reconnection_delay=0.2, reconnection_delay_max=1)
        self._client.on("*", self._hear)
        self._client.connect(url, auth={"token": token}, wait_timeout=10)

    def _hear(self, name: str, payload: Any = None, meta: Any = None) -> None:
        with self._news:
            self.heard.append((name, payload, meta or {}))
            self._news.notify_all()

    def wait_for(self, name: str, limit_s: float = 20, **fields: Any) -> Any:
        """The first event of this name whose payload has these fields, or None when none came in time."""
        deadline = time.monotonic() + limit_s
        with self._news:
            while True:
                for heard, payload, _ in self.heard:
                    if heard == name and fields.items() <= payload.items():
                        return payload
                left = deadline - time.monotonic()
                if left <= 0:
                    return None
                self._news.wait(left)

    def numbers(self) -> list[int]:
        """The sequence numbers heard, in the order they came."""
        return [meta["seq"] for _, _, meta in self.heard if "seq" in meta]

    def call(self, name: str, payload: dict[str, Any]) -> Any:
        """Send an event and return its acknowledgement."""
        return self._client.call(name, payload, timeout=10)

    def close(self) -> None:
        """Leave."""
        self._client.disconnect()
