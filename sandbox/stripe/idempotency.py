"""Idempotency keys: one effect and one answer for a key, the answer committed together with the effect."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sandbox.stripe.state import Store
from sandbox.stripe.wire import Object, StripeError

KEY_LENGTH_MAX = 255
KEPT_S = 24 * 3600
"""Stripe may forget a key after a day; the sandbox does, by its movable clock, so that nobody builds on more."""


@dataclass(frozen=True)
class Answer:
    """What a request was answered."""

    status: int
    body: str
    request_id: str


def fingerprint_of(method: str, path: str, params: Object) -> str:
    """What makes two requests the same: method, path and parameters, in whatever order they came."""
    canonical = json.dumps([method, path, params], sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def conflict(message: str, status: int = 400, code: str | None = None) -> StripeError:
    """A key is used wrongly. Nothing ran, so nothing is kept."""
    return StripeError(status, message, kind="idempotency_error", executed=False, code=code)


class Keys:
    """The keys used so far, and those whose requests are being carried out right now."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._in_flight: set[tuple[str, str]] = set()

    def recall(self, owner: str, key: str, path: str, fingerprint: str) -> Answer | None:
        """The first answer under the key, or None when it is new.

        Raises StripeError: 400 when the key belongs to another request, 409 while that request still runs.
        """
        if len(key) > KEY_LENGTH_MAX:
            raise conflict(f"Idempotency keys can have up to {KEY_LENGTH_MAX} characters; this one has {len(key)}.")
        rows = self._store.rows(
            "SELECT * FROM answer WHERE owner = ? AND key = ? AND created > ?", owner, key, self._store.now() - KEPT_S
        )
        if rows:
            row = rows[0]
            if row["path"] != path:
                raise conflict(
                    "Keys for idempotent requests can only be used for the same endpoint they were first used for "
                    f"('{path}' vs '{row['path']}'). Try using a key other than '{key}' if you meant to execute a "
                    "different request."
                )
            if row["fingerprint"] != fingerprint:
                raise conflict(
                    "Keys for idempotent requests can only be used with the same parameters they were first used with. "
                    f"Try using a key other than '{key}' if you meant to execute a different request."
                )
            return Answer(row["status"], row["body"], row["request_id"])
        if (owner, key) in self._in_flight:
            raise conflict(
                "There is currently another in-progress request using this Idempotent Key (that probably means you "
                f"submitted twice, and the other request is still going through): {key}. Please try again later.",
                409,
                "idempotency_key_in_use",
            )
        return None

    @contextmanager
    def in_flight(self, owner: str, key: str | None) -> Iterator[None]:
        """While it lasts, the key is in use."""
        if key is None:
            yield
            return
        self._in_flight.add((owner, key))
        try:
            yield
        finally:
            self._in_flight.discard((owner, key))

    def remember(self, owner: str, key: str, path: str, fingerprint: str, answer: Answer) -> None:
        """Keep the answer, in the transaction that had the effect."""
        self._store.run(
            "INSERT OR REPLACE INTO answer (owner, key, path, fingerprint, status, body, request_id, created)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            owner,
            key,
            path,
            fingerprint,
            answer.status,
            answer.body,
            answer.request_id,
            self._store.now(),
        )
