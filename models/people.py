"""People as admins see them: found by a part of their name or address, suspended and restored, signed out everywhere.

Refuses to let an admin suspend themselves or the last admin standing, and to do what was done already.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from models import audit, factors, guard, locks, security, sessions
from models.accounts import Role
from models.base import Record
from models.errors import AccountSuspended, Invalid, NotAllowed, NotFound, WrongState
from models.factors import Batch, FactorRow, Method
from models.locks import Noun
from models.security import SecurityEventKind
from models.visitors import NOBODY, Visitor

SUBJECT: Final = "user"
"""The audit log's word for a person."""
MAX_SOUGHT_CHARS: Final = 100
MAX_REASON_CHARS: Final = 500
MOST_SESSIONS: Final = 20
"""Sign-ins that a page shows, and among which the last sight of somebody is sought."""

# The expression of the index `users_sought`, letter by letter, or it would not be used.
SOUGHT: Final = "(lower(u.first_name || ' ' || u.last_name || ' ' || u.email))"
STATUS: Final = """
case when u.erased_at is not null then 'erased' when u.suspended_at is not null then 'suspended'
     when u.deactivated_at is not null then 'deactivated' when u.email_verified_at is null then 'unverified'
     else 'active' end
"""
SHOWN: Final = f"""
u.id, u.email, u.first_name, u.last_name, u.role as user_type, u.email_verified_at is not null as email_verified,
exists (select from mfa_methods f where f."user" = u.id and f.confirmed_at is not null) as two_factor,
{STATUS} as status, u.created_at,
(select max(s.refreshed_at) from (select refreshed_at from sessions where "user" = u.id
                                   order by created_at desc limit {MOST_SESSIONS}) s) as last_seen_at
"""


class Status(StrEnum):
    """How an account stands; of several that fit, the first one of this order counts."""

    ERASED = "erased"
    SUSPENDED = "suspended"
    DEACTIVATED = "deactivated"
    UNVERIFIED = "unverified"
    ACTIVE = "active"


# Conditions and not `STATUS = …`: a walk by id then looks at columns, not at an expression.
STANDS: Final = {
    Status.ERASED: "u.erased_at is not null",
    Status.SUSPENDED: "u.erased_at is null and u.suspended_at is not null",
    Status.DEACTIVATED: "u.erased_at is null and u.suspended_at is null and u.deactivated_at is not null",
    Status.UNVERIFIED: """u.erased_at is null and u.suspended_at is null and u.deactivated_at is null
                          and u.email_verified_at is null""",
    Status.ACTIVE: """u.erased_at is null and u.suspended_at is null and u.deactivated_at is null
                      and u.email_verified_at is not null""",
}


class Listed(Record, frozen=True):
    """An account in an admin's list. `last_seen_at` is when a session of it was last begun or refreshed."""

    id: int
    email: str
    first_name: str
    last_name: str
    user_type: Role
    email_verified: bool
    two_factor: bool
    status: Status
    created_at: datetime
    last_seen_at: datetime | None


class Sought(Record, frozen=True):
    """Which accounts are wanted; what is None stands for anything. `text` is a part of a name or an address."""

    text: str | None = None
    role: Role | None = None
    status: Status | None = None


class SeenSession(Record, frozen=True):
    """A sign-in as an admin sees it."""

    user_agent: str
    ip_address: str
    country: str | None
    city: str | None
    proved_at: datetime | None
    created_at: datetime
    refreshed_at: datetime
    revoked_at: datetime | None
    revoked_because: str | None


class File(Record, frozen=True):
    """One account, whole. Of factors only what kind they are: no contact, and nothing that opens anything."""

    listed: Listed
    country: str | None
    time_zone: str
    suspended_at: datetime | None
    suspended_because: str | None
    deactivated_at: datetime | None
    erased_at: datetime | None
    factors: list[FactorRow]
    codes_left: int
    sessions: list[SeenSession]


async def find(sought: Sought, *, before: int | None, limit: int) -> list[Listed]:
    """The newest accounts that fit, from `before` (an id, exclusive) backwards, at most `limit`."""
    values: list[Any] = [limit]
    where = []
    if sought.text is not None:
        values.append(f"%{_literal(sought.text)}%")
        where.append(f"{SOUGHT} like lower(${len(values)})")
    if sought.role is not None:
        values.append(sought.role.value)
        where.append(f"u.role = ${len(values)}")
    if sought.status is not None:
        where.append(STANDS[sought.status])
    if before is not None:
        values.append(before)
        where.append(f"u.id < ${len(values)}")
    found = await guard.rows(
        f"select {SHOWN} from users u where {' and '.join(where) or 'true'} order by u.id desc limit $1", *values
    )
    return [_listed(one) for one in found]


async def read(user_id: int) -> Listed:
    """One account as the list has it. Raises NotFound."""
    found = await guard.row(f"select {SHOWN} from users u where u.id = $1", user_id)
    if found is None:
        raise NotFound(f"There is no user {user_id}.")
    return _listed(found)


async def read_file(user_id: int) -> File:
    """One account with its factors and newest sign-ins. Raises NotFound."""
    listed = await read(user_id)
    standing = await guard.only(
        """select country, time_zone, suspended_at, suspended_because, deactivated_at, erased_at
             from users where id = $1""",
        user_id,
    )
    seen = await guard.rows(
        """select user_agent, ip_address, country, city, proved_at, created_at, refreshed_at, revoked_at,
                  revoked_because from sessions where "user" = $1 order by created_at desc limit $2""",
        user_id,
        MOST_SESSIONS,
    )
    return File(
        listed=listed,
        **dict(standing),
        factors=await factors.list_own(user_id),
        codes_left=await factors.codes_left(user_id),
        sessions=[SeenSession(**dict(one)) for one in seen],
    )


async def suspend(user_id: int, reason: str, *, by: int, visitor: Visitor = NOBODY) -> Listed:
    """Shut an account out at once; its sessions end. Raises NotFound, WrongState, NotAllowed for oneself, Invalid."""
    guard.in_transaction()
    _refuse_reason(reason)
    if user_id == by:
        raise NotAllowed("Nobody suspends themselves; ask another admin.")
    was = await _begin(user_id, by)
    if was.status in (Status.SUSPENDED, Status.ERASED):
        raise WrongState(f"User {user_id} is {was.status.value} already.")
    if was.user_type is Role.ADMIN and not await _other_admins(user_id):
        raise WrongState("This is the last admin standing.")
    await guard.rows(
        "update users set suspended_at = now(), suspended_because = $2 where id = $1",
        user_id,
        reason,
    )
    ended = await sessions.revoke_all(user_id, SecurityEventKind.ACCOUNT_SUSPENDED.value)
    await security.note(user_id, SecurityEventKind.ACCOUNT_SUSPENDED, details={"reason": reason})
    return await _end("user.suspended", was, by, {"reason": reason, "sessions_ended": ended}, visitor)


async def restore(user_id: int, *, by: int, visitor: Visitor = NOBODY) -> Listed:
    """Let a suspended account in again. Raises NotFound; WrongState when it is not suspended, or erased."""
    guard.in_transaction()
    was = await _begin(user_id, by)
    if was.status is not Status.SUSPENDED:
        raise WrongState(f"User {user_id} is not suspended, but {was.status.value}.")
    reason = await guard.value("select suspended_because from users where id = $1", user_id)
    await guard.rows("update users set suspended_at = null, suspended_because = null where id = $1", user_id)
    await security.note(user_id, SecurityEventKind.ACCOUNT_RESTORED)
    return await _end("user.restored", was, by, {"was_suspended_because": reason}, visitor)


async def revoke_sessions(user_id: int, *, by: int, visitor: Visitor = NOBODY) -> int:
    """Sign somebody out everywhere; returns how many sessions ended. Raises NotFound."""
    guard.in_transaction()
    was = await _begin(user_id, by)
    ended = await sessions.revoke_all(user_id, SecurityEventKind.SESSIONS_REVOKED.value)
    if ended:
        await security.note(user_id, SecurityEventKind.SESSIONS_REVOKED, details={"count": ended})
    await _end("user.sessions_revoked", was, by, {"sessions_ended": ended}, visitor)
    return ended


async def replace_factors(user_id: int, *, secret_sealed: str, batch: Batch) -> None:
    """Let one authenticator app, and these codes, be all that proves an account; its sessions end. By the system.

    Its holder proves nothing: whoever may run our programs on our machines says that it is theirs.
    """
    guard.in_transaction()
    await locks.lock(Noun.ACCOUNT, user_id)
    gone = await guard.rows('delete from mfa_methods where "user" = $1 returning method', user_id)
    await guard.rows('delete from backup_codes where "user" = $1', user_id)
    factor_id = await factors.begin_enrolment(user_id, Method.TOTP, secret_sealed=secret_sealed, batch=batch)
    await factors.confirm(factor_id, user_id=user_id, visitor=NOBODY)
    await audit.record(
        audit.SYSTEM,
        "user.factors_replaced",
        SUBJECT,
        str(user_id),
        before={"methods": sorted(one["method"] for one in gone)},
        after={"methods": [Method.TOTP.value]},
    )


async def _begin(user_id: int, by: int) -> Listed:
    """Lock both accounts, so that two admins who suspend each other at once do so one after the other."""
    await locks.lock(Noun.ACCOUNT, user_id, by)
    if (await read(by)).status is Status.SUSPENDED:
        raise AccountSuspended("This account was suspended a moment ago.")
    return await read(user_id)


async def _other_admins(user_id: int) -> int:
    """How many admins there are besides this one who could still sign in."""
    found: int = await guard.value(
        f"select count(*) from users u where u.role = 'admin' and u.id <> $1 and {STANDS[Status.ACTIVE]}", user_id
    )
    return found


async def _end(action: str, was: Listed, by: int, said: dict[str, object], visitor: Visitor) -> Listed:
    now = await read(was.id)
    # The address is the admin's, not that of whose account it is: it belongs to the deed.
    details = said | ({"ip_address": visitor.ip_address} if visitor.ip_address else {})
    before, after = {"status": was.status}, {"status": now.status}
    await audit.record(by, action, SUBJECT, str(was.id), details, before=before, after=after)
    return now


def _refuse_reason(reason: str) -> None:
    if not 1 <= len(reason.strip()) <= MAX_REASON_CHARS:
        raise Invalid(f"Say why, in 1 to {MAX_REASON_CHARS} characters.", field="reason")


def _literal(text: str) -> str:
    """The text as a pattern that stands for itself."""
    return text.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")


def _listed(found: Any) -> Listed:
    fields = dict(found)
    return Listed(**{**fields, "user_type": Role(fields["user_type"]), "status": Status(fields["status"])})
