"""Connected accounts and transfers: onboarding, and money that cannot leave before it is there."""

from typing import Any

import pytest
import stripe

from tests.sandbox.conftest import StripeStand
from tests.sandbox.paying import hold, intend, onboarded

Client = stripe.StripeClient


def available(client: Client, account: str | None = None) -> int:
    options: Any = {"stripe_account": account} if account else {}
    return sum(part.amount for part in client.v1.balance.retrieve(options=options).available)


def test_an_account_can_be_paid_only_after_onboarding(stand: StripeStand, client: Client) -> None:
    account: Any = client.v1.accounts.create({"type": "express", "capabilities": {"transfers": {"requested": True}}})
    assert (account.payouts_enabled, account.details_submitted, account.capabilities.transfers) == (
        False,
        False,
        "inactive",
    )
    paid = intend(client)
    asked: Any = {"amount": 9_000, "currency": "usd", "destination": account.id}
    asked["source_transaction"] = paid.latest_charge
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.transfers.create(asked)
    assert caught.value.code == "insufficient_capabilities_for_transfer"
    assert stand.http.post(f"/_sandbox/accounts/{account.id}/complete").status_code == 200
    assert client.v1.transfers.create(asked).amount == 9_000
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.transfers.create(asked | {"destination": "acct_nobody"})
    assert (caught.value.http_status, caught.value.code, caught.value.param) == (
        400,
        "resource_missing",
        "destination",
    )


def test_the_onboarding_link_completes_once(client: Client) -> None:
    account: Any = onboarded(client)
    assert (account.payouts_enabled, account.details_submitted, account.capabilities.transfers) == (
        True,
        True,
        "active",
    )
    assert account.requirements.currently_due == []


def test_a_controller_account_is_made(client: Client) -> None:
    account: Any = client.v1.accounts.create(
        {"controller": {"stripe_dashboard": {"type": "express"}, "losses": {"payments": "application"}}}
    )
    assert (account.type, account.controller.stripe_dashboard.type) == ("none", "express")
    with pytest.raises(stripe.PermissionError):
        client.v1.accounts.retrieve("acct_nobody")


def test_a_transfer_is_bounded_by_its_charge(client: Client) -> None:
    account = onboarded(client)
    held = hold(client, transfer_group="milestone_7")
    asked: Any = {"amount": 9_000, "currency": "usd", "destination": account.id}
    asked["source_transaction"] = str(held.latest_charge)
    with pytest.raises(stripe.InvalidRequestError, match="not captured"):
        client.v1.transfers.create(asked)
    client.v1.payment_intents.capture(held.id)
    made = client.v1.transfers.create(asked)
    assert (made.transfer_group, made.source_transaction) == ("milestone_7", held.latest_charge)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.transfers.create(asked | {"amount": 1_001})
    assert caught.value.code == "balance_insufficient"
    client.v1.transfers.create(asked | {"amount": 1_000})
    found = client.v1.transfers.list({"transfer_group": "milestone_7"})
    assert [one.amount for one in found.data] == [1_000, 9_000]


def test_a_transfer_without_a_charge_waits_for_the_balance(stand: StripeStand, client: Client) -> None:
    account = onboarded(client)
    stand.switch("clock", advance_s=3 * 86_400)
    before = available(client)
    intend(client, amount=50_000)
    assert available(client) == before
    asked: Any = {"amount": before + 40_000, "currency": "usd", "destination": account.id}
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.transfers.create(asked)
    assert caught.value.code == "balance_insufficient"
    stand.switch("clock", advance_s=2 * 86_400)
    made = client.v1.transfers.create(asked)
    assert available(client, account.id) == before + 40_000
    assert available(client) == 50_000 - 1_480 - 40_000
    assert client.v1.transfers.retrieve(made.id) == made


def test_a_card_that_skips_pending_pays_at_once(client: Client) -> None:
    before = available(client)
    intend(client, "pm_card_bypassPending", amount=10_000)
    assert available(client) == before + 9_680


def test_a_transfer_is_reversed_within_its_amount(client: Client) -> None:
    account = onboarded(client)
    paid = intend(client)
    made = client.v1.transfers.create(
        {
            "amount": 9_000,
            "currency": "usd",
            "destination": account.id,
            "source_transaction": str(paid.latest_charge),
        }
    )
    first = client.v1.transfers.reversals.create(made.id, {"amount": 4_000})
    assert (first.amount, first.transfer) == (4_000, made.id)
    with pytest.raises(stripe.InvalidRequestError, match="greater than unreversed"):
        client.v1.transfers.reversals.create(made.id, {"amount": 5_001})
    client.v1.transfers.reversals.create(made.id)
    left = client.v1.transfers.retrieve(made.id)
    assert (left.amount_reversed, left.reversed) == (9_000, True)
    assert [one.amount for one in client.v1.transfers.reversals.list(made.id).data] == [5_000, 4_000]
