"""Passkeys in a real browser: headless Chromium with a virtual authenticator registers, signs in, and replays in vain.

Needs Chromium: `./megilance test --interop`. The browser is driven by its own DevTools protocol.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets

from models import factors, guard, sessions, tickets
from models.factors import Method
from tests import factories
from tests.enrolled import VISITOR
from tests.stripe_sandbox import free_port

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--remote-debugging-port=0")  # fmt: skip
PATIENCE_S = 30

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not here: passkeys were not tried in a browser"),
]

# What a web app does: the options as we send them in, the credential as its toJSON() writes it out.
CREATE = """
(async (options) => {
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
  try {
    return JSON.stringify(await navigator.credentials.create({publicKey}));
  } catch (refusal) {
    return JSON.stringify({refused: refusal.name});
  }
})(%s)
"""
GET = """
(async (options) => {
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
  return JSON.stringify(await navigator.credentials.get({publicKey}));
})(%s)
"""
POST = """
(async ([path, token, body]) => {
  const headers = {"Content-Type": "application/json", ...(token ? {Authorization: `Bearer ${token}`} : {})};
  const answer = await fetch(path, {method: "POST", headers, body: body === null ? undefined : JSON.stringify(body)});
  return JSON.stringify([answer.status, await answer.json()]);
})(%s)
"""


class Page:
    """A page of the browser, spoken to by the DevTools protocol."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self._socket = socket
        self._numbers = count(1)

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        await self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            said = json.loads(await asyncio.wait_for(self._socket.recv(), PATIENCE_S))
            if said.get("id") == number:
                assert "error" not in said, said
                found: dict[str, Any] = said["result"]
                return found

    async def until_shown(self) -> None:
        """Wait until the page is there: before that it has nothing to run a script in."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            with suppress(AssertionError):
                state = await self.call("Runtime.evaluate", expression="document.readyState", returnByValue=True)
                if state["result"]["value"] == "complete":
                    return
            await asyncio.sleep(0.1)
        raise AssertionError("the page was not shown")

    async def evaluate(self, script: str, argument: Any = None) -> Any:
        """What the script's promise is fulfilled with; its text is JSON."""
        expression = script % json.dumps(argument) if argument is not None else script
        answer = await self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in answer, answer
        value = answer["result"]["value"]
        return json.loads(value) if isinstance(value, str) else value

    async def post(self, path: str, token: str | None, body: Any = None) -> tuple[int, Any]:
        """Ask the API as its own page would."""
        status, found = await self.evaluate(POST, [path, token, body])
        return status, found


@pytest.fixture
def service(database: str, redis_url: str, tmp_path: Path) -> Iterator[str]:
    """The API under its own server, and its address as the browser has it."""
    url = f"http://localhost:{(port := free_port())}"
    command = [sys.executable, "-m", "uvicorn", "--factory", "api.app:create_app", "--port", str(port)]
    # A passkey is made for a host, whatever the port: no web app stands in front of this one.
    environment = {**os.environ, "API_PUBLIC_URL": url, "FRONTEND_URL": "", "DATABASE_URL": database}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        _wait_until_live(url, process, tmp_path / "log")
        yield url
    finally:
        process.terminate()
        process.wait(10)


def _wait_until_live(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text(encoding="utf-8")
        with suppress(httpx.TransportError):
            if httpx.get(f"{url}/api/health/live").status_code == httpx.codes.OK:
                return
        time.sleep(0.05)
    raise AssertionError("the API did not come up")


@pytest.fixture
async def page(service: str, tmp_path: Path) -> AsyncIterator[Page]:
    """A page of the API's own origin, in a browser with an authenticator that is always willing."""
    assert CHROMIUM is not None
    profile = tmp_path / "profile"
    process = await asyncio.create_subprocess_exec(
        CHROMIUM, *FLAGS, f"--user-data-dir={profile}", f"{service}/api/docs",
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with websockets.connect(await _page_address(profile, service), max_size=None) as socket:
            opened = Page(socket)
            await opened.until_shown()
            await opened.call("WebAuthn.enable")
            await opened.call(
                "WebAuthn.addVirtualAuthenticator",
                options={"protocol": "ctap2", "transport": "internal", "hasResidentKey": False,
                         "hasUserVerification": True, "isUserVerified": True, "automaticPresenceSimulation": True},
            )  # fmt: skip
            yield opened
    finally:
        process.terminate()
        await process.wait()


async def _page_address(profile: Path, service: str) -> str:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with suppress(FileNotFoundError, IndexError, httpx.TransportError):
            port = (profile / "DevToolsActivePort").read_text(encoding="ascii").splitlines()[0]
            async with httpx.AsyncClient() as client:
                targets = (await client.get(f"http://127.0.0.1:{port}/json/list")).json()
            for one in targets:
                if one["type"] == "page" and one["url"].startswith(service):
                    address: str = one["webSocketDebuggerUrl"]
                    return address
        await asyncio.sleep(0.1)
    raise AssertionError("the browser opened no page")


async def test_a_browser_registers_signs_in_and_replays_in_vain(page: Page) -> None:
    import settings
    from wire.tokens import Tokens

    keys = settings.load().tokens
    tokens = Tokens(keys.key, keys.old_keys, algorithm=keys.algorithm)
    ada = await factories.a_client()
    begun = await guard.commit(sessions.begin, ada.id, ada.role)
    access = tokens.issue_access(ada.id, ada.role.value, begun.session_id)

    status, asked = await page.post("/api/security/webauthn/register/begin", access)
    assert status == 200, asked
    made = await page.evaluate(CREATE, asked["options"])
    status, shown = await page.post(
        "/api/security/webauthn/register/finish", access, {"credential": made, "name": "Chromium"}
    )
    assert (status, shown["method"], len(shown["backup_codes"])) == (201, "webauthn", 10), shown
    assert await factors.methods_of(ada.id) == [Method.WEBAUTHN, Method.BACKUP_CODE]

    async def mfa_token() -> str:
        return tokens.issue_ticket(await guard.commit(tickets.open_ticket, ada.id, VISITOR, [Method.WEBAUTHN], 0))

    path, token = "/api/security/webauthn/login", await mfa_token()
    status, asked = await page.post(f"{path}/begin", None, {"mfa_token": token})
    assert status == 200, asked
    proof = await page.evaluate(GET, asked["options"])
    status, pair = await page.post(f"{path}/finish", None, {"mfa_token": token, "credential": proof})
    assert status == 200, pair
    status, _ = await page.post("/api/auth/2fa/backup-codes", pair["access_token"])
    assert status == 200

    for again, code in ((token, "token_invalid"), (await mfa_token(), "second_factor_wrong")):
        status, refused = await page.post(f"{path}/finish", None, {"mfa_token": again, "credential": proof})
        assert (status, refused["code"]) == (401, code)

    # The browser itself will not make a second passkey where one is known.
    status, asked = await page.post("/api/security/webauthn/register/begin", pair["access_token"])
    assert status == 200, asked
    assert await page.evaluate(CREATE, asked["options"]) == {"refused": "InvalidStateError"}
