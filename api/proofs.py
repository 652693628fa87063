"""What somebody proves besides a password: a second factor at sign-in, and once more before what a thief must not do.

Refuses without saying why: a code that is wrong, used, too old or never sent gets one answer. Each try is counted, and
the count committed, before it is looked at.
"""

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

from litestar.datastructures import State

from api.auth import Caller
from models import accounts, factors, passwords, security, sessions, throttles, tickets
from models.errors import CodeWrong, Invalid, PasswordWrong, SecondFactorWrong, StepUpRequired
from models.factors import Method
from models.guard import commit
from models.security import SecurityEventKind
from models.tickets import SENDABLE, Purpose
from models.visitors import Visitor
from settings import Settings
from wire import second_factors
from wire.passwords import verify_password
from wire.sealing import Sealer
from wire.tokens import Tokens

WRONG_CODE: Final = "This code is wrong, too old, or was used before."
"""The one answer to every code that proves nothing."""
MAX_CODE_CHARS: Final = 40
"""A backup code with as many spaces as people make."""
STEP_UP: Final = timedelta(minutes=5)
"""How long a second factor that was proved in this session opens what needs one."""
RECENT: Final = timedelta(minutes=15)
"""How long after its sign-in a session may add the first factor."""

Use = Callable[[], Awaitable[bool]]
"""Uses up what was proved; False when a rival did so first. A verb."""


async def prove_password(caller: Caller, password: str) -> None:
    """See that the caller knows their password. Raises PasswordWrong, and Throttled after too many wrong ones."""
    key = f"password:{caller.id}"
    await commit(throttles.begin_attempt, key)
    known = await accounts.read_hash(caller.id)
    fits, _ = await verify_password(passwords.normal(password), known)
    if not fits:
        raise PasswordWrong("This is not your present password.", field="password")
    await commit(throttles.forgive, key)


async def require_step_up(caller: Caller) -> None:
    """See that a second factor was proved in this session of late, if the account has one. Raises StepUpRequired."""
    if not _has_stepped_up(caller) and await factors.methods_of(caller.id):
        raise StepUpRequired("Prove your second factor first: POST /api/security/mfa/verify.")


def _has_stepped_up(caller: Caller) -> bool:
    return caller.proved_at is not None and datetime.now(UTC) - caller.proved_at <= STEP_UP


async def require_owner(caller: Caller) -> None:
    """See that the account's owner adds a factor, and not the thief of a session, whom it would make the owner.

    A step-up where there is a factor; where there is none, a sign-in of late, in which a password was typed. Raises
    StepUpRequired.
    """
    await require_step_up(caller)
    if not _has_stepped_up(caller) and not await sessions.is_recent(caller.session_id, RECENT):
        raise StepUpRequired("Sign in once more first: a factor is added soon after a password was typed.")


async def prove_second_factor(
    state: State,
    user_id: int,
    code: str,
    method: Method | None,
    *,
    purpose: Purpose,
    visitor: Visitor,
    ticket_id: UUID | None = None,
) -> Method:
    """Use up a code that proves a second factor, and say which; without a method its shape says what to try.

    With a ticket only the ticket's methods count, and so does the try: five a ticket. Raises SecondFactorWrong,
    TokenInvalid for a ticket that is over, Throttled, Invalid for a method that is not to be had here.
    """
    if ticket_id is None:
        allowed = await factors.methods_of(user_id)
    else:
        ticket = await commit(tickets.begin_attempt, ticket_id)
        assert ticket.user_id == user_id, "somebody else's ticket"
        allowed = list(ticket.methods)
    if method is not None and method not in allowed:
        raise Invalid(f"This can be proved by: {', '.join(allowed) or 'nothing yet'}.", field="method")
    await commit(throttles.begin_attempt, throttle_key(user_id))
    typed = second_factors.normal_code(code)
    found = await _find(state, user_id, typed, _ways(typed, method, allowed), purpose)
    if found is None or not await commit(_accept, user_id, found[0], found[1], visitor):
        await commit(note_failure, user_id, method, visitor, purpose)
        raise SecondFactorWrong(WRONG_CODE)
    return found[0]


async def prove_again(state: State, caller: Caller, code: str, method: Method | None, *, visitor: Visitor) -> Method:
    """The same for a signed-in caller, who proves it anew. Raises CodeWrong instead of SecondFactorWrong."""
    try:
        return await prove_second_factor(state, caller.id, code, method, purpose=Purpose.STEP_UP, visitor=visitor)
    except SecondFactorWrong as wrong:
        raise CodeWrong(wrong.detail, field="code") from None


def throttle_key(user_id: int) -> str:
    """Under which all tries of an account's codes are counted, whoever makes them."""
    return f"factor:{user_id}"


def sealer_of(state: State) -> Sealer:
    """What seals TOTP seeds."""
    config: Settings = state.settings
    return Sealer(config.tokens.key, config.tokens.old_keys)


async def note_failure(user_id: int, method: Method | None, visitor: Visitor, purpose: Purpose) -> None:
    """Tell the account's owner of a second factor that was wrong."""
    said = {"method": method, "purpose": purpose}
    await security.note(user_id, SecurityEventKind.SECOND_FACTOR_FAILED, visitor, said)


def _ways(code: str, method: Method | None, allowed: list[Method]) -> list[Method]:
    """The methods that a code of this shape may prove, of those that are allowed."""
    shaped: tuple[Method, ...] = ()
    if second_factors.is_digits(code):
        shaped = (Method.TOTP, *SENDABLE)
    elif second_factors.is_backup_code(code):
        shaped = (Method.BACKUP_CODE,)
    return [one for one in shaped if one in allowed and method in (None, one)]


async def _find(
    state: State, user_id: int, code: str, ways: list[Method], purpose: Purpose
) -> tuple[Method, Use] | None:
    """What this code proves, and how it is used up; None when it proves nothing."""
    if Method.TOTP in ways and (seed := await factors.read_seed(user_id)) is not None:
        step = second_factors.matching_step(sealer_of(state).unseal(seed.secret_sealed), code, time.time())
        if step is not None:
            return Method.TOTP, partial(factors.use_step, seed.factor_id, step)
    if sendable := [one for one in ways if one in SENDABLE]:
        sent = await commit(tickets.try_code, user_id, purpose, sendable)
        if sent is not None and fits_sent(state, sent, code):
            return sent.method, partial(tickets.use_code, sent.id)
    if Method.BACKUP_CODE in ways and (batch := await factors.live_batch(user_id)) is not None:
        [hashed] = await second_factors.hash_backup_codes([code], batch)
        return Method.BACKUP_CODE, partial(factors.use_backup_code, user_id, batch, hashed)
    return None


def fits_sent(state: State, sent: tickets.Sent, code: str) -> bool:
    """Whether these are the digits that were sent."""
    tokens: Tokens = state.tokens
    return tokens.fits_code(sent.id, sent.created_at, code)


async def _accept(user_id: int, method: Method, use: Use, visitor: Visitor) -> bool:
    if not await use():
        return False
    said: dict[str, Any] = {"method": method}
    await security.note(user_id, SecurityEventKind.SECOND_FACTOR_PROVED, visitor, said)
    if method is Method.BACKUP_CODE:
        left = {"codes_left": await factors.codes_left(user_id)}
        await security.note(user_id, SecurityEventKind.BACKUP_CODE_USED, visitor, left)
    await throttles.forgive(throttle_key(user_id))
    return True
