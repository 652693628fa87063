"""Provider callbacks: verify the signature, store in the inbox, answer. The work is a job's."""

import hmac
import time
from hashlib import sha256
from typing import Any, Final

import msgspec
from litestar import Request, Router, post
from litestar.datastructures import State
from litestar.status_codes import HTTP_200_OK

from api.auth import ANYBODY, PUBLIC
from api.limits import UNLIMITED
from api.requests import MAX_CALLBACK_BODY_BYTES
from models import guard, inbox
from models.errors import CallbackRefused
from settings import Settings

TOLERANCE_S: Final = 300
"""How old a signed callback may be: Stripe's own default. Redeliveries are signed anew."""

MAX_SIGNATURES: Final = 8
"""Stripe sends one for each secret that is being rolled; more than a few is somebody's game."""


class _Envelope(msgspec.Struct):
    """What must be known of an event to store it; the rest is kept as it came."""

    id: str
    type: str
    livemode: bool


class Received(msgspec.Struct):
    """The answer to a callback that is stored now, or was before."""

    received: bool = True


def is_signed(header: str, body: bytes, secrets: tuple[str, ...], now: float) -> bool:
    """Whether a `Stripe-Signature` header signs this body with one of the secrets, at most TOLERANCE_S ago.

    The scheme: `t` is Unix seconds, each `v1` the hex HMAC-SHA256 of `{t}.{body}`.
    """
    parts = [part.strip().partition("=") for part in header.split(",")]
    stamps = [value for name, _, value in parts if name == "t"]
    signatures = [value for name, _, value in parts if name == "v1"][:MAX_SIGNATURES]
    if len(stamps) != 1 or not stamps[0].isascii() or not stamps[0].isdecimal() or len(stamps[0]) > 12:
        return False
    if abs(now - int(stamps[0])) > TOLERANCE_S:
        return False
    signed = stamps[0].encode() + b"." + body
    expected = [hmac.new(secret.encode(), signed, sha256).hexdigest() for secret in secrets if secret]
    # Bytes, because compare_digest refuses text that is not ASCII.
    return any(hmac.compare_digest(one.encode(), sent.encode()) for one in expected for sent in signatures)


@post(
    "/api/stripe/webhooks",
    status_code=HTTP_200_OK,
    opt=PUBLIC | UNLIMITED,
    security=ANYBODY,
    request_max_body_size=MAX_CALLBACK_BODY_BYTES,
)
async def receive_stripe(request: Request[Any, Any, State], state: State) -> Received:
    """Store a Stripe event, once per event id, before the 200; anything unsigned is refused and leaves no trace."""
    config: Settings = state.settings
    body = await request.body()
    secrets = (config.stripe.webhook_secret, config.stripe.connect_webhook_secret)
    if not is_signed(request.headers.get("stripe-signature", ""), body, secrets, time.time()):
        raise CallbackRefused("The Stripe-Signature header does not sign this body, or is too old.")
    try:
        # As text, because fields that the envelope skips are not looked into, and may be no UTF-8.
        payload = body.decode()
        event = msgspec.json.decode(payload, type=_Envelope)
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError):
        raise CallbackRefused("The body is not an event.") from None
    if event.livemode != ("_live_" in config.stripe.secret_key):  # sk_live_, or a restricted rk_live_
        raise CallbackRefused("The event is of Stripe's other mode (livemode).")
    await guard.commit(inbox.receive, "stripe", event.id, event.type, payload)
    return Received()


router = Router(path="/", route_handlers=[receive_stripe], tags=["stripe"])
