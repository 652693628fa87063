"""The ASGI application: one S3 bucket, its page and JSON for a person, and the switches that make it misbehave.

It takes no live account: the access key's id must contain `sandbox`, as the desk's own does.
"""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec

from sandbox.files.answers import Refused, show_list
from sandbox.files.forms import read_form
from sandbox.files.shelf import Shelf, Stored
from sandbox.files.signing import Account, Asked, check, check_policy
from sandbox.stripe.incoming import Outgoing, Receive, Send, answer_with, as_json, cut
from sandbox.stripe.wire import Object

BODY_MAX = 128 << 20
HOLD_MAX_S = 600
_BREATH_S = 0.05
_RANGE = re.compile(r"bytes=(?:(\d+)-(\d*)|-(\d+))", re.ASCII)
_ANYBODY = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "*",
    "Access-Control-Expose-Headers": "ETag",
}


class FaultKind(StrEnum):
    """What goes wrong with a request to the bucket."""

    THROTTLE = "throttle"
    ERROR = "error"
    """500, and nothing done."""
    ERROR_AFTER_COMMIT = "error_after_commit"
    """Done, but the caller is told 503."""
    SLOW = "slow"
    """Done, and the answer is held for `delay_s`."""
    TRUNCATED = "truncated"
    """The answer breaks off half-way."""
    DOWN = "down"
    """The connection is cut."""


@dataclass
class Fault:
    """A fault still to happen; `method` is the only one it happens to, if it is named."""

    kind: FaultKind
    times: int
    delay_s: float
    method: str


_REFUSALS = {
    FaultKind.THROTTLE: Refused(503, "SlowDown", "Please reduce your request rate."),
    FaultKind.ERROR: Refused(500, "InternalError", "We encountered an internal error. Please try again."),
}


class Files:
    """S3's stand-in as an ASGI application; objects are files, faults last as long as the process."""

    def __init__(self, directory: Path, account: Account, bucket: str, prefix: str = "/sandbox/files") -> None:
        self._shelf = Shelf(directory)
        self._account = account
        self._prefix = prefix.rstrip("/")
        self._bucket = f"{self._prefix}/s3/{bucket}"
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
        asked = await _read(scope, receive)
        if asked is None:
            await answer_with(send, Refused(400, "EntityTooLarge", "The request is too large.").render())
        elif asked.raw_path.startswith(f"{self._prefix}/s3/"):
            await self._serve_bucket(asked, receive, send)
        else:
            await answer_with(send, self._serve_person(asked))

    # The bucket ---------------------------------------------------------------------------------------------------

    async def _serve_bucket(self, asked: Asked, receive: Receive, send: Send) -> None:
        fault = self._next_fault(asked.method)
        kind = None if fault is None else fault.kind
        if kind is FaultKind.DOWN:
            await cut(receive, send)
            return
        try:
            if kind in _REFUSALS:
                raise _REFUSALS[kind]
            answer = self._do(asked)
        except Refused as error:
            answer = error.render()
        if fault is not None and kind is FaultKind.SLOW:
            await asyncio.sleep(fault.delay_s)
        if kind is FaultKind.ERROR_AFTER_COMMIT:
            answer = _REFUSALS[FaultKind.THROTTLE].render()
        if asked.method == "HEAD":
            answer.headers.setdefault("Content-Length", str(len(answer.body)))
            answer.body = b""
        answer.headers |= _ANYBODY
        if kind is FaultKind.TRUNCATED:
            await _break_off(answer, receive, send)
        else:
            await answer_with(send, answer)

    def _do(self, asked: Asked) -> Outgoing:
        if asked.method == "OPTIONS":
            return Outgoing(200, b"", headers={"Access-Control-Allow-Methods": "GET, HEAD, POST"})
        path = unquote(asked.raw_path)
        if path != self._bucket and not path.startswith(f"{self._bucket}/"):
            raise Refused(404, "NoSuchBucket", "The specified bucket does not exist")
        key = path.removeprefix(self._bucket).removeprefix("/")
        if asked.method == "POST" and not key:
            return self._take_form(asked)
        check(self._account, asked, datetime.now(UTC))
        verbs: dict[str, Callable[[Asked, str], Outgoing]] = {
            "GET": self._give, "HEAD": self._give, "PUT": self._put, "DELETE": self._drop,
        }  # fmt: skip
        if not key or asked.method not in verbs:
            raise Refused(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")
        return verbs[asked.method](asked, key)

    def _take_form(self, asked: Asked) -> Outgoing:
        fields, content = read_form(asked.headers.get("content-type", ""), asked.body)
        bucket = {"bucket": self._bucket.rpartition("/")[2]}
        check_policy(self._account, {**fields, **bucket}, len(content), datetime.now(UTC))
        if not fields.get("key"):
            raise Refused(400, "InvalidArgument", "Bucket POST must contain a field named 'key'.")
        stored = self._shelf.keep(fields["key"], content, fields.get("content-type", "binary/octet-stream"))
        return Outgoing(204, b"", headers={"ETag": f'"{stored.etag}"'})

    def _give(self, asked: Asked, key: str) -> Outgoing:
        stored = self._find(key)
        if asked.headers.get("if-match", f'"{stored.etag}"').strip('"') != stored.etag:
            raise Refused(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
        content, headers, status = self._shelf.read(key), _headers(stored, asked), 200
        if "range" in asked.headers:
            begin, end = _bounds(asked.headers["range"], stored.size)
            content, status = content[begin:end], 206
            headers["Content-Range"] = f"bytes {begin}-{end - 1}/{stored.size}"
        return Outgoing(status, content, asked.parameters.get("response-content-type", stored.content_type), headers)

    def _put(self, asked: Asked, key: str) -> Outgoing:
        source = asked.headers.get("x-amz-copy-source")
        if source is None:
            kept = self._shelf.keep(key, asked.body, asked.headers.get("content-type", "binary/octet-stream"))
            return Outgoing(200, b"", headers={"ETag": f'"{kept.etag}"'})
        found = self._find(unquote(source).removeprefix("/").partition("/")[2])
        if asked.headers.get("x-amz-copy-source-if-match", f'"{found.etag}"').strip('"') != found.etag:
            raise Refused(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
        replaced = asked.headers.get("x-amz-metadata-directive") == "REPLACE"
        content_type = asked.headers.get("content-type", "") if replaced else found.content_type
        kept = self._shelf.keep(key, self._shelf.read(found.key), content_type)
        body = (
            f'<CopyObjectResult><ETag>"{kept.etag}"</ETag><LastModified>{kept.at:%Y-%m-%dT%H:%M:%S.000Z}</LastModified>'
        )
        return Outgoing(200, f"{body}</CopyObjectResult>".encode(), "application/xml")

    def _drop(self, _: Asked, key: str) -> Outgoing:
        self._shelf.drop(key)
        return Outgoing(204, b"")

    def _find(self, key: str) -> Stored:
        stored = self._shelf.find(key)
        if stored is None:
            raise Refused(404, "NoSuchKey", "The specified key does not exist.")
        return stored

    # Its keeper ---------------------------------------------------------------------------------------------------

    def _next_fault(self, method: str) -> Fault | None:
        for fault in self._faults:
            if fault.method in {"", method}:
                fault.times -= 1
                self._faults = [one for one in self._faults if one.times]
                return fault
        return None

    def _serve_person(self, asked: Asked) -> Outgoing:
        if asked.raw_path == "/" and asked.method == "GET":
            return Outgoing(303, b"", headers={"Location": self._prefix})
        path = asked.raw_path.removeprefix(self._prefix) if asked.raw_path.startswith(self._prefix) else None
        if path == "/faults":
            return self._switch(asked)
        if path == "/objects":
            stored = self._shelf.newest()
            if asked.method == "DELETE":
                for one in stored:
                    self._shelf.drop(one.key)
                return as_json({"deleted": len(stored)})
            return Outgoing(200, msgspec.json.encode(stored), "application/json")
        if path in {"", "/"} and asked.method == "GET":
            return show_list(self._shelf.newest())
        return as_json({"message": f"no such page: {asked.raw_path}"}, 404)

    def _switch(self, asked: Asked) -> Outgoing:
        if asked.method == "DELETE":
            self._faults.clear()
        elif asked.method == "POST":
            try:
                self._faults.append(_read_fault(msgspec.json.decode(asked.body, type=dict[str, Any])))
            except ValueError as error:
                return as_json({"message": str(error)}, 400)
        return as_json([{"kind": one.kind, "times": one.times, "delay_s": one.delay_s} for one in self._faults])


async def _read(scope: Object, receive: Receive) -> Asked | None:
    """The request with its body, or None when that is too large."""
    body = bytearray()
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > BODY_MAX:
            return None
    return Asked(
        method=scope["method"],
        raw_path=scope["raw_path"].decode("latin-1"),
        query=scope["query_string"].decode("latin-1"),
        headers={name.decode("latin-1").lower(): held.decode("latin-1") for name, held in scope["headers"]},
        body=bytes(body),
    )


async def _break_off(answer: Outgoing, receive: Receive, send: Send) -> None:
    """Send half an answer, as who dies on the way does."""
    length = (b"content-length", str(len(answer.body)).encode())
    await send({"type": "http.response.start", "status": answer.status, "headers": [length]})
    half = answer.body[: len(answer.body) // 2]
    await send({"type": "http.response.body", "body": half, "more_body": True})
    await asyncio.sleep(_BREATH_S)
    await cut(receive, send)


def _headers(stored: Stored, asked: Asked) -> dict[str, str]:
    headers = {
        "ETag": f'"{stored.etag}"',
        "Last-Modified": format_datetime(stored.at, usegmt=True),
        "Accept-Ranges": "bytes",
    }
    if "response-content-disposition" in asked.parameters:
        headers["Content-Disposition"] = asked.parameters["response-content-disposition"]
    return headers


def _bounds(asked: str, size: int) -> tuple[int, int]:
    """Where a range begins and ends, the end exclusive. Raises Refused when nothing lies in it."""
    said = _RANGE.fullmatch(asked)
    if said is None:
        return 0, size
    begin = max(0, size - int(said[3])) if said[3] else int(said[1])
    end = min(size, int(said[2]) + 1) if said[2] else size
    if begin >= end:
        raise Refused(416, "InvalidRange", "The requested range is not satisfiable")
    return begin, end


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
    return Fault(FaultKind(asked.get("kind", "")), times, delay_s, str(asked.get("method", "")))
