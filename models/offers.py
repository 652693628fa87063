"""An offer's terms: what is asked for what, and whether it makes sense.

Refuses amounts out of bounds, milestones that do not add up, and milestones or hours where the budget has none.
"""

from datetime import date
from decimal import Decimal
from typing import Final

import msgspec

from models.base import Record
from models.errors import AmountOutOfBounds, Invalid, MilestonesMismatch
from models.money import MAX_MINOR, Money
from models.projects import BudgetType

MAX_STAGES: Final = 50
"""Milestones of one proposal, and of one contract: more is a time sheet, and each is a charge with its own fee."""

DEFAULT_WEEKLY_HOURS: Final = 40
"""The most of a week, when an hourly offer does not say."""

MAX_WEEKLY_HOURS: Final = 168


class Planned(Record, frozen=True):
    """A milestone as people write it: in major units."""

    title: str
    amount: Decimal
    due_date: date | None = None


class Stage(Record, frozen=True):
    """A milestone as it is planned, in the currency of what it is planned for."""

    title: str
    amount_minor: int
    due_date: date | None = None


class Offer(Record, frozen=True):
    """What a freelancer writes. Stages, when there are any, add up to the bid.

    For an hourly project the bid is for an hour, there are no stages, and `weekly_hours` is the most of a week.
    """

    cover_letter: str
    bid: Money
    delivery_days: int
    stages: list[Stage]
    weekly_hours: int | None = None


def check_offer(offer: Offer, currency: str, budget_type: BudgetType) -> None:
    """Whether an offer makes sense for a project in this currency and with this kind of budget.

    Raises Invalid, AmountOutOfBounds, MilestonesMismatch.
    """
    hours = offer.weekly_hours
    if budget_type is BudgetType.HOURLY:
        if offer.stages:
            raise Invalid("An hourly project has weeks and no milestones.", field="milestones")
        if hours is not None and not 1 <= hours <= MAX_WEEKLY_HOURS:
            raise Invalid(f"A week has 1 to {MAX_WEEKLY_HOURS} hours, not {hours}.", field="weekly_hours")
    elif hours is not None:
        raise Invalid("This project has a fixed budget: its hours are not counted.", field="weekly_hours")
    check_bid(offer.bid, offer.stages, currency)


def check_bid(bid: Money, stages: list[Stage], currency: str) -> None:
    """Whether amounts make sense for a project in this currency. Raises what does not."""
    if bid.currency != currency:
        raise Invalid(f"The project is in {currency}; a bid in {bid.currency} cannot be compared.", field="currency")
    if not 0 < bid.minor <= MAX_MINOR:
        most = Money(MAX_MINOR, currency)
        raise AmountOutOfBounds(f"A bid is more than 0 and at most {most}; {bid} is not.", field="bid_amount")
    if not stages:
        return
    if len(stages) > MAX_STAGES:
        raise Invalid(f"A proposal has at most {MAX_STAGES} milestones, not {len(stages)}.", field="milestones")
    if any(stage.amount_minor <= 0 for stage in stages):
        raise AmountOutOfBounds("Each milestone's amount is more than 0.", field="milestones")
    planned = Money(sum(stage.amount_minor for stage in stages), currency)
    if planned != bid:
        raise MilestonesMismatch(f"The milestones add up to {planned}; the bid is {bid}.", field="milestones")


def weekly_hours_of(said: int | None, budget_type: BudgetType) -> int | None:
    """The most hours of a week under an offer: none for a fixed budget."""
    return (said or DEFAULT_WEEKLY_HOURS) if budget_type is BudgetType.HOURLY else None


def staged(planned: list[Planned], currency: str) -> list[Stage]:
    """Milestones in smallest units. Raises AmountTooPrecise, CurrencyUnsupported."""
    return [
        Stage(title=one.title, amount_minor=Money.from_major(one.amount, currency).minor, due_date=one.due_date)
        for one in planned
    ]


def encoded(stages: list[Stage]) -> str:
    """Stages as their column holds them."""
    return msgspec.json.encode(stages).decode()
