"""A person at the front door: registers, follows the mailed link, signs in, and calls the API as a browser does."""

import ipaddress
import re
import secrets
import socket
import time
from typing import Any, Self

import httpx
import pyotp

MAIL_LIMIT_S = 20.0
ANSWER_LIMIT_S = 40.0
MANY = 64
"""Connections at once: more than any crowd of the demo needs."""
LOOPBACK_NET = ipaddress.ip_network("127.0.0.0/8")


class UnexpectedAnswerError(Exception):
    """The API answered otherwise than the story goes."""


def own_address() -> str | None:
    """An address of this machine that nobody else comes from; None where loopback has only one.

    Limits count by address. From one of its own a story neither meets what another used up, nor uses up what the person
    at this desk has.
    """
    address = str(LOOPBACK_NET[0x10000 + secrets.randbelow(LOOPBACK_NET.num_addresses - 0x20000)])
    with socket.socket() as tried:
        try:
            tried.bind((address, 0))
        except OSError:
            return None
    return address


class Desk:
    """Where the service and its stand-ins are, as a running desk wrote them down."""

    def __init__(self, urls: dict[str, str]) -> None:
        self.api = urls["api"]
        self.mail = urls["mail"]
        self.stripe = urls["stripe"]
        transport = httpx.HTTPTransport(local_address=own_address(), limits=httpx.Limits(max_connections=MANY))
        self.http = httpx.Client(timeout=ANSWER_LIMIT_S, transport=transport)

    def letters(self, to: str) -> list[dict[str, Any]]:
        """The mails this address got, newest first."""
        found: list[dict[str, Any]] = (
            self.http.get(f"{self.mail}/messages", params={"to": to}).raise_for_status().json()
        )
        return found

    def letter(self, to: str, subject: str) -> dict[str, Any]:
        """The newest mail to this address whose subject has these words; waits for it."""
        deadline = time.monotonic() + MAIL_LIMIT_S
        while time.monotonic() < deadline:
            for letter in self.letters(to):
                if subject.lower() in letter["subject"].lower():
                    return letter
            time.sleep(0.1)
        raise UnexpectedAnswerError(f"no mail “{subject}” came to {to} within {MAIL_LIMIT_S:g} s")

    def sandbox(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Turn a switch of Stripe's stand-in."""
        return self.http.request(method, f"{self.stripe}/_sandbox/{path}", json=body).raise_for_status().json()


class Person:
    """An account and what its owner's browser knows."""

    def __init__(self, desk: Desk, name: str, role: str, *, email: str = "", password: str = "") -> None:
        self.desk = desk
        self.first_name, _, self.last_name = name.partition(" ")
        self.role = role
        self.email = email or f"{self.first_name.lower()}.{secrets.token_hex(4)}@example.test"
        self.password = password or f"Aa1!{secrets.token_urlsafe(12)}"
        self.id = 0
        self.token = ""
        self.totp: pyotp.TOTP | None = None

    @property
    def name(self) -> str:
        """First and last name."""
        return f"{self.first_name} {self.last_name}"

    def register(self) -> Self:
        """Make the account."""
        made = self.call(
            "POST",
            "/api/auth/register",
            {
                "email": self.email,
                "password": self.password,
                "first_name": self.first_name,
                "last_name": self.last_name,
                "user_type": self.role,
            },
            expect=201,
        )
        self.id = made["id"]
        return self

    def verify(self) -> Self:
        """Follow the link in the verification mail, as a frontend's page does."""
        text = self.desk.letter(self.email, "confirm")["text"]
        found = re.search(r"verify-email\?token=([^\s&]+)", text)
        if not found:
            raise UnexpectedAnswerError(f"the verification mail has no link:\n{text}")
        self.call("POST", "/api/auth/verify-email", {"token": found[1]})
        return self

    def sign_in(self) -> Self:
        """Get an access token, with a code where the account asks for one."""
        self.token = ""
        answered = self.call("POST", "/api/auth/login", {"email": self.email, "password": self.password})
        self.token = answered["access_token"] or self._prove(answered["mfa_token"])
        return self

    def _prove(self, mfa_token: str) -> str:
        """The access token that a code of the authenticator app opens. A code works once, so the next may be needed."""
        if self.totp is None:
            raise UnexpectedAnswerError(f"{self.email} is asked for a second factor and has none")
        now = time.time()
        for ahead_s in (0, 30):
            proof = {"mfa_token": mfa_token, "code": self.totp.at(int(now) + ahead_s)}
            answer = self.send("POST", "/api/auth/2fa/verify", proof)
            if answer.status_code == httpx.codes.OK:
                return str(answer.json()["access_token"])
        raise UnexpectedAnswerError(f"no code of {self.email}'s app opens: {answer.text}")

    def set_up_payouts(self) -> Self:
        """Open a payout account and complete it on its onboarding page; waits until the service has heard of it."""
        account = self.call("POST", "/api/stripe/accounts")
        self.desk.sandbox("POST", f"accounts/{account['id']}/complete")
        self.wait_until(lambda: self.call("GET", "/api/stripe/accounts/me")["payouts_ready"], "payouts are ready")
        return self

    def wait_until(self, holds: Any, what: str) -> None:
        """Ask until it holds."""
        deadline = time.monotonic() + MAIL_LIMIT_S
        while not holds():
            if time.monotonic() > deadline:
                raise UnexpectedAnswerError(f"after {MAIL_LIMIT_S:g} s still not: {what}")
            time.sleep(0.1)

    def call(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, expect: int = 200, **headers: str
    ) -> Any:
        """Call the API and return the body. Raises UnexpectedAnswerError on another status than expected."""
        answer = self.send(method, path, body, **headers)
        if answer.status_code != expect:
            raise UnexpectedAnswerError(f"{method} {path}: {answer.status_code}, not {expect}: {answer.text}")
        return answer.json() if answer.content else None

    def send(self, method: str, path: str, body: dict[str, Any] | None = None, **headers: str) -> httpx.Response:
        """Call the API and return the answer, whatever it is."""
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        return self.desk.http.request(method, self.desk.api + path, json=body, headers=headers)
