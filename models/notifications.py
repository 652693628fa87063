"""What a person should see: a row each, delivered live by its event, listed afterwards."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import msgspec
from piccolo.columns import JSONB, BigSerial, Text, Timestamptz
from piccolo.columns.defaults.timestamptz import TimestamptzNow
from piccolo.table import Table

from models import events, guard, outbox
from models.accounts import User
from models.base import Record, restricted
from models.errors import NotFound
from models.preferences import Category


class NotificationType(StrEnum):
    """Everything a person is notified of."""

    PROPOSAL_RECEIVED = "proposal_received"
    PROPOSAL_ACCEPTED = "proposal_accepted"
    PROPOSAL_REJECTED = "proposal_rejected"
    CONTRACT_CREATED = "contract_created"
    CONTRACT_SIGNED = "contract_signed"
    MILESTONE_FUNDED = "milestone_funded"
    MILESTONE_SUBMITTED = "milestone_submitted"
    MILESTONE_RELEASED = "milestone_released"
    PAYMENT_RECEIVED = "payment_received"
    PAYMENT_FAILED = "payment_failed"
    PAYOUTS_READY = "payouts_ready"


CATEGORIES: Final[dict[NotificationType, Category]] = {
    NotificationType.PROPOSAL_RECEIVED: Category.PROPOSALS,
    NotificationType.PROPOSAL_ACCEPTED: Category.PROPOSALS,
    NotificationType.PROPOSAL_REJECTED: Category.PROPOSALS,
    NotificationType.CONTRACT_CREATED: Category.CONTRACTS,
    NotificationType.CONTRACT_SIGNED: Category.CONTRACTS,
    NotificationType.MILESTONE_FUNDED: Category.CONTRACTS,
    NotificationType.MILESTONE_SUBMITTED: Category.CONTRACTS,
    NotificationType.MILESTONE_RELEASED: Category.CONTRACTS,
    NotificationType.PAYMENT_RECEIVED: Category.PAYMENTS,
    NotificationType.PAYMENT_FAILED: Category.PAYMENTS,
    NotificationType.PAYOUTS_READY: Category.PAYMENTS,
}
"""What each type is news of: people choose by category whether they see it."""


class Notification(Table, tablename="notifications"):
    """A notification to one person. `data` is what a program needs to follow it."""

    id = BigSerial(primary_key=True)
    user = restricted(User)
    type = Text()
    title = Text()
    message = Text()
    data = JSONB(default="{}")
    created_at = Timestamptz(default=TimestamptzNow())
    read_at = Timestamptz(null=True, default=None)


class NotificationRow(Record, frozen=True):
    """A notification as its person sees it."""

    id: int
    type: NotificationType
    title: str
    message: str
    data: dict[str, Any]
    created_at: datetime
    read_at: datetime | None


SELECT: Final = "select id, type, title, message, data::text as data, created_at, read_at from notifications "

TELL: Final = """
insert into notifications ("user", type, title, message, data)
select $1, $2, $3, $4, $5::text::jsonb
 where not exists (select 1 from notification_preferences where "user" = $1 and category = $6 and not in_app)
returning id
"""

READ: Final = """
update notifications set read_at = coalesce(read_at, now()) where id = $1 and "user" = $2
returning id, type, title, message, data::text as data, created_at, read_at
"""


def _row(found: Any) -> NotificationRow:
    fields = dict(found)
    fields["type"] = NotificationType(fields["type"])
    fields["data"] = msgspec.json.decode(fields["data"])
    return NotificationRow(**fields)


# Verbs


async def tell(
    user_id: int,
    *,
    type: NotificationType,  # noqa: A002  the wire's word
    title: str,
    message: str,
    data: dict[str, Any],
) -> None:
    """Notify one person: a row to list, and the event that shows it at once; nothing when they refused its category.

    In `data`, `amount` is in integer minor units and `currency` lower-case, as the wire has them.
    """
    guard.in_transaction()
    encoded = msgspec.json.encode(data).decode()
    if not await guard.execute(TELL, user_id, type.value, title, message, encoded, CATEGORIES[type].value):
        return
    told = events.Notified(type=str(type), title=title, message=message, data=data)
    await outbox.publish(told, events.user(user_id))


async def mark_read(notification_id: int, *, user_id: int) -> NotificationRow:
    """Mark one's own notification as read; the first time counts. Raises NotFound for anybody else's."""
    guard.in_transaction()
    found = await guard.row(READ, notification_id, user_id)
    if found is None:
        raise NotFound(f"There is no notification {notification_id}.")
    return _row(found)


async def mark_all_read(user_id: int) -> int:
    """Mark everything as read and return how many were not."""
    guard.in_transaction()
    return await guard.execute(
        """update notifications set read_at = now() where "user" = $1 and read_at is null returning id""", user_id
    )


# Queries


async def read(notification_id: int, *, user_id: int) -> NotificationRow:
    """One's own notification. Raises NotFound for anybody else's."""
    found = await guard.row(SELECT + """where id = $1 and "user" = $2""", notification_id, user_id)
    if found is None:
        raise NotFound(f"There is no notification {notification_id}.")
    return _row(found)


async def list_own(user_id: int, *, unread: bool, before: int | None, limit: int) -> list[NotificationRow]:
    """One's own newest notifications, from `before` (an id, exclusive) backwards; only unread ones if asked."""
    found = await guard.rows(
        SELECT
        + """where "user" = $1 and (not $2 or read_at is null) and ($3::bigint is null or id < $3)
             order by id desc limit $4""",
        user_id,
        unread,
        before,
        limit,
    )
    return [_row(one) for one in found]


async def count_unread(user_id: int) -> int:
    """How many of one's own notifications were not read."""
    counted: int = await guard.value(
        """select count(*) from notifications where "user" = $1 and read_at is null""", user_id
    )
    return counted
