"""What the pages' cookies and forms carry: sealed words that nobody but us can write, and that prove nothing elsewhere.

The cookie of a sign-in is no token of the API: it names a session, when it began and when it was last seen. That the
session still lives, and is an admin's, is asked of the database with every request.
"""

import binascii
import hmac
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from hashlib import sha256
from typing import Final, TypeVar
from uuid import UUID

import msgspec

from settings import Tokens
from wire.keys import derive

IDLE_S: Final = 30 * 60
"""A desk that somebody left: after half an hour without a page the sign-in is over."""
LONGEST_S: Final = 8 * 3600
"""A working day, however busy."""
RENEW_S: Final = 60
"""How stale `seen_s` may be before a page brings a newer cookie: not every answer needs to set one."""
FORM_S: Final = 3600
"""How long the sign-in form may lie open."""
BEGUN_S: Final = 300
"""As long as the ticket behind it."""
FLASH_S: Final = 120
"""A message is for the very next page; it does not wait for one of tomorrow."""
MAX_SEALED_CHARS: Final = 2048
_MAC_BYTES: Final = 32

S = TypeVar("S", bound=msgspec.Struct)


class Visit(msgspec.Struct, frozen=True, array_like=True):
    """What the sign-in's cookie says. Times are Unix seconds."""

    session_id: UUID
    began_s: int
    seen_s: int


class Flash(msgspec.Struct, frozen=True, array_like=True):
    """One sentence for the next page of one session."""

    session_id: UUID
    at_s: int
    good: bool
    text: str


class Nonce(msgspec.Struct, frozen=True, array_like=True):
    """What ties a sign-in form to the browser that it was shown to, before there is a session."""

    value: str
    at_s: int


class Begun(msgspec.Struct, frozen=True, array_like=True):
    """A sign-in whose password was right: its ticket, whose it is, and when. Opens nothing by itself."""

    ticket_id: UUID
    user_id: int
    at_s: int
    wanted: str


class Seals:
    """Seals with the present key; breaks open what earlier keys sealed, too."""

    def __init__(self, keys: Tokens, clock: Callable[[], float] = time.time) -> None:
        self._secrets = (keys.key, *keys.old_keys)
        self._clock = clock

    def now_s(self) -> int:
        """The present, in Unix seconds."""
        return int(self._clock())

    def visit_cookie(self, visit: Visit) -> str:
        """The cookie's value."""
        return self._seal("visit", visit)

    def read_visit(self, sealed: str) -> Visit | None:
        """What a good cookie says; None when it is forged, idle or too old."""
        found = self._open("visit", sealed, Visit)
        return None if found is None or self._is_over(found) else found

    def read_over(self, sealed: str) -> Visit | None:
        """What a cookie says that is ours, and idle or too old."""
        found = self._open("visit", sealed, Visit)
        return found if found is not None and self._is_over(found) else None

    def _is_over(self, visit: Visit) -> bool:
        now = self.now_s()
        return now - visit.seen_s > IDLE_S or now - visit.began_s > LONGEST_S

    def begun_cookie(self, begun: Begun) -> str:
        """The value of the cookie between a password and a code."""
        return self._seal("begun", begun)

    def read_begun(self, sealed: str) -> Begun | None:
        """The sign-in that waits for its code; None when it is forged or has waited too long."""
        found = self._open("begun", sealed, Begun)
        return None if found is None or self.now_s() - found.at_s > BEGUN_S else found

    def flash_cookie(self, session_id: UUID, text: str, *, good: bool) -> str:
        """The value of the cookie that carries a sentence to the next page."""
        return self._seal("flash", Flash(session_id, self.now_s(), good, text))

    def read_flash(self, sealed: str, session_id: UUID) -> Flash | None:
        """The sentence, when it is this session's and fresh."""
        found = self._open("flash", sealed, Flash)
        if found is None or found.session_id != session_id or self.now_s() - found.at_s > FLASH_S:
            return None
        return found

    def nonce_cookie(self, nonce: Nonce) -> str:
        """The value of the cookie beside a sign-in form."""
        return self._seal("nonce", nonce)

    def read_nonce(self, sealed: str) -> Nonce | None:
        """The browser's nonce; None when it is forged or the form lay open too long."""
        found = self._open("nonce", sealed, Nonce)
        return None if found is None or self.now_s() - found.at_s > FORM_S else found

    def form_token(self, bearer: str) -> str:
        """What every form of a session (its id) or of a sign-in page (its nonce) must send back."""
        return _mac(derive(self._secrets[0], "admin form"), bearer.encode()).hex()

    def fits_form(self, bearer: str, token: str) -> bool:
        """Whether a form's token is the one it was given, compared in constant time, under any of our keys."""
        given = token.encode()
        tokens = [_mac(derive(secret, "admin form"), bearer.encode()).hex().encode() for secret in self._secrets]
        return any([hmac.compare_digest(given, one) for one in tokens])  # noqa: C419  all of them, whichever fits

    def _seal(self, use: str, said: msgspec.Struct) -> str:
        raw = msgspec.msgpack.encode(said)
        return urlsafe_b64encode(_mac(derive(self._secrets[0], f"admin {use}"), raw) + raw).decode().rstrip("=")

    def _open(self, use: str, sealed: str, said: type[S]) -> S | None:
        if len(sealed) > MAX_SEALED_CHARS:
            return None
        try:
            raw = urlsafe_b64decode(sealed.encode("ascii") + b"=" * (-len(sealed) % 4))
        except (binascii.Error, ValueError):
            return None
        mac, body = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        keys = [derive(secret, f"admin {use}") for secret in self._secrets]
        if not any([hmac.compare_digest(mac, _mac(key, body)) for key in keys]):  # noqa: C419  likewise
            return None
        try:
            return msgspec.msgpack.decode(body, type=said)
        except msgspec.DecodeError:  # ours, of a release that said it otherwise
            return None


def _mac(key: bytes, said: bytes) -> bytes:
    return hmac.digest(key, said, sha256)
