"""The stages of a contract, over HTTP. What moves their money stands in `escrow.py`."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Final

import msgspec
from litestar import Router, get, patch, post
from litestar.params import JSONBody
from litestar.status_codes import HTTP_200_OK

from api.auth import Asking, role, signed_in
from api.fields import Amount, Body, Id, NeededId, Note, PathId, Title
from api.idempotency import Once, seen_by
from api.pages import DEFAULT_LIMIT, Cursor, Limit, Page, decode_cursor, page
from models import milestones, plans
from models.accounts import Role
from models.guard import commit
from models.milestones import MAX_ATTACHMENTS, MilestoneRow, MilestoneStatus
from models.plans import Amendment

LISTING: Final = "milestones"
Description = Annotated[str, msgspec.Meta(max_length=20_000)]


class NewMilestone(Body, frozen=True, kw_only=True):
    """One more stage; the amount is in major units of the contract's currency."""

    contract_id: Id
    title: Title
    description: Description = ""
    amount: Amount
    due_date: date | None = None


class MilestoneChange(Body, frozen=True, kw_only=True):
    """What changes of a plan; what is absent stays."""

    title: Title | msgspec.UnsetType = msgspec.UNSET
    description: Description | msgspec.UnsetType = msgspec.UNSET
    amount: Amount | msgspec.UnsetType = msgspec.UNSET
    due_date: date | msgspec.UnsetType | None = msgspec.UNSET

    def amendment(self) -> Amendment:
        """What the domain is told."""
        return Amendment(
            title=self.title or None,
            description=None if self.description is msgspec.UNSET else self.description,
            amount=None if self.amount is msgspec.UNSET else self.amount,
            due_date=self.due_date or None,
            keeps_due_date=self.due_date is msgspec.UNSET,
        )


class Delivery(Body, frozen=True, kw_only=True):
    """What the freelancer says to the work, and the files that show it: uploads of theirs for a deliverable."""

    note: Note
    attachment_ids: Annotated[list[Id], msgspec.Meta(max_length=MAX_ATTACHMENTS)] = msgspec.field(default_factory=list)


class Wanting(Body, frozen=True, kw_only=True):
    """What a delivery lacks."""

    note: Note


class MilestoneOut(msgspec.Struct, frozen=True, kw_only=True):
    """A milestone as its contract's parties see it; at `approves_at` the client's silence approves it."""

    id: int
    contract_id: int
    title: str
    description: str
    amount: Decimal
    currency: str
    due_date: date | None
    status: MilestoneStatus
    delivery_note: str | None
    attachment_ids: list[int]
    change_note: str | None
    submitted_at: datetime | None
    approves_at: datetime | None
    created_at: datetime


def show(milestone: MilestoneRow) -> MilestoneOut:
    """The milestone as it is answered."""
    return MilestoneOut(
        id=milestone.id,
        contract_id=milestone.contract_id,
        title=milestone.title,
        description=milestone.description,
        amount=milestone.amount.major,
        currency=milestone.currency,
        due_date=milestone.due_date,
        status=milestone.status,
        delivery_note=milestone.delivery_note,
        attachment_ids=milestone.attachment_ids,
        change_note=milestone.change_note,
        submitted_at=milestone.submitted_at,
        approves_at=milestone.approves_at,
        created_at=milestone.created_at,
    )


@post("/", guards=[role(Role.CLIENT)])
async def create_milestone(data: JSONBody[NewMilestone], caller: Asking, once: Once) -> MilestoneOut:
    """Add a stage to a fixed contract that has not ended."""
    made = await once(
        plans.create,
        data.contract_id,
        client_id=caller.id,
        title=data.title,
        description=data.description,
        amount=data.amount,
        due_date=data.due_date,
        again=seen_by(caller, milestones.read),
    )
    return show(made)


@get("/")
async def list_milestones(
    caller: Asking, contract_id: NeededId, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[MilestoneOut]:
    """A contract's milestones in the order they were planned."""
    after = decode_cursor(LISTING, cursor, int)
    found = await milestones.list_by_contract(
        contract_id, user_id=caller.id, admin=caller.admin, after=after, limit=limit + 1
    )
    return page(LISTING, [show(one) for one in found], limit, lambda one: one.id)


@get("/{milestone_id:int}")
async def read_milestone(milestone_id: PathId, caller: Asking) -> MilestoneOut:
    """A milestone, for its contract's two parties."""
    return show(await milestones.read(milestone_id, user_id=caller.id, admin=caller.admin))


@patch("/{milestone_id:int}", guards=[role(Role.CLIENT)])
async def edit_milestone(milestone_id: PathId, data: JSONBody[MilestoneChange], caller: Asking) -> MilestoneOut:
    """Change the plan of a milestone; 409 once it is being paid."""
    return show(await commit(plans.edit, milestone_id, data.amendment(), client_id=caller.id))


@post("/{milestone_id:int}/cancel", status_code=HTTP_200_OK, guards=[role(Role.CLIENT)])
async def cancel_milestone(milestone_id: PathId, caller: Asking, once: Once) -> MilestoneOut:
    """Drop a milestone that is not paid."""
    again = seen_by(caller, milestones.read)
    return show(await once(plans.cancel, milestone_id, client_id=caller.id, again=again))


@post("/{milestone_id:int}/request-changes", status_code=HTTP_200_OK, guards=[role(Role.CLIENT)])
async def request_changes(milestone_id: PathId, data: JSONBody[Wanting], caller: Asking, once: Once) -> MilestoneOut:
    """Give a delivery back with what it lacks: nothing is approved by silence until it comes again."""
    again = seen_by(caller, milestones.read)
    return show(await once(plans.request_changes, milestone_id, client_id=caller.id, note=data.note, again=again))


@post("/{milestone_id:int}/submit", status_code=HTTP_200_OK, guards=[role(Role.FREELANCER)])
async def submit_milestone(milestone_id: PathId, data: JSONBody[Delivery], caller: Asking, once: Once) -> MilestoneOut:
    """Deliver a funded milestone and ask for its approval; 14 days of silence approve it."""
    delivered = await once(
        milestones.submit,
        milestone_id,
        freelancer_id=caller.id,
        note=data.note,
        attachment_ids=data.attachment_ids,
        again=seen_by(caller, milestones.read),
    )
    return show(delivered)


router = Router(
    "/api/milestones",
    route_handlers=[
        create_milestone,
        list_milestones,
        read_milestone,
        edit_milestone,
        cancel_milestone,
        request_changes,
        submit_milestone,
    ],
    tags=["milestones"],
    guards=[signed_in],
)
