"""People and things as tests need them, made with the real verbs wherever that is cheap. Each call makes a new one."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from itertools import count
from typing import Final

from models import acceptance, contracts, guard, milestones, plans, projects, proposals
from models.accounts import Person, Role
from models.contracts import ContractRow
from models.milestones import MilestoneRow, MilestoneStatus
from models.money import Money
from models.policy import Policy
from models.projects import Brief, BudgetType, ProjectRow, Visibility
from models.proposals import Offer, ProposalRow, Stage

POLICY: Final = Policy(fee_bp=1000)

_numbers = count(1)

# Straight into the table: hashing a password takes longer than a test should, and most tests never sign in.
_PERSON: Final = """
insert into users (email, email_key, password_hash, first_name, last_name, role, email_verified_at, stripe_account_id,
                   payouts_ready)
values ($1, $1, '', $2, $3, $4, case when $5 then now() end, $6, $7) returning id
"""


async def a_person(
    role: Role, *, first_name: str, last_name: str, verified: bool = True, payouts_ready: bool = False
) -> Person:
    """An account that nobody can sign in to with a password."""
    number = next(_numbers)
    email = f"{first_name.lower()}.{number}@example.com"
    account = f"acct_test_{number}" if payouts_ready else None
    user_id = await guard.value(_PERSON, email, first_name, last_name, role.value, verified, account, payouts_ready)
    return Person(
        id=user_id,
        email=email,
        first_name=first_name,
        last_name=last_name,
        role=role,
        email_verified=verified,
        stripe_customer_id=None,
        stripe_account_id=account,
        payouts_ready=payouts_ready,
    )


async def a_client(*, verified: bool = True) -> Person:
    """Somebody who has work."""
    return await a_person(Role.CLIENT, first_name="Clara", last_name="Client", verified=verified)


async def a_freelancer(*, payouts_ready: bool = True, verified: bool = True) -> Person:
    """Somebody who does work, and by default can be paid for it."""
    return await a_person(
        Role.FREELANCER, first_name="Frida", last_name="Freelancer", verified=verified, payouts_ready=payouts_ready
    )


async def an_admin() -> Person:
    """Somebody who runs the platform."""
    return await a_person(Role.ADMIN, first_name="Ada", last_name="Admin")


def a_brief(
    *,
    title: str = "A shop for bicycles",
    category: str = "web",
    skills: Sequence[str] = ("Python", "PostgreSQL"),
    currency: str = "USD",
    budget: tuple[str, str] = ("500", "2000"),
    visibility: Visibility = Visibility.PUBLIC,
    deadline: date | None = None,
) -> Brief:
    """What a client writes; the budget is in major units."""
    low, high = (Money.from_major(Decimal(bound), currency) for bound in budget)
    return Brief(
        title=title,
        description="Sell bicycles to people who walk.",
        category=category,
        skills=list(skills),
        budget_type=BudgetType.FIXED,
        budget_min=low,
        budget_max=high,
        deadline=deadline,
        visibility=visibility,
    )


async def a_project(client: Person | None = None, *, open: bool = True, brief: Brief | None = None) -> ProjectRow:  # noqa: A002
    """A project of a client's, published unless told otherwise."""
    client = client or await a_client()
    made = await guard.commit(projects.create, client.id, brief or a_brief())
    return await guard.commit(projects.publish, made.id, client_id=client.id) if open else made


def an_offer(bid: str = "1000.00", *, currency: str = "USD", stages: Sequence[tuple[str, str]] = ()) -> Offer:
    """What a freelancer writes: a bid, and stages as (title, amount), all in major units."""
    planned = [
        Stage(title=title, amount_minor=Money.from_major(Decimal(amount), currency).minor) for title, amount in stages
    ]
    return Offer(
        cover_letter="I have sold bicycles before.",
        bid=Money.from_major(Decimal(bid), currency),
        delivery_days=14,
        stages=planned,
    )


async def a_proposal(
    project: ProjectRow | None = None, freelancer: Person | None = None, *, offer: Offer | None = None
) -> ProposalRow:
    """A freelancer's proposal for an open project."""
    project = project or await a_project()
    freelancer = freelancer or await a_freelancer()
    offer = offer or an_offer(currency=project.currency)
    return await guard.commit(proposals.submit, project.id, offer, freelancer_id=freelancer.id)


async def a_contract(
    client: Person | None = None,
    freelancer: Person | None = None,
    *,
    signed: bool = True,
    offer: Offer | None = None,
    policy: Policy = POLICY,
) -> ContractRow:
    """A contract out of an accepted proposal, with its milestones; signed by both unless told otherwise."""
    client, freelancer = client or await a_client(), freelancer or await a_freelancer()
    offer = offer or an_offer()
    project = await a_project(client, brief=a_brief(currency=offer.bid.currency))
    proposal = await a_proposal(project, freelancer, offer=offer)
    accepted = await guard.commit(acceptance.accept, proposal.id, client_id=client.id, policy=policy)
    assert accepted.contract_id is not None
    if signed:
        await guard.commit(contracts.sign, accepted.contract_id, user_id=client.id)
        await guard.commit(contracts.sign, accepted.contract_id, user_id=freelancer.id)
    return await contracts.read(accepted.contract_id, user_id=client.id, admin=False)


async def milestones_of(contract: ContractRow) -> list[MilestoneRow]:
    """A contract's milestones in their order."""
    return await milestones.list_by_contract(
        contract.id, user_id=contract.client_id, admin=False, after=None, limit=100
    )


WAY: Final = (
    MilestoneStatus.PENDING,
    MilestoneStatus.FUNDING,
    MilestoneStatus.FUNDED,
    MilestoneStatus.SUBMITTED,
    MilestoneStatus.RELEASING,
    MilestoneStatus.RELEASED,
)
ASIDE: Final = {
    MilestoneStatus.CHANGES_REQUESTED: MilestoneStatus.SUBMITTED,
    MilestoneStatus.DISPUTED: MilestoneStatus.SUBMITTED,
    MilestoneStatus.SETTLING: MilestoneStatus.SUBMITTED,
}
"""States beside the way, and where the way is left for them."""


async def a_milestone(
    contract: ContractRow | None = None,
    *,
    amount: str | None = None,
    status: MilestoneStatus = MilestoneStatus.PENDING,
) -> MilestoneRow:
    """A signed contract's one milestone, or another one of `amount`, walked to a state. No money moves for it."""
    contract = contract or await a_contract()
    if amount is None:
        (made,) = await milestones_of(contract)
    else:
        made = await guard.commit(
            plans.create,
            contract.id,
            client_id=contract.client_id,
            title="One more thing",
            description="",
            amount=Decimal(amount),
            due_date=None,
        )
    return await walked(made, status)


async def walked(milestone: MilestoneRow, status: MilestoneStatus) -> MilestoneRow:
    """The milestone after it went to this state, one permitted step after the other. No clock of it runs."""
    way = [status] if status is MilestoneStatus.CANCELLED else []
    if status in ASIDE:
        begun, after = WAY.index(milestone.status) + 1, WAY.index(ASIDE[status]) + 1
        way = [*WAY[begun:after], status]
    way = way or list(WAY[WAY.index(milestone.status) + 1 : WAY.index(status) + 1])

    async def step(target: MilestoneStatus) -> MilestoneRow:
        locked, contract = await milestones.lock_with_contract(milestone.id)
        if target is MilestoneStatus.SUBMITTED:
            await guard.rows("update milestones set submitted_at = business_now() where id = $1", milestone.id)
        return await milestones.move(locked, contract, target)

    for target in way:
        milestone = await guard.commit(step, target)
    return milestone
