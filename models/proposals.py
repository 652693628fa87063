"""What freelancers offer for a project, and who may see which offer: its freelancer, the project's client, admins.

Refuses an offer for one's own project, a second one for the same project, and milestones that do not add up to the
bid. What becomes of an offer: `bids.py`; accepting one touches contracts and milestones too: `acceptance.py`.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import msgspec
from piccolo.columns import JSONB, BigInt, BigSerial, Integer, Text, Timestamptz
from piccolo.columns.defaults.timestamptz import TimestamptzNow
from piccolo.table import Table

from models import accounts, blocks, events, guard, invitations, mail, notifications, outbox, projects
from models.accounts import User
from models.base import Record, restricted
from models.errors import NotAllowed, NotFound, OwnProject, ProposalExists, WriterBlocked, WrongState
from models.locks import Noun, is_held, lock
from models.money import Money
from models.notifications import NotificationType
from models.offers import Offer, Stage, check_offer, encoded, weekly_hours_of
from models.projects import BudgetType, Project, ProjectRow, ProjectStatus, Visibility
from models.queries import query
from models.states import Edge, Machine, Part


class ProposalStatus(StrEnum):
    """Where a proposal stands."""

    SUBMITTED = "submitted"
    SHORTLISTED = "shortlisted"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"


class Proposal(Table, tablename="proposals"):
    """A freelancer's offer for a project. `milestones` is a list of {title, amount_minor, due_date}.

    For an hourly project the bid is for an hour, and `weekly_hours` the most of a week.
    """

    id = BigSerial(primary_key=True)
    project = restricted(Project)
    freelancer = restricted(User)
    cover_letter = Text()
    bid_minor = BigInt(default=None)
    currency = Text()
    delivery_days = Integer(default=None)
    milestones = JSONB(default="[]")
    weekly_hours = Integer(null=True, default=None)
    status = Text(default=ProposalStatus.SUBMITTED.value)
    created_at = Timestamptz(default=TimestamptzNow())
    updated_at = Timestamptz(default=TimestamptzNow())
    decided_at = Timestamptz(null=True, default=None)


def _edge(
    source: ProposalStatus, target: ProposalStatus, verb: str, by: Part, **more: Any
) -> Edge[ProposalStatus]:  # both sides hear of each
    return Edge(source=source, target=target, verb=verb, by=(by,), events=("proposal_update",), **more)


MACHINE: Final = Machine[ProposalStatus](
    noun="proposal",
    start=ProposalStatus.SUBMITTED,
    edges=(
        _edge(
            ProposalStatus.SUBMITTED,
            ProposalStatus.SHORTLISTED,
            "shortlist",
            Part.CLIENT,
            tells=("proposal_shortlisted",),
        ),
        *(
            edge
            for undecided in (ProposalStatus.SUBMITTED, ProposalStatus.SHORTLISTED)
            for edge in (
                _edge(
                    undecided,
                    ProposalStatus.ACCEPTED,
                    "accept",
                    Part.CLIENT,
                    guard="the project is open; makes the contract",
                    tells=("proposal_accepted", "contract_created"),
                    mails=("proposal_accepted", "contract_created"),
                ),
                _edge(
                    undecided,
                    ProposalStatus.REJECTED,
                    "reject",
                    Part.CLIENT,
                    guard="also when a rival is accepted, or the project closes",
                    tells=("proposal_rejected",),
                ),
                _edge(
                    undecided,
                    ProposalStatus.WITHDRAWN,
                    "withdraw",
                    Part.FREELANCER,
                    guard="also when they leave",
                ),
            )
        ),
    ),
)

MAX_PROPOSALS: Final = 500
"""Offers one project takes: acceptance answers every one of them in its one transaction."""

LAST_ID: Final = 2**63 - 1
"""Above every id: where a list begins that nobody has turned a page of."""


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
    weekly_hours: int | None
    budget_type: BudgetType
    status: ProposalStatus
    contract_id: int | None
    created_at: datetime
    decided_at: datetime | None

    @property
    def bid(self) -> Money:
        """What the freelancer asks for the whole; of an hourly project, for an hour."""
        return Money(self.bid_minor, self.currency)

    @property
    def undecided(self) -> bool:
        """Whether anything can still become of it."""
        return self.status in (ProposalStatus.SUBMITTED, ProposalStatus.SHORTLISTED)

    def check_side(self, user_id: int, wanted_id: int) -> None:
        """Whether this is that side's to do. Raises NotAllowed for the other side, NotFound for a stranger."""
        if user_id == wanted_id:
            return
        if user_id in (self.client_id, self.freelancer_id):
            raise NotAllowed("This is for the proposal's other side to do.")
        raise NotFound(f"There is no proposal {self.id}.")


SELECT: Final = """
select o.id, o.project as project_id, p.title as project_title, p.client as client_id, o.freelancer as freelancer_id,
       u.first_name || ' ' || u.last_name as freelancer_name, o.cover_letter, o.bid_minor, o.currency, o.delivery_days,
       o.milestones::text as stages, o.weekly_hours, p.budget_type, o.status, c.id as contract_id, o.created_at,
       o.decided_at
  from proposals o join projects p on p.id = o.project join users u on u.id = o.freelancer
       left join contracts c on c.proposal = o.id
"""

# The partial unique index decides between two of one freelancer's submissions; withdrawn ones do not count.
SUBMIT: Final = """
insert into proposals (project, freelancer, cover_letter, bid_minor, currency, delivery_days, milestones, weekly_hours)
values ($1, $2, $3, $4, $5, $6, $7::text::jsonb, $8)
on conflict (project, freelancer) where status <> 'withdrawn' do nothing returning id
"""

MOVE: Final = """
update proposals set status = $2, updated_at = business_now(),
                     decided_at = case when $2 = 'shortlisted' then decided_at else business_now() end
 where id = $1
"""

# Whatever ends or changes a proposal ends what was asked about it ($2: what the proposal becomes).
END_COUNTER_OFFER: Final = """
update counter_offers set status = case when $2 = 'withdrawn' then 'withdrawn' else 'superseded' end,
                          answered_at = business_now()
 where proposal = $1 and status = 'open'
"""

# $3: admin. A project has few hundred proposals, found by its id.
OF_PROJECT: Final = query(
    "proposals.of_project",
    f"""{SELECT}
 where o.project = $1 and ($3 or p.client = $2 or o.freelancer = $2) and o.status = any($4::text[]) and o.id < $5
 order by o.id desc limit $6
""",
)

OWN: Final = query(
    "proposals.own",
    f"{SELECT} where o.freelancer = $1 and o.status = any($2::text[]) and o.id < $3 order by o.id desc limit $4",
)


def row_of(found: Any) -> ProposalRow:
    """The struct of a row of SELECT."""
    fields = dict(found)
    fields["stages"] = msgspec.json.decode(fields["stages"], type=list[Stage])
    fields["status"], fields["budget_type"] = ProposalStatus(fields["status"]), BudgetType(fields["budget_type"])
    return ProposalRow(**fields)


# Verbs


async def submit(project_id: int, offer: Offer, *, freelancer_id: int) -> ProposalRow:
    """Offer to do an open project, once, in its currency; its client hears of it. It answers an invitation.

    Raises NotFound for a project that cannot be found by others, OwnProject, Invalid, AmountOutOfBounds or
    MilestonesMismatch for a bid that makes no sense, WrongState when the project takes no proposals, WriterBlocked
    when client and freelancer do not write to each other, ProposalExists, TokenInvalid when the freelancer left
    meanwhile: whoever leaves withdraws the offers that there are.
    """
    await accounts.lock_present(freelancer_id)
    # Under the project's lock, so that an acceptance has either seen this proposal or is seen here.
    project = await projects.locked(project_id)
    await _check_taken(project, freelancer_id)
    check_offer(offer, project.currency, project.budget_type)
    proposal_id = await guard.value(
        SUBMIT,
        project_id,
        freelancer_id,
        offer.cover_letter,
        offer.bid.minor,
        offer.bid.currency,
        offer.delivery_days,
        encoded(offer.stages),
        weekly_hours_of(offer.weekly_hours, project.budget_type),
    )
    if proposal_id is None:
        raise ProposalExists(f"You have a proposal for project {project_id} already.")
    counted = await guard.value(
        "select count(*) from proposals where project = $1 and status <> 'withdrawn'", project_id
    )
    if counted > MAX_PROPOSALS:
        raise WrongState(f"Project {project_id} has {MAX_PROPOSALS} proposals, as many as a project takes.")
    await invitations.accept_by_proposing(project_id, freelancer_id)
    made = await reread(proposal_id)
    await publish_change(made, ProposalStatus.SUBMITTED)
    await _tell_client(made)
    return made


async def _check_taken(project: ProjectRow, freelancer_id: int) -> None:
    """Whether this project takes proposals of this freelancer: one that is not public, when they were invited."""
    if project.client_id == freelancer_id:
        raise OwnProject("This project is your own.")
    found = project.visibility is Visibility.PUBLIC or await invitations.is_invited(project.id, freelancer_id)
    if not found or project.status is ProjectStatus.DRAFT:
        raise NotFound(f"There is no project {project.id}.")
    if project.status is not ProjectStatus.OPEN:
        raise WrongState(f"This project is {project.status.value}: it takes no proposals.")
    # An offer is a letter, and a mail: whoever must not write to this client writes none.
    if await blocks.stand_between(project.client_id, freelancer_id):
        raise WriterBlocked("You two cannot write to each other.")


async def locked(proposal_id: int) -> ProposalRow:
    """The proposal, locked until the transaction ends, whoever asks. Raises NotFound."""
    await lock(Noun.PROPOSAL, proposal_id)
    return await reread(proposal_id)


async def reread(proposal_id: int) -> ProposalRow:
    """The proposal as it stands in the open transaction."""
    return row_of(await guard.only(SELECT + "where o.id = $1", proposal_id))


async def move(proposal: ProposalRow, target: ProposalStatus, *, verb: str | None = None) -> ProposalRow:
    """Change a locked proposal's status and tell both sides; a counter-offer that was open ends with the proposal.

    Raises WrongState when the table does not list the change.
    """
    assert is_held(Noun.PROPOSAL, proposal.id), f"proposal {proposal.id} is not locked"
    MACHINE.check(proposal.status, target, verb=verb)
    await guard.rows(MOVE, proposal.id, target.value)
    if target is not ProposalStatus.SHORTLISTED:
        await guard.rows(END_COUNTER_OFFER, proposal.id, target.value)
    await publish_change(proposal, target)
    return await reread(proposal.id)


async def turn_down(proposal: ProposalRow, because: str) -> ProposalRow:
    """Reject a locked proposal; its freelancer is told why, in a sentence. Raises WrongState when it is decided."""
    rejected = await move(proposal, ProposalStatus.REJECTED, verb="reject")
    await notifications.tell(
        proposal.freelancer_id,
        type=NotificationType.PROPOSAL_REJECTED,
        title="Proposal not chosen",
        message=because,
        data={"proposal_id": proposal.id, "project_id": proposal.project_id},
    )
    return rejected


async def publish_change(proposal: ProposalRow, status: ProposalStatus) -> None:
    """Tell both sides of a proposal, and nobody else, what has become of it."""
    changed = events.ProposalUpdated(proposal_id=proposal.id, project_id=proposal.project_id, status=status.value)
    await outbox.publish(changed, events.user(proposal.client_id), events.user(proposal.freelancer_id))


async def _tell_client(proposal: ProposalRow) -> None:
    per = " an hour" if proposal.budget_type is BudgetType.HOURLY else ""
    await notifications.tell(
        proposal.client_id,
        type=NotificationType.PROPOSAL_RECEIVED,
        title="New proposal",
        message=f"{proposal.freelancer_name} offers to do “{proposal.project_title}” for {proposal.bid}{per}.",
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
        budget_type=proposal.budget_type.value,
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
    project_id: int,
    *,
    user_id: int,
    admin: bool,
    before: int | None,
    limit: int,
    status: ProposalStatus | None = None,
) -> list[ProposalRow]:
    """A project's newest proposals, from `before` (an id, exclusive) backwards: all for its client, else one's own.

    Raises NotFound when the caller may not see the project and has no proposal for it.
    """
    wanted = _among(status)
    found = await guard.rows(OF_PROJECT, project_id, user_id, admin, wanted, before or LAST_ID, limit)
    if not found and not await _has_any(project_id, user_id):
        await projects.read(project_id, user_id=user_id, admin=admin)
    return [row_of(one) for one in found]


async def list_own(
    freelancer_id: int, *, before: int | None, limit: int, status: ProposalStatus | None = None
) -> list[ProposalRow]:
    """A freelancer's own newest proposals, from `before` (an id, exclusive) backwards."""
    found = await guard.rows(OWN, freelancer_id, _among(status), before or LAST_ID, limit)
    return [row_of(one) for one in found]


def _among(status: ProposalStatus | None) -> list[str]:
    return [one.value for one in ProposalStatus if status in (None, one)]


async def _has_any(project_id: int, freelancer_id: int) -> bool:
    found = await guard.value(
        "select exists (select 1 from proposals where project = $1 and freelancer = $2)", project_id, freelancer_id
    )
    return bool(found)
