"""Refund requests: the client asks, the freelancer answers or says nothing for seven days."""

from decimal import Decimal

from models import guard, refund_requests
from models.milestones import MilestoneStatus
from models.states import Part
from models.timers import TimerKind
from tests import factories
from tests.histories.driving import PEOPLE, Driver, fire, make_due

HELD = (MilestoneStatus.FUNDED, MilestoneStatus.SUBMITTED)


class RefundRequests(Driver):
    machine = refund_requests.MACHINE
    table = "refund_requests"
    doors = {
        "refund_accept": (*PEOPLE, Part.SYSTEM),
        "refund_decline": PEOPLE,
        "withdraw": (*PEOPLE, Part.SYSTEM),
    }

    async def begin(self) -> None:
        contract = await self.cast.contract()
        milestone = await factories.a_milestone(contract, amount="10.01", status=self.chance.choice(HELD))
        self.milestone_id = milestone.id
        asked = await guard.commit(
            refund_requests.ask,
            milestone.id,
            client_id=self.person(Part.CLIENT),
            amount=self.chance.choice((None, Decimal("0.01"), Decimal(5))),
            reason="Half is missing.",
        )
        self.id = asked.id

    async def prepare(self, verb: str, who: str) -> None:
        await make_due(TimerKind.REFUND_REQUEST_LAPSE, self.id)

    async def refund_accept(self, who: str) -> None:
        if who == Part.SYSTEM:
            await fire(TimerKind.REFUND_REQUEST_LAPSE, self.id)
        else:
            await guard.commit(refund_requests.accept, self.milestone_id, freelancer_id=self.person(who))

    async def refund_decline(self, who: str) -> None:
        await guard.commit(refund_requests.decline, self.milestone_id, freelancer_id=self.person(who))

    async def withdraw(self, who: str) -> None:
        if who == Part.SYSTEM:
            await guard.commit(refund_requests.withdraw_open, self.milestone_id)
        else:
            await guard.commit(refund_requests.withdraw, self.milestone_id, client_id=self.person(who))
