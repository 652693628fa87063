"""Signing in, staying signed in, signing out."""

from typing import Annotated, Any

import msgspec
from litestar import Request, Router, post
from litestar.params import JSONBody

from api.auth import ANYBODY, PUBLIC, Asking, signed_in
from api.requests import MAX_ANONYMOUS_BODY_BYTES, visitor_of
from models import accounts, passwords, sessions, sign_in, throttles
from models.accounts import Credentials, Role
from models.errors import CredentialsWrong, TokenInvalid
from models.guard import commit
from models.sessions import SignIn
from models.sign_in import Challenge
from models.visitors import Visitor
from wire.passwords import verify_password
from wire.tokens import MAX_TOKEN_CHARS, BadToken, Tokens

# Longer than any password may be, so that the rule's own message answers those who try; and bounded all the same.
Password = Annotated[str, msgspec.Meta(max_length=1024)]
Token = Annotated[str, msgspec.Meta(max_length=MAX_TOKEN_CHARS)]
SoughtEmail = Annotated[str, msgspec.Meta(max_length=1024)]
"""What somebody says is their address: whatever it is, it gets the answer of one that nobody has."""
Asked = Request[Any, Any, Any]


class Login(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An address and its password."""

    email: SoughtEmail
    password: Password


class Refresh(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A refresh token; it is used up by the call."""

    refresh_token: Token


class TokenPair(msgspec.Struct, frozen=True):
    """What a client signs its requests with, and what it gets the next pair for.

    When `requires_2fa`, both are null: `mfa_token` and a code of one of `methods` get them from `/2fa/verify`.
    """

    access_token: str | None
    refresh_token: str | None
    token_type: str = "bearer"  # noqa: S105  a scheme's name
    requires_2fa: bool = False
    mfa_token: str | None = None
    methods: list[str] = []


class Proved(msgspec.Struct, frozen=True):
    """A right password: whose, under which keys the attempt is counted, and a stronger hash if theirs is dated."""

    known: Credentials
    keys: tuple[str, ...]
    better: str | None


def pair(request: Asked, entered: SignIn | Challenge) -> TokenPair:
    """The tokens of a sign-in, or the one token that its second step needs."""
    tokens: Tokens = request.app.state.tokens
    if isinstance(entered, Challenge):
        methods = [one.value for one in entered.methods]
        ticket = tokens.issue_ticket(entered.ticket_id)
        return TokenPair(None, None, requires_2fa=True, mfa_token=ticket, methods=methods)
    return TokenPair(
        tokens.issue_access(entered.user_id, entered.role.value, entered.session_id),
        tokens.issue_refresh(entered.session_id, entered.generation, entered.issued_at),
    )


async def prove(email: str, password: str, visitor: Visitor, *, admins_only: bool = False) -> Proved:
    """See that this is the password of that address. Raises CredentialsWrong, and Throttled after too many wrong ones.

    An unknown address, an account without a password, and with `admins_only` whoever is no admin or suspended, take as
    long and as many round trips as a wrong password.
    """
    known = await accounts.read_credentials(email, visitor.network)
    keys = sign_in.keys_of(email, known, visitor)
    # Counted and committed before anything is looked at: of a thousand guesses at one moment each is seen.
    await commit(throttles.begin_attempt, *keys)
    fits, better = await verify_password(passwords.normal(password), known.password_hash if known else None)
    is_stranger = admins_only and known is not None and (known.suspended or known.role is not Role.ADMIN)
    if known is None or not fits or is_stranger:
        await commit(sign_in.refuse, known, visitor, keys=keys)
        raise CredentialsWrong(sign_in.WRONG)
    return Proved(known, keys, better)


@post("/login", status_code=200, opt=dict(PUBLIC), security=ANYBODY)
async def login(request: Asked, data: JSONBody[Login]) -> TokenPair:
    """Sign in. An unknown address and a wrong password get the same answer, after the same time."""
    visitor = visitor_of(request)
    proved = await prove(data.email, data.password, visitor)
    entered = await commit(sign_in.admit, proved.known, visitor, keys=proved.keys, better=proved.better)
    return pair(request, entered)


@post("/refresh", status_code=200, opt=dict(PUBLIC), security=ANYBODY)
async def refresh(request: Asked, data: JSONBody[Refresh]) -> TokenPair:
    """Trade a refresh token for a new pair. Sent again later, it ends its session: one of the two senders is a thief.

    Two tabs that send it within ten seconds get the same new refresh token.
    """
    tokens: Tokens = request.app.state.tokens
    try:
        claims = tokens.read_refresh(data.refresh_token)
    except BadToken:
        raise TokenInvalid("The refresh token is not valid, or has expired.") from None
    next_one = await commit(sessions.rotate, claims.session_id, claims.generation, visitor_of(request))
    if next_one is None:
        raise TokenInvalid("This session has ended. Sign in again.")
    return pair(request, next_one)


@post("/logout", status_code=204, guards=[signed_in])
async def logout(caller: Asking) -> None:
    """End this session: its tokens are refused from now on."""
    await commit(sessions.revoke, caller.session_id, "signed_out")


router = Router(
    "/api/auth",
    route_handlers=[login, refresh, logout],
    tags=["auth"],
    request_max_body_size=MAX_ANONYMOUS_BODY_BYTES,
)
