"""The test cards: what each number does, and the ready-made payment methods and tokens that stand for them."""

from dataclasses import dataclass

from sandbox.stripe.wire import Object, StripeError


@dataclass(frozen=True)
class Card:
    """How a test card behaves: which refusal it meets and where it asks for 3-D Secure."""

    number: str
    brand: str = "visa"
    decline: str | None = None
    """The decline code it meets when charged, or None when it pays."""
    attaches: bool = True
    """Whether a customer can keep it; Stripe checks a card when it is attached."""
    authenticates: bool = False
    """Whether every payment asks for 3-D Secure."""
    once_set_up_free: bool = False
    """Whether, set up once for later use, it pays off session without 3-D Secure."""
    available_at_once: bool = False
    """Whether the money skips the pending balance."""


CARDS = {
    card.number: card
    for card in (
        Card("4242424242424242"),
        Card("4000056655665556"),
        Card("5555555555554444", brand="mastercard"),
        Card("378282246310005", brand="amex"),
        Card("4000000000000077", available_at_once=True),
        Card("4000000000000002", decline="generic_decline", attaches=False),
        Card("4000000000009995", decline="insufficient_funds", attaches=False),
        Card("4000000000009987", decline="lost_card", attaches=False),
        Card("4000000000009979", decline="stolen_card", attaches=False),
        Card("4000000000000069", decline="expired_card", attaches=False),
        Card("4000000000000127", decline="incorrect_cvc", attaches=False),
        Card("4000000000000119", decline="processing_error", attaches=False),
        Card("4000000000000341", decline="generic_decline"),
        Card("4000000000003220", authenticates=True),
        Card("4000002760003184", authenticates=True),
        Card("4000002500003155", authenticates=True, once_set_up_free=True),
        Card("4000008400001629", decline="generic_decline", authenticates=True),
    )
}

_NAMES = {
    "visa": "4242424242424242",
    "visa_debit": "4000056655665556",
    "mastercard": "5555555555554444",
    "amex": "378282246310005",
    "bypassPending": "4000000000000077",
    "chargeDeclined": "4000000000000002",
    "visa_chargeDeclined": "4000000000000002",
    "chargeDeclinedInsufficientFunds": "4000000000009995",
    "visa_chargeDeclinedInsufficientFunds": "4000000000009995",
    "chargeDeclinedLostCard": "4000000000009987",
    "visa_chargeDeclinedLostCard": "4000000000009987",
    "chargeDeclinedStolenCard": "4000000000009979",
    "visa_chargeDeclinedStolenCard": "4000000000009979",
    "chargeDeclinedExpiredCard": "4000000000000069",
    "chargeDeclinedIncorrectCvc": "4000000000000127",
    "chargeDeclinedProcessingError": "4000000000000119",
    "chargeCustomerFail": "4000000000000341",
    "threeDSecure2Required": "4000000000003220",
    "threeDSecureRequired": "4000000000003220",
    "authenticationRequired": "4000002760003184",
    "authenticationRequiredOnSetup": "4000002500003155",
    "threeDSecureRequiredChargeDeclined": "4000008400001629",
}
PAYMENT_METHODS = {f"pm_card_{name}": number for name, number in _NAMES.items()}
TOKENS = {f"tok_{name}": number for name, number in _NAMES.items()}

_MESSAGES = {
    "insufficient_funds": "Your card has insufficient funds.",
    "expired_card": "Your card has expired.",
    "incorrect_cvc": "Your card's security code is incorrect.",
    "processing_error": "An error occurred while processing your card. Try again in a little bit.",
    "authentication_required": "Your card was declined. This transaction requires authentication.",
}
_OWN_CODE = frozenset({"expired_card", "incorrect_cvc", "processing_error", "authentication_required"})
"""Declines whose error `code` is their own; all others are `card_declined` with a `decline_code`."""


def card_of(method: Object) -> Card:
    """How the payment method's card behaves. A valid number that is no test card is declined, as Stripe does it."""
    number = str(method["_number"])
    return CARDS.get(number) or Card(number, decline="test_mode_live_card", attaches=False)


def brand_of(number: str) -> str:
    """The card's scheme, by its first digits."""
    if number in CARDS:
        return CARDS[number].brand
    return {"5": "mastercard", "3": "amex", "6": "discover"}.get(number[:1], "visa")


def passes_check_digit(number: str) -> bool:
    """Luhn's check (ISO/IEC 7812-1, annex B)."""
    if not (number.isascii() and number.isdigit() and 12 <= len(number) <= 19):
        return False
    doubled = [int(digit) * (1 + index % 2) for index, digit in enumerate(reversed(number))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def decline_error(decline: str) -> StripeError:
    """The 402 of a declined card. What the attempt wrote (a failed charge, an event) stays written."""
    own = decline in _OWN_CODE
    return StripeError(
        402,
        _MESSAGES.get(decline, "Your card was declined."),
        kind="card_error",
        keeps_effects=True,
        code=decline if own else "card_declined",
        decline_code=decline if decline != "incorrect_cvc" else None,
        param="cvc" if decline == "incorrect_cvc" else None,
    )
