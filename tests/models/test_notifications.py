"""Notifications: a row and an event each, read once, one's own only."""

import asyncio

import pytest

from models import guard, notifications
from models.errors import NotFound
from models.notifications import NotificationRow, NotificationType
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


async def listed(user_id: int, *, unread: bool = False, before: int | None = None) -> list[NotificationRow]:
    return await notifications.list_own(user_id, unread=unread, before=before, limit=10)


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
    assert again == first
    assert [one.id for one in await listed(person.id, unread=True)] == [oldest.id]
    assert await notifications.count_unread(person.id) == 1


async def test_nobody_reads_for_somebody_else(database: str) -> None:
    person, other = await factories.a_client(), await factories.a_client()
    await tell(person.id)
    (row,) = await listed(person.id)

    for notification_id, user_id in ((row.id, other.id), (999_999, person.id)):
        async with worlds.refused(NotFound):
            await guard.commit(notifications.mark_read, notification_id, user_id=user_id)
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


async def test_telling_needs_a_transaction(database: str) -> None:
    person = await factories.a_client()

    with pytest.raises(AssertionError, match="outside a transaction"):
        await notifications.tell(person.id, type=NotificationType.PAYMENT_FAILED, title="No", message="No.", data={})
