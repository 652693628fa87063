"""The ASGI application: SES's send operation, the mailbox's pages and JSON, and the switches that make it misbehave."""

import asyncio
import json
import re
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import msgspec

from sandbox.post import pages
from sandbox.post.box import Box
from sandbox.post.letter import Letter, Refused, read_letter
from sandbox.stripe.incoming import Incoming, Outgoing, Receive, Send, answer_with, as_json, cut, read, until_gone
from sandbox.stripe.wire import Object

SHOWN_MAX = 200
HOLD_MAX_S = 600
SEND_PATH = "/v2/email/outbound-emails"


class FaultKind(StrEnum):
    """What goes wrong with a send."""

    THROTTLE = "throttle"
    REJECT = "reject"
    PAUSED = "paused"
    ERROR_AFTER_COMMIT = "error_after_commit"
    """Kept, but the sender is told 500: its retry makes a second message, as with SES itself."""
    TIMEOUT_AFTER_COMMIT = "timeout_after_commit"
    """Kept, and the answer is held for `delay_s`."""
    DOWN = "down"
    """The connection is cut."""


@dataclass
class Fault:
    """A fault still to happen."""

    kind: FaultKind
    times: int
    delay_s: float


_REFUSALS = {
    FaultKind.THROTTLE: ("TooManyRequestsException", "Maximum sending rate exceeded.", 429),
    FaultKind.REJECT: ("MessageRejected", "Email address is not verified.", 400),
    FaultKind.PAUSED: ("SendingPausedException", "Email sending is disabled for this account.", 400),
}


class Post:
    """SES's stand-in as an ASGI application; messages are files, faults last as long as the process."""

    def __init__(self, directory: Path, prefix: str = "/sandbox/mail") -> None:
        self._box = Box(directory)
        self._prefix = prefix.rstrip("/")
        self._faults: list[Fault] = []

    async def __call__(self, scope: Object, receive: Receive, send: Send) -> None:
        """Serve one request, or the life of the process."""
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Object, receive: Receive, send: Send) -> None:
        incoming = await read(scope, receive)
        if incoming is None:
            await answer_with(send, _refusal(Refused("BadRequestException", "The message is too large.")))
        elif incoming.path == SEND_PATH and incoming.method == "POST":
            await self._take_letter(incoming, receive, send)
        else:
            await answer_with(send, self._serve_person(incoming))

    async def _take_letter(self, incoming: Incoming, receive: Receive, send: Send) -> None:
        fault = self._next_fault()
        kind = None if fault is None else fault.kind
        if kind is FaultKind.DOWN:
            await cut(receive, send)
            return
        try:
            letter = self._read(incoming, kind)
        except Refused as error:
            await answer_with(send, _refusal(error))
            return
        self._box.keep(letter)
        if kind is FaultKind.TIMEOUT_AFTER_COMMIT:
            assert fault is not None
            gone = asyncio.create_task(until_gone(receive))
            await asyncio.wait({gone}, timeout=fault.delay_s)
            gone.cancel()
        if kind is FaultKind.ERROR_AFTER_COMMIT:
            failure = Refused("InternalServiceErrorException", "The sandbox was told to fail.", 500)
            await answer_with(send, _refusal(failure))
            return
        await answer_with(send, as_json({"MessageId": letter.id}))

    def _read(self, incoming: Incoming, fault: FaultKind | None) -> Letter:
        if fault in _REFUSALS:
            raise Refused(*_REFUSALS[fault])
        # The real service refuses a request without its signature; checking the signature itself proves nothing here.
        if not incoming.headers.get("authorization", "").startswith("AWS4-HMAC-SHA256 "):
            raise Refused("MissingAuthenticationTokenException", "Missing Authentication Token", 403)
        try:
            asked = incoming.json()
        except ValueError as error:
            raise Refused("BadRequestException", f"The request is not JSON: {error}") from None
        # The id begins with the time in hexadecimal milliseconds, so file names sort by age; SES's look alike.
        message_id = f"{time.time_ns() // 1000:016x}-{secrets.token_hex(6)}-000000"
        return read_letter(asked, message_id, datetime.now(UTC).isoformat().replace("+00:00", "Z"))

    def _next_fault(self) -> Fault | None:
        if not self._faults:
            return None
        fault = self._faults[0]
        fault.times -= 1
        if fault.times == 0:
            self._faults.pop(0)
        return fault

    def _serve_person(self, incoming: Incoming) -> Outgoing:  # noqa: PLR0911 - each page a return
        if incoming.path == "/" and incoming.method == "GET":
            return Outgoing(303, b"", headers={"Location": self._prefix})
        if not incoming.path.startswith(self._prefix):
            return as_json({"message": f"no such page: {incoming.path}"}, 404)
        path = incoming.path.removeprefix(self._prefix)
        if path == "/faults":
            return self._switch(incoming)
        if path == "/messages":
            return self._list_messages(incoming)
        if incoming.method != "GET":
            return as_json({"message": "pages are only read"}, 405)
        if path in {"", "/"}:
            return pages.show_list(self._box.newest(SHOWN_MAX, incoming.asked("to")), self._prefix)
        asked = re.fullmatch(r"/([\w-]+)(/html)?", path)
        letter = None if asked is None else self._box.find(asked[1])
        if asked is None or letter is None:
            return pages.show_missing()
        return pages.show_html(letter) if asked[2] else pages.show_letter(letter, self._prefix)

    def _list_messages(self, incoming: Incoming) -> Outgoing:
        if incoming.method == "DELETE":
            return as_json({"deleted": self._box.empty()})
        letters = self._box.newest(SHOWN_MAX, incoming.asked("to"))
        return Outgoing(200, msgspec.json.encode(letters), "application/json")

    def _switch(self, incoming: Incoming) -> Outgoing:
        if incoming.method == "DELETE":
            self._faults.clear()
        elif incoming.method == "POST":
            try:
                self._faults.append(_read_fault(incoming.json()))
            except ValueError as error:
                return as_json({"message": str(error)}, 400)
        return as_json([{"kind": one.kind, "times": one.times, "delay_s": one.delay_s} for one in self._faults])


def _read_fault(asked: Object) -> Fault:
    times, delay_s = asked.get("times", 1), asked.get("delay_s", 30)
    if (
        not isinstance(times, int)
        or times < 1
        or not isinstance(delay_s, int | float)
        or not 0 <= delay_s <= HOLD_MAX_S
    ):
        message = f"times is 1 or more, delay_s 0 to {HOLD_MAX_S}"
        raise ValueError(message)
    return Fault(FaultKind(asked.get("kind", "")), times, delay_s)


def _refusal(error: Refused) -> Outgoing:
    """An error in AWS's REST-JSON form: its name in a header, its message in the body."""
    body = json.dumps({"message": str(error)}).encode()
    headers = {"x-amzn-ErrorType": error.name, "x-amzn-RequestId": secrets.token_hex(16)}
    return Outgoing(error.status, body, "application/json", headers)
