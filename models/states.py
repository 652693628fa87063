"""State machines as data: which state may follow which, by whose doing, and what that causes.

The tables stand with their nouns. From them come the refusals (409), docs/states.md with its diagrams, and the tests
that walk thousands of random histories: nothing else decides what may become of anything.
"""

from enum import StrEnum
from typing import Generic, TypeVar

from models.base import Record
from models.errors import WrongState

S = TypeVar("S", bound=StrEnum)


class Part(StrEnum):
    """Whose doing a change is: somebody's part in the thing, not a role of the platform."""

    CLIENT = "client"
    FREELANCER = "freelancer"
    OWNER = "owner"
    ADMIN = "admin"
    SYSTEM = "system"


class Edge(Record, Generic[S], frozen=True):
    """One permitted change: from, to, the verb that makes it and whose doing it is.

    `guard` says in words what else must hold. `tells`, `mails` and `events` are the notifications, mails and events
    that the change writes in its own transaction; `timer` is the deadline that it sets.
    """

    source: S
    target: S
    verb: str
    by: tuple[Part, ...]
    guard: str = ""
    tells: tuple[str, ...] = ()
    mails: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    timer: str = ""


class Machine(Record, Generic[S], frozen=True):
    """All permitted changes of one noun; a change that is not listed does not exist. It begins in `start`."""

    noun: str
    start: S
    edges: tuple[Edge[S], ...]

    def check(self, current: S, target: S, *, verb: str | None = None) -> None:
        """Raise WrongState unless `current` may become `target`, by this verb if one is named.

        The message says what it has to be.
        """
        ways = [edge for edge in self.edges if edge.target is target and verb in (None, edge.verb)]
        if any(edge.source is current for edge in ways):
            return
        wanted = " or ".join(sorted({edge.source.value for edge in ways}))
        said = (verb or (ways[0].verb if ways else "change")).replace("_", " ")
        raise WrongState(f"This {self.noun} is {current.value}: to {said} it, it has to be {wanted or 'otherwise'}.")

    def may(self, current: S, verb: str) -> bool:
        """Whether a verb changes anything in this state."""
        return any(edge.source is current and edge.verb == verb for edge in self.edges)
