"""What a retry meets: replays, mismatches, requests in flight, faults before and after the commit, and restarts."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import stripe

from tests.sandbox.conftest import StripeStand
from tests.sandbox.paying import hold, intend, onboarded

Client = stripe.StripeClient
CAPTURE = "POST /v1/payment_intents/*/capture"


def replayed(answer: Any) -> bool:
    return bool(answer.last_response.headers.get("idempotent-replayed") == "true")


def wait_until(holds: Callable[[], Any]) -> Any:
    until = time.monotonic() + 5
    while not (value := holds()):
        assert time.monotonic() < until
        time.sleep(0.02)
    return value


def captures_of(stand: StripeStand, intent: str) -> int:
    return int(stand.read("totals")["payment_intents"].get(intent, {"captures": 0})["captures"])


def test_the_same_request_gets_the_same_answer(client: Client) -> None:
    options: Any = {"idempotency_key": "same"}
    first = client.v1.customers.create({"email": "a@example.com", "name": "A"}, options)
    second = client.v1.customers.create({"name": "A", "email": "a@example.com"}, options)
    assert (second.id, replayed(first), replayed(second)) == (first.id, False, True)


def test_a_key_serves_one_request_only(client: Client) -> None:
    options: Any = {"idempotency_key": "mismatch"}
    client.v1.customers.create({"email": "a@example.com"}, options)
    with pytest.raises(stripe.IdempotencyError, match="same parameters"):
        client.v1.customers.create({"email": "b@example.com"}, options)
    with pytest.raises(stripe.IdempotencyError, match="same endpoint"):
        client.v1.payment_intents.create({"amount": 100, "currency": "usd"}, options)


def test_a_key_in_flight_is_a_conflict(stand: StripeStand, client: Client) -> None:
    stand.switch("faults", match="POST /v1/customers", kind="slow", delay_s=20)
    options: Any = {"idempotency_key": "flight"}
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(client.v1.customers.create, {}, options)
        (held,) = wait_until(lambda: stand.read("holding"))
        assert (held["path"], held["idempotency_key"], held["phase"]) == ("/v1/customers", "flight", "before")
        with pytest.raises(stripe.APIError) as caught:
            stand.client().v1.customers.create({}, options)
        # The SDK fills `code` for 400, 402 and 404 only; the body has it always.
        assert caught.value.http_status == 409
        body: Any = caught.value.json_body
        assert body["error"]["code"] == "idempotency_key_in_use"
        assert stand.http.delete("/_sandbox/holding").json() == {"released": 1}
        made = first.result()
    assert client.v1.customers.create({}, options).id == made.id


def test_a_wrong_parameter_does_not_use_up_the_key(client: Client) -> None:
    options: Any = {"idempotency_key": "corrected"}
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.payment_intents.create({"amount": 1, "currency": "usd"}, options)
    assert client.v1.payment_intents.create({"amount": 100, "currency": "usd"}, options).amount == 100


def test_a_decline_is_replayed(client: Client) -> None:
    declined: list[Any] = []
    for _ in range(2):
        with pytest.raises(stripe.CardError) as caught:
            client.v1.payment_intents.create(
                {
                    "amount": 100,
                    "currency": "usd",
                    "confirm": True,
                    "payment_method": "pm_card_visa_chargeDeclined",
                    "allowed_payment_method_types": ["card"],
                },
                {"idempotency_key": "declined"},
            )
        declined.append(caught.value)
    assert declined[0].json_body == declined[1].json_body
    assert declined[1].headers["idempotent-replayed"] == "true"


def test_a_key_is_forgotten_after_a_day(stand: StripeStand, client: Client) -> None:
    options: Any = {"idempotency_key": "old"}
    first = client.v1.customers.create({}, options)
    stand.switch("clock", advance_s=24 * 3600 + 1)
    assert client.v1.customers.create({}, options).id != first.id


@pytest.mark.parametrize("kind", ["timeout_after_commit", "bad_gateway_after_commit"])
def test_a_lost_answer_and_a_retry_make_one_capture(stand: StripeStand, client: Client, kind: str) -> None:
    held = hold(client)
    stand.switch("faults", match=CAPTURE, kind=kind, times=1, delay_s=20)
    options: Any = {"idempotency_key": f"capture-{kind}"}
    with pytest.raises(stripe.APIError if kind.startswith("bad") else stripe.APIConnectionError):
        stand.client(timeout_s=0.4).v1.payment_intents.capture(held.id, {}, options)
    assert captures_of(stand, held.id) == 1
    again = client.v1.payment_intents.capture(held.id, {}, options)
    assert (again.status, replayed(again)) == ("succeeded", True)
    assert captures_of(stand, held.id) == 1
    calls = stand.read(f"calls?path=/v1/payment_intents/{held.id}/capture")
    assert [(call["status"], call["replayed"], call["fault"]) for call in calls] == [
        (200, False, kind),
        (200, True, None),
    ]


def test_a_held_answer_is_listed_until_the_caller_is_gone(stand: StripeStand, client: Client) -> None:
    held = hold(client)
    stand.switch("faults", match=CAPTURE, kind="timeout_after_commit", delay_s=20)
    caller = stand.client(timeout_s=1)
    failed: list[Exception] = []

    def capture() -> None:
        try:
            caller.v1.payment_intents.capture(held.id)
        except stripe.APIConnectionError as error:
            failed.append(error)

    thread = threading.Thread(target=capture)
    thread.start()
    (listed,) = wait_until(lambda: stand.read("holding"))
    assert (listed["phase"], listed["path"]) == ("committed", f"/v1/payment_intents/{held.id}/capture")
    assert captures_of(stand, held.id) == 1
    thread.join()
    assert len(failed) == 1
    wait_until(lambda: stand.read("holding") == [])


def test_a_server_error_after_the_commit_is_replayed_and_only_a_look_tells(stand: StripeStand, client: Client) -> None:
    held = hold(client)
    stand.switch("faults", match=CAPTURE, kind="error_after_commit")
    for _ in range(2):
        with pytest.raises(stripe.APIError) as caught:
            client.v1.payment_intents.capture(held.id, {}, {"idempotency_key": "capture-500"})
        assert caught.value.http_status == 500
    assert client.v1.payment_intents.retrieve(held.id).status == "succeeded"
    assert captures_of(stand, held.id) == 1


def test_faults_before_the_work_leave_no_trace(stand: StripeStand, client: Client) -> None:
    held = hold(client)
    options: Any = {"idempotency_key": "capture-before"}
    raised = []
    for kind in ("rate_limit", "error_before", "refuse_connection"):
        stand.switch("faults", match=CAPTURE, kind=kind)
        with pytest.raises(stripe.StripeError) as caught:
            client.v1.payment_intents.capture(held.id, {}, options)
        raised.append(type(caught.value))
        assert captures_of(stand, held.id) == 0
    assert raised == [stripe.RateLimitError, stripe.APIError, stripe.APIConnectionError]
    assert not replayed(client.v1.payment_intents.capture(held.id, {}, options))


def test_the_sdk_retries_by_itself(stand: StripeStand) -> None:
    stand.switch("faults", match="POST /v1/customers", kind="refuse_connection", times=1)
    stand.switch("faults", match="POST /v1/customers", kind="error_before", times=1)
    assert stand.client(retries=2).v1.customers.create({}).id.startswith("cus_")


def test_twelve_at_once_make_one_capture(stand: StripeStand, client: Client) -> None:
    held = hold(client)

    def capture(number: int) -> str:
        try:
            taken = client.v1.payment_intents.capture(held.id, {}, {"idempotency_key": f"race-{held.id}-{number % 3}"})
        except stripe.InvalidRequestError as error:
            return str(error.code)
        return str(taken.status)

    with ThreadPoolExecutor(12) as pool:
        outcomes = list(pool.map(capture, range(12)))
    assert outcomes.count("succeeded") == 4
    assert outcomes.count("payment_intent_unexpected_state") == 8
    assert captures_of(stand, held.id) == 1


def test_a_fault_must_be_well_written(stand: StripeStand) -> None:
    for wrong in ({"kind": "unknown"}, {"kind": "slow", "times": 0}, {"kind": "slow", "when": 1}, {}):
        assert stand.http.post("/_sandbox/faults", json=wrong).status_code == 400
    stand.switch("faults", match="*", kind="slow", times=2, delay_s=0)
    assert [fault["times"] for fault in stand.read("faults")] == [2]


@pytest.fixture
def own(tmp_path: Path) -> Iterator[StripeStand]:
    started = StripeStand(tmp_path)
    yield started
    started.stop()


def test_everything_survives_a_kill(own: StripeStand) -> None:
    client = own.client()
    account = onboarded(client)
    paid = intend(client, transfer_group="g")
    asked: Any = {"amount": 9_000, "currency": "usd", "destination": account.id}
    asked |= {"source_transaction": str(paid.latest_charge), "transfer_group": "g"}
    options: Any = {"idempotency_key": "transfer"}
    made = client.v1.transfers.create(asked, options)
    own.switch("clock", advance_s=100)
    own.switch("faults", match="*", kind="rate_limit")
    own.kill()
    own.start()
    with pytest.raises(stripe.RateLimitError):
        own.client().v1.balance.retrieve()
    again = own.client().v1.transfers.create(asked, options)
    assert (again.id, replayed(again)) == (made.id, True)
    assert own.read("clock")["offset_s"] == 100
    totals = own.read("totals")
    assert (totals["captures"], totals["transfers"]) == (1, 1)
    assert totals["transfer_groups"]["g"] == {"transfers": 1, "transferred": 9_000, "reversed": 0}
