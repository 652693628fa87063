"""Passkeys under `/api/security/webauthn`: made, signed in with, proved anew. Each goes by begin and finish.

What a browser is asked is written down with whom and what for, and used up by the first answer, right or wrong.
"""

from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Router, post
from litestar.params import JSONBody

from api.auth import ANYBODY, PUBLIC, Asking, Caller, signed_in
from api.enrolment import Asked, spare_batch
from api.fields import Body, Word
from api.proofs import note_failure, require_owner
from api.requests import MAX_ANONYMOUS_BODY_BYTES, visitor_of
from api.sign_in import TokenPair, pair
from api.two_factor import MfaToken, ticket_of
from models import accounts, passkeys, security, sessions, sign_in, tickets
from models.errors import CodeWrong, FactorExists, Invalid, SecondFactorWrong
from models.factors import Method
from models.guard import commit
from models.passkeys import Passkey
from models.security import SecurityEventKind
from models.tickets import Purpose
from settings import Settings
from wire.passkeys import Asked as Challenge
from wire.passkeys import PasskeyRefused, RelyingParty, challenge_of

Encoded = Annotated[str, msgspec.Meta(min_length=1, max_length=8_192)]
"""Base64url, as browsers write it."""


class Signed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The `response` of a credential. Browsers say more than we read."""

    clientDataJSON: Encoded  # noqa: N815  the W3C's name
    attestationObject: Encoded | None = None  # noqa: N815  likewise
    authenticatorData: Encoded | None = None  # noqa: N815  likewise
    signature: Encoded | None = None
    userHandle: Encoded | None = None  # noqa: N815  likewise


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """A PublicKeyCredential, as its toJSON() writes it."""

    id: Encoded
    rawId: Encoded  # noqa: N815  the W3C's name
    type: Literal["public-key"]
    response: Signed


class Registered(Body, frozen=True):
    """What navigator.credentials.create() answered, and what its owner calls it."""

    credential: Credential
    name: Word = "Passkey"


class Answered(Body, frozen=True):
    """What navigator.credentials.get() answered."""

    credential: Credential


class SignInAsked(Body, frozen=True):
    """The ticket of a right password."""

    mfa_token: MfaToken


class SignInAnswered(Body, frozen=True):
    """The ticket of a right password, and what navigator.credentials.get() answered."""

    mfa_token: MfaToken
    credential: Credential


class Options(msgspec.Struct, frozen=True):
    """What navigator.credentials is called with: `publicKey`, in JSON."""

    options: dict[str, Any]


class PasskeyMade(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The new factor; with the account's first backup codes, shown this once."""

    id: int
    method: Method
    name: str
    backup_codes: list[str] | None = None


class PasskeyProved(msgspec.Struct, frozen=True):
    """The passkey was proved anew."""

    verified: bool = True
    method: Method = Method.WEBAUTHN


@post("/register/begin", status_code=200, opt={"bodiless": True}, guards=[signed_in])
async def begin_registration(request: Asked, caller: Asking) -> Options:
    """Begin with a passkey. Where a factor protects the account, it must have been proved within five minutes."""
    return Options(await ask_new(request, caller))


@post("/register/finish", status_code=201, guards=[signed_in])
async def finish_registration(request: Asked, caller: Asking, data: JSONBody[Registered]) -> PasskeyMade:
    """Add the passkey: it was proved as it was made. Every other session of the account ends."""
    await require_owner(caller)
    sent = msgspec.to_builtins(data.credential)
    try:
        made = _party(request).read_new(sent, await _use_challenge(sent, caller.id, Purpose.ENROL, None))
    except PasskeyRefused:
        raise CodeWrong("This is not the passkey that was asked for.", field="credential") from None
    codes, batch = await spare_batch(caller.id)
    session, visitor, key = caller.session_id, visitor_of(request), msgspec.structs.asdict(made)
    said = {**key, "name": data.name, "batch": batch, "session_id": session, "visitor": visitor}
    factor = await commit(passkeys.add_passkey, caller.id, **said)
    return PasskeyMade(id=factor.id, method=factor.method, name=factor.name, backup_codes=codes)


@post("/login/begin", status_code=200, opt=dict(PUBLIC), security=ANYBODY)
async def begin_sign_in(request: Asked, data: JSONBody[SignInAsked]) -> Options:
    """Ask for a passkey as the second factor of a sign-in."""
    ticket = await ticket_of(request, data.mfa_token)
    if Method.WEBAUTHN not in ticket.methods:
        raise Invalid(f"This sign-in can be finished by: {', '.join(ticket.methods)}.", field="mfa_token")
    return Options(await _ask_proof(request, ticket.user_id, Purpose.SIGN_IN, ticket.id))


@post("/login/finish", status_code=200, opt=dict(PUBLIC), security=ANYBODY)
async def finish_sign_in(request: Asked, data: JSONBody[SignInAnswered]) -> TokenPair:
    """Finish a sign-in with a passkey. An answer works once."""
    ticket = await ticket_of(request, data.mfa_token)
    await commit(tickets.begin_attempt, ticket.id)
    if not await _prove(request, ticket.user_id, data.credential, Purpose.SIGN_IN, ticket.id):
        raise SecondFactorWrong("This passkey proves nothing here.")
    return pair(request, await commit(sign_in.finish, ticket.id, Method.WEBAUTHN))


@post("/verify/begin", status_code=200, opt={"bodiless": True}, guards=[signed_in])
async def begin_step_up(request: Asked, caller: Asking) -> Options:
    """Ask a signed-in caller for a passkey anew. 409 when there is none."""
    return Options(await _ask_proof(request, caller.id, Purpose.STEP_UP, None))


@post("/verify/finish", status_code=200, guards=[signed_in])
async def finish_step_up(request: Asked, caller: Asking, data: JSONBody[Answered]) -> PasskeyProved:
    """Prove a passkey anew: good for five minutes in this session."""
    if not await _prove(request, caller.id, data.credential, Purpose.STEP_UP, None):
        raise CodeWrong("This passkey proves nothing here.", field="credential")
    await commit(sessions.mark_proved, caller.session_id)
    return PasskeyProved()


async def ask_new(request: Asked, caller: Caller) -> dict[str, Any]:
    """The options for a new passkey of this caller. Raises StepUpRequired."""
    await require_owner(caller)
    person = await accounts.read(caller.id)
    known = [one.credential_id for one in await passkeys.list_passkeys(caller.id)]
    asked = _party(request).ask_new(caller.id, person.email, f"{person.first_name} {person.last_name}", known)
    return await _open(caller.id, Purpose.ENROL, asked, None)


async def _ask_proof(request: Asked, user_id: int, purpose: Purpose, ticket_id: UUID | None) -> dict[str, Any]:
    known = [one.credential_id for one in await passkeys.list_passkeys(user_id)]
    if not known:
        raise FactorExists("There is no passkey to sign with.")
    return await _open(user_id, purpose, _party(request).ask_proof(known), ticket_id)


async def _open(user_id: int, purpose: Purpose, asked: Challenge, ticket_id: UUID | None) -> dict[str, Any]:
    await commit(tickets.open_challenge, user_id, purpose, asked.challenge, ticket_id=ticket_id)
    return asked.options


async def _use_challenge(sent: dict[str, Any], user_id: int, purpose: Purpose, ticket_id: UUID | None) -> str:
    """The challenge that this answers, used up from now on. Raises PasskeyRefused when it was not asked, or before."""
    challenge = challenge_of(sent)
    if not await commit(tickets.use_challenge, user_id, purpose, challenge, ticket_id=ticket_id):
        raise PasskeyRefused("nobody was asked this, or it was answered before")
    return challenge


async def _prove(
    request: Asked, user_id: int, credential: Credential, purpose: Purpose, ticket_id: UUID | None
) -> bool:
    """Whether this proves a passkey of this user's; noted either way."""
    sent, visitor = msgspec.to_builtins(credential), visitor_of(request)
    try:
        challenge = await _use_challenge(sent, user_id, purpose, ticket_id)
        key = _named(await passkeys.list_passkeys(user_id), credential)
        count = _party(request).read_proof(sent, challenge, user_id=user_id, public_key=key.public_key)
    except PasskeyRefused:
        await commit(note_failure, user_id, Method.WEBAUTHN, visitor, purpose)
        return False

    async def accept() -> bool:
        counted = await passkeys.use_passkey(key.factor_id, count)
        kind = SecurityEventKind.SECOND_FACTOR_PROVED if counted else SecurityEventKind.PASSKEY_COUNTER_WENT_BACK
        await security.note(user_id, kind, visitor, {"method": Method.WEBAUTHN, "factor_id": key.factor_id})
        return counted

    return await commit(accept)


def _named(known: list[Passkey], credential: Credential) -> Passkey:
    for one in known:
        if one.credential_id == credential.id:
            return one
    raise PasskeyRefused("nobody's, or somebody else's")


def _party(request: Asked) -> RelyingParty:
    config: Settings = request.app.state.settings
    return RelyingParty.of(config.web.frontend_url, config.web.public_url, config.web.cors_origins)


router = Router(
    "/api/security/webauthn",
    route_handlers=[
        begin_registration,
        finish_registration,
        begin_sign_in,
        finish_sign_in,
        begin_step_up,
        finish_step_up,
    ],
    tags=["security"],
    request_max_body_size=MAX_ANONYMOUS_BODY_BYTES,
)
