"""Payment intents: what the platform wants paid, from its making to its end; confirming is `confirmation.py`."""

from sandbox.stripe import charges, confirmation, events, payment_methods
from sandbox.stripe.call import PAGING, Call, Route, route
from sandbox.stripe.money import read_amount, read_currency, written
from sandbox.stripe.wire import Object, Params, invalid, new_id, refused

CAPTURE_METHODS = ("automatic", "automatic_async", "manual")
CANCEL_REASONS = ("duplicate", "fraudulent", "requested_by_customer", "abandoned")
OPEN = ("requires_payment_method", "requires_confirmation", "requires_action")
CANCELABLE = ("requires_payment_method", "requires_capture", "requires_confirmation", "requires_action", "processing")

_TEXTS = ("description", "receipt_email", "statement_descriptor", "statement_descriptor_suffix", "transfer_group")
_METHOD = "payment_method payment_method_data payment_method_options allowed_payment_method_types"
_EDITABLE = f"amount currency customer metadata shipping setup_future_usage {_METHOD} {' '.join(_TEXTS)}"
_CONFIRMING = "off_session return_url error_on_requires_action use_stripe_sdk"
_CREATING = "automatic_payment_methods capture_method confirm confirmation_method"


def _new(call: Call, amount_minor: int, currency: str) -> Object:
    intent_id = new_id("pi")
    return {
        "id": intent_id,
        "object": "payment_intent",
        "allowed_payment_method_types": None,
        "amount": amount_minor,
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": None,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": call.params.one_of("capture_method", *CAPTURE_METHODS) or "automatic_async",
        "client_secret": f"{intent_id}_{new_id('secret')}",
        "confirmation_method": call.params.one_of("confirmation_method", "automatic", "manual") or "automatic",
        "created": call.now,
        "currency": currency,
        "customer": None,
        "description": None,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "metadata": {},
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_options": {"card": {"network": None, "request_three_d_secure": "automatic"}},
        "payment_method_types": ["card"],
        "processing": None,
        "receipt_email": None,
        "review": None,
        "setup_future_usage": None,
        "shipping": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": None,
        "_off_session": False,
        "_return_url": None,
    }


def _read_method_kinds(intent: Object, params: Params) -> None:
    automatic = params.inner("automatic_payment_methods")
    # What older versions called payment_method_types; the pinned one keeps that name for the answer only.
    kinds = params.items("allowed_payment_method_types")
    if kinds and automatic is not None and automatic.flag("enabled"):
        raise invalid(
            "You may only specify one of these parameters: automatic_payment_methods, allowed_payment_method_types.",
            "allowed_payment_method_types",
        )
    if kinds and kinds != ["card"]:
        raise invalid(f"The sandbox carries cards only, not {', '.join(kinds)}.", "allowed_payment_method_types")
    if kinds:
        intent["allowed_payment_method_types"] = kinds
        return
    # Stripe turns the automatic choice on by itself when neither parameter is given, and with it the demand for a
    # return_url. A test that passes here but not there would be worth nothing.
    redirects = automatic.one_of("allow_redirects", "always", "never") if automatic is not None else None
    if automatic is None or automatic.flag("enabled"):
        intent["automatic_payment_methods"] = {"allow_redirects": redirects or "always", "enabled": True}


def _read_fields(call: Call, intent: Object) -> None:
    params = call.params
    for name in _TEXTS:
        if name in params:
            intent[name] = params.text(name)
    if "shipping" in params:
        shipping = params.inner("shipping")
        intent["shipping"] = shipping and shipping.values
    if "setup_future_usage" in params:
        intent["setup_future_usage"] = params.one_of("setup_future_usage", "off_session", "on_session")
    options = params.inner("payment_method_options")
    if options is not None:
        intent["payment_method_options"] = {**intent["payment_method_options"], **options.values}
    customer = call.given("customer", "customer")
    if customer is not None:
        intent["customer"] = customer["id"]
    intent["metadata"] = params.metadata(intent["metadata"])
    choose_method(call, intent)


def choose_method(call: Call, intent: Object) -> None:
    """Put the payment method that the request names or describes on the intent, if it may pay for its customer."""
    described = call.params.inner("payment_method_data")
    method_id = call.params.text("payment_method")
    if described is not None:
        method = payment_methods.read_new(call, described)
    elif method_id is not None:
        method = payment_methods.resolve(call, method_id, "payment_method")
    else:
        return
    payment_methods.refuse_spent(method)
    if method["customer"] is not None and method["customer"] != intent["customer"]:
        raise refused(
            f"The provided PaymentMethod ({method['id']}) belongs to a Customer. Please include that Customer in the "
            "`customer` parameter on the PaymentIntent."
            if intent["customer"] is None
            else f"The provided PaymentMethod ({method['id']}) does not belong to the Customer of this PaymentIntent.",
            param="payment_method",
        )
    intent["payment_method"] = method["id"]
    intent["last_payment_error"] = None
    if intent["status"] in OPEN:
        intent |= {"status": "requires_confirmation", "next_action": None}


def create(call: Call) -> Object:
    """A new payment intent, confirmed at once when `confirm` is true."""
    params = call.params
    currency_given = params.required_text("currency") if "amount" in params else None
    intent = _new(call, read_amount(params, (currency_given or "usd").lower()), read_currency(params))
    confirming = params.flag("confirm")
    if not confirming:
        for name in _CONFIRMING.split():
            if name in params:
                raise invalid(f"You cannot set `{name}` unless `confirm` is true.", name)
    _read_method_kinds(intent, params)
    _read_fields(call, intent)
    if confirming:
        confirmation.require_return_url(intent, params)
    call.store.add(intent, call.owner)
    events.record(call, "payment_intent.created", intent)
    return confirmation.attempt(call, intent) if confirming else intent


def confirm(call: Call) -> Object:
    """Ask for the money."""
    intent = call.named("payment_intent", param="intent")
    if intent["status"] not in OPEN:
        raise unexpected_state(
            intent,
            "You cannot confirm this PaymentIntent because it has already succeeded after being previously confirmed."
            if intent["status"] == "succeeded"
            else f"You cannot confirm this PaymentIntent because it has a status of {intent['status']}. Only a "
            "PaymentIntent with one of the following statuses may be confirmed: requires_confirmation, "
            "requires_action.",
        )
    _read_fields(call, intent)
    confirmation.require_return_url(intent, call.params)
    return confirmation.attempt(call, intent)


def update(call: Call) -> Object:
    """Change an intent; its amount only while nothing is held or paid."""
    intent = call.named("payment_intent", param="intent")
    fixed = sorted(
        {"amount", "currency", "customer", "payment_method", "payment_method_data"} & set(call.params.values)
    )
    if fixed and intent["status"] not in OPEN:
        raise unexpected_state(
            intent,
            f"This PaymentIntent's {fixed[0]} could not be updated because it has a status of {intent['status']}. You "
            f"may only update the {fixed[0]} of a PaymentIntent with one of the following statuses: {', '.join(OPEN)}.",
        )
    if "currency" in call.params:
        intent["currency"] = read_currency(call.params)
    if "amount" in call.params:
        intent["amount"] = read_amount(call.params, intent["currency"])
    _read_fields(call, intent)
    return call.store.save(intent)


def capture(call: Call) -> Object:
    """Take what is held, or a part of it; a hold is captured once, the rest goes back to the card."""
    intent = call.named("payment_intent", param="intent")
    wanted_minor = call.params.positive("amount_to_capture")
    if intent["status"] != "requires_capture":
        raise unexpected_state(
            intent,
            f"This PaymentIntent could not be captured because it has a status of {intent['status']}. Only a "
            "PaymentIntent with one of the following statuses may be captured: requires_capture.",
        )
    amount_minor = intent["amount_capturable"] if wanted_minor is None else wanted_minor
    if amount_minor > intent["amount_capturable"]:
        raise refused(
            f"The requested capture amount ({written(amount_minor, intent['currency'])}) is greater than the amount "
            f"you can capture for this charge ({written(intent['amount_capturable'], intent['currency'])}).",
            "amount_too_large",
            "amount_to_capture",
            payment_intent=intent,
        )
    intent["metadata"] = call.params.metadata(intent["metadata"])
    charge = call.referred("charge", intent["latest_charge"])
    charges.settle(call, charge, amount_minor)
    events.record(call, "charge.captured", charge)
    intent |= {"status": "succeeded", "amount_capturable": 0, "amount_received": amount_minor}
    call.store.save(intent)
    events.record(call, "payment_intent.succeeded", intent)
    return intent


def cancel(call: Call) -> Object:
    """End an intent that has not been paid; a hold goes back to the card."""
    intent = call.named("payment_intent", param="intent")
    reason = call.params.one_of("cancellation_reason", *CANCEL_REASONS)
    if intent["status"] not in CANCELABLE:
        raise unexpected_state(
            intent,
            f"You cannot cancel this PaymentIntent because it has a status of {intent['status']}. Only a PaymentIntent "
            f"with one of the following statuses may be canceled: {', '.join(CANCELABLE)}.",
        )
    return _end(call, intent, reason)


def _end(call: Call, intent: Object, reason: str | None) -> Object:
    if intent["status"] == "requires_capture":
        charge = call.referred("charge", intent["latest_charge"])
        charges.release(call, charge, charge["amount"])
    intent |= {
        "status": "canceled",
        "canceled_at": call.now,
        "cancellation_reason": reason,
        "amount_capturable": 0,
        "next_action": None,
    }
    call.store.save(intent)
    events.record(call, "payment_intent.canceled", intent)
    return intent


def lapse_holds(call: Call) -> int:
    """End the holds whose `capture_before` has come, as the card's bank does. Returns how many."""
    lapsed = 0
    for intent in call.store.select("payment_intent", None, {"status": "requires_capture"}):
        charge = call.referred("charge", intent["latest_charge"])
        if charge["payment_method_details"]["card"]["capture_before"] <= call.now:
            owned = Call(call.store, call.now, owner=call.store.owner_of(intent["id"]))
            _end(owned, intent, "automatic")
            lapsed += 1
    return lapsed


def unexpected_state(intent: Object, message: str) -> Exception:
    """The 400 of a verb that the intent's status does not allow; it carries the intent, as Stripe's does."""
    return refused(message, "payment_intent_unexpected_state", payment_intent=intent)


def retrieve(call: Call) -> Object:
    """One payment intent."""
    secret = call.params.text("client_secret")
    intent = call.named("payment_intent", param="intent")
    if secret is not None and secret != intent["client_secret"]:
        raise invalid("The client_secret provided does not match the PaymentIntent.", "client_secret")
    return intent


def list_intents(call: Call) -> Object:
    """Payment intents, newest first."""
    customer = call.given("customer", "customer")
    return call.page("payment_intent", "/v1/payment_intents", {"customer": customer["id"]} if customer else None)


_BASE = "/v1/payment_intents"
ROUTES: tuple[Route, ...] = (
    route("POST", _BASE, create, f"{_EDITABLE} {_CREATING} {_CONFIRMING}"),
    route("GET", _BASE, list_intents, " ".join({"customer", *PAGING})),
    route("GET", f"{_BASE}/{{id}}", retrieve, "client_secret"),
    route("POST", f"{_BASE}/{{id}}", update, _EDITABLE),
    route(
        "POST", f"{_BASE}/{{id}}/confirm", confirm, f"{_METHOD} {_CONFIRMING} receipt_email setup_future_usage shipping"
    ),
    route("POST", f"{_BASE}/{{id}}/capture", capture, "amount_to_capture metadata"),
    route("POST", f"{_BASE}/{{id}}/cancel", cancel, "cancellation_reason"),
)
