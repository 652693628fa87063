"""Milestones, with the verbs that payments and releases really call: only the provider is made up."""

from models import disputes, guard, mediation, milestones, plans, refund_requests
from models.disputes import DisputeReason
from models.escrow import funding, releasing
from models.milestones import MilestoneStatus
from models.payments import IntentSeen
from models.states import Part
from models.timers import TimerKind
from tests import factories
from tests.histories.driving import HAND, PEOPLE, Driver, Effects, effects, fire, make_due

AMOUNT = 1_001


class Milestones(Driver):
    machine = milestones.MACHINE
    table = "milestones"
    doors = {
        **dict.fromkeys(("request_funding", "submit", "cancel", "request_changes", "open_dispute"), PEOPLE),
        **dict.fromkeys(("accept_refund", "request_release"), (*PEOPLE, Part.SYSTEM)),
        **dict.fromkeys(("complete_funding", "complete_canceling", "complete_release", "abandon_release"), HAND),
        **dict.fromkeys(("lapse", "settle_dispute"), HAND),
    }
    also = {"settle_dispute": effects(tells="dispute_closed")}

    async def begin(self) -> None:
        made = await factories.a_milestone(await self.cast.contract(), amount="10.01")
        # Due soon, so that its card is held and not charged: a hold can lapse.
        await guard.rows("update milestones set due_date = current_date where id = $1", made.id)
        self.id, self.share, self.dispute_id = made.id, 10_000, 0

    async def prepare(self, verb: str, who: str) -> None:
        state = await self.state()
        await guard.rows(
            "update payments set intent_id = 'pi_' || id where milestone = $1 and intent_id is null", self.id
        )
        if verb == "complete_canceling" and state == "funding":
            await guard.commit(funding.begin_canceling, await self._newest("payments"), "card_declined")
        if verb == "request_release":
            await make_due(TimerKind.MILESTONE_APPROVE, self.id)
        if verb == "accept_refund":
            await self._ask(state)
        if verb == "settle_dispute" and state == "disputed":
            await self._decide()

    async def _ask(self, state: str) -> None:
        if self.machine.may(MilestoneStatus(state), "accept_refund") and not await self._open_request():
            client = self.person(Part.CLIENT)
            await guard.commit(refund_requests.ask, self.id, client_id=client, amount=None, reason="Please.")
        await make_due(TimerKind.REFUND_REQUEST_LAPSE, await self._open_request())

    async def _decide(self) -> None:
        self.share = self.chance.choice((10_000, 2_500))
        judge = self.cast.judges[0].id
        await guard.commit(mediation.assign, self.dispute_id, to=judge, admin_id=judge)
        await guard.commit(mediation.resolve, self.dispute_id, admin_id=judge, share_bp=self.share, reason="So.")
        await make_due(TimerKind.DISPUTE_APPEAL, self.dispute_id)

    async def _open_request(self) -> int:
        found = await guard.value("select id from refund_requests where milestone = $1 and status = 'open'", self.id)
        return found or 0

    async def _newest(self, table: str) -> int:
        found = await guard.value(f"select id from {table} where milestone = $1 order by id desc limit 1", self.id)
        return found or 0

    def follows(self, state: str, verb: str, who: str) -> str | None:
        if verb == "settle_dispute" and state == "disputed":
            return "releasing" if self.share == 10_000 else "settling"
        return super().follows(state, verb, who)

    def wanted(self, state: str, verb: str, target: str) -> Effects:
        # The dispute ends with the money that it was about.
        more = effects(tells="dispute_closed") if (state, verb) == ("disputed", "lapse") else Effects()
        return super().wanted(state, verb, target) | more

    async def _seen(self, status: str) -> IntentSeen:
        intent_id = await guard.value("select intent_id from payments where id = $1", await self._newest("payments"))
        return IntentSeen(
            intent_id=intent_id or "",
            status=status,
            amount_minor=AMOUNT,
            amount_received_minor=AMOUNT if status == "succeeded" else 0,
            currency="usd",
            charge_id=None,
            capture_before=None,
            client_secret_sealed=None,
        )

    async def request_funding(self, who: str) -> None:
        await guard.commit(
            funding.request_funding,
            self.id,
            caller_id=self.person(who),
            payment_method_id="pm_card_visa",
            policy=factories.POLICY,
        )

    async def cancel(self, who: str) -> None:
        await guard.commit(plans.cancel, self.id, client_id=self.person(who))

    async def complete_funding(self, who: str) -> None:
        seen = await self._seen("requires_capture")
        await guard.commit(funding.complete_funding, await self._newest("payments"), seen)

    async def complete_canceling(self, who: str) -> None:
        await guard.commit(funding.complete_canceling, await self._newest("payments"))

    async def submit(self, who: str) -> None:
        await guard.commit(milestones.submit, self.id, freelancer_id=self.person(who), note="Done.")

    async def request_changes(self, who: str) -> None:
        await guard.commit(plans.request_changes, self.id, client_id=self.person(who), note="Bigger.")

    async def request_release(self, who: str) -> None:
        if who == Part.SYSTEM:
            await fire(TimerKind.MILESTONE_APPROVE, self.id)
        else:
            await guard.commit(releasing.request_release, self.id, caller_id=self.person(who))

    async def complete_release(self, who: str) -> None:
        seen = await self._seen("succeeded")
        await guard.commit(releasing.complete_release, await self._newest("releases"), seen, None)

    async def abandon_release(self, who: str) -> None:
        await guard.commit(releasing.abandon_release, await self._newest("releases"), "The bank said no.")

    async def lapse(self, who: str) -> None:
        await guard.commit(funding.lapse, await self._newest("payments"))

    async def open_dispute(self, who: str) -> None:
        made = await guard.commit(
            disputes.open_dispute,
            self.id,
            user_id=self.person(who),
            reason=DisputeReason.QUALITY,
            description="It falls apart.",
        )
        self.dispute_id = made.id

    async def accept_refund(self, who: str) -> None:
        if who == Part.SYSTEM:
            await fire(TimerKind.REFUND_REQUEST_LAPSE, await self._newest("refund_requests"))
        else:
            await guard.commit(refund_requests.accept, self.id, freelancer_id=self.person(who))

    async def settle_dispute(self, who: str) -> None:
        await fire(TimerKind.DISPUTE_APPEAL, self.dispute_id)
