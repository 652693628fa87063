"""`expand[]`: an id in an answer replaced by the object it names, and what the API shows of an object at all."""

from typing import Any

from sandbox.stripe.balance import with_present_status
from sandbox.stripe.call import Call
from sandbox.stripe.wire import Object, invalid, without_secrets

EXPANDABLE = frozenset(
    {
        "account",
        "balance_transaction",
        "charge",
        "customer",
        "destination",
        "latest_charge",
        "payment_intent",
        "payment_method",
        "source",
        "source_transaction",
        "transfer",
    }
)
DEPTH_MAX = 4
"""Stripe's own bound on the depth of an expansion."""


def shown(call: Call, document: Object) -> Object:
    """The object as the API shows it now; a list's elements likewise."""
    plain = with_present_status(without_secrets(document), call.now)
    if plain.get("object") == "list":
        plain["data"] = [shown(call, element) for element in plain["data"]]
    return plain


def expand(call: Call, document: Object, paths: list[str]) -> Object:
    """The answer, with each path's id replaced by its object (`latest_charge.balance_transaction`, `data.customer`).

    Raises StripeError (400) for a field that cannot be expanded.
    """
    answer = shown(call, document)
    for path in paths:
        steps = path.split(".")
        if len(steps) > DEPTH_MAX:
            raise invalid(f"You cannot expand more than {DEPTH_MAX} levels of a property. Property: {path}", "expand")
        _expand_step(call, answer, steps, path)
    return answer


def _expand_step(call: Call, place: Object, steps: list[str], path: str) -> None:
    step, rest = steps[0], steps[1:]
    if step == "data" and place.get("object") == "list":
        for element in place["data"]:
            _expand_step(call, element, rest, path)
        return
    if step not in place or step not in EXPANDABLE:
        raise invalid(f"This property cannot be expanded ({path}).", "expand")
    value: Any = place[step]
    if isinstance(value, str):
        found = call.store.find(value, None)
        if found is None:
            return
        place[step] = value = shown(call, found)
    if rest and isinstance(value, dict):
        _expand_step(call, value, rest, path)
