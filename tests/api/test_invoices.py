"""Invoices over HTTP: listed, read and fetched by their two sides."""

from datetime import UTC, datetime
from decimal import Decimal

from litestar import Litestar

from models import guard, invoices
from tests import bills, worlds
from tests.api.callers import body_of, calling, problem_of


async def test_an_invoice_goes_from_the_list_to_paper(app: Litestar) -> None:
    hire = await worlds.a_hire()
    await bills.paid(hire, gross="1234.50", fee="123.45")
    client, freelancer = await calling(app, hire.client), await calling(app, hire.freelancer)

    listed = body_of(await freelancer.get("/api/invoices", params={"limit": 1}), 200)
    (fee,) = listed["items"]
    assert fee | {"id": 0, "issued_at": ""} == {
        "id": 0, "number": None, "kind": "fee", "contract_id": hire.contract.id, "milestone_id": hire.milestones[0].id,
        "seller_id": None, "seller_name": "MegiLance", "buyer_id": hire.freelancer.id, "buyer_name": "Frida Freelancer",
        "description": "Platform fee for “A shop for bicycles”", "amount": Decimal("123.45"), "currency": "USD",
        "issued_at": "", "pdf_url": None,
    }  # fmt: skip
    more = body_of(await freelancer.get("/api/invoices", params={"limit": 1, "cursor": listed["next_cursor"]}), 200)
    (work,) = more["items"]
    assert (work["kind"], work["amount"], more["next_cursor"]) == ("work", Decimal("1234.50"), None)
    assert body_of(await client.get("/api/invoices"), 200)["items"] == [work]
    assert body_of(await client.get(f"/api/invoices/{work['id']}"), 200) == work
    problem_of(await client.get(f"/api/invoices/{fee['id']}"), 404, "not_found")
    problem_of(await client.get(f"/api/invoices/{work['id']}/pdf"), 409, "wrong_state")

    await guard.commit(invoices.number_some)
    await guard.commit(invoices.keep_pdf, work["id"], b"%PDF-1.7")

    year = datetime.now(UTC).year
    numbered = body_of(await client.get(f"/api/invoices/{work['id']}"), 200)
    assert (numbered["number"], numbered["pdf_url"]) == (f"{year}-000001", f"/api/invoices/{work['id']}/pdf")
    paper = await client.get(numbered["pdf_url"])
    assert (paper.status_code, paper.content, paper.headers["content-type"]) == (200, b"%PDF-1.7", "application/pdf")
    assert paper.headers["content-disposition"] == f'attachment; filename="megilance-invoice-{year}-000001.pdf"'
    problem_of(await client.get(f"/api/invoices/{fee['id']}/pdf"), 404, "not_found")


async def test_a_year_is_a_year(app: Litestar) -> None:
    hire = await worlds.a_hire()
    ids = [await bills.written(hire, f"{year}-06-01T00:00:00Z") for year in (2026, 2027)]
    client = await calling(app, hire.client)
    found = body_of(await client.get("/api/invoices", params={"year": 2026}), 200)
    assert [one["id"] for one in found["items"]] == ids[:1]
    assert body_of(await client.get("/api/invoices", params={"year": 2999}), 200)["items"] == []
    for wrong in ("1999", "3000", "x", "-1"):
        problem_of(await client.get("/api/invoices", params={"year": wrong}), 422, "invalid")
    problem_of(await client.get("/api/invoices", params={"cursor": "x"}), 422, "invalid")
