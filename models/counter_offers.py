"""Other terms for a proposal, from either side: one stands at a time, and the other side answers it.

Refuses terms that make no sense for the project, and an answer by whoever made the offer.
"""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

import msgspec
from piccolo.columns import JSONB, BigInt, BigSerial, Integer, Text, Timestamptz
from piccolo.columns.defaults.timestamptz import TimestamptzNow
from piccolo.table import Table

from models import guard, mail, notifications, proposals
from models.accounts import User
from models.base import Record, restricted
from models.errors import Invalid, NotAllowed, NotFound, WrongState
from models.money import Money
from models.notifications import NotificationType
from models.offers import Planned, Stage, check_bid, encoded, staged
from models.projects import BudgetType
from models.proposals import LAST_ID, Proposal, ProposalRow
from models.queries import query
from models.states import Edge, Machine, Part

MAX_COUNTER_OFFERS: Final = 20
"""Of one proposal: whoever has not agreed by then talks, instead of mailing numbers."""


class CounterOfferStatus(StrEnum):
    """Where a counter-offer stands."""

    OPEN = "open"
    ACCEPTED = "accepted"
    DECLINED = "declined"
    SUPERSEDED = "superseded"
    WITHDRAWN = "withdrawn"


class CounterOffer(Table, tablename="counter_offers"):
    """Terms that one side of a proposal would take. `milestones` is a list of {title, amount_minor, due_date}."""

    id = BigSerial(primary_key=True)
    proposal = restricted(Proposal)
    author = restricted(User)
    bid_minor = BigInt(default=None)
    delivery_days = Integer(default=None)
    milestones = JSONB(default="[]")
    message = Text()
    status = Text(default=CounterOfferStatus.OPEN.value)
    created_at = Timestamptz(default=TimestamptzNow())
    answered_at = Timestamptz(null=True, default=None)


_SIDES: Final = (Part.CLIENT, Part.FREELANCER)

MACHINE: Final = Machine[CounterOfferStatus](
    noun="counter-offer",
    start=CounterOfferStatus.OPEN,
    edges=(
        Edge(
            source=CounterOfferStatus.OPEN,
            target=CounterOfferStatus.ACCEPTED,
            verb="accept",
            by=_SIDES,
            guard="the other side than its author; the proposal takes its terms",
            tells=("counter_offer_answered",),
            events=("proposal_update",),
        ),
        Edge(
            source=CounterOfferStatus.OPEN,
            target=CounterOfferStatus.DECLINED,
            verb="decline",
            by=_SIDES,
            guard="the other side than its author",
            tells=("counter_offer_answered",),
            events=("proposal_update",),
        ),
        Edge(
            source=CounterOfferStatus.OPEN,
            target=CounterOfferStatus.SUPERSEDED,
            verb="counter_offer",
            by=_SIDES,
            guard="a newer one was made, of either side; also when the proposal is edited or decided",
            tells=("counter_offer_received",),
            mails=("counter_offer_received",),
            events=("proposal_update",),
        ),
        Edge(
            source=CounterOfferStatus.OPEN,
            target=CounterOfferStatus.WITHDRAWN,
            verb="withdraw",
            by=_SIDES,
            guard="its author; also when the proposal is withdrawn",
            events=("proposal_update",),
        ),
    ),
)


class Terms(Record, frozen=True):
    """What one side would take, in major units of the proposal's currency.

    Without milestones those of the proposal stand, if they add up to the bid still.
    """

    bid_amount: Decimal
    delivery_days: int
    message: str
    milestones: list[Planned] = msgspec.field(default_factory=list)


class CounterOfferRow(Record, frozen=True):
    """A counter-offer as the two sides see it."""

    id: int
    proposal_id: int
    author_id: int
    bid_minor: int
    currency: str
    delivery_days: int
    stages: list[Stage]
    message: str
    status: CounterOfferStatus
    created_at: datetime
    answered_at: datetime | None

    @property
    def bid(self) -> Money:
        """What its author would take, or give."""
        return Money(self.bid_minor, self.currency)


SELECT: Final = """
select k.id, k.proposal as proposal_id, k.author as author_id, k.bid_minor, o.currency, k.delivery_days,
       k.milestones::text as stages, k.message, k.status, k.created_at, k.answered_at
  from counter_offers k join proposals o on o.id = k.proposal
"""

OF_PROPOSAL: Final = query(
    "counter_offers.of_proposal", f"{SELECT} where k.proposal = $1 and k.id < $2 order by k.id desc limit $3"
)

MAKE: Final = """
insert into counter_offers (proposal, author, bid_minor, delivery_days, milestones, message, status, created_at)
values ($1, $2, $3, $4, $5::text::jsonb, $6, 'open', business_now()) returning id
"""

TAKE_TERMS: Final = """
update proposals set bid_minor = $2, delivery_days = $3, milestones = $4::text::jsonb, updated_at = business_now()
 where id = $1
"""


def _row(found: Any) -> CounterOfferRow:
    fields = dict(found)
    fields["stages"] = msgspec.json.decode(fields["stages"], type=list[Stage])
    fields["status"] = CounterOfferStatus(fields["status"])
    return CounterOfferRow(**fields)


# Verbs


async def make(proposal_id: int, terms: Terms, *, user_id: int) -> CounterOfferRow:
    """Propose other terms to the other side of an undecided proposal; what was open before, of either side, is void.

    Raises NotFound for a stranger, WrongState when the proposal is decided or was haggled over too often, and what
    `offers.check_bid` raises for terms that make no sense.
    """
    proposal = await _undecided(proposal_id, user_id)
    stages = staged(terms.milestones, proposal.currency)
    bid = Money.from_major(terms.bid_amount, proposal.currency)
    if stages and proposal.budget_type is BudgetType.HOURLY:
        raise Invalid("An hourly project has weeks and no milestones.", field="milestones")
    check_bid(bid, stages, proposal.currency)
    if await guard.value("select count(*) from counter_offers where proposal = $1", proposal_id) >= MAX_COUNTER_OFFERS:
        raise WrongState(f"Proposal {proposal_id} has had {MAX_COUNTER_OFFERS} counter-offers, as many as one has.")
    earlier = await _open_of(proposal_id)
    if earlier is not None:
        await _end(earlier, CounterOfferStatus.SUPERSEDED, "counter_offer")
    made_id = await guard.value(
        MAKE, proposal_id, user_id, bid.minor, terms.delivery_days, encoded(stages), terms.message
    )
    made = _row(await guard.only(SELECT + "where k.id = $1", made_id))
    await proposals.publish_change(proposal, proposal.status)
    await _ask(proposal, made)
    return made


async def accept(proposal_id: int, *, user_id: int, seen_id: int | None = None) -> CounterOfferRow:
    """Take the other side's terms: they are the proposal's from now on. Hiring is the client's decision still.

    `seen_id` is the counter-offer that the caller read: a newer one is not taken in its place. Raises NotFound for a
    stranger, NotAllowed for its author, WrongState when none is open, or another one.
    """
    proposal, asked = await _asked(proposal_id, user_id)
    if seen_id not in (None, asked.id):
        raise WrongState(f"Counter-offer {asked.id} is open by now: read it first.")
    stages = asked.stages or proposal.stages
    if sum(stage.amount_minor for stage in stages) != asked.bid_minor:
        stages = []  # the planned ones were for another bid: one milestone of the whole stands in
    await guard.rows(TAKE_TERMS, proposal_id, asked.bid_minor, asked.delivery_days, encoded(stages))
    return await _answer(proposal, asked, CounterOfferStatus.ACCEPTED, "accept")


async def decline(proposal_id: int, *, user_id: int) -> CounterOfferRow:
    """Refuse the other side's terms: the proposal stands as it was. Raises NotFound, NotAllowed, WrongState."""
    proposal, asked = await _asked(proposal_id, user_id)
    return await _answer(proposal, asked, CounterOfferStatus.DECLINED, "decline")


async def withdraw(proposal_id: int, *, user_id: int) -> CounterOfferRow:
    """Take one's own open counter-offer back. Raises NotFound, NotAllowed for the other side, WrongState."""
    proposal = await _undecided(proposal_id, user_id)
    mine = await _needed(proposal_id)
    if mine.author_id != user_id:
        raise NotAllowed("This counter-offer is the other side's: accept or decline it.")
    ended = await _end(mine, CounterOfferStatus.WITHDRAWN, "withdraw")
    await proposals.publish_change(proposal, proposal.status)
    return ended


async def _undecided(proposal_id: int, user_id: int) -> ProposalRow:
    proposal = await proposals.locked(proposal_id)
    if user_id not in (proposal.client_id, proposal.freelancer_id):
        raise NotFound(f"There is no proposal {proposal_id}.")
    if not proposal.undecided:
        raise WrongState(f"This proposal is {proposal.status.value}: its terms are settled.")
    return proposal


async def _asked(proposal_id: int, user_id: int) -> tuple[ProposalRow, CounterOfferRow]:
    """The proposal and the open counter-offer that this person is to answer."""
    proposal = await _undecided(proposal_id, user_id)
    asked = await _needed(proposal_id)
    if asked.author_id == user_id:
        raise NotAllowed("This counter-offer is yours: the other side answers it.")
    return proposal, asked


async def _needed(proposal_id: int) -> CounterOfferRow:
    found = await _open_of(proposal_id)
    if found is None:
        raise WrongState("No counter-offer is open.")
    return found


async def _open_of(proposal_id: int) -> CounterOfferRow | None:
    found = await guard.row(SELECT + "where k.proposal = $1 and k.status = 'open'", proposal_id)
    return None if found is None else _row(found)


async def _end(one: CounterOfferRow, target: CounterOfferStatus, verb: str) -> CounterOfferRow:
    MACHINE.check(one.status, target, verb=verb)
    await guard.rows(
        "update counter_offers set status = $2, answered_at = business_now() where id = $1", one.id, target.value
    )
    return _row(await guard.only(SELECT + "where k.id = $1", one.id))


async def _answer(
    proposal: ProposalRow, asked: CounterOfferRow, target: CounterOfferStatus, verb: str
) -> CounterOfferRow:
    ended = await _end(asked, target, verb)
    await proposals.publish_change(proposal, proposal.status)
    await notifications.tell(
        asked.author_id,
        type=NotificationType.COUNTER_OFFER_ANSWERED,
        title=f"Counter-offer {target.value}",
        message=f"Your counter-offer of {asked.bid} for “{proposal.project_title}” was {target.value}.",
        data={"counter_offer_id": asked.id, "proposal_id": proposal.id, "project_id": proposal.project_id},
    )
    return ended


async def _ask(proposal: ProposalRow, made: CounterOfferRow) -> None:
    """The other side hears of it, by notification and mail."""
    by_client = made.author_id == proposal.client_id
    asked_id = proposal.freelancer_id if by_client else proposal.client_id
    author = await guard.value("select first_name || ' ' || last_name from users where id = $1", made.author_id)
    per = " an hour" if proposal.budget_type is BudgetType.HOURLY else ""
    days = f"{made.delivery_days} day{'' if made.delivery_days == 1 else 's'}"
    await notifications.tell(
        asked_id,
        type=NotificationType.COUNTER_OFFER_RECEIVED,
        title="New counter-offer",
        message=f"{author} offers {made.bid}{per} in {days} for “{proposal.project_title}”.",
        data={"counter_offer_id": made.id, "proposal_id": proposal.id, "project_id": proposal.project_id},
    )
    await mail.write(
        "counter_offer_received",
        to=asked_id,
        about=f"counter_offer:{made.id}",
        project_title=proposal.project_title,
        project_id=proposal.project_id,
        proposal_id=proposal.id,
        other_name=author,
        bid_minor=made.bid_minor,
        currency=made.currency,
        delivery_days=made.delivery_days,
        budget_type=proposal.budget_type.value,
    )


# Queries


async def read(counter_offer_id: int, *, user_id: int, admin: bool) -> CounterOfferRow:
    """The counter-offer, for the proposal's two sides or an admin. Raises NotFound for anybody else."""
    found = await guard.row(
        SELECT
        + """join projects p on p.id = o.project
             where k.id = $1 and ($3 or o.freelancer = $2 or p.client = $2)""",
        counter_offer_id,
        user_id,
        admin,
    )
    if found is None:
        raise NotFound(f"There is no counter-offer {counter_offer_id}.")
    return _row(found)


async def list_of(
    proposal_id: int, *, user_id: int, admin: bool, before: int | None, limit: int
) -> list[CounterOfferRow]:
    """A proposal's newest counter-offers, from `before` (an id, exclusive) backwards, for its two sides or an admin.

    Raises NotFound for anybody else.
    """
    await proposals.read(proposal_id, user_id=user_id, admin=admin)
    return [_row(one) for one in await guard.rows(OF_PROPOSAL, proposal_id, before or LAST_ID, limit)]
