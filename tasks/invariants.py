"""The proof, run by the clock: a difference is an alarm, never silently mended."""

from typing import Any

import structlog

from models.jobs import CheckLedger
from models.ledger import proof
from tasks.job import Claim, performs

log = structlog.get_logger()


@performs(CheckLedger)
async def check_ledger(_: CheckLedger, __: Claim) -> dict[str, Any]:
    """Prove the ledger from one snapshot; each difference is logged as an error."""
    found = await proof.prove()
    for difference in found.differences:
        log.error("ledger.difference", check=difference.check, subject=difference.subject, asset=difference.asset,
                  found=difference.found, wanted=difference.wanted)  # fmt: skip
    return {"journals": found.journals, "postings": found.postings, "differences": len(found.differences)}
