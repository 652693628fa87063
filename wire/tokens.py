"""Tokens: signed statements that a browser carries for us. Access and refresh tokens are JWTs, mailed links are HMACs.

A token is believed only when its algorithm, key, issuer, audience, type and expiry are all as we would have written
them. Whether its session still lives is not a token's business: `api/auth.py` asks the database.
"""

import binascii
import hmac
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

import jwt
import msgspec

from wire.keys import derive

ISSUER: Final = "megilance"
AUDIENCE: Final = "megilance-api"
REFRESH_DAYS: Final = 7
TICKET_S: Final = 300
"""As long as a second factor takes to find, and no longer."""
CODE_DIGITS: Final = 6
MAX_TOKEN_CHARS: Final = 1024
"""Ours have about 350; whatever is longer is refused before anybody spends time on it."""
CACHED_TOKENS: Final = 4096
"""Decoded access tokens kept per process: about 2 MiB, and 33 µs saved on each request that repeats one."""
_MAC_BYTES: Final = 32
_NUMBER_BYTES: Final = 8


class BadToken(Exception):
    """Forged, expired, of another type, or not a token at all; we do not say which."""


class Purpose(StrEnum):
    """What a mailed link is good for; a link for one purpose is nothing for another."""

    EMAIL_VERIFICATION = "email_verification"
    PASSWORD_RESET = "password_reset"  # noqa: S105  a name, no password
    EMAIL_CHANGE = "email_change"
    UNSUBSCRIBE = "unsubscribe"


class AccessClaims(msgspec.Struct, frozen=True):
    """What an access token says. `expires_at` is in Unix seconds."""

    user_id: int
    role: str
    session_id: UUID
    expires_at: int


class RefreshClaims(msgspec.Struct, frozen=True):
    """What a refresh token says: a session, and which of its refresh tokens this one is."""

    session_id: UUID
    generation: int


class Tokens:
    """Issues and reads tokens. Earlier keys still verify, found by `kid`; only the present one signs."""

    def __init__(
        self,
        key: str,
        old_keys: Sequence[str] = (),
        *,
        algorithm: str = "HS256",
        access_minutes: int = 30,
        clock: Callable[[], float] = time.time,
    ) -> None:
        secrets = (key, *old_keys)
        # 64 bytes suit every algorithm allowed: a shorter key would be weaker than HS512 promises.
        self._keys = {_kid(one): derive(one, "tokens", 64) for one in secrets}
        self._link_keys = [derive(one, "links") for one in secrets]
        self._kid = _kid(key)
        self._algorithm = algorithm
        self._clock = clock
        self.access_s = access_minutes * 60
        self._known: dict[str, AccessClaims] = {}

    def issue_access(self, user_id: int, role: str, session_id: UUID) -> str:
        """An access token of a session, good for `access_s` seconds."""
        return self._issue("access", self.access_s, sub=str(user_id), role=role, sid=str(session_id))

    def issue_refresh(self, session_id: UUID, generation: int, issued_at: datetime | None = None) -> str:
        """The refresh token of a session's generation, good for REFRESH_DAYS; the same for the same `issued_at`."""
        life_s = REFRESH_DAYS * 86400
        return self._issue("refresh", life_s, issued_at, sid=str(session_id), gen=generation)

    def issue_ticket(self, ticket_id: UUID) -> str:
        """The token between a password and a second factor: it names a ticket, and is good for nothing else."""
        return self._issue("mfa", TICKET_S, tid=str(ticket_id))

    def read_ticket(self, token: str) -> UUID:
        """The ticket that a good mfa token names. Raises BadToken."""
        try:
            return UUID(self._read("mfa", token)["tid"])
        except (KeyError, ValueError, AttributeError, TypeError) as wrong:
            raise BadToken("the mfa token lacks a claim") from wrong

    def read_access(self, token: str) -> AccessClaims:
        """What a good access token says. Raises BadToken. Its expiry is looked at each time, cached or not."""
        found = self._known.get(token)
        if found is None:
            found = _access(self._read("access", token))
            if len(self._known) >= CACHED_TOKENS:
                self._known.pop(next(iter(self._known)))
            self._known[token] = found
        if found.expires_at <= self._clock():
            self._known.pop(token, None)
            raise BadToken("the access token has expired")
        return found

    def read_refresh(self, token: str) -> RefreshClaims:
        """What a good refresh token says. Raises BadToken."""
        claims = self._read("refresh", token)
        try:
            return RefreshClaims(UUID(claims["sid"]), _positive(claims["gen"]))
        except (KeyError, ValueError, AttributeError, TypeError) as wrong:
            raise BadToken("the refresh token lacks a claim") from wrong

    def link_token(self, purpose: Purpose, mail_id: int, issued_at: datetime) -> str:
        """The token of a mailed link: derived from the mail's id and time, so that every rendering has the same one.

        No row or queue holds it. Whether it was used is written with the mail.
        """
        said = mail_id.to_bytes(_NUMBER_BYTES) + int(issued_at.timestamp()).to_bytes(_NUMBER_BYTES)
        return urlsafe_b64encode(said + _mac(self._link_keys[0], purpose, said)).decode()

    def read_link(self, purpose: Purpose, token: str, max_age_s: float) -> int:
        """The id of the mail that a link came with. Raises BadToken when it is forged, old or for another purpose."""
        try:
            raw = urlsafe_b64decode(token.encode("ascii"))
        except (binascii.Error, ValueError):
            raise BadToken("not a link's token") from None
        said, mac = raw[: 2 * _NUMBER_BYTES], raw[2 * _NUMBER_BYTES :]
        # Compared with every key before the answer: the time taken tells nothing about which one fits.
        fits = [hmac.compare_digest(mac, _mac(key, purpose, said)) for key in self._link_keys]
        # A token that decodes from another spelling (spaces, padding) would be a second name for one link.
        if not any(fits) or len(raw) != 2 * _NUMBER_BYTES + _MAC_BYTES or urlsafe_b64encode(raw).decode() != token:
            raise BadToken("not a link of ours")
        if self._clock() - int.from_bytes(said[_NUMBER_BYTES:]) > max_age_s:
            raise BadToken("the link has expired")
        return int.from_bytes(said[:_NUMBER_BYTES])

    def code(self, code_id: int, issued_at: datetime) -> str:
        """The six digits of a sent code: derived from its row, so that every sending says the same."""
        return _digits(self._link_keys[0], code_id, issued_at)

    def fits_code(self, code_id: int, issued_at: datetime, code: str) -> bool:
        """Whether these are the digits of that row, under any of our keys; compared in constant time."""
        given = code.encode()
        return any([hmac.compare_digest(given, _digits(key, code_id, issued_at).encode()) for key in self._link_keys])  # noqa: C419  all of them, whichever fits

    def _issue(self, typ: str, life_s: int, issued_at: datetime | None = None, **claims: Any) -> str:
        now = int(self._clock() if issued_at is None else issued_at.timestamp())
        said = {"typ": typ, "iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + life_s, **claims}
        return jwt.encode(said, self._keys[self._kid], algorithm=self._algorithm, headers={"kid": self._kid})

    def _read(self, typ: str, token: str) -> dict[str, Any]:
        if len(token) > MAX_TOKEN_CHARS:
            raise BadToken("too long to be one of ours")
        try:
            key = self._keys[str(jwt.get_unverified_header(token).get("kid"))]
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[self._algorithm],
                audience=AUDIENCE,
                issuer=ISSUER,
                options={"require": ["exp", "iat", "iss", "aud"]},
            )
        except (jwt.InvalidTokenError, KeyError, ValueError) as wrong:
            raise BadToken("not a token of ours, or expired") from wrong
        if claims.get("typ") != typ:
            raise BadToken(f"not a token of type {typ}")
        return claims


def _kid(secret: str) -> str:
    """A key's public name. Derived from the secret, so that every process gives it the same one."""
    return derive(secret, "kid", 6).hex()


def _mac(key: bytes, purpose: Purpose, said: bytes) -> bytes:
    return hmac.new(key, purpose.value.encode() + b"\0" + said, sha256).digest()


def _digits(key: bytes, code_id: int, issued_at: datetime) -> str:
    said = code_id.to_bytes(_NUMBER_BYTES) + int(issued_at.timestamp()).to_bytes(_NUMBER_BYTES)
    return f"{int.from_bytes(hmac.digest(key, b'code' + bytes(1) + said, sha256)) % 10**CODE_DIGITS:0{CODE_DIGITS}}"


def _access(claims: dict[str, Any]) -> AccessClaims:
    try:
        return AccessClaims(_positive(int(claims["sub"])), str(claims["role"]), UUID(claims["sid"]), int(claims["exp"]))
    except (KeyError, ValueError, AttributeError, TypeError) as wrong:
        raise BadToken("the access token lacks a claim") from wrong


def _positive(number: Any) -> int:
    if not isinstance(number, int) or number < 1:
        raise ValueError("not a positive number")
    return number
