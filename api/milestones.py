"""The stages of a contract, over HTTP. What moves their money stands in `escrow.py`."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Final

import msgspec
from litestar import Router, get, post
from litestar.params import JSONBody
from litestar.status_codes import HTTP_200_OK

from api.auth import Asking, role, signed_in
from api.fields import Amount, Body, Id, NeededId, Note, PathId, Title
from api.idempotency import Once, seen_by
from api.pages import DEFAULT_LIMIT, Cursor, Limit, Page, decode_cursor, page
from models import milestones
from models.accounts import Role
from models.milestones import MilestoneRow, MilestoneStatus

LISTING: Final = "milestones"


class NewMilestone(Body, frozen=True, kw_only=True):
    """One more stage; the amount is in major units of the contract's currency."""

    contract_id: Id
    title: Title
    description: Annotated[str, msgspec.Meta(max_length=20_000)] = ""
    amount: Amount
    due_date: date | None = None


class Delivery(Body, frozen=True, kw_only=True):
    """What the freelancer says to the work; files cannot be attached yet."""

    note: Note
    attachment_ids: Annotated[list[int], msgspec.Meta(max_length=0, description="must be empty")] = msgspec.field(
        default_factory=list
    )


class MilestoneOut(msgspec.Struct, frozen=True, kw_only=True):
    """A milestone as its contract's parties see it."""

    id: int
    contract_id: int
    title: str
    description: str
    amount: Decimal
    currency: str
    due_date: date | None
    status: MilestoneStatus
    delivery_note: str | None
    submitted_at: datetime | None
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
        submitted_at=milestone.submitted_at,
        created_at=milestone.created_at,
    )


@post("/", guards=[role(Role.CLIENT)])
async def create_milestone(data: JSONBody[NewMilestone], caller: Asking, once: Once) -> MilestoneOut:
    """Add a stage to a contract that has not ended."""
    made = await once(
        milestones.create,
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


@post("/{milestone_id:int}/submit", status_code=HTTP_200_OK, guards=[role(Role.FREELANCER)])
async def submit_milestone(milestone_id: PathId, data: JSONBody[Delivery], caller: Asking, once: Once) -> MilestoneOut:
    """Deliver a funded milestone and ask for its approval."""
    again = seen_by(caller, milestones.read)
    return show(await once(milestones.submit, milestone_id, freelancer_id=caller.id, note=data.note, again=again))


router = Router(
    "/api/milestones",
    route_handlers=[create_milestone, list_milestones, read_milestone, submit_milestone],
    tags=["milestones"],
    guards=[signed_in],
)
