"""Webhooks: each event signed and delivered until its receiver says 2xx, in the order and number the switches ask."""

import asyncio
import hashlib
import hmac
import json
import logging
import time
from dataclasses import dataclass
from functools import partial

import httpx

from sandbox.stripe.state import Store
from sandbox.stripe.wire import Object

FIRST_RETRY_S = 1.0
RETRY_MAX_S = 60.0
"""Stripe backs off to hours; a demo that kills its receiver wants to see the next attempt."""
GIVE_UP_S = 3 * 86_400
"""Stripe tries for three days."""
ATTEMPT_S = 10.0
"""A receiver that has not answered by then has failed this attempt."""
CONCURRENT = 8
GATHERING_S = 0.3
"""With the order reversed, how long events are gathered before the newest goes first."""
IDLE_S = 1.0

_log = logging.getLogger("sandbox.stripe.webhooks")


@dataclass(frozen=True)
class Endpoint:
    """Where events go and how they are signed: one secret for the platform's, another for connected accounts'."""

    url: str
    secret: str
    connect_secret: str | None = None


@dataclass(frozen=True)
class Switches:
    """How deliveries misbehave."""

    duplicate: int = 0
    """Further deliveries of each event."""
    reverse: bool = False
    """The newest of what waits goes first."""
    delay_s: float = 0.0
    """How long each event waits before its first attempt."""
    hold: bool = False
    """Whether nothing is delivered at all, until this is false again."""


def switches(store: Store) -> Switches:
    """The switches as they stand."""
    return Switches(**store.setting("webhooks", {}))


def turn(store: Store, asked: Object) -> Switches:
    """Set the switches named, leaving the others. Raises ValueError for one that does not exist or fit."""
    kinds = {"duplicate": int, "reverse": bool, "delay_s": (int, float), "hold": bool}
    for name, value in asked.items():
        if name not in kinds or not isinstance(value, kinds[name]) or value < 0:  # type: ignore[arg-type]
            message = f"switches are {', '.join(kinds)}; {name}={value!r} is none"
            raise ValueError(message)
    store.set("webhooks", {**store.setting("webhooks", {}), **asked})
    return switches(store)


def enqueue(store: Store, event_id: str) -> None:
    """Write down that the event must be delivered, in the transaction that makes it."""
    turned = switches(store)
    begun_at = time.time()
    due_at = begun_at + turned.delay_s + (GATHERING_S if turned.reverse else 0)
    for _ in range(1 + turned.duplicate):
        store.run("INSERT INTO delivery (event, due_at, begun_at) VALUES (?, ?, ?)", event_id, due_at, begun_at)


def signature(secret: str, payload: bytes, at: int) -> str:
    """The `Stripe-Signature` header: an HMAC-SHA256 over the time, a dot and the payload."""
    mac = hmac.new(secret.encode(), f"{at}.".encode() + payload, hashlib.sha256)
    return f"t={at},v1={mac.hexdigest()}"


class Deliverer:
    """The background task that delivers what was written down; what is left at a restart is delivered after it."""

    def __init__(self, store: Store, endpoint: Endpoint | None) -> None:
        self._store = store
        self._endpoint = endpoint
        self._awake = asyncio.Event()
        self._under_way: dict[int, asyncio.Task[None]] = {}

    def wake(self) -> None:
        """Something may be due."""
        self._awake.set()

    async def run(self) -> None:
        """Deliver for as long as the process lives."""
        # Loopback only, so proxies named in the environment must not be asked.
        async with httpx.AsyncClient(timeout=ATTEMPT_S, trust_env=False) as client:
            try:
                while True:
                    self._awake.clear()
                    if self._endpoint is not None:
                        await self._begin_due(client, self._endpoint)
                    try:
                        await asyncio.wait_for(self._awake.wait(), self._pause_s())
                    except TimeoutError:
                        continue
            finally:
                for task in self._under_way.values():
                    task.cancel()

    def _pause_s(self) -> float:
        rows = self._store.rows(
            "SELECT due_at FROM delivery WHERE state = 'pending' AND due_at > ? ORDER BY due_at LIMIT 1", time.time()
        )
        return min(IDLE_S, max(0.01, rows[0]["due_at"] - time.time())) if rows else IDLE_S

    async def _begin_due(self, client: httpx.AsyncClient, endpoint: Endpoint) -> None:
        turned = switches(self._store)
        if turned.hold:
            return
        rows = self._store.rows(
            f"SELECT * FROM delivery WHERE state = 'pending' AND due_at <= ? ORDER BY seq "
            f"{'DESC' if turned.reverse else 'ASC'} LIMIT 200",
            time.time(),
        )
        for row in rows:
            if row["seq"] in self._under_way:
                continue
            if turned.reverse:
                await self._attempt(client, endpoint, row)
            elif len(self._under_way) < CONCURRENT:
                task = asyncio.create_task(self._attempt(client, endpoint, row))
                self._under_way[row["seq"]] = task
                task.add_done_callback(partial(self._end, row["seq"]))

    def _end(self, seq: int, _: asyncio.Task[None]) -> None:
        self._under_way.pop(seq, None)
        self._awake.set()

    async def _attempt(self, client: httpx.AsyncClient, endpoint: Endpoint, row: Object) -> None:
        event = self._store.find(row["event"], None, "event")
        assert event is not None, row
        secret = endpoint.connect_secret if "account" in event else endpoint.secret
        if secret is None:
            self._record(row, "no_endpoint", "no connect secret was given")
            return
        payload = json.dumps(event, indent=2, ensure_ascii=False).encode()
        # The signature's time is the real one: receivers refuse old signatures by their own clock.
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            "Stripe-Signature": signature(secret, payload, int(time.time())),
        }
        try:
            answer = await client.post(endpoint.url, content=payload, headers=headers)
        except httpx.HTTPError as error:
            self._record(row, "pending", type(error).__name__)
            return
        self._record(row, "delivered" if answer.is_success else "pending", str(answer.status_code))

    def _record(self, row: Object, state: str, outcome: str) -> None:
        attempts = row["attempts"] + 1
        now = time.time()
        if state == "pending" and now - row["begun_at"] > GIVE_UP_S:
            state = "given_up"
        due_at = now + min(FIRST_RETRY_S * 2 ** min(attempts - 1, 10), RETRY_MAX_S)
        if state == "pending":
            _log.info("event %s was not taken (%s), attempt %s", row["event"], outcome, attempts)
        self._store.run(
            "UPDATE delivery SET attempts = ?, state = ?, last_answer = ?, due_at = ? WHERE seq = ?",
            attempts,
            state,
            outcome,
            due_at,
            row["seq"],
        )
