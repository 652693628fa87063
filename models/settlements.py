"""What a milestone's escrow is to become when it is not simply released: who gets how much of it, and why.

A settlement is written by the verb that decides (a refund that was accepted, a dispute that was resolved) and moves no
money itself: what moves it is told by its row, once. Refuses a second one while the first has not been voided.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from piccolo.columns import BigInt, BigSerial, Text, Timestamptz
from piccolo.columns.defaults.timestamptz import TimestamptzNow
from piccolo.table import Table

from models import guard, milestones
from models.base import Record, restricted
from models.contracts import ContractRow
from models.milestones import Milestone, MilestoneRow, MilestoneStatus
from models.money import Money


class SettlementCause(StrEnum):
    """What decided it."""

    REFUND_REQUEST = "refund_request"
    DISPUTE = "dispute"


class SettlementStatus(StrEnum):
    """Whether its money has moved."""

    DUE = "due"
    DONE = "done"
    VOID = "void"


class Settlement(Table, tablename="settlements"):
    """The shares of a milestone's escrow, in smallest units; the platform's fee comes out of the freelancer's."""

    id = BigSerial(primary_key=True)
    milestone = restricted(Milestone)
    cause = Text()
    cause_id = BigInt(default=None)
    freelancer_minor = BigInt(default=None)
    client_minor = BigInt(default=None)
    currency = Text()
    status = Text(default=SettlementStatus.DUE.value)
    created_at = Timestamptz(default=TimestamptzNow())
    done_at = Timestamptz(null=True, default=None)


class SettlementRow(Record, frozen=True):
    """A settlement as the domain passes it around; the two shares are the milestone's whole amount."""

    id: int
    milestone_id: int
    cause: SettlementCause
    cause_id: int
    freelancer: Money
    client: Money
    status: SettlementStatus
    created_at: datetime
    done_at: datetime | None


SELECT: Final = """
select id, milestone as milestone_id, cause, cause_id, freelancer_minor, client_minor, currency, status, created_at,
       done_at from settlements
"""

WRITE: Final = """
insert into settlements (milestone, cause, cause_id, freelancer_minor, client_minor, currency, created_at)
values ($1, $2, $3, $4, $5, $6, business_now()) returning id
"""


def _row(found: Any) -> SettlementRow:
    fields = dict(found)
    currency = fields.pop("currency")
    fields["freelancer"] = Money(fields.pop("freelancer_minor"), currency)
    fields["client"] = Money(fields.pop("client_minor"), currency)
    fields["cause"] = SettlementCause(fields["cause"])
    fields["status"] = SettlementStatus(fields["status"])
    return SettlementRow(**fields)


# Verbs


async def settle(
    milestone: MilestoneRow, contract: ContractRow, *, cause: SettlementCause, cause_id: int, client: Money
) -> SettlementRow:
    """Write down who gets what of a locked milestone's money: `client` is one share, the rest the freelancer's.

    The milestone is settling until the money has moved. Raises WrongState unless this cause may settle it now.
    """
    whole = milestone.amount
    assert client.currency == whole.currency, f"{client} of {whole}"
    assert 0 <= client.minor <= whole.minor, f"{client} of {whole}"
    verb = "accept_refund" if cause is SettlementCause.REFUND_REQUEST else "settle_dispute"
    milestones.MACHINE.check(milestone.status, MilestoneStatus.SETTLING, verb=verb)
    await milestones.move(milestone, contract, MilestoneStatus.SETTLING)
    settlement_id = await guard.value(
        WRITE, milestone.id, cause.value, cause_id, whole.minor - client.minor, client.minor, whole.currency
    )
    return _row(await guard.only(SELECT + "where id = $1", settlement_id))


async def void(milestone_id: int) -> None:
    """Take back what is due, because the bank let go of the money before it moved. With the milestone's lock."""
    guard.in_transaction()
    await guard.rows("update settlements set status = 'void' where milestone = $1 and status = 'due'", milestone_id)


# Queries


async def of_cause(cause: SettlementCause, *cause_ids: int) -> dict[int, SettlementRow]:
    """What these requests or disputes led to, by their ids; one that led to no settlement is absent."""
    found = await guard.rows(SELECT + "where cause = $1 and cause_id = any($2::bigint[])", cause.value, list(cause_ids))
    return {one["cause_id"]: _row(one) for one in found}
