"""Uploads: announced by their owner, looked at by a job, forgotten when nothing comes. Nothing lies in storage."""

from models import guard, uploads
from models.states import Part
from models.timers import TimerKind
from tests import factories, files
from tests.histories.driving import HAND, STRANGER, Driver, fire, make_due


class Uploads(Driver):
    machine = uploads.MACHINE
    table = "uploads"
    doors = {
        "complete": (Part.OWNER, Part.ADMIN, STRANGER),
        **dict.fromkeys(("accept", "refuse", "expire"), HAND),
    }

    async def begin(self) -> None:
        # Of each person a day takes only so many.
        self.owner = await factories.a_freelancer()
        self.id = (await files.announced(self.owner)).id

    def person(self, who: str) -> int:
        return self.owner.id if who == Part.OWNER else super().person(who)

    async def prepare(self, verb: str, who: str) -> None:
        if verb == "expire":
            await make_due(TimerKind.UPLOAD_EXPIRE, self.id)

    async def complete(self, who: str) -> None:
        await guard.commit(uploads.complete, self.id, user_id=self.person(who))

    async def accept(self, who: str) -> None:
        await guard.commit(uploads.accept, self.id, f"tests/kept/{self.id}")

    async def refuse(self, who: str) -> None:
        await guard.commit(uploads.refuse, self.id, "It is no PDF.")

    async def expire(self, who: str) -> None:
        await fire(TimerKind.UPLOAD_EXPIRE, self.id)
