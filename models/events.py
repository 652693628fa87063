"""Every event a browser is told, and to whom events are addressed.

An event's struct is the first argument of the Socket.IO event of its name, exactly. Each audience numbers its events
without gaps; the relay gives the number after the commit.
"""

from datetime import datetime
from typing import Any, ClassVar, Final, NewType
from uuid import UUID

import msgspec

from models.base import Record
from models.guard import rows

Audience = NewType("Audience", str)
"""`user:{id}` or `project:{id}`: who hears an event, and whose sequence it is numbered in."""

KEPT_DAYS: Final = 30
"""How long events can be asked for again."""


def user(user_id: int) -> Audience:
    """One person, on every device."""
    return Audience(f"user:{user_id}")


def project(project_id: int) -> Audience:
    """Whoever is in a project's room: rivals among them, so public changes only."""
    return Audience(f"project:{project_id}")


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """What every event declares: its name on the wire."""

    name: ClassVar[str]


class Notified(Event, frozen=True):
    """Something a person should see; also a row in `notifications`. Source: S1 `notification`."""

    name = "notification"
    type: str
    title: str
    message: str
    data: dict[str, Any]


class JobUpdated(Event, frozen=True):
    """A job its caller may follow has changed."""

    name = "job_update"
    id: UUID
    kind: str
    status: str
    progress: float | None = None
    result: Any = None


class ProjectUpdated(Event, frozen=True):
    """A public change of a project."""

    name = "project_update"
    project_id: int
    status: str


class ProposalUpdated(Event, frozen=True):
    """A change of a proposal, for its two sides only."""

    name = "proposal_update"
    proposal_id: int
    project_id: int
    status: str


class MilestoneUpdated(Event, frozen=True):
    """A change of a milestone, for its two sides only."""

    name = "milestone_update"
    milestone_id: int
    contract_id: int
    status: str


class PaymentUpdated(Event, frozen=True):
    """A change of a payment; the amount is in integer minor units, the currency lower-case, as Stripe writes them."""

    name = "payment_update"
    payment_id: int
    milestone_id: int
    status: str
    amount: int
    currency: str


class NewMessage(Event, frozen=True):
    """A message, for its two sides. Source: S1 `new_message`, these four fields exactly."""

    name = "new_message"
    sender_id: int
    receiver_id: int
    content: str
    created_at: datetime


class MessageRead(Event, frozen=True):
    """Somebody has read a chat up to a number, for its two sides."""

    name = "message_read"
    chat_id: int
    user_id: int
    seq: int


class MessageEdited(Event, frozen=True):
    """A message says something else now, for its two sides."""

    name = "message_edited"
    id: int
    chat_id: int
    seq: int
    content: str
    edited_at: datetime


class MessageDeleted(Event, frozen=True):
    """A message was taken back, for its two sides; its number stays."""

    name = "message_deleted"
    id: int
    chat_id: int
    seq: int
    deleted_at: datetime


class StoredEvent(Record, frozen=True):
    """An event as the relay numbered it."""

    audience: str
    seq: int
    name: str
    payload: str


async def after(audience: Audience, seq: int, *, limit: int) -> list[StoredEvent]:
    """The audience's events numbered above `seq`, oldest first."""
    found = await rows(
        """select audience, seq, name, payload::text from events
            where audience = $1 and seq > $2 order by seq limit $3""",
        audience,
        seq,
        limit,
    )
    return [StoredEvent(**dict(one)) for one in found]


async def heads(audiences: list[Audience]) -> dict[str, int]:
    """The last number each audience was given; an audience that never heard anything is absent."""
    found = await rows("select audience, last_seq from event_heads where audience = any($1)", audiences)
    return {one["audience"]: one["last_seq"] for one in found}
