"""A client asks for a milestone's money back, over HTTP. What was agreed on is `due`: another call moves it."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Final

import msgspec
from litestar import Router, get, post
from litestar.params import JSONBody
from litestar.status_codes import HTTP_200_OK

from api.auth import Asking, role, signed_in
from api.fields import MAX_ID, Amount, Body, Note, PathId
from api.idempotency import Once, seen_by
from api.pages import DEFAULT_LIMIT, Cursor, Limit, Page, decode_cursor, page
from models import refund_requests, settlements
from models.accounts import Role
from models.refund_requests import RefundRequestRow, RefundRequestStatus
from models.settlements import SettlementCause, SettlementRow, SettlementStatus

LISTING: Final = "refund_requests"


class RefundWish(Body, frozen=True, kw_only=True):
    """What the client wants back, in major units: by default, and at most, the milestone's whole amount."""

    amount: Annotated[Amount | None, msgspec.Meta(description="the whole when absent")] = None
    reason: Note


class SettlementOut(msgspec.Struct, frozen=True, kw_only=True):
    """Who gets how much of a milestone's money, before the platform's fee; `due` until it has moved."""

    status: SettlementStatus
    freelancer_amount: Decimal
    client_amount: Decimal
    currency: str


class RefundRequestOut(msgspec.Struct, frozen=True, kw_only=True):
    """A request as both parties see it. Accepted with nobody in `answered_by`: by silence."""

    id: int
    milestone_id: int
    amount: Decimal
    currency: str
    reason: str
    status: RefundRequestStatus
    answered_by: int | None
    answer_due_at: datetime | None
    created_at: datetime
    answered_at: datetime | None
    settlement: SettlementOut | None


def show_settlement(found: SettlementRow | None) -> SettlementOut | None:
    """The settlement as it is answered."""
    if found is None:
        return None
    return SettlementOut(
        status=found.status,
        freelancer_amount=found.freelancer.major,
        client_amount=found.client.major,
        currency=found.client.currency,
    )


async def show(*requests: RefundRequestRow) -> list[RefundRequestOut]:
    """The requests as they are answered, with what became of the money."""
    settled = await settlements.of_cause(SettlementCause.REFUND_REQUEST, *(one.id for one in requests))
    return [
        RefundRequestOut(
            id=one.id,
            milestone_id=one.milestone_id,
            amount=one.amount.major,
            currency=one.currency,
            reason=one.reason,
            status=one.status,
            answered_by=one.answered_by,
            answer_due_at=one.answer_due_at,
            created_at=one.created_at,
            answered_at=one.answered_at,
            settlement=show_settlement(settled.get(one.id)),
        )
        for one in requests
    ]


async def _one(request: RefundRequestRow) -> RefundRequestOut:
    [shown] = await show(request)
    return shown


@post("/{milestone_id:int}/refund-request", guards=[role(Role.CLIENT)])
async def request_refund(
    milestone_id: PathId, data: JSONBody[RefundWish], caller: Asking, once: Once
) -> RefundRequestOut:
    """Ask for a milestone's money back. Its freelancer answers within 7 days: after that they have agreed."""
    made = await once(
        refund_requests.ask,
        milestone_id,
        client_id=caller.id,
        amount=data.amount,
        reason=data.reason,
        again=seen_by(caller, refund_requests.read),
    )
    return await _one(made)


@post(
    "/{milestone_id:int}/refund-accept",
    status_code=HTTP_200_OK,
    opt={"bodiless": True},
    guards=[role(Role.FREELANCER)],
)
async def accept_refund(milestone_id: PathId, caller: Asking, once: Once) -> RefundRequestOut:
    """Agree to pay back what was asked for. The milestone is settling: its money stays in escrow while that is due."""
    again = seen_by(caller, refund_requests.read)
    return await _one(await once(refund_requests.accept, milestone_id, freelancer_id=caller.id, again=again))


@post(
    "/{milestone_id:int}/refund-decline",
    status_code=HTTP_200_OK,
    opt={"bodiless": True},
    guards=[role(Role.FREELANCER)],
)
async def decline_refund(milestone_id: PathId, caller: Asking, once: Once) -> RefundRequestOut:
    """Do not agree; nothing moves."""
    again = seen_by(caller, refund_requests.read)
    return await _one(await once(refund_requests.decline, milestone_id, freelancer_id=caller.id, again=again))


@post(
    "/{milestone_id:int}/refund-withdraw",
    status_code=HTTP_200_OK,
    opt={"bodiless": True},
    guards=[role(Role.CLIENT)],
)
async def withdraw_refund(milestone_id: PathId, caller: Asking, once: Once) -> RefundRequestOut:
    """Take one's own request back before it is answered."""
    again = seen_by(caller, refund_requests.read)
    return await _one(await once(refund_requests.withdraw, milestone_id, client_id=caller.id, again=again))


@get("/{milestone_id:int}/refund-requests")
async def list_refund_requests(
    milestone_id: PathId, caller: Asking, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[RefundRequestOut]:
    """A milestone's requests, newest first, for its contract's two parties."""
    before = decode_cursor(LISTING, cursor, int) or MAX_ID
    found: Sequence[RefundRequestRow] = await refund_requests.list_of_milestone(
        milestone_id, user_id=caller.id, admin=caller.admin, before=before, limit=limit + 1
    )
    return page(LISTING, await show(*found), limit, lambda one: one.id)


router = Router(
    "/api/milestones",
    route_handlers=[request_refund, accept_refund, decline_refund, withdraw_refund, list_refund_requests],
    tags=["milestones"],
    guards=[signed_in],
)
