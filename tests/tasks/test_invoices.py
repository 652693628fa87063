"""Invoices from their rows to paper: numbered and printed once, twice, and across a crash, without a gap."""

import io
import time
from datetime import UTC, datetime
from typing import Any

import pypdf
import pytest

from models import guard, invoices
from models.invoices import InvoiceKind
from models.jobs import JobStatus, NumberInvoices
from models.outbox import enqueue
from models.queue.views import JobView
from tasks import invoice_pdf
from tasks import invoices as performing
from tests import bills, worlds
from tests.performing import killed_before, perform_killed, perform_now, release_dead


def text_of(pdf: bytes) -> str:
    (page,) = pypdf.PdfReader(io.BytesIO(pdf)).pages
    return page.extract_text()


async def run(**how: Any) -> JobView:
    """The job that an invoice caused, or one more."""
    return await perform_now((await guard.commit(enqueue, NumberInvoices(), coalesce="invoices")).job_id, **how)


async def as_numbered() -> list[tuple[int, bool]]:
    found = await guard.rows("select number, pdf is not null from invoices order by id")
    return [tuple(one) for one in found]


async def test_a_payments_invoices_are_numbered_and_printed_and_their_totals_agree(database: str) -> None:
    hire = await worlds.a_hire()
    await bills.paid(hire, gross="1234.56", fee="123.46")

    done = await run(give_back_first=True)

    assert (done.status, done.result) == (JobStatus.SUCCEEDED, {"numbered": 2, "printed": 2})
    year = datetime.now(UTC).year
    fee, work = [
        text_of((await invoices.read_pdf(one.id, user_id=hire.freelancer.id, admin=False))[1])
        for one in await invoices.list_own(hire.freelancer.id, year=None, before=None, limit=10)
    ]
    assert f"Invoice {year}-000001" in work
    assert work.count("1,234.56 USD") == 2
    assert work.index("From\nFrida Freelancer") < work.index("To\nClara Client")
    assert "A shop for bicycles: A shop for bicycles" in work
    assert f"Contract {hire.contract.id}, milestone {hire.milestones[0].id}" in work
    assert f"Invoice {year}-000002" in fee
    assert fee.count("123.46 USD") == 2
    assert fee.index("From\nMegiLance") < fee.index("To\nFrida Freelancer")
    again = await run()
    assert again.result == {"numbered": 0, "printed": 0}


async def test_a_crash_leaves_no_gap_and_what_was_not_printed_is_printed_next(database: str) -> None:
    hire = await worlds.a_hire()
    await bills.paid(hire, gross="10.00", fee="1.00")
    job_id = (await guard.commit(enqueue, NumberInvoices(), coalesce="invoices")).job_id
    with killed_before(invoices, "number_some"):
        await perform_killed(job_id)
    assert await as_numbered() == [(None, False)] * 2
    await release_dead(job_id)
    with killed_before(invoices, "keep_pdf"):
        await guard.rows("update job_live set run_at = now()")
        await perform_killed(job_id)
    assert await as_numbered() == [(1, False), (2, False)]
    await release_dead(job_id)
    await bills.written(hire)

    done = await perform_now(job_id, even_if_early=True)

    assert done.result == {"numbered": 1, "printed": 3}
    assert await as_numbered() == [(1, True), (2, True), (3, True)]


async def test_many_are_printed_in_parts(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hire = await worlds.a_hire()
    for _ in range(2):
        await bills.written(hire)
    monkeypatch.setattr(performing, "PRINT_S", -1.0)
    waits = await run()
    assert waits.status is JobStatus.QUEUED
    assert await as_numbered() == [(1, False), (2, False)]
    monkeypatch.undo()

    done = await perform_now(waits.id, even_if_early=True)

    assert done.result == {"numbered": 2, "printed": 2}


def test_the_same_invoice_is_the_same_bytes() -> None:
    first = invoice_pdf.render(bills.an_invoice())
    time.sleep(1.1)  # a second later: nothing of the clock is in it
    assert invoice_pdf.render(bills.an_invoice()) == first
    assert invoice_pdf.render(bills.an_invoice(number=2)) != first
    assert pypdf.PdfReader(io.BytesIO(first)).metadata.title == "Invoice 2026-000001"  # type: ignore[union-attr]


def test_every_script_is_printed_or_replaced_and_nothing_is_too_long() -> None:
    names = "Ωμέγα Жук Łukasz Nguyễn"
    strange = "日本 عربي 😀 \x00\u202e\U0001f468\u200d\U0001f469 \ud800"
    told = text_of(
        invoice_pdf.render(
            bills.an_invoice(
                kind=InvoiceKind.FEE,
                seller_name=names,
                buyer_name=strange + "x" * 200,
                description="<b>&amp; **bold** [link](http://x)\n" + "Wort " * 80,
                amount_minor=99_999_999,
                currency="JPY",
            )
        )
    )
    assert names in told
    assert "�� ���� �" in told
    assert "<b>&amp; **bold** [link](http://x) Wort" in told
    assert told.count("99,999,999 JPY") == 2
    assert "the fee was kept" in told
    assert invoice_pdf.printable("e\u0301\t\n x") == "é x"
