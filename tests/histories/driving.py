"""What a history is made of: people, a subject, and somebody who knows how to call each verb of its machine."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from random import Random
from typing import Any, ClassVar, Final

import msgspec

from models import contracts, deadlines, guard
from models.accounts import Person
from models.contracts import ContractRow
from models.states import Edge, Machine, Part
from models.timers import TimerKind, TimerRow
from tests import factories
from tests.histories import moves

STRANGER: Final = "stranger"
"""Somebody who has nothing to do with the subject: on no edge."""
PEOPLE: Final = (Part.CLIENT, Part.FREELANCER, Part.ADMIN, STRANGER)
PARTIES: Final = (Part.CLIENT, Part.FREELANCER, STRANGER)
HAND: Final = (Part.SYSTEM,)


class Effects(msgspec.Struct, frozen=True):
    """What a change writes for others, by name; `timers` are the deadlines that it sets."""

    tells: frozenset[str] = frozenset()
    mails: frozenset[str] = frozenset()
    events: frozenset[str] = frozenset()
    timers: frozenset[str] = frozenset()

    def __or__(self, other: "Effects") -> "Effects":
        """Both."""
        return Effects(
            self.tells | other.tells, self.mails | other.mails, self.events | other.events, self.timers | other.timers
        )


def effects(*, tells: str = "", mails: str = "", events: str = "", timers: str = "") -> Effects:
    """Effects as they are written down: names with spaces between."""
    return Effects(*(frozenset(names.split()) for names in (tells, mails, events, timers)))


def of_edges(*edges: Edge[Any]) -> Effects:
    """What these edges declare, together."""
    made = Effects()
    for edge in edges:
        timers = frozenset({edge.timer} - {""})
        made |= Effects(frozenset(edge.tells), frozenset(edge.mails), frozenset(edge.events), timers)
    return made


def edge_of(machine: Machine[Any], source: str, target: str, verb: str) -> Edge[Any]:
    """The edge of a machine; there has to be one."""
    [found] = [one for one in machine.edges if (one.source, one.target, one.verb) == (source, target, verb)]
    return found


class Cast:
    """The people of one database: the same for all its histories, so that a history is quickly begun."""

    def __init__(self, people: dict[str, Person], judges: tuple[Person, Person]) -> None:
        self.people = people
        self.judges = judges
        self._contract: ContractRow | None = None
        self._room = 0
        self.hours: tuple[Person, ContractRow, datetime] | None = None
        """Who works by the hour, under which contract, and a moment of the last week that was walked."""

    @classmethod
    async def gather(cls) -> "Cast":
        """Make them, in a database that notes down from now on what moves."""
        await moves.watch()
        people = {
            Part.CLIENT: await factories.a_client(),
            Part.FREELANCER: await factories.a_freelancer(),
            Part.ADMIN: await factories.an_admin(),
            STRANGER: await factories.a_client(),
        }
        return cls({str(part): one for part, one in people.items()},
                   (await factories.an_admin(), await factories.an_admin()))  # fmt: skip

    async def contract(self) -> ContractRow:
        """A signed contract of the client with the freelancer that takes another milestone."""
        if not self._room:
            made = await factories.a_contract(self.people[Part.CLIENT], self.people[Part.FREELANCER])
            self._contract, self._room = made, 40
        self._room -= 1
        assert self._contract is not None
        return await contracts.read(self._contract.id, user_id=self._contract.client_id, admin=False)


class Driver:
    """Walks one machine. What a subclass says stands at the top of this package."""

    machine: ClassVar[Machine[Any]]
    table: ClassVar[str]
    doors: ClassVar[dict[str, tuple[str, ...]]]
    also: ClassVar[dict[str, Effects]] = {}
    staying: ClassVar[dict[str, Effects]] = {}
    owed: ClassVar[dict[str, str]] = {}
    bare: ClassVar[tuple[str, ...]] = ()

    def __init__(self, cast: Cast, chance: Random) -> None:
        self.cast = cast
        self.chance = chance
        self.id = 0

    async def begin(self) -> None:
        """Make a subject in the machine's first state."""
        raise NotImplementedError

    async def prepare(self, verb: str, who: str) -> None:
        """What a verb needs beside the state."""

    async def state(self) -> str:
        """The subject's state, as its row has it."""
        found: str = await guard.value(f"select status from {self.table} where id = $1", self.id)
        return found

    async def call(self, verb: str, who: str) -> None:
        """Call a verb as somebody."""
        door: Callable[[str], Awaitable[None]] = getattr(self, verb)
        await door(who)

    def person(self, who: str) -> int:
        """The id of whoever plays this part."""
        return self.cast.people[who].id

    def follows(self, state: str, verb: str, who: str) -> str | None:
        """The state after this call; the same one when it succeeds without a change, None when it must be refused."""
        targets = {one.target.value for one in self.edges(state, verb, who)}
        assert len(targets) <= 1, f"{verb} leads from {state} to {targets}: say which in `follows`"
        return next(iter(targets), None)

    def edges(self, state: str, verb: str, who: str) -> list[Edge[Any]]:
        """The machine's edges for these three."""
        return [one for one in self.machine.edges if one.source == state and one.verb == verb and who in one.by]

    def wanted(self, state: str, verb: str, target: str) -> Effects:
        """What a call must write that leads from `state` to `target`."""
        if state == target:
            return self.staying.get(verb, Effects())
        return of_edges(edge_of(self.machine, state, target, verb)) | self.also.get(verb, Effects())


async def make_due(kind: TimerKind, subject_id: int) -> None:
    """Let a deadline fall due, if it is set; nobody else's does."""
    await guard.rows(
        """update timers set due_at = business_now() - interval '1 second'
            where kind = $1 and subject_id = $2 and fired_at is null""",
        kind.value,
        subject_id,
    )


async def fire(kind: TimerKind, subject_id: int) -> None:
    """Carry out a deadline as its job would. One that is not set has been cleared while its job waited."""
    found = await guard.row(
        "select id, due_at from timers where kind = $1 and subject_id = $2 and fired_at is null", kind.value, subject_id
    )
    known = (found["id"], found["due_at"]) if found else (0, datetime.now(UTC))
    timer = TimerRow(id=known[0], kind=kind, subject_id=subject_id, due_at=known[1])
    await guard.commit(deadlines.VERBS[kind], timer)
