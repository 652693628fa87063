"""Refunds: money back to the card, never more than was captured and not yet given back."""

from sandbox.stripe import balance, events
from sandbox.stripe.call import PAGING, Call, Route, route
from sandbox.stripe.money import written
from sandbox.stripe.wire import Object, invalid, new_id, refused

REASONS = ("duplicate", "fraudulent", "requested_by_customer")


def add(
    call: Call,
    charge: Object,
    amount_minor: int,
    *,
    reason: str | None,
    entry: Object | None,
    metadata: Object | None = None,
) -> Object:
    """Keep the refund object; the charge and the balance are the caller's to change."""
    refund: Object = {
        "id": new_id("re"),
        "object": "refund",
        "amount": amount_minor,
        "balance_transaction": entry and entry["id"],
        "charge": charge["id"],
        "created": call.now,
        "currency": charge["currency"],
        "destination_details": {"card": {"reference_status": "pending", "type": "refund"}, "type": "card"},
        "failure_reason": None,
        "metadata": metadata or {},
        "payment_intent": charge["payment_intent"],
        "reason": reason,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }
    return call.store.add(refund, call.owner)


def _charge_to_refund(call: Call) -> Object:
    charge = call.given("charge", "charge")
    intent = call.given("payment_intent", "payment_intent")
    if charge is None and intent is None:
        raise invalid("One of the following params should be provided for this request: payment_intent or charge.",
                      "payment_intent", "parameter_missing")  # fmt: skip
    if charge is not None and intent is not None:
        raise invalid("Received both charge and payment_intent parameters. Please pass in only one.", "charge")
    if intent is None:
        assert charge is not None
        return charge
    if intent["status"] != "succeeded" or intent["latest_charge"] is None:
        raise refused(
            f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund.",
            "payment_intent_unexpected_state",
            "payment_intent",
        )
    return call.referred("charge", intent["latest_charge"])


def create(call: Call) -> Object:
    """Give back the whole rest, or the amount named."""
    charge = _charge_to_refund(call)
    reason = call.params.one_of("reason", *REASONS)
    wanted_minor = call.params.positive("amount")
    currency = charge["currency"]
    if not charge["captured"]:
        raise refused(
            f"Charge {charge['id']} cannot be refunded: it was not captured.", "charge_not_refundable", "charge"
        )
    left_minor = charge["amount"] - charge["amount_refunded"]
    if left_minor == 0:
        raise refused(f"Charge {charge['id']} has already been refunded.", "charge_already_refunded")
    amount_minor = left_minor if wanted_minor is None else wanted_minor
    if amount_minor > left_minor:
        raise refused(
            f"Refund amount ({written(amount_minor, currency)}) is greater than unrefunded amount on charge "
            f"({written(left_minor, currency)})",
            "amount_too_large",
            "amount",
        )
    refund = add(call, charge, amount_minor, reason=reason, entry=None, metadata=call.params.metadata())
    entry = balance.post(call, "refund", -amount_minor, currency, refund["id"])
    refund["balance_transaction"] = entry["id"]
    call.store.save(refund)
    charge["amount_refunded"] += amount_minor
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]
    call.store.save(charge)
    events.record(call, "refund.created", refund)
    events.record(call, "charge.refunded", charge)
    return refund


def retrieve(call: Call) -> Object:
    """One refund."""
    return call.named("refund")


def update(call: Call) -> Object:
    """Change a refund's metadata."""
    refund = call.named("refund")
    refund["metadata"] = call.params.metadata(refund["metadata"])
    call.store.save(refund)
    events.record(call, "refund.updated", refund)
    return refund


def list_refunds(call: Call) -> Object:
    """Refunds, newest first."""
    names = ("charge", "payment_intent")
    where = {name: value for name in names if (value := call.params.text(name)) is not None}
    return call.page("refund", "/v1/refunds", where)


ROUTES: tuple[Route, ...] = (
    route("POST", "/v1/refunds", create, "charge payment_intent amount reason metadata"),
    route("GET", "/v1/refunds", list_refunds, " ".join({"charge", "payment_intent", *PAGING})),
    route("GET", "/v1/refunds/{id}", retrieve),
    route("POST", "/v1/refunds/{id}", update, "metadata"),
)
