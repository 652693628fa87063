"""Proposals: decided by the project's client, or taken back."""

from models import acceptance, bids, guard, proposals
from models.states import Part
from tests import factories
from tests.histories.driving import PEOPLE, Driver, effects


class Proposals(Driver):
    machine = proposals.MACHINE
    table = "proposals"
    doors = dict.fromkeys(("accept", "reject", "shortlist", "withdraw"), PEOPLE)
    also = {"accept": effects(tells="proposal_rejected", events="project_update milestone_update")}

    async def begin(self) -> None:
        project = await factories.a_project(self.cast.people[Part.CLIENT])
        self.id = (await factories.a_proposal(project, self.cast.people[Part.FREELANCER])).id
        await factories.a_proposal(project)  # a rival, who is told

    async def accept(self, who: str) -> None:
        await guard.commit(acceptance.accept, self.id, client_id=self.person(who), policy=factories.POLICY)

    async def reject(self, who: str) -> None:
        await guard.commit(bids.reject, self.id, client_id=self.person(who))

    async def shortlist(self, who: str) -> None:
        await guard.commit(bids.shortlist, self.id, client_id=self.person(who))

    async def withdraw(self, who: str) -> None:
        await guard.commit(bids.withdraw, self.id, freelancer_id=self.person(who))
