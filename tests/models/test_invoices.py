"""Invoices: written with the payment, numbered in order without gaps, seen by their two sides."""

from datetime import UTC, datetime

import pytest

from models import guard, invoices
from models.errors import NotFound, WrongState
from models.invoices import InvoiceKind, InvoiceRow
from models.money import Money
from tests import bills, clock, factories, worlds
from tests.worlds import refused


def test_a_number_is_printed_with_its_year() -> None:
    assert bills.an_invoice(year=2026, number=123).display_number == "2026-000123"
    assert bills.an_invoice(year=2031, number=1_234_567).display_number == "2031-1234567"
    assert bills.an_invoice(year=None, number=None).display_number is None


async def test_a_payment_is_billed_to_both_sides_in_the_names_of_its_day(database: str) -> None:
    hire = await worlds.a_hire()
    await clock.ahead(days=40)
    await bills.paid(hire, gross="1000.00", fee="100.00")
    await guard.rows("update users set first_name = 'Somebody', last_name = 'Else'")

    fee, work = await invoices.list_own(hire.freelancer.id, year=None, before=None, limit=10)

    assert (work.kind, work.seller_id, work.buyer_id) == (InvoiceKind.WORK, hire.freelancer.id, hire.client.id)
    assert (work.seller_name, work.buyer_name) == ("Frida Freelancer", "Clara Client")
    assert (work.amount, work.description) == (Money(100_000, "USD"), "A shop for bicycles: A shop for bicycles")
    assert (fee.kind, fee.seller_id, fee.seller_name) == (InvoiceKind.FEE, None, "MegiLance")
    assert (fee.buyer_id, fee.buyer_name) == (hire.freelancer.id, "Frida Freelancer")
    assert (fee.amount, fee.description) == (Money(10_000, "USD"), "Platform fee for “A shop for bicycles”")
    assert {(one.contract_id, one.milestone_id, one.number, one.has_pdf) for one in (work, fee)} == {
        (hire.contract.id, hire.milestones[0].id, None, False)
    }
    assert work.issued_at == await guard.value("select min(issued_at) from invoices")
    assert (work.issued_at - datetime.now(UTC)).days == 39
    assert await invoices.list_own(hire.client.id, year=None, before=None, limit=10) == [work]


async def test_without_a_fee_there_is_one_and_a_milestone_is_billed_once(database: str) -> None:
    hire = await worlds.a_hire()
    for _ in range(2):
        await bills.paid(hire, gross="7.00", fee="0.00")
    assert await guard.value("select count(*) from invoices") == 1
    assert await guard.value("select count(*) from jobs where kind = 'invoices.number'") == 1


async def test_numbers_follow_the_order_of_each_year_without_gaps(database: str) -> None:
    hire = await worlds.a_hire()
    last_second, first_second = "2026-12-31T23:59:59Z", "2027-01-01T00:00:00Z"
    late = await bills.written(hire, last_second)
    early = [await bills.written(hire, first_second) for _ in range(2)]
    later = await bills.written(hire, last_second)

    assert await guard.commit(invoices.number_some, 3) == 3
    more = await bills.written(hire, first_second)
    assert await guard.commit(invoices.number_some) == 2
    assert await guard.commit(invoices.number_some) == 0

    numbers = {
        one["id"]: (one["year"], one["number"]) for one in await guard.rows("select id, year, number from invoices")
    }
    assert numbers == {late: (2026, 1), later: (2026, 2), early[0]: (2027, 1), early[1]: (2027, 2), more: (2027, 3)}


async def test_a_rollback_costs_no_number(database: str) -> None:
    hire = await worlds.a_hire()
    first = await bills.written(hire)

    async def fail() -> None:
        await bills.written(hire)
        raise LookupError

    with pytest.raises(LookupError):
        await guard.commit(fail)
    second = await bills.written(hire)
    await guard.commit(invoices.number_some)
    found = await guard.rows("select id, number from invoices order by id")
    assert [tuple(one) for one in found] == [(first, 1), (second, 2)]


async def test_an_invoice_is_its_two_sides_and_the_admins(database: str) -> None:
    hire, stranger = await worlds.a_hire(), await factories.a_client()
    await bills.paid(hire, gross="1000.00", fee="100.00")
    fee, work = await invoices.list_own(hire.freelancer.id, year=None, before=None, limit=10)

    async def seen(one: InvoiceRow, user_id: int, *, admin: bool = False) -> bool:
        try:
            return await invoices.read(one.id, user_id=user_id, admin=admin) == one
        except NotFound:
            return False

    assert [await seen(work, one.id) for one in (hire.client, hire.freelancer, stranger)] == [True, True, False]
    assert [await seen(fee, one.id) for one in (hire.client, hire.freelancer, stranger)] == [False, True, False]
    assert await seen(fee, stranger.id, admin=True)
    async with refused(WrongState, match="being numbered"):
        await invoices.read_pdf(work.id, user_id=hire.client.id, admin=False)
    async with refused(NotFound):
        await invoices.read_pdf(work.id, user_id=stranger.id, admin=False)


async def test_a_pdf_is_kept_once_and_never_before_the_number(database: str) -> None:
    hire = await worlds.a_hire()
    invoice = await bills.written(hire)
    await guard.commit(invoices.keep_pdf, invoice, b"early")
    assert await guard.value("select pdf from invoices") is None
    await guard.commit(invoices.number_some)
    assert [one.id for one in await invoices.list_unrendered()] == [invoice]
    await guard.commit(invoices.keep_pdf, invoice, b"first")
    await guard.commit(invoices.keep_pdf, invoice, b"second")
    kept = await invoices.read_pdf(invoice, user_id=hire.client.id, admin=False)
    assert (kept[0].has_pdf, kept[1]) == (True, b"first")
    assert await invoices.list_unrendered() == []


async def test_a_year_is_that_of_issue_and_pages_follow_each_other(database: str) -> None:
    hire = await worlds.a_hire()
    ids = [await bills.written(hire, moment) for moment in ("2026-12-31T23:59:59Z", "2027-01-01T00:00:00Z")]
    ids += [await bills.written(hire, "2027-12-31T23:59:59Z"), await bills.written(hire, "2028-01-01T00:00:00Z")]

    async def listed(*, year: int | None = None, before: int | None = None, limit: int = 10) -> list[int]:
        found = await invoices.list_own(hire.client.id, year=year, before=before, limit=limit)
        return [one.id for one in found]

    assert await listed() == ids[::-1]
    assert await listed(limit=2) == [ids[3], ids[2]]
    assert await listed(before=ids[2]) == [ids[1], ids[0]]
    assert await listed(year=2027) == [ids[2], ids[1]]
    assert await listed(year=2027, before=ids[2], limit=1) == [ids[1]]
    assert await listed(year=2025) == []
