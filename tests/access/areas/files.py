"""Uploads and invoices."""

from datetime import UTC, datetime
from typing import Any, Final

from models import guard, invoices
from models.accounts import Person
from tests import bills, factories, files
from tests.access.asking import Asked, Asking, at, says
from tests.access.who import Who

#                                                anon unver client freel stran admin
WRITTEN: Final = """
POST   /api/uploads                                401  403  201  201  201  201  everybody signed in; unverified accounts avatars only
POST   /api/uploads/{upload_id}/complete           401  404  202  404  404  404  whose file it is
GET    /api/uploads/{upload_id}                    401  404  200  200  404  200  whose file it is, whoever it was delivered to, admins
DELETE /api/uploads/{upload_id}                    401  404  204  404  404  404  whose file it is, while nothing shows it
GET    /api/invoices                               401  200  200  200  200  200  everybody signed in, their own
GET    /api/invoices/{invoice_id}                  401  404  200  200  404  200  its seller, its buyer, admins
GET    /api/invoices/{invoice_id}/pdf              401  404  200  200  404  200  its seller, its buyer, admins
"""

REQUESTS: Final[dict[str, Asking]] = {
    "POST /api/uploads": says(
        purpose="portfolio", filename="plan.pdf", content_type="application/pdf", size_bytes=1000
    ),
    "POST /api/uploads/{upload_id}/complete": at(upload_id="files_awaited"),
    "GET /api/uploads/{upload_id}": at(upload_id="files_delivered"),
    "DELETE /api/uploads/{upload_id}": at(upload_id="files_unused"),
    "GET /api/invoices": lambda _, __: Asked(query={"year": datetime.now(UTC).year}),
    "GET /api/invoices/{invoice_id}": at(invoice_id="files_invoice"),
    "GET /api/invoices/{invoice_id}/pdf": at(invoice_id="files_invoice"),
}


async def make(known: dict[Who, Person], world: dict[str, Any]) -> dict[str, Any]:
    """Write this area's things into the world, of the people in the columns; their ids by name."""
    owner, other = known[Who.CLIENT], known[Who.FREELANCER]
    contract = await factories.a_contract(owner, other)
    milestone = (await factories.milestones_of(contract))[0]
    delivered = await files.ready(other, files.UploadPurpose.DELIVERABLE)
    await guard.rows(
        "update milestones set attachment_ids = array[$2::bigint] where id = $1", milestone.id, delivered.id
    )
    await bills.billed(contract, milestone, milestone.amount, milestone.amount)
    await guard.commit(invoices.number_some)
    invoice = await guard.value("select id from invoices where kind = 'work' and milestone = $1", milestone.id)
    await guard.commit(invoices.keep_pdf, invoice, b"%PDF-1.7")
    return {
        "files_awaited": (await files.announced(owner)).id,
        "files_delivered": delivered.id,
        "files_unused": (await files.ready(owner)).id,
        "files_invoice": invoice,
    }
