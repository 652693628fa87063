"""What the two parties of a completed contract say of each other: once each, shown together, answered once.

Neither sees the other's before both are in or fourteen days have passed. Refuses a review of oneself, before completion
or after the fourteen days.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from piccolo.columns import BigSerial, Integer, Text, Timestamptz
from piccolo.columns.defaults.timestamptz import TimestamptzNow
from piccolo.table import Table

from models import accounts, business_time, contracts, guard, mail, notifications, timers
from models.accounts import User
from models.base import Record, restricted
from models.contracts import Contract, ContractRow, ContractStatus
from models.errors import NotFound, ReviewExists, WrongState
from models.letters import MailKind
from models.locks import Noun, lock
from models.notifications import NotificationType
from models.queries import query
from models.states import Edge, Machine, Part
from models.timers import TimerKind, TimerRow

HIDDEN_FOR: Final = timedelta(days=14)
"""After so long whatever was written is shown, and nothing more can be. Source: domain.md, states."""
PARTIES: Final = 2
MIN_RATING: Final = 1
MAX_RATING: Final = 5


class ReviewStatus(StrEnum):
    """Whether others see it."""

    HIDDEN = "hidden"
    SHOWN = "shown"


class Review(Table, tablename="reviews"):
    """One party's word on the other."""

    id = BigSerial(primary_key=True)
    contract = restricted(Contract)
    reviewer = restricted(User)
    reviewee = restricted(User, index=False)
    rating = Integer(default=None)
    comment = Text()
    status = Text(default=ReviewStatus.HIDDEN.value)
    response = Text(null=True, default=None)
    created_at = Timestamptz(default=TimestamptzNow())
    shown_at = Timestamptz(null=True, default=None)
    responded_at = Timestamptz(null=True, default=None)


MACHINE: Final = Machine[ReviewStatus](
    noun="review",
    start=ReviewStatus.HIDDEN,
    edges=(
        Edge(
            source=ReviewStatus.HIDDEN,
            target=ReviewStatus.SHOWN,
            verb="show",
            by=(Part.CLIENT, Part.FREELANCER, Part.SYSTEM),
            guard="by the other party's own review, or 14 days after completion",
            tells=("review_received",),
            mails=("review_received",),
        ),
    ),
)


class ReviewRow(Record, frozen=True):
    """A review as the domain passes it around. `project_title` is None for who may not know the project."""

    id: int
    contract_id: int
    project_title: str | None
    reviewer_id: int
    reviewer_name: str
    reviewee_id: int
    rating: int
    comment: str
    status: ReviewStatus
    response: str | None
    created_at: datetime
    shown_at: datetime | None
    responded_at: datetime | None


# $1 the caller, $2 whether it is an admin. The title of a project that was not public is its parties' business.
COLUMNS: Final = """
r.id, r.contract as contract_id,
case when p.visibility = 'public' or $2 or c.client = $1 or c.freelancer = $1 then c.title end as project_title,
r.reviewer as reviewer_id, u.first_name || ' ' || u.last_name as reviewer_name, r.reviewee as reviewee_id, r.rating,
r.comment, r.status, r.response, r.created_at, r.shown_at, r.responded_at
"""
_JOINED: Final = """
join contracts c on c.id = r.contract join projects p on p.id = c.project join users u on u.id = r.reviewer
"""
SEEN: Final = "(r.status = 'shown' or r.reviewer = $1)"
"""Who sees a review: everybody once it is shown, before that its author alone. Admins have no part in it."""
READ: Final = query("reviews.read", f"select {COLUMNS} from reviews r {_JOINED} where r.id = $3 and {SEEN}")
# Two walks, each of an index of its own: the hidden ones are the caller's, at most a few.
LIST: Final = query(
    "reviews.of_user",
    f"""
select {COLUMNS} from (
    (select id from reviews where reviewee = $3 and status = 'shown' and id < $4 order by id desc limit $5)
    union all
    (select id from reviews where reviewer = $1 and reviewee = $3 and status = 'hidden' and id < $4
      order by id desc limit $5)) picked join reviews r on r.id = picked.id {_JOINED}
 order by r.id desc limit $5
""",
)
WRITE: Final = """
insert into reviews (contract, reviewer, reviewee, rating, comment, status, created_at)
values ($1, $2, $3, $4, $5, 'hidden', business_now()) on conflict (contract, reviewer) do nothing returning id
"""
OF_CONTRACT: Final = """
select id, reviewer as reviewer_id, reviewee as reviewee_id, rating, status from reviews
 where contract = $1 order by reviewee
"""
SHOW: Final = "update reviews set status = $2, shown_at = business_now() where id = $1"
RATE: Final = "update users set rating_sum = rating_sum + $2, rating_count = rating_count + 1 where id = $1"
RESPOND: Final = "update reviews set response = $2, responded_at = business_now() where id = $1"
LAST: Final = 2**63 - 1


def _row(found: Any) -> ReviewRow:
    return ReviewRow(**{**dict(found), "status": ReviewStatus(found["status"])})


# Verbs


async def open_window(contract: ContractRow) -> None:
    """Let both parties of a contract that was completed just now review each other, for HIDDEN_FOR.

    For the verb that completes a contract; with the contract's lock.
    """
    assert contract.completed_at is not None, f"contract {contract.id} is not completed"
    await timers.start(TimerKind.CONTRACT_REVIEWS, contract.id, contract.completed_at + HIDDEN_FOR)


async def write(contract_id: int, *, reviewer_id: int, rating: int, comment: str) -> ReviewRow:
    """Review the other party of one's completed contract. With the second of the two both are shown.

    Raises NotFound for a stranger, WrongState before completion and from HIDDEN_FOR after it, ReviewExists,
    TokenInvalid when the reviewer left meanwhile. What it answers says nothing of the other one's until both are shown.
    """
    guard.in_transaction()
    contract = await contracts.read(contract_id, user_id=reviewer_id, admin=False)
    # Before any lock: a completed contract stays completed, and whoever completes one locks no account behind us.
    _check_completed(contract)
    await _lock(contract, present=reviewer_id)
    if await business_time.now() >= _closes_at(contract):
        raise WrongState(f"Reviews of this contract were taken until {_closes_at(contract):%d %B %Y}.")
    made = await guard.value(WRITE, contract_id, reviewer_id, contract.other_party(reviewer_id), rating, comment)
    if made is None:
        raise ReviewExists("You have reviewed this contract already.")
    written = await guard.rows(OF_CONTRACT, contract_id)
    if len(written) == PARTIES:
        await timers.clear(contract_id, TimerKind.CONTRACT_REVIEWS)
        await _show(contract, written)
    return await read(made, user_id=reviewer_id, admin=False)


async def show_all(timer: TimerRow) -> None:
    """Show what was written of a contract, and take no more: fourteen days are over."""
    guard.in_transaction()
    parties = await guard.only("select client, freelancer from contracts where id = $1", timer.subject_id)
    await lock(Noun.ACCOUNT, *parties.values())
    contract = await contracts.locked(timer.subject_id)
    if not await timers.take(timer):
        return
    await _show(contract, await guard.rows(OF_CONTRACT, contract.id))


async def respond(review_id: int, *, user_id: int, response: str) -> ReviewRow:
    """Answer a review of oneself that is shown, once; its author hears of it.

    Raises NotFound for anybody else and while it is hidden, WrongState for a second answer, TokenInvalid when the
    caller left meanwhile.
    """
    guard.in_transaction()
    review = await read(review_id, user_id=user_id, admin=False)
    if review.reviewee_id != user_id:
        raise NotFound(f"There is no review {review_id} of you.")
    contract = await contracts.read(review.contract_id, user_id=user_id, admin=False)
    await _lock(contract, present=user_id)
    review = await read(review_id, user_id=user_id, admin=False)
    if review.response is not None:
        raise WrongState("You have answered this review already.")
    await guard.rows(RESPOND, review_id, response)
    await notifications.tell(
        review.reviewer_id,
        type=NotificationType.REVIEW_ANSWERED,
        title="Your review was answered",
        message=f"{contract.name_of(user_id)} has answered your review of “{contract.title}”.",
        data={"review_id": review_id, "contract_id": contract.id},
    )
    return await read(review_id, user_id=user_id, admin=False)


def _check_completed(contract: ContractRow) -> None:
    if contract.status is not ContractStatus.COMPLETED or contract.completed_at is None:
        raise WrongState(f"This contract is {contract.status.value}: it is reviewed once it is completed.")


def _closes_at(contract: ContractRow) -> datetime:
    assert contract.completed_at is not None, "a completed contract says when"
    return contract.completed_at + HIDDEN_FOR


async def _lock(contract: ContractRow, *, present: int) -> None:
    """Lock both parties and then their contract: what is shown counts in both accounts, and accounts come first."""
    await lock(Noun.ACCOUNT, contract.client_id, contract.freelancer_id)
    await accounts.lock_present(present)
    await contracts.locked(contract.id)


async def _show(contract: ContractRow, written: list[Any]) -> None:
    """Show these reviews of a locked contract, count them, and tell whom they are about."""
    for one in written:
        MACHINE.check(ReviewStatus(one["status"]), ReviewStatus.SHOWN, verb="show")
        await guard.rows(SHOW, one["id"], ReviewStatus.SHOWN.value)
        await guard.rows(RATE, one["reviewee_id"], one["rating"])
        name = contract.name_of(one["reviewer_id"])
        await notifications.tell(
            one["reviewee_id"],
            type=NotificationType.REVIEW_RECEIVED,
            title="New review",
            message=f"{name} has reviewed your work together on “{contract.title}”: {one['rating']} of {MAX_RATING}.",
            data={"review_id": one["id"], "contract_id": contract.id, "rating": one["rating"]},
        )
        await mail.write(
            MailKind.REVIEW_RECEIVED,
            to=one["reviewee_id"],
            about=f"review:{one['id']}",
            project_title=contract.title,
            contract_id=contract.id,
            review_id=one["id"],
            reviewer_name=name,
            rating=one["rating"],
        )


# Queries


async def read(review_id: int, *, user_id: int, admin: bool) -> ReviewRow:
    """A review that is shown, or the caller's own. Raises NotFound for any other: whether it exists is not told."""
    found = await guard.row(READ, user_id, admin, review_id)
    if found is None:
        raise NotFound(f"There is no review {review_id}.")
    return _row(found)


async def list_of(reviewee_id: int, *, user_id: int, admin: bool, before: int | None, limit: int) -> list[ReviewRow]:
    """The newest reviews of somebody, from `before` (an id, exclusive) backwards: shown ones, and the caller's own."""
    found = await guard.rows(LIST, user_id, admin, reviewee_id, before or LAST, limit)
    return [_row(one) for one in found]
