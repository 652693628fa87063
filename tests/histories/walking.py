"""The walk: which call comes next, what must come of it, and whether it did."""

from collections import Counter
from random import Random
from typing import Any, Final

import msgspec

from models import guard
from models.errors import DomainError
from models.states import Machine, Part
from tests.histories import moves
from tests.histories.driving import Driver, Effects

STEPS: Final = 18
"""Calls of one history: the longest way through a machine, and as many refusals."""
ONWARDS: Final = 0.6
"""How many of the calls are chosen from those that must succeed; a refusal may also come of the others."""
FAR: Final = 8
NEARER: Final = 6
"""How much likelier a call is for each step that it is nearer to an edge which was never taken."""
AFTER_THE_END: Final = 4
"""Calls in a state that no door leads out of."""
WORKING: Final = {"notification", "payment_update"}
"""Events that are not a machine's: every notification is one, and payments have their own."""

MARKS: Final = """
select (select coalesce(max(id), 0) from notifications) as notifications, (select coalesce(max(id), 0) from mails) as mails,
       (select coalesce(max(id), 0) from events) as events, (select coalesce(max(id), 0) from moves) as moves
"""
WRITTEN: Final = """
select 'tells' as what, "user"::text as whom, type as name, data::text as said from notifications where id > $1
union all select 'mails', "user"::text, kind, context::text from mails where id > $2
union all select 'events', audience, name, payload::text from events where id > $3
"""


class Tally(msgspec.Struct):
    """What the histories of one machine did."""

    histories: int = 0
    steps: int = 0
    taken: Counter[tuple[str, str, str, str]] = msgspec.field(default_factory=Counter)
    """(from, verb, to, who): successes, those without a change among them."""
    refused: Counter[tuple[str, str, str]] = msgspec.field(default_factory=Counter)
    """(state, verb, who)."""

    def edges(self, machine: Machine[Any]) -> dict[tuple[str, str, str], int]:
        """Each edge of the machine as (from, verb, to), and how often it was taken, by whomever."""
        counted = Counter[tuple[str, str, str]]()
        for (source, verb, target, _), times in self.taken.items():
            counted[source, verb, target] += times
        return {key: counted[key] for key in ((e.source.value, e.verb, e.target.value) for e in machine.edges)}


class Walk:
    """One history of one subject."""

    def __init__(self, driver: Driver, chance: Random, tally: Tally) -> None:
        self._driver = driver
        self._chance = chance
        self._tally = tally
        self._said: list[str] = []

    async def go(self) -> None:
        """Walk it. Raises AssertionError with the whole history where the table was not kept to."""
        driver = self._driver
        await driver.begin()
        state = await driver.state()
        assert state == driver.machine.start, f"a {driver.machine.noun} begins {state}"
        self._tally.histories += 1
        over = 0
        for _ in range(STEPS):
            verb, who = self._pick(state)
            over += not any(edge.source == state and edge.verb in driver.doors for edge in driver.machine.edges)
            if over > AFTER_THE_END:
                return
            try:
                state = await self._step(state, verb, who)
            except BaseException as wrong:
                wrong.add_note(f"{driver.machine.noun} {driver.id}: " + "; ".join(self._said))
                raise

    def _pick(self, state: str) -> tuple[str, str]:
        """A call by chance. What was seldom tried, or leads to it, comes more often."""
        every = [(verb, who) for verb, parts in self._driver.doors.items() for who in parts]
        allowed = [one for one in every if self._driver.follows(state, *one) is not None]
        onwards = bool(allowed) and self._chance.random() < ONWARDS
        among = allowed if onwards else every
        weights = [1 / (1 + self._tried(state, *one)) ** 2 for one in among]
        if onwards:
            weights = [old * self._promise(state, *one) for old, one in zip(weights, among, strict=True)]
        [picked] = self._chance.choices(among, weights=weights)
        return picked

    def _tried(self, state: str, verb: str, who: str) -> int:
        taken = (
            n for (source, name, _, by), n in self._tally.taken.items() if (source, name, by) == (state, verb, who)
        )
        return sum(taken) + self._tally.refused[state, verb, who]

    def _promise(self, state: str, verb: str, who: str) -> float:
        """How much there is to see behind a call: an edge that was never taken, or a state with many ways on."""
        target = self._driver.follows(state, verb, who)
        onwards = sum(edge.source == target for edge in self._driver.machine.edges)
        return float(NEARER ** -self._far(state, verb, who) * (onwards + 0.3))

    def _far(self, state: str, verb: str, who: str) -> int:
        """How many more edges from this call to the nearest one that nobody took yet; FAR where there is none."""
        counted = self._tally.edges(self._driver.machine)
        target = self._driver.follows(state, verb, who)
        if counted.get((state, verb, target or ""), 1) == 0:
            return 0
        seen, front = {target}, {target}
        for steps in range(1, FAR):
            edges = [key for key in counted if key[0] in front]
            if any(counted[key] == 0 and key[1] in self._driver.doors for key in edges):
                return steps
            front = {key[2] for key in edges} - seen
            seen |= front
        return FAR

    async def _step(self, state: str, verb: str, who: str) -> str:
        driver = self._driver
        await driver.prepare(verb, who)
        target = driver.follows(state, verb, who)
        self._said.append(f"{state}: {verb} by {who} → {target or 'refused'}")
        self._tally.steps += 1
        if target is None:
            await self._see_refused(state, verb, who)
            return state
        marks = dict(await guard.only(MARKS))
        refusal = await self._called(verb, who)
        found = await driver.state()
        assert refusal is None, f"{verb} by {who} was refused: {refusal!r}"
        assert found == target, f"{verb} by {who} led from {state} to {found}, not to {target}"
        wrote, twice = await _written(marks)
        assert twice == [], f"{verb} wrote twice: {twice}"
        if verb not in driver.bare:
            _compare(wrote, driver.wanted(state, verb, target), f"{state} → {target} by {verb}")
        self._tally.taken[state, verb, target, who] += 1
        return target

    async def _see_refused(self, state: str, verb: str, who: str) -> None:
        """Call what must be refused, and see that no row of any table moved."""
        before = await moves.mark()
        refusal = await self._called(verb, who)
        # A deadline that was cleared refuses nobody: its job finds that there is nothing to do.
        assert refusal or who == Part.SYSTEM, f"{verb} by {who} was not refused"
        moved = await moves.tables_since(before)
        assert moved == set(), f"{verb} by {who} was refused and moved {moved}"
        self._tally.refused[state, verb, who] += 1

    async def _called(self, verb: str, who: str) -> DomainError | None:
        try:
            await self._driver.call(verb, who)
        except DomainError as refusal:
            return refusal
        return None


def _compare(wrote: Effects, wanted: Effects, step: str) -> None:
    for name in ("tells", "mails", "events"):
        assert getattr(wrote, name) == getattr(wanted, name), (
            f"{step}: {name} {sorted(getattr(wrote, name))}, declared {sorted(getattr(wanted, name))}"
        )
    # An edge names its deadline; the reminders before it are of the same noun.
    nouns = {kind.split(".")[0] for kind in wanted.timers}
    assert wanted.timers <= wrote.timers, f"{step}: set {sorted(wrote.timers)}, declared {sorted(wanted.timers)}"
    assert {kind.split(".")[0] for kind in wrote.timers} == nouns, f"{step}: set {sorted(wrote.timers)}"


async def _written(marks: dict[str, int]) -> tuple[Effects, list[tuple[Any, ...]]]:
    """What was written since, by name, and what of it twice to the same person."""
    found = await guard.rows(WRITTEN, marks["notifications"], marks["mails"], marks["events"])
    said = Counter(tuple(one) for one in found)
    names = {what: frozenset(one["name"] for one in found if one["what"] == what) for what in ("tells", "mails")}
    wrote = Effects(
        **names,
        events=frozenset(one["name"] for one in found if one["what"] == "events") - WORKING,
        timers=await moves.timers_since(marks["moves"]),
    )
    return wrote, [one for one, times in said.items() if times > 1]
