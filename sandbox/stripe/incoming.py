"""A request read whole, and an answer to be sent: the little of HTTP that the application needs."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from sandbox.stripe.wire import Object

Receive = Callable[[], Awaitable[Object]]
Send = Callable[[Object], Awaitable[None]]

BODY_MAX = 1_000_000
"""A megabyte; Stripe's largest form is far smaller."""


@dataclass
class Incoming:
    """A request with its body."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    base_url: str

    @property
    def wants_page(self) -> bool:
        """Whether a browser asks."""
        return "text/html" in self.headers.get("accept", "")

    def asked(self, name: str) -> str | None:
        """A parameter of the query."""
        return dict(parse_qsl(self.query)).get(name)

    def json(self) -> Object:
        """The body as a JSON object; an empty body is an empty one. Raises ValueError for anything else."""
        document = json.loads(self.body or b"{}")
        if not isinstance(document, dict):
            message = "the body must be a JSON object"
            raise ValueError(message)  # noqa: TRY004
        return document


@dataclass
class Outgoing:
    """An answer."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)


async def read(scope: Object, receive: Receive) -> Incoming | None:
    """The request with its body, or None when that is too large."""
    body = bytearray()
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > BODY_MAX:
            return None
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    return Incoming(
        method=scope["method"],
        path=scope["path"],
        query=scope["query_string"].decode("latin-1"),
        headers=headers,
        body=bytes(body),
        base_url=f"http://{headers.get('host', '127.0.0.1')}",
    )


def as_json(value: Any, status: int = 200) -> Outgoing:
    """An answer in JSON that a person can read too."""
    return Outgoing(status, json.dumps(value, indent=2).encode(), "application/json")


async def answer_with(send: Send, outgoing: Outgoing) -> None:
    """Send the answer, whole."""
    headers = {
        "Content-Type": outgoing.content_type,
        "Content-Length": str(len(outgoing.body)),
        "Cache-Control": "no-store",
        **outgoing.headers,
    }
    encoded = [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": int(outgoing.status), "headers": encoded})
    await send({"type": "http.response.body", "body": outgoing.body})


async def until_gone(receive: Receive) -> None:
    """Wait until the caller has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def cut(receive: Receive, send: Send) -> None:
    """Break the connection without an answer. ASGI has no word for it, so the server's own transport is used."""
    cycle: Any = getattr(send, "__self__", None)
    assert cycle is not None, "refuse_connection needs uvicorn"
    cycle.transport.abort()
    await until_gone(receive)
