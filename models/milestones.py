"""The stages of a contract: what is delivered for which part of the money.

Refuses work before funding and more stages than a contract takes. What moves the money stands in `escrow/`; it changes
a milestone through `lock_with_contract`, `move` and `complete_contract_if_done` only.
"""

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from piccolo.columns import BigInt, BigSerial, Date, Text, Timestamptz
from piccolo.columns.defaults.timestamptz import TimestamptzNow
from piccolo.table import Table

from models import contracts, events, guard, mail, notifications, outbox, projects
from models.base import Record, restricted
from models.contracts import Contract, ContractRow, ContractStatus
from models.errors import AmountOutOfBounds, NotAllowed, NotFound, WrongState
from models.locks import Noun, is_held, lock
from models.money import MAX_MINOR, Money
from models.notifications import NotificationType
from models.projects import ProjectStatus
from models.proposals import MAX_STAGES, Stage
from models.states import Edge, Machine


class MilestoneStatus(StrEnum):
    """Where a milestone stands."""

    PENDING = "pending"
    FUNDING = "funding"
    FUNDED = "funded"
    SUBMITTED = "submitted"
    RELEASING = "releasing"
    RELEASED = "released"
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
    submitted_at = Timestamptz(null=True, default=None)
    created_at = Timestamptz(default=TimestamptzNow())
    updated_at = Timestamptz(default=TimestamptzNow())


MACHINE: Final = Machine[MilestoneStatus](
    noun="milestone",
    edges=(
        Edge(source=MilestoneStatus.PENDING, target=MilestoneStatus.FUNDING, by="client", verb="request_funding"),
        Edge(source=MilestoneStatus.PENDING, target=MilestoneStatus.CANCELLED, by="client", verb="cancel"),
        Edge(source=MilestoneStatus.FUNDING, target=MilestoneStatus.FUNDED, by="system", verb="complete_funding"),
        # The card was declined, or nobody paid in time: the client may try again.
        Edge(source=MilestoneStatus.FUNDING, target=MilestoneStatus.PENDING, by="system", verb="complete_canceling"),
        Edge(source=MilestoneStatus.FUNDED, target=MilestoneStatus.SUBMITTED, by="freelancer", verb="submit"),
        Edge(source=MilestoneStatus.SUBMITTED, target=MilestoneStatus.RELEASING, by="client", verb="request_release"),
        Edge(source=MilestoneStatus.RELEASING, target=MilestoneStatus.RELEASED, by="system", verb="complete_release"),
        # The provider refused before any money moved: the client may approve again.
        Edge(source=MilestoneStatus.RELEASING, target=MilestoneStatus.SUBMITTED, by="system", verb="abandon_release"),
        # The bank let go of a hold before it was captured: there is no money any more, whatever was done for it.
        Edge(source=MilestoneStatus.FUNDED, target=MilestoneStatus.PENDING, by="system", verb="lapse"),
        Edge(source=MilestoneStatus.SUBMITTED, target=MilestoneStatus.PENDING, by="system", verb="lapse"),
        Edge(source=MilestoneStatus.RELEASING, target=MilestoneStatus.PENDING, by="system", verb="lapse"),
    ),
)


class MilestoneRow(Record, frozen=True):
    """A milestone as the domain passes it around."""

    id: int
    contract_id: int
    title: str
    description: str
    amount_minor: int
    currency: str
    due_date: date | None
    status: MilestoneStatus
    delivery_note: str | None
    submitted_at: datetime | None
    created_at: datetime

    @property
    def amount(self) -> Money:
        """What the client pays for it, the platform's fee included."""
        return Money(self.amount_minor, self.currency)


COLUMNS: Final = """
m.id, m.contract as contract_id, m.title, m.description, m.amount_minor, m.currency, m.due_date, m.status,
m.delivery_note, m.submitted_at, m.created_at
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

DELIVER: Final = "update milestones set delivery_note = $2, submitted_at = now() where id = $1"

IS_DONE: Final = """
select not exists (select 1 from milestones where contract = $1 and status not in ('released', 'cancelled'))
"""


def _row(found: Any) -> MilestoneRow:
    return MilestoneRow(**{**dict(found), "status": MilestoneStatus(found["status"])})


# Verbs


async def create(
    contract_id: int, *, client_id: int, title: str, description: str, amount: Decimal, due_date: date | None
) -> MilestoneRow:
    """Add a stage to a contract that has not ended; `amount` is in major units of the contract's currency.

    Raises NotFound for a stranger, NotAllowed for the freelancer, WrongState when the contract has ended or is full,
    AmountOutOfBounds, AmountTooPrecise.
    """
    contract = await contracts.locked(contract_id)
    _check_party(contract, client_id, contract.client_id, f"There is no contract {contract_id}.")
    if contract.ended:
        raise WrongState(f"This contract is {contract.status.value}: it takes no milestones.")
    money = Money.from_major(amount, contract.currency)
    if not 0 < money.minor <= MAX_MINOR:
        most = Money(MAX_MINOR, contract.currency)
        raise AmountOutOfBounds(f"A milestone is more than 0 and at most {most}; {money} is not.", field="amount")
    if await guard.value("select count(*) from milestones where contract = $1", contract_id) >= MAX_STAGES:
        raise WrongState(f"Contract {contract_id} has {MAX_STAGES} milestones, as many as a contract takes.")
    stage = Stage(title=title, amount_minor=money.minor, due_date=due_date)
    return await add(contract, stage, description=description)


async def add(contract: ContractRow, stage: Stage, *, description: str = "") -> MilestoneRow:
    """Write a planned stage as a milestone of a contract that is locked or new, and tell both parties."""
    guard.in_transaction()
    made = _row(
        await guard.only(
            ADD, contract.id, stage.title, description, stage.amount_minor, contract.currency, stage.due_date
        )
    )
    await _publish(made, contract)
    return made


async def submit(milestone_id: int, *, freelancer_id: int, note: str) -> MilestoneRow:
    """Deliver a funded milestone; its client is asked to approve.

    Raises NotFound for a stranger, NotAllowed for the client, WrongState unless the milestone is funded.
    """
    milestone, contract = await lock_with_contract(milestone_id)
    _check_party(contract, freelancer_id, contract.freelancer_id, f"There is no milestone {milestone_id}.")
    if milestone.status is not MilestoneStatus.FUNDED:
        # Not the table's question alone: a release that was given up leads to `submitted` as well.
        raise WrongState(f"This milestone is {milestone.status.value}: only a funded one can be delivered.")
    await guard.rows(DELIVER, milestone_id, note)
    delivered = await move(milestone, contract, MilestoneStatus.SUBMITTED)
    await _ask_for_approval(delivered, contract)
    return delivered


async def lock_with_contract(milestone_id: int) -> tuple[MilestoneRow, ContractRow]:
    """The milestone and its contract, locked until the transaction ends, whoever asks. Raises NotFound.

    The project is locked with them, because the last release completes it; there is one contract per project, so
    nobody waits longer for it.
    """
    guard.in_transaction()
    above = await guard.row(
        "select c.id, c.project from milestones m join contracts c on c.id = m.contract where m.id = $1", milestone_id
    )
    if above is None:
        raise NotFound(f"There is no milestone {milestone_id}.")
    await lock(Noun.PROJECT, above["project"])
    contract = await contracts.locked(above["id"])
    await lock(Noun.MILESTONE, milestone_id)
    return _row(await guard.only(SELECT + "where m.id = $1", milestone_id)), contract


async def move(milestone: MilestoneRow, contract: ContractRow, target: MilestoneStatus) -> MilestoneRow:
    """Change a locked milestone's status and tell both parties.

    Raises WrongState when the table does not list the change.
    """
    assert milestone.contract_id == contract.id, f"milestone {milestone.id} is not of contract {contract.id}"
    assert is_held(Noun.MILESTONE, milestone.id), f"milestone {milestone.id} is not locked"
    MACHINE.check(milestone.status, target)
    moved = _row(await guard.only(MOVE, milestone.id, target.value))
    await _publish(moved, contract)
    return moved


async def complete_contract_if_done(contract: ContractRow) -> ContractRow:
    """Complete the contract and its project when every milestone is released or cancelled; else change nothing.

    To be called with the locks of `lock_with_contract`.
    """
    assert is_held(Noun.PROJECT, contract.project_id), f"project {contract.project_id} is not locked"
    assert is_held(Noun.CONTRACT, contract.id), f"contract {contract.id} is not locked"
    if contract.status is not ContractStatus.ACTIVE or not await guard.value(IS_DONE, contract.id):
        return contract
    completed = await contracts.move(contract, ContractStatus.COMPLETED)
    await projects.move(await projects.locked(contract.project_id), ProjectStatus.COMPLETED)
    return completed


def _check_party(contract: ContractRow, user_id: int, wanted_id: int, unseen: str) -> None:
    """Whether it is this party's turn; a stranger is told that nothing is there."""
    if user_id == wanted_id:
        return
    if user_id in (contract.client_id, contract.freelancer_id):
        raise NotAllowed("This is for the contract's other party to do.")
    raise NotFound(unseen)


async def _publish(milestone: MilestoneRow, contract: ContractRow) -> None:
    changed = events.MilestoneUpdated(milestone_id=milestone.id, contract_id=contract.id, status=milestone.status.value)
    await outbox.publish(changed, events.user(contract.client_id), events.user(contract.freelancer_id))


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
        about=f"milestone:{milestone.id}",
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
    return _row(found)


async def list_by_contract(
    contract_id: int, *, user_id: int, admin: bool, after: int | None, limit: int
) -> list[MilestoneRow]:
    """A contract's milestones in the order they were planned, from `after` (an id, exclusive) onwards.

    Raises NotFound when the caller may not see the contract.
    """
    found = await guard.rows(
        SEEN + "and m.contract = $3 and ($4::bigint is null or m.id > $4) order by m.id limit $5",
        user_id,
        admin,
        contract_id,
        after,
        limit,
    )
    if not found:
        await contracts.read(contract_id, user_id=user_id, admin=admin)
    return [_row(one) for one in found]
