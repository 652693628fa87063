"""Confirmation: the attempt to be paid, through 3-D Secure when the card asks for it, to a payment or a decline."""

from sandbox.stripe import cards, charges, events, payment_methods
from sandbox.stripe.call import Call
from sandbox.stripe.wire import Object, Params, StripeError, invalid, refused, without_secrets

_AUTHENTICATION_FAILED = (
    "We are unable to authenticate your payment method. Please choose a different payment method and try again."
)


def require_return_url(intent: Object, params: Params) -> None:
    """Insist on a `return_url` where the automatic choice of payment methods could redirect, as Stripe does."""
    url = params.text("return_url")
    intent["_return_url"] = url or intent["_return_url"]
    automatic = intent["automatic_payment_methods"]
    if automatic is not None and automatic["allow_redirects"] != "never" and not intent["_return_url"]:
        raise invalid(
            "This PaymentIntent is configured to accept payment methods enabled in your Dashboard. Because some of "
            "these payment methods might redirect your customer off of your page, you must provide a `return_url`. If "
            "you don't want to accept redirect-based payment methods, set `automatic_payment_methods[enabled]` to "
            "`true` and `automatic_payment_methods[allow_redirects]` to `never` when creating Setup Intents and "
            "Payment Intents.",
        )


def attempt(call: Call, intent: Object) -> Object:
    """Charge the intent's payment method. Raises the card's decline (402), whose failed charge stays written."""
    if intent["payment_method"] is None:
        raise refused(
            "You cannot confirm this PaymentIntent because it's missing a payment method. You can either update the "
            "PaymentIntent with a payment method and then confirm it again, or confirm it again directly with a "
            "payment method.",
            "payment_intent_unexpected_state",
            payment_intent=intent,
        )
    method = call.referred("payment_method", intent["payment_method"])
    payment_methods.refuse_spent(method)
    card = cards.card_of(method)
    # Any value but false means the customer is away: true, or the older "one_off" and "recurring".
    intent["_off_session"] = (call.params.text("off_session") or "false") != "false"
    if intent["_off_session"] and method["_set_up"] and card.once_set_up_free:
        return charge_now(call, intent, authenticated=False)
    if card.authenticates and intent["_off_session"]:
        return _decline(call, intent, method, cards.decline_error("authentication_required"))
    if card.authenticates and call.params.flag("error_on_requires_action"):
        return _decline(call, intent, method, cards.decline_error("authentication_required"))
    if card.authenticates:
        return _ask_for_authentication(call, intent)
    return charge_now(call, intent, authenticated=False)


def _ask_for_authentication(call: Call, intent: Object) -> Object:
    url = f"{call.base_url}/_sandbox/3ds/{intent['id']}"
    if intent["_return_url"] is not None:
        redirect = {"return_url": intent["_return_url"], "url": url}
        action: Object = {"redirect_to_url": redirect, "type": "redirect_to_url"}
    else:
        sdk = {"source": None, "stripe_js": url, "type": "three_d_secure_redirect"}
        action = {"type": "use_stripe_sdk", "use_stripe_sdk": sdk}
    intent |= {"status": "requires_action", "next_action": action}
    call.store.save(intent)
    events.record(call, "payment_intent.requires_action", intent)
    return intent


def authenticate(call: Call, intent: Object, *, approved: bool) -> Object:
    """The customer's answer to 3-D Secure: the payment goes on, or needs another card. Nothing else may be asked."""
    if intent["status"] != "requires_action":
        raise refused(
            f"This PaymentIntent does not wait for its customer: it has a status of {intent['status']}.",
            "payment_intent_unexpected_state",
            payment_intent=intent,
        )
    intent["next_action"] = None
    if approved:
        return charge_now(call, intent, authenticated=True)
    method = call.referred("payment_method", intent["payment_method"])
    failure = StripeError(402, _AUTHENTICATION_FAILED, kind="card_error", code="payment_intent_authentication_failure")
    _require_another_method(call, intent, method, failure)
    return intent


def charge_now(call: Call, intent: Object, *, authenticated: bool) -> Object:
    """Charge the card: held when the capture is manual, else in the balance. Raises the card's decline."""
    method = call.referred("payment_method", intent["payment_method"])
    decline = cards.card_of(method).decline
    if decline is not None:
        return _decline(call, intent, method, cards.decline_error(decline))
    charge = charges.open_charge(call, intent, method, authenticated=authenticated)
    intent |= {"latest_charge": charge["id"], "next_action": None, "last_payment_error": None}
    _keep_or_spend(call, intent, method)
    if charge["captured"]:
        intent |= {"status": "succeeded", "amount_received": intent["amount"]}
        call.store.save(intent)
        events.record(call, "payment_intent.succeeded", intent)
    else:
        intent |= {"status": "requires_capture", "amount_capturable": intent["amount"]}
        call.store.save(intent)
        events.record(call, "payment_intent.amount_capturable_updated", intent)
    return intent


def _keep_or_spend(call: Call, intent: Object, method: Object) -> None:
    """A card paid with belongs to the customer if asked for, and cannot be used again if it belongs to nobody."""
    if intent["setup_future_usage"] is not None and intent["customer"] is not None:
        method["_set_up"] = True
        if method["customer"] is None:
            method["customer"] = intent["customer"]
            events.record(call, "payment_method.attached", method)
    method["_spent"] = method["customer"] is None
    call.store.save(method)


def _decline(call: Call, intent: Object, method: Object, failure: StripeError) -> Object:
    charge = charges.open_charge(call, intent, method, failure=failure)
    intent["latest_charge"] = charge["id"]
    failure.error["charge"] = charge["id"]
    _require_another_method(call, intent, method, failure)
    failure.error["payment_intent"] = intent
    raise failure


def _require_another_method(call: Call, intent: Object, method: Object, failure: StripeError) -> None:
    failure.error["payment_method"] = without_secrets(method)
    intent |= {
        "status": "requires_payment_method",
        "payment_method": None,
        "next_action": None,
        "last_payment_error": dict(failure.error),
    }
    call.store.save(intent)
    events.record(call, "payment_intent.payment_failed", intent)
