"""The stages of a contract: what is delivered for which part of the money.

Refuses work before funding. What a client plans and changes stands in `plans.py`, what silence does in `silence.py`,
what moves the money in `escrow/`: each changes a milestone through `lock_with_contract`, `move` and
`complete_contract_if_done` only.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from piccolo.columns import Array, BigInt, BigSerial, Date, Text, Timestamptz
from piccolo.columns.defaults.timestamptz import TimestamptzNow
from piccolo.table import Table

from models import completion, contracts, events, guard, mail, notifications, outbox, timers, uploads
from models.base import Record, restricted
from models.contracts import Contract, ContractRow, ContractStatus
from models.errors import NotAllowed, NotFound
from models.locks import Noun, is_held, lock
from models.money import Money
from models.notifications import NotificationType
from models.offers import Stage
from models.projects import BudgetType
from models.queries import query
from models.states import Edge, Machine, Part
from models.timers import TimerKind
from models.uploads import UploadPurpose


class MilestoneStatus(StrEnum):
    """Where a milestone stands."""

    PENDING = "pending"
    FUNDING = "funding"
    FUNDED = "funded"
    SUBMITTED = "submitted"
    CHANGES_REQUESTED = "changes_requested"
    DISPUTED = "disputed"
    RELEASING = "releasing"
    RELEASED = "released"
    SETTLING = "settling"
    """What is owed to each side is written down (`settlements`) and has not moved yet."""
    CANCELLED = "cancelled"


class Milestone(Table, tablename="milestones"):
    """A stage of a contract, in the contract's currency."""

    id = BigSerial(primary_key=True)
    contract = restricted(Contract)
    title = Text()
    description = Text()
    amount_minor = BigInt(default=None)
    currency = Text()
    due_date = Date(null=True, default=None)
    status = Text(default=MilestoneStatus.PENDING.value)
    delivery_note = Text(null=True, default=None)
    attachment_ids = Array(base_column=BigInt(), default=list)
    change_note = Text(null=True, default=None)
    submitted_at = Timestamptz(null=True, default=None)
    created_at = Timestamptz(default=TimestamptzNow())
    updated_at = Timestamptz(default=TimestamptzNow())


def _edge(
    source: MilestoneStatus, target: MilestoneStatus, verb: str, *by: Part, **more: Any
) -> Edge[MilestoneStatus]:  # both parties hear of each
    return Edge(source=source, target=target, verb=verb, by=by, events=("milestone_update",), **more)


_S = MilestoneStatus
_UNSETTLED: Final = (_S.FUNDED, _S.SUBMITTED, _S.CHANGES_REQUESTED)
_ON_HOLD: Final = (*_UNSETTLED, _S.DISPUTED, _S.RELEASING, _S.SETTLING)
_LET_GO: Final = "the bank let go of a hold before it was captured"
_DELIVERED: Final[dict[str, Any]] = {
    "timer": "milestone.approve",
    "tells": ("milestone_submitted",),
    "mails": ("milestone_completed",),
}
_RELEASED: Final[dict[str, Any]] = {
    "tells": ("payment_received", "milestone_released"),
    "mails": ("milestone_completed", "payment_received", "payment_sent"),
}
_CHANGES: Final[dict[str, Any]] = {"tells": ("changes_requested",), "mails": ("changes_requested",)}
_DISPUTE: Final[dict[str, Any]] = {
    "timer": "dispute.answer",
    "tells": ("dispute_opened",),
    "mails": ("dispute_opened",),
}
_REFUND: Final[dict[str, Any]] = {
    "guard": "the client asked; by silence after 7 days",
    "tells": ("refund_answered",),
    "mails": ("refund_answered",),
}

MACHINE: Final = Machine[MilestoneStatus](
    noun="milestone",
    start=_S.PENDING,
    edges=(
        _edge(_S.PENDING, _S.FUNDING, "request_funding", Part.CLIENT, guard="the contract is active"),
        _edge(_S.PENDING, _S.CANCELLED, "cancel", Part.CLIENT, guard="also with its contract, by either party"),
        _edge(_S.FUNDING, _S.FUNDED, "complete_funding", Part.SYSTEM, tells=("milestone_funded",)),
        _edge(
            _S.FUNDING,
            _S.PENDING,
            "complete_canceling",
            Part.SYSTEM,
            guard="the card was declined, and the client is told; or nobody paid in time",
            tells=("payment_failed",),
        ),
        _edge(_S.FUNDED, _S.SUBMITTED, "submit", Part.FREELANCER, **_DELIVERED),
        _edge(_S.SUBMITTED, _S.CHANGES_REQUESTED, "request_changes", Part.CLIENT, **_CHANGES),
        _edge(_S.CHANGES_REQUESTED, _S.SUBMITTED, "submit", Part.FREELANCER, **_DELIVERED),
        _edge(
            _S.SUBMITTED,
            _S.RELEASING,
            "request_release",
            Part.CLIENT,
            Part.SYSTEM,
            guard="by silence: 14 days after the last delivery",
        ),
        _edge(_S.CHANGES_REQUESTED, _S.RELEASING, "request_release", Part.CLIENT),
        _edge(_S.RELEASING, _S.RELEASED, "complete_release", Part.SYSTEM, **_RELEASED),
        _edge(
            _S.RELEASING,
            _S.SUBMITTED,
            "abandon_release",
            Part.SYSTEM,
            guard="the provider refused before any money moved",
            timer="milestone.approve",
            tells=("payment_failed",),
        ),
        *(_edge(held, _S.PENDING, "lapse", Part.SYSTEM, guard=_LET_GO, tells=("payment_failed",)) for held in _ON_HOLD),
        *(_edge(one, _S.DISPUTED, "open_dispute", Part.CLIENT, Part.FREELANCER, **_DISPUTE) for one in _UNSETTLED),
        *(_edge(one, _S.SETTLING, "accept_refund", Part.FREELANCER, Part.SYSTEM, **_REFUND) for one in _UNSETTLED),
        _edge(_S.DISPUTED, _S.RELEASING, "settle_dispute", Part.SYSTEM, guard="the whole went to the freelancer"),
        _edge(
            _S.DISPUTED,
            _S.SETTLING,
            "settle_dispute",
            Part.SYSTEM,
            guard="a part or nothing went to the freelancer",
        ),
    ),
)

CLOCKS: Final = {
    TimerKind.MILESTONE_FIRST_REMINDER: timedelta(days=7),
    TimerKind.MILESTONE_LAST_REMINDER: timedelta(days=12),
    TimerKind.MILESTONE_APPROVE: timedelta(days=14),
}
"""What a client's silence does, and how long after the last delivery. Source: domain.md, states."""

MAX_ATTACHMENTS: Final = 20
"""Files of one delivery: more is an archive."""


class MilestoneRow(Record, frozen=True):
    """A milestone as the domain passes it around. `approves_at` is when the client's silence approves it."""

    id: int
    contract_id: int
    title: str
    description: str
    amount_minor: int
    currency: str
    due_date: date | None
    status: MilestoneStatus
    delivery_note: str | None
    attachment_ids: list[int]
    change_note: str | None
    submitted_at: datetime | None
    approves_at: datetime | None
    created_at: datetime

    @property
    def amount(self) -> Money:
        """What the client pays for it, the platform's fee included."""
        return Money(self.amount_minor, self.currency)


COLUMNS: Final = """
m.id, m.contract as contract_id, m.title, m.description, m.amount_minor, m.currency, m.due_date, m.status,
m.delivery_note, m.attachment_ids, m.change_note, m.submitted_at, m.created_at,
(select t.due_at from timers t
  where t.kind = 'milestone.approve' and t.subject_id = m.id and t.fired_at is null) as approves_at
"""

SELECT: Final = f"select {COLUMNS} from milestones m "

SEEN: Final = f"""
select {COLUMNS} from milestones m join contracts c on c.id = m.contract
 where ($2 or c.client = $1 or c.freelancer = $1)
"""
"""The milestones a caller may see ($1: the caller, $2: admin)."""

ADD: Final = f"""
insert into milestones as m (contract, title, description, amount_minor, currency, due_date)
values ($1, $2, $3, $4, $5, $6) returning {COLUMNS}
"""

MOVE: Final = f"update milestones as m set status = $2, updated_at = now() where id = $1 returning {COLUMNS}"

DELIVER: Final = """
update milestones set delivery_note = $2, attachment_ids = $3, submitted_at = business_now() where id = $1
returning submitted_at
"""

IS_DONE: Final = """
select not exists (select 1 from milestones where contract = $1 and status not in ('released', 'cancelled'))
"""

OF_CONTRACT: Final = query("milestones.of_contract", f"{SEEN} and m.contract = $3 and m.id > $4 order by m.id limit $5")


def row_of(found: Any) -> MilestoneRow:
    """The struct of a row of SELECT."""
    return MilestoneRow(**{**dict(found), "status": MilestoneStatus(found["status"])})


# Verbs


async def add(contract: ContractRow, stage: Stage, *, description: str = "") -> MilestoneRow:
    """Write a planned stage as a milestone of a contract that is locked or new, and tell both parties."""
    guard.in_transaction()
    made = row_of(
        await guard.only(
            ADD, contract.id, stage.title, description, stage.amount_minor, contract.currency, stage.due_date
        )
    )
    await publish_change(made, contract)
    return made


async def submit(
    milestone_id: int, *, freelancer_id: int, note: str, attachment_ids: Sequence[int] = ()
) -> MilestoneRow:
    """Deliver a funded milestone, or deliver it anew; its client is asked to approve, and silence approves in 14 days.

    Raises NotFound for a stranger, NotAllowed for the client, WrongState unless the milestone is funded or changes
    were asked for, UploadNotReady for files that are not one's own good deliverables.
    """
    milestone, contract = await lock_with_contract(milestone_id)
    check_party(contract, freelancer_id, contract.freelancer_id, f"There is no milestone {milestone_id}.")
    MACHINE.check(milestone.status, MilestoneStatus.SUBMITTED, verb="submit")
    files = list(dict.fromkeys(attachment_ids))
    await uploads.require_ready(files, user_id=freelancer_id, purpose=UploadPurpose.DELIVERABLE)
    await move(milestone, contract, MilestoneStatus.SUBMITTED, verb="submit")
    delivered_at = await guard.value(DELIVER, milestone_id, note, files)
    for kind, silence in CLOCKS.items():
        await timers.start(kind, milestone_id, delivered_at + silence)
    delivered = await reread(milestone_id)
    await _ask_for_approval(delivered, contract)
    return delivered


async def stop_clocks(milestone_id: int) -> None:
    """The client is silent no more: neither reminders nor approval. With the milestone's lock."""
    await timers.clear(milestone_id, *CLOCKS)


async def lock_with_contract(milestone_id: int, *, completes: bool = False) -> tuple[MilestoneRow, ContractRow]:
    """The milestone and its contract, locked until the transaction ends, whoever asks. Raises NotFound.

    The project is locked with them, because the last release completes it; there is one contract per project, so
    nobody waits longer for it. What `completes` the contract counts it in the freelancer's account, locked first.
    """
    guard.in_transaction()
    above = await guard.row(
        "select c.id, c.project, c.freelancer from milestones m join contracts c on c.id = m.contract where m.id = $1",
        milestone_id,
    )
    if above is None:
        raise NotFound(f"There is no milestone {milestone_id}.")
    if completes:
        await lock(Noun.ACCOUNT, above["freelancer"])
    await lock(Noun.PROJECT, above["project"])
    contract = await contracts.locked(above["id"])
    await lock(Noun.MILESTONE, milestone_id)
    return await reread(milestone_id), contract


async def reread(milestone_id: int) -> MilestoneRow:
    """The milestone as it stands in the open transaction."""
    return row_of(await guard.only(SELECT + "where m.id = $1", milestone_id))


async def move(
    milestone: MilestoneRow, contract: ContractRow, target: MilestoneStatus, *, verb: str | None = None
) -> MilestoneRow:
    """Change a locked milestone's status and tell both parties. Whatever answers a delivery stops its clocks.

    Raises WrongState when the table does not list the change.
    """
    assert milestone.contract_id == contract.id, f"milestone {milestone.id} is not of contract {contract.id}"
    assert is_held(Noun.MILESTONE, milestone.id), f"milestone {milestone.id} is not locked"
    MACHINE.check(milestone.status, target, verb=verb)
    if milestone.status is MilestoneStatus.SUBMITTED:
        await stop_clocks(milestone.id)
    moved = row_of(await guard.only(MOVE, milestone.id, target.value))
    await publish_change(moved, contract)
    return moved


async def cancel_pending(contract: ContractRow) -> None:
    """Cancel what was planned and not paid, with its locked contract."""
    found = await guard.rows(
        "select id from milestones where contract = $1 and status = 'pending' order by id", contract.id
    )
    await lock(Noun.MILESTONE, *(one["id"] for one in found))
    for one in found:
        await move(await reread(one["id"]), contract, MilestoneStatus.CANCELLED, verb="cancel")


async def complete_contract_if_done(contract: ContractRow) -> ContractRow:
    """Complete a fixed contract and its project when every milestone is released or cancelled; else change nothing.

    An hourly one has no milestones, and its end is its client's decision. To be called with the locks of
    `lock_with_contract`, the account's too.
    """
    assert is_held(Noun.PROJECT, contract.project_id), f"project {contract.project_id} is not locked"
    assert is_held(Noun.CONTRACT, contract.id), f"contract {contract.id} is not locked"
    if contract.status is not ContractStatus.ACTIVE or contract.budget_type is BudgetType.HOURLY:
        return contract
    return await completion.finish(contract) if await guard.value(IS_DONE, contract.id) else contract


def check_party(contract: ContractRow, user_id: int, wanted_id: int, unseen: str) -> None:
    """Whether it is this party's turn; a stranger is told that nothing is there."""
    if user_id == wanted_id:
        return
    if user_id in (contract.client_id, contract.freelancer_id):
        raise NotAllowed("This is for the contract's other party to do.")
    raise NotFound(unseen)


async def publish_change(milestone: MilestoneRow, contract: ContractRow) -> None:
    """Tell both parties, and nobody else, how a milestone stands."""
    changed = events.MilestoneUpdated(milestone_id=milestone.id, contract_id=contract.id, status=milestone.status.value)
    await outbox.publish(changed, events.user(contract.client_id), events.user(contract.freelancer_id))


def moment_of(milestone: MilestoneRow) -> int:
    """Which delivery of a milestone something is about, in microseconds: each is mailed about once."""
    assert milestone.submitted_at is not None, f"milestone {milestone.id} was never delivered"
    return int(milestone.submitted_at.timestamp() * 1_000_000)


async def _ask_for_approval(milestone: MilestoneRow, contract: ContractRow) -> None:
    await notifications.tell(
        contract.client_id,
        type=NotificationType.MILESTONE_SUBMITTED,
        title="Milestone delivered",
        message=f"{contract.freelancer_name} has delivered “{milestone.title}” and asks for your approval.",
        data={"milestone_id": milestone.id, "contract_id": contract.id, "project_id": contract.project_id},
    )
    await mail.write(
        "milestone_completed",
        to=contract.client_id,
        about=f"milestone:{milestone.id}@{moment_of(milestone)}",
        project_title=contract.title,
        contract_id=contract.id,
        milestone_id=milestone.id,
        milestone_title=milestone.title,
        other_name=contract.freelancer_name,
        amount_minor=milestone.amount_minor,
        currency=milestone.currency,
    )


# Queries


async def read(milestone_id: int, *, user_id: int, admin: bool) -> MilestoneRow:
    """The milestone, for its contract's two parties or an admin. Raises NotFound for anybody else."""
    found = await guard.row(SEEN + "and m.id = $3", user_id, admin, milestone_id)
    if found is None:
        raise NotFound(f"There is no milestone {milestone_id}.")
    return row_of(found)


async def list_by_contract(
    contract_id: int, *, user_id: int, admin: bool, after: int | None, limit: int
) -> list[MilestoneRow]:
    """A contract's milestones in the order they were planned, from `after` (an id, exclusive) onwards.

    Raises NotFound when the caller may not see the contract.
    """
    found = await guard.rows(OF_CONTRACT, user_id, admin, contract_id, after or 0, limit)
    if not found:
        await contracts.read(contract_id, user_id=user_id, admin=admin)
    return [row_of(one) for one in found]
