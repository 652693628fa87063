"""The Stripe and mail sandboxes as real processes, and a receiver for webhooks, for the tests that drive them."""

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import stripe

import settings

REPOSITORY = Path(__file__).parents[2]
WEBHOOK_SECRET = "whsec_sandbox_platform"
CONNECT_SECRET = "whsec_sandbox_connect"


def free_port() -> int:
    """A port nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Stand:
    """A sandbox process, its switches and its end."""

    def __init__(self, module: str, data: Path, health: str, *arguments: str) -> None:
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self._command = [sys.executable, "-m", module, "--port", str(self.port), "--data", str(data), *arguments]
        self._health = health
        self.http = httpx.Client(base_url=self.base, trust_env=False, timeout=20)
        self.start()

    def start(self) -> None:
        """Start the process and wait until it answers."""
        self._process = subprocess.Popen(self._command, cwd=REPOSITORY)
        for _ in range(400):
            try:
                self.http.get(self._health)
            except httpx.TransportError:
                assert self._process.poll() is None, "the sandbox ended at once"
                time.sleep(0.02)
            else:
                return
        message = "the sandbox does not answer"
        raise TimeoutError(message)

    def kill(self) -> None:
        """End the process without warning, as a power cut would."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.wait()
        self.http.close()


class StripeStand(Stand):
    """The Stripe sandbox."""

    def __init__(self, data: Path, *arguments: str) -> None:
        super().__init__("sandbox.stripe", data, "/_sandbox/health", *arguments)
        self._transports: list[stripe.RequestsClient] = []

    def client(self, key: str = "sk_test_sandbox", retries: int = 0, timeout_s: float = 20) -> stripe.StripeClient:
        """The real SDK, told where the sandbox is."""
        # Not its HTTPXClient: that one trips over httpx's deprecation of `data=` where warnings are errors.
        transport = stripe.RequestsClient(timeout=timeout_s)
        self._transports.append(transport)
        return stripe.StripeClient(
            key, base_addresses={"api": self.base}, max_network_retries=retries, http_client=transport
        )

    def switch(self, name: str, **values: Any) -> Any:
        """Turn a switch under `/_sandbox/`."""
        answer = self.http.post(f"/_sandbox/{name}", json=values)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def read(self, name: str) -> Any:
        """Read a switch under `/_sandbox/`."""
        return self.http.get(f"/_sandbox/{name}").json()

    def reset(self) -> None:
        """No faults, well-behaved webhooks."""
        for name in ("faults", "webhooks", "holding"):
            self.http.delete(f"/_sandbox/{name}")

    def stop(self) -> None:
        """End the process and the SDK's connections to it."""
        super().stop()
        for transport in self._transports:
            transport.close()  # type: ignore[no-untyped-call]


class Receiver:
    """A webhook endpoint that remembers what came, and answers what it is told."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.raw: list[tuple[bytes, str]] = []
        self.statuses: list[int] = []
        receiver = self

        class Answering(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = receiver.statuses.pop(0) if receiver.statuses else 200
                receiver.raw.append((body, self.headers["Stripe-Signature"]))
                receiver.got.append({**json.loads(body), "answered": status})
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/api/stripe/webhooks"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def about(self, object_id: str) -> list[dict[str, Any]]:
        """The events about one object, in the order in which they came."""
        return [event for event in list(self.got) if event["data"]["object"].get("id") == object_id]

    def wait_for(self, object_id: str, count: int, timeout_s: float = 8) -> list[dict[str, Any]]:
        """The events about an object, once there are so many."""
        until = time.monotonic() + timeout_s
        while len(self.about(object_id)) < count:
            assert time.monotonic() < until, [event["type"] for event in self.about(object_id)]
            time.sleep(0.02)
        return self.about(object_id)

    def stop(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    """A webhook endpoint of the module's own."""
    listening = Receiver()
    yield listening
    listening.stop()


@pytest.fixture(scope="module")
def _module_stand(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[StripeStand]:
    started = StripeStand(
        tmp_path_factory.mktemp("stripe"),
        *("--webhook-url", receiver.url, "--webhook-secret", WEBHOOK_SECRET),
        *("--connect-webhook-secret", CONNECT_SECRET),
    )
    yield started
    started.stop()


@pytest.fixture
def stand(_module_stand: StripeStand) -> Iterator[StripeStand]:
    """The module's Stripe sandbox, behaving."""
    yield _module_stand
    _module_stand.reset()


@pytest.fixture
def client(stand: StripeStand) -> stripe.StripeClient:
    """The real SDK on the module's sandbox."""
    return stand.client()


@pytest.fixture(autouse=True)
def _as_a_person_calls_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of the service's settings, whatever other tests of this process have put into the environment."""
    for one in settings.SETTINGS:
        monkeypatch.delenv(one.name, raising=False)
