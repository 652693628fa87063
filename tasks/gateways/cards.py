"""Stripe, through its own SDK: charges, captures, transfers and connected accounts.

Every call that moves something carries an idempotency key that the caller derives from a row of ours, the same on each
retry. The SDK's own retries are off: the queue retries, and it remembers.
"""

from collections.abc import Awaitable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final, TypeVar

import msgspec
import stripe
from stripe import StripeClient

import settings
from models.errors import Refused, Unreachable
from models.guard import outside_transaction

API_VERSION: Final = "2026-10-28.endive"
"""The version of Stripe's API that this module was written for; an upgrade is a deliberate change here."""

TIMEOUT_S: Final = 15.0
"""Below the payments queue's time limit of 20 s, so that a silent Stripe is `Unreachable` and not a killed job."""

DECLINED: Final = "card_declined"
"""The one code of every refusal by a bank; the decline code says which."""

NO_KEY: Final = "Card payments are not configured here: STRIPE_SECRET_KEY is not set."

T = TypeVar("T")


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """A PaymentIntent, as far as we use it. Amounts in the smallest unit; `capture_before` of a held charge."""

    intent_id: str
    status: str
    amount_minor: int
    amount_received_minor: int
    currency: str
    charge_id: str | None
    capture_before: datetime | None
    client_secret: str | None
    failure_code: str | None
    decline_code: str | None
    failure_message: str | None
    metadata: dict[str, str]

    def __repr__(self) -> str:
        """Without the client secret: reprs end in logs."""
        return f"<Intent {self.intent_id} {self.status} {self.amount_minor} {self.currency}>"


class PayoutAccount(msgspec.Struct, frozen=True, kw_only=True):
    """A connected account; `ready` when transfers to it are possible."""

    account_id: str
    ready: bool
    metadata: dict[str, str]


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """Money sent to a connected account out of one charge; the amount in the smallest unit."""

    transfer_id: str
    amount_minor: int
    currency: str
    charge_id: str | None
    metadata: dict[str, str]


class _Broken(Unreachable):
    """Stripe answered, and failed. It may have acted, and repeats this answer under the key for a day: look."""


class _Transport(stripe.HTTPXClient):
    """The SDK's own transport, sending bodies as httpx wants them: its way is deprecated there, and warns."""

    def _get_request_args_kwargs(
        self, method: str, url: str, headers: Mapping[str, str], post_data: str | bytes | None
    ) -> list[Any]:
        body = post_data.encode() if isinstance(post_data, str) else post_data
        return [(method, url), {"headers": headers, "content": body or b"", "timeout": TIMEOUT_S}]


@cache
def _transport() -> _Transport:
    return _Transport(timeout=TIMEOUT_S)


async def close() -> None:
    """Close the connections to Stripe; the next call opens new ones."""
    if _transport.cache_info().currsize:
        await _transport().close_async()  # type: ignore[no-untyped-call]
    _transport.cache_clear()
    _client.cache_clear()


@cache
def _client() -> StripeClient:
    config = settings.load().stripe
    if not config.secret_key:
        raise Refused(NO_KEY, code="cards_not_configured")
    return StripeClient(
        config.secret_key,
        stripe_version=API_VERSION,
        base_addresses={"api": config.api_base},
        max_network_retries=0,
        http_client=_transport(),
    )


async def _ask(call: Awaitable[T]) -> T:
    """Await one call and translate what can go wrong with it."""
    outside_transaction()
    try:
        return await call
    except stripe.CardError as error:
        raise Refused(
            error.user_message or "The card was declined.", code=DECLINED, decline_code=_decline_code(error)
        ) from error
    except (
        stripe.RateLimitError,
        stripe.APIConnectionError,
        stripe.AuthenticationError,
        stripe.PermissionError,
    ) as error:
        # A key that is being rolled, or may too little, is our mistake and no answer: a release must outlive it.
        raise Unreachable(f"Stripe: {type(error).__name__}", retry_after_s=_retry_after(error)) from error
    except stripe.StripeError as error:
        status = error.http_status or 500
        # 409: our own earlier call with this key is still being worked on. Below 400: an answer that was cut off.
        if status < 400 or status == 409:
            raise Unreachable(f"Stripe answered {status}.") from error
        if status >= 500:
            raise _Broken(f"Stripe answered {status}.") from error
        raise Refused(error.user_message or "Stripe refused.", code=error.code or "refused_by_stripe") from error


def _decline_code(error: stripe.CardError) -> str | None:
    """The bank's word; some declines (an expired card, a wrong CVC) have only the error's own code."""
    found = error.error.decline_code if error.error else None
    return found or error.code


def _retry_after(error: stripe.StripeError) -> float | None:
    try:
        return float(error.headers["retry-after"]) if error.headers else None
    except (KeyError, ValueError, TypeError):
        return None


async def create_customer(*, email: str, name: str, user_id: int, key: str) -> str:
    """Make a customer for the payer and return its id. One that is made and never used moves nothing."""
    made = await _ask(
        _client().v1.customers.create_async(
            {"email": email, "name": name, "metadata": {"user_id": str(user_id)}},
            {"idempotency_key": key},
        )
    )
    return made.id


async def create_intent(
    *,
    amount_minor: int,
    currency: str,
    customer_id: str,
    hold: bool,
    group: str,
    description: str,
    metadata: dict[str, str],
    key: str,
) -> Intent:
    """Make an unconfirmed PaymentIntent: nothing is charged until `confirm`."""
    params: Any = {
        "amount": amount_minor,
        "currency": currency.lower(),
        "customer": customer_id,
        "capture_method": "manual" if hold else "automatic",
        "allowed_payment_method_types": ["card"],
        "transfer_group": group,
        "description": description,
        "metadata": metadata,
    }
    return _intent(await _ask(_client().v1.payment_intents.create_async(params, {"idempotency_key": key})))


async def confirm(intent_id: str, *, payment_method_id: str, return_url: str, key: str) -> Intent:
    """Charge or hold. Raises Refused when the bank declines; `requires_action` is an answer, not an error.

    One that was paid meanwhile (in the customer's browser) is answered as it stands.
    """
    params: Any = {
        "payment_method": payment_method_id,
        "return_url": return_url,
        "expand": ["latest_charge"],
    }
    call = _client().v1.payment_intents.confirm_async(intent_id, params, {"idempotency_key": key})
    return await _unless_there(call, intent_id, "requires_action", "requires_capture", "succeeded", "processing")


async def read_intent(intent_id: str) -> Intent:
    """The PaymentIntent as it is now."""
    return _intent(await _ask(_client().v1.payment_intents.retrieve_async(intent_id, {"expand": ["latest_charge"]})))


async def capture(intent_id: str, *, key: str) -> Intent:
    """Turn the hold into money in the platform's balance. One that is captured already is answered as it stands."""
    params: Any = {"expand": ["latest_charge"]}
    call = _client().v1.payment_intents.capture_async(intent_id, params, {"idempotency_key": key})
    return await _unless_there(call, intent_id, "succeeded")


async def cancel(intent_id: str, *, key: str) -> Intent:
    """Let go of a PaymentIntent. One that is cancelled, or paid, already is answered as it stands."""
    call = _client().v1.payment_intents.cancel_async(intent_id, {}, {"idempotency_key": key})
    return await _unless_there(call, intent_id, "canceled", "succeeded")


async def _unless_there(call: Awaitable[Any], intent_id: str, *statuses: str) -> Intent:
    """The answer to the call; or, when that is a no or a failure, the intent that is where it was meant to go."""
    try:
        return _intent(await _ask(call))
    except (Refused, _Broken) as error:
        if isinstance(error, Refused) and error.code == DECLINED:
            raise
        found = await read_intent(intent_id)
        if found.status in statuses:
            return found
        raise


async def transfer(
    *, amount_minor: int, currency: str, account_id: str, charge_id: str, group: str, metadata: dict[str, str], key: str
) -> Transfer:
    """Send part of a charge to a connected account; it waits there for the charge's own money (`source_transaction`).

    A transfer of the group that carries the same `release_id` is answered instead of made again: Stripe forgets an
    idempotency key after a day, and a retry may come later.
    """
    found = await _ask(_client().v1.transfers.list_async({"transfer_group": group, "limit": 100}))
    for one in map(_transfer, found.data):
        # The charge too: after a restore from a backup the ids of rows are given a second time, Stripe's never.
        if one.metadata.get("release_id") == metadata["release_id"] and one.charge_id == charge_id:
            return one
    params: Any = {
        "amount": amount_minor,
        "currency": currency.lower(),
        "destination": account_id,
        "source_transaction": charge_id,
        "transfer_group": group,
        "metadata": metadata,
    }
    return _transfer(await _ask(_client().v1.transfers.create_async(params, {"idempotency_key": key})))


async def read_transfer(transfer_id: str) -> Transfer:
    """The transfer as it is now."""
    return _transfer(await _ask(_client().v1.transfers.retrieve_async(transfer_id)))


async def create_account(*, email: str, user_id: int, key: str) -> PayoutAccount:
    """Make a connected account that can take transfers once its owner has onboarded."""
    params: Any = {
        "type": "express",
        "email": email,
        "capabilities": {"transfers": {"requested": True}},
        "metadata": {"user_id": str(user_id)},
    }
    return _account(await _ask(_client().v1.accounts.create_async(params, {"idempotency_key": key})))


async def read_account(account_id: str) -> PayoutAccount:
    """The connected account as it is now."""
    return _account(await _ask(_client().v1.accounts.retrieve_async(account_id)))


async def onboarding_link(account_id: str, *, return_url: str, refresh_url: str) -> str:
    """A link, good once and for minutes, on which the account's owner completes it."""
    params: Any = {
        "account": account_id,
        "type": "account_onboarding",
        "return_url": return_url,
        "refresh_url": refresh_url,
    }
    return (await _ask(_client().v1.account_links.create_async(params))).url


def _metadata(found: Any) -> dict[str, str]:
    return {} if found.metadata is None else {str(name): str(value) for name, value in found.metadata.to_dict().items()}


def _transfer(found: Any) -> Transfer:
    charge = found.source_transaction
    return Transfer(
        transfer_id=found.id,
        amount_minor=found.amount,
        currency=found.currency,
        charge_id=getattr(charge, "id", charge),
        metadata=_metadata(found),
    )


def _account(found: Any) -> PayoutAccount:
    transfers = getattr(found.capabilities, "transfers", None)
    return PayoutAccount(
        account_id=found.id,
        ready=bool(found.payouts_enabled) and transfers == "active",
        metadata=_metadata(found),
    )


def _intent(found: Any) -> Intent:
    """Only what we use, and tolerant of what we do not know. `latest_charge` is an id unless it was expanded."""
    charge, error = found.latest_charge, found.last_payment_error
    card = getattr(getattr(charge, "payment_method_details", None), "card", None)
    until = getattr(card, "capture_before", None)
    return Intent(
        intent_id=found.id,
        status=found.status,
        amount_minor=found.amount,
        amount_received_minor=found.amount_received or 0,
        currency=found.currency,
        charge_id=getattr(charge, "id", charge),
        capture_before=datetime.fromtimestamp(until, UTC) if until else None,
        client_secret=found.client_secret,
        failure_code=getattr(error, "code", None),
        decline_code=getattr(error, "decline_code", None),
        failure_message=getattr(error, "message", None),
        metadata=_metadata(found),
    )
