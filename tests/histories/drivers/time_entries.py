"""Time entries: a clock that is stopped, hours that are shown to the client, decided, mended; and the week's own ends."""

from models import guard, time_clocks, time_entries, timesheets
from models.states import Part
from models.time_entries import Change
from models.timers import TimerKind
from tests.histories.drivers.weeks import UNBUILT, Hours
from tests.histories.driving import PEOPLE, Effects, effects, fire, make_due

ENDS_WEEK = ("stop", "submit")
"""By the system: with the week, which is closed once."""
ASKED = effects(tells="week_submitted", mails="week_submitted", timers="week.approve")
PAID = effects(tells="week_approved")
AGAIN = effects(timers="week.approve")
EARLIER = "update time_entries set started_at = started_at - interval '2 hours' where id = $1"
SOONER = "update timers set due_at = due_at - interval '1 hour' where kind = 'week.approve' and subject_id = $1"


class TimeEntries(Hours):
    machine = time_entries.MACHINE
    table = "time_entries"
    doors = {
        "stop": (*PEOPLE, Part.SYSTEM),
        "submit": (*PEOPLE, Part.SYSTEM),
        "approve": (*PEOPLE, Part.SYSTEM),
        "reject": PEOPLE,
        "edit": PEOPLE,
    }
    owed = {"invoice": UNBUILT}

    async def begin(self) -> None:
        await super().begin()
        made = await guard.commit(
            time_clocks.start,
            self.contract.id,
            freelancer_id=self.freelancer.id,
            description="Work.",
            is_billable=True,
        )
        self.id, self.week_id, self.week, self.caller = made.id, made.week_id, "open", ""
        await guard.rows(EARLIER, self.id)

    async def state(self) -> str:
        self.week = await guard.value("select status from time_weeks where id = $1", self.week_id)
        return await super().state()

    async def prepare(self, verb: str, who: str) -> None:
        self.week_was, self.caller = self.week, who
        if who == Part.SYSTEM:
            await make_due(TimerKind.WEEK_CLOSE if verb in ENDS_WEEK else TimerKind.WEEK_APPROVE, self.week_id)
        else:
            # The five working days began a while ago: whatever begins them anew is seen to do so.
            await guard.rows(SOONER, self.week_id)

    def follows(self, state: str, verb: str, who: str) -> str | None:
        if who == Part.SYSTEM and verb in ENDS_WEEK:
            return self._closed(state)
        if who == Part.SYSTEM and verb == "approve":
            return self._approved(state)
        if verb in ("edit", "submit") and self.week not in ("open", "in_review"):
            return None
        if (state, verb, who) == ("draft", "edit", Part.FREELANCER):
            return state
        return super().follows(state, verb, who)

    def _closed(self, state: str) -> str | None:
        """An open week is closed, whatever its entry is."""
        if self.week != "open":
            return None
        return "submitted" if state in ("running", "draft") else state

    def _approved(self, state: str) -> str | None:
        """A week in review is approved: what is submitted with it, and nothing else."""
        if self.week != "in_review":
            return None
        return "approved" if state == "submitted" else state

    def wanted(self, state: str, verb: str, target: str) -> Effects:
        if self.caller == Part.SYSTEM and verb in ENDS_WEEK:
            return PAID if target == "approved" else ASKED
        if verb == "approve":
            return PAID if self.week_was == "in_review" and target == "approved" else effects()
        more = AGAIN if verb == "submit" and self.week_was == "in_review" else effects()
        return more | super().wanted(state, verb, target)

    async def stop(self, who: str) -> None:
        if who == Part.SYSTEM:
            await fire(TimerKind.WEEK_CLOSE, self.week_id)
        else:
            await guard.commit(time_clocks.stop, self.id, freelancer_id=self.person(who))

    async def submit(self, who: str) -> None:
        if who == Part.SYSTEM:
            await fire(TimerKind.WEEK_CLOSE, self.week_id)
        else:
            await guard.commit(time_entries.submit, self.id, freelancer_id=self.person(who))

    async def approve(self, who: str) -> None:
        if who == Part.SYSTEM:
            await fire(TimerKind.WEEK_APPROVE, self.week_id)
        else:
            await guard.commit(timesheets.approve_entry, self.id, client_id=self.person(who))

    async def reject(self, who: str) -> None:
        await guard.commit(timesheets.reject_entry, self.id, client_id=self.person(who), reason="Not yours.")

    async def edit(self, who: str) -> None:
        change = Change(description="Work, and what it was.")
        await guard.commit(time_entries.edit, self.id, change, freelancer_id=self.person(who))
