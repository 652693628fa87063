"""Reviews: one party's is in from the start; the other one's shows both, and so does the fourteenth day."""

from models import guard, reviews
from models.states import Part
from models.timers import TimerKind
from tests import reviewing
from tests.histories.driving import PEOPLE, Driver, fire, make_due

PARTIES = {Part.CLIENT, Part.FREELANCER}


class Reviews(Driver):
    machine = reviews.MACHINE
    table = "reviews"
    doors = {"show": (*PEOPLE, Part.SYSTEM)}

    async def begin(self) -> None:
        people = self.cast.people
        contract = await reviewing.a_completed_contract(people[Part.CLIENT], people[Part.FREELANCER])
        self.contract_id = contract.id
        self.author = self.chance.choice(sorted(PARTIES))
        self.id = (await reviewing.a_review(contract, self.person(self.author))).id

    async def prepare(self, verb: str, who: str) -> None:
        if who == Part.SYSTEM:
            await make_due(TimerKind.CONTRACT_REVIEWS, self.contract_id)

    def follows(self, state: str, verb: str, who: str) -> str | None:
        return None if who == self.author else super().follows(state, verb, who)

    async def show(self, who: str) -> None:
        if who == Part.SYSTEM:
            await fire(TimerKind.CONTRACT_REVIEWS, self.contract_id)
            return
        rating = self.chance.randint(reviews.MIN_RATING, reviews.MAX_RATING)
        await guard.commit(
            reviews.write, self.contract_id, reviewer_id=self.person(who), rating=rating, comment="It went well."
        )
