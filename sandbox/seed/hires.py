"""What becomes of contracts: who pays, delivers, is paid and says what of whom. Nothing is written yet."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from sandbox.seed.chance import dice
from sandbox.seed.plan import DAY_S, Bid, Work, later

FEE_BP: Final = 1_000
MOST_STAGES: Final = 9
STANDING: Final = ("pending", "funded", "funded", "submitted", "submitted", "changes_requested", "disputed")
"""Where the stage that a running contract is at may stand."""
RATINGS: Final = (5, 5, 5, 5, 5, 4, 4, 4, 3, 2, 1)


@dataclass(slots=True)
class Stage:
    """A milestone. Its moments are None while it has not come so far; `declined`: a first card was."""

    amount: int
    status: str
    funded: int | None = None
    submitted: int | None = None
    released: int | None = None
    declined: bool = False


@dataclass(slots=True)
class Review:
    """A word of one party on the other."""

    by_client: bool
    rating: int
    at: int


@dataclass(slots=True)
class Hire:
    """A contract: which project's and proposal's, counted from 0, and all that hangs on it."""

    project: int
    proposal: int
    work: Work
    bid: Bid
    at: int
    amount: int
    signed: int | None = None
    ended: int | None = None
    stages: list[Stage] = field(default_factory=list)
    reviews: list[Review] = field(default_factory=list)


def hires(seed: int, works: list[Work]) -> list[Hire]:
    """Every contract, in the order of the projects."""
    rng = dice(seed, "hires")
    return [_hire(rng, project, proposal, works[project]) for project, proposal in _accepted(works)]


def _accepted(works: list[Work]) -> Iterator[tuple[int, int]]:
    """The project and the proposal of each contract, counted from 0."""
    proposals = 0
    for project, work in enumerate(works):
        for n, bid in enumerate(work.bids):
            if bid.status == "accepted":
                yield project, proposals + n
        proposals += len(work.bids)


def _hire(rng: random.Random, project: int, proposal: int, work: Work) -> Hire:
    bid = work.accepted
    amount = work.low + int((work.high - work.low) * rng.random()) // 100 * 100
    hire = Hire(project, proposal, work, bid, later(rng, bid.at, 3 * DAY_S), amount)
    if work.contract != "pending_signature":
        hire.signed = later(rng, hire.at, DAY_S)
    if not work.hourly:
        _plan_stages(rng, hire)
    if work.contract in {"completed", "cancelled"}:
        moments = [hire.signed or hire.at, *(one.released for one in hire.stages if one.released is not None)]
        hire.ended = later(rng, max(moments), 60 * DAY_S if work.hourly else DAY_S)
    if work.contract == "completed":
        _review(rng, hire)
    return hire


def _plan_stages(rng: random.Random, hire: Hire) -> None:
    weights = [1 + int(3 * rng.random()) for _ in range(2 + int((MOST_STAGES - 1) * rng.random()))]
    amounts = [hire.amount * weight // sum(weights) for weight in weights]
    amounts[-1] += hire.amount - sum(amounts)
    done = len(amounts)
    if hire.work.contract != "completed":
        done = 0 if hire.signed is None else int(len(amounts) * rng.random())
    at = hire.signed or hire.at
    for n, amount in enumerate(amounts):
        stage = Stage(amount, _standing(rng, hire, n - done))
        at = _walk(rng, stage, at)
        hire.stages.append(stage)


def _standing(rng: random.Random, hire: Hire, ahead: int) -> str:
    """Where a stage stands that is so many after the ones that are done."""
    if ahead < 0:
        return "released"
    if hire.work.contract == "cancelled":
        return "cancelled"
    if ahead > 0 or hire.signed is None:
        return "pending"
    return STANDING[int(len(STANDING) * rng.random())]


def _walk(rng: random.Random, stage: Stage, at: int) -> int:
    """Give a stage its moments; returns the last one."""
    if stage.status in {"pending", "cancelled"}:
        return at
    stage.declined = rng.random() < 0.1
    at = stage.funded = later(rng, at, 3 * DAY_S)
    if stage.status != "funded":
        at = stage.submitted = later(rng, at, 14 * DAY_S)
    if stage.status == "released":
        at = stage.released = later(rng, at, 5 * DAY_S)
    return at


def _review(rng: random.Random, hire: Hire) -> None:
    assert hire.ended is not None
    for by_client in (True, False):
        if rng.random() < 0.85:
            rating = RATINGS[int(len(RATINGS) * rng.random())]
            hire.reviews.append(Review(by_client, rating, later(rng, hire.ended, 10 * DAY_S)))


def shown(hire: Hire) -> bool:
    """Whether what was written is shown: both are in, or fourteen days have gone by."""
    assert hire.ended is not None
    return len(hire.reviews) == 2 or hire.ended < -14 * DAY_S
