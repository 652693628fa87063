"""How a contract is completed: by itself with its last milestone, or by its client.

Refuses while anything of it is open. Its two parties may review each other from then on.
"""

from typing import Final

from models import contracts, freelancers, guard, notifications, projects, reviews
from models.contracts import ContractRow, ContractStatus
from models.errors import NotFound, RoleNotAllowed, WrongState
from models.locks import Noun, is_held
from models.notifications import NotificationType
from models.projects import BudgetType, ProjectStatus

OPEN_MILESTONES: Final = """
select count(*) filter (where status not in ('released', 'cancelled')) as open,
       count(*) filter (where status = 'released') as released from milestones where contract = $1
"""

# Whatever runs or waits is of such a week; a draft of one that was approved is left out, and nobody can decide it.
OPEN_HOURS: Final = """
select exists (select 1 from time_weeks where contract = $1 and status in ('open', 'in_review'))
"""


async def complete(contract_id: int, *, client_id: int) -> ContractRow:
    """End a contract well, with its project. Of an hourly one every hour is decided; of a fixed one something was paid.

    Raises NotFound for a stranger, RoleNotAllowed for the freelancer, WrongState while anything is open.
    """
    contract = await contracts.locked_with_project(contract_id)
    if client_id == contract.freelancer_id:
        raise RoleNotAllowed("Only the client completes a contract.")
    if client_id != contract.client_id:
        raise NotFound(f"There is no contract {contract_id}.")
    contracts.MACHINE.check(contract.status, ContractStatus.COMPLETED, verb="complete")
    if contract.budget_type is BudgetType.HOURLY:
        await _check_hours(contract)
    else:
        await _check_milestones(contract)
    return await finish(contract)


async def _check_hours(contract: ContractRow) -> None:
    if await guard.value(OPEN_HOURS, contract.id):
        raise WrongState("This contract has hours that are not decided: a week is open, or in review.")


async def _check_milestones(contract: ContractRow) -> None:
    found = await guard.only(OPEN_MILESTONES, contract.id)
    if found["open"]:
        raise WrongState(f"This contract has open milestones: {found['open']}. Release or cancel them first.")
    if not found["released"]:
        raise WrongState("Nothing was released under this contract: cancel it instead.")


async def finish(contract: ContractRow) -> ContractRow:
    """Complete an active contract and its project, tell both parties, and let them review each other.

    To be called with the locks of the project and the contract, once nothing of it is open.
    """
    assert is_held(Noun.PROJECT, contract.project_id), f"project {contract.project_id} is not locked"
    assert is_held(Noun.CONTRACT, contract.id), f"contract {contract.id} is not locked"
    completed = await contracts.move(contract, ContractStatus.COMPLETED, verb="complete")
    project = await projects.locked(contract.project_id)
    projects.MACHINE.check(project.status, ProjectStatus.COMPLETED, verb="complete")
    await projects.move(project, ProjectStatus.COMPLETED)
    await reviews.open_window(completed)
    for party in (contract.client_id, contract.freelancer_id):
        await notifications.tell(
            party,
            type=NotificationType.CONTRACT_COMPLETED,
            title="Contract completed",
            message=f"The contract for “{contract.title}” is completed. Say how it was to work with "
            f"{contract.name_of(contract.other_party(party))}: you have 14 days.",
            data={"contract_id": contract.id, "project_id": contract.project_id},
        )
    await freelancers.count_completed(contract.freelancer_id)
    return completed
