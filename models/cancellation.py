"""How a contract ends without having been done: by either party, while no money and no hours hang on it.

Always before both have signed. Its pending milestones and its project are cancelled with it.
"""

from typing import Final

from models import contracts, guard, mail, milestones, notifications, projects
from models.contracts import ContractRow, ContractStatus
from models.errors import NotFound, WrongState
from models.milestones import MilestoneStatus
from models.notifications import NotificationType
from models.projects import ProjectStatus

HOLDING: Final = (
    MilestoneStatus.FUNDING,
    MilestoneStatus.FUNDED,
    MilestoneStatus.SUBMITTED,
    MilestoneStatus.CHANGES_REQUESTED,
    MilestoneStatus.DISPUTED,
    MilestoneStatus.RELEASING,
    MilestoneStatus.SETTLING,
)
"""Milestones that money hangs on: they are released, refunded or settled first."""

# Hours of a week that still runs are owed as much as those of one that is closed.
UNPAID_HOURS: Final = """
select exists (select 1 from time_weeks where contract = $1 and status in ('in_review', 'approved'))
    or exists (select 1 from time_entries e join time_weeks w on w.id = e.week
                where e.contract = $1 and (e.status in ('running', 'submitted', 'approved')
                                           or (e.status = 'draft' and w.status = 'open')))
"""


async def cancel(contract_id: int, *, user_id: int, reason: str) -> ContractRow:
    """End a contract as one of its parties; the other one is told why.

    Raises NotFound for a stranger, WrongState when it has ended, money hangs on a milestone, or hours are unpaid.
    """
    contract = await contracts.locked_with_project(contract_id)
    if user_id not in (contract.client_id, contract.freelancer_id):
        raise NotFound(f"There is no contract {contract_id}.")
    contracts.MACHINE.check(contract.status, ContractStatus.CANCELLED, verb="cancel")
    await _check_unpaid(contract)
    await milestones.cancel_pending(contract)
    cancelled = await contracts.move(contract, ContractStatus.CANCELLED, verb="cancel", because=reason)
    project = await projects.locked(contract.project_id)
    await projects.move(project, ProjectStatus.CANCELLED, verb="cancel_contract")
    await _tell_other(cancelled, user_id, reason)
    return cancelled


async def _check_unpaid(contract: ContractRow) -> None:
    held = await guard.value(
        "select count(*) from milestones where contract = $1 and status = any($2::text[])",
        contract.id,
        [one.value for one in HOLDING],
    )
    if held:
        raise WrongState(f"Money hangs on milestones of this contract: {held}. They are released or refunded first.")
    if await guard.value(UNPAID_HOURS, contract.id):
        raise WrongState("This contract has hours that are not paid.")


async def _tell_other(contract: ContractRow, user_id: int, reason: str) -> None:
    other = contract.other_party(user_id)
    await notifications.tell(
        other,
        type=NotificationType.CONTRACT_CANCELLED,
        title="Contract cancelled",
        message=f"{contract.name_of(user_id)} has cancelled the contract for “{contract.title}”.",
        data={"contract_id": contract.id, "project_id": contract.project_id, "reason": reason},
    )
    await mail.write(
        "contract_cancelled",
        to=other,
        about=f"contract:{contract.id}",
        project_title=contract.title,
        contract_id=contract.id,
        other_name=contract.name_of(user_id),
        reason=reason,
    )
