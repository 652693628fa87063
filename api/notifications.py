"""What a person should see, over HTTP: the list behind the live events."""

from datetime import datetime
from functools import partial
from typing import Any, Final

import msgspec
from litestar import Router, get, post
from litestar.params import FromQuery
from litestar.status_codes import HTTP_200_OK

from api.auth import Asking, signed_in
from api.fields import PathId
from api.idempotency import Once, no_id
from api.pages import DEFAULT_LIMIT, Cursor, Limit, Page, decode_cursor, page
from models import notifications
from models.notifications import NotificationRow, NotificationType
from models.preferences import Category

LISTING: Final = "notifications"


class NotificationOut(msgspec.Struct, frozen=True, kw_only=True):
    """A notification as its person sees it; `data` is what a program needs to follow it.

    Told `times` times, `created_at` the last one: while it is unread, news of the same thing adds to it and replaces
    what it says. It keeps its `id`, and with it its place in the list.
    """

    id: int
    type: NotificationType
    title: str
    message: str
    data: dict[str, Any]
    times: int
    read: bool
    created_at: datetime
    read_at: datetime | None


class Unread(msgspec.Struct, frozen=True):
    """How many are not read."""

    unread_count: int


class Marked(msgspec.Struct, frozen=True):
    """How many were marked as read now."""

    marked: int


def show(notification: NotificationRow) -> NotificationOut:
    """The notification as it is answered."""
    return NotificationOut(
        id=notification.id,
        type=notification.type,
        title=notification.title,
        message=notification.message,
        data=notification.data,
        times=notification.times,
        read=notification.read_at is not None,
        created_at=notification.created_at,
        read_at=notification.read_at,
    )


@get("/")
async def list_notifications(
    caller: Asking,
    *,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    unread: FromQuery[bool] = False,
    category: FromQuery[Category | None] = None,
) -> Page[NotificationOut]:
    """The caller's notifications, newest first; only unread ones, or those of a category, if asked."""
    before = decode_cursor(LISTING, cursor, int)
    found = await notifications.list_own(caller.id, unread=unread, category=category, before=before, limit=limit + 1)
    return page(LISTING, [show(one) for one in found], limit, lambda one: one.id)


@get("/unread-count")
async def count_unread(caller: Asking) -> Unread:
    """How many of the caller's notifications are not read."""
    return Unread(await notifications.count_unread(caller.id))


@post("/{notification_id:int}/read", status_code=HTTP_200_OK)
async def read_notification(notification_id: PathId, caller: Asking, once: Once) -> NotificationOut:
    """Mark one as read."""
    again = partial(notifications.read, user_id=caller.id)
    return show(await once(notifications.mark_read, notification_id, user_id=caller.id, again=again))


@post("/read-all", status_code=HTTP_200_OK)
async def read_all(caller: Asking, once: Once) -> Marked:
    """Mark all as read. A repetition marks none."""
    return Marked(await once(notifications.mark_all_read, caller.id, made=no_id, again=_none))


async def _none(_: None) -> int:
    """How many a repetition marks."""
    return 0


router = Router(
    "/api/notifications",
    route_handlers=[list_notifications, count_unread, read_notification, read_all],
    tags=["notifications"],
    guards=[signed_in],
)
