"""Second factors: what a person proves besides a password, and the codes kept for the day it is lost.

A factor counts only once its holder has proved it. Holds no readable secret: seeds are sealed, backup codes hashed;
who may read them, and how a proof is checked, is told by the edge that asks.
"""

import uuid
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from piccolo.columns import UUID, BigInt, BigSerial, Boolean, Text, Timestamptz
from piccolo.columns.defaults.timestamptz import TimestamptzNow
from piccolo.table import Table

from models import audit, guard, locks, mail, security, sessions
from models.accounts import Role, User
from models.base import Record, restricted
from models.errors import FactorExists, NotFound, SecondFactorRequired
from models.letters import MailKind
from models.security import SecurityEventKind
from models.visitors import Visitor

ENROL_MINUTES: Final = 30
"""As long as an app or a phone takes to be found. A seed that was shown earlier and never proved is nothing."""


class Method(StrEnum):
    """How a second factor is proved; BACKUP_CODE is no factor of its own, but stands in for one."""

    TOTP = "totp"
    SMS = "sms"
    EMAIL = "email"
    WEBAUTHN = "webauthn"
    BACKUP_CODE = "backup_code"


class Factor(Table, tablename="mfa_methods"):
    """A second factor. `confirmed_at` is when its holder first proved it: until then it protects nothing.

    `last_step` is the last TOTP step accepted; `sign_count` is a passkey's own counter; `batch` names the backup codes
    that were handed out with it.
    """

    id = BigSerial(primary_key=True)
    user = restricted(User)
    method = Text()
    name = Text(default="")
    secret_sealed = Text(null=True, default=None, secret=True)
    contact = Text(null=True, default=None)
    last_step = BigInt(null=True, default=None)
    credential_id = Text(null=True, default=None, unique=True)
    public_key = Text(null=True, default=None)
    sign_count = BigInt(default=0)
    batch = UUID(null=True, default=None)
    created_at = Timestamptz(default=TimestamptzNow())
    confirmed_at = Timestamptz(null=True, default=None)
    last_used_at = Timestamptz(null=True, default=None)


class BackupCode(Table, tablename="backup_codes"):
    """One code for the day a factor is lost. A batch counts once `live`; at most one batch a person does."""

    id = BigSerial(primary_key=True)
    user = restricted(User)
    batch = UUID()
    code_hash = Text(secret=True)
    live = Boolean(default=False)
    used_at = Timestamptz(null=True, default=None)


class FactorRow(Record, frozen=True):
    """A factor as its person's own pages know it; nothing in it opens anything."""

    id: int
    method: Method
    name: str
    contact: str | None
    created_at: datetime
    confirmed_at: datetime | None
    last_used_at: datetime | None


class Pending(Record, frozen=True):
    """A factor that waits to be proved."""

    id: int
    secret_sealed: str | None
    contact: str | None


class Seed(Record, frozen=True):
    """What a TOTP code is checked against."""

    factor_id: int
    secret_sealed: str


class Batch(Record, frozen=True):
    """Backup codes as they are kept: hashes, salted by the batch's id."""

    id: uuid.UUID
    hashes: Sequence[str]


ROW: Final = "id, method, name, contact, created_at, confirmed_at, last_used_at"
# Whoever comes second with one step, a thief or a rival, finds it taken: the row lock decides, not the clock.
USE_STEP: Final = """
update mfa_methods set last_step = $2, last_used_at = now()
 where id = $1 and confirmed_at is not null and (last_step is null or last_step < $2) returning id
"""
USE_BACKUP_CODE: Final = """
update backup_codes set used_at = now()
 where "user" = $1 and batch = $2 and code_hash = $3 and live and used_at is null returning id
"""


async def methods_of(user_id: int) -> list[Method]:
    """The methods that protect an account: one entry a kind, and BACKUP_CODE when codes are left."""
    found = await guard.rows(
        'select distinct method from mfa_methods where "user" = $1 and confirmed_at is not null', user_id
    )
    held = {one["method"] for one in found}
    if held and await codes_left(user_id):
        held.add(Method.BACKUP_CODE.value)
    return [method for method in Method if method.value in held]


async def codes_left(user_id: int) -> int:
    """How many backup codes are still good."""
    return int(
        await guard.value(
            'select count(*) from backup_codes where "user" = $1 and live and used_at is null',
            user_id,
        )
    )


async def list_own(user_id: int) -> list[FactorRow]:
    """One's factors, oldest first, with those that wait to be proved."""
    found = await guard.rows(
        f"""select {ROW} from mfa_methods
             where "user" = $1 and (confirmed_at is not null or created_at > now() - make_interval(mins => $2))
             order by id""",
        user_id,
        ENROL_MINUTES,
    )
    return [row_of(one) for one in found]


async def read_own(factor_id: int, *, user_id: int) -> FactorRow:
    """One's own factor. Raises NotFound, for other people's too."""
    found = await guard.row(f'select {ROW} from mfa_methods where id = $1 and "user" = $2', factor_id, user_id)
    if found is None:
        raise NotFound(f"There is no factor {factor_id}.")
    return row_of(found)


async def find_confirmed(user_id: int, method: Method) -> FactorRow | None:
    """The factor of this kind that protects the account; the newest of several passkeys."""
    found = await guard.row(
        f"""select {ROW} from mfa_methods where "user" = $1 and method = $2 and confirmed_at is not null
             order by id desc limit 1""",
        user_id,
        method.value,
    )
    return None if found is None else row_of(found)


async def find_pending(user_id: int, method: Method) -> Pending | None:
    """The factor of this kind that waits to be proved, unless it has waited for ENROL_MINUTES."""
    found = await guard.row(
        """select id, secret_sealed, contact from mfa_methods
            where "user" = $1 and method = $2 and confirmed_at is null
              and created_at > now() - make_interval(mins => $3)""",
        user_id,
        method.value,
        ENROL_MINUTES,
    )
    return None if found is None else Pending(**dict(found))


async def read_seed(user_id: int) -> Seed | None:
    """The sealed seed of the account's authenticator app."""
    found = await guard.row(
        """select id as factor_id, secret_sealed from mfa_methods
            where "user" = $1 and method = 'totp' and confirmed_at is not null""",
        user_id,
    )
    return None if found is None else Seed(**dict(found))


async def live_batch(user_id: int) -> uuid.UUID | None:
    """The batch whose backup codes count; None when none are left."""
    found = await guard.value(
        'select batch from backup_codes where "user" = $1 and live and used_at is null limit 1', user_id
    )
    return None if found is None else uuid.UUID(int=found.int)


async def begin_enrolment(
    user_id: int,
    method: Method,
    *,
    secret_sealed: str | None = None,
    contact: str | None = None,
    batch: Batch | None = None,
    session_id: uuid.UUID | None = None,
) -> int:
    """Write a factor that protects nothing until it is proved; returns its id.

    An earlier one that was never proved goes, with its codes; the one that protects the account stays. Raises
    TokenInvalid when the session that asks has ended meanwhile; None: nobody's session does.
    """
    assert method is not Method.WEBAUTHN, "a passkey is proved where it is made"
    await hold(user_id, session_id)
    await _drop_pending(user_id, method)
    await keep_codes(user_id, batch, live=False)
    factor_id: int = await guard.value(
        """insert into mfa_methods ("user", method, name, secret_sealed, contact, batch, sign_count, created_at)
           values ($1, $2, '', $3, $4, $5, 0, now()) returning id""",
        user_id,
        method.value,
        secret_sealed,
        contact,
        batch and batch.id,
    )
    return factor_id


async def confirm(
    factor_id: int,
    *,
    user_id: int,
    visitor: Visitor,
    session_id: uuid.UUID | None = None,
    step: int | None = None,
) -> bool:
    """Let a factor protect its account, in place of the earlier one of its kind; False when a rival was quicker.

    Its backup codes replace the earlier ones. Every other session of the account ends; the mail goes out. `step` is
    the TOTP step that proved it, which is thereby used. Raises TokenInvalid when the session that asks has ended
    meanwhile: its factor must not take the place of the one whose arrival ended it.
    """
    await hold(user_id, session_id)
    found = await guard.row(
        'select method, batch from mfa_methods where id = $1 and "user" = $2 and confirmed_at is null',
        factor_id,
        user_id,
    )
    if found is None:
        return False
    method = Method(found["method"])
    await guard.rows(
        'delete from mfa_methods where "user" = $1 and method = $2 and confirmed_at is not null', user_id, method.value
    )
    await guard.rows(
        "update mfa_methods set confirmed_at = now(), last_used_at = now(), last_step = $2 where id = $1",
        factor_id,
        step,
    )
    if found["batch"] is not None:
        await _forget_codes(user_id)
        await guard.rows("update backup_codes set live = true where batch = $1", found["batch"])
    await tell_added(factor_id, method, user_id=user_id, session_id=session_id, visitor=visitor)
    return True


async def remove(
    factor_id: int, *, user_id: int, role: Role, visitor: Visitor, session_id: uuid.UUID | None = None
) -> None:
    """Take a factor away; with the last one its backup codes go too, and every other session ends.

    One that was never proved goes silently. Raises NotFound, SecondFactorRequired for the last one of an admin, and
    TokenInvalid when the session that asks has ended meanwhile.
    """
    await hold(user_id, session_id)
    factor = await read_own(factor_id, user_id=user_id)
    if factor.confirmed_at is None:
        await _drop_pending(user_id, factor.method)
        return
    left: int = await guard.value(
        'select count(*) from mfa_methods where "user" = $1 and confirmed_at is not null and id <> $2',
        user_id,
        factor_id,
    )
    if left == 0 and role is Role.ADMIN:
        raise SecondFactorRequired("Admins work with a second factor: add another one before you remove the last.")
    await guard.rows("delete from mfa_methods where id = $1", factor_id)
    if left == 0:
        await _forget_codes(user_id)
    said = {"method": factor.method.value, "factor_id": factor_id}
    await security.note(user_id, SecurityEventKind.FACTOR_REMOVED, visitor, said)
    await audit.record(user_id, "factor.removed", "user", str(user_id), said)
    await mail.write(
        MailKind.TWO_FA_DISABLED,
        to=user_id,
        about=f"factor:{factor_id}",
        method=factor.method.value,
        factors_left=left,
    )
    await sessions.revoke_all(user_id, SecurityEventKind.FACTOR_REMOVED.value, keep=session_id)


async def replace_codes(user_id: int, batch: Batch, *, visitor: Visitor, session_id: uuid.UUID | None = None) -> None:
    """Make new backup codes count, and none of the earlier ones. Raises FactorExists when nothing is backed up.

    Also TokenInvalid, when the session that asks has ended meanwhile.
    """
    await hold(user_id, session_id)
    if not await methods_of(user_id):
        raise FactorExists("There is no second factor yet that backup codes could stand in for.")
    await keep_codes(user_id, batch, live=True)
    await security.note(user_id, SecurityEventKind.BACKUP_CODES_MADE, visitor, {"codes": len(batch.hashes)})
    await audit.record(user_id, "backup_codes.made", "user", str(user_id), {"codes": len(batch.hashes)})


async def use_step(factor_id: int, step: int) -> bool:
    """Use up a TOTP step, and every earlier one; False when that was done before."""
    guard.in_transaction()
    return await guard.execute(USE_STEP, factor_id, step) == 1


async def use_backup_code(user_id: int, batch: uuid.UUID, code_hash: str) -> bool:
    """Use up a backup code; False when there is none like it that still counts."""
    guard.in_transaction()
    return await guard.execute(USE_BACKUP_CODE, user_id, batch, code_hash) == 1


async def keep_codes(user_id: int, batch: Batch | None, *, live: bool) -> None:
    """Write a batch of backup codes; `live`: they take the place of those that counted."""
    guard.in_transaction()
    if batch is not None:
        if live:
            await _forget_codes(user_id)
        await guard.rows(
            'insert into backup_codes ("user", batch, code_hash, live) select $1, $2, h, $4 from unnest($3::text[]) h',
            user_id,
            batch.id,
            list(batch.hashes),
            live,
        )


async def tell_added(
    factor_id: int, method: Method, *, user_id: int, session_id: uuid.UUID | None, visitor: Visitor
) -> None:
    """What follows when a factor begins to protect an account: told, mailed, written down; other sessions end.

    What else waits to be proved goes: it may have been begun by somebody who could not begin it now.
    """
    await _drop_pending(user_id, *Method)
    said = {"method": method.value, "factor_id": factor_id}
    await security.note(user_id, SecurityEventKind.FACTOR_ADDED, visitor, said)
    await audit.record(user_id, "factor.added", "user", str(user_id), said)
    await mail.write(MailKind.TWO_FA_ENABLED, to=user_id, about=f"factor:{factor_id}", method=method.value)
    await sessions.revoke_all(user_id, SecurityEventKind.FACTOR_ADDED.value, keep=session_id)
    if session_id is not None:
        await sessions.mark_proved(session_id)


async def hold(user_id: int, session_id: uuid.UUID | None) -> None:
    """Lock an account whose factors are to change. Raises TokenInvalid when the session that asks has ended."""
    await locks.lock(locks.Noun.ACCOUNT, user_id)
    if session_id is not None:
        await sessions.require_live(session_id)


def row_of(found: Any) -> FactorRow:
    """A row as it was read with ROW."""
    return FactorRow(**{**dict(found), "method": Method(found["method"])})


async def _drop_pending(user_id: int, *methods: Method) -> None:
    dropped = await guard.rows(
        'delete from mfa_methods where "user" = $1 and method = any($2) and confirmed_at is null returning batch',
        user_id,
        [method.value for method in methods],
    )
    await guard.rows(
        "delete from backup_codes where batch = any($1) and not live", [one["batch"] for one in dropped if one["batch"]]
    )


async def _forget_codes(user_id: int) -> None:
    await guard.rows('delete from backup_codes where "user" = $1 and live', user_id)
