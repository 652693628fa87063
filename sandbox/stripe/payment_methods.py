"""Payment methods: cards by number, by token or ready-made, and the customers who keep them."""

from sandbox.stripe import cards, events
from sandbox.stripe.call import PAGING, Call, Route, route
from sandbox.stripe.wire import Object, Params, StripeError, invalid, missing_resource, new_id, refused

_BILLING = {
    "address": {"city": None, "country": None, "line1": None, "line2": None, "postal_code": None, "state": None},
    "email": None,
    "name": None,
    "phone": None,
    "tax_id": None,
}


def _read_number(card: Params) -> str:
    """The number that the hash names, itself or by a token; refused as Stripe refuses a mistyped card."""
    token = card.text("token")
    if token is not None:
        card.refuse_unknown(frozenset({"token"}))
        if token not in cards.TOKENS:
            raise missing_resource("token", token, card.label("token"))
        return cards.TOKENS[token]
    card.refuse_unknown(frozenset({"number", "exp_month", "exp_year", "cvc", "networks"}))
    return card.required_text("number").replace(" ", "")


def _mistyped(message: str, code: str, param: str) -> StripeError:
    return StripeError(402, message, kind="card_error", code=code, param=param)


def _read_card(call: Call, card: Params) -> Object:
    number = _read_number(card)
    if not cards.passes_check_digit(number):
        raise _mistyped("Your card number is incorrect.", "incorrect_number", "number")
    this_year = 1970 + int(call.now / 31_556_952)
    month = card.integer("exp_month") or 12
    year = card.integer("exp_year") or this_year + 5
    if not 1 <= month <= 12:
        raise _mistyped("Your card's expiration month is invalid.", "invalid_expiry_month", "exp_month")
    year += 2000 if year < 100 else 0
    if not this_year <= year <= this_year + 50:
        raise _mistyped("Your card's expiration year is invalid.", "invalid_expiry_year", "exp_year")
    return _card_method(call, number, month, year)


def _card_method(call: Call, number: str, month: int, year: int) -> Object:
    brand = cards.brand_of(number)
    passed = {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "unchecked"}
    return {
        "id": new_id("pm"),
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": _BILLING,
        "card": {
            "brand": brand,
            "checks": passed,
            "country": "US",
            "display_brand": brand,
            "exp_month": month,
            "exp_year": year,
            "fingerprint": f"sandbox{number[-4:]}{brand}",
            "funding": "credit",
            "generated_from": None,
            "last4": number[-4:],
            "networks": {"available": [brand], "preferred": None},
            "regulated_status": "unregulated",
            "three_d_secure_usage": {"supported": True},
            "wallet": None,
        },
        "created": call.now,
        "customer": None,
        "livemode": False,
        "metadata": {},
        "type": "card",
        "_number": number,
        "_spent": False,
        "_set_up": False,
    }


def read_new(call: Call, params: Params) -> Object:
    """Make the payment method that a request describes (`type`, `card[…]`, `billing_details`)."""
    kind = params.required_text("type")
    if kind != "card":
        raise invalid(f"The sandbox carries cards only, not '{kind}'.", params.label("type"))
    card = params.inner("card")
    if card is None:
        raise invalid(f"Missing required param: {params.label('card')}.", params.label("card"), "parameter_missing")
    method = _read_card(call, card)
    billing = params.inner("billing_details")
    if billing is not None:
        method["billing_details"] = {**_BILLING, **billing.values}
    method["metadata"] = params.metadata()
    return call.store.add(method, call.owner)


def resolve(call: Call, method_id: str, param: str, status: int = 400) -> Object:
    """The payment method of that id. A ready-made one (`pm_card_visa`) becomes a new object each time it is named."""
    if method_id in cards.PAYMENT_METHODS:
        number = cards.PAYMENT_METHODS[method_id]
        year = 1970 + int(call.now / 31_556_952) + 1
        return call.store.add(_card_method(call, number, 12, year), call.owner)
    method = call.store.find(method_id, call.owner, "payment_method")
    if method is None:
        raise missing_resource("payment_method", method_id, param, status)
    return method


def attach_to(call: Call, customer: Object, method_id: str, param: str, status: int = 400) -> Object:
    """Let the customer keep the card. Raises the card's decline when the bank refuses it already now."""
    method = resolve(call, method_id, param, status)
    if method["customer"] == customer["id"]:
        return method
    if method["customer"] is not None:
        raise refused("The payment method you provided has already been attached to a customer.", param=param)
    refuse_spent(method)
    card = cards.card_of(method)
    if not card.attaches:
        assert card.decline is not None
        failure = cards.decline_error(card.decline)
        failure.keeps_effects = False
        raise failure
    method["customer"] = customer["id"]
    call.store.save(method)
    events.record(call, "payment_method.attached", method)
    return method


def refuse_spent(method: Object) -> None:
    """A card that was used once without a customer, or detached, cannot be used again."""
    if method["_spent"]:
        raise refused(
            "The provided PaymentMethod was previously used with a PaymentIntent without Customer attachment, shared "
            "with a connected account without Customer attachment, or was detached from a Customer. It may not be "
            "used again. To use a PaymentMethod multiple times, you must attach it to a Customer first.",
        )


def create(call: Call) -> Object:
    """A new payment method, which belongs to nobody yet."""
    return read_new(call, call.params)


def retrieve(call: Call) -> Object:
    """One payment method."""
    return resolve(call, call.ids[0], "payment_method", 404)


def attach(call: Call) -> Object:
    """Let a customer keep a payment method."""
    call.params.required_text("customer")
    customer = call.given("customer", "customer")
    assert customer is not None
    return attach_to(call, customer, call.ids[0], "payment_method", 404)


def detach(call: Call) -> Object:
    """Take a payment method from its customer, for good."""
    method = call.named("payment_method", param="payment_method")
    if method["customer"] is None:
        raise refused(
            "The payment method you provided is not attached to a customer so detachment is impossible.",
            param="payment_method",
        )
    previous = {"customer": method["customer"]}
    method |= {"customer": None, "_spent": True}
    call.store.save(method)
    events.record(call, "payment_method.detached", method, previous=previous)
    return method


def list_methods(call: Call) -> Object:
    """The payment methods of a customer, newest first."""
    customer = call.given("customer", "customer")
    names = {"type": call.params.text("type"), "customer": customer and customer["id"]}
    return call.page("payment_method", "/v1/payment_methods", {name: value for name, value in names.items() if value})


ROUTES: tuple[Route, ...] = (
    route("POST", "/v1/payment_methods", create, "type card billing_details metadata allow_redisplay"),
    route("GET", "/v1/payment_methods", list_methods, " ".join({"customer", "type", *PAGING})),
    route("GET", "/v1/payment_methods/{id}", retrieve),
    route("POST", "/v1/payment_methods/{id}/attach", attach, "customer"),
    route("POST", "/v1/payment_methods/{id}/detach", detach),
)
