"""Passkeys: factors that sign a challenge. Their public half is kept here; a counter tells a copy from the original."""

import uuid
from typing import Final

from models import guard
from models.base import Record
from models.errors import FactorExists
from models.factors import ROW, Batch, FactorRow, Method, hold, keep_codes, row_of, tell_added
from models.visitors import Visitor

MAX_PASSKEYS: Final = 20
"""Every sign-in lists them all to the browser."""
PASSKEY: Final = "id as factor_id, credential_id, public_key"
# A passkey without a counter says 0 for ever; one that has counted never says the same number twice.
USE_PASSKEY: Final = """
update mfa_methods set sign_count = $2, last_used_at = now()
 where id = $1 and confirmed_at is not null and (sign_count = 0 or sign_count < $2) returning id
"""


class Passkey(Record, frozen=True):
    """What an assertion is checked against: both in base64url, as browsers write them."""

    factor_id: int
    credential_id: str
    public_key: str


async def list_passkeys(user_id: int) -> list[Passkey]:
    """The passkeys that protect an account, oldest first."""
    found = await guard.rows(
        f"""select {PASSKEY} from mfa_methods
             where "user" = $1 and method = 'webauthn' and confirmed_at is not null order by id""",
        user_id,
    )
    return [Passkey(**dict(one)) for one in found]


async def add_passkey(
    user_id: int,
    *,
    credential_id: str,
    public_key: str,
    sign_count: int,
    name: str,
    batch: Batch | None,
    session_id: uuid.UUID,
    visitor: Visitor,
) -> FactorRow:
    """Let a passkey that was just made protect its account. Raises FactorExists when anybody has it already.

    Also TokenInvalid, when the session that asks has ended meanwhile.
    """
    await hold(user_id, session_id)
    if len(await list_passkeys(user_id)) >= MAX_PASSKEYS:
        raise FactorExists(f"An account has at most {MAX_PASSKEYS} passkeys.")
    found = await guard.row(
        f"""insert into mfa_methods ("user", method, name, credential_id, public_key, sign_count, batch, created_at,
                                     confirmed_at)
            values ($1, 'webauthn', $2, $3, $4, $5, $6, now(), now())
            on conflict (credential_id) do nothing returning {ROW}""",
        user_id,
        name,
        credential_id,
        public_key,
        sign_count,
        batch and batch.id,
    )
    if found is None:
        raise FactorExists("This passkey is registered already.")
    await keep_codes(user_id, batch, live=True)
    await tell_added(found["id"], Method.WEBAUTHN, user_id=user_id, session_id=session_id, visitor=visitor)
    return row_of(found)


async def use_passkey(factor_id: int, sign_count: int) -> bool:
    """Take a passkey's counter; False when it went back, which says that there are two of what cannot be copied."""
    guard.in_transaction()
    return await guard.execute(USE_PASSKEY, factor_id, sign_count) == 1
