"""Weeks of an hourly contract: closed on their Sunday, approved by the client or by silence."""

from datetime import datetime, timedelta
from typing import Any

from models import business_time, guard, time_entries, time_weeks, timesheets
from models.accounts import Person
from models.contracts import ContractRow
from models.states import Part
from models.time_entries import Span
from models.timers import TimerKind
from tests import hourly
from tests.histories.driving import HAND, PEOPLE, Driver, Effects, effects, fire, make_due

WEDNESDAY = hourly.utc("2031-05-07 12:00")
"""Before the first history's week; each one has a week of its own."""
FORGET = "delete from time_entries where freelancer = $1 and status = 'running'"
UNBUILT = "hours are not billed yet"


class Hours(Driver):
    """Whoever walks hours, in a week of its own under one contract: nobody works at two things at once."""

    async def begin(self) -> None:
        freelancer, contract, last = self.cast.hours or await self._hire()
        self.freelancer, self.contract, self.now = freelancer, contract, last + business_time.WEEK
        self.cast.hours = (freelancer, contract, self.now)
        await guard.rows(FORGET, freelancer.id)
        await hourly.set_clock(self.now)

    async def _hire(self) -> tuple[Person, ContractRow, datetime]:
        await hourly.set_clock(WEDNESDAY)
        freelancer = self.cast.people[Part.FREELANCER]
        return freelancer, await hourly.a_contract(self.cast.people[Part.CLIENT], freelancer), WEDNESDAY


class Weeks(Hours):
    machine = time_weeks.MACHINE
    table = "time_weeks"
    doors = {"close": HAND, "approve": (*PEOPLE, Part.SYSTEM)}
    owed = {"bill": UNBUILT}

    async def begin(self) -> None:
        await super().begin()
        self.billable = self.chance.random() < 0.8
        span = Span(
            started_at=self.now - timedelta(hours=8, minutes=30),
            ended_at=self.now - timedelta(minutes=10),
            description="Work.",
            is_billable=self.billable,
        )
        entry: Any = await guard.commit(time_entries.create, self.contract.id, span, freelancer_id=self.freelancer.id)
        self.id = entry.week_id

    async def prepare(self, verb: str, who: str) -> None:
        if who == Part.SYSTEM:
            await make_due(TimerKind.WEEK_CLOSE if verb == "close" else TimerKind.WEEK_APPROVE, self.id)

    def follows(self, state: str, verb: str, who: str) -> str | None:
        if (state, verb, self.billable) == ("open", "close", False):
            return "approved"  # nobody is asked about a week with nothing to be paid
        return super().follows(state, verb, who)

    def wanted(self, state: str, verb: str, target: str) -> Effects:
        return super().wanted(state, verb, target) if self.billable else effects()

    async def close(self, who: str) -> None:
        await fire(TimerKind.WEEK_CLOSE, self.id)

    async def approve(self, who: str) -> None:
        if who == Part.SYSTEM:
            await fire(TimerKind.WEEK_APPROVE, self.id)
        else:
            monday = business_time.week_of(self.now, "UTC")
            await guard.commit(timesheets.approve, self.contract.id, monday, client_id=self.person(who))
