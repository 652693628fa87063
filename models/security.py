"""What happened around somebody's sign-in, told to that person: `GET /api/security/events`.

A row is written with the change it tells of. Sign-in risk reads them too. No row holds a secret or what was typed.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import msgspec
from piccolo.columns import JSONB, BigSerial, Text, Timestamptz
from piccolo.columns.defaults.timestamptz import TimestamptzNow
from piccolo.table import Table

from models import guard
from models.accounts import User
from models.base import Record, restricted
from models.queries import query
from models.visitors import NOBODY, Visitor, said_of


class SecurityEventKind(StrEnum):
    """Everything that is noted."""

    SIGNED_IN = "signed_in"
    SIGN_IN_FAILED = "sign_in_failed"
    SIGN_IN_RISKY = "sign_in_risky"
    SIGN_IN_LOCKED = "sign_in_locked"
    SECOND_FACTOR_FAILED = "second_factor_failed"
    SECOND_FACTOR_PROVED = "second_factor_proved"
    BACKUP_CODE_USED = "backup_code_used"
    PASSKEY_COUNTER_WENT_BACK = "passkey_counter_went_back"
    REFRESH_TOKEN_REUSED = "refresh_token_reused"  # noqa: S105  a name
    SESSION_REVOKED = "session_revoked"
    SESSIONS_REVOKED = "sessions_revoked"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105  likewise
    PASSWORD_RESET_ASKED = "password_reset_asked"  # noqa: S105  likewise
    PASSWORD_RESET = "password_reset"  # noqa: S105  likewise
    EMAIL_VERIFIED = "email_verified"
    EMAIL_CHANGED = "email_changed"
    FACTOR_ADDED = "factor_added"
    FACTOR_REMOVED = "factor_removed"
    BACKUP_CODES_MADE = "backup_codes_made"
    ACCOUNT_SUSPENDED = "account_suspended"
    ACCOUNT_RESTORED = "account_restored"
    ACCOUNT_DEACTIVATED = "account_deactivated"
    ACCOUNT_REACTIVATED = "account_reactivated"


class SecurityEvent(Table, tablename="security_events"):
    """One thing that happened to one account, and whence."""

    id = BigSerial(primary_key=True)
    user = restricted(User)
    kind = Text()
    ip_address = Text()
    network = Text()
    user_agent = Text()
    country = Text(null=True, default=None)
    city = Text(null=True, default=None)
    details = JSONB(default="{}")
    created_at = Timestamptz(default=TimestamptzNow())


class SecurityEventRow(Record, frozen=True):
    """An event as its person sees it."""

    id: int
    kind: SecurityEventKind
    ip_address: str
    user_agent: str
    country: str | None
    city: str | None
    details: dict[str, Any]
    created_at: datetime


NOTE: Final = """
insert into security_events ("user", kind, ip_address, network, user_agent, country, city, details)
values ($1, $2, $3, $4, $5, $6, $7, $8::text::jsonb)
"""


OWN: Final = query(
    "security_events.own",
    """select id, kind, ip_address, user_agent, country, city, details::text as details, created_at
         from security_events where "user" = $1 and ($2::bigint is null or id < $2) order by id desc limit $3""",
)


async def note(
    user_id: int, kind: SecurityEventKind, visitor: Visitor = NOBODY, details: Mapping[str, object] | None = None
) -> None:
    """Write down what happened to an account, in the transaction in which it does."""
    guard.in_transaction()
    await guard.rows(
        NOTE,
        user_id,
        kind.value,
        visitor.ip_address,
        visitor.network,
        said_of(visitor.user_agent),
        visitor.place and visitor.place.country,
        visitor.place and visitor.place.city,
        msgspec.json.encode(details or {}).decode(),
    )


async def list_own(user_id: int, *, before: int | None, limit: int) -> list[SecurityEventRow]:
    """What happened to one's own account, newest first, from `before` (an id, exclusive) backwards."""
    found = await guard.rows(OWN, user_id, before, limit)
    return [
        SecurityEventRow(
            **{**one, "kind": SecurityEventKind(one["kind"]), "details": msgspec.json.decode(one["details"])}
        )
        for one in map(dict, found)
    ]
