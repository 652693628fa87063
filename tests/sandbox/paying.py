"""The steps that many tests begin with: a customer, a hold, a payment, an account that can be paid."""

from typing import Any

import httpx
import stripe

CARDS_ONLY = {"enabled": True, "allow_redirects": "never"}


def intend(client: stripe.StripeClient, card: str = "pm_card_visa", **more: Any) -> stripe.PaymentIntent:
    """Pay 100.00 usd with the card at once, unless told otherwise."""
    asked: dict[str, Any] = {
        "amount": 10_000,
        "currency": "usd",
        "payment_method": card,
        "confirm": True,
        "automatic_payment_methods": CARDS_ONLY,
        **more,
    }
    return client.v1.payment_intents.create(asked)  # type: ignore[arg-type]


def hold(client: stripe.StripeClient, card: str = "pm_card_visa", **more: Any) -> stripe.PaymentIntent:
    """Hold 100.00 usd on the card."""
    return intend(client, card, capture_method="manual", **more)


def onboarded(client: stripe.StripeClient) -> stripe.Account:
    """A connected account that went through onboarding as a person does: by the link's button."""
    account = client.v1.accounts.create(
        {"type": "express", "email": "freelancer@example.com", "capabilities": {"transfers": {"requested": True}}}
    )
    link = client.v1.account_links.create(
        {
            "account": account.id,
            "type": "account_onboarding",
            "refresh_url": "http://localhost/again",
            "return_url": "http://localhost/done",
        }
    )
    assert "Submit and finish" in httpx.get(link.url, trust_env=False).text
    answer = httpx.post(link.url, trust_env=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "http://localhost/done")
    return client.v1.accounts.retrieve(account.id)
