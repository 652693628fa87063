"""Webhooks: which events come, that their signatures hold, and how they misbehave when told to."""

import stripe

from tests.sandbox.conftest import CONNECT_SECRET, WEBHOOK_SECRET, Receiver, StripeStand
from tests.sandbox.paying import hold, intend, onboarded

Client = stripe.StripeClient


def kinds(events: list[dict[str, object]]) -> list[object]:
    return [event["type"] for event in events]


def test_each_change_makes_its_events_and_they_verify(receiver: Receiver, client: Client) -> None:
    held = hold(client)
    client.v1.payment_intents.capture(held.id, {}, {"idempotency_key": "events"})
    got = receiver.wait_for(held.id, 3)
    assert sorted(map(str, kinds(got))) == [
        "payment_intent.amount_capturable_updated",
        "payment_intent.created",
        "payment_intent.succeeded",
    ]
    charged = receiver.wait_for(str(held.latest_charge), 2)
    assert sorted(map(str, kinds(charged))) == ["charge.captured", "charge.succeeded"]
    body, signature = receiver.raw[-1]
    event = stripe.Webhook.construct_event(body, signature, WEBHOOK_SECRET)
    assert client.v1.events.retrieve(event.id).type == event.type
    succeeded = next(one for one in got if one["type"] == "payment_intent.succeeded")
    assert succeeded["request"]["idempotency_key"] == "events"
    assert succeeded["data"]["object"]["status"] == "succeeded"
    assert not any(name.startswith("_") for name in succeeded["data"]["object"])
    listed = client.v1.events.list({"type": "payment_intent.succeeded", "limit": 1})
    assert listed.data[0].id == succeeded["id"]


def test_a_connected_accounts_events_name_it_and_have_their_own_secret(receiver: Receiver, client: Client) -> None:
    account = onboarded(client)
    (event,) = receiver.wait_for(account.id, 1)
    assert (event["type"], event["account"]) == ("account.updated", account.id)
    body, signature = next(pair for pair in receiver.raw if event["id"].encode() in pair[0])
    stripe.Webhook.construct_event(body, signature, CONNECT_SECRET)


def test_failures_and_the_end_are_told(receiver: Receiver, stand: StripeStand, client: Client) -> None:
    asked = hold(client, "pm_card_threeDSecure2Required")
    stand.http.post(f"/_sandbox/3ds/{asked.id}/refuse")
    client.v1.payment_intents.cancel(asked.id)
    assert sorted(map(str, kinds(receiver.wait_for(asked.id, 4)))) == [
        "payment_intent.canceled",
        "payment_intent.created",
        "payment_intent.payment_failed",
        "payment_intent.requires_action",
    ]


def test_what_is_not_taken_comes_again(receiver: Receiver, client: Client) -> None:
    receiver.statuses = [500]
    customer = client.v1.customers.create({})
    got = receiver.wait_for(customer.id, 2)
    assert [event["answered"] for event in got] == [500, 200]
    assert got[0]["id"] == got[1]["id"]


def test_deliveries_are_duplicated_held_and_reversed(receiver: Receiver, stand: StripeStand, client: Client) -> None:
    stand.switch("webhooks", duplicate=1, hold=True)
    paid = intend(client)
    assert receiver.about(paid.id) == []
    assert len(stand.read("webhooks")["waiting"]) >= 4
    stand.switch("webhooks", hold=False, reverse=True)
    got = receiver.wait_for(paid.id, 4)
    assert kinds(got) == ["payment_intent.succeeded"] * 2 + ["payment_intent.created"] * 2


def test_a_delivery_is_delayed(receiver: Receiver, stand: StripeStand, client: Client) -> None:
    stand.switch("webhooks", delay_s=0.5)
    customer = client.v1.customers.create({})
    assert receiver.about(customer.id) == []
    receiver.wait_for(customer.id, 1)
    assert stand.http.post("/_sandbox/webhooks", json={"nonsense": 1}).status_code == 400


def test_what_was_held_is_delivered_after_a_kill(receiver: Receiver, stand: StripeStand, client: Client) -> None:
    stand.switch("webhooks", hold=True)
    customer = client.v1.customers.create({})
    stand.kill()
    stand.start()
    assert receiver.about(customer.id) == []
    stand.switch("webhooks", hold=False)
    receiver.wait_for(customer.id, 1)
