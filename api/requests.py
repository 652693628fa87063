"""What every request passes through, found or not: its id, the security headers, the access log."""

import re
import time
from collections.abc import Sequence
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final

import msgspec
import structlog
from litestar import Litestar, Request
from litestar.datastructures import Headers, MutableScopeHeaders
from litestar.exceptions import HTTPException, ValidationException
from litestar.handlers import BaseRouteHandler
from litestar.types import Message, Receive, Scope, Send

from models.base import uuid7
from models.errors import Invalid
from models.outbox import Origin, caused_by
from models.visitors import Place, Visitor
from wire.limits import Taken
from wire.metrics import Requests
from wire.places import Places

log = structlog.get_logger("api.access")

MAX_BODY_BYTES: Final = 1 << 18
"""Bodies are JSON documents, decoded on the event loop; files go to storage by pre-signed addresses."""
MAX_ANONYMOUS_BODY_BYTES: Final = 1 << 14
"""Signing up and in take a few hundred bytes, and nobody knows yet who sends them."""
MAX_CALLBACK_BODY_BYTES: Final = 1 << 20
"""A provider's callback is hashed before it is decoded, so size costs little."""
SANE_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}", re.ASCII)
"""A request id from outside is written into logs, rows and headers, so only what is harmless in all of them is kept."""
TAKEN: Final = "rate_limit"
"""Where in the scope stands what was taken of a limit, for the headers of every answer, also of a refusal."""
QUIET: Final = ("/api/health/", "/metrics")
"""Probes come every few seconds; their answers are not worth a line each unless they fail."""

_JSON: Final = "application/json"
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-store",
}
"""For every answer that does not say otherwise; pages for people bring their own policy."""


class Application(Litestar):
    """Litestar behind our own door, so that even what it refuses before routing has an id, headers and a log line."""

    hsts: bool = False
    """Whether to tell browsers to come by https alone: only where the public address is https."""
    counted: Requests
    """Where every answer is counted."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # type: ignore[override]
        """Serve a request, or a lifespan event."""
        if scope["type"] != "http":  # type: ignore[comparison-overlap]
            await super().__call__(scope, receive, send)
            return
        began = time.perf_counter()
        request_id = _request_id(scope)
        status = 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._put_headers(message, request_id, scope.get(TAKEN))  # type: ignore[arg-type]
            await send(message)

        with caused_by(Origin(request_id=request_id)), structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await super().__call__(scope, receive, sending)
            finally:
                seconds = time.perf_counter() - began
                self.counted.answered(scope["method"], scope.get("path_template"), status, seconds)  # type: ignore[typeddict-item]
                _log(scope, status, seconds)

    def _put_headers(self, message: Message, request_id: str, taken: Taken | None) -> None:
        headers = MutableScopeHeaders.from_message(message)
        headers["X-Request-ID"] = request_id
        if taken is not None:
            headers["RateLimit-Limit"] = str(taken.limit)
            headers["RateLimit-Remaining"] = str(taken.remaining)
            headers["RateLimit-Reset"] = str(taken.reset_s)
            if taken.retry_after_s:
                headers["Retry-After"] = str(taken.retry_after_s)
        for name, value in _HEADERS.items():
            headers.setdefault(name, value)
        if self.hsts:
            headers["Strict-Transport-Security"] = "max-age=31536000; includeSubDomains"


def _request_id(scope: Scope) -> str:
    sent = Headers.from_scope(scope).get("x-request-id", "")
    return sent if SANE_ID.fullmatch(sent) else str(uuid7())


def client_address(request: Request[Any, Any, Any]) -> str:
    """The address that a request came from; empty when the server cannot say.

    X-Forwarded-For is believed as far as trusted proxies wrote it: from the right, up to the first stranger.
    """
    trusted = _networks(request.app.state.settings.web.trusted_proxies)
    hops = [request.client.host] if request.client else []
    forwarded = ",".join(request.headers.getall("x-forwarded-for", []))
    hops = [*(hop.strip() for hop in forwarded.split(",") if hop.strip()), *hops]
    while len(hops) > 1 and _within(hops[-1], trusted) and _read(hops[-2]) is not None:
        hops.pop()
    return str(_read(hops[-1]) or hops[-1]) if hops else ""


def visitor_of(request: Request[Any, Any, Any]) -> Visitor:
    """Who knocks: browser, address, and the place of that address when a map is configured and knows it."""
    address = client_address(request)
    user_agent = request.headers.get("user-agent", "")
    return Visitor(user_agent=user_agent, ip_address=address, place=place_of(request, address))


def place_of(request: Request[Any, Any, Any], address: str) -> Place | None:
    """Where an address lies; None without a map, or where the map is silent."""
    places: Places = request.app.state.places
    found = places.find(address)
    return None if found is None else Place(**msgspec.structs.asdict(found))


@cache
def _networks(written: Sequence[str]) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(one, strict=False) for one in written)


def _within(address: str, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    """Whether an address is one, and in any of the networks."""
    found = _read(address)
    return found is not None and any(found in network for network in networks)


def _read(address: str) -> IPv4Address | IPv6Address | None:
    """The address that a hop names, None when it names none. IPv4 in the dress of IPv6 is IPv4: one host, one name."""
    try:
        found = ip_address(address)
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


def _log(scope: Scope, status: int, seconds: float) -> None:
    path = scope["path"]
    if status < 400 and path.startswith(QUIET):
        return
    # The route's template where there is one, and never the query: links carry tokens there.
    log.info(
        "request",
        method=scope["method"],  # type: ignore[typeddict-item]
        # As ASCII: what a terminal would obey is written out.
        path=ascii(path[:200])[1:-1],
        route=scope.get("path_template"),
        status=status,
        user_id=getattr(scope.get("user"), "id", None),
        ms=round(seconds * 1000, 1),
    )


@cache
def _declared(handler: BaseRouteHandler) -> frozenset[str]:
    """The names a handler's query may have, its dependencies' among them."""
    model = handler.create_kwargs_model(path_parameters={})
    return frozenset(one.field_alias for one in model.expected_query_params)


def refuse_unknown_query(request: Request[Any, Any, Any]) -> None:
    """Refuse a query parameter that the route does not declare: a filter that is ignored answers another question.

    Pages for people are left alone: mail programs and browsers append what they like. Raises ValidationException.
    """
    handler = request.route_handler
    if not request.url.query or not handler.resolve_include_in_schema():
        return
    if unknown := sorted(set(request.query_params) - _declared(handler)):
        said = [{"key": name, "message": "There is no such query parameter."} for name in unknown]
        raise ValidationException("The request has unknown query parameters.", extra=said)


async def refuse_other_media(request: Request) -> None:  # type: ignore[type-arg]
    """Refuse a body that is not JSON with 415, before it is read. `opt={"media": …}` names other types for a route.

    Also a defence: a form or a text/plain body can be sent across sites without asking; JSON cannot.
    """
    refuse_unknown_query(request)
    headers = request.headers
    if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
        return
    takes_body = {"data", "request"} & request.route_handler.parsed_fn_signature.parameters.keys()
    if not takes_body or request.route_handler.opt.get("bodiless"):
        # A field that is silently ignored is a promise broken: somebody means it.
        if (await request.body()).strip() not in (b"", b"{}"):
            raise Invalid("This takes no body.")
        return
    wanted = request.route_handler.opt.get("media", _JSON)
    taken = (wanted,) if isinstance(wanted, str) else wanted
    if headers.get("content-type", "").split(";")[0].strip().lower() not in taken:
        raise HTTPException(status_code=415, detail=f"Send the body as {' or '.join(taken)}.")
    if wanted == _JSON:
        await _read_strictly(request)


async def _read_strictly(request: Request) -> None:  # type: ignore[type-arg]
    """Make the body what its handler declares. The framework would take a text for a number and a number for a time.

    Raises ValidationException. What was read stands in for the JSON, so that nothing is read twice.
    """
    declared = request.route_handler.parsed_data_field
    if declared is None:
        return
    sent = await request.json()
    try:
        read = msgspec.convert(sent, declared.annotation, strict=True)
    except msgspec.ValidationError as wrong:
        message, _, place = str(wrong).partition(" - at `$")
        found = {"message": message, "key": place.strip("`.") or "data", "source": "body"}
        raise ValidationException(detail="The body has invalid fields.", extra=[found]) from None
    request._json = request._connection_state.json = read  # noqa: SLF001  where the framework itself keeps it
