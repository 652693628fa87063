"""Adding a second factor, by whichever door: written down, shown once, and proved before it protects anything."""

import asyncio
import re
import time
from typing import Any, Final
from uuid import UUID, uuid4

import msgspec
from litestar import Request
from litestar.datastructures import State

from api.auth import Caller
from api.proofs import WRONG_CODE, fits_sent, note_failure, require_owner, sealer_of, throttle_key
from api.requests import visitor_of
from models import accounts, factors, throttles, tickets
from models.errors import ChannelUnavailable, CodeWrong, FactorExists, Invalid
from models.factors import Batch, Method, Pending
from models.guard import commit
from models.tickets import SENDABLE, Purpose
from settings import Settings
from wire import second_factors

Asked = Request[Any, Any, Any]

AUTH_CODES: Final = 8
SECURITY_CODES: Final = 10
"""The backup codes that each of the two doors hands out, as the source has it."""
COSTLY: Final = {"limit": "20/600"}
"""`opt=COSTLY`: a seed's picture and a batch of codes take a tenth of a second of a processor; nobody needs many."""
E164: Final = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What is shown of a new factor, this once."""

    method: Method
    secret: str | None = None
    qr_code: str | None = None
    contact: str | None = None
    backup_codes: list[str] | None = None


async def begin_totp(request: Asked, caller: Caller, code_count: int) -> Shown:
    """Make a seed for an authenticator app, and backup codes beside it. Raises StepUpRequired."""
    await require_owner(caller)
    person = await accounts.read(caller.id)
    seed = second_factors.new_seed()
    codes, batch = await new_batch(code_count)
    sealed = sealer_of(request.app.state).seal(seed)
    await commit(
        factors.begin_enrolment,
        caller.id,
        Method.TOTP,
        secret_sealed=sealed,
        batch=batch,
        session_id=caller.session_id,
    )
    picture = await asyncio.to_thread(second_factors.qr_code, second_factors.otpauth(seed, person.email))
    return Shown(method=Method.TOTP, secret=seed, qr_code=picture, backup_codes=codes)


async def begin_sent(request: Asked, caller: Caller, method: Method, contact: str | None) -> Shown:
    """Send a code to a phone or an address that is to become a factor.

    Raises StepUpRequired, ChannelUnavailable, Throttled, Invalid for what cannot be written to.
    """
    await require_owner(caller)
    refuse_silent(request.app.state, method)
    contact = await _contact(caller, method, contact)
    codes, batch = await spare_batch(caller.id)

    async def begin() -> None:
        factor_id = await factors.begin_enrolment(
            caller.id, method, contact=contact, batch=batch, session_id=caller.session_id
        )
        await tickets.send_code(caller.id, method, Purpose.ENROL, contact, factor_id=factor_id)

    await commit(begin)
    return Shown(method=method, contact=contact, backup_codes=codes)


async def send_again(request: Asked, caller: Caller, method: Method) -> None:
    """Send a code for the factor of this kind that waits to be proved, or else for a step-up by the one that protects.

    Raises FactorExists when there is neither, ChannelUnavailable, Throttled.
    """
    refuse_silent(request.app.state, method)
    pending = await factors.find_pending(caller.id, method)
    if pending is not None:
        assert pending.contact is not None, "a factor whose codes are sent has a contact"
        await commit(tickets.send_code, caller.id, method, Purpose.ENROL, pending.contact, factor_id=pending.id)
        return
    factor = await factors.find_confirmed(caller.id, method)
    if factor is None or factor.contact is None:
        raise FactorExists(f"There is no factor of the kind {method} to send a code for.", field="method")
    await commit(tickets.send_code, caller.id, method, Purpose.STEP_UP, factor.contact)


async def confirm(request: Asked, caller: Caller, method: Method, code: str) -> bool | None:
    """Let the factor of this kind that waits protect the account, if the code proves it.

    None when none waits, False for a wrong code. Raises Throttled.
    """
    pending = await factors.find_pending(caller.id, method)
    if pending is None:
        return None
    await commit(throttles.begin_attempt, throttle_key(caller.id))
    step, sent_id = await _proof(request.app.state, caller.id, method, pending, second_factors.normal_code(code))
    visitor = visitor_of(request)

    async def accept() -> bool:
        await factors.hold(caller.id, caller.session_id)  # before the code's row: accounts come first
        if sent_id is not None and not await tickets.use_code(sent_id):
            return False
        confirmed = await factors.confirm(
            pending.id, user_id=caller.id, session_id=caller.session_id, visitor=visitor, step=step
        )
        await throttles.forgive(throttle_key(caller.id))
        return confirmed

    if (step is None and sent_id is None) or not await commit(accept):
        await commit(note_failure, caller.id, method, visitor, Purpose.ENROL)
        return False
    return True


async def remove(request: Asked, caller: Caller, factor_id: int) -> None:
    """Take a factor of the caller's away; every other session of the account ends."""
    await commit(
        factors.remove,
        factor_id,
        user_id=caller.id,
        role=caller.role,
        session_id=caller.session_id,
        visitor=visitor_of(request),
    )


def wrong() -> CodeWrong:
    """The one answer to every code of a signed-in caller that proves nothing."""
    return CodeWrong(WRONG_CODE, field="code")


def refuse_silent(state: State, method: Method) -> None:
    """Refuse what we have no channel for. Raises ChannelUnavailable."""
    config: Settings = state.settings
    if method is Method.SMS and not config.sms.account_sid:
        raise ChannelUnavailable("This service sends no text messages. Choose another method.", field="method")


async def new_batch(count: int) -> tuple[list[str], Batch]:
    """New backup codes, and what is kept of them."""
    batch_id: UUID = uuid4()
    codes = second_factors.new_backup_codes(count)
    return codes, Batch(id=batch_id, hashes=await second_factors.hash_backup_codes(codes, batch_id))


async def spare_batch(user_id: int) -> tuple[list[str] | None, Batch | None]:
    """New backup codes for an account that has none left; nothing for one that has."""
    if await factors.codes_left(user_id):
        return None, None
    return await new_batch(SECURITY_CODES)


async def _proof(
    state: State, user_id: int, method: Method, pending: Pending, code: str
) -> tuple[int | None, int | None]:
    """What proves the factor that waits: a TOTP step, or the id of the code that was sent; both None: nothing."""
    if not second_factors.is_digits(code):
        return None, None
    if method in SENDABLE:
        sent = await commit(tickets.try_code, user_id, Purpose.ENROL, [method], factor_id=pending.id)
        return None, sent.id if sent is not None and fits_sent(state, sent, code) else None
    assert pending.secret_sealed is not None, "an authenticator app has a seed"
    seed = sealer_of(state).unseal(pending.secret_sealed)
    return second_factors.matching_step(seed, code, time.time()), None


async def _contact(caller: Caller, method: Method, given: str | None) -> str:
    """Where codes are to go. Raises Invalid."""
    if method is Method.SMS:
        if given is None or not E164.fullmatch(given):
            raise Invalid("A phone number is + and 7 to 15 digits, the country's code first.", field="contact")
        return given
    if given is None:
        return (await accounts.read(caller.id)).email
    try:
        accounts.email_key(given)
    except Invalid as refusal:
        raise Invalid(refusal.detail, field="contact") from None
    return given
