"""Support tickets: an owner asks, support answers and solves, the owner says whether it is solved."""

from models import guard, helpdesk, support
from models.states import Part
from models.support import TicketCategory, TicketPriority
from models.timers import TimerKind
from tests import factories
from tests.histories.driving import STRANGER, Driver, Effects, effects, fire, make_due

ANSWERED = effects(tells="ticket_replied", mails="ticket_replied")


class Tickets(Driver):
    machine = support.MACHINE
    table = "support_tickets"
    doors = {
        "assign": (Part.ADMIN,),
        "reply": (Part.OWNER, Part.ADMIN, STRANGER),
        "resolve": (Part.ADMIN,),
        "close": (Part.OWNER, Part.ADMIN, STRANGER, Part.SYSTEM),
    }

    async def begin(self) -> None:
        # Of each person only so many are open at once.
        self.owner = await factories.a_client()
        made = await guard.commit(
            support.open_ticket,
            self.owner.id,
            subject="My payout",
            message="Where is it?",
            priority=self.chance.choice(list(TicketPriority)),
            category=TicketCategory.PAYMENT,
        )
        self.id, self.speaker = made.id, ""

    def person(self, who: str) -> int:
        return self.owner.id if who == Part.OWNER else super().person(who)

    async def prepare(self, verb: str, who: str) -> None:
        if who == Part.SYSTEM:
            await make_due(TimerKind.TICKET_CLOSE, self.id)

    def follows(self, state: str, verb: str, who: str) -> str | None:
        target = super().follows(state, verb, who)
        stays = (verb == "reply" and who != STRANGER and state != "closed") or (
            verb == "assign" and state in ("in_progress", "waiting")
        )
        return state if target is None and stays else target

    def wanted(self, state: str, verb: str, target: str) -> Effects:
        if verb == "reply" and state == target and self.speaker == Part.ADMIN:
            return ANSWERED
        return super().wanted(state, verb, target)

    async def assign(self, who: str) -> None:
        await guard.commit(helpdesk.assign, self.id, self.chance.choice(self.cast.judges).id, by=self.person(who))

    async def reply(self, who: str) -> None:
        self.speaker = who
        admin = who == Part.ADMIN
        await guard.commit(helpdesk.reply, self.id, "One more thing.", user_id=self.person(who), admin=admin)

    async def resolve(self, who: str) -> None:
        message = self.chance.choice((None, "It is on its way."))
        await guard.commit(helpdesk.resolve, self.id, message, by=self.person(who))

    async def close(self, who: str) -> None:
        if who == Part.SYSTEM:
            await fire(TimerKind.TICKET_CLOSE, self.id)
        else:
            await guard.commit(helpdesk.close, self.id, user_id=self.person(who), admin=who == Part.ADMIN)
