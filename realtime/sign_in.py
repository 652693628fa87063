"""Who may connect: the bearer of an access token whose session lives. Whoever is refused is told why.

A refusal stops the client's own reconnecting, so it is for what will not pass by itself. While PostgreSQL is away the
transport is closed instead, and the client comes back by itself.
"""

from typing import Annotated, Any, Final

import msgspec
import structlog
from msgspec import Meta

from models import events, sessions
from models.accounts import Role
from models.errors import TokenInvalid
from models.guard import LOST_CONNECTION
from realtime.delivery import Delivery
from realtime.limits import Pace
from realtime.listener import Listener
from realtime.sockets import Refused, Server
from wire.tokens import AccessClaims, BadToken, Tokens

SOCKETS_A_USER: Final = 10
CONNECTS_A_MINUTE: Final = 20

Seq = Annotated[int, Meta(ge=0, lt=2**53)]

log = structlog.get_logger(__name__)


class Credentials(msgspec.Struct, frozen=True):
    """The client's `auth`. Other fields are the application's own business."""

    token: str
    events_after: Seq | None = None
    meta: Annotated[int, Meta(ge=0, le=1)] | bool = 1


class Door:
    """Everyone who is signed in on this process, and how one gets in and out."""

    def __init__(self, server: Server, delivery: Delivery, tokens: Tokens) -> None:
        self._server = server
        self._delivery = delivery
        self._tokens = tokens
        self._connects = Pace(CONNECTS_A_MINUTE / 60, CONNECTS_A_MINUTE)
        self.listeners: dict[str, Listener] = {}

    async def admit(self, sid: str, _environ: dict[str, Any], auth: Any = None) -> bool | None:
        """Socket.IO's `connect`: let the socket in, or raise Refused with `{code, detail}`."""
        try:
            self.listeners[sid] = await self._check(sid, auth)
        except Refused:
            raise
        except LOST_CONNECTION as error:
            log.warning("sign_in.database_away", error=type(error).__name__)
        except Exception:
            # The engine would take it for a bad packet.
            log.exception("sign_in.failed")
        else:
            return None
        await self._server.close(self._server.engine_sid(sid))
        return False

    async def _check(self, sid: str, auth: Any) -> Listener:
        try:
            asked = msgspec.convert(auth if isinstance(auth, dict) else {}, Credentials)
        except msgspec.ValidationError as error:
            has_token = isinstance(auth, dict) and "token" in auth
            raise Refused("invalid" if has_token else TokenInvalid.code, str(error)) from None
        claims = _read(self._tokens, asked.token)
        wait_s = self._connects.wait_s(claims.user_id)
        if wait_s:
            raise Refused("rate_limited", "Too many connections in a short time.", retry_after=round(wait_s, 1))
        user = await sessions.read_live(claims.session_id)
        head = 0 if user is None else await self._delivery.head(events.user(user.user_id))
        if user is None or user.user_id != claims.user_id:
            raise Refused(TokenInvalid.code, "The session has ended.")
        if sum(one.user_id == user.user_id for one in self.listeners.values()) >= SOCKETS_A_USER:
            raise Refused("too_many_sockets", f"You have {SOCKETS_A_USER} connections open already.")
        return Listener(
            sid=sid,
            engine_sid=self._server.engine_sid(sid),
            user_id=user.user_id,
            session_id=claims.session_id,
            expires_unix_s=claims.expires_at,
            wants_meta=bool(asked.meta),
            events_after=asked.events_after,
            head=head,
        )

    def welcome(self, sid: str) -> None:
        """The client has been told that it is in: what it missed may follow, then what happens."""
        listener = self.listeners.get(sid)
        if listener is not None:
            self._delivery.follow(listener, listener.own, head=listener.head, after=listener.events_after)

    async def part(self, sid: str, _reason: str) -> None:
        """Socket.IO's `disconnect`."""
        listener = self.listeners.pop(sid, None)
        if listener is not None:
            self._delivery.leave_all(listener)

    async def is_admin(self, listener: Listener) -> bool:
        """Whether the socket's holder runs the platform at this moment, in a session with a second factor."""
        user = await sessions.read_live(listener.session_id)
        return user is not None and user.role is Role.ADMIN and user.proved_at is not None

    async def extend(self, listener: Listener, token: str) -> str | None:
        """Let the socket stay for as long as this newer token lives. Returns why not, or None.

        Only the same person's: a socket never changes hands.
        """
        try:
            claims = self._tokens.read_access(token)
        except BadToken as error:
            return str(error)
        if claims.user_id != listener.user_id:
            return "The token is another user's."
        user = await sessions.read_live(claims.session_id)
        if user is None or user.user_id != listener.user_id:
            return "The session has ended."
        listener.session_id, listener.expires_unix_s = claims.session_id, claims.expires_at
        listener.warned_of_expiry = False
        return None


def _read(tokens: Tokens, token: str) -> AccessClaims:
    """What the token says, or a refusal when it is forged, expired or no access token."""
    try:
        return tokens.read_access(token)
    except BadToken as error:
        raise Refused(TokenInvalid.code, str(error)) from None
