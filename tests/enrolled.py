"""People with second factors, made with the real verbs, and what they would type."""

import time
from typing import Final
from uuid import uuid4

import pyotp
from litestar import Litestar

from models import factors, guard, tickets
from models.accounts import Person
from models.factors import Batch, Method
from models.visitors import Visitor
from wire import second_factors
from wire.sealing import Sealer
from wire.tokens import Tokens

VISITOR: Final = Visitor(user_agent="Firefox/130.0", ip_address="192.0.2.7")
ELSEWHERE: Final = "elsewhere@example.org"
PHONE: Final = "+15551234567"


def code_at(seed: str, drift: int = 0) -> str:
    """What an authenticator app shows now, or so many steps from now."""
    return pyotp.TOTP(seed).generate_otp(int(time.time()) // 30 + drift)


def wrong_code(seed: str) -> str:
    """Six digits that no step near now has."""
    near = {code_at(seed, drift) for drift in range(-3, 4)}
    return next(one for one in ("000000", *(str(n) * 6 for n in range(1, 10))) if one not in near)


async def with_totp(sealer: Sealer, user_id: int) -> tuple[str, list[str]]:
    """Give an account an authenticator app; its seed and its eight backup codes. No step of it is used."""
    seed, codes, batch = second_factors.new_seed(), second_factors.new_backup_codes(8), uuid4()
    kept = Batch(id=batch, hashes=await second_factors.hash_backup_codes(codes, batch))
    factor_id = await guard.commit(
        factors.begin_enrolment, user_id, Method.TOTP, secret_sealed=sealer.seal(seed), batch=kept
    )
    assert await guard.commit(factors.confirm, factor_id, user_id=user_id, visitor=VISITOR)
    return seed, codes


async def with_contact(user_id: int, method: Method, contact: str) -> int:
    """Give an account a factor whose codes are sent there; its id."""
    factor_id = await guard.commit(factors.begin_enrolment, user_id, method, contact=contact)
    assert await guard.commit(factors.confirm, factor_id, user_id=user_id, visitor=VISITOR)
    return factor_id


async def mfa_token(app: Litestar, person: Person, *methods: Method) -> str:
    """What a right password is answered with: the token of a ticket."""
    chosen = list(methods) or await factors.methods_of(person.id)
    tokens: Tokens = app.state.tokens
    return tokens.issue_ticket(await guard.commit(tickets.open_ticket, person.id, VISITOR, chosen, 0.0))


async def sent_code(tokens: Tokens, user_id: int) -> str:
    """The digits that were last sent to this person."""
    found = await guard.only(
        'select id, created_at from security_codes where "user" = $1 order by id desc limit 1', user_id
    )
    return tokens.code(found["id"], found["created_at"])


async def a_minute_passes(user_id: int) -> None:
    """Another code may be sent."""
    await guard.rows(
        """update security_codes set created_at = created_at - interval '61 seconds' where "user" = $1""", user_id
    )


async def noted(user_id: int) -> list[str]:
    """The kinds of what was noted of somebody, oldest first."""
    found = await guard.rows('select kind from security_events where "user" = $1 order by id', user_id)
    return [one["kind"] for one in found]


async def steps_forgotten(user_id: int) -> None:
    """As if half an hour had gone by since a code of the app was last used."""
    await guard.rows("""update mfa_methods set last_step = last_step - 60 where "user" = $1""", user_id)


async def proof_grows_old(user_id: int) -> None:
    """The last proof of a second factor is more than five minutes ago, in every session of this person's."""
    await guard.rows(
        """update sessions set proved_at = proved_at - interval '301 seconds' where "user" = $1""", user_id
    )
