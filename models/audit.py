"""The audit log: who did what with a power that others lack. A row is written with the change it tells of, or neither.

Refuses nothing and alters nothing: the database itself turns down an update or a delete of these rows.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from models import guard
from models.base import Record
from models.outbox import origin

MOST_READ: Final = 200
"""Rows of one subject that a page shows; the newest tell most."""

COLUMNS: Final = "id, at, actor_id, action, subject_kind, subject_id, details::text as details, request_id"


class AuditRow(Record, frozen=True):
    """One deed: `actor_id` is the user who did it, `details` whatever the action needs to be understood later."""

    id: int
    at: datetime
    actor_id: int
    action: str
    subject_kind: str
    subject_id: str
    details: dict[str, Any]
    request_id: str | None


async def record(
    actor_id: int, action: str, subject_kind: str, subject_id: str, details: Mapping[str, object] | None = None
) -> None:
    """Write down a deed in the transaction that does it, with the id of the request that asked for it."""
    guard.in_transaction()
    await guard.rows(
        """insert into audit_log (actor_id, action, subject_kind, subject_id, details, request_id)
           values ($1, $2, $3, $4, $5::text::jsonb, $6)""",
        actor_id,
        action,
        subject_kind,
        subject_id,
        msgspec.json.encode(details or {}).decode(),
        origin().request_id,
    )


async def read_for(subject_kind: str, subject_id: str, *, limit: int = MOST_READ) -> list[AuditRow]:
    """What was done to one subject, newest first."""
    found = await guard.rows(
        f"""select {COLUMNS} from audit_log where subject_kind = $1 and subject_id = $2 order by id desc limit $3""",
        subject_kind,
        subject_id,
        limit,
    )
    return [show(one) for one in found]


def show(found: Any) -> AuditRow:
    """A row as it was read with COLUMNS."""
    fields = dict(found)
    fields["details"] = msgspec.json.decode(fields["details"])
    return AuditRow(**fields)
