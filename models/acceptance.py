"""The one moment at which an offer becomes a contract: one proposal is accepted, its rivals are rejected.

A module of its own because it stands above proposals, contracts and milestones alike.
"""

from decimal import Decimal

from models import contracts, guard, mail, milestones, notifications, projects, proposals, rejections
from models.contracts import ContractRow, Terms
from models.errors import NotFound, WrongState
from models.locks import Noun, lock
from models.money import Money
from models.notifications import NotificationType
from models.offers import Stage, weekly_hours_of
from models.policy import Policy
from models.projects import BudgetType, ProjectStatus
from models.proposals import ProposalRow, ProposalStatus


async def accept(proposal_id: int, *, client_id: int, policy: Policy, seen_bid: Decimal | None = None) -> ProposalRow:
    """Take one offer: contract and milestones are made, the project is in progress, every rival is rejected.

    The terms are those that stand in the proposal; a counter-offer that is open is void. Milestones are the proposal's
    own, or one of the whole bid; an hourly contract has none. Of two acceptances at once the second finds the project
    in progress. `seen_bid` is the bid that the client read, in major units: another one is not taken in its place.
    Raises NotFound unless the project is the caller's, WrongState when it or the proposal is past deciding, or the bid
    has changed.
    """
    guard.in_transaction()
    project_id = await guard.value("select project from proposals where id = $1", proposal_id)
    project = await projects.locked(project_id) if project_id is not None else None
    if project is None or project.client_id != client_id:
        raise NotFound(f"There is no proposal {proposal_id}.")
    # Submissions take the project's lock too, so from here on nobody joins the rivals.
    undecided = await guard.rows(rejections.UNDECIDED, project_id)
    await lock(Noun.PROPOSAL, proposal_id, *(one["id"] for one in undecided))
    chosen = await proposals.reread(proposal_id)
    if seen_bid is not None and Money.from_major(seen_bid, chosen.currency) != chosen.bid:
        raise WrongState(f"The bid is {chosen.bid} by now: read the proposal again.")
    await projects.move(project, ProjectStatus.IN_PROGRESS)
    await proposals.move(chosen, ProposalStatus.ACCEPTED, verb="accept")
    contract = await _make_contract(chosen, policy)
    await _tell_chosen(chosen, contract)
    because = f"The client has chosen another proposal for “{project.title}”."
    await rejections.reject_undecided(project.id, because=because)
    await _mail_parties(contract, proposal_id)
    return await proposals.reread(proposal_id)


async def _make_contract(chosen: ProposalRow, policy: Policy) -> ContractRow:
    hours = weekly_hours_of(chosen.weekly_hours, chosen.budget_type)
    contract = await contracts.make(
        Terms(
            project_id=chosen.project_id,
            proposal_id=chosen.id,
            client_id=chosen.client_id,
            freelancer_id=chosen.freelancer_id,
            title=chosen.project_title,
            amount=chosen.bid,
            fee_bp=policy.fee_bp,
            budget_type=chosen.budget_type,
            weekly_cap_minutes=None if hours is None else hours * 60,
            time_zone=await guard.value("select time_zone from users where id = $1", chosen.client_id),
        )
    )
    if contract.budget_type is BudgetType.HOURLY:
        return contract
    for stage in chosen.stages or [Stage(title=chosen.project_title, amount_minor=chosen.bid_minor)]:
        await milestones.add(contract, stage)
    return contract


async def _tell_chosen(chosen: ProposalRow, contract: ContractRow) -> None:
    data = {"proposal_id": chosen.id, "project_id": chosen.project_id, "contract_id": contract.id}
    await notifications.tell(
        chosen.freelancer_id,
        type=NotificationType.PROPOSAL_ACCEPTED,
        title="Proposal accepted",
        message=f"{contract.client_name} has accepted your proposal for “{chosen.project_title}”.",
        data=data,
    )
    hourly = contract.budget_type is BudgetType.HOURLY
    sum_of = f"at {contract.amount} an hour" if hourly else f"over {contract.amount}"
    for party in (contract.client_id, contract.freelancer_id):
        await notifications.tell(
            party,
            type=NotificationType.CONTRACT_CREATED,
            title="Contract ready to sign",
            message=f"The contract for “{contract.title}” {sum_of} waits for both signatures.",
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
        budget_type=contract.budget_type.value,
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
            budget_type=contract.budget_type.value,
        )
