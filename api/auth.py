"""Who asks: bearer token → Caller. Whatever is not declared `public` refuses those who do not say.

The token is checked without a round trip. That its session still lives is asked on every request that changes
something, of admins, and where `opt=FRESH` says so; other reads may believe an answer of the last second. So a revoked
session and a suspended user stop at once, and role and verification are the present ones.

Every handler declares who may call it: `opt=PUBLIC`, or a guard. An application with one that does not, does not start.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.handlers.base import BaseRouteHandler
from litestar.routes import BaseRoute, HTTPRoute
from litestar.types import ASGIApp, Receive, Scope, Send
from msgspec.structs import replace

from api.limits import Limiting
from api.standing import Standing
from models.accounts import Role
from models.errors import EmailUnverified, RoleNotAllowed, SecondFactorRequired, TokenInvalid
from models.outbox import caused_by, origin
from wire.tokens import BadToken, Tokens

PUBLIC: Final = {"public": True}
"""`opt=PUBLIC` on a handler or router: anybody may call it, and a token that comes along is not looked at."""
ANYBODY: Final[list[dict[str, list[str]]]] = [{}]
"""The same for the documentation: `security=ANYBODY` beside it."""
FRESH: Final = {"fresh": True}
"""`opt=FRESH` on a GET: its caller is looked up each time, because it shows money or a secret."""
EVERYBODY: Final = frozenset(Role)
_SCHEME: Final = "bearer"


class Caller(msgspec.Struct, frozen=True):
    """Who asks, as the database has them at this moment."""

    id: int
    role: Role
    session_id: UUID
    verified: bool
    proved_at: datetime | None
    """When a second factor was last proved in this session; None: never."""

    @property
    def admin(self) -> bool:
        """Whether the caller runs the platform. In a session without a second factor nobody does."""
        return self.role is Role.ADMIN and self.proved_at is not None


Asking = NamedDependency[Caller]
"""The type of a handler's `caller`: the dependency, in the words that Litestar 3 will insist on."""


class Authentication:
    """ASGI middleware of every route: sets `request.user`, and the origin of what the request causes.

    Also the one place where requests are counted: strangers and bad tokens by address, callers by who they are.
    """

    def __init__(self, app: ASGIApp, tokens: Tokens, standing: Standing, limiting: Limiting) -> None:
        self._app = app
        self._tokens = tokens
        self._standing = standing
        self._limiting = limiting

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through to its handler, or raise TokenInvalid. OPTIONS says nothing worth hiding."""
        method, opt = scope["method"], scope["route_handler"].opt  # type: ignore[typeddict-item]
        if method == "OPTIONS" or opt.get("public"):
            scope["user"] = None
            if method != "OPTIONS":
                await self._limiting.admit_address(scope)
            await self._app(scope, receive, send)
            return
        fresh = method not in ("GET", "HEAD") or bool(opt.get("fresh"))
        try:
            caller = await identify(self._tokens, self._standing, _bearer(scope), fresh=fresh)
        except TokenInvalid:
            # A guess costs what a stranger has, so guessing is as slow as asking.
            await self._limiting.admit_address(scope)
            raise
        scope["user"] = caller
        await self._limiting.admit_user(scope, caller.id)
        with caused_by(replace(origin(), caller_id=caller.id)):
            await self._app(scope, receive, send)


async def identify(tokens: Tokens, standing: Standing, token: str, *, fresh: bool) -> Caller:
    """Who holds this access token. Raises TokenInvalid when it is bad, or its session has ended."""
    try:
        claims = tokens.read_access(token)
    except BadToken:
        raise TokenInvalid("The access token is not valid, or has expired.") from None
    user = await standing.read(claims.session_id, fresh=fresh)
    if user is None or user.user_id != claims.user_id:
        raise TokenInvalid("This session has ended. Sign in again.")
    return Caller(user.user_id, user.role, claims.session_id, user.email_verified, user.proved_at)


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


class Declared:
    """A guard that says who may call. Every handler that is not public has one."""

    def __init__(self, *allowed: Role) -> None:
        self.allowed = frozenset(allowed)

    async def __call__(self, connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        """Let the caller through. Raises RoleNotAllowed, and SecondFactorRequired for an admin without one."""
        if connection.scope.get("method") == "OPTIONS":
            return
        caller = connection.user
        assert isinstance(caller, Caller), "a guarded handler has a caller"
        if caller.role not in self.allowed:
            raise RoleNotAllowed(f"This is for {' and '.join(sorted(f'{one.value}s' for one in self.allowed))} only.")
        if caller.role is Role.ADMIN and caller.proved_at is None and self.allowed != EVERYBODY:
            raise SecondFactorRequired("Admins work with a second factor only. Sign in again with yours.")


signed_in: Final = Declared(*Role)
"""A guard: whoever is signed in. An admin without a second factor is nobody special behind it: see `Caller.admin`."""


def role(*allowed: Role) -> Declared:
    """A guard: only callers of these roles, and of admins only those with a second factor."""
    return Declared(*allowed)


async def verified(connection: ASGIConnection[Any, Caller, Any, Any], _: BaseRouteHandler) -> None:
    """A guard: only callers whose address is verified. Raises EmailUnverified."""
    if connection.scope.get("method") != "OPTIONS" and not connection.user.verified:
        raise EmailUnverified("Follow the link in the verification mail first; POST /api/auth/resend-verification.")


def see_declared(routes: Iterable[BaseRoute]) -> None:
    """See that every handler says who may call it. Raises AssertionError naming the one that does not."""
    for route in routes:
        assert isinstance(route, HTTPRoute), f"{route.path} is no HTTP route: nothing guards it"
        for handler in route.route_handlers:
            methods = sorted(handler.http_methods - {"OPTIONS"})  # the framework answers those itself
            public = bool(handler.opt.get("public"))
            guarded = any(isinstance(guard, Declared) for guard in handler.resolve_guards())
            assert not methods or public != guarded, (
                f"{methods[0]} {route.path_format} ({handler.handler_name}) is {'both' if public else 'neither'} public"
                f" {'and' if public else 'nor'} guarded: declare opt=PUBLIC, or guards=[role(…)] or [signed_in]"
            )
