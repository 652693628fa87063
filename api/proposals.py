"""What freelancers offer, over HTTP."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Final

import msgspec
from litestar import Router, get, post
from litestar.datastructures import State
from litestar.params import JSONBody
from litestar.status_codes import HTTP_200_OK

from api.auth import Asking, role, signed_in, verified
from api.fields import Amount, Body, Currency, Id, PathId, Prose, QueryId, Title
from api.idempotency import Once, seen_by
from api.pages import DEFAULT_LIMIT, Cursor, Limit, Page, decode_cursor, page
from models import acceptance, proposals
from models.accounts import Role
from models.money import Money
from models.policy import Policy
from models.proposals import MAX_STAGES, Offer, ProposalRow, ProposalStatus, Stage
from settings import Settings

LISTING: Final = "proposals"
MAX_DELIVERY_DAYS: Final = 3650


class PlannedMilestone(Body, frozen=True, kw_only=True):
    """A stage of the work, in the proposal's currency."""

    title: Title
    amount: Amount
    due_date: date | None = None


class NewProposal(Body, frozen=True, kw_only=True):
    """A freelancer's offer; its milestones, when it has any, add up to `bid_amount`."""

    project_id: Id
    cover_letter: Prose
    bid_amount: Amount
    currency: Currency
    delivery_days: Annotated[int, msgspec.Meta(ge=1, le=MAX_DELIVERY_DAYS)]
    milestones: Annotated[list[PlannedMilestone], msgspec.Meta(max_length=MAX_STAGES)] = msgspec.field(
        default_factory=list
    )

    def offer(self) -> Offer:
        """What the domain is told."""
        stages = [
            Stage(
                title=one.title,
                amount_minor=Money.from_major(one.amount, self.currency).minor,
                due_date=one.due_date,
            )
            for one in self.milestones
        ]
        bid = Money.from_major(self.bid_amount, self.currency)
        return Offer(cover_letter=self.cover_letter, bid=bid, delivery_days=self.delivery_days, stages=stages)


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
    status: ProposalStatus
    contract_id: int | None
    created_at: datetime
    decided_at: datetime | None


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
        milestones=[
            MilestonePlan(one.title, Money(one.amount_minor, proposal.currency).major, one.due_date)
            for one in proposal.stages
        ],
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
    caller: Asking, project_id: QueryId = None, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[ProposalOut]:
    """A project's proposals: all of them for its client, else one's own. Without a project: one's own for any."""
    before = decode_cursor(LISTING, cursor, int)
    if project_id is None:
        found = await proposals.list_own(caller.id, before=before, limit=limit + 1)
    else:
        found = await proposals.list_for_project(
            project_id, user_id=caller.id, admin=caller.admin, before=before, limit=limit + 1
        )
    return page(LISTING, [show(one) for one in found], limit, lambda one: one.id)


@get("/{proposal_id:int}")
async def read_proposal(proposal_id: PathId, caller: Asking) -> ProposalOut:
    """A proposal, for its freelancer and the project's client."""
    return show(await proposals.read(proposal_id, user_id=caller.id, admin=caller.admin))


@post("/{proposal_id:int}/accept", status_code=HTTP_200_OK, guards=[role(Role.CLIENT), verified])
async def accept_proposal(proposal_id: PathId, caller: Asking, state: State, once: Once) -> ProposalOut:
    """Take one offer and reject the rest: the answer's `contract_id` waits for both signatures."""
    config: Settings = state.settings
    policy = Policy(fee_bp=config.fees.platform_bp)
    again = seen_by(caller, proposals.read)
    return show(await once(acceptance.accept, proposal_id, client_id=caller.id, policy=policy, again=again))


router = Router(
    "/api/proposals",
    route_handlers=[submit_proposal, list_proposals, read_proposal, accept_proposal],
    tags=["proposals"],
    guards=[signed_in],
)
