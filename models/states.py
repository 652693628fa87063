"""State machines as data: which state may follow which, by whose doing.

The tables stand with their nouns; from them come the refusals, the documentation and the tests.
"""

from enum import StrEnum
from typing import Generic, TypeVar

from models.base import Record
from models.errors import WrongState

S = TypeVar("S", bound=StrEnum)


class Edge(Record, Generic[S], frozen=True):
    """One permitted change: from, to, who may cause it (client, freelancer, system) and the verb that does."""

    source: S
    target: S
    by: str
    verb: str


class Machine(Record, Generic[S], frozen=True):
    """All permitted changes of one noun; a change that is not listed does not exist."""

    noun: str
    edges: tuple[Edge[S], ...]

    def check(self, current: S, target: S) -> None:
        """Raise WrongState unless `current` may become `target`; the message says what it can become."""
        ways = [edge for edge in self.edges if edge.target is target]
        if any(edge.source is current for edge in ways):
            return
        wanted = " or ".join(sorted({edge.source.value for edge in ways}))
        verb = ways[0].verb.replace("_", " ") if ways else "change"
        raise WrongState(f"This {self.noun} is {current.value}: to {verb} it, it has to be {wanted or 'otherwise'}.")
