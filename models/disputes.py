"""Two parties who do not agree about a milestone: one opens a dispute, both are heard.

Only the milestone stands still meanwhile, not its contract. Refuses a second dispute while one is open. What both
sides show stands in `evidence.py`; who decides, and what then becomes of the money, in `mediation.py`.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from piccolo.columns import BigSerial, Integer, Text, Timestamptz
from piccolo.columns.defaults.timestamptz import TimestamptzNow
from piccolo.table import Table

from models import business_time, guard, mail, milestones, notifications, refund_requests, timers
from models.accounts import User
from models.base import Record, restricted
from models.contracts import ContractRow
from models.errors import NotFound
from models.milestones import Milestone, MilestoneRow, MilestoneStatus
from models.money import Money
from models.notifications import NotificationType
from models.queries import query
from models.states import Edge, Machine, Part
from models.timers import TimerKind

WORKING_DAYS: Final = 5
"""Monday to Friday: to answer a dispute, to bring evidence, to appeal. Source: domain.md, states."""


class DisputeStatus(StrEnum):
    """Where a dispute stands."""

    OPEN = "open"
    EVIDENCE = "evidence"
    MEDIATION = "mediation"
    RESOLVED = "resolved"
    APPEALED = "appealed"
    CLOSED = "closed"


class DisputeReason(StrEnum):
    """What it is about."""

    NOT_DELIVERED = "not_delivered"
    NOT_AS_DESCRIBED = "not_as_described"
    QUALITY = "quality"
    LATE = "late"
    UNPAID_WORK = "unpaid_work"
    OTHER = "other"


class Dispute(Table, tablename="disputes"):
    """A disagreement about one milestone. `share_bp`: how much of its money the freelancer gets, in basis points."""

    id = BigSerial(primary_key=True)
    milestone = restricted(Milestone)
    opener = restricted(User)
    other_party = restricted(User)
    reason = Text()
    description = Text()
    status = Text(default=DisputeStatus.OPEN.value)
    assignee = restricted(User, null=True)
    share_bp = Integer(null=True, default=None)
    decision = Text(null=True, default=None)
    decided_by = restricted(User, null=True, index=False)
    decided_at = Timestamptz(null=True, default=None)
    appealed_by = restricted(User, null=True, index=False)
    appeal = Text(null=True, default=None)
    created_at = Timestamptz(default=TimestamptzNow())
    closed_at = Timestamptz(null=True, default=None)


MACHINE: Final = Machine[DisputeStatus](
    noun="dispute",
    start=DisputeStatus.OPEN,
    edges=(
        Edge(
            source=DisputeStatus.OPEN,
            target=DisputeStatus.EVIDENCE,
            verb="answer",
            by=(Part.CLIENT, Part.FREELANCER),
            guard="the party who did not open it brings evidence",
            timer="dispute.evidence",
            tells=("dispute_answered",),
        ),
        Edge(
            source=DisputeStatus.OPEN,
            target=DisputeStatus.MEDIATION,
            verb="end_answer",
            by=(Part.SYSTEM,),
            guard="5 working days went by without an answer",
            tells=("dispute_mediated",),
        ),
        Edge(
            source=DisputeStatus.EVIDENCE,
            target=DisputeStatus.MEDIATION,
            verb="end_evidence",
            by=(Part.SYSTEM,),
            guard="5 working days for evidence are over",
            tells=("dispute_mediated",),
        ),
        *(
            Edge(
                source=source,
                target=DisputeStatus.MEDIATION,
                verb="assign",
                by=(Part.ADMIN,),
                guard="to an admin who is no party of it",
                tells=("dispute_mediated", "dispute_assigned"),
            )
            for source in (DisputeStatus.OPEN, DisputeStatus.EVIDENCE)
        ),
        Edge(
            source=DisputeStatus.MEDIATION,
            target=DisputeStatus.RESOLVED,
            verb="resolve",
            by=(Part.ADMIN,),
            guard="whom it is assigned to",
            timer="dispute.appeal",
            tells=("dispute_resolved",),
            mails=("dispute_resolved",),
        ),
        Edge(
            source=DisputeStatus.RESOLVED,
            target=DisputeStatus.APPEALED,
            verb="appeal",
            by=(Part.CLIENT, Part.FREELANCER),
            guard="once, within 5 working days",
            tells=("dispute_appealed",),
        ),
        Edge(
            source=DisputeStatus.RESOLVED,
            target=DisputeStatus.CLOSED,
            verb="end_appeal",
            by=(Part.SYSTEM,),
            guard="nobody appealed in 5 working days; the milestone is settled",
            tells=("dispute_closed",),
            events=("milestone_update",),
        ),
        Edge(
            source=DisputeStatus.APPEALED,
            target=DisputeStatus.CLOSED,
            verb="resolve",
            by=(Part.ADMIN,),
            guard="whom it is assigned to, another admin than the first; the milestone is settled",
            tells=("dispute_closed",),
            mails=("dispute_resolved",),
            events=("milestone_update",),
        ),
        *(
            Edge(
                source=source,
                target=DisputeStatus.CLOSED,
                verb="lapse",
                by=(Part.SYSTEM,),
                guard="the bank let go of the hold that it was about",
                tells=("dispute_closed",),
            )
            for source in DisputeStatus
            if source is not DisputeStatus.CLOSED
        ),
    ),
)


class DisputeRow(Record, frozen=True):
    """A dispute as the domain passes it around, with what its milestone is about and the clock that runs."""

    id: int
    milestone_id: int
    milestone_title: str
    amount_minor: int
    currency: str
    contract_id: int
    project_id: int
    contract_title: str
    opener_id: int
    other_party_id: int
    reason: DisputeReason
    description: str
    status: DisputeStatus
    assignee_id: int | None
    share_bp: int | None
    decision: str | None
    decided_by: int | None
    decided_at: datetime | None
    appealed_by: int | None
    appeal: str | None
    created_at: datetime
    closed_at: datetime | None
    clock: TimerKind | None
    due_at: datetime | None

    @property
    def amount(self) -> Money:
        """What it is about."""
        return Money(self.amount_minor, self.currency)

    @property
    def parties(self) -> tuple[int, int]:
        """Who opened it, and the other one."""
        return self.opener_id, self.other_party_id


# Of the three clocks one runs at a time: every change of state stops the one before.
SELECT: Final = """
select d.id, d.milestone as milestone_id, m.title as milestone_title, m.amount_minor, m.currency,
       m.contract as contract_id, c.project as project_id, c.title as contract_title, d.opener as opener_id,
       d.other_party as other_party_id, d.reason, d.description, d.status, d.assignee as assignee_id, d.share_bp,
       d.decision, d.decided_by, d.decided_at, d.appealed_by, d.appeal, d.created_at, d.closed_at,
       t.kind as clock, t.due_at
  from disputes d join milestones m on m.id = d.milestone join contracts c on c.id = m.contract
       left join timers t on t.subject_id = d.id and t.fired_at is null
                             and t.kind in ('dispute.answer', 'dispute.evidence', 'dispute.appeal')
"""

LIST_OWN: Final = query(
    "disputes.own",
    SELECT
    + """where d.id in (select id from disputes where opener = $1 union all
                        select id from disputes where other_party = $1)
           and d.id < $2 and ($4::text is null or d.status = $4) order by d.id desc limit $3""",
)
LIST_ALL: Final = query("disputes.all", SELECT + "where d.id < $1 order by d.id desc limit $2")
LIST_BY_STATUS: Final = query(
    "disputes.by_status", SELECT + "where d.status = $3 and d.id < $1 order by d.id desc limit $2"
)
LIST_ASSIGNED: Final = query(
    "disputes.assigned",
    SELECT + "where d.assignee = $3 and d.id < $1 and ($4::text is null or d.status = $4) order by d.id desc limit $2",
)

OPEN: Final = """
insert into disputes (milestone, opener, other_party, reason, description, created_at)
values ($1, $2, $3, $4, $5, business_now()) returning id
"""

# By now it may have a clock, a decision or an assignee that it had not: only what is named changes.
MOVE: Final = "update disputes set status = $2 where id = $1"


def _row(found: Any) -> DisputeRow:
    fields = dict(found)
    fields["reason"] = DisputeReason(fields["reason"])
    fields["status"] = DisputeStatus(fields["status"])
    fields["clock"] = None if fields["clock"] is None else TimerKind(fields["clock"])
    return DisputeRow(**fields)


# Verbs


async def open_dispute(milestone_id: int, *, user_id: int, reason: DisputeReason, description: str) -> DisputeRow:
    """Freeze a milestone that money is held for; the other party has five working days to answer.

    Silence approves nothing any more, and an open refund request is withdrawn. Raises NotFound for a stranger,
    WrongState unless the milestone is funded, submitted or to be changed.
    """
    milestone, contract = await milestones.lock_with_contract(milestone_id)
    if user_id not in (contract.client_id, contract.freelancer_id):
        raise NotFound(f"There is no milestone {milestone_id}.")
    milestones.MACHINE.check(milestone.status, MilestoneStatus.DISPUTED, verb="open_dispute")
    other = contract.other_party(user_id)
    dispute_id = await guard.value(OPEN, milestone_id, user_id, other, reason.value, description)
    await milestones.move(milestone, contract, MilestoneStatus.DISPUTED)
    await milestones.stop_clocks(milestone_id)
    await refund_requests.withdraw_open(milestone_id)
    await start_clock(TimerKind.DISPUTE_ANSWER, dispute_id, contract)
    dispute = await reread(dispute_id)
    await _tell_opened(dispute, contract)
    return dispute


async def start_clock(kind: TimerKind, dispute_id: int, contract: ContractRow) -> None:
    """Begin five working days of the contract's own time zone."""
    zone = await guard.value("select time_zone from contracts where id = $1", contract.id)
    due_at = business_time.working_days_after(await business_time.now(), WORKING_DAYS, zone)
    await timers.start(kind, dispute_id, due_at)


async def stop_clocks(dispute_id: int) -> None:
    """Stop whatever a dispute waits for. With its milestone's lock."""
    await timers.clear(dispute_id, TimerKind.DISPUTE_ANSWER, TimerKind.DISPUTE_EVIDENCE, TimerKind.DISPUTE_APPEAL)


async def locked(dispute_id: int) -> tuple[DisputeRow, MilestoneRow, ContractRow]:
    """The dispute with its milestone and contract, locked until the transaction ends, whoever asks. Raises NotFound."""
    guard.in_transaction()
    milestone_id = await guard.value("select milestone from disputes where id = $1", dispute_id)
    if milestone_id is None:
        raise NotFound(f"There is no dispute {dispute_id}.")
    milestone, contract = await milestones.lock_with_contract(milestone_id)
    await guard.rows("select 1 from disputes where id = $1 for no key update", dispute_id)
    return await reread(dispute_id), milestone, contract


async def reread(dispute_id: int) -> DisputeRow:
    """The dispute as it stands, whoever asks."""
    return _row(await guard.only(SELECT + "where d.id = $1", dispute_id))


async def tell(
    dispute: DisputeRow,
    *people: int,
    type: NotificationType,  # noqa: A002  the wire's word
    title: str,
    message: str,
) -> None:
    """Notify people of a dispute."""
    for person in people:
        await notifications.tell(
            person,
            type=type,
            title=title,
            message=message,
            data={
                "dispute_id": dispute.id,
                "milestone_id": dispute.milestone_id,
                "contract_id": dispute.contract_id,
                "project_id": dispute.project_id,
            },
        )


async def _tell_opened(dispute: DisputeRow, contract: ContractRow) -> None:
    opener = contract.name_of(dispute.opener_id)
    await tell(
        dispute,
        dispute.other_party_id,
        type=NotificationType.DISPUTE_OPENED,
        title="Dispute opened",
        message=f"{opener} has opened a dispute about “{dispute.milestone_title}”. Answer within 5 working days.",
    )
    await mail.write(
        "dispute_opened",
        to=dispute.other_party_id,
        about=f"dispute:{dispute.id}",
        project_title=dispute.contract_title,
        contract_id=dispute.contract_id,
        milestone_id=dispute.milestone_id,
        milestone_title=dispute.milestone_title,
        dispute_id=dispute.id,
        other_name=opener,
        amount_minor=dispute.amount_minor,
        currency=dispute.currency,
    )


# Queries


async def read(dispute_id: int, *, user_id: int, admin: bool) -> DisputeRow:
    """The dispute, for its two parties or an admin. Raises NotFound for anybody else."""
    found = await guard.row(
        SELECT + "where d.id = $1 and ($3 or d.opener = $2 or d.other_party = $2)", dispute_id, user_id, admin
    )
    if found is None:
        raise NotFound(f"There is no dispute {dispute_id}.")
    return _row(found)


async def list_own(user_id: int, *, status: DisputeStatus | None, before: int, limit: int) -> list[DisputeRow]:
    """One's own newest disputes, all or those in one state, from `before` (an id, exclusive) backwards."""
    return [_row(one) for one in await guard.rows(LIST_OWN, user_id, before, limit, status)]


async def list_all(
    *, status: DisputeStatus | None, assignee_id: int | None, before: int, limit: int
) -> list[DisputeRow]:
    """The newest disputes of everybody, for an admin: in one state, assigned to somebody, or both."""
    if assignee_id is not None:
        found = await guard.rows(LIST_ASSIGNED, before, limit, assignee_id, status)
    elif status is not None:
        found = await guard.rows(LIST_BY_STATUS, before, limit, status)
    else:
        found = await guard.rows(LIST_ALL, before, limit)
    return [_row(one) for one in found]
