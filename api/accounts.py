"""Accounts and sign-in: register, prove an address, sign in, stay signed in, sign out."""

from html import escape
from typing import Annotated, Any, Final, Literal

import msgspec
from litestar import MediaType, Request, Response, Router, get, patch, post
from litestar.enums import RequestEncodingType
from litestar.params import Body, JSONBody, Parameter

from api.auth import ANYBODY, PUBLIC, Asking
from api.requests import MAX_ANONYMOUS_BODY_BYTES, client_address
from models import accounts, passwords, sessions
from models.accounts import Person, Role
from models.errors import CredentialsWrong, DomainError, LinkInvalid, NotAllowed, TokenInvalid
from models.guard import commit
from models.sessions import SignIn
from wire.passwords import hash_password, verify_password
from wire.tokens import BadToken, Purpose, Tokens

LINK_AGE_S: Final = 24 * 3600
"""How long a verification link is good. Another one can be asked for at any time."""
MAX_TOKEN_CHARS: Final = 1024

Email = Annotated[str, msgspec.Meta(min_length=3, max_length=accounts.MAX_EMAIL_CHARS)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=accounts.MAX_NAME_CHARS)]
# Longer than any password may be, so that the rule's own message answers those who try; and bounded all the same.
Password = Annotated[str, msgspec.Meta(max_length=1024)]
Token = Annotated[str, msgspec.Meta(max_length=MAX_TOKEN_CHARS)]


class Registration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who wants an account. Nobody registers as an admin."""

    email: Email
    password: Password
    first_name: Name
    last_name: Name
    user_type: Literal["client", "freelancer"]


class Login(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An address and its password."""

    email: Annotated[str, msgspec.Meta(max_length=1024)]
    password: Password


class Refresh(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A refresh token; it is used up by the call."""

    refresh_token: Token


class Verification(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The token of a mailed link."""

    token: Token


class Names(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one may change of oneself here; absent fields stay."""

    first_name: Name | msgspec.UnsetType = msgspec.UNSET
    last_name: Name | msgspec.UnsetType = msgspec.UNSET


class PersonOut(msgspec.Struct, frozen=True):
    """An account as its owner sees it."""

    id: int
    email: str
    first_name: str
    last_name: str
    user_type: Role
    email_verified: bool


class TokenPair(msgspec.Struct, frozen=True):
    """What a client signs its requests with, and what it gets the next pair for."""

    access_token: str
    refresh_token: str
    token_type: str = "bearer"  # noqa: S105  a scheme's name
    requires_2fa: bool = False


class Verified(msgspec.Struct, frozen=True):
    """The address is believed."""

    email_verified: bool = True


def show(person: Person) -> PersonOut:
    """The account as it is answered."""
    return PersonOut(person.id, person.email, person.first_name, person.last_name, person.role, person.email_verified)


def _pair(request: Request[Any, Any, Any], sign_in: SignIn) -> TokenPair:
    tokens: Tokens = request.app.state.tokens
    return TokenPair(
        tokens.issue_access(sign_in.user_id, sign_in.role.value, sign_in.session_id),
        tokens.issue_refresh(sign_in.session_id, sign_in.generation),
    )


@post("/register", opt=dict(PUBLIC), security=ANYBODY)
async def register(data: JSONBody[Registration]) -> PersonOut:
    """Make an account; a welcome and a verification mail follow. 409 when the address has one."""
    # Hashed before anything is looked up: a taken address takes as long as a free one, and no transaction waits.
    password_hash = await hash_password(passwords.check(data.password))
    person = await commit(
        accounts.register,
        email=data.email,
        password_hash=password_hash,
        first_name=data.first_name,
        last_name=data.last_name,
        role=Role(data.user_type),
    )
    return show(person)


@post("/login", status_code=200, opt=dict(PUBLIC), security=ANYBODY)
async def login(request: Request[Any, Any, Any], data: JSONBody[Login]) -> TokenPair:
    """Sign in. An unknown address and a wrong password get the same answer, after the same time."""
    known = await accounts.read_credentials(data.email)
    password = passwords.normal(data.password)
    fits, better = await verify_password(password, known.password_hash if known else None)
    if known is None or not fits:
        raise CredentialsWrong("Address or password is wrong.")
    if known.suspended:
        raise NotAllowed("This account is suspended; write to support.")
    said, address = request.headers.get("user-agent", ""), client_address(request)

    async def begin() -> SignIn:
        if better is not None:
            await accounts.replace_hash(known.user_id, known.password_hash, better)
        return await sessions.begin(known.user_id, known.role, user_agent=said, ip_address=address)

    return _pair(request, await commit(begin))


@post("/refresh", status_code=200, opt=dict(PUBLIC), security=ANYBODY)
async def refresh(request: Request[Any, Any, Any], data: JSONBody[Refresh]) -> TokenPair:
    """Trade a refresh token for a new pair. Sent twice, it ends its session: one of the two senders is a thief."""
    tokens: Tokens = request.app.state.tokens
    try:
        claims = tokens.read_refresh(data.refresh_token)
    except BadToken:
        raise TokenInvalid("The refresh token is not valid, or has expired.") from None
    sign_in = await commit(sessions.rotate, claims.session_id, claims.generation)
    if sign_in is None:
        raise TokenInvalid("This session has ended. Sign in again.")
    return _pair(request, sign_in)


@post("/logout", status_code=204)
async def logout(caller: Asking) -> None:
    """End this session: its tokens are refused from now on."""
    await commit(sessions.revoke, caller.session_id, "signed_out")


@get("/me")
async def read_me(caller: Asking) -> PersonOut:
    """One's own account."""
    return show(await accounts.read(caller.id))


@patch("/me")
async def edit_me(caller: Asking, data: JSONBody[Names]) -> PersonOut:
    """Change one's names."""
    first, last = (None if one is msgspec.UNSET else one for one in (data.first_name, data.last_name))
    return show(await commit(accounts.rename, caller.id, first_name=first, last_name=last))


@post("/verify-email", status_code=200, opt=dict(PUBLIC), security=ANYBODY)
async def verify_email(request: Request[Any, Any, Any], data: JSONBody[Verification]) -> Verified:
    """Prove an address with the token of its verification mail. Pressing twice is no error."""
    await _believe(request, data.token)
    return Verified()


@post("/resend-verification", status_code=202)
async def resend_verification(caller: Asking) -> None:
    """Another verification mail, at most one a minute; nothing for a verified account."""
    await commit(accounts.ask_verification, caller.id)


async def _believe(request: Request[Any, Any, Any], token: str) -> None:
    tokens: Tokens = request.app.state.tokens
    try:
        mail_id = tokens.read_link(Purpose.EMAIL_VERIFICATION, token, LINK_AGE_S)
    except BadToken:
        raise LinkInvalid("This link is not valid, or has expired. Ask for another one.", field="token") from None
    await commit(accounts.verify_email, mail_id)


# The pages a mailed link leads to where no web app is configured. They work without JavaScript. Scanners follow links,
# so the GET only shows a button; no answer is kept by browsers, and no log line has the query.


@get("/verify-email", include_in_schema=False)
async def verification_page(token: Annotated[str, Parameter(max_length=MAX_TOKEN_CHARS)] = "") -> Response[str]:
    """The page behind a verification link: a button, nothing more."""
    button = f'<input type="hidden" name="token" value="{escape(token)}"><button>Confirm my address</button>'
    return _page(f'<h1>Confirm your e-mail address</h1><form method="post" action="/verify-email">{button}</form>')


@post("/verify-email", status_code=200, include_in_schema=False, opt={"media": RequestEncodingType.URL_ENCODED.value})
async def verification_pressed(
    request: Request[Any, Any, Any],
    data: Annotated[Verification, Body(media_type=RequestEncodingType.URL_ENCODED)],
) -> Response[str]:
    """The button of that page."""
    try:
        await _believe(request, data.token)
    except DomainError as refusal:
        return _page(f"<h1>That did not work</h1><p>{escape(refusal.detail)}</p>", status_code=422)
    return _page("<h1>Thank you</h1><p>Your address is confirmed. You can close this page.</p>")


_STYLE: Final = (
    ":root{color-scheme:light dark}body{font:16px/1.6 system-ui,sans-serif;max-width:26rem;margin:16vh auto 0;"
    "padding:0 1.2rem}"
    "h1{font-size:1.5rem}button{font:inherit;border:0;border-radius:8px;padding:.7rem 1.4rem;color:#fff;"
    "background:#4f46e5;cursor:pointer}"
)


def _page(body: str, *, status_code: int = 200) -> Response[str]:
    head = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>MegiLance</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>'
    )
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    return Response(
        f"{head}<body>{body}</body></html>",
        status_code=status_code,
        media_type=MediaType.HTML,
        headers={"Content-Security-Policy": policy},
    )


router = Router(
    "/api/auth",
    route_handlers=[
        register,
        login,
        refresh,
        logout,
        read_me,
        edit_me,
        verify_email,
        resend_verification,
    ],
    tags=["auth"],
    request_max_body_size=MAX_ANONYMOUS_BODY_BYTES,
)
pages = Router(
    "/",
    route_handlers=[verification_page, verification_pressed],
    opt=dict(PUBLIC),
    request_max_body_size=MAX_ANONYMOUS_BODY_BYTES,
)
