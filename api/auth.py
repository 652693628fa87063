"""Who asks: bearer token → Caller. Whatever is not declared `public` refuses those who do not say.

The token is checked without a round trip; that its session still lives is asked on every request, so a revoked session
and a suspended user stop at once, and role and verification are always the present ones.
"""

from typing import Any, Final
from uuid import UUID

import msgspec
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.handlers.base import BaseRouteHandler
from litestar.types import ASGIApp, Guard, Receive, Scope, Send
from msgspec.structs import replace

from models import sessions
from models.accounts import Role
from models.errors import EmailUnverified, RoleNotAllowed, TokenInvalid
from models.outbox import caused_by, origin
from wire.tokens import BadToken, Tokens

PUBLIC: Final = {"public": True}
"""`opt=PUBLIC` on a handler or router: anybody may call it, and a token that comes along is not looked at."""
ANYBODY: Final[list[dict[str, list[str]]]] = [{}]
"""The same for the documentation: `security=ANYBODY` beside it."""
_SCHEME: Final = "bearer"


class Caller(msgspec.Struct, frozen=True):
    """Who asks, as the database has them at this moment."""

    id: int
    role: Role
    session_id: UUID
    verified: bool

    @property
    def admin(self) -> bool:
        """Whether the caller runs the platform."""
        return self.role is Role.ADMIN


Asking = NamedDependency[Caller]
"""The type of a handler's `caller`: the dependency, in the words that Litestar 3 will insist on."""


class Authentication:
    """ASGI middleware of every route: sets `request.user`, and the origin of what the request causes."""

    def __init__(self, app: ASGIApp, tokens: Tokens) -> None:
        self._app = app
        self._tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through to its handler, or raise TokenInvalid. OPTIONS says nothing worth hiding."""
        if scope.get("method") == "OPTIONS" or scope["route_handler"].opt.get("public"):
            scope["user"] = None
            await self._app(scope, receive, send)
            return
        caller = await identify(self._tokens, _bearer(scope))
        scope["user"] = caller
        with caused_by(replace(origin(), caller_id=caller.id)):
            await self._app(scope, receive, send)


async def identify(tokens: Tokens, token: str) -> Caller:
    """Who holds this access token. Raises TokenInvalid when it is bad, or its session has ended."""
    try:
        claims = tokens.read_access(token)
    except BadToken:
        raise TokenInvalid("The access token is not valid, or has expired.") from None
    user = await sessions.read_live(claims.session_id)
    if user is None or user.user_id != claims.user_id:
        raise TokenInvalid("This session has ended. Sign in again.")
    return Caller(user.user_id, user.role, claims.session_id, user.email_verified)


def _bearer(scope: Scope) -> str:
    sent = [value for name, value in scope["headers"] if name == b"authorization"]
    # Two would let a proxy and us believe different ones.
    if len(sent) != 1:
        raise TokenInvalid("Send an access token: `Authorization: Bearer …`.")
    scheme, _, token = sent[0].decode("latin-1").partition(" ")
    if scheme.lower() != _SCHEME or not token:
        raise TokenInvalid("The Authorization header must be `Bearer` and an access token.")
    return token.strip()


async def provide_caller(request: Request[Caller, Any, Any]) -> Caller:
    """The dependency `caller` of handlers that are not public."""
    assert isinstance(request.user, Caller), "a public handler has no caller"
    return request.user


def role(*allowed: Role) -> Guard:
    """A guard: only callers of these roles. Raises RoleNotAllowed."""

    async def check(connection: ASGIConnection[Any, Caller, Any, Any], _: BaseRouteHandler) -> None:
        if connection.scope.get("method") != "OPTIONS" and connection.user.role not in allowed:
            raise RoleNotAllowed(f"This is for {' and '.join(one.value + 's' for one in allowed)} only.")

    return check


async def verified(connection: ASGIConnection[Any, Caller, Any, Any], _: BaseRouteHandler) -> None:
    """A guard: only callers whose address is verified. Raises EmailUnverified."""
    if connection.scope.get("method") != "OPTIONS" and not connection.user.verified:
        raise EmailUnverified("Follow the link in the verification mail first; POST /api/auth/resend-verification.")
