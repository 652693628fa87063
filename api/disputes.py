"""Disputes over HTTP: opening, evidence, who decides, the decision, the appeal."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Final

import msgspec
from litestar import Router, get, post
from litestar.params import FromQuery, JSONBody
from litestar.status_codes import HTTP_200_OK

from api.auth import Asking, Caller, role, signed_in
from api.fields import MAX_ID, Body, Id, PathId, Prose
from api.idempotency import Once, seen_by
from api.pages import DEFAULT_LIMIT, Cursor, Limit, Page, decode_cursor, page
from api.refund_requests import SettlementOut, show_settlement
from models import disputes, evidence, mediation, settlements
from models.accounts import Role
from models.disputes import DisputeReason, DisputeRow, DisputeStatus
from models.errors import Invalid, RoleNotAllowed
from models.evidence import MOST_ATTACHMENTS, EvidenceRow
from models.money import BASIS_POINTS
from models.settlements import SettlementCause
from models.timers import TimerKind

LISTING: Final = "disputes"


class Assignee(StrEnum):
    """Whose disputes an admin lists."""

    ME = "me"


class Clock(StrEnum):
    """What a dispute waits for."""

    ANSWER = "answer"
    EVIDENCE = "evidence"
    APPEAL = "appeal"


CLOCKS: Final = {
    TimerKind.DISPUTE_ANSWER: Clock.ANSWER,
    TimerKind.DISPUTE_EVIDENCE: Clock.EVIDENCE,
    TimerKind.DISPUTE_APPEAL: Clock.APPEAL,
}


class NewDispute(Body, frozen=True, kw_only=True):
    """Which milestone, what it is about, and how one sees it."""

    milestone_id: Id
    reason: DisputeReason
    description: Prose


class NewEvidence(Body, frozen=True, kw_only=True):
    """What one says, and files of one's own that were uploaded as evidence."""

    note: Prose
    attachment_ids: Annotated[list[Id], msgspec.Meta(max_length=MOST_ATTACHMENTS)] = msgspec.field(default_factory=list)


class Assignment(Body, frozen=True, kw_only=True):
    """The admin who is to decide; oneself when absent."""

    admin_id: Id | None = None


class Decision(Body, frozen=True, kw_only=True):
    """How much of the money the freelancer gets, and why."""

    freelancer_share: Annotated[
        Decimal, msgspec.Meta(description="from 0 to 1, at most four decimals", examples=[0.25])
    ]
    reason: Prose

    @property
    def share_bp(self) -> int:
        """The share in basis points. Raises Invalid for what is no share, or finer than that."""
        share = self.freelancer_share
        if not share.is_finite() or not 0 <= share <= 1 or share * BASIS_POINTS % 1:
            raise Invalid("`freelancer_share` is from 0 to 1, with at most four decimals.", field="freelancer_share")
        return int(share * BASIS_POINTS)


class Objection(Body, frozen=True, kw_only=True):
    """Why a decision is to be looked at once more."""

    reason: Prose


class EvidenceOut(msgspec.Struct, frozen=True, kw_only=True):
    """What a party said and showed."""

    id: int
    author_id: int
    note: str
    attachment_ids: list[int]
    created_at: datetime


class DisputeOut(msgspec.Struct, frozen=True, kw_only=True):
    """A dispute as it is listed. `waits_for` and `due_at` are the clock that runs, if one does.

    `assignee_id` is for admins; others see null.
    """

    id: int
    milestone_id: int
    milestone_title: str
    contract_id: int
    amount: Decimal
    currency: str
    opener_id: int
    other_party_id: int
    reason: DisputeReason
    description: str
    status: DisputeStatus
    waits_for: Clock | None
    due_at: datetime | None
    assignee_id: int | None
    freelancer_share: Decimal | None
    decision: str | None
    decided_at: datetime | None
    appealed_by: int | None
    appeal: str | None
    created_at: datetime
    closed_at: datetime | None


class DisputeWhole(DisputeOut, frozen=True, kw_only=True):
    """A dispute with all that was said, and once it is closed with who gets how much; null when all is released."""

    evidence: list[EvidenceOut]
    settlement: SettlementOut | None


def _fields(dispute: DisputeRow, caller: Caller) -> dict[str, object]:
    kept = {name: getattr(dispute, name) for name in DisputeOut.__struct_fields__ if hasattr(dispute, name)}
    share = dispute.share_bp
    return {
        **kept,
        "amount": dispute.amount.major,
        "assignee_id": dispute.assignee_id if caller.admin else None,
        "waits_for": None if dispute.clock is None else CLOCKS[dispute.clock],
        "freelancer_share": None if share is None else Decimal(share).scaleb(-4),
    }


def show(dispute: DisputeRow, caller: Caller) -> DisputeOut:
    """The dispute as it is listed for this caller."""
    return msgspec.convert(_fields(dispute, caller), DisputeOut)


def _show_evidence(one: EvidenceRow) -> EvidenceOut:
    return EvidenceOut(
        id=one.id,
        author_id=one.author_id,
        note=one.note,
        attachment_ids=one.attachment_ids,
        created_at=one.created_at,
    )


async def whole(dispute: DisputeRow, caller: Caller) -> DisputeWhole:
    """The dispute with its evidence and its settlement."""
    said = [_show_evidence(one) for one in await evidence.of_dispute(dispute.id)]
    settled = await settlements.of_cause(SettlementCause.DISPUTE, dispute.id)
    found = show_settlement(settled.get(dispute.id))
    return msgspec.convert({**_fields(dispute, caller), "evidence": said, "settlement": found}, DisputeWhole)


@post("/", guards=[role(Role.CLIENT, Role.FREELANCER)])
async def open_dispute(data: JSONBody[NewDispute], caller: Asking, once: Once) -> DisputeWhole:
    """Freeze a milestone that money is held for. The other party has 5 working days to answer, with evidence."""
    made = await once(
        disputes.open_dispute,
        data.milestone_id,
        user_id=caller.id,
        reason=data.reason,
        description=data.description,
        again=seen_by(caller, disputes.read),
    )
    return await whole(made, caller)


@get("/")
async def list_disputes(
    *,
    caller: Asking,
    status: FromQuery[DisputeStatus | None] = None,
    assignee: FromQuery[Assignee | None] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[DisputeOut]:
    """One's own disputes, newest first; for an admin everybody's, or with `assignee=me` those to decide."""
    before = decode_cursor(LISTING, cursor, int) or MAX_ID
    if assignee and not caller.admin:
        raise RoleNotAllowed("Disputes are assigned to admins.")
    found = await _listed(caller, status, assignee, before, limit + 1)
    return page(LISTING, [show(one, caller) for one in found], limit, lambda one: one.id)


async def _listed(
    caller: Asking, status: DisputeStatus | None, assignee: Assignee | None, before: int, limit: int
) -> list[DisputeRow]:
    if not caller.admin:
        return await disputes.list_own(caller.id, status=status, before=before, limit=limit)
    mine = caller.id if assignee else None
    return await disputes.list_all(status=status, assignee_id=mine, before=before, limit=limit)


@get("/{dispute_id:int}")
async def read_dispute(dispute_id: PathId, caller: Asking) -> DisputeWhole:
    """A dispute with its evidence and its clock, for its two parties and admins."""
    return await whole(await disputes.read(dispute_id, user_id=caller.id, admin=caller.admin), caller)


@post("/{dispute_id:int}/evidence", guards=[role(Role.CLIENT, Role.FREELANCER)])
async def add_evidence(dispute_id: PathId, data: JSONBody[NewEvidence], caller: Asking, once: Once) -> DisputeWhole:
    """Say and show something until it is decided, and during an appeal. The other party's first evidence answers."""
    made = await once(
        evidence.add,
        dispute_id,
        user_id=caller.id,
        note=data.note,
        attachment_ids=data.attachment_ids,
        again=seen_by(caller, disputes.read),
    )
    return await whole(made, caller)


@post("/{dispute_id:int}/assign", status_code=HTTP_200_OK, guards=[role(Role.ADMIN)])
async def assign_dispute(dispute_id: PathId, data: JSONBody[Assignment], caller: Asking, once: Once) -> DisputeWhole:
    """Say which admin decides; an appeal is heard by another one than decided first."""
    again = seen_by(caller, disputes.read)
    to = data.admin_id or caller.id
    return await whole(await once(mediation.assign, dispute_id, to=to, admin_id=caller.id, again=again), caller)


@post("/{dispute_id:int}/resolve", status_code=HTTP_200_OK, guards=[role(Role.ADMIN)])
async def resolve_dispute(dispute_id: PathId, data: JSONBody[Decision], caller: Asking, once: Once) -> DisputeWhole:
    """Decide it. No money moves while it can be appealed: 5 working days, or none when this decides an appeal."""
    made = await once(
        mediation.resolve,
        dispute_id,
        admin_id=caller.id,
        share_bp=data.share_bp,
        reason=data.reason,
        again=seen_by(caller, disputes.read),
    )
    return await whole(made, caller)


@post("/{dispute_id:int}/appeal", status_code=HTTP_200_OK, guards=[role(Role.CLIENT, Role.FREELANCER)])
async def appeal_dispute(dispute_id: PathId, data: JSONBody[Objection], caller: Asking, once: Once) -> DisputeWhole:
    """Have a decision looked at once more, within 5 working days, by another admin."""
    again = seen_by(caller, disputes.read)
    made = await once(mediation.appeal, dispute_id, user_id=caller.id, reason=data.reason, again=again)
    return await whole(made, caller)


router = Router(
    "/api/disputes",
    route_handlers=[
        open_dispute,
        list_disputes,
        read_dispute,
        add_evidence,
        assign_dispute,
        resolve_dispute,
        appeal_dispute,
    ],
    tags=["disputes"],
    guards=[signed_in],
)
