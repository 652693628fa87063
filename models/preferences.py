"""What a person wants to be told, how, and when not. What is not said is yes.

Word of the account's own safety cannot be refused.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec
from piccolo.columns import BigSerial, Boolean, LazyTableReference, Text
from piccolo.table import Table

from models import guard, quiet_hours
from models.base import Record, restricted
from models.errors import Invalid
from models.locks import Noun, lock
from models.quiet_hours import QuietHours


class Category(StrEnum):
    """What news is about."""

    SECURITY = "security"
    PROJECTS = "projects"
    PROPOSALS = "proposals"
    CONTRACTS = "contracts"
    PAYMENTS = "payments"
    MESSAGES = "messages"
    REVIEWS = "reviews"
    DISPUTES = "disputes"
    SUPPORT = "support"
    SEARCHES = "searches"


class Preference(Table, tablename="notification_preferences"):
    """One person's wish for one category."""

    id = BigSerial(primary_key=True)
    # By name, because mails ask for preferences and accounts write mails: importing them would close a circle.
    user = restricted(LazyTableReference("User", module_path="models.accounts"))
    category = Text()
    email = Boolean(default=True)
    in_app = Boolean(default=True)


class Wish(Record, frozen=True):
    """How somebody wants to hear of a category."""

    email: bool = True
    in_app: bool = True


class Change(Record, frozen=True):
    """What is to become of a wish; None leaves it as it is."""

    email: bool | None = None
    in_app: bool | None = None


CHANGE: Final = """
insert into notification_preferences as p ("user", category, email, in_app)
select id, $2, coalesce($3, true), coalesce($4, true) from users where id = $1 and erased_at is null
on conflict ("user", category) do update set email = coalesce($3, p.email), in_app = coalesce($4, p.in_app)
"""


async def change(
    user_id: int,
    changes: Mapping[Category, Change],
    *,
    quiet: QuietHours | msgspec.UnsetType | None = msgspec.UNSET,
) -> dict[Category, Wish]:
    """Change one's wishes for the categories named, and one's quiet hours if they are; return all wishes.

    Raises Invalid for silence on security, and for quiet hours that never end.
    """
    guard.in_transaction()
    safety = changes.get(Category.SECURITY)
    if safety is not None and (safety.email is False or safety.in_app is False):
        raise Invalid("Word of your account's safety cannot be switched off.", field="categories.security")
    # Two changes at once wait for each other here, and so does a farewell: what was forgotten is not written anew.
    await lock(Noun.ACCOUNT, user_id)
    if quiet is not msgspec.UNSET:
        await quiet_hours.change(user_id, quiet)
    for category in sorted(changes):
        wanted = changes[category]
        await guard.rows(CHANGE, user_id, category.value, wanted.email, wanted.in_app)
    return await read(user_id)


async def read(user_id: int) -> dict[Category, Wish]:
    """One's wish for every category there is."""
    found = await guard.rows('select category, email, in_app from notification_preferences where "user" = $1', user_id)
    said = {one["category"]: Wish(email=one["email"], in_app=one["in_app"]) for one in found}
    return {category: said.get(category.value, Wish()) for category in Category}


async def wants_mail(user_id: int, category: Category) -> bool:
    """Whether somebody takes mails of a category. Of security always."""
    if category is Category.SECURITY:
        return True
    refused = await guard.value(
        'select true from notification_preferences where "user" = $1 and category = $2 and not email',
        user_id,
        category.value,
    )
    return not refused
