"""Invoices: one for what a client paid a freelancer, one for the platform's fee, numbered by year without gaps.

A number is given by one job at a time, in the order of the invoices, never by the transaction that made the row: no
counter is locked while money moves, and none is lost when that rolls back. What was printed is never changed: also when
a person is erased their name stays on it, because the other side has to keep its bills.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from piccolo.columns import BigInt, BigSerial, Bytea, Integer, Text, Timestamptz
from piccolo.columns.defaults.timestamptz import TimestamptzNow
from piccolo.table import Table

from models import guard
from models.accounts import User
from models.base import Record, restricted
from models.contracts import Contract, ContractRow
from models.errors import NotFound, WrongState
from models.jobs import NumberInvoices
from models.milestones import Milestone, MilestoneRow
from models.money import Money
from models.outbox import enqueue
from models.queries import query

PLATFORM: Final = "MegiLance"
"""The seller of what has no other one."""
NUMBERED_AT_ONCE: Final = 1_000
"""Invoices that one transaction numbers: nobody else can meanwhile, so it is short."""
RENDERED_AT_ONCE: Final = 50


class InvoiceKind(StrEnum):
    """What is billed."""

    WORK = "work"
    FEE = "fee"


class Invoice(Table, tablename="invoices"):
    """One bill, already paid. `seller` is null for the platform itself. Names are those of its day."""

    id = BigSerial(primary_key=True)
    kind = Text()
    contract = restricted(Contract)
    milestone = restricted(Milestone)
    seller = restricted(User, null=True)
    seller_name = Text()
    buyer = restricted(User)
    buyer_name = Text()
    description = Text()
    amount_minor = BigInt(default=None)
    currency = Text()
    issued_at = Timestamptz(default=TimestamptzNow())
    year = Integer(null=True, default=None)
    number = Integer(null=True, default=None)
    pdf = Bytea(null=True, default=None)


class InvoiceRow(Record, frozen=True):
    """An invoice as the domain passes it around; without a seller it is the platform's own."""

    id: int
    kind: InvoiceKind
    contract_id: int
    milestone_id: int
    seller_id: int | None
    seller_name: str
    buyer_id: int
    buyer_name: str
    description: str
    amount_minor: int
    currency: str
    issued_at: datetime
    year: int | None
    number: int | None
    has_pdf: bool

    @property
    def amount(self) -> Money:
        """What was paid."""
        return Money(self.amount_minor, self.currency)

    @property
    def display_number(self) -> str | None:
        """The number as it is printed, or None when it has none yet."""
        return None if self.number is None else f"{self.year}-{self.number:06d}"


COLUMNS: Final = """
i.id, i.kind, i.contract as contract_id, i.milestone as milestone_id, i.seller as seller_id, i.seller_name,
i.buyer as buyer_id, i.buyer_name, i.description, i.amount_minor, i.currency, i.issued_at, i.year, i.number,
i.pdf is not null as has_pdf
"""

WRITE: Final = """
insert into invoices (kind, contract, milestone, seller, seller_name, buyer, buyer_name, description, amount_minor,
                      currency, issued_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, business_now())
on conflict (milestone, kind) do nothing
"""

# One after the other: whoever comes second waits here, and its next statement sees what the first has committed.
ALONE: Final = "select pg_advisory_xact_lock(hashtext('invoices.number'))"
NUMBER: Final = """
with waiting as (
    select id, extract(year from issued_at at time zone 'UTC')::integer as year
      from invoices where number is null order by id limit $1),
numbered as (
    select w.id, w.year,
           coalesce((select max(i.number) from invoices i where i.year = w.year), 0)
           + row_number() over (partition by w.year order by w.id) as number
      from waiting w)
update invoices i set year = n.year, number = n.number from numbered n where i.id = n.id returning i.id
"""
UNRENDERED: Final = f"""
select {COLUMNS} from invoices i where i.number is not null and i.pdf is null order by i.id limit $1
"""
OWN: Final = query(
    "invoices.own",
    f"""
select {COLUMNS} from invoices i
 where (i.seller = $1 or i.buyer = $1) and i.id < $2 order by i.id desc limit $3
""",
)
OWN_OF_YEAR: Final = query(
    "invoices.own_of_year",
    f"""
select {COLUMNS} from invoices i
 where (i.seller = $1 or i.buyer = $1) and i.id < $2 and i.issued_at >= $4 and i.issued_at < $5
 order by i.id desc limit $3
""",
)
LARGEST_ID: Final = 2**63 - 1


def _row(found: Any) -> InvoiceRow:
    return InvoiceRow(**{**dict(found), "kind": InvoiceKind(found["kind"])})


# Verbs


async def write(contract: ContractRow, milestone: MilestoneRow, *, gross: Money, fee: Money) -> None:
    """Bill a milestone that was paid: the work to the client, the fee to the freelancer. Their numbers come soon.

    As the transaction's last statement: the job that numbers is one for everybody.
    """
    guard.in_transaction()
    about = (contract.id, milestone.id)
    freelancer = (contract.freelancer_id, contract.freelancer_name)
    work = (*freelancer, contract.client_id, contract.client_name, f"{contract.title}: {milestone.title}")
    await guard.rows(WRITE, InvoiceKind.WORK.value, *about, *work, gross.minor, gross.currency)
    if fee.minor:
        kept = (None, PLATFORM, *freelancer, f"Platform fee for “{milestone.title}”")
        await guard.rows(WRITE, InvoiceKind.FEE.value, *about, *kept, fee.minor, fee.currency)
    await enqueue(NumberInvoices(), coalesce="invoices")


async def number_some(limit: int = NUMBERED_AT_ONCE) -> int:
    """Give the oldest invoices without a number the next ones of their year; returns how many there were.

    However many do this at once: no number is given twice, and none is left out.
    """
    guard.in_transaction()
    await guard.rows(ALONE)
    return await guard.execute(NUMBER, limit)


async def keep_pdf(invoice_id: int, pdf: bytes) -> None:
    """Keep an invoice's PDF; the first one stays."""
    guard.in_transaction()
    await guard.rows(
        "update invoices set pdf = $2 where id = $1 and pdf is null and number is not null", invoice_id, pdf
    )


# Queries


async def list_unrendered(limit: int = RENDERED_AT_ONCE) -> list[InvoiceRow]:
    """The oldest invoices that have a number and no PDF."""
    return [_row(one) for one in await guard.rows(UNRENDERED, limit)]


async def list_own(user_id: int, *, year: int | None, before: int | None, limit: int) -> list[InvoiceRow]:
    """The newest invoices one wrote or got, of a year if asked, from `before` (an id, exclusive) backwards."""
    asked = (user_id, LARGEST_ID if before is None else before, limit)
    if year is None:
        return [_row(one) for one in await guard.rows(OWN, *asked)]
    bounds = (datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC))
    return [_row(one) for one in await guard.rows(OWN_OF_YEAR, *asked, *bounds)]


async def read(invoice_id: int, *, user_id: int, admin: bool) -> InvoiceRow:
    """The invoice, for whoever wrote or got it, or an admin. Raises NotFound for anybody else."""
    found = await guard.row(
        f"select {COLUMNS} from invoices i where i.id = $1 and ($3 or i.seller = $2 or i.buyer = $2)",
        invoice_id,
        user_id,
        admin,
    )
    if found is None:
        raise NotFound(f"There is no invoice {invoice_id}.")
    return _row(found)


async def read_pdf(invoice_id: int, *, user_id: int, admin: bool) -> tuple[InvoiceRow, bytes]:
    """The invoice and its PDF. Raises NotFound, WrongState until it has its number and was printed."""
    invoice = await read(invoice_id, user_id=user_id, admin=admin)
    pdf: bytes | None = await guard.value("select pdf from invoices where id = $1", invoice_id)
    if pdf is None:
        raise WrongState("This invoice is being numbered; it can be fetched in a moment.")
    return invoice, pdf
