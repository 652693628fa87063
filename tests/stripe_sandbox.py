"""Our stand-in for Stripe as tests drive it: a real process, its switches, its totals, and its events, held back."""

import hmac
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import httpx

from models import guard, inbox

REPOSITORY: Final = Path(__file__).parents[1]
WEBHOOK_SECRET: Final = "whsec_tests"
CONNECT_SECRET: Final = "whsec_tests_connect"
HOLD_S: Final = 7 * 86_400
"""How long the stand-in's banks hold a card's money."""


def free_port() -> int:
    """A port nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def signature(body: bytes, *, secret: str = WEBHOOK_SECRET, at: float | None = None) -> str:
    """The Stripe-Signature header of a body."""
    stamp = str(int(time.time() if at is None else at))
    return f"t={stamp},v1={hmac.new(secret.encode(), stamp.encode() + b'.' + body, sha256).hexdigest()}"


class StripeSandbox:
    """The process and what tests ask of it. Webhooks are held: a test delivers what it wants, when it wants."""

    def __init__(self) -> None:
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self._data = Path(tempfile.mkdtemp(prefix="megilance-stripe-"))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "sandbox.stripe", "--port", str(self.port), "--data", str(self._data)],
            cwd=REPOSITORY,
        )
        self._http = httpx.Client(
            base_url=self.base, trust_env=False, timeout=20, headers={"Authorization": "Bearer sk_test_sandbox"}
        )
        self._wait_until_it_answers()

    def _wait_until_it_answers(self) -> None:
        for _ in range(500):
            try:
                self._http.get("/_sandbox/health")
            except httpx.TransportError:
                assert self._process.poll() is None, "the stand-in ended at once"
                time.sleep(0.02)
            else:
                return
        raise TimeoutError("the stand-in does not answer")

    def stop(self) -> None:
        """End the process and forget its state."""
        self._http.close()
        self._process.terminate()
        self._process.wait()
        shutil.rmtree(self._data, ignore_errors=True)

    # Switches

    def reset(self) -> None:
        """No faults, nothing held back."""
        for name in ("faults", "holding"):
            self._http.delete(f"/_sandbox/{name}")

    def _switch(self, name: str, **values: Any) -> Any:
        answer = self._http.post(f"/_sandbox/{name}", json=values)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def fault(self, kind: str, match: str = "*", *, times: int = 1, delay_s: float = 30) -> None:
        """The next so many calls that match (`POST /v1/payment_intents/*/capture`) go wrong in this way."""
        self._switch("faults", kind=kind, match=match, times=times, delay_s=delay_s)

    def let_go(self) -> None:
        """Answer the calls whose answers are held back."""
        self._http.delete("/_sandbox/holding")

    def advance(self, seconds: int) -> None:
        """Move Stripe's clock; holds lapse and keys are forgotten on the way."""
        self._switch("clock", advance_s=seconds)

    def calls(self, path: str) -> list[str]:
        """The methods of the calls received for a path, in which `*` stands for anything."""
        found = self._http.get("/_sandbox/calls", params={"path": path}).json()
        return [one["method"] for one in found]

    # Objects

    def get(self, path: str) -> Any:
        """Read an object of Stripe's API."""
        return self._http.get(path).json()

    def post(self, path: str, **fields: str) -> Any:
        """Call Stripe's API without our gateway, as its dashboard or the payer's browser would."""
        return self._http.post(path, data=fields).json()

    def account(self, *, complete: bool = True) -> str:
        """A connected account, able to take transfers unless told otherwise."""
        made = self.post("/v1/accounts", **{"type": "express", "capabilities[transfers][requested]": "true"})
        account_id: str = made["id"]
        if complete:
            self.complete(account_id)
        return account_id

    def complete(self, account_id: str) -> None:
        """Its owner has gone through onboarding."""
        self._switch(f"accounts/{account_id}/complete")

    def restrict(self, account_id: str) -> None:
        """Stripe wants more papers: no transfers for now."""
        self._switch(f"accounts/{account_id}/restrict")

    def approve(self, intent_id: str) -> None:
        """The customer answers yes to 3-D Secure."""
        self._http.post(f"/_sandbox/3ds/{intent_id}/approve")

    def refuse(self, intent_id: str) -> None:
        """The customer answers no to 3-D Secure."""
        self._http.post(f"/_sandbox/3ds/{intent_id}/refuse")

    def pay_in_browser(self, intent_id: str, card: str = "pm_card_visa") -> None:
        """Whoever has the intent's secret pays it, without asking us."""
        self.post(f"/v1/payment_intents/{intent_id}/confirm", payment_method=card)

    # What really happened to money

    def captures(self, intent_id: str) -> tuple[int, int]:
        """How often an intent was captured, and the sum in smallest units."""
        found = self._http.get("/_sandbox/totals").json()["payment_intents"].get(intent_id)
        return (found["captures"], found["captured"]) if found else (0, 0)

    def transfers(self, milestone_id: int) -> tuple[int, int]:
        """How many transfers a milestone's group has, and their sum in smallest units."""
        found = self._http.get("/_sandbox/totals").json()["transfer_groups"].get(f"milestone:{milestone_id}")
        return (found["transfers"], found["transferred"]) if found else (0, 0)

    def intents_of(self, milestone_id: int) -> list[dict[str, Any]]:
        """The payment intents of a milestone, oldest first."""
        found = self.get("/v1/payment_intents?limit=100")["data"]
        return [one for one in reversed(found) if one["transfer_group"] == f"milestone:{milestone_id}"]

    # Events

    def events(self, object_id: str | None = None, kind: str | None = None) -> list[dict[str, Any]]:
        """The last hundred events about an object, oldest first."""
        found = self.get("/v1/events?limit=100")["data"]
        if kind == "account.updated":
            found = self._http.get("/v1/events?limit=100", headers={"Stripe-Account": object_id or ""}).json()["data"]
        return [
            one
            for one in reversed(found)
            if object_id in (None, one["data"]["object"].get("id")) and kind in (None, one["type"])
        ]

    async def deliver(self, event: dict[str, Any]) -> bool:
        """Store an event as the API does once it has verified it. False: it was there before."""
        return await guard.commit(inbox.receive, "stripe", event["id"], event["type"], json.dumps(event))
