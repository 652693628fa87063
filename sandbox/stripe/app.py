"""The ASGI application: reads a request, meets its fault, hands it to the API, the switches or the pages, answers."""

import asyncio
import logging
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from sandbox.stripe import api, control, pages, payment_intents
from sandbox.stripe.call import Call
from sandbox.stripe.faults import FaultKind, Faults, Holding
from sandbox.stripe.idempotency import Answer, Keys
from sandbox.stripe.incoming import Incoming, Outgoing, Receive, Send, answer_with, cut, read, until_gone
from sandbox.stripe.state import Store
from sandbox.stripe.webhooks import Deliverer, Endpoint
from sandbox.stripe.wire import Object, StripeError, decode_form

API_VERSION = "2026-10-28.endive"
"""The version that the pinned SDK speaks; an event's `api_version` when none is configured."""

_log = logging.getLogger("sandbox.stripe")


@dataclass(frozen=True)
class Options:
    """What the process is started with."""

    directory: Path
    webhook: Endpoint | None = None
    api_version: str = API_VERSION


class Sandbox:
    """Stripe's stand-in as an ASGI application. One event loop, one writer."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._store = Store(options.directory)
        self._store.set("api_version", options.api_version)
        self._api = api.Api(self._store, Keys(self._store))
        self._faults = Faults(self._store)
        self._holding = Holding()
        self._deliverer = Deliverer(self._store, options.webhook)
        self._desk = control.Desk(self._store, self._faults, self._holding)

    async def __call__(self, scope: Object, receive: Receive, send: Send) -> None:
        """Serve one connection's request, or the life of the process."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        delivering = asyncio.create_task(self._deliverer.run())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        delivering.cancel()
        with suppress(asyncio.CancelledError):
            await delivering
        self._store.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _serve(self, scope: Object, receive: Receive, send: Send) -> None:
        incoming = await read(scope, receive)
        if incoming is None:
            await answer_with(send, Outgoing(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, b"The request is too large."))
        elif incoming.path.startswith("/v1/"):
            await self._serve_api(incoming, receive, send)
        else:
            await answer_with(send, self._serve_person(incoming))
            self._deliverer.wake()

    def _serve_person(self, incoming: Incoming) -> Outgoing:
        with self._store.transaction():
            call = Call(self._store, self._store.now(), base_url=incoming.base_url)
            payment_intents.lapse_holds(call)
            return pages.serve(call, incoming) or self._desk.serve(call, incoming)

    async def _serve_api(self, incoming: Incoming, receive: Receive, send: Send) -> None:
        received = _as_received(incoming)
        with self._store.transaction():
            fault = self._faults.take(incoming.method, incoming.path)
        kind = None if fault is None else FaultKind(fault["kind"])
        received.fault = kind
        if kind is FaultKind.REFUSE_CONNECTION:
            self._api.log_unexecuted(received, None, replayed=False)
            await cut(receive, send)
            return
        replayed = False
        try:
            _fill_params(received, incoming)
            _fail_early(kind)
            earlier = self._api.recall(received)
            replayed = earlier is not None
            if earlier is None:
                answer = await self._carry_out(received, kind, fault)
            else:
                answer = earlier
                self._api.log_unexecuted(received, answer.status, replayed=True)
        except StripeError as error:
            answer = api.error_answer(error, received.request_id)
            self._api.log_unexecuted(received, answer.status, replayed=False)
        except Exception:  # noqa: BLE001
            # The edge: a defect of the sandbox must look like Stripe's own 500, and be seen in its log.
            _log.exception("%s %s failed", received.method, received.path)
            answer = api.error_answer(api.server_error(), received.request_id)
        if kind is FaultKind.TIMEOUT_AFTER_COMMIT:
            assert fault is not None
            await self._hold_answer(received, fault["delay_s"], receive)
        if kind is FaultKind.BAD_GATEWAY_AFTER_COMMIT:
            await answer_with(send, Outgoing(HTTPStatus.BAD_GATEWAY, b"<html>502 Bad Gateway</html>", "text/html"))
            return
        await answer_with(send, _as_outgoing(answer, received, replayed=replayed))

    async def _carry_out(self, received: api.Received, kind: FaultKind | None, fault: Object | None) -> Answer:
        async with AsyncExitStack() as stack:
            stack.enter_context(self._api.keys.in_flight(received.account or "", received.key))
            if kind is FaultKind.SLOW:
                assert fault is not None
                key = received.idempotency_key
                await self._holding.hold(
                    fault["delay_s"], method=received.method, path=received.path, key=key, phase="before"
                )
            with self._store.transaction():
                payment_intents.lapse_holds(Call(self._store, self._store.now()))
            answer = self._api.carry_out(received, kind)
        self._deliverer.wake()
        return answer

    async def _hold_answer(self, received: api.Received, delay_s: float, receive: Receive) -> None:
        gone = asyncio.create_task(until_gone(receive))
        try:
            await self._holding.hold(
                delay_s,
                method=received.method,
                path=received.path,
                key=received.idempotency_key,
                phase="committed",
                gone=gone,
            )
        finally:
            gone.cancel()


def _as_received(incoming: Incoming) -> api.Received:
    headers = incoming.headers
    return api.Received(
        method=incoming.method,
        path=incoming.path,
        params={},
        authorization=headers.get("authorization", ""),
        idempotency_key=headers.get("idempotency-key"),
        account=headers.get("stripe-account"),
        api_version=headers.get("stripe-version", API_VERSION),
        base_url=incoming.base_url,
        request_id=api.new_request_id(),
    )


def _fill_params(received: api.Received, incoming: Incoming) -> None:
    body = incoming.body.decode("utf-8", "replace")
    received.params = decode_form("&".join(part for part in (incoming.query, body) if part))


def _fail_early(kind: FaultKind | None) -> None:
    if kind is FaultKind.RATE_LIMIT:
        raise api.rate_limited()
    if kind is FaultKind.ERROR_BEFORE:
        raise api.server_error()


def _as_outgoing(answer: Answer, received: api.Received, *, replayed: bool) -> Outgoing:
    headers = {"Request-Id": received.request_id, "Stripe-Version": received.api_version}
    if received.key is not None:
        headers["Idempotency-Key"] = received.key
    if received.account is not None:
        headers["Stripe-Account"] = received.account
    if replayed:
        headers |= {"Idempotent-Replayed": "true", "Original-Request": answer.request_id}
    if answer.status == HTTPStatus.CONFLICT or received.fault == FaultKind.ERROR_BEFORE:
        headers["Stripe-Should-Retry"] = "true"
    elif answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        headers["Stripe-Should-Retry"] = "false"
    return Outgoing(answer.status, answer.body.encode(), "application/json", headers)


def create_app(options: Options) -> Sandbox:
    """The application for these options; its state is in the directory they name."""
    return Sandbox(options)
