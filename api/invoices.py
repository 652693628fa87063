"""Invoices, over HTTP: what one was billed, and what was billed in one's name."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Final

import msgspec
from litestar import Response, Router, get
from litestar.params import QueryParameter

from api.auth import FRESH, Asking, signed_in
from api.fields import PathId
from api.pages import DEFAULT_LIMIT, Cursor, Limit, Page, decode_cursor, page
from models import invoices
from models.invoices import InvoiceKind, InvoiceRow

LISTING: Final = "invoices"
FIRST_YEAR: Final = 2000
LAST_YEAR: Final = 2999

Year = Annotated[
    int | None, QueryParameter(ge=FIRST_YEAR, le=LAST_YEAR, description="the year of issue, in UTC; all without it")
]


class InvoiceOut(msgspec.Struct, frozen=True, kw_only=True):
    """An invoice, paid when issued. `number` and `pdf_url` come within moments; the platform has no `seller_id`."""

    id: int
    number: str | None
    kind: InvoiceKind
    contract_id: int
    milestone_id: int
    seller_id: int | None
    seller_name: str
    buyer_id: int
    buyer_name: str
    description: str
    amount: Decimal
    currency: str
    issued_at: datetime
    pdf_url: str | None


def show(invoice: InvoiceRow) -> InvoiceOut:
    """The invoice as it is answered."""
    return InvoiceOut(
        id=invoice.id,
        number=invoice.display_number,
        kind=invoice.kind,
        contract_id=invoice.contract_id,
        milestone_id=invoice.milestone_id,
        seller_id=invoice.seller_id,
        seller_name=invoice.seller_name,
        buyer_id=invoice.buyer_id,
        buyer_name=invoice.buyer_name,
        description=invoice.description,
        amount=invoice.amount.major,
        currency=invoice.currency,
        issued_at=invoice.issued_at,
        pdf_url=f"/api/invoices/{invoice.id}/pdf" if invoice.has_pdf else None,
    )


@get("/")
async def list_invoices(
    caller: Asking, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None, year: Year = None
) -> Page[InvoiceOut]:
    """The invoices the caller wrote or got, newest first."""
    before = decode_cursor(LISTING, cursor, int)
    found = await invoices.list_own(caller.id, year=year, before=before, limit=limit + 1)
    return page(LISTING, [show(one) for one in found], limit, lambda one: one.id)


@get("/{invoice_id:int}")
async def read_invoice(invoice_id: PathId, caller: Asking) -> InvoiceOut:
    """An invoice, for its two sides."""
    return show(await invoices.read(invoice_id, user_id=caller.id, admin=caller.admin))


@get("/{invoice_id:int}/pdf", media_type="application/pdf", opt=dict(FRESH))
async def download_invoice(invoice_id: PathId, caller: Asking) -> Response[bytes]:
    """An invoice on paper, for its two sides. 409 for the moment that it takes to number and print it."""
    invoice, pdf = await invoices.read_pdf(invoice_id, user_id=caller.id, admin=caller.admin)
    return Response(
        pdf,
        media_type="application/pdf",
        headers={"Content-Disposition": f'attachment; filename="megilance-invoice-{invoice.display_number}.pdf"'},
    )


router = Router(
    "/api/invoices",
    route_handlers=[list_invoices, read_invoice, download_invoice],
    tags=["invoices"],
    guards=[signed_in],
)
