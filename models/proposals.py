"""What freelancers offer for a project, and who may see which offer: its freelancer, the project's client, admins.

Refuses an offer for one's own project, a second one for the same project, and milestones that do not add up to the
bid. Deciding about an offer touches contracts and milestones too: `acceptance.py`.
"""

from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final

import msgspec
from piccolo.columns import JSONB, BigInt, BigSerial, Integer, Text, Timestamptz
from piccolo.columns.defaults.timestamptz import TimestamptzNow
from piccolo.table import Table

from models import accounts, events, guard, mail, notifications, outbox, projects
from models.accounts import User
from models.base import Record, restricted
from models.errors import (
    AmountOutOfBounds,
    Invalid,
    MilestonesMismatch,
    NotFound,
    OwnProject,
    ProposalExists,
    WrongState,
)
from models.money import MAX_MINOR, Money
from models.notifications import NotificationType
from models.projects import Project, ProjectRow, ProjectStatus, Visibility
from models.states import Edge, Machine


class ProposalStatus(StrEnum):
    """Where a proposal stands."""

    SUBMITTED = "submitted"
    SHORTLISTED = "shortlisted"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"


class Proposal(Table, tablename="proposals"):
    """A freelancer's offer for a project. `milestones` is a list of {title, amount_minor, due_date}."""

    id = BigSerial(primary_key=True)
    project = restricted(Project)
    freelancer = restricted(User)
    cover_letter = Text()
    bid_minor = BigInt(default=None)
    currency = Text()
    delivery_days = Integer(default=None)
    milestones = JSONB(default="[]")
    status = Text(default=ProposalStatus.SUBMITTED.value)
    created_at = Timestamptz(default=TimestamptzNow())
    decided_at = Timestamptz(null=True, default=None)


MACHINE: Final = Machine[ProposalStatus](
    noun="proposal",
    edges=(
        Edge(source=ProposalStatus.SUBMITTED, target=ProposalStatus.SHORTLISTED, by="client", verb="shortlist"),
        Edge(source=ProposalStatus.SUBMITTED, target=ProposalStatus.ACCEPTED, by="client", verb="accept"),
        Edge(source=ProposalStatus.SUBMITTED, target=ProposalStatus.REJECTED, by="client", verb="reject"),
        Edge(source=ProposalStatus.SUBMITTED, target=ProposalStatus.WITHDRAWN, by="freelancer", verb="withdraw"),
        Edge(source=ProposalStatus.SHORTLISTED, target=ProposalStatus.ACCEPTED, by="client", verb="accept"),
        Edge(source=ProposalStatus.SHORTLISTED, target=ProposalStatus.REJECTED, by="client", verb="reject"),
        Edge(source=ProposalStatus.SHORTLISTED, target=ProposalStatus.WITHDRAWN, by="freelancer", verb="withdraw"),
    ),
)

MAX_STAGES: Final = 50
"""Milestones of one proposal, and of one contract: more is a time sheet, and each is a charge with its own fee."""

MAX_PROPOSALS: Final = 500
"""Offers one project takes: acceptance answers every one of them in its one transaction."""


class Stage(Record, frozen=True):
    """A milestone as it is planned, in the currency of what it is planned for."""

    title: str
    amount_minor: int
    due_date: date | None = None


class Offer(Record, frozen=True):
    """What a freelancer writes. Stages, when there are any, add up to the bid."""

    cover_letter: str
    bid: Money
    delivery_days: int
    stages: list[Stage]


class ProposalRow(Record, frozen=True):
    """A proposal as the domain passes it around, with what its two sides need to know of each other."""

    id: int
    project_id: int
    project_title: str
    client_id: int
    freelancer_id: int
    freelancer_name: str
    cover_letter: str
    bid_minor: int
    currency: str
    delivery_days: int
    stages: list[Stage]
    status: ProposalStatus
    contract_id: int | None
    created_at: datetime
    decided_at: datetime | None

    @property
    def bid(self) -> Money:
        """What the freelancer asks for the whole."""
        return Money(self.bid_minor, self.currency)


SELECT: Final = """
select o.id, o.project as project_id, p.title as project_title, p.client as client_id, o.freelancer as freelancer_id,
       u.first_name || ' ' || u.last_name as freelancer_name, o.cover_letter, o.bid_minor, o.currency, o.delivery_days,
       o.milestones::text as stages, o.status, c.id as contract_id, o.created_at, o.decided_at
  from proposals o join projects p on p.id = o.project join users u on u.id = o.freelancer
       left join contracts c on c.proposal = o.id
"""

# The partial unique index decides between two of one freelancer's submissions; withdrawn ones do not count.
SUBMIT: Final = """
insert into proposals (project, freelancer, cover_letter, bid_minor, currency, delivery_days, milestones)
values ($1, $2, $3, $4, $5, $6, $7::text::jsonb)
on conflict (project, freelancer) where status <> 'withdrawn' do nothing returning id
"""


def row_of(found: Any) -> ProposalRow:
    """The struct of a row of SELECT."""
    fields = dict(found)
    fields["stages"] = msgspec.json.decode(fields["stages"], type=list[Stage])
    fields["status"] = ProposalStatus(fields["status"])
    return ProposalRow(**fields)


# Verbs


async def submit(project_id: int, offer: Offer, *, freelancer_id: int) -> ProposalRow:
    """Offer to do an open project, once, in its currency; its client hears of it.

    Raises NotFound for a project that cannot be found by others, OwnProject, Invalid, AmountOutOfBounds or
    MilestonesMismatch for a bid that makes no sense, WrongState when the project takes no proposals, ProposalExists,
    TokenInvalid when the freelancer left meanwhile: whoever leaves withdraws the offers that there are.
    """
    await accounts.lock_present(freelancer_id)
    # Under the project's lock, so that an acceptance has either seen this proposal or is seen here.
    project = await projects.locked(project_id)
    _check_taken(project, freelancer_id)
    check_bid(offer, project.currency)
    proposal_id = await guard.value(
        SUBMIT,
        project_id,
        freelancer_id,
        offer.cover_letter,
        offer.bid.minor,
        offer.bid.currency,
        offer.delivery_days,
        msgspec.json.encode(offer.stages).decode(),
    )
    if proposal_id is None:
        raise ProposalExists(f"You have a proposal for project {project_id} already.")
    counted = await guard.value(
        "select count(*) from proposals where project = $1 and status <> 'withdrawn'", project_id
    )
    if counted > MAX_PROPOSALS:
        raise WrongState(f"Project {project_id} has {MAX_PROPOSALS} proposals, as many as a project takes.")
    made = row_of(await guard.only(SELECT + "where o.id = $1", proposal_id))
    await publish_change(made, ProposalStatus.SUBMITTED)
    await _tell_client(made)
    return made


def _check_taken(project: ProjectRow, freelancer_id: int) -> None:
    """Whether this project takes proposals of this freelancer."""
    if project.client_id == freelancer_id:
        raise OwnProject("This project is your own.")
    if project.visibility is not Visibility.PUBLIC or project.status is ProjectStatus.DRAFT:
        raise NotFound(f"There is no project {project.id}.")
    if project.status is not ProjectStatus.OPEN:
        raise WrongState(f"This project is {project.status.value}: it takes no proposals.")


def check_bid(offer: Offer, currency: str) -> None:
    """Whether the amounts of an offer make sense for a project in this currency; raises what does not."""
    bid = offer.bid
    if bid.currency != currency:
        raise Invalid(f"The project is in {currency}; a bid in {bid.currency} cannot be compared.", field="currency")
    if not 0 < bid.minor <= MAX_MINOR:
        most = Money(MAX_MINOR, currency)
        raise AmountOutOfBounds(f"A bid is more than 0 and at most {most}; {bid} is not.", field="bid_amount")
    if not offer.stages:
        return
    if len(offer.stages) > MAX_STAGES:
        raise Invalid(f"A proposal has at most {MAX_STAGES} milestones, not {len(offer.stages)}.", field="milestones")
    if any(stage.amount_minor <= 0 for stage in offer.stages):
        raise AmountOutOfBounds("Each milestone's amount is more than 0.", field="milestones")
    planned = Money(sum(stage.amount_minor for stage in offer.stages), currency)
    if planned != bid:
        raise MilestonesMismatch(f"The milestones add up to {planned}; the bid is {bid}.", field="milestones")


async def publish_change(proposal: ProposalRow, status: ProposalStatus) -> None:
    """Tell both sides of a proposal, and nobody else, what has become of it."""
    changed = events.ProposalUpdated(proposal_id=proposal.id, project_id=proposal.project_id, status=status.value)
    await outbox.publish(changed, events.user(proposal.client_id), events.user(proposal.freelancer_id))


async def _tell_client(proposal: ProposalRow) -> None:
    await notifications.tell(
        proposal.client_id,
        type=NotificationType.PROPOSAL_RECEIVED,
        title="New proposal",
        message=f"{proposal.freelancer_name} offers to do “{proposal.project_title}” for {proposal.bid}.",
        data={"proposal_id": proposal.id, "project_id": proposal.project_id},
    )
    await mail.write(
        "proposal_received",
        to=proposal.client_id,
        about=f"proposal:{proposal.id}",
        project_id=proposal.project_id,
        project_title=proposal.project_title,
        proposal_id=proposal.id,
        freelancer_name=proposal.freelancer_name,
        bid_minor=proposal.bid_minor,
        currency=proposal.currency,
        delivery_days=proposal.delivery_days,
    )


# Queries


async def read(proposal_id: int, *, user_id: int, admin: bool) -> ProposalRow:
    """The proposal, for its freelancer, the project's client or an admin. Raises NotFound for anybody else."""
    found = await guard.row(
        SELECT + "where o.id = $1 and ($3 or o.freelancer = $2 or p.client = $2)", proposal_id, user_id, admin
    )
    if found is None:
        raise NotFound(f"There is no proposal {proposal_id}.")
    return row_of(found)


async def list_for_project(
    project_id: int, *, user_id: int, admin: bool, before: int | None, limit: int
) -> list[ProposalRow]:
    """A project's newest proposals, from `before` (an id, exclusive) backwards: all for its client, else one's own.

    Raises NotFound when the caller may not see the project and has no proposal for it.
    """
    found = await guard.rows(
        SELECT
        + """where o.project = $1 and ($3 or p.client = $2 or o.freelancer = $2) and ($4::bigint is null or o.id < $4)
             order by o.id desc limit $5""",
        project_id,
        user_id,
        admin,
        before,
        limit,
    )
    if not found:
        await projects.read(project_id, user_id=user_id, admin=admin)
    return [row_of(one) for one in found]


async def list_own(freelancer_id: int, *, before: int | None, limit: int) -> list[ProposalRow]:
    """A freelancer's own newest proposals, from `before` (an id, exclusive) backwards."""
    found = await guard.rows(
        SELECT + "where o.freelancer = $1 and ($2::bigint is null or o.id < $2) order by o.id desc limit $3",
        freelancer_id,
        before,
        limit,
    )
    return [row_of(one) for one in found]
