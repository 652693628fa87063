"""The columns and lines of the table of who may do what."""

from enum import StrEnum
from typing import NamedTuple


class Who(StrEnum):
    """A column of the table."""

    ANONYMOUS = "anonymous"
    UNVERIFIED = "unverified"
    CLIENT = "client"
    FREELANCER = "freelancer"
    STRANGER = "stranger"
    ADMIN = "admin"


class Line(NamedTuple):
    """One route and what each role gets."""

    route: str
    statuses: dict[Who, int]
    rule: str

    @property
    def method(self) -> str:
        """The route's verb."""
        return self.route.split()[0]

    @property
    def path(self) -> str:
        """The route's path, as OpenAPI writes it."""
        return self.route.split()[1]


def lines(written: str) -> tuple[Line, ...]:
    """The lines of a table as it is written below."""
    made = []
    for row in written.strip().splitlines():
        method, path, *rest = row.split(maxsplit=2 + len(Who))
        statuses = dict(zip(Who, map(int, rest[: len(Who)]), strict=True))
        made.append(Line(f"{method} {path}", statuses, rest[len(Who)]))
    return tuple(made)
