"""What performers and callbacks share about intents: how they look to the domain, and how they are given up."""

from typing import Final

import msgspec

import settings
from models import guard
from models.escrow import funding
from models.payments import IntentSeen
from tasks.gateways import cards
from tasks.gateways.cards import Intent
from wire.sealing import Sealer

UNPAID: Final = "requires_payment_method"
"""Stripe's name for an intent whose last attempt was declined, or that had none yet."""


def seen(intent: Intent) -> IntentSeen:
    """The intent for the domain's eyes: its client secret goes in sealed."""
    tokens = settings.load().tokens
    sealed = Sealer(tokens.key, tokens.old_keys).seal(intent.client_secret) if intent.client_secret else None
    return msgspec.convert({**msgspec.structs.asdict(intent), "client_secret_sealed": sealed}, IntentSeen)


async def call_off(payment_id: int, code: str, decline_code: str | None = None) -> IntentSeen | None:
    """Decide to give a payment up, then close its intent, so that nobody can pay it later in a browser.

    Decided first, because between a look and the closing somebody may pay: then only a capture counts. Returns the
    intent that was captured all the same, which funds its milestone; else None, and `complete_canceling` ends it.
    """
    payment = await guard.commit(funding.begin_canceling, payment_id, code, decline_code)
    if payment is None or payment.intent_id is None:
        return None
    closed = await cards.cancel(payment.intent_id, key=f"cancel:{payment.intent_id}")
    return seen(closed) if closed.status == "succeeded" else None
