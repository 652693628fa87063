"""Codes on their way by text message: which one may still be sent, and what became of it.

Refuses to send what nobody can use any more: a code that was used, is too old, or was sent before. No row holds a code.
"""

from datetime import datetime
from typing import Final

from models import guard
from models.base import Record
from models.factors import Method

CODE_MINUTES: Final = 10
"""How long a sent code is good; one that could not be sent for so long is not sent at all."""


class SendingCode(Record, frozen=True):
    """A code to be sent: the digits derive from its id and time."""

    id: int
    contact: str
    created_at: datetime


async def begin_sending_code(code_id: int) -> SendingCode | None:
    """The code as it is to be sent; None when it has been, was used, was refused or is too old."""
    guard.in_transaction()
    found = await guard.row(
        """select id, contact, created_at from security_codes
            where id = $1 and method = $2 and status = 'queued' and used_at is null
              and created_at > now() - make_interval(mins => $3)""",
        code_id,
        Method.SMS.value,
        CODE_MINUTES,
    )
    return None if found is None else SendingCode(**dict(found))


async def mark_code_sent(code_id: int, provider_id: str) -> None:
    """Record that the provider has taken the message. A second call changes nothing."""
    guard.in_transaction()
    await guard.rows(
        "update security_codes set status = 'sent', provider_id = $2 where id = $1 and status = 'queued'",
        code_id,
        provider_id,
    )


async def mark_code_refused(code_id: int) -> None:
    """Record that the message will not be sent; why stands in its job. One that was sent stays sent."""
    guard.in_transaction()
    await guard.rows("update security_codes set status = 'refused' where id = $1 and status = 'queued'", code_id)
