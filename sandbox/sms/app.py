"""The ASGI application: Twilio's send operation, the messages' page and JSON, and the switches that make it misbehave.

It takes no live account: an account SID must contain `sandbox`, as the desk's own does, and as none of Twilio's can.
"""

import asyncio
import base64
import binascii
import hmac
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import msgspec

from sandbox.sms.box import Box
from sandbox.sms.message import Message, Refused, read_message, render
from sandbox.sms.pages import show_list
from sandbox.stripe.incoming import Incoming, Outgoing, Receive, Send, answer_with, as_json, cut, read, until_gone
from sandbox.stripe.wire import Object

SHOWN_MAX = 200
HOLD_MAX_S = 600
SEND_PATH = re.compile(r"/2010-04-01/Accounts/([^/]+)/Messages\.json")


class FaultKind(StrEnum):
    """What goes wrong with a send."""

    THROTTLE = "throttle"
    REJECT = "reject"
    ERROR = "error"
    """500, and not kept."""
    ERROR_AFTER_COMMIT = "error_after_commit"
    """Kept, but the sender is told 500: its retry makes a second message, as with Twilio itself."""
    TIMEOUT_AFTER_COMMIT = "timeout_after_commit"
    """Kept, and the answer is held for `delay_s`."""
    GARBAGE_AFTER_COMMIT = "garbage_after_commit"
    """Kept, but the answer is no JSON, as of a proxy in between."""
    EMPTY_AFTER_COMMIT = "empty_after_commit"
    """Kept, but the answer says nothing of it."""
    DOWN = "down"
    """The connection is cut."""


@dataclass
class Fault:
    """A fault still to happen."""

    kind: FaultKind
    times: int
    delay_s: float


_FAILURE = Refused(20500, "An internal server error has occurred", 500)
_REFUSALS = {
    FaultKind.THROTTLE: Refused(20429, "Too Many Requests", 429),
    FaultKind.ERROR: _FAILURE,
}


class Sms:
    """Twilio's stand-in as an ASGI application; messages are files, faults last as long as the process.

    Without an `auth_token` of its own it takes any that is not empty.
    """

    def __init__(self, directory: Path, prefix: str = "/sandbox/sms", auth_token: str = "") -> None:
        self._box = Box(directory)
        self._prefix = prefix.rstrip("/")
        self._auth_token = auth_token
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
            await answer_with(send, _refusal(Refused(20004, "The request is too large.", 413)))
        elif incoming.path.startswith("/2010-04-01/"):
            await self._take_message(incoming, receive, send)
        else:
            await answer_with(send, self._serve_person(incoming))

    async def _take_message(self, incoming: Incoming, receive: Receive, send: Send) -> None:
        fault = self._next_fault()
        kind = None if fault is None else fault.kind
        if kind is FaultKind.DOWN:
            await cut(receive, send)
            return
        try:
            message = self._read(incoming, kind)
        except Refused as error:
            await answer_with(send, _refusal(error))
            return
        self._box.keep(message)
        if kind is FaultKind.TIMEOUT_AFTER_COMMIT:
            assert fault is not None
            gone = asyncio.create_task(until_gone(receive))
            await asyncio.wait({gone}, timeout=fault.delay_s)
            gone.cancel()
        if kind is FaultKind.ERROR_AFTER_COMMIT:
            await answer_with(send, _refusal(_FAILURE))
        elif kind is FaultKind.GARBAGE_AFTER_COMMIT:
            await answer_with(send, Outgoing(201, b"<html>fine</html>", "text/html"))
        elif kind is FaultKind.EMPTY_AFTER_COMMIT:
            await answer_with(send, as_json({}, 201))
        else:
            await answer_with(send, as_json(render(message), 201))

    def _read(self, incoming: Incoming, fault: FaultKind | None) -> Message:
        account_sid = self._let_in(incoming)
        if fault in _REFUSALS:
            raise _REFUSALS[fault]
        message = read_message(account_sid, incoming.body)
        if fault is FaultKind.REJECT:
            # Twilio's words may name the number; whoever repeats them to somebody else is to be found out here.
            raise Refused(21610, f"Attempt to send to unsubscribed recipient {message.to}")
        return message

    def _let_in(self, incoming: Incoming) -> str:
        """The account that asks. Raises Refused, as Twilio does, when it cannot prove to be the path's."""
        asked = SEND_PATH.fullmatch(incoming.path)
        if asked is None or incoming.method != "POST":
            raise Refused(20404, f"The requested resource {incoming.path} was not found", 404)
        scheme, _, given = incoming.headers.get("authorization", "").partition(" ")
        try:
            account_sid, _, token = base64.b64decode(given, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            account_sid = token = ""
        fits = hmac.compare_digest(token.encode(), self._auth_token.encode()) if self._auth_token else bool(token)
        if scheme.lower() != "basic" or account_sid != asked[1] or not fits:
            raise Refused(20003, "Authenticate", 401)
        if "sandbox" not in account_sid:
            raise Refused(20003, "This is a stand-in, and that may be a live account: it is not taken here.", 403)
        return account_sid

    def _next_fault(self) -> Fault | None:
        if not self._faults:
            return None
        fault = self._faults[0]
        fault.times -= 1
        if fault.times == 0:
            self._faults.pop(0)
        return fault

    def _serve_person(self, incoming: Incoming) -> Outgoing:
        if incoming.path == "/" and incoming.method == "GET":
            return Outgoing(303, b"", headers={"Location": self._prefix})
        path = incoming.path.removeprefix(self._prefix) if incoming.path.startswith(self._prefix) else None
        if path == "/faults":
            return self._switch(incoming)
        if path == "/messages":
            return self._list_messages(incoming)
        if path in {"", "/"} and incoming.method == "GET":
            return show_list(self._box.newest(SHOWN_MAX, incoming.asked("to")))
        return as_json({"message": f"no such page: {incoming.path}"}, 404)

    def _list_messages(self, incoming: Incoming) -> Outgoing:
        if incoming.method == "DELETE":
            return as_json({"deleted": self._box.empty()})
        messages = self._box.newest(SHOWN_MAX, incoming.asked("to"))
        return Outgoing(200, msgspec.json.encode(messages), "application/json")

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
    return as_json(error.render(), error.status)
