"""Contracts: two signatures, and an end."""

from models import cancellation, completion, contracts, guard, milestones
from models.states import Part
from tests import factories
from tests.histories.driving import PEOPLE, Driver, Effects, effects

PARTIES = {Part.CLIENT, Part.FREELANCER}


class Contracts(Driver):
    machine = contracts.MACHINE
    table = "contracts"
    doors = {"sign": PEOPLE, "complete": (*PEOPLE, Part.SYSTEM), "cancel": PEOPLE}
    also = {"cancel": effects(events="milestone_update")}

    async def begin(self) -> None:
        people = self.cast.people
        made = await factories.a_contract(people[Part.CLIENT], people[Part.FREELANCER], signed=False)
        self.id, self.signed = made.id, set[str]()

    async def prepare(self, verb: str, who: str) -> None:
        # What is to be completed was paid for; what is to be cancelled was not.
        if verb in ("complete", "cancel") and await self.state() == "active":
            status = "released" if verb == "complete" else "pending"
            await guard.rows("update milestones set status = $2 where contract = $1", self.id, status)

    def follows(self, state: str, verb: str, who: str) -> str | None:
        if verb == "sign" and who in self.signed:
            return state
        if verb == "sign" and who in PARTIES and state == "pending_signature":
            return "active" if self.signed | {who} == PARTIES else state
        return super().follows(state, verb, who)

    def wanted(self, state: str, verb: str, target: str) -> Effects:
        first = verb == "sign" and target == "pending_signature" and self.news
        return effects(tells="contract_signed") if first else super().wanted(state, verb, target)

    async def sign(self, who: str) -> None:
        self.news = who not in self.signed
        await guard.commit(contracts.sign, self.id, user_id=self.person(who))
        self.signed.add(who)

    async def complete(self, who: str) -> None:
        if who != Part.SYSTEM:
            await guard.commit(completion.complete, self.id, client_id=self.person(who))
            return

        async def by_the_last_milestone() -> None:
            await milestones.complete_contract_if_done(await contracts.locked_with_project(self.id))

        await guard.commit(by_the_last_milestone)

    async def cancel(self, who: str) -> None:
        await guard.commit(cancellation.cancel, self.id, user_id=self.person(who), reason="No more.")
