"""Payments as the real SDK sees them: cards, holds, captures, declines, 3-D Secure, refunds."""

from typing import Any

import httpx
import pytest
import stripe

from sandbox.stripe.api import ROUTES
from tests.sandbox.conftest import StripeStand
from tests.sandbox.paying import CARDS_ONLY, hold, intend

Client = stripe.StripeClient


def number(digits: str) -> dict[str, Any]:
    card = {"number": digits, "exp_month": 12, "exp_year": 2040, "cvc": "123"}
    return {"payment_method_data": {"type": "card", "card": card}, "payment_method": ""}


def test_a_live_key_is_refused(stand: StripeStand) -> None:
    with pytest.raises(stripe.AuthenticationError, match="test keys only"):
        stand.client("sk_live_123456789012").v1.customers.create({})


def test_a_key_is_needed_and_must_look_like_one(stand: StripeStand) -> None:
    assert stand.http.get("/v1/balance").status_code == 401
    with pytest.raises(stripe.AuthenticationError):
        stand.client("nonsense").v1.balance.retrieve()


def test_a_customer_is_made_changed_and_read(client: Client) -> None:
    made: Any = client.v1.customers.create({"email": "ada@example.com", "metadata": {"user_id": "7", "plan": "a"}})
    assert made.id.startswith("cus_")
    assert made.livemode is False
    assert made.last_response.request_id.startswith("req_")
    changed = client.v1.customers.update(made.id, {"name": "Ada", "metadata": {"plan": ""}})
    assert changed.metadata is not None
    assert (changed.name, changed.metadata.to_dict()) == ("Ada", {"user_id": "7"})
    assert client.v1.customers.retrieve(made.id) == changed


def test_lists_are_paged_newest_first(client: Client) -> None:
    email = "pages@example.com"
    made = [client.v1.customers.create({"email": email}).id for _ in range(5)]
    first = client.v1.customers.list({"email": email, "limit": 2})
    assert ([one.id for one in first.data], first.has_more) == ([made[4], made[3]], True)
    second = client.v1.customers.list({"email": email, "limit": 2, "starting_after": made[3]})
    assert [one.id for one in second.data] == [made[2], made[1]]
    back = client.v1.customers.list({"email": email, "limit": 2, "ending_before": made[1]})
    assert ([one.id for one in back.data], back.has_more) == ([made[3], made[2]], True)
    assert [one.id for one in first.auto_paging_iter()] == made[::-1]


@pytest.mark.parametrize("token", ["tok_visa", None])
def test_a_card_is_kept_by_a_customer_and_let_go(client: Client, token: str | None) -> None:
    card: Any = {"token": token} if token else {"number": "4242424242424242", "exp_month": 1, "exp_year": 2040}
    customer = client.v1.customers.create({})
    method = client.v1.payment_methods.create({"type": "card", "card": card})
    assert (method.customer, method.card and method.card.last4) == (None, "4242")
    client.v1.payment_methods.attach(method.id, {"customer": customer.id})
    kept = client.v1.payment_methods.list({"customer": customer.id, "type": "card"})
    assert [one.id for one in kept.data] == [method.id]
    assert [one.id for one in client.v1.customers.payment_methods.list(customer.id).data] == [method.id]
    assert intend(client, method.id, customer=customer.id, off_session=True).status == "succeeded"
    assert client.v1.payment_methods.detach(method.id).customer is None
    with pytest.raises(stripe.InvalidRequestError, match="may not be used again"):
        client.v1.payment_methods.attach(method.id, {"customer": customer.id})


def test_a_mistyped_number_is_no_card(client: Client) -> None:
    with pytest.raises(stripe.CardError) as caught:
        client.v1.payment_methods.create({"type": "card", "card": {"number": "4242424242424241"}})
    assert caught.value.code == "incorrect_number"


def test_money_is_taken_at_once(client: Client) -> None:
    paid = intend(client, expand=["latest_charge.balance_transaction"], metadata={"milestone_id": "3"})
    assert (paid.status, paid.amount_received, paid.amount_capturable) == ("succeeded", 10_000, 0)
    charge = paid.latest_charge
    assert isinstance(charge, stripe.Charge)
    assert (charge.captured, charge.amount_captured, charge.metadata.to_dict()) == (True, 10_000, {"milestone_id": "3"})
    entry = charge.balance_transaction
    assert isinstance(entry, stripe.BalanceTransaction)
    assert (entry.amount, entry.fee, entry.net, entry.status, entry.type) == (10_000, 320, 9_680, "pending", "charge")
    assert client.v1.balance_transactions.retrieve(entry.id).source == charge.id


def test_an_intent_is_made_changed_confirmed_and_found(client: Client) -> None:
    customer = client.v1.customers.create({}).id
    made = client.v1.payment_intents.create(
        {"amount": 500, "currency": "EUR", "customer": customer, "allowed_payment_method_types": ["card"]}
    )
    assert (made.status, made.currency) == ("requires_payment_method", "eur")
    assert made.client_secret is not None
    assert made.client_secret.startswith(f"{made.id}_secret_")
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.payment_intents.confirm(made.id)
    assert caught.value.code == "payment_intent_unexpected_state"
    changed = client.v1.payment_intents.update(made.id, {"amount": 700, "payment_method": "pm_card_mastercard"})
    assert (changed.status, changed.amount) == ("requires_confirmation", 700)
    assert client.v1.payment_intents.confirm(made.id).status == "succeeded"
    assert [one.id for one in client.v1.payment_intents.list({"customer": customer}).data] == [made.id]
    with pytest.raises(stripe.InvalidRequestError, match="already succeeded"):
        client.v1.payment_intents.confirm(made.id)


def test_a_hold_is_captured_once(client: Client) -> None:
    held = hold(client, expand=["latest_charge"])
    assert (held.status, held.amount_capturable, held.amount_received) == ("requires_capture", 10_000, 0)
    charge: Any = held.latest_charge
    assert charge.payment_method_details.card.capture_before == charge.created + 7 * 86_400
    taken = client.v1.payment_intents.capture(held.id)
    assert (taken.status, taken.amount_capturable, taken.amount_received) == ("succeeded", 0, 10_000)
    with pytest.raises(stripe.InvalidRequestError, match="status of succeeded") as caught:
        client.v1.payment_intents.capture(held.id)
    assert (caught.value.http_status, caught.value.code) == (400, "payment_intent_unexpected_state")
    body: Any = caught.value.json_body
    assert body["error"]["payment_intent"]["id"] == held.id


def test_a_part_is_captured_and_the_rest_goes_back_to_the_card(client: Client) -> None:
    held = hold(client)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.payment_intents.capture(held.id, {"amount_to_capture": 10_001})
    assert (caught.value.code, caught.value.param) == ("amount_too_large", "amount_to_capture")
    taken: Any = client.v1.payment_intents.capture(held.id, {"amount_to_capture": 4_000, "expand": ["latest_charge"]})
    charge = taken.latest_charge
    assert (taken.amount_received, charge.amount_captured, charge.amount_refunded) == (4_000, 4_000, 6_000)
    (given_back,) = client.v1.refunds.list({"charge": charge.id}).data
    assert (given_back.amount, given_back.balance_transaction) == (6_000, None)


def test_a_merchant_initiated_visa_hold_is_shorter(client: Client) -> None:
    customer = client.v1.customers.create({"payment_method": "pm_card_visa"})
    (method,) = client.v1.customers.payment_methods.list(customer.id).data
    held: Any = hold(client, method.id, customer=customer.id, off_session=True, expand=["latest_charge"])
    charge = held.latest_charge
    assert charge.payment_method_details.card.capture_before == charge.created + 5 * 86_400


def test_a_hold_is_canceled_and_nothing_was_earned(client: Client) -> None:
    held = hold(client)
    ended = client.v1.payment_intents.cancel(held.id, {"cancellation_reason": "requested_by_customer"})
    assert (ended.status, ended.cancellation_reason, ended.amount_capturable) == (
        "canceled",
        "requested_by_customer",
        0,
    )
    with pytest.raises(stripe.InvalidRequestError, match="status of canceled"):
        client.v1.payment_intents.cancel(held.id)
    with pytest.raises(stripe.InvalidRequestError, match="status of canceled"):
        client.v1.payment_intents.capture(held.id)


def test_a_hold_lapses_when_its_time_has_come(stand: StripeStand, client: Client) -> None:
    held = hold(client)
    stand.switch("clock", advance_s=7 * 86_400 - 60)
    assert client.v1.payment_intents.retrieve(held.id).status == "requires_capture"
    assert stand.switch("clock", advance_s=60)["lapsed_holds"] >= 1
    ended = client.v1.payment_intents.retrieve(held.id)
    assert (ended.status, ended.cancellation_reason) == ("canceled", "automatic")


@pytest.mark.parametrize(
    ("card", "code", "decline_code"),
    [
        ("pm_card_visa_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_visa_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_chargeCustomerFail", "card_declined", "generic_decline"),
        ("4000000000000002", "card_declined", "generic_decline"),
        ("4000000000009995", "card_declined", "insufficient_funds"),
        ("4000000000000069", "expired_card", "expired_card"),
    ],
)
def test_a_declined_card_leaves_an_intent_that_needs_another(
    client: Client, card: str, code: str, decline_code: str
) -> None:
    with pytest.raises(stripe.CardError) as caught:
        intend(client, **number(card)) if card.isdigit() else intend(client, card)
    body: Any = caught.value.json_body
    error = body["error"]
    assert (caught.value.http_status, error["type"]) == (402, "card_error")
    assert (error["code"], error["decline_code"]) == (code, decline_code)
    left = client.v1.payment_intents.retrieve(error["payment_intent"]["id"])
    assert (left.status, left.payment_method, left.amount_received) == ("requires_payment_method", None, 0)
    assert left.last_payment_error is not None
    assert left.last_payment_error.decline_code == decline_code
    assert client.v1.charges.retrieve(error["charge"]).status == "failed"
    assert client.v1.payment_intents.confirm(left.id, {"payment_method": "pm_card_visa"}).status == "succeeded"


def test_a_card_may_be_kept_and_fail_only_when_charged(client: Client) -> None:
    customer = client.v1.customers.create({}).id
    method = client.v1.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": customer})
    with pytest.raises(stripe.CardError):
        intend(client, method.id, customer=customer)
    with pytest.raises(stripe.CardError):
        client.v1.payment_methods.attach("pm_card_visa_chargeDeclined", {"customer": customer})


@pytest.mark.parametrize("answer", ["approve", "refuse"])
def test_three_d_secure_asks_a_person(stand: StripeStand, client: Client, answer: str) -> None:
    asked: Any = hold(client, "pm_card_threeDSecure2Required", return_url="http://localhost/back?x=1")
    assert asked.status == "requires_action"
    assert asked.latest_charge is None
    url = asked.next_action.redirect_to_url.url
    page = httpx.get(url, trust_env=False)
    assert "Approve" in page.text
    assert "100.00 usd" in page.text
    back = httpx.post(f"{url}/{answer}", headers={"Accept": "text/html"}, trust_env=False)
    status = "succeeded" if answer == "approve" else "failed"
    assert back.status_code == 303
    assert back.headers["location"].startswith(f"http://localhost/back?x=1&payment_intent={asked.id}")
    assert back.headers["location"].endswith(f"redirect_status={status}")
    ended: Any = client.v1.payment_intents.retrieve(asked.id, {"expand": ["latest_charge"]})
    if answer == "approve":
        assert ended.status == "requires_capture"
        assert ended.latest_charge.payment_method_details.card.three_d_secure.result == "authenticated"
    else:
        assert ended.status == "requires_payment_method"
        assert ended.last_payment_error.code == "payment_intent_authentication_failure"
    assert stand.http.post(f"/_sandbox/3ds/{asked.id}/approve").status_code == 400


def test_three_d_secure_without_a_return_url_and_off_session(client: Client) -> None:
    asked: Any = intend(client, **number("4000000000003220"))
    assert (asked.status, asked.next_action.type) == ("requires_action", "use_stripe_sdk")
    customer = client.v1.customers.create({}).id
    method = client.v1.payment_methods.attach("pm_card_authenticationRequired", {"customer": customer})
    with pytest.raises(stripe.CardError) as caught:
        intend(client, method.id, customer=customer, off_session=True)
    assert caught.value.code == "authentication_required"


def test_the_automatic_choice_of_methods_wants_a_return_url(client: Client) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="return_url"):
        intend(client, automatic_payment_methods={"enabled": True})


def test_a_refund_stays_within_what_was_captured(client: Client) -> None:
    paid = intend(client)
    first = client.v1.refunds.create({"payment_intent": paid.id, "amount": 4_000, "reason": "requested_by_customer"})
    assert (first.status, first.amount, first.charge) == ("succeeded", 4_000, paid.latest_charge)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.refunds.create({"payment_intent": paid.id, "amount": 6_001})
    assert (caught.value.code, caught.value.param) == ("amount_too_large", "amount")
    assert client.v1.refunds.create({"payment_intent": paid.id}).amount == 6_000
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.refunds.create({"charge": str(paid.latest_charge)})
    assert caught.value.code == "charge_already_refunded"
    assert client.v1.refunds.retrieve(first.id).amount == 4_000


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"amount": ""}, "parameter_invalid_empty", "amount"),
        ({"amount": "12.5"}, "parameter_invalid_integer", "amount"),
        ({"amount": 49}, "amount_too_small", "amount"),
        ({"amount": 100_000_000}, "amount_too_large", "amount"),
        ({"currency": "xxx"}, None, "currency"),
        ({"ammount": 3}, "parameter_unknown", "ammount"),
        ({"customer": "cus_nobody"}, "resource_missing", "customer"),
        ({"payment_method": "pm_nothing"}, "resource_missing", "payment_method"),
    ],
)
def test_a_wrong_parameter_is_named(client: Client, change: dict[str, Any], code: str | None, param: str) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        intend(client, **change)
    assert (caught.value.http_status, caught.value.code, caught.value.param) == (400, code, param)


def test_what_is_missing_is_named(stand: StripeStand, client: Client) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.payment_intents.create({"currency": "usd"})  # type: ignore[typeddict-item]
    assert (caught.value.code, caught.value.param) == ("parameter_missing", "amount")
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.payment_intents.retrieve("pi_nothing")
    assert (caught.value.http_status, caught.value.code) == (404, "resource_missing")
    unknown = stand.http.get("/v1/unicorns", headers={"Authorization": "Bearer sk_test_x"})
    assert (unknown.status_code, unknown.json()["error"]["type"]) == (404, "invalid_request_error")


def test_the_page_lists_and_escapes(stand: StripeStand, client: Client) -> None:
    paid = intend(client, transfer_group="<script>", automatic_payment_methods=CARDS_ONLY)
    page = stand.http.get("/").text
    assert paid.id in page
    assert "&lt;script&gt;" in page
    assert "<script>" not in page


@pytest.mark.parametrize(
    ("method", "path", "declared"),
    [
        ("POST", "/v1/customers", "CustomerCreateParams"),
        ("POST", "/v1/customers/x", "CustomerUpdateParams"),
        ("POST", "/v1/payment_methods", "PaymentMethodCreateParams"),
        ("POST", "/v1/payment_intents", "PaymentIntentCreateParams"),
        ("POST", "/v1/payment_intents/x", "PaymentIntentUpdateParams"),
        ("POST", "/v1/payment_intents/x/confirm", "PaymentIntentConfirmParams"),
        ("POST", "/v1/payment_intents/x/capture", "PaymentIntentCaptureParams"),
        ("POST", "/v1/payment_intents/x/cancel", "PaymentIntentCancelParams"),
        ("POST", "/v1/refunds", "RefundCreateParams"),
        ("POST", "/v1/accounts", "AccountCreateParams"),
        ("POST", "/v1/account_links", "AccountLinkCreateParams"),
        ("POST", "/v1/transfers", "TransferCreateParams"),
    ],
)
def test_no_parameter_is_taken_that_the_pinned_version_does_not_have(method: str, path: str, declared: str) -> None:
    (found,) = (one for one in ROUTES if one.method == method and one.pattern.fullmatch(path))
    assert found.params <= set(getattr(stripe.params, declared).__annotations__)


def test_a_name_of_an_older_version_is_unknown(client: Client) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        intend(client, payment_method_types=["card"])
    assert caught.value.code == "parameter_unknown"
    paid: Any = intend(client, automatic_payment_methods={}, allowed_payment_method_types=["card"])
    assert (paid.status, paid.payment_method_types) == ("succeeded", ["card"])
