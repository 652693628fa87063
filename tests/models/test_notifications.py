"""Notifications: a row and an event each, read once, one's own only."""

import asyncio

import pytest

from models import guard, notifications
from models.errors import NotFound
from models.notifications import NotificationRow, NotificationType
from models.preferences import Category
from tests import factories, worlds


async def tell(user_id: int, number: int = 1) -> None:
    await guard.commit(
        notifications.tell,
        user_id,
        type=NotificationType.PAYMENT_RECEIVED,
        title="Payment Received",
        message=f"You received ${number}.00",
        data={"payment_id": number, "amount": 100 * number},
    )


async def tell_of(user_id: int, key: str | None, number: int = 1) -> None:
    """News of something that comes again and again."""
    await guard.commit(
        notifications.tell,
        user_id,
        type=NotificationType.PROPOSAL_RECEIVED,
        title="New proposals",
        message=f"Number {number}",
        data={"proposal_id": number},
        collapse_key=key,
    )


async def listed(
    user_id: int, *, unread: bool = False, before: int | None = None, category: Category | None = None
) -> list[NotificationRow]:
    return await notifications.list_own(user_id, unread=unread, category=category, before=before, limit=10)


async def test_a_notification_is_a_row_and_an_event_with_the_sources_fields(database: str) -> None:
    person = await factories.a_client()

    await tell(person.id)

    (row,) = await listed(person.id)
    assert (row.type, row.data, row.read_at) == ("payment_received", {"payment_id": 1, "amount": 100}, None)
    assert await worlds.heard(f"user:{person.id}") == [
        (
            "notification",
            {
                "type": "payment_received",
                "title": "Payment Received",
                "message": "You received $1.00",
                "data": {"payment_id": 1, "amount": 100},
            },
        )
    ]


async def test_notifications_are_ones_own_newest_first(database: str) -> None:
    person, other = await factories.a_client(), await factories.a_client()
    for number in (1, 2, 3):
        await tell(person.id, number)
    await tell(other.id, 4)

    everything = await listed(person.id)

    assert [one.data["payment_id"] for one in everything] == [3, 2, 1]
    assert [one.data["payment_id"] for one in await listed(person.id, before=everything[0].id)] == [2, 1]


async def test_what_is_read_stays_read_since_the_first_time(database: str) -> None:
    person = await factories.a_client()
    await tell(person.id, 1)
    await tell(person.id, 2)
    newest, oldest = await listed(person.id)

    first = await guard.commit(notifications.mark_read, newest.id, user_id=person.id)
    again = await guard.commit(notifications.mark_read, newest.id, user_id=person.id)

    assert first.read_at is not None
    assert again == first == await notifications.read(newest.id, user_id=person.id)
    assert [one.id for one in await listed(person.id, unread=True)] == [oldest.id]
    assert await notifications.count_unread(person.id) == 1


async def test_nobody_reads_for_somebody_else(database: str) -> None:
    person, other = await factories.a_client(), await factories.a_client()
    await tell(person.id)
    (row,) = await listed(person.id)

    for notification_id, user_id in ((row.id, other.id), (999_999, person.id)):
        async with worlds.refused(NotFound):
            await guard.commit(notifications.mark_read, notification_id, user_id=user_id)
        with pytest.raises(NotFound):
            await notifications.read(notification_id, user_id=user_id)
    assert await guard.commit(notifications.mark_all_read, other.id) == 0
    assert await notifications.count_unread(person.id) == 1


async def test_everything_is_read_once(database: str) -> None:
    person = await factories.a_client()
    await asyncio.gather(*(tell(person.id, number) for number in (1, 2, 3)))

    marked = await asyncio.gather(
        *(guard.commit(notifications.mark_all_read, person.id) for _ in range(2)),
    )

    assert sorted(marked) == [0, 3]
    assert await notifications.count_unread(person.id) == 0


async def test_news_of_one_thing_is_one_unread_row_that_says_the_latest(database: str) -> None:
    person, other = await factories.a_client(), await factories.a_client()
    await tell_of(person.id, "project:1")
    await tell_of(person.id, "project:2", 2)
    (_, first) = await listed(person.id)
    await tell_of(person.id, "project:1", 3)
    await tell_of(other.id, "project:1", 4)

    newest, collapsed = await listed(person.id)

    assert (collapsed.id, collapsed.times, collapsed.message, collapsed.data) == (
        first.id,
        2,
        "Number 3",
        {"proposal_id": 3},
    )
    assert collapsed.created_at > newest.created_at, "it was told later, and stays in its place: pages go by id"
    assert (newest.times, await notifications.count_unread(person.id)) == (1, 2)
    assert [said["message"] for _, said in await worlds.heard(f"user:{person.id}")] == [
        "Number 1",
        "Number 2",
        "Number 3",
    ]
    # What was read is not news any more: the next one is.
    await guard.commit(notifications.mark_read, first.id, user_id=person.id)
    await tell_of(person.id, "project:1", 5)
    assert [(one.message, one.times, one.read_at is None) for one in await listed(person.id)] == [
        ("Number 5", 1, True),
        ("Number 2", 1, True),
        ("Number 3", 2, False),
    ]
    for _ in range(2):
        await tell_of(person.id, None)
    assert await notifications.count_unread(person.id) == 4


async def test_notifications_are_listed_by_category(database: str) -> None:
    person = await factories.a_client()
    await tell(person.id, 1)
    await tell_of(person.id, None)
    await tell(person.id, 2)
    newest, proposal, oldest = await listed(person.id)
    await guard.commit(notifications.mark_read, oldest.id, user_id=person.id)

    assert await listed(person.id, category=Category.PROPOSALS) == [proposal]
    assert [one.id for one in await listed(person.id, category=Category.PAYMENTS)] == [newest.id, oldest.id]
    assert await listed(person.id, category=Category.PAYMENTS, unread=True) == [newest]
    assert [one.id for one in await listed(person.id, category=Category.PAYMENTS, before=newest.id)] == [oldest.id]
    assert await listed(person.id, category=Category.REVIEWS) == []


async def test_telling_needs_a_transaction(database: str) -> None:
    person = await factories.a_client()

    with pytest.raises(AssertionError, match="outside a transaction"):
        await notifications.tell(person.id, type=NotificationType.PAYMENT_FAILED, title="No", message="No.", data={})
