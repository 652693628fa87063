"""Stripe's wire format: forms with bracketed names, ids, typed errors, lists. It knows no business."""

import re
import secrets
import string
from itertools import pairwise
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

Object: TypeAlias = dict[str, Any]

FIELDS_MAX = 1_000
"""Form fields in one request; Stripe's largest request has a tenth of it."""
METADATA_KEYS_MAX = 50
METADATA_KEY_LENGTH_MAX = 40
METADATA_VALUE_LENGTH_MAX = 500

_ALPHABET = string.ascii_letters + string.digits
_BRACKETS = re.compile(r"\[([^\[\]]*)\]")


def new_id(prefix: str) -> str:
    """An unguessable id in Stripe's shape: `pi_` and 24 letters and digits."""
    return f"{prefix}_" + "".join(secrets.choice(_ALPHABET) for _ in range(24))


def decode_form(text: str) -> Object:
    """Turn `card[number]=42&expand[0]=a&expand[]=b` into nested dicts of strings; lists stay dicts keyed by index.

    Raises StripeError (400) for a form nobody's SDK would send.
    """
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=FIELDS_MAX)
    except ValueError as error:
        raise invalid(f"The form cannot be read: {error}") from None
    root: Object = {}
    for name, value in pairs:
        head = name.split("[", 1)[0]
        path = [head, *_BRACKETS.findall(name[len(head) :])]
        place = root
        for step, following in pairwise(path):
            place = place.setdefault(step or str(len(place)), {})
            if not isinstance(place, dict):
                raise invalid(f"Invalid request: {head} is given as a value and as a hash ({following}).", head)
        place[path[-1] or str(len(place))] = value
    return root


class StripeError(Exception):
    """A refusal in Stripe's own form.

    `executed` says that the endpoint had begun its work, so that the answer is kept under the idempotency key;
    `keeps_effects` that what it wrote before refusing stays written (a declined charge is a fact).
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        executed: bool = True,
        keeps_effects: bool = False,
        **details: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.executed = executed
        self.keeps_effects = keeps_effects
        self.error: Object = {"type": kind, "message": message}
        self.error |= {name: value for name, value in details.items() if value is not None}
        if code := self.error.get("code"):
            self.error["doc_url"] = f"https://stripe.com/docs/error-codes/{str(code).replace('_', '-')}"

    def body(self) -> Object:
        """The answer's JSON."""
        shown = {
            name: without_secrets(value) if isinstance(value, dict) else value for name, value in self.error.items()
        }
        return {"error": shown}


def invalid(message: str, param: str | None = None, code: str | None = None) -> StripeError:
    """A parameter is wrong in itself, whatever the state: 400, found before the endpoint began its work."""
    return StripeError(400, message, executed=False, param=param, code=code)


def refused(message: str, code: str | None = None, param: str | None = None, **details: Any) -> StripeError:
    """The request is well formed but the state says no: 400."""
    return StripeError(400, message, code=code, param=param, **details)


def missing_resource(kind: str, object_id: str, param: str = "id", status: int = 400) -> StripeError:
    """No such object: 404 when the path names it, 400 when a parameter does, as Stripe answers."""
    name = {"payment_method": "PaymentMethod", "account": "destination" if param == "destination" else "account"}
    label = name.get(kind, kind)
    return StripeError(status, f"No such {label}: '{object_id}'", code="resource_missing", param=param)


class Params:
    """The parameters of one request, or of one hash inside it, read by name and checked as Stripe checks them."""

    def __init__(self, values: Object, inside: str = "") -> None:
        self.values = values
        self._inside = inside

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def label(self, name: str) -> str:
        """The parameter's full name, as an error's `param` gives it."""
        return f"{self._inside}[{name}]" if self._inside else name

    def refuse_unknown(self, known: frozenset[str]) -> None:
        """Raise `parameter_unknown` when a name is not among the known ones."""
        unknown = sorted(set(self.values) - known)
        if unknown:
            names = ", ".join(self.label(name) for name in unknown)
            word = "parameter" if len(unknown) == 1 else "parameters"
            raise invalid(f"Received unknown {word}: {names}", self.label(unknown[0]), "parameter_unknown")

    def text(self, name: str) -> str | None:
        """The value, or None when it is absent or sent empty (which in Stripe's API unsets)."""
        value = self.values.get(name)
        if isinstance(value, dict):
            raise invalid(f"Invalid string: {value}", self.label(name))
        return value or None

    def required_text(self, name: str) -> str:
        """The value, which must be there."""
        value = self.text(name)
        if value is None:
            label = self.label(name)
            if name in self.values:
                raise invalid(
                    f"You passed an empty string for '{label}'. Empty values are an attempt to unset, and "
                    f"'{label}' cannot be unset.",
                    label,
                    "parameter_invalid_empty",
                )
            raise invalid(f"Missing required param: {label}.", label, "parameter_missing")
        return value

    def integer(self, name: str) -> int | None:
        """A whole number, or None when absent."""
        value = self.text(name)
        if value is None:
            return None
        if not re.fullmatch(r"-?\d{1,18}", value, re.ASCII):
            raise invalid(f"Invalid integer: {value}", self.label(name), "parameter_invalid_integer")
        return int(value)

    def required_integer(self, name: str) -> int:
        """A whole number, which must be there."""
        self.required_text(name)
        value = self.integer(name)
        assert value is not None
        return value

    def positive(self, name: str) -> int | None:
        """A whole number from 1 up, or None when absent."""
        value = self.integer(name)
        if value is not None and value < 1:
            raise invalid(
                "This value must be greater than or equal to 1.", self.label(name), "parameter_invalid_integer"
            )
        return value

    def flag(self, name: str) -> bool:
        """True or false; absent is false."""
        value = self.text(name)
        if value not in {None, "true", "false"}:
            raise invalid(f"Invalid boolean: {value}", self.label(name))
        return value == "true"

    def one_of(self, name: str, *options: str) -> str | None:
        """One of the options, or None when absent."""
        value = self.text(name)
        if value is not None and value not in options:
            raise invalid(f"Invalid {self.label(name)}: must be one of {', '.join(options)}", self.label(name))
        return value

    def inner(self, name: str) -> "Params | None":
        """The hash of that name, or None when absent or empty."""
        value = self.values.get(name)
        if value is None or value == "":
            return None
        if not isinstance(value, dict):
            raise invalid(f"Invalid object: {self.label(name)} must be a hash.", self.label(name))
        return Params(value, self.label(name))

    def items(self, name: str) -> list[str]:
        """The strings of a list, in order; absent is empty."""
        inner = self.inner(name)
        return [] if inner is None else [inner.required_text(key) for key in inner.values]

    def metadata(self, existing: Object | None = None) -> Object:
        """The existing metadata with the request's merged in: an empty value unsets its key, an empty hash all."""
        merged: Object = dict(existing or {})
        if "metadata" not in self.values:
            return merged
        given = self.inner("metadata")
        if given is None:
            return {}
        for key in given.values:
            value = given.text(key)
            if value is None:
                merged.pop(key, None)
                continue
            if len(key) > METADATA_KEY_LENGTH_MAX or len(value) > METADATA_VALUE_LENGTH_MAX:
                raise invalid(
                    f"Metadata keys can have up to {METADATA_KEY_LENGTH_MAX} characters and values up to "
                    f"{METADATA_VALUE_LENGTH_MAX}; '{key[:60]}' has more.",
                    given.label(key[:60]),
                )
            merged[key] = value
        if len(merged) > METADATA_KEYS_MAX:
            raise invalid(f"Metadata can have up to {METADATA_KEYS_MAX} keys.", "metadata")
        return merged


def as_list(objects: list[Object], url: str, *, more: bool = False) -> Object:
    """Stripe's list object."""
    return {"object": "list", "data": objects, "has_more": more, "url": url}


def without_secrets(document: Object) -> Object:
    """The object as the API shows it: names that begin with an underscore are the sandbox's own."""
    return {name: value for name, value in document.items() if not name.startswith("_")}
