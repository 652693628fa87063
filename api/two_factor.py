"""The second factor under `/api/auth/2fa`: the second half of a sign-in, and an authenticator app switched on and off.

The other door to the same thing is `/api/security/mfa`.
"""

from typing import Annotated, Literal

import msgspec
from litestar import Router, get, post
from litestar.params import JSONBody

from api.auth import ANYBODY, PUBLIC, Asking, signed_in
from api.enrolment import AUTH_CODES, COSTLY, Asked, begin_totp, confirm, new_batch, refuse_silent, remove, wrong
from api.fields import Body
from api.proofs import MAX_CODE_CHARS, prove_again, prove_password, prove_second_factor, require_step_up
from api.requests import MAX_ANONYMOUS_BODY_BYTES, visitor_of
from api.sign_in import TokenPair, pair
from models import factors, sign_in, tickets
from models.errors import FactorExists, Invalid, TokenInvalid
from models.factors import Method
from models.guard import commit
from models.tickets import Purpose, TicketRow
from wire.tokens import BadToken, Tokens

Code = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_CODE_CHARS)]
MfaToken = Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]
Password = Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]
Sendable = Literal["sms", "email"]


class SecondProof(Body, frozen=True):
    """The ticket of a right password, and a code: of an app, sent by us, or a backup code."""

    mfa_token: MfaToken
    code: Code
    method: Literal["totp", "sms", "email", "backup_code"] | None = None


class SignInCode(Body, frozen=True):
    """A code is wanted for this sign-in."""

    mfa_token: MfaToken
    method: Sendable


class TypedCode(Body, frozen=True):
    """What the app shows."""

    code: Code


class Disabling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The password, as it is typed, and a code of any factor."""

    password: Password
    code: Code


class Enabled(msgspec.Struct, frozen=True):
    """An authenticator app's seed and backup codes: shown this once."""

    secret: str
    qr_code: str
    backup_codes: list[str]


class BackupCodes(msgspec.Struct, frozen=True):
    """Backup codes: shown this once."""

    backup_codes: list[str]


class Status(msgspec.Struct, frozen=True):
    """What protects an account."""

    enabled: bool
    methods: list[Method]
    backup_codes_left: int


async def ticket_of(request: Asked, mfa_token: str) -> TicketRow:
    """The sign-in that this token goes on with. Raises TokenInvalid."""
    tokens: Tokens = request.app.state.tokens
    try:
        ticket_id = tokens.read_ticket(mfa_token)
    except BadToken:
        raise TokenInvalid("The mfa_token is not valid, or has expired. Sign in again.") from None
    return await tickets.read(ticket_id)


@post("/verify", status_code=200, opt=dict(PUBLIC), security=ANYBODY)
async def verify(request: Asked, data: JSONBody[SecondProof]) -> TokenPair:
    """Finish a sign-in with a second factor. A code works once, and five wrong ones end the sign-in."""
    ticket = await ticket_of(request, data.mfa_token)
    method = await prove_second_factor(
        request.app.state,
        ticket.user_id,
        data.code,
        data.method and Method(data.method),
        purpose=Purpose.SIGN_IN,
        visitor=visitor_of(request),
        ticket_id=ticket.id,
    )
    return pair(request, await commit(sign_in.finish, ticket.id, method))


@post("/send", status_code=202, opt=dict(PUBLIC), security=ANYBODY)
async def send(request: Asked, data: JSONBody[SignInCode]) -> None:
    """Send a code for this sign-in, at most one a minute; the earlier one stops counting."""
    ticket, method = await ticket_of(request, data.mfa_token), Method(data.method)
    contact = await tickets.contact_of(ticket.user_id, method)
    if method not in ticket.methods or contact is None:
        raise Invalid(f"This sign-in can be finished by: {', '.join(ticket.methods)}.", field="method")
    refuse_silent(request.app.state, method)
    await commit(tickets.send_code, ticket.user_id, method, Purpose.SIGN_IN, contact, ticket_id=ticket.id)


@post("/enable", status_code=200, opt=COSTLY | {"bodiless": True}, guards=[signed_in])
async def enable(request: Asked, caller: Asking) -> Enabled:
    """Begin with an authenticator app. Nothing changes before POST /api/auth/2fa/confirm."""
    shown = await begin_totp(request, caller, AUTH_CODES)
    assert shown.secret and shown.qr_code and shown.backup_codes, "an app has them all"  # noqa: PT018
    return Enabled(shown.secret, shown.qr_code, shown.backup_codes)


@post("/confirm", status_code=200, guards=[signed_in])
async def confirm_totp(request: Asked, caller: Asking, data: JSONBody[TypedCode]) -> Status:
    """Switch the app on with its first code. Every other session of the account ends."""
    proved = await confirm(request, caller, Method.TOTP, data.code)
    if proved is None:
        raise FactorExists("No authenticator app waits to be confirmed: POST /api/auth/2fa/enable.")
    if not proved:
        raise wrong()
    return await _status(caller.id)


@post("/disable", status_code=200, guards=[signed_in])
async def disable(request: Asked, caller: Asking, data: JSONBody[Disabling]) -> Status:
    """Switch the app off. It takes the password and a code; every other session of the account ends."""
    factor = await factors.find_confirmed(caller.id, Method.TOTP)
    if factor is None:
        raise FactorExists("There is no authenticator app to switch off.")
    await prove_password(caller, data.password)
    await prove_again(request.app.state, caller, data.code, None, visitor=visitor_of(request))
    await remove(request, caller, factor.id)
    return await _status(caller.id)


@get("/status", guards=[signed_in])
async def read_status(caller: Asking) -> Status:
    """What protects one's account."""
    return await _status(caller.id)


@post("/backup-codes", status_code=200, opt=COSTLY | {"bodiless": True}, guards=[signed_in])
async def renew_backup_codes(request: Asked, caller: Asking) -> BackupCodes:
    """New backup codes; the earlier ones stop counting. Needs a second factor, proved within five minutes."""
    await require_step_up(caller)
    codes, batch = await new_batch(AUTH_CODES)
    await commit(factors.replace_codes, caller.id, batch, visitor=visitor_of(request), session_id=caller.session_id)
    return BackupCodes(codes)


async def _status(user_id: int) -> Status:
    methods: list[Method] = [one for one in await factors.methods_of(user_id) if one is not Method.BACKUP_CODE]
    return Status(bool(methods), methods, await factors.codes_left(user_id))


router = Router(
    "/api/auth/2fa",
    route_handlers=[verify, send, enable, confirm_totp, disable, read_status, renew_backup_codes],
    tags=["auth"],
    request_max_body_size=MAX_ANONYMOUS_BODY_BYTES,
)
