"""What a person should see: a row each, delivered live by its event, listed afterwards.

News of one thing that comes again and again may be one row while it is unread: it says the latest and how many times.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import msgspec
from piccolo.columns import JSONB, BigSerial, Integer, Text, Timestamptz
from piccolo.columns.defaults.timestamptz import TimestamptzNow
from piccolo.table import Table

from models import events, guard, outbox
from models.accounts import User
from models.base import Record, restricted
from models.errors import NotFound
from models.preferences import Category
from models.queries import query


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
    PROPOSAL_SHORTLISTED = "proposal_shortlisted"
    COUNTER_OFFER_RECEIVED = "counter_offer_received"
    COUNTER_OFFER_ANSWERED = "counter_offer_answered"
    INVITATION_RECEIVED = "invitation_received"
    INVITATION_DECLINED = "invitation_declined"
    CONTRACT_COMPLETED = "contract_completed"
    CONTRACT_CANCELLED = "contract_cancelled"
    CHANGES_REQUESTED = "changes_requested"
    APPROVAL_REMINDER = "approval_reminder"
    REFUND_REQUESTED = "refund_requested"
    REFUND_ANSWERED = "refund_answered"
    WEEK_SUBMITTED = "week_submitted"
    WEEK_APPROVED = "week_approved"
    TIME_REJECTED = "time_rejected"
    DISPUTE_OPENED = "dispute_opened"
    DISPUTE_ANSWERED = "dispute_answered"
    DISPUTE_MEDIATED = "dispute_mediated"
    DISPUTE_ASSIGNED = "dispute_assigned"
    DISPUTE_RESOLVED = "dispute_resolved"
    DISPUTE_APPEALED = "dispute_appealed"
    DISPUTE_CLOSED = "dispute_closed"
    REVIEW_RECEIVED = "review_received"
    REVIEW_ANSWERED = "review_answered"
    TICKET_REPLIED = "ticket_replied"
    TICKET_RESOLVED = "ticket_resolved"
    TICKET_OVERDUE = "ticket_overdue"
    SEARCH_MATCHED = "search_matched"
    UPLOAD_REFUSED = "upload_refused"


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
    NotificationType.PROPOSAL_SHORTLISTED: Category.PROPOSALS,
    NotificationType.COUNTER_OFFER_RECEIVED: Category.PROPOSALS,
    NotificationType.COUNTER_OFFER_ANSWERED: Category.PROPOSALS,
    NotificationType.INVITATION_RECEIVED: Category.PROJECTS,
    NotificationType.INVITATION_DECLINED: Category.PROJECTS,
    NotificationType.CONTRACT_COMPLETED: Category.CONTRACTS,
    NotificationType.CONTRACT_CANCELLED: Category.CONTRACTS,
    NotificationType.CHANGES_REQUESTED: Category.CONTRACTS,
    NotificationType.APPROVAL_REMINDER: Category.CONTRACTS,
    NotificationType.REFUND_REQUESTED: Category.PAYMENTS,
    NotificationType.REFUND_ANSWERED: Category.PAYMENTS,
    NotificationType.WEEK_SUBMITTED: Category.CONTRACTS,
    NotificationType.WEEK_APPROVED: Category.CONTRACTS,
    NotificationType.TIME_REJECTED: Category.CONTRACTS,
    NotificationType.DISPUTE_OPENED: Category.DISPUTES,
    NotificationType.DISPUTE_ANSWERED: Category.DISPUTES,
    NotificationType.DISPUTE_MEDIATED: Category.DISPUTES,
    NotificationType.DISPUTE_ASSIGNED: Category.DISPUTES,
    NotificationType.DISPUTE_RESOLVED: Category.DISPUTES,
    NotificationType.DISPUTE_APPEALED: Category.DISPUTES,
    NotificationType.DISPUTE_CLOSED: Category.DISPUTES,
    NotificationType.REVIEW_RECEIVED: Category.REVIEWS,
    NotificationType.REVIEW_ANSWERED: Category.REVIEWS,
    NotificationType.TICKET_REPLIED: Category.SUPPORT,
    NotificationType.TICKET_RESOLVED: Category.SUPPORT,
    NotificationType.TICKET_OVERDUE: Category.SUPPORT,
    NotificationType.SEARCH_MATCHED: Category.SEARCHES,
    NotificationType.UPLOAD_REFUSED: Category.SUPPORT,
}
"""What each type is news of: people choose by category whether they see it."""


class Notification(Table, tablename="notifications"):
    """A notification to one person. `data` is what a program needs to follow it.

    Of one `collapse_key` a person has one unread row; `times` says how often it was told.
    """

    id = BigSerial(primary_key=True)
    user = restricted(User)
    type = Text()
    title = Text()
    message = Text()
    data = JSONB(default="{}")
    collapse_key = Text(null=True, default=None)
    times = Integer(default=1)
    created_at = Timestamptz(default=TimestamptzNow())
    read_at = Timestamptz(null=True, default=None)


class NotificationRow(Record, frozen=True):
    """A notification as its person sees it."""

    id: int
    type: NotificationType
    title: str
    message: str
    data: dict[str, Any]
    times: int
    created_at: datetime
    read_at: datetime | None


COLUMNS: Final = "id, type, title, message, data::text as data, times, created_at, read_at"
SELECT: Final = f"select {COLUMNS} from notifications "

# A row that is read at this moment is waited for; it is then none that takes the news, and a new one does.
TELL: Final = """
insert into notifications as n ("user", type, title, message, data, collapse_key)
select u.id, $2, $3, $4, $5::text::jsonb, $7 from users u
 where u.id = $1 and u.erased_at is null
   and not exists (select 1 from notification_preferences where "user" = $1 and category = $6 and not in_app)
on conflict ("user", collapse_key) where read_at is null and collapse_key is not null
   do update set type = excluded.type, title = excluded.title, message = excluded.message, data = excluded.data,
                 times = n.times + 1, created_at = now()
returning id
"""

READ: Final = f"""
update notifications set read_at = coalesce(read_at, now()) where id = $1 and "user" = $2 returning {COLUMNS}
"""
# In the order of their ids, so that two who read everything at once wait for each other and never both.
READ_ALL: Final = """
update notifications set read_at = now()
 where id in (select id from notifications where "user" = $1 and read_at is null order by id for no key update)
returning id
"""

NEWEST: Final = query(
    "notifications.newest",
    SELECT + """where "user" = $1 and id < $2 and type = any($3::text[]) order by id desc limit $4""",
)
NEWEST_UNREAD: Final = query(
    "notifications.newest_unread",
    SELECT
    + """where "user" = $1 and id < $2 and type = any($3::text[]) and read_at is null order by id desc limit $4""",
)
UNREAD: Final = query(
    "notifications.unread", """select count(*) from notifications where "user" = $1 and read_at is null"""
)
BEYOND: Final = 2**63 - 1
"""Above every id: where the first page begins."""


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
    collapse_key: str | None = None,
) -> None:
    """Notify one person: a row to list, and the event that shows it at once.

    Nothing when they refused its category, or are erased.
    With a `collapse_key` ("project:7:proposals") the person's unread row of that key says this instead, one time more;
    it keeps its id. The event is sent all the same. In `data`, `amount` is in integer minor units and `currency`
    lower-case, as the wire has them.
    """
    guard.in_transaction()
    encoded, category = msgspec.json.encode(data).decode(), CATEGORIES[type].value
    if not await guard.execute(TELL, user_id, type.value, title, message, encoded, category, collapse_key):
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
    return await guard.execute(READ_ALL, user_id)


# Queries


async def read(notification_id: int, *, user_id: int) -> NotificationRow:
    """One's own notification. Raises NotFound for anybody else's."""
    found = await guard.row(SELECT + """where id = $1 and "user" = $2""", notification_id, user_id)
    if found is None:
        raise NotFound(f"There is no notification {notification_id}.")
    return _row(found)


async def list_own(
    user_id: int, *, unread: bool, before: int | None, limit: int, category: Category | None = None
) -> list[NotificationRow]:
    """One's own notifications from `before` (an id, exclusive) backwards; only unread ones, or of a category, if asked.

    By id, which a collapsed one keeps: it stays where it was first told, so that no page shows it twice or never.
    """
    types = [one.value for one, its in CATEGORIES.items() if category in (None, its)]
    sql = NEWEST_UNREAD if unread else NEWEST
    found = await guard.rows(sql, user_id, BEYOND if before is None else before, types, limit)
    return [_row(one) for one in found]


async def count_unread(user_id: int) -> int:
    """How many of one's own notifications were not read: counted, so it is always what the list shows."""
    counted: int = await guard.value(UNREAD, user_id)
    return counted
