"""Milestones that money is held for, the two who do not agree about them, and the deadlines that pass meanwhile."""

from typing import Final

import msgspec

from models import deadlines, disputes, evidence, guard, mediation, timers
from models.accounts import Person
from models.disputes import DisputeReason, DisputeRow
from models.ledger import accounts as ledger
from models.ledger.posting import post
from models.milestones import MilestoneRow, MilestoneStatus
from tests import clock, factories, worlds
from tests.worlds import Hire

DUE: Final = "select id from timers where fired_at is null and due_at <= business_now() order by due_at, id"


class Quarrel(msgspec.Struct, frozen=True):
    """A dispute that the client opened, and an admin for it."""

    hire: Hire
    milestone: MilestoneRow
    id: int
    admin: Person

    async def answered(self) -> DisputeRow:
        """The freelancer brings evidence."""
        return await guard.commit(evidence.add, self.id, user_id=self.hire.freelancer.id, note="It is all there.")

    async def assigned(self) -> DisputeRow:
        """The admin takes it."""
        return await guard.commit(mediation.assign, self.id, to=self.admin.id, admin_id=self.admin.id)

    async def resolved(self, share_bp: int = 2_500) -> DisputeRow:
        """The admin takes and decides it."""
        await self.assigned()
        return await guard.commit(
            mediation.resolve, self.id, admin_id=self.admin.id, share_bp=share_bp, reason="A quarter is there."
        )

    async def appealed(self) -> DisputeRow:
        """The admin decided, and the freelancer appealed."""
        await self.resolved()
        return await guard.commit(
            mediation.appeal, self.id, user_id=self.hire.freelancer.id, reason="It is more than that."
        )

    async def status(self) -> tuple[str, str]:
        """Of the dispute, and of its milestone."""
        found = await guard.only(
            "select d.status as d, m.status as m from disputes d join milestones m on m.id = d.milestone where d.id = $1",
            self.id,
        )
        return found["d"], found["m"]


async def a_held_milestone(
    status: MilestoneStatus = MilestoneStatus.FUNDED, *, currency: str = "USD", bid: str = "1000.00"
) -> tuple[Hire, MilestoneRow]:
    """A contract whose one milestone money is held for, on paper."""
    hire = await worlds.a_hire(offer=factories.an_offer(bid, currency=currency))
    return hire, await factories.walked(hire.milestones[0], status)


async def pay(milestone: MilestoneRow, payer: Person) -> None:
    """The money of a milestone that was walked to its state, as a funding would have left it."""
    minor, currency = milestone.amount.minor, milestone.currency
    await guard.rows(
        """insert into payments (milestone, payer, amount_minor, currency, payment_method_id, rail, status, intent_id,
                                 expires_at)
           values ($1, $2, $3, $5, 'pm_card_visa', 'captured', 'succeeded', 'pi_' || $4::text, now())""",
        milestone.id,
        payer.id,
        minor,
        str(milestone.id),
        currency,
    )

    async def fund() -> None:
        moves = {ledger.milestone(milestone.id): minor, ledger.STRIPE: -minor}
        await post(
            f"fund:m{milestone.id}", kind="fund", subject=f"milestone:{milestone.id}", moves=moves, currency=currency
        )

    await guard.commit(fund)


async def a_quarrel(*, paid: bool = True, status: MilestoneStatus = MilestoneStatus.SUBMITTED) -> Quarrel:
    """A dispute about a delivered milestone of 1,000.00 USD, opened by its client."""
    hire, milestone = await a_held_milestone(status)
    if paid:
        await pay(milestone, hire.client)
    made = await guard.commit(
        disputes.open_dispute,
        milestone.id,
        user_id=hire.client.id,
        reason=DisputeReason.QUALITY,
        description="It falls apart.",
    )
    return Quarrel(hire, milestone, made.id, await factories.an_admin())


async def fire_due() -> int:
    """Carry out every deadline that is due, as its job would; how many there were."""
    due = [one["id"] for one in await guard.rows(DUE)]
    for timer_id in due:
        timer = await timers.find(timer_id)
        assert timer is not None
        await guard.commit(deadlines.VERBS[timer.kind], timer)
    return len(due)


async def after(**much: float) -> int:
    """Let so much business time pass, and carry out what is due then."""
    await clock.ahead(**much)
    return await fire_due()


async def running(subject_id: int, prefix: str) -> list[str]:
    """The kinds of a subject's deadlines that run."""
    found = await guard.rows(
        "select kind from timers where subject_id = $1 and kind like $2 || '.%' and fired_at is null order by kind",
        subject_id,
        prefix,
    )
    return [one["kind"] for one in found]
