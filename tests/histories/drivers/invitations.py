"""Invitations to a project that others do not see: answered by a proposal, or declined."""

from models import guard, invitations, proposals
from models.projects import Visibility
from models.states import Part
from tests import factories
from tests.histories.driving import PEOPLE, Driver, effects


class Invitations(Driver):
    machine = invitations.MACHINE
    table = "project_invitations"
    doors = dict.fromkeys(("propose", "decline"), PEOPLE)
    also = {"propose": effects(tells="proposal_received", mails="proposal_received", events="proposal_update")}

    async def begin(self) -> None:
        seen = self.chance.choice((Visibility.INVITE_ONLY, Visibility.PRIVATE))
        project = await factories.a_project(self.cast.people[Part.CLIENT], brief=factories.a_brief(visibility=seen))
        self.project_id = project.id
        made = await guard.commit(
            invitations.invite,
            project.id,
            self.person(Part.FREELANCER),
            client_id=self.person(Part.CLIENT),
            message="For you.",
        )
        self.id = made.id

    async def propose(self, who: str) -> None:
        offer = factories.an_offer()
        await guard.commit(proposals.submit, self.project_id, offer, freelancer_id=self.person(who))

    async def decline(self, who: str) -> None:
        await guard.commit(invitations.decline, self.id, freelancer_id=self.person(who))
