"""Passwords: forgotten, reset by a mailed link, changed by whoever knows the present one."""

import asyncio
from typing import Any, Final

import msgspec
from litestar import Request, Router, post
from litestar.params import JSONBody

from api.auth import ANYBODY, PUBLIC, Asking, signed_in
from api.proofs import prove_password, require_step_up
from api.requests import MAX_ANONYMOUS_BODY_BYTES, visitor_of
from api.sign_in import Password, SoughtEmail, Token, TokenPair, pair
from models import passwords
from models.errors import LinkInvalid
from models.guard import commit
from wire.passwords import hash_password
from wire.tokens import BadToken, Purpose, Tokens

RESET_AGE_S: Final = 3600
"""How long a reset link is good: whoever reads the mailbox later finds nothing."""
FORGOT_S: Final = 0.03
"""What a request for a reset takes at the least: ten times what it costs, so that its answer's time says nothing."""
FIELD: Final = "new_password"
Asked = Request[Any, Any, Any]


class Forgotten(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The address of an account whose password is forgotten."""

    email: SoughtEmail


class ResetToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The token of a mailed reset link."""

    token: Token


class Reset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The token of a mailed reset link, and the password to be."""

    token: Token
    new_password: Password


class Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The present password, and the password to be."""

    current_password: Password
    new_password: Password


class Validity(msgspec.Struct, frozen=True):
    """Whether a link still works."""

    valid: bool


class ResetDone(msgspec.Struct, frozen=True):
    """The new password holds, and no session of the account is left."""

    password_reset: bool = True


def _mail_of(request: Asked, token: str) -> int:
    """The mail that a reset link came with. Raises BadToken."""
    tokens: Tokens = request.app.state.tokens
    return tokens.read_link(Purpose.PASSWORD_RESET, token, RESET_AGE_S)


async def make_reset(request: Asked, data: Reset) -> None:
    """Replace the password of whoever got this link. Raises PasswordTooWeak, LinkInvalid."""
    password = passwords.check(data.new_password, FIELD)
    try:
        mail_id = _mail_of(request, data.token)
    except BadToken:
        raise LinkInvalid("This link is not valid, or has expired. Ask for another one.", field="token") from None
    await commit(passwords.reset, mail_id, await hash_password(password), visitor_of(request))


@post("/forgot-password", status_code=202, opt=dict(PUBLIC), security=ANYBODY)
async def forgot_password(request: Asked, data: JSONBody[Forgotten]) -> None:
    """Ask for a reset link by mail, at most one a minute. The answer is the same, whoever has the address or nobody."""
    # A mail that is written takes half a millisecond more than none: measured, and so both answers wait.
    await asyncio.gather(commit(passwords.ask_reset, data.email, visitor_of(request)), asyncio.sleep(FORGOT_S))


@post("/validate-reset-token", status_code=200, opt=dict(PUBLIC), security=ANYBODY)
async def validate_reset_token(request: Asked, data: JSONBody[ResetToken]) -> Validity:
    """Whether a reset link still works. Uses nothing up."""
    try:
        return Validity(await passwords.is_resettable(_mail_of(request, data.token)))
    except BadToken:
        return Validity(valid=False)


@post("/reset-password", status_code=200, opt=dict(PUBLIC), security=ANYBODY)
async def reset_password(request: Asked, data: JSONBody[Reset]) -> ResetDone:
    """Set a new password with the token of a reset mail, which works once; every session of the account ends."""
    await make_reset(request, data)
    return ResetDone()


@post("/change-password", status_code=200, guards=[signed_in])
async def change_password(request: Asked, caller: Asking, data: JSONBody[Change]) -> TokenPair:
    """Set a new password. Every session of the account ends, this one too: go on with the pair that is answered."""
    await require_step_up(caller)
    password = passwords.check(data.new_password, FIELD)
    await prove_password(caller, data.current_password)
    password_hash, visitor = await hash_password(password), visitor_of(request)
    return pair(request, await commit(passwords.change, caller.id, caller.session_id, password_hash, visitor))


router = Router(
    "/api/auth",
    route_handlers=[forgot_password, validate_reset_token, reset_password, change_password],
    tags=["auth"],
    request_max_body_size=MAX_ANONYMOUS_BODY_BYTES,
)
