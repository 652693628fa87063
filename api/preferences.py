"""How one hears of what, and when not, over HTTP."""

from typing import Annotated, Any

import msgspec
from litestar import Router, get, put
from litestar.params import JSONBody

from api.auth import Asking, signed_in
from models import preferences, quiet_hours
from models.guard import commit
from models.preferences import Category, Change, Wish
from models.quiet_hours import QuietHours

TimeOfDay = Annotated[
    str,
    # The length too: to the pattern a line's end is an end.
    msgspec.Meta(
        pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$", min_length=5, max_length=5, description="HH:MM", examples=["22:00"]
    ),
]


class QuietTimes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From when until when no mail comes, by the clock of the profile's time zone; over midnight as it may be."""

    start: TimeOfDay = msgspec.field(name="from")
    to: TimeOfDay

    def hours(self) -> QuietHours:
        """What the domain is told."""
        return QuietHours(from_minute=_minute(self.start), to_minute=_minute(self.to))


class WishChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one wants to hear of a category; what is absent stays."""

    email: bool | msgspec.UnsetType = msgspec.UNSET
    in_app: bool | msgspec.UnsetType = msgspec.UNSET


class WishesChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Wishes by category, and quiet hours; what is absent stays as it is. `quiet_hours` null takes them away."""

    categories: dict[Category, WishChange] = {}
    quiet_hours: QuietTimes | msgspec.UnsetType | None = msgspec.UNSET


class WishOut(msgspec.Struct, frozen=True):
    """How one hears of a category."""

    email: bool
    in_app: bool


class WishesOut(msgspec.Struct, frozen=True):
    """One's wishes, for every category there is, and one's quiet hours if there are any."""

    categories: dict[Category, WishOut]
    quiet_hours: QuietTimes | None


def _minute(time: str) -> int:
    hour, minute = time.split(":")
    return int(hour) * 60 + int(minute)


def _time(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _said(change: WishChange) -> dict[str, Any]:
    """The fields that a change names."""
    return {name: held for name, held in msgspec.structs.asdict(change).items() if held is not msgspec.UNSET}


def show(known: dict[Category, Wish], hours: QuietHours | None) -> WishesOut:
    """The wishes as they are answered."""
    wishes = {category: WishOut(wish.email, wish.in_app) for category, wish in known.items()}
    quiet = None if hours is None else QuietTimes(_time(hours.from_minute), _time(hours.to_minute))
    return WishesOut(wishes, quiet)


@get("/")
async def read_preferences(caller: Asking) -> WishesOut:
    """How one hears of what, for every category, and when no mail comes."""
    return show(await preferences.read(caller.id), await quiet_hours.read(caller.id))


@put("/")
async def change_preferences(data: JSONBody[WishesChange], caller: Asking) -> WishesOut:
    """Change how one hears of what: the categories and channels that are named. Security cannot be switched off.

    In quiet hours mails wait for their end, but for those about the account's safety; all else is shown at once.
    """
    changes = {category: Change(**_said(wish)) for category, wish in data.categories.items()}
    quiet = data.quiet_hours.hours() if isinstance(data.quiet_hours, QuietTimes) else data.quiet_hours
    kept = await commit(preferences.change, caller.id, changes, quiet=quiet)
    return show(kept, await quiet_hours.read(caller.id))


router = Router(
    "/api/users/me/notification-preferences",
    route_handlers=[read_preferences, change_preferences],
    tags=["users"],
    guards=[signed_in],
)
