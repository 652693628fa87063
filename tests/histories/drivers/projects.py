"""Projects: published, staffed, ended; with a contract they end as it does."""

from models import acceptance, cancellation, closures, completion, contracts, guard, projects
from models.states import Part
from tests import factories
from tests.histories.driving import HAND, PEOPLE, Driver, Effects, effects

A_PROPOSAL = """
insert into proposals (project, freelancer, cover_letter, bid_minor, currency, delivery_days)
select $1, $2, 'Hello.', 60000, 'USD', 7 where not exists (select 1 from proposals where project = $1)
"""
UNDECIDED = "select count(*) from proposals where project = $1 and status in ('submitted', 'shortlisted')"
PAID = "update milestones set status = 'released' where contract = $1 and status = 'pending'"
REJECTED = effects(tells="proposal_rejected", events="proposal_update")


class Projects(Driver):
    machine = projects.MACHINE
    table = "projects"
    doors = {
        **dict.fromkeys(("publish", "accept", "close", "cancel"), PEOPLE),
        **dict.fromkeys(("complete", "cancel_contract"), HAND),
    }
    also = {
        "accept": effects(
            tells="proposal_accepted contract_created",
            mails="proposal_accepted contract_created",
            events="proposal_update milestone_update",
        ),
        "complete": effects(tells="contract_completed", timers="contract.reviews"),
        "cancel_contract": effects(tells="contract_cancelled", mails="contract_cancelled", events="milestone_update"),
    }

    async def begin(self) -> None:
        self.id = (await factories.a_project(self.cast.people[Part.CLIENT], open=False)).id

    async def prepare(self, verb: str, who: str) -> None:
        if verb == "accept" or self.chance.random() < 0.2:
            await guard.rows(A_PROPOSAL, self.id, self.person(Part.FREELANCER))
        if verb == "complete" and await self.state() == "in_progress":
            await self._do_the_work()
        self.undecided = await guard.value(UNDECIDED, self.id)

    async def _do_the_work(self) -> None:
        contract_id = await self._contract()
        for party in (Part.CLIENT, Part.FREELANCER):
            await guard.commit(contracts.sign, contract_id, user_id=self.person(party))
        await guard.rows(PAID, contract_id)

    async def _contract(self) -> int:
        found = await guard.value("select id from contracts where project = $1", self.id)
        return found or 0

    def wanted(self, state: str, verb: str, target: str) -> Effects:
        # Whoever waits for a decision hears that there will be none.
        more = REJECTED if verb in ("close", "cancel") and self.undecided else effects()
        return more | super().wanted(state, verb, target)

    async def publish(self, who: str) -> None:
        await guard.commit(projects.publish, self.id, client_id=self.person(who))

    async def accept(self, who: str) -> None:
        proposal_id = await guard.value("select id from proposals where project = $1", self.id)
        await guard.commit(acceptance.accept, proposal_id, client_id=self.person(who), policy=factories.POLICY)

    async def close(self, who: str) -> None:
        await guard.commit(closures.close, self.id, client_id=self.person(who))

    async def cancel(self, who: str) -> None:
        await guard.commit(closures.cancel, self.id, client_id=self.person(who))

    async def complete(self, who: str) -> None:
        await guard.commit(completion.complete, await self._contract(), client_id=self.person(Part.CLIENT))

    async def cancel_contract(self, who: str) -> None:
        client_id = self.person(Part.CLIENT)
        await guard.commit(cancellation.cancel, await self._contract(), user_id=client_id, reason="No more.")
