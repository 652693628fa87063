"""Invoices, worked on by jobs: numbered first, printed then. What was numbered and not printed is printed next time."""

import asyncio
import time
from typing import Final

import msgspec

from models import guard, invoices
from models.jobs import NumberInvoices
from tasks.job import Claim, Reschedule, performs

PRINT_S: Final = 12.0
"""How long is printed in one go: one takes a tenth of a second, ten on a bad day, and the queue's limit is 25 s."""
REST_S: Final = 0.2


class Numbered(msgspec.Struct, frozen=True):
    """What a run did."""

    numbered: int
    printed: int


@performs(NumberInvoices)
async def number_invoices(_: NumberInvoices, claim: Claim) -> Numbered:
    """Number every invoice that has no number, in the order they were written, then print what is not printed."""
    numbered, printed = claim.bookmark or (0, 0)
    while more := await guard.commit(invoices.number_some):
        numbered += more
    # Here, because the library takes 40 MiB and most workers never print.
    from tasks import invoice_pdf  # noqa: PLC0415

    began = time.monotonic()
    while waiting := await invoices.list_unrendered():
        for invoice in waiting:
            if time.monotonic() - began > PRINT_S:
                raise Reschedule(REST_S, bookmark=[numbered, printed])
            pdf = await asyncio.to_thread(invoice_pdf.render, invoice)
            await guard.commit(invoices.keep_pdf, invoice.id, pdf)
            printed += 1
    return Numbered(numbered, printed)
