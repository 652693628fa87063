"""Invoices as tests need them: of a payment that was made, or written straight into the table."""

from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from typing import Any, Final

from models import guard, invoices
from models.contracts import ContractRow
from models.invoices import InvoiceKind, InvoiceRow
from models.milestones import MilestoneRow
from models.money import Money
from tests.worlds import Hire

_numbers: Final = count(1)


def an_invoice(**changed: Any) -> InvoiceRow:
    """An invoice that is in no database."""
    fields: dict[str, Any] = {
        "id": 1,
        "kind": InvoiceKind.WORK,
        "contract_id": 12,
        "milestone_id": 34,
        "seller_id": 2,
        "seller_name": "Frida Freelancer",
        "buyer_id": 3,
        "buyer_name": "Clara Client",
        "description": "A shop for bicycles: Design",
        "amount_minor": 123_456,
        "currency": "USD",
        "issued_at": datetime(2026, 11, 23, 2, 0, tzinfo=UTC),
        "year": 2026,
        "number": 1,
        "has_pdf": False,
    }
    return InvoiceRow(**{**fields, **changed})


async def billed(contract: ContractRow, milestone: MilestoneRow, gross: Money, fee: Money) -> None:
    """As the completion of a release does it."""
    await guard.commit(invoices.write, contract, milestone, gross=gross, fee=fee)


async def paid(hire: Hire, *, gross: str, fee: str) -> None:
    """The invoices of the hire's first milestone, as if it had been paid."""
    amounts = [Money.from_major(Decimal(amount), "USD") for amount in (gross, fee)]
    await billed(hire.contract, hire.milestones[0], *amounts)


async def written(hire: Hire, issued_at: str = "2026-11-23T02:00:00Z") -> int:
    """The id of an invoice without a number, of a milestone of its own."""
    milestone = await guard.value(
        """insert into milestones (contract, title, description, amount_minor, currency)
           values ($1, $2, '', 100, 'USD') returning id""",
        hire.contract.id,
        f"Stage {next(_numbers)}",
    )
    made: int = await guard.value(
        """insert into invoices (kind, contract, milestone, seller, seller_name, buyer, buyer_name, description,
                                 amount_minor, currency, issued_at)
           values ('work', $1, $2, $3, 'Frida', $4, 'Clara', 'Work', 100, 'USD', $5) returning id""",
        hire.contract.id,
        milestone,
        hire.freelancer.id,
        hire.client.id,
        datetime.fromisoformat(issued_at),
    )
    return made
