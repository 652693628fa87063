"""The one moment at which an offer becomes a contract: one proposal is accepted, its rivals are rejected.

A module of its own because it stands above proposals, contracts and milestones alike.
"""

from typing import Final

from models import contracts, guard, mail, milestones, notifications, projects, proposals
from models.contracts import ContractRow, Terms
from models.errors import NotFound
from models.locks import Noun, lock
from models.notifications import NotificationType
from models.policy import Policy
from models.projects import ProjectStatus
from models.proposals import ProposalRow, ProposalStatus, Stage

UNDECIDED: Final = "select id from proposals where project = $1 and status in ('submitted', 'shortlisted')"

RIVALS: Final = proposals.SELECT + f"where o.id <> $2 and o.id in ({UNDECIDED}) order by o.id"

DECIDE: Final = "update proposals set status = $2, decided_at = now() where id = any($1::bigint[])"


async def accept(proposal_id: int, *, client_id: int, policy: Policy) -> ProposalRow:
    """Take one offer: contract and milestones are made, the project is in progress, every rival is rejected.

    Milestones are the proposal's own, or one of the whole bid. Of two acceptances at once the second finds the
    project in progress. Raises NotFound unless the project is the caller's, WrongState when it or the proposal is
    past deciding.
    """
    guard.in_transaction()
    project_id = await guard.value("select project from proposals where id = $1", proposal_id)
    project = await projects.locked(project_id) if project_id is not None else None
    if project is None or project.client_id != client_id:
        raise NotFound(f"There is no proposal {proposal_id}.")
    # Submissions take the project's lock too, so from here on nobody joins the rivals.
    undecided = await guard.rows(UNDECIDED, project_id)
    await lock(Noun.PROPOSAL, proposal_id, *(one["id"] for one in undecided))
    chosen = await _reread(proposal_id)
    rivals = [proposals.row_of(one) for one in await guard.rows(RIVALS, project_id, proposal_id)]
    await projects.move(project, ProjectStatus.IN_PROGRESS)
    proposals.MACHINE.check(chosen.status, ProposalStatus.ACCEPTED)
    await guard.rows(DECIDE, [proposal_id], ProposalStatus.ACCEPTED.value)
    contract = await _make_contract(chosen, policy)
    await _tell_chosen(chosen, contract)
    for rival in rivals:
        await _reject(rival)
    await _mail_parties(contract, proposal_id)
    return await _reread(proposal_id)


async def _make_contract(chosen: ProposalRow, policy: Policy) -> ContractRow:
    contract = await contracts.make(
        Terms(
            project_id=chosen.project_id,
            proposal_id=chosen.id,
            client_id=chosen.client_id,
            freelancer_id=chosen.freelancer_id,
            title=chosen.project_title,
            amount=chosen.bid,
            fee_bp=policy.fee_bp,
        )
    )
    for stage in chosen.stages or [Stage(title=chosen.project_title, amount_minor=chosen.bid_minor)]:
        await milestones.add(contract, stage)
    return contract


async def _reject(rival: ProposalRow) -> None:
    proposals.MACHINE.check(rival.status, ProposalStatus.REJECTED)
    await guard.rows(DECIDE, [rival.id], ProposalStatus.REJECTED.value)
    await proposals.publish_change(rival, ProposalStatus.REJECTED)
    await notifications.tell(
        rival.freelancer_id,
        type=NotificationType.PROPOSAL_REJECTED,
        title="Proposal not chosen",
        message=f"The client has chosen another proposal for “{rival.project_title}”.",
        data={"proposal_id": rival.id, "project_id": rival.project_id},
    )


async def _tell_chosen(chosen: ProposalRow, contract: ContractRow) -> None:
    data = {"proposal_id": chosen.id, "project_id": chosen.project_id, "contract_id": contract.id}
    await proposals.publish_change(chosen, ProposalStatus.ACCEPTED)
    await notifications.tell(
        chosen.freelancer_id,
        type=NotificationType.PROPOSAL_ACCEPTED,
        title="Proposal accepted",
        message=f"{contract.client_name} has accepted your proposal for “{chosen.project_title}”.",
        data=data,
    )
    for party in (contract.client_id, contract.freelancer_id):
        await notifications.tell(
            party,
            type=NotificationType.CONTRACT_CREATED,
            title="Contract ready to sign",
            message=f"The contract for “{contract.title}” over {contract.amount} waits for both signatures.",
            data=data,
        )


async def _mail_parties(contract: ContractRow, proposal_id: int) -> None:
    await mail.write(
        "proposal_accepted",
        to=contract.freelancer_id,
        about=f"proposal:{proposal_id}",
        project_title=contract.title,
        contract_id=contract.id,
        client_name=contract.client_name,
        amount_minor=contract.amount_minor,
        currency=contract.currency,
    )
    for party in (contract.client_id, contract.freelancer_id):
        await mail.write(
            "contract_created",
            to=party,
            about=f"contract:{contract.id}",
            project_title=contract.title,
            contract_id=contract.id,
            other_name=contract.name_of(contract.other_party(party)),
            amount_minor=contract.amount_minor,
            currency=contract.currency,
        )


async def _reread(proposal_id: int) -> ProposalRow:
    return proposals.row_of(await guard.only(proposals.SELECT + "where o.id = $1", proposal_id))
