"""Counter-offers: one side makes one, the other side answers."""

from decimal import Decimal

from models import counter_offers, guard
from models.counter_offers import Terms
from models.states import Part
from tests import factories
from tests.histories.driving import PEOPLE, Driver, effects

PARTIES = {Part.CLIENT, Part.FREELANCER}


class CounterOffers(Driver):
    machine = counter_offers.MACHINE
    table = "counter_offers"
    doors = dict.fromkeys(("accept", "decline", "withdraw", "counter_offer"), PEOPLE)
    staying = {
        "counter_offer": effects(
            tells="counter_offer_received", mails="counter_offer_received", events="proposal_update"
        )
    }

    async def begin(self) -> None:
        project = await factories.a_project(self.cast.people[Part.CLIENT])
        self.proposal_id = (await factories.a_proposal(project, self.cast.people[Part.FREELANCER])).id
        self.author = self.chance.choice(sorted(PARTIES))
        await self.counter_offer(self.author)
        self.id = await guard.value("select max(id) from counter_offers")

    async def prepare(self, verb: str, who: str) -> None:
        # Whoever answers means this one: a later one is out of the way.
        await guard.rows(
            "update counter_offers set status = 'declined' where proposal = $1 and id <> $2 and status = 'open'",
            self.proposal_id,
            self.id,
        )

    def follows(self, state: str, verb: str, who: str) -> str | None:
        if verb == "counter_offer" and who in PARTIES and state != "open":
            return state  # a new one, which leaves the old one as it is
        if verb != "counter_offer" and (who == self.author) != (verb == "withdraw"):
            return None
        return super().follows(state, verb, who)

    async def counter_offer(self, who: str) -> None:
        terms = Terms(bid_amount=Decimal(self.chance.randint(500, 900)), delivery_days=9, message="So?", milestones=[])
        await guard.commit(counter_offers.make, self.proposal_id, terms, user_id=self.person(who))

    async def accept(self, who: str) -> None:
        await guard.commit(counter_offers.accept, self.proposal_id, user_id=self.person(who))

    async def decline(self, who: str) -> None:
        await guard.commit(counter_offers.decline, self.proposal_id, user_id=self.person(who))

    async def withdraw(self, who: str) -> None:
        await guard.commit(counter_offers.withdraw, self.proposal_id, user_id=self.person(who))
