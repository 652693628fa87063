"""Disputes: opened by either party; one admin assigns, a second one decides, a third hears the appeal."""

from typing import Any

from models import disputes, evidence, guard, mediation
from models.disputes import DisputeReason
from models.milestones import MilestoneStatus
from models.states import Part
from models.timers import TimerKind
from tests import factories, quarrels
from tests.histories.driving import HAND, PEOPLE, Driver, effects, fire, make_due

CLOCKS = {
    "end_answer": TimerKind.DISPUTE_ANSWER,
    "end_evidence": TimerKind.DISPUTE_EVIDENCE,
    "end_appeal": TimerKind.DISPUTE_APPEAL,
}
SHARES = (0, 3_333, 10_000)


class Disputes(Driver):
    machine = disputes.MACHINE
    table = "disputes"
    doors = {
        "answer": PEOPLE,
        "assign": (Part.ADMIN,),
        "resolve": PEOPLE,
        "appeal": PEOPLE,
        "lapse": HAND,
        **dict.fromkeys(CLOCKS, HAND),
    }
    staying = {"answer": effects(tells="dispute_answered"), "assign": effects(tells="dispute_assigned")}

    async def begin(self) -> None:
        contract = await self.cast.contract()
        milestone = await factories.a_milestone(contract, amount="10.01", status=MilestoneStatus.FUNDED)
        if self.chance.random() < 0.7:
            await quarrels.pay(milestone, self.cast.people[Part.CLIENT])
        self.milestone_id = milestone.id
        self.opener = self.chance.choice((Part.CLIENT, Part.FREELANCER))
        made = await guard.commit(
            disputes.open_dispute,
            milestone.id,
            user_id=self.person(self.opener),
            reason=DisputeReason.LATE,
            description="Weeks late.",
        )
        self.id = made.id

    async def prepare(self, verb: str, who: str) -> None:
        if verb in CLOCKS:
            await make_due(CLOCKS[verb], self.id)
        if (
            verb == "resolve"
            and await self._row("assignee") is None
            and await self.state() in ("mediation", "appealed")
        ):
            await self.assign(Part.ADMIN)

    def follows(self, state: str, verb: str, who: str) -> str | None:
        if verb == "answer" and who in (Part.CLIENT, Part.FREELANCER) and state not in ("resolved", "closed"):
            return "evidence" if state == "open" and who != self.opener else state
        if verb == "assign" and state in ("mediation", "appealed"):
            return state
        return super().follows(state, verb, who)

    async def _row(self, column: str) -> Any:
        return await guard.value(f"select {column} from disputes where id = $1", self.id)

    async def answer(self, who: str) -> None:
        await guard.commit(evidence.add, self.id, user_id=self.person(who), note="See.")

    async def assign(self, who: str) -> None:
        judge = self.cast.judges[await self._row("appealed_by") is not None]
        await guard.commit(mediation.assign, self.id, to=judge.id, admin_id=self.person(who))

    async def resolve(self, who: str) -> None:
        # The part of an admin is played by whom it is assigned to.
        judge = await self._row("assignee") if who == Part.ADMIN else None
        share = self.chance.choice(SHARES)
        await guard.commit(
            mediation.resolve, self.id, admin_id=judge or self.person(who), share_bp=share, reason="So it is."
        )

    async def appeal(self, who: str) -> None:
        await guard.commit(mediation.appeal, self.id, user_id=self.person(who), reason="No.")

    async def end_answer(self, who: str) -> None:
        await fire(TimerKind.DISPUTE_ANSWER, self.id)

    async def end_evidence(self, who: str) -> None:
        await fire(TimerKind.DISPUTE_EVIDENCE, self.id)

    async def end_appeal(self, who: str) -> None:
        await fire(TimerKind.DISPUTE_APPEAL, self.id)

    async def lapse(self, who: str) -> None:
        await guard.commit(mediation.lapse, self.milestone_id)
