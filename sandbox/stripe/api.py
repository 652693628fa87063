"""The API's front: who calls, is it a repeat, which verb carries it out, and what is answered and kept."""

import json
import time
from dataclasses import dataclass
from http import HTTPStatus

from sandbox.stripe import (
    accounts,
    balance,
    charges,
    customers,
    events,
    payment_intents,
    payment_methods,
    refunds,
    transfers,
)
from sandbox.stripe.call import Call, Route
from sandbox.stripe.expansion import expand
from sandbox.stripe.faults import FaultKind
from sandbox.stripe.idempotency import Answer, Keys, fingerprint_of
from sandbox.stripe.state import PLATFORM, Store
from sandbox.stripe.wire import Object, Params, StripeError, new_id

ROUTES: tuple[Route, ...] = (
    *customers.ROUTES,
    *payment_methods.ROUTES,
    *payment_intents.ROUTES,
    *charges.ROUTES,
    *refunds.ROUTES,
    *balance.ROUTES,
    *accounts.ROUTES,
    *transfers.ROUTES,
    *events.ROUTES,
)


@dataclass
class Received:
    """A request of the API as it came in."""

    method: str
    path: str
    params: Object
    authorization: str
    idempotency_key: str | None = None
    account: str | None = None
    api_version: str = ""
    base_url: str = ""
    request_id: str = ""
    fault: str | None = None

    @property
    def key(self) -> str | None:
        """The idempotency key, where one counts: on a POST."""
        return self.idempotency_key if self.method == "POST" else None


def error_answer(error: StripeError, request_id: str) -> Answer:
    """The answer that a refusal makes."""
    return Answer(error.status, json.dumps(error.body(), indent=2), request_id)


def require_test_key(authorization: str) -> None:
    """Let test keys pass. Raises StripeError (401) for none, for nonsense, and for a live key."""
    scheme, _, key = authorization.partition(" ")
    if scheme.lower() != "bearer" or not key:
        message = "You did not provide an API key. Provide it as 'Authorization: Bearer sk_test_…'."
        raise StripeError(401, message, executed=False)
    hidden = f"{key[:8]}{'*' * 8}{key[-4:]}"
    if key.startswith(("sk_live_", "rk_live_", "pk_live_")):
        message = f"This is the sandbox: it takes test keys only, and was given a live one ({hidden}). Take it away."
        raise StripeError(401, message, executed=False, code="livemode_mismatch")
    if not key.startswith(("sk_test_", "rk_test_")):
        raise StripeError(401, f"Invalid API Key provided: {hidden}", executed=False)


class Api:
    """Carries out requests one at a time, each in one transaction with its answer."""

    def __init__(self, store: Store, keys: Keys) -> None:
        self._store = store
        self.keys = keys

    def recall(self, received: Received) -> Answer | None:
        """The earlier answer under the request's key, or None. Raises StripeError for a bad key or account."""
        require_test_key(received.authorization)
        if received.account is not None and self._store.find(received.account, PLATFORM, "account") is None:
            raise accounts.refused_account(received.account)
        if received.key is None:
            return None
        fingerprint = fingerprint_of(received.method, received.path, received.params)
        return self.keys.recall(received.account or PLATFORM, received.key, received.path, fingerprint)

    def carry_out(self, received: Received, fault: FaultKind | None) -> Answer:
        """Do what is asked and commit effect, answer and log together."""
        with self._store.transaction():
            self._store.savepoint()
            answer, keeps = self._attempt(received)
            if fault is FaultKind.ERROR_AFTER_COMMIT and answer.status == HTTPStatus.OK:
                answer = error_answer(server_error(), received.request_id)
            if keeps and received.key is not None:
                fingerprint = fingerprint_of(received.method, received.path, received.params)
                owner = received.account or PLATFORM
                self.keys.remember(owner, received.key, received.path, fingerprint, answer)
            self._log(received, answer.status, replayed=False)
        return answer

    def _attempt(self, received: Received) -> tuple[Answer, bool]:
        """The answer, and whether it is kept under the key."""
        try:
            body = self._dispatch(received)
        except StripeError as error:
            if not error.keeps_effects:
                self._store.rollback_to_savepoint()
            return error_answer(error, received.request_id), error.executed
        return Answer(HTTPStatus.OK, json.dumps(body, indent=2), received.request_id), True

    def _dispatch(self, received: Received) -> Object:
        for route in ROUTES:
            matched = route.pattern.fullmatch(received.path)
            if matched is None or route.method != received.method:
                continue
            params = Params(received.params)
            params.refuse_unknown(route.params)
            call = Call(
                store=self._store,
                now=self._store.now(),
                params=params,
                owner=received.account or PLATFORM,
                ids=matched.groups(),
                request_id=received.request_id,
                idempotency_key=received.key,
                base_url=received.base_url,
                api_version=received.api_version,
            )
            return expand(call, route.carry_out(call), params.items("expand"))
        message = f"Unrecognized request URL ({received.method}: {received.path})."
        raise StripeError(404, message, executed=False)

    def log_unexecuted(self, received: Received, status: int | None, *, replayed: bool) -> None:
        """Log a request that never reached its verb: a replay, a refusal at the door, a cut connection."""
        with self._store.transaction():
            self._log(received, status, replayed=replayed)

    def _log(self, received: Received, status: int | None, *, replayed: bool) -> None:
        self._store.log_call(
            {
                "at": time.time(),
                "method": received.method,
                "path": received.path,
                "idempotency_key": received.idempotency_key,
                "account": received.account,
                "status": status,
                "replayed": int(replayed),
                "fault": received.fault,
                "request_id": received.request_id,
            }
        )


def server_error() -> StripeError:
    """Stripe's 500."""
    message = "Sorry! There was an error while talking to Stripe. (The sandbox was told to fail.)"
    return StripeError(500, message, kind="api_error", executed=False)


def rate_limited() -> StripeError:
    """Stripe's 429."""
    message = "Request rate limit exceeded. Learn more about rate limits here: https://stripe.com/docs/rate-limits."
    return StripeError(429, message, executed=False, code="rate_limit")


def new_request_id() -> str:
    """An id for the `Request-Id` header."""
    return new_id("req")[:18]
