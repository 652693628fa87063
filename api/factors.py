"""One's second factors under `/api/security/mfa`: added, proved once more, listed, removed."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from litestar import Router, delete, get, post
from litestar.params import JSONBody

from api.auth import Asking, Caller, signed_in
from api.enrolment import COSTLY, SECURITY_CODES, Asked, Shown, begin_sent, begin_totp, confirm, send_again, wrong
from api.enrolment import remove as take_away
from api.fields import Body, PathId
from api.passkeys import ask_new
from api.proofs import prove_again, require_step_up
from api.requests import visitor_of
from api.two_factor import Code, Sendable
from models import factors, sessions
from models.errors import FactorExists
from models.factors import FactorRow, Method
from models.guard import commit


class Setup(Body, frozen=True):
    """A factor to add. `contact` is a phone number for sms, an address for email; without one the account's."""

    method: Literal["totp", "sms", "email", "webauthn"]
    contact: Annotated[str, msgspec.Meta(min_length=1, max_length=254)] | None = None


class SetUp(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is shown of a new factor, this once: the fields that fit its method."""

    method: Method
    secret: str | None = None
    qr_code: str | None = None
    contact: str | None = None
    options: dict[str, Any] | None = None
    backup_codes: list[str] | None = None


class Proof(Body, frozen=True):
    """A code of one's factor, or a backup code."""

    method: Literal["totp", "sms", "email", "backup_code"]
    code: Code


class Proved(msgspec.Struct, frozen=True):
    """The code was right. `enrolled`: it made a new factor count, else it proved one anew."""

    method: Method
    enrolled: bool
    verified: bool = True


class Sending(Body, frozen=True):
    """A code is wanted."""

    method: Sendable


class FactorOut(msgspec.Struct, frozen=True):
    """A factor as its owner sees it. One that is not active waits to be proved."""

    id: int
    method: Method
    name: str
    contact: str | None
    is_active: bool
    created_at: datetime
    last_used_at: datetime | None


class Factors(msgspec.Struct, frozen=True):
    """All of one's factors."""

    items: list[FactorOut]
    backup_codes_left: int


def masked(contact: str | None) -> str | None:
    """A contact that its owner recognises and nobody else can use: `+1…67`, `e…@example.com`."""
    if contact is None:
        return None
    local, at, domain = contact.rpartition("@")
    return f"{local[0]}…@{domain}" if at else f"{contact[:2]}…{contact[-2:]}"


def show(factor: FactorRow) -> FactorOut:
    """A factor as it is answered."""
    return FactorOut(
        factor.id,
        factor.method,
        factor.name,
        masked(factor.contact),
        factor.confirmed_at is not None,
        factor.created_at,
        factor.last_used_at,
    )


@post("/setup", status_code=200, opt=dict(COSTLY))
async def set_up(request: Asked, caller: Asking, data: JSONBody[Setup]) -> SetUp:
    """Begin with a factor. It protects nothing until POST verify (a passkey: webauthn/register/finish)."""
    method = Method(data.method)
    if method is Method.WEBAUTHN:
        return SetUp(method=method, options=await ask_new(request, caller))
    if method is Method.TOTP:
        return _shown(await begin_totp(request, caller, SECURITY_CODES))
    return _shown(await begin_sent(request, caller, method, data.contact))


@post("/verify", status_code=200)
async def verify(request: Asked, caller: Asking, data: JSONBody[Proof]) -> Proved:
    """Confirm the factor of this kind that waits; or else prove one anew: good for five minutes in this session."""
    method = Method(data.method)
    enrolled = await confirm(request, caller, method, data.code)
    if not enrolled:
        await _step_up(request, caller, method, data.code, waits=enrolled is not None)
    return Proved(method, bool(enrolled))


async def _step_up(request: Asked, caller: Caller, method: Method, code: str, *, waits: bool) -> None:
    # A factor that waits for ever must not stand in the way of the one that protects: its code is tried too.
    if method not in await factors.methods_of(caller.id):
        raise wrong() if waits else FactorExists(f"There is no factor of the kind {method} to prove.", field="method")
    await prove_again(request.app.state, caller, code, method, visitor=visitor_of(request))
    await commit(sessions.mark_proved, caller.session_id)


@post("/send", status_code=202)
async def send(request: Asked, caller: Asking, data: JSONBody[Sending]) -> None:
    """Send a code, at most one a minute: again for a factor that waits, or for proving one anew."""
    await send_again(request, caller, Method(data.method))


@get("/methods")
async def list_methods(caller: Asking) -> Factors:
    """One's factors, oldest first; contacts are masked."""
    return Factors([show(one) for one in await factors.list_own(caller.id)], await factors.codes_left(caller.id))


@delete("/methods/{factor_id:int}", status_code=204)
async def remove(request: Asked, caller: Asking, factor_id: PathId) -> None:
    """Remove a factor. One that protects needs a proof within five minutes; an admin's last one stays."""
    factor = await factors.read_own(factor_id, user_id=caller.id)
    if factor.confirmed_at is not None:
        await require_step_up(caller)
    await take_away(request, caller, factor_id)


def _shown(shown: Shown) -> SetUp:
    return SetUp(**msgspec.structs.asdict(shown))


router = Router(
    "/api/security/mfa",
    route_handlers=[set_up, verify, send, list_methods, remove],
    guards=[signed_in],
    tags=["security"],
)
