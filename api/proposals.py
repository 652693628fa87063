"""What freelancers offer, over HTTP."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Final

import msgspec
from litestar import Router, get, patch, post
from litestar.datastructures import State
from litestar.params import FromQuery, JSONBody
from litestar.status_codes import HTTP_200_OK

from api.auth import Asking, role, signed_in, verified
from api.fields import Amount, Body, Currency, Id, PathId, Prose, QueryId, Title
from api.idempotency import Once, seen_by
from api.pages import DEFAULT_LIMIT, Cursor, Limit, Page, decode_cursor, page
from models import acceptance, bids, proposals
from models.accounts import Role
from models.bids import Revision
from models.guard import commit
from models.money import Money
from models.offers import MAX_STAGES, MAX_WEEKLY_HOURS, Offer, Planned, Stage, staged
from models.policy import Policy
from models.proposals import ProposalRow, ProposalStatus
from settings import Settings

LISTING: Final = "proposals"
MAX_DELIVERY_DAYS: Final = 3650
DeliveryDays = Annotated[int, msgspec.Meta(ge=1, le=MAX_DELIVERY_DAYS)]
WeeklyHours = Annotated[
    int, msgspec.Meta(ge=1, le=MAX_WEEKLY_HOURS, description="of an hourly project only: the most of a week")
]
Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
"""Why: it stands in what the other side is told."""


class PlannedMilestone(Body, frozen=True, kw_only=True):
    """A stage of the work, in the proposal's currency."""

    title: Title
    amount: Amount
    due_date: date | None = None

    def planned(self) -> Planned:
        """What the domain is told."""
        return Planned(title=self.title, amount=self.amount, due_date=self.due_date)


Milestones = Annotated[list[PlannedMilestone], msgspec.Meta(max_length=MAX_STAGES)]


class NewProposal(Body, frozen=True, kw_only=True):
    """A freelancer's offer; its milestones, when it has any, add up to `bid_amount`.

    To an hourly project the bid is for an hour, without milestones, and up to `weekly_hours` (40 unless said).
    """

    project_id: Id
    cover_letter: Prose
    bid_amount: Amount
    currency: Currency
    delivery_days: DeliveryDays
    milestones: Milestones = msgspec.field(default_factory=list)
    weekly_hours: WeeklyHours | None = None

    def offer(self) -> Offer:
        """What the domain is told."""
        return Offer(
            cover_letter=self.cover_letter,
            bid=Money.from_major(self.bid_amount, self.currency),
            delivery_days=self.delivery_days,
            stages=staged([one.planned() for one in self.milestones], self.currency),
            weekly_hours=self.weekly_hours,
        )


class ProposalChange(Body, frozen=True, kw_only=True):
    """What changes of an offer, in its own currency; what is absent stays. Milestones change as a whole."""

    cover_letter: Prose | msgspec.UnsetType = msgspec.UNSET
    bid_amount: Amount | msgspec.UnsetType = msgspec.UNSET
    delivery_days: DeliveryDays | msgspec.UnsetType = msgspec.UNSET
    milestones: Milestones | msgspec.UnsetType = msgspec.UNSET
    weekly_hours: WeeklyHours | msgspec.UnsetType = msgspec.UNSET

    def revision(self) -> Revision:
        """What the domain is told."""
        return Revision(
            cover_letter=self.cover_letter or None,
            bid_amount=None if self.bid_amount is msgspec.UNSET else self.bid_amount,
            delivery_days=self.delivery_days or None,
            milestones=None if self.milestones is msgspec.UNSET else [one.planned() for one in self.milestones],
            weekly_hours=self.weekly_hours or None,
        )


class Acceptance(Body, frozen=True, kw_only=True):
    """What the client has read: another bid than this one is not accepted in its place."""

    bid_amount: Amount | None = None


class Rejection(Body, frozen=True, kw_only=True):
    """Why an offer is turned down, if the client says."""

    reason: Reason | None = None


class MilestonePlan(msgspec.Struct, frozen=True):
    """A stage as it was offered, in major units."""

    title: str
    amount: Decimal
    due_date: date | None


class ProposalOut(msgspec.Struct, frozen=True, kw_only=True):
    """A proposal as it is answered; `contract_id` once it is accepted."""

    id: int
    project_id: int
    project_title: str
    freelancer_id: int
    freelancer_name: str
    cover_letter: str
    bid_amount: Decimal
    currency: str
    delivery_days: int
    milestones: list[MilestonePlan]
    weekly_hours: int | None
    status: ProposalStatus
    contract_id: int | None
    created_at: datetime
    decided_at: datetime | None


def plans(stages: list[Stage], currency: str) -> list[MilestonePlan]:
    """Stages as they are answered."""
    return [MilestonePlan(one.title, Money(one.amount_minor, currency).major, one.due_date) for one in stages]


def show(proposal: ProposalRow) -> ProposalOut:
    """The proposal as it is answered."""
    return ProposalOut(
        id=proposal.id,
        project_id=proposal.project_id,
        project_title=proposal.project_title,
        freelancer_id=proposal.freelancer_id,
        freelancer_name=proposal.freelancer_name,
        cover_letter=proposal.cover_letter,
        bid_amount=proposal.bid.major,
        currency=proposal.currency,
        delivery_days=proposal.delivery_days,
        milestones=plans(proposal.stages, proposal.currency),
        weekly_hours=proposal.weekly_hours,
        status=proposal.status,
        contract_id=proposal.contract_id,
        created_at=proposal.created_at,
        decided_at=proposal.decided_at,
    )


@post("/", guards=[role(Role.FREELANCER), verified])
async def submit_proposal(data: JSONBody[NewProposal], caller: Asking, once: Once) -> ProposalOut:
    """Offer to do an open project, once."""
    again = seen_by(caller, proposals.read)
    return show(await once(proposals.submit, data.project_id, data.offer(), freelancer_id=caller.id, again=again))


@get("/")
async def list_proposals(
    caller: Asking,
    project_id: QueryId = None,
    status: FromQuery[ProposalStatus | None] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[ProposalOut]:
    """A project's proposals: all of them for its client, else one's own. Without a project: one's own for any."""
    before = decode_cursor(LISTING, cursor, int)
    if project_id is None:
        found = await proposals.list_own(caller.id, status=status, before=before, limit=limit + 1)
    else:
        found = await proposals.list_for_project(
            project_id, user_id=caller.id, admin=caller.admin, status=status, before=before, limit=limit + 1
        )
    return page(LISTING, [show(one) for one in found], limit, lambda one: one.id)


@get("/{proposal_id:int}")
async def read_proposal(proposal_id: PathId, caller: Asking) -> ProposalOut:
    """A proposal, for its freelancer and the project's client."""
    return show(await proposals.read(proposal_id, user_id=caller.id, admin=caller.admin))


@patch("/{proposal_id:int}", guards=[role(Role.FREELANCER), verified])
async def edit_proposal(proposal_id: PathId, data: JSONBody[ProposalChange], caller: Asking) -> ProposalOut:
    """Change one's own offer while nobody has decided, and the client waits for no answer. The client is told."""
    return show(await commit(bids.edit, proposal_id, data.revision(), freelancer_id=caller.id))


@post("/{proposal_id:int}/withdraw", status_code=HTTP_200_OK, guards=[role(Role.FREELANCER)])
async def withdraw_proposal(proposal_id: PathId, caller: Asking, once: Once) -> ProposalOut:
    """Take one's own offer back; one may propose anew."""
    again = seen_by(caller, proposals.read)
    return show(await once(bids.withdraw, proposal_id, freelancer_id=caller.id, again=again))


@post("/{proposal_id:int}/shortlist", status_code=HTTP_200_OK, guards=[role(Role.CLIENT)])
async def shortlist_proposal(proposal_id: PathId, caller: Asking, once: Once) -> ProposalOut:
    """Put an offer on the short list; its freelancer is told."""
    again = seen_by(caller, proposals.read)
    return show(await once(bids.shortlist, proposal_id, client_id=caller.id, again=again))


@post("/{proposal_id:int}/reject", status_code=HTTP_200_OK, guards=[role(Role.CLIENT)])
async def reject_proposal(
    proposal_id: PathId, caller: Asking, once: Once, data: JSONBody[Rejection | None] = None
) -> ProposalOut:
    """Turn an offer down; its freelancer is told, with the reason if there is one."""
    again = seen_by(caller, proposals.read)
    reason = data.reason if data else None
    return show(await once(bids.reject, proposal_id, client_id=caller.id, reason=reason, again=again))


@post("/{proposal_id:int}/accept", status_code=HTTP_200_OK, guards=[role(Role.CLIENT), verified])
async def accept_proposal(
    *, proposal_id: PathId, caller: Asking, state: State, once: Once, data: JSONBody[Acceptance | None] = None
) -> ProposalOut:
    """Take one offer and reject the rest: the answer's `contract_id` waits for both signatures."""
    config: Settings = state.settings
    policy = Policy(fee_bp=config.fees.platform_bp)
    again = seen_by(caller, proposals.read)
    bid = data.bid_amount if data else None
    return show(
        await once(acceptance.accept, proposal_id, client_id=caller.id, policy=policy, seen_bid=bid, again=again)
    )


router = Router(
    "/api/proposals",
    route_handlers=[
        submit_proposal,
        list_proposals,
        read_proposal,
        edit_proposal,
        withdraw_proposal,
        shortlist_proposal,
        reject_proposal,
        accept_proposal,
    ],
    tags=["proposals"],
    guards=[signed_in],
)
