"""What there will be, before any of it is written: who exists when, which project becomes what, who offers what.

Times are whole seconds before the moment the data reach to, so negative; indexes count from 0 and become ids when
they are written.
"""

import random
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Final

from sandbox.seed.chance import dice, weighed

DAY_S: Final = 86_400
OLDEST_USER_S: Final = -1_095 * DAY_S
OLDEST_PROJECT_S: Final = -730 * DAY_S
ADMINS: Final = 3
CLIENTS_IN_TEN: Final = 3
FIRST_FREELANCER: Final = 3
FIRST_CLIENT: Final = 10
HOURLY_SHARE: Final = 0.15

STATUSES: Final = {"open": 58, "completed": 22, "in_progress": 9, "draft": 4, "closed": 4, "cancelled": 3}
"""How many of a hundred projects stand where."""
VISIBILITIES: Final = {"public": 92, "invite_only": 5, "private": 3}
UNDECIDED: Final = {"submitted": 0.75, "shortlisted": 0.85, "withdrawn": 0.92, "rejected": 1.0}
"""Where an open project's offers stand: which share of them stands there or before it in this list."""
CURRENCIES: Final = {"USD": 70, "EUR": 18, "GBP": 9, "CAD": 3}


@dataclass(frozen=True)
class Size:
    """How much there will be. Contracts, milestones and transactions follow from the projects."""

    users: int
    projects: int
    proposals: int
    messages: int
    tickets: int
    favorites: int


SIZES: Final = {
    "small": Size(users=500, projects=1_000, proposals=2_000, messages=5_000, tickets=60, favorites=300),
    "large": Size(
        users=100_000, projects=200_000, proposals=400_000, messages=1_000_000, tickets=5_000, favorites=50_000
    ),
}


@dataclass(slots=True)
class Bid:
    """A freelancer's offer for a project."""

    freelancer: int
    at: int
    status: str


@dataclass(slots=True)
class Work:
    """A project and what becomes of it. `contract`: the status of its contract, if it has one."""

    client: int
    at: int
    status: str
    visibility: str
    currency: str
    hourly: bool
    low: int
    high: int
    contract: str | None = None
    bids: list[Bid] = field(default_factory=list)

    @property
    def accepted(self) -> Bid:
        """The offer that became the contract."""
        return next(bid for bid in self.bids if bid.status == "accepted")


class Crowd:
    """Everybody, oldest account first. The first few are admins; of each ten three are clients."""

    def __init__(self, size: Size) -> None:
        span = -OLDEST_USER_S - DAY_S
        self.joined = [OLDEST_USER_S + span * i // size.users for i in range(size.users)]
        self.clients = [i for i in range(ADMINS, size.users) if i % 10 < CLIENTS_IN_TEN]
        self.freelancers = [i for i in range(ADMINS, size.users) if i % 10 >= CLIENTS_IN_TEN]
        self._clients_joined = [self.joined[i] for i in self.clients]
        self._freelancers_joined = [self.joined[i] for i in self.freelancers]

    def role(self, user: int) -> str:
        """What a user is here for."""
        if user < ADMINS:
            return "admin"
        return "client" if user % 10 < CLIENTS_IN_TEN else "freelancer"

    def client(self, rng: random.Random, at: int) -> int:
        """A client who was there by then; some give much more work than others."""
        return self.clients[int(bisect_left(self._clients_joined, at) * rng.random() ** 2)]

    def freelancer(self, rng: random.Random, at: int) -> int:
        """A freelancer who was there by then; some are much busier than others."""
        return self.freelancers[int(bisect_left(self._freelancers_joined, at) * rng.random() ** 1.5)]


def works(seed: int, size: Size, crowd: Crowd) -> list[Work]:
    """Every project, the oldest first, with the offers for it."""
    rng = dice(seed, "works")
    statuses = weighed(rng, tuple(STATUSES), tuple(STATUSES.values()))
    visibilities = weighed(rng, tuple(VISIBILITIES), tuple(VISIBILITIES.values()))
    currencies = weighed(rng, tuple(CURRENCIES), tuple(CURRENCIES.values()))
    made = []
    for i in range(size.projects):
        at = OLDEST_PROJECT_S + int((-OLDEST_PROJECT_S - DAY_S) * (i + rng.random()) / size.projects)
        hourly = rng.random() < HOURLY_SHARE
        low = _budget(rng, hourly=hourly)
        made.append(
            Work(
                client=crowd.client(rng, at),
                at=at,
                status=next(statuses),
                visibility=next(visibilities),
                currency=next(currencies),
                hourly=hourly,
                low=low,
                high=low * (110 + int(rng.random() * 190)) // 100,
            )
        )
    _bid(rng, size, crowd, made)
    return made


def _budget(rng: random.Random, *, hourly: bool) -> int:
    """The lower bound of a budget in cents: mostly small, sometimes large, always a round number."""
    if hourly:
        return 100 * (12 + int(108 * rng.random() ** 2))
    return 5_000 * (1 + int(400 * rng.random() ** 4))


def _bid(rng: random.Random, size: Size, crowd: Crowd, made: list[Work]) -> None:
    """Let freelancers offer: the whole number of offers spread unevenly, at least one where a contract follows."""
    takes = [one for one in made if one.status != "draft"]
    appeals = [rng.random() ** 3 for _ in takes]
    each = size.proposals / sum(appeals)
    for one, appeal in zip(takes, appeals, strict=True):
        hired = one.status in {"in_progress", "completed"} or (one.status == "cancelled" and rng.random() < 1 / 2)
        _offers(rng, crowd, one, max(int(appeal * each + rng.random()), int(hired)))
        if hired:
            _hire(rng, one)


def _offers(rng: random.Random, crowd: Crowd, one: Work, count: int) -> None:
    seen: set[int] = set()
    at = one.at
    for _ in range(count):
        at = later(rng, at, 2 * DAY_S)
        who = crowd.freelancer(rng, one.at)
        if who not in seen:
            seen.add(who)
            one.bids.append(Bid(who, at, _undecided(rng, one)))


def _undecided(rng: random.Random, one: Work) -> str:
    if one.status != "open":
        return "withdrawn" if rng.random() < 0.07 else "rejected"
    drawn = rng.random()
    return next(status for status, below in UNDECIDED.items() if drawn < below)


def _hire(rng: random.Random, one: Work) -> None:
    one.bids[int(rng.random() * len(one.bids))].status = "accepted"
    if one.status == "in_progress":
        one.contract = "pending_signature" if rng.random() < 0.08 else "active"
    else:
        one.contract = one.status


def later(rng: random.Random, at: int, most: int) -> int:
    """A moment after another, by at most so many seconds, and never after the end of the data."""
    return min(0, at + 1 + int(rng.random() * min(most, -at / 2)))
