"""What a client says of milestones: planned, changed and dropped before they are paid, given back after a delivery.

Refuses more stages than a contract takes, and any edit of what is funded: its price and its words are what the money
was given for.
"""

from datetime import date
from decimal import Decimal
from typing import Final

from models import contracts, guard, mail, milestones, notifications
from models.base import Record
from models.contracts import ContractRow
from models.errors import AmountOutOfBounds, WrongState
from models.milestones import MACHINE, MilestoneRow, MilestoneStatus
from models.money import MAX_MINOR, Money
from models.notifications import NotificationType
from models.offers import MAX_STAGES, Stage
from models.projects import BudgetType

EDIT: Final = """
update milestones set title = $2, description = $3, amount_minor = $4, due_date = $5, updated_at = business_now()
 where id = $1
"""

ASK_FOR_CHANGES: Final = "update milestones set change_note = $2 where id = $1"


class Amendment(Record, frozen=True):
    """What changes of a plan, in major units; None leaves one thing as it is. A date can be taken away."""

    title: str | None = None
    description: str | None = None
    amount: Decimal | None = None
    due_date: date | None = None
    keeps_due_date: bool = True


async def create(
    contract_id: int, *, client_id: int, title: str, description: str, amount: Decimal, due_date: date | None
) -> MilestoneRow:
    """Add a stage to a contract that has not ended; `amount` is in major units of the contract's currency.

    Raises NotFound for a stranger, NotAllowed for the freelancer, WrongState when the contract is hourly, has ended or
    is full, AmountOutOfBounds, AmountTooPrecise.
    """
    contract = await contracts.locked(contract_id)
    milestones.check_party(contract, client_id, contract.client_id, f"There is no contract {contract_id}.")
    if contract.ended:
        raise WrongState(f"This contract is {contract.status.value}: it takes no milestones.")
    if contract.budget_type is BudgetType.HOURLY:
        raise WrongState("This contract is hourly: it has weeks and no milestones.")
    money = checked_amount(amount, contract.currency)
    if await guard.value("select count(*) from milestones where contract = $1", contract_id) >= MAX_STAGES:
        raise WrongState(f"Contract {contract_id} has {MAX_STAGES} milestones, as many as a contract takes.")
    stage = Stage(title=title, amount_minor=money.minor, due_date=due_date)
    return await milestones.add(contract, stage, description=description)


def checked_amount(amount: Decimal, currency: str) -> Money:
    """What a milestone may cost. Raises AmountOutOfBounds, AmountTooPrecise."""
    money = Money.from_major(amount, currency)
    if not 0 < money.minor <= MAX_MINOR:
        most = Money(MAX_MINOR, currency)
        raise AmountOutOfBounds(f"A milestone is more than 0 and at most {most}; {money} is not.", field="amount")
    return money


async def edit(milestone_id: int, amendment: Amendment, *, client_id: int) -> MilestoneRow:
    """Change the plan of a milestone that is not paid yet; both parties hear of it.

    Raises NotFound for a stranger, NotAllowed for the freelancer, WrongState once it is funded, AmountOutOfBounds,
    AmountTooPrecise.
    """
    milestone, contract = await _locked_for(milestone_id, client_id)
    if milestone.status is not MilestoneStatus.PENDING:
        raise WrongState(f"This milestone is {milestone.status.value}: edits are refused after funding.")
    amount = milestone.amount
    if amendment.amount is not None:
        amount = checked_amount(amendment.amount, milestone.currency)
    await guard.rows(
        EDIT,
        milestone_id,
        milestone.title if amendment.title is None else amendment.title,
        milestone.description if amendment.description is None else amendment.description,
        amount.minor,
        milestone.due_date if amendment.keeps_due_date else amendment.due_date,
    )
    edited = await milestones.reread(milestone_id)
    await milestones.publish_change(edited, contract)
    return edited


async def cancel(milestone_id: int, *, client_id: int) -> MilestoneRow:
    """Drop a milestone that is not paid. Raises NotFound, NotAllowed for the freelancer, WrongState."""
    milestone, contract = await _locked_for(milestone_id, client_id)
    return await milestones.move(milestone, contract, MilestoneStatus.CANCELLED, verb="cancel")


async def request_changes(milestone_id: int, *, client_id: int, note: str) -> MilestoneRow:
    """Give a delivery back with what it lacks; its freelancer is told, and its clocks stop until it comes again.

    Raises NotFound for a stranger, NotAllowed for the freelancer, WrongState unless it is delivered.
    """
    milestone, contract = await _locked_for(milestone_id, client_id)
    MACHINE.check(milestone.status, MilestoneStatus.CHANGES_REQUESTED, verb="request_changes")
    await guard.rows(ASK_FOR_CHANGES, milestone_id, note)
    given_back = await milestones.move(milestone, contract, MilestoneStatus.CHANGES_REQUESTED, verb="request_changes")
    await notifications.tell(
        contract.freelancer_id,
        type=NotificationType.CHANGES_REQUESTED,
        title="Changes requested",
        message=f"{contract.client_name} asks for changes of “{milestone.title}”.",
        data={"milestone_id": milestone.id, "contract_id": contract.id, "note": note},
    )
    await mail.write(
        "changes_requested",
        to=contract.freelancer_id,
        about=f"milestone:{milestone.id}@{milestones.moment_of(milestone)}",
        project_title=contract.title,
        contract_id=contract.id,
        milestone_id=milestone.id,
        milestone_title=milestone.title,
        client_name=contract.client_name,
        note=note,
    )
    return given_back


async def _locked_for(milestone_id: int, client_id: int) -> tuple[MilestoneRow, ContractRow]:
    milestone, contract = await milestones.lock_with_contract(milestone_id)
    milestones.check_party(contract, client_id, contract.client_id, f"There is no milestone {milestone_id}.")
    return milestone, contract
