"""Two people and the terms they signed. The fee is written into the contract when it is made.

Refuses the signature of a freelancer whom no money could reach. To all but its two parties and admins a contract does
not exist.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from piccolo.columns import BigInt, BigSerial, Integer, Text, Timestamptz
from piccolo.columns.defaults.timestamptz import TimestamptzNow
from piccolo.table import Table

from models import guard, notifications
from models.accounts import User
from models.base import Record, restricted
from models.errors import NotFound, PayoutsNotReady
from models.locks import Noun, lock
from models.money import Money
from models.notifications import NotificationType
from models.projects import BudgetType, Project
from models.proposals import LAST_ID, Proposal
from models.queries import query
from models.states import Edge, Machine, Part


class ContractStatus(StrEnum):
    """Where a contract stands."""

    PENDING_SIGNATURE = "pending_signature"
    ACTIVE = "active"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class Contract(Table, tablename="contracts"):
    """The terms between one client and one freelancer. `fee_bp` is the platform's fee in basis points.

    Of an hourly one `amount_minor` is for an hour; its weeks are those of `time_zone`, the client's when it was made.
    """

    id = BigSerial(primary_key=True)
    project = restricted(Project)
    proposal = restricted(Proposal)
    client = restricted(User)
    freelancer = restricted(User)
    title = Text()
    amount_minor = BigInt(default=None)
    currency = Text()
    fee_bp = Integer(default=None)
    budget_type = Text(default=BudgetType.FIXED.value)
    weekly_cap_minutes = Integer(null=True, default=None)
    time_zone = Text(default="UTC")
    status = Text(default=ContractStatus.PENDING_SIGNATURE.value)
    client_signed_at = Timestamptz(null=True, default=None)
    freelancer_signed_at = Timestamptz(null=True, default=None)
    created_at = Timestamptz(default=TimestamptzNow())
    completed_at = Timestamptz(null=True, default=None)
    cancelled_at = Timestamptz(null=True, default=None)
    cancelled_because = Text(null=True, default=None)


_PARTIES: Final = (Part.CLIENT, Part.FREELANCER)

MACHINE: Final = Machine[ContractStatus](
    noun="contract",
    start=ContractStatus.PENDING_SIGNATURE,
    edges=(
        Edge(
            source=ContractStatus.PENDING_SIGNATURE,
            target=ContractStatus.ACTIVE,
            verb="sign",
            by=_PARTIES,
            guard="both have signed; the freelancer can be paid",
            tells=("contract_signed",),
        ),
        Edge(
            source=ContractStatus.PENDING_SIGNATURE,
            target=ContractStatus.CANCELLED,
            verb="cancel",
            by=_PARTIES,
            guard="its milestones and its project are cancelled with it",
            tells=("contract_cancelled",),
            mails=("contract_cancelled",),
            events=("project_update",),
        ),
        Edge(
            source=ContractStatus.ACTIVE,
            target=ContractStatus.COMPLETED,
            verb="complete",
            by=(Part.CLIENT, Part.SYSTEM),
            guard="nothing of it is open; by the client, or a fixed one by itself with the last milestone",
            timer="contract.reviews",
            tells=("contract_completed",),
            events=("project_update",),
        ),
        Edge(
            source=ContractStatus.ACTIVE,
            target=ContractStatus.CANCELLED,
            verb="cancel",
            by=_PARTIES,
            guard="no milestone holds money and no hours are unpaid; pending milestones are cancelled with it",
            tells=("contract_cancelled",),
            mails=("contract_cancelled",),
            events=("project_update",),
        ),
    ),
)


class Terms(Record, frozen=True):
    """What a contract is made of. Of an hourly one the amount is for an hour, and a week has a cap."""

    project_id: int
    proposal_id: int
    client_id: int
    freelancer_id: int
    title: str
    amount: Money
    fee_bp: int
    budget_type: BudgetType = BudgetType.FIXED
    weekly_cap_minutes: int | None = None
    time_zone: str = "UTC"


class ContractRow(Record, frozen=True):
    """A contract as the domain passes it around, with the names of its parties."""

    id: int
    project_id: int
    proposal_id: int
    client_id: int
    client_name: str
    freelancer_id: int
    freelancer_name: str
    title: str
    amount_minor: int
    currency: str
    fee_bp: int
    budget_type: BudgetType
    weekly_cap_minutes: int | None
    time_zone: str
    status: ContractStatus
    is_disputed: bool
    client_signed_at: datetime | None
    freelancer_signed_at: datetime | None
    created_at: datetime
    completed_at: datetime | None
    cancelled_at: datetime | None
    cancelled_because: str | None

    @property
    def amount(self) -> Money:
        """The sum the parties agreed on; of an hourly contract, for an hour."""
        return Money(self.amount_minor, self.currency)

    @property
    def ended(self) -> bool:
        """Whether nothing more happens under this contract."""
        return self.status in (ContractStatus.COMPLETED, ContractStatus.CANCELLED)

    def other_party(self, user_id: int) -> int:
        """The one of the two parties that this one is not."""
        assert user_id in (self.client_id, self.freelancer_id), f"{user_id} is no party of contract {self.id}"
        return self.freelancer_id if user_id == self.client_id else self.client_id

    def name_of(self, user_id: int) -> str:
        """A party's name."""
        assert user_id in (self.client_id, self.freelancer_id), f"{user_id} is no party of contract {self.id}"
        return self.client_name if user_id == self.client_id else self.freelancer_name


SELECT: Final = """
select c.id, c.project as project_id, c.proposal as proposal_id, c.client as client_id,
       a.first_name || ' ' || a.last_name as client_name, c.freelancer as freelancer_id,
       b.first_name || ' ' || b.last_name as freelancer_name, c.title, c.amount_minor, c.currency, c.fee_bp,
       c.budget_type, c.weekly_cap_minutes, c.time_zone, c.status, c.client_signed_at, c.freelancer_signed_at,
       c.created_at, c.completed_at, c.cancelled_at, c.cancelled_because,
       exists (select 1 from milestones m where m.contract = c.id and m.status = 'disputed') as is_disputed
  from contracts c join users a on a.id = c.client join users b on b.id = c.freelancer
"""

MAKE: Final = """
insert into contracts (project, proposal, client, freelancer, title, amount_minor, currency, fee_bp, budget_type,
                       weekly_cap_minutes, time_zone)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) returning id
"""

SIGN: Final = """
update contracts set client_signed_at = case when client = $2 then now() else client_signed_at end,
                     freelancer_signed_at = case when freelancer = $2 then now() else freelancer_signed_at end
 where id = $1
"""

MOVE: Final = """
update contracts set status = $2,
                     completed_at = case when $2 = 'completed' then business_now() else completed_at end,
                     cancelled_at = case when $2 = 'cancelled' then business_now() else cancelled_at end,
                     cancelled_because = coalesce($3, cancelled_because)
 where id = $1
"""

# One is the client of all one's contracts or the freelancer of all: a page of either, each from its own index.
LIST_OWN: Final = query(
    "contracts.own",
    f"""{SELECT}
 where c.id = any(array(
        (select id from contracts where client = $1 and status = any($2::text[]) and id < $3 order by id desc limit $4)
        union all
        (select id from contracts where freelancer = $1 and status = any($2::text[]) and id < $3
          order by id desc limit $4)))
 order by c.id desc limit $4
""",
)


def _row(found: Any) -> ContractRow:
    fields = dict(found)
    fields["status"], fields["budget_type"] = ContractStatus(fields["status"]), BudgetType(fields["budget_type"])
    return ContractRow(**fields)


# Verbs


async def make(terms: Terms) -> ContractRow:
    """Write a contract that waits for both signatures. One per project and per proposal: the database refuses more."""
    guard.in_transaction()
    contract_id = await guard.value(
        MAKE,
        terms.project_id,
        terms.proposal_id,
        terms.client_id,
        terms.freelancer_id,
        terms.title,
        terms.amount.minor,
        terms.amount.currency,
        terms.fee_bp,
        terms.budget_type.value,
        terms.weekly_cap_minutes,
        terms.time_zone,
    )
    return await _reread(contract_id)


async def locked(contract_id: int) -> ContractRow:
    """The contract, locked until the transaction ends, whoever asks. Raises NotFound."""
    await lock(Noun.CONTRACT, contract_id)
    return await _reread(contract_id)


async def locked_with_project(contract_id: int) -> ContractRow:
    """The contract, locked below its project and its freelancer's account: for what ends both. Raises NotFound.

    The account, because it says how many contracts somebody has completed.
    """
    guard.in_transaction()
    above = await guard.row("select project, freelancer from contracts where id = $1", contract_id)
    if above is None:
        raise NotFound(f"There is no contract {contract_id}.")
    await lock(Noun.ACCOUNT, above["freelancer"])
    await lock(Noun.PROJECT, above["project"])
    return await locked(contract_id)


async def sign(contract_id: int, *, user_id: int) -> ContractRow:
    """Record a party's signature; the second party's makes the contract active. Signing again changes nothing.

    Raises NotFound for a stranger, PayoutsNotReady for a freelancer without an account to be paid to, WrongState
    when the contract does not wait for signatures.
    """
    contract = await locked(contract_id)
    if user_id not in (contract.client_id, contract.freelancer_id):
        raise NotFound(f"There is no contract {contract_id}.")
    by_client = user_id == contract.client_id
    if contract.client_signed_at if by_client else contract.freelancer_signed_at:
        return contract
    MACHINE.check(contract.status, ContractStatus.ACTIVE, verb="sign")
    if not by_client and not await guard.value("select payouts_ready from users where id = $1", user_id):
        raise PayoutsNotReady(
            "Set up your payout account first: its money must go somewhere: POST /api/stripe/accounts."
        )
    await guard.rows(SIGN, contract_id, user_id)
    complete = contract.freelancer_signed_at if by_client else contract.client_signed_at
    signed = await move(contract, ContractStatus.ACTIVE, verb="sign") if complete else await _reread(contract_id)
    await _tell_other(signed, user_id)
    return signed


async def move(
    contract: ContractRow, target: ContractStatus, *, verb: str | None = None, because: str | None = None
) -> ContractRow:
    """Change a locked contract's status; `because` is why it is cancelled.

    Raises WrongState when the table does not list the change.
    """
    guard.in_transaction()
    MACHINE.check(contract.status, target, verb=verb)
    await guard.rows(MOVE, contract.id, target.value, because)
    return await _reread(contract.id)


async def _reread(contract_id: int) -> ContractRow:
    return _row(await guard.only(SELECT + "where c.id = $1", contract_id))


async def _tell_other(contract: ContractRow, signer_id: int) -> None:
    active = contract.status is ContractStatus.ACTIVE
    then = "The contract is active." if active else "It becomes active with your signature."
    await notifications.tell(
        contract.other_party(signer_id),
        type=NotificationType.CONTRACT_SIGNED,
        title="Contract signed",
        message=f"{contract.name_of(signer_id)} has signed the contract for “{contract.title}”. {then}",
        data={"contract_id": contract.id, "project_id": contract.project_id, "status": contract.status.value},
    )


# Queries


async def read(contract_id: int, *, user_id: int, admin: bool) -> ContractRow:
    """The contract, for its two parties or an admin. Raises NotFound for anybody else."""
    found = await guard.row(
        SELECT + "where c.id = $1 and ($3 or c.client = $2 or c.freelancer = $2)", contract_id, user_id, admin
    )
    if found is None:
        raise NotFound(f"There is no contract {contract_id}.")
    return _row(found)


async def list_own(user_id: int, *, status: ContractStatus | None, before: int | None, limit: int) -> list[ContractRow]:
    """The newest contracts one is a party of, all or those in one state, from `before` (an id, exclusive) backwards."""
    found = await guard.rows(
        LIST_OWN,
        user_id,
        [one.value for one in ContractStatus if status in (None, one)],
        before or LAST_ID,
        limit,
    )
    return [_row(one) for one in found]
