"""The performer that gathers all that is known of a person into one file."""

import asyncio
import io
import zipfile
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Final

import msgspec

from models import exports, guard
from models.exports import ExportOutcome
from models.jobs import ExportAccount
from tasks.job import Claim, performs

README: Final = """\
Your data at MegiLance
======================

This is what we know of you, as it stood when you asked: one file for each
subject, as JSON, which any editor opens and most programs read. Times are
UTC. Amounts whose name ends in "_minor" are in the smallest unit of their
currency: 12000 in USD is 120.00 USD.

{files}

What is not here: your password and your codes, which we keep in a form that
nobody can read; and other people's data. Of the people you worked with you
find the name that you know them by, and nothing else.

Something is missing, or wrong? Write to our support.
"""


@performs(ExportAccount)
async def export_account(job: ExportAccount, claim: Claim) -> ExportOutcome | None:
    """Make an export's file. One that is made stays as it is; a crash on the way costs nothing but the work."""
    wanted = await exports.find_unmade(job.export_id)
    if wanted is None:
        return await exports.outcome(job.export_id)
    gathered = await guard.commit(exports.gather, wanted.user_id)
    content = await asyncio.to_thread(packed, gathered, wanted.created_at)
    await claim.complete(exports.complete, job.export_id, content, sha256(content).hexdigest())
    return None


def packed(gathered: Mapping[str, str], at: datetime) -> bytes:
    """The ZIP: README.txt, and a JSON file for each section. The same data makes the same bytes."""
    files = {f"{name}.json": msgspec.json.format(text, indent=2) for name, text in gathered.items()}
    readme = README.format(files="\n".join(f"  {name}" for name in files))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in {"README.txt": readme, **files}.items():
            entry = zipfile.ZipInfo(name, date_time=at.timetuple()[:6])
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, text.encode())
    return buffer.getvalue()
