"""People for operations that use their caller up: whoever signs out, erases themselves or gives a factor away is one
caller less. Each such operation has a caller of its own in each role, and a valid request about that caller's things.
"""

from typing import Any, Final

import msgspec

from models import guard, sessions
from models.accounts import Role
from models.tickets import Purpose
from tests import factories, hourly
from tests.access import keys
from tests.access.requests import Asked, request_for
from tests.access.who_may import Who
from tests.access.world import World, let_in, prove_for_long
from wire.tokens import Tokens

ENDS_ITS_CALLER: Final = (
    "POST /api/auth/logout",
    "POST /api/auth/change-password",
    "POST /api/users/me/deactivate",
    "DELETE /api/users/me",
)
"""Operations that use up the session they are called with."""
SPENDS_A_FACTOR: Final = (
    "POST /api/auth/2fa/confirm",
    "POST /api/auth/2fa/disable",
    "POST /api/auth/2fa/backup-codes",
    "POST /api/security/mfa/verify",
    "POST /api/security/mfa/send",
    "DELETE /api/security/mfa/methods/{factor_id}",
    "POST /api/security/webauthn/register/finish",
    "POST /api/security/webauthn/verify/finish",
    "DELETE /api/security/sessions/{session_id}",
)
"""Operations after which another one of these would be refused: they run side by side, in no order."""
IN_SECOND: Final = {
    "POST /api/auth/2fa/verify": "guarded",
    "POST /api/auth/2fa/confirm": "enrolling",
    "POST /api/security/mfa/verify": "factors",
}
"""Operations whose `code` an app shows in the second of the call, and whose seed it has."""


STARTS_A_CLOCK: Final = "POST /api/time-entries/start"
"""A freelancer has one clock, and the world's runs until another operation stops it."""


async def idle_caller(tokens: Tokens) -> tuple[Asked, str]:
    """A freelancer paid by the hour whose clock stands still, a request of theirs to start it, their access token."""
    person = await factories.a_freelancer()
    contract = await hourly.a_contract(freelancer=person)
    begun = await guard.commit(sessions.begin, person.id, person.role)
    return Asked(body={"contract_id": contract.id}), tokens.issue_access(person.id, person.role, begun.session_id)


async def spare_caller(role: Role, tokens: Tokens) -> str:
    """The access token of somebody with a password and a proved session."""
    person = await factories.a_person(role, first_name="Sam", last_name="Spare")
    await let_in(person)
    begun = await guard.commit(sessions.begin, person.id, person.role, proved=True)
    return tokens.issue_access(person.id, person.role, begun.session_id)


async def equipped_caller(route: str, world: World, tokens: Tokens) -> tuple[Asked, str]:
    """A client with every factor, a request of theirs for this route, and their access token."""
    person = await factories.a_client()
    await let_in(person)
    theirs = await keys.protect(person)
    seed = await keys.begin_with_an_app(person) if route == "POST /api/auth/2fa/confirm" else ""
    begun, other = [await guard.commit(sessions.begin, person.id, person.role) for _ in range(2)]
    await prove_for_long(person)
    changed: dict[str, Any] = {
        "people": {**world.people, Who.CLIENT: person},
        "factors": theirs,
        "enrolling_seed": seed,
        "new_passkey": await keys.a_new_passkey(person),
        "step_up": await keys.asked_to_sign(person, theirs.passkey, Purpose.STEP_UP, None),
        "other_session": other.session_id,
        "owner": person.id,
    }
    mine = msgspec.structs.replace(world, **changed)
    return asked_of(route, mine, tokens), tokens.issue_access(person.id, person.role, begun.session_id)


def asked_of(route: str, world: World, tokens: Tokens) -> Asked:
    """The route's request; a code of the present second is left to the second of the call, as `totp:` and the seed."""
    asked = request_for(route, world, tokens)
    if route not in IN_SECOND:
        return asked
    seeds = {"guarded": world.guarded.seed, "enrolling": world.enrolling_seed, "factors": world.factors.seed}
    return msgspec.structs.replace(asked, body={**asked.body, "code": f"totp:{seeds[IN_SECOND[route]]}"})
