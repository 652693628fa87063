"""Events: what Stripe would tell a webhook about each change, kept with the change itself."""

from sandbox.stripe import webhooks
from sandbox.stripe.balance import with_present_status
from sandbox.stripe.call import PAGING, Call, Route, route
from sandbox.stripe.state import PLATFORM
from sandbox.stripe.wire import Object, new_id, without_secrets


def record(call: Call, kind: str, document: Object, previous: Object | None = None, owner: str | None = None) -> None:
    """Keep the event of a change, and what must be delivered for it, in the transaction that makes the change."""
    owner = call.owner if owner is None else owner
    data: Object = {"object": with_present_status(without_secrets(document), call.now)}
    if previous is not None:
        data["previous_attributes"] = previous
    event: Object = {
        "id": new_id("evt"),
        "object": "event",
        "api_version": call.store.setting("api_version", call.api_version),
        "created": call.now,
        "data": data,
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": call.request_id, "idempotency_key": call.idempotency_key},
        "type": kind,
    }
    if owner != PLATFORM:
        event["account"] = owner
    call.store.add(event, owner)
    webhooks.enqueue(call.store, event["id"])


def retrieve(call: Call) -> Object:
    """One event."""
    return call.named("event")


def list_events(call: Call) -> Object:
    """Events, newest first, of one type when asked."""
    kind = call.params.text("type")
    return call.page("event", "/v1/events", {"type": kind} if kind else None)


ROUTES: tuple[Route, ...] = (
    route("GET", "/v1/events", list_events, " ".join({"type", *PAGING})),
    route("GET", "/v1/events/{id}", retrieve),
)
