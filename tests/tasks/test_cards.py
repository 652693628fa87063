"""The Stripe gateway against our stand-in for Stripe, and against everything that goes wrong on the way there."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count
from typing import Any

import pytest
import stripe as sdk

import settings
from models import guard
from models.errors import Refused, Unreachable
from tasks.gateways import cards
from tasks.gateways.cards import Intent
from tests.stripe_sandbox import HOLD_S, StripeSandbox

_numbers = count(1)
CAPTURE = "POST /v1/payment_intents/*/capture"
CONFIRM = "POST /v1/payment_intents/*/confirm"
TRANSFER = "POST /v1/transfers"
RETURN = "http://localhost:3000"


@pytest.fixture(autouse=True)
async def _stripe(stripe_sandbox: StripeSandbox) -> AsyncIterator[None]:
    stripe_sandbox.reset()
    settings.load.cache_clear()
    await cards.close()
    yield
    await cards.close()


def a_key() -> str:
    return f"gateway:{next(_numbers)}"


async def an_intent(*, hold: bool = True, key: str | None = None, group: str = "milestone:x") -> Intent:
    key = key or a_key()
    customer = await cards.create_customer(email="c@example.com", name="Clara", user_id=7, key=f"customer:{key}")
    return await cards.create_intent(
        amount_minor=5_000,
        currency="USD",
        customer_id=customer,
        hold=hold,
        group=group,
        description="The shop",
        metadata={"payment_id": "7"},
        key=key,
    )


async def confirmed(card: str = "pm_card_visa", *, hold: bool = True, group: str = "milestone:x") -> Intent:
    made = await an_intent(hold=hold, group=group)
    return await cards.confirm(
        made.intent_id, payment_method_id=card, return_url=RETURN, key=f"confirm:{made.intent_id}"
    )


async def transferred(charge_id: str, account_id: str, *, group: str, key: str | None = None) -> cards.Transfer:
    return await cards.transfer(
        amount_minor=4_500,
        currency="USD",
        account_id=account_id,
        charge_id=charge_id,
        group=group,
        metadata={"release_id": "9"},
        key=key or a_key(),
    )


async def test_an_intent_is_not_charged_until_it_is_confirmed(stripe_sandbox: StripeSandbox):
    made = await an_intent()
    assert (made.status, made.charge_id, made.capture_before) == ("requires_payment_method", None, None)
    assert (made.amount_minor, made.currency, made.metadata) == (5_000, "usd", {"payment_id": "7"})
    assert stripe_sandbox.captures(made.intent_id) == (0, 0)


async def test_a_confirmed_hold_says_until_when_and_its_capture_is_answered_as_often_as_asked(
    stripe_sandbox: StripeSandbox,
):
    held = await confirmed()
    assert (held.status, held.amount_received_minor) == ("requires_capture", 0)
    assert held.capture_before is not None
    sandbox_now = time.time() + stripe_sandbox.get("/_sandbox/clock")["offset_s"]
    assert abs(held.capture_before.timestamp() - sandbox_now - HOLD_S) < 10
    first = await cards.capture(held.intent_id, key="one:" + held.intent_id)
    again = await cards.capture(held.intent_id, key="another:" + held.intent_id)
    assert (first.status, first.amount_received_minor) == ("succeeded", 5_000)
    assert first.charge_id == again.charge_id == held.charge_id
    assert stripe_sandbox.captures(held.intent_id) == (1, 5_000)


async def test_without_a_hold_the_money_is_captured_at_once(stripe_sandbox: StripeSandbox):
    paid = await confirmed(hold=False)
    assert (paid.status, paid.amount_received_minor, paid.capture_before) == ("succeeded", 5_000, None)
    assert stripe_sandbox.captures(paid.intent_id) == (1, 5_000)


@pytest.mark.parametrize(
    ("card", "decline_code"),
    [
        ("pm_card_chargeDeclined", "generic_decline"),
        ("pm_card_chargeDeclinedInsufficientFunds", "insufficient_funds"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card"),
        ("pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc"),
    ],
)
async def test_a_decline_is_one_code_and_the_banks_own_word(card: str, decline_code: str):
    with pytest.raises(Refused) as refused:
        await confirmed(card)
    assert (refused.value.code, refused.value.decline_code) == ("card_declined", decline_code)
    assert refused.value.detail


async def test_what_was_declined_is_seen_on_the_intent_afterwards():
    made = await an_intent()
    with pytest.raises(Refused):
        await cards.confirm(
            made.intent_id, payment_method_id="pm_card_chargeDeclined", return_url=RETURN, key=f"c:{made.intent_id}"
        )
    found = await cards.read_intent(made.intent_id)
    assert (found.status, found.failure_code) == ("requires_payment_method", "card_declined")
    assert (found.decline_code, found.failure_message) == ("generic_decline", "Your card was declined.")


async def test_three_d_secure_is_an_answer_and_then_the_customers(stripe_sandbox: StripeSandbox):
    asked = await confirmed("pm_card_threeDSecureRequired")
    assert asked.status == "requires_action"
    assert asked.client_secret is not None
    stripe_sandbox.approve(asked.intent_id)
    assert (await cards.read_intent(asked.intent_id)).status == "requires_capture"


async def test_confirming_what_the_customer_paid_meanwhile_answers_the_payment(stripe_sandbox: StripeSandbox):
    made = await an_intent()
    stripe_sandbox.pay_in_browser(made.intent_id)
    found = await cards.confirm(made.intent_id, payment_method_id="pm_card_visa", return_url=RETURN, key=a_key())
    assert found.status == "requires_capture"


async def test_confirming_what_is_cancelled_is_refused():
    made = await an_intent()
    assert (await cards.cancel(made.intent_id, key=a_key())).status == "canceled"
    with pytest.raises(Refused) as refused:
        await cards.confirm(made.intent_id, payment_method_id="pm_card_visa", return_url=RETURN, key=a_key())
    assert refused.value.code == "payment_intent_unexpected_state"


async def test_cancelling_what_is_captured_or_cancelled_answers_it_as_it_stands():
    paid = await confirmed(hold=False)
    assert (await cards.cancel(paid.intent_id, key=a_key())).status == "succeeded"
    made = await an_intent()
    await cards.cancel(made.intent_id, key=a_key())
    assert (await cards.cancel(made.intent_id, key=a_key())).status == "canceled"


async def test_a_lapsed_hold_cannot_be_captured(stripe_sandbox: StripeSandbox):
    held = await confirmed()
    stripe_sandbox.advance(HOLD_S + 1)
    with pytest.raises(Refused) as refused:
        await cards.capture(held.intent_id, key=a_key())
    assert refused.value.code == "payment_intent_unexpected_state"
    assert stripe_sandbox.captures(held.intent_id) == (0, 0)


@pytest.mark.parametrize("kind", ["rate_limit", "error_before", "refuse_connection"])
async def test_no_answer_or_later_is_unreachable_and_the_same_key_works_afterwards(
    stripe_sandbox: StripeSandbox, kind: str
):
    held = await confirmed()
    stripe_sandbox.fault(kind, CAPTURE)
    with pytest.raises(Unreachable):
        await cards.capture(held.intent_id, key=f"k:{held.intent_id}")
    assert (await cards.capture(held.intent_id, key=f"k:{held.intent_id}")).status == "succeeded"
    assert stripe_sandbox.captures(held.intent_id) == (1, 5_000)


@pytest.mark.parametrize("kind", ["error_after_commit", "bad_gateway_after_commit"])
async def test_a_failure_after_the_effect_is_looked_through_at_once(stripe_sandbox: StripeSandbox, kind: str):
    held = await confirmed()
    stripe_sandbox.fault(kind, CAPTURE)
    assert (await cards.capture(held.intent_id, key=f"k:{held.intent_id}")).status == "succeeded"
    assert stripe_sandbox.captures(held.intent_id) == (1, 5_000)


async def test_a_lost_answer_to_a_confirmation_is_looked_through(stripe_sandbox: StripeSandbox):
    made = await an_intent()
    stripe_sandbox.fault("error_after_commit", CONFIRM)
    found = await cards.confirm(made.intent_id, payment_method_id="pm_card_visa", return_url=RETURN, key=a_key())
    assert found.status == "requires_capture"


async def test_a_silent_stripe_is_unreachable_and_the_repeat_finds_the_first_effect(
    stripe_sandbox: StripeSandbox, monkeypatch: pytest.MonkeyPatch
):
    held = await confirmed()
    monkeypatch.setattr(cards, "TIMEOUT_S", 0.3)
    stripe_sandbox.fault("timeout_after_commit", CAPTURE)
    with pytest.raises(Unreachable):
        await cards.capture(held.intent_id, key=f"k:{held.intent_id}")
    stripe_sandbox.let_go()
    assert (await cards.capture(held.intent_id, key=f"k:{held.intent_id}")).status == "succeeded"
    assert stripe_sandbox.captures(held.intent_id) == (1, 5_000)


async def test_our_own_call_still_being_worked_on_is_unreachable(stripe_sandbox: StripeSandbox):
    held = await confirmed()
    stripe_sandbox.fault("slow", CAPTURE, delay_s=20)
    key = f"k:{held.intent_id}"
    first = asyncio.create_task(cards.capture(held.intent_id, key=key))
    while not stripe_sandbox.get("/_sandbox/holding"):  # noqa: ASYNC110  another process' state
        await asyncio.sleep(0.01)
    with pytest.raises(Unreachable, match="409"):
        await cards.capture(held.intent_id, key=key)
    stripe_sandbox.let_go()
    assert (await first).status == "succeeded"
    assert stripe_sandbox.captures(held.intent_id) == (1, 5_000)


async def test_a_transfer_is_made_once_for_a_key_and_found_again_once_the_key_is_gone(stripe_sandbox: StripeSandbox):
    paid, account = await confirmed(hold=False, group="milestone:1"), stripe_sandbox.account()
    assert paid.charge_id is not None
    first = await transferred(paid.charge_id, account, group="milestone:1", key="transfer:1:gateway")
    assert (first.amount_minor, first.currency, first.charge_id) == (4_500, "usd", paid.charge_id)
    stripe_sandbox.advance(25 * 3_600)
    again = await transferred(paid.charge_id, account, group="milestone:1", key="transfer:1:gateway")
    assert again == first == await cards.read_transfer(first.transfer_id)
    assert stripe_sandbox.transfers(1) == (1, 4_500)


async def test_a_failure_after_a_transfer_is_found_by_its_group(stripe_sandbox: StripeSandbox):
    paid, account = await confirmed(hold=False, group="milestone:2"), stripe_sandbox.account()
    assert paid.charge_id is not None
    stripe_sandbox.fault("error_after_commit", TRANSFER)
    with pytest.raises(Unreachable):
        await transferred(paid.charge_id, account, group="milestone:2", key="transfer:2:gateway")
    found = await transferred(paid.charge_id, account, group="milestone:2", key="transfer:2:gateway")
    assert found.metadata == {"release_id": "9"}
    assert stripe_sandbox.transfers(2) == (1, 4_500)


async def test_a_transfer_out_of_another_charge_is_not_taken_for_ours(stripe_sandbox: StripeSandbox):
    account, group = stripe_sandbox.account(), "milestone:3"
    earlier, present = await confirmed(hold=False, group=group), await confirmed(hold=False, group=group)
    assert earlier.charge_id is not None
    assert present.charge_id is not None
    old = await transferred(earlier.charge_id, account, group=group)
    new = await transferred(present.charge_id, account, group=group)
    assert old.transfer_id != new.transfer_id
    assert (old.charge_id, new.charge_id) == (earlier.charge_id, present.charge_id)


async def test_a_transfer_that_names_no_charge_is_read_as_such(stripe_sandbox: StripeSandbox):
    account = stripe_sandbox.account()
    await confirmed("pm_card_bypassPending", hold=False)
    made = stripe_sandbox.post("/v1/transfers", amount="100", currency="usd", destination=account)
    assert (await cards.read_transfer(made["id"])).charge_id is None


async def test_an_account_is_ready_once_its_owner_has_onboarded(stripe_sandbox: StripeSandbox):
    made = await cards.create_account(email="f@example.com", user_id=8, key=a_key())
    assert (made.ready, made.metadata) == (False, {"user_id": "8"})
    link = await cards.onboarding_link(made.account_id, return_url=RETURN, refresh_url=RETURN)
    assert link.startswith(stripe_sandbox.base)
    stripe_sandbox.complete(made.account_id)
    assert (await cards.read_account(made.account_id)).ready
    stripe_sandbox.restrict(made.account_id)
    assert not (await cards.read_account(made.account_id)).ready


async def test_an_account_without_any_capability_is_not_ready():
    bare = {"id": "acct_1", "payouts_enabled": True, "capabilities": None, "metadata": None}
    assert not cards._account(sdk.Account.construct_from(bare, "k")).ready


async def test_objects_that_do_not_exist_are_refused_by_name():
    with pytest.raises(Refused) as refused:
        await cards.read_intent("pi_nothing")
    assert refused.value.code == "resource_missing"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the call that was never awaited
async def test_a_gateway_is_never_called_inside_a_transaction(stripe: StripeSandbox):
    made = await an_intent()
    async with guard.transaction():
        with pytest.raises(AssertionError, match="inside a transaction"):
            await cards.read_intent(made.intent_id)


async def test_without_a_key_no_card_is_charged(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("STRIPE_SECRET_KEY")
    settings.load.cache_clear()
    with pytest.raises(Refused) as refused:
        await an_intent()
    assert refused.value.code == "cards_not_configured"
    settings.load.cache_clear()


def _error(kind: type[sdk.StripeError], *args: Any, **kwargs: Any) -> Callable[[], Awaitable[None]]:
    async def call() -> None:
        raise kind(*args, **kwargs)

    return call


@pytest.mark.parametrize(
    ("call", "retry_after_s"),
    [
        (_error(sdk.RateLimitError, "slow down", http_status=429, headers={"retry-after": "17"}), 17.0),
        (_error(sdk.RateLimitError, "slow down", http_status=429, headers={"retry-after": "soon"}), None),
        (_error(sdk.RateLimitError, "slow down", http_status=429, headers={"x": "y"}), None),
        (_error(sdk.RateLimitError, "slow down", http_status=429), None),
        (_error(sdk.AuthenticationError, "Expired API key", http_status=401), None),
        (_error(sdk.APIError, "Invalid response body", http_status=200), None),
        (_error(sdk.APIError, "no status"), None),
    ],
)
async def test_what_is_no_answer_about_the_money_is_unreachable(
    call: Callable[[], Awaitable[None]], retry_after_s: float | None
):
    with pytest.raises(Unreachable) as unreachable:
        await cards._ask(call())
    assert unreachable.value.retry_after_s == retry_after_s


async def test_a_decline_without_the_banks_word_keeps_the_errors_own_code():
    with pytest.raises(Refused) as refused:
        await cards._ask(_error(sdk.CardError, "", None, "expired_card", http_status=402)())
    assert (refused.value.code, refused.value.decline_code) == ("card_declined", "expired_card")


async def test_fields_nobody_knows_yet_are_ignored():
    found = cards._intent(
        sdk.PaymentIntent.construct_from(
            {
                "id": "pi_1",
                "status": "requires_capture",
                "amount": 100,
                "amount_received": None,
                "currency": "usd",
                "client_secret": None,
                "last_payment_error": None,
                "metadata": None,
                "latest_charge": {"id": "ch_1", "object": "charge", "payment_method_details": {"type": "moon_rock"}},
                "settles_on_the_moon": True,
            },
            "k",
        )
    )
    assert (found.charge_id, found.capture_before, found.metadata) == ("ch_1", None, {})
    assert (found.amount_received_minor, found.failure_code) == (0, None)


async def test_a_charge_that_was_not_expanded_is_its_id():
    paid = await confirmed(hold=False)
    plain = await cards._client().v1.payment_intents.retrieve_async(paid.intent_id)
    assert cards._intent(plain).charge_id == paid.charge_id


async def test_an_intents_secret_is_in_no_repr():
    made = await an_intent()
    assert made.client_secret is not None
    assert made.client_secret not in repr(made)
    assert repr(made) == f"<Intent {made.intent_id} requires_payment_method 5000 usd>"
