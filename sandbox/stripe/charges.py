"""Charges: one attempt to take money from a card: refused, held, or captured into the balance."""

from sandbox.stripe import balance, cards, events, refunds
from sandbox.stripe.call import PAGING, Call, Route, route
from sandbox.stripe.money import fee_of
from sandbox.stripe.wire import Object, StripeError, new_id

HOLD_S = 7 * 86_400
"""How long a card's bank keeps the money of an uncaptured charge: docs.stripe.com/payments/place-a-hold."""
HOLD_MERCHANT_INITIATED_VISA_S = 5 * 86_400
"""Visa's shorter hold when the customer was not there (off_session)."""


def _card_details(call: Call, method: Object, intent: Object, *, held: bool, authenticated: bool) -> Object:
    card: Object = method["card"]
    details: Object = {
        "amount_authorized": intent["amount"],
        "authorization_code": new_id("a")[2:8].upper(),
        "brand": card["brand"],
        "checks": card["checks"],
        "country": card["country"],
        "exp_month": card["exp_month"],
        "exp_year": card["exp_year"],
        "extended_authorization": {"status": "disabled"},
        "fingerprint": card["fingerprint"],
        "funding": card["funding"],
        "incremental_authorization": {"status": "unavailable"},
        "installments": None,
        "last4": card["last4"],
        "mandate": None,
        "multicapture": {"status": "unavailable"},
        "network": card["brand"],
        "network_token": {"used": False},
        "overcapture": {"maximum_amount_capturable": intent["amount"], "status": "unavailable"},
        "three_d_secure": None,
        "wallet": None,
    }
    if authenticated:
        details["three_d_secure"] = {
            "authentication_flow": "challenge",
            "electronic_commerce_indicator": "05",
            "exemption_indicator": None,
            "result": "authenticated",
            "result_reason": None,
            "version": "2.2.0",
        }
    if held:
        short = intent["_off_session"] and card["brand"] == "visa"
        details["capture_before"] = call.now + (HOLD_MERCHANT_INITIATED_VISA_S if short else HOLD_S)
    return details


def _outcome(failure: StripeError | None) -> Object:
    approved = failure is None
    return {
        "advice_code": None if approved else "try_again_later",
        "network_advice_code": None,
        "network_decline_code": None if approved else "01",
        "network_status": "approved_by_network" if approved else "declined_by_network",
        "reason": None if failure is None else failure.error.get("decline_code", failure.error["code"]),
        "risk_level": "normal",
        "risk_score": 20,
        "seller_message": "Payment complete." if approved else "The bank did not approve the payment.",
        "type": "authorized" if approved else "issuer_declined",
    }


def open_charge(
    call: Call, intent: Object, method: Object, *, failure: StripeError | None = None, authenticated: bool = False
) -> Object:
    """Ask the card's bank: a failed charge, a held one, or one that `settle` must now capture. Makes its event."""
    held = failure is None and intent["capture_method"] == "manual"
    details = _card_details(call, method, intent, held=held, authenticated=authenticated)
    charge: Object = {
        "id": new_id("ch"),
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": None,
        "billing_details": method["billing_details"],
        "calculated_statement_descriptor": "SANDBOX",
        "captured": False,
        "created": call.now,
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": None if failure is None else failure.error["code"],
        "failure_message": None if failure is None else str(failure),
        "fraud_details": {},
        "livemode": False,
        "metadata": intent["metadata"],
        "on_behalf_of": None,
        "outcome": _outcome(failure),
        "paid": failure is None,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": {"card": details, "type": "card"},
        "receipt_email": intent["receipt_email"],
        "receipt_number": None,
        "receipt_url": None,
        "refunded": False,
        "review": None,
        "shipping": intent["shipping"],
        "source_transfer": None,
        "statement_descriptor": intent["statement_descriptor"],
        "statement_descriptor_suffix": intent["statement_descriptor_suffix"],
        "status": "succeeded" if failure is None else "failed",
        "transfer_data": None,
        "transfer_group": intent["transfer_group"],
        "_available_at_once": cards.card_of(method).available_at_once,
    }
    call.store.add(charge, call.owner)
    if failure is not None:
        events.record(call, "charge.failed", charge)
    elif held:
        events.record(call, "charge.succeeded", charge)
    else:
        settle(call, charge, charge["amount"])
        events.record(call, "charge.succeeded", charge)
    return charge


def settle(call: Call, charge: Object, amount_minor: int) -> None:
    """Capture: the amount enters the balance less the fee, and what was held beyond it goes back to the card."""
    available_on = call.now if charge["_available_at_once"] else call.now + balance.SETTLEMENT_S
    entry = balance.post(
        call,
        "charge",
        amount_minor,
        charge["currency"],
        charge["id"],
        fee_minor=fee_of(amount_minor),
        available_on=available_on,
    )
    charge |= {"captured": True, "amount_captured": amount_minor, "balance_transaction": entry["id"]}
    charge["payment_method_details"]["card"].pop("capture_before", None)
    call.store.save(charge)
    release(call, charge, charge["amount"] - amount_minor)


def release(call: Call, charge: Object, amount_minor: int) -> None:
    """Give back to the card what was only held. Stripe shows that as a refund that moves no balance."""
    if amount_minor == 0:
        return
    refunds.add(call, charge, amount_minor, reason=None, entry=None)
    charge["amount_refunded"] += amount_minor
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]
    call.store.save(charge)
    events.record(call, "charge.refunded", charge)


def retrieve(call: Call) -> Object:
    """One charge."""
    return call.named("charge")


def update(call: Call) -> Object:
    """Change a charge's words; its money is the payment intent's matter."""
    charge = call.named("charge")
    if "description" in call.params:
        charge["description"] = call.params.text("description")
    charge["metadata"] = call.params.metadata(charge["metadata"])
    call.store.save(charge)
    events.record(call, "charge.updated", charge)
    return charge


def list_charges(call: Call) -> Object:
    """Charges, newest first."""
    names = ("customer", "payment_intent", "transfer_group")
    where = {name: value for name in names if (value := call.params.text(name)) is not None}
    return call.page("charge", "/v1/charges", where)


ROUTES: tuple[Route, ...] = (
    route("GET", "/v1/charges", list_charges, " ".join({"customer", "payment_intent", "transfer_group", *PAGING})),
    route("GET", "/v1/charges/{id}", retrieve),
    route("POST", "/v1/charges/{id}", update, "description metadata"),
)
