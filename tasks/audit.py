"""The audit log's chain: sealed once a second, walked each night and whenever an admin asks.

Sealing is one job a minute that comes back each second, so a lost worker costs seconds and no process has a loop of
its own. The head of each sealing is logged: an anchor that whoever changes the database does not reach.
"""

import time
from typing import Final

import msgspec
import structlog

from models import audit_chain, guard
from models.audit_chain import BATCH, Difference, Walk
from models.jobs import SealAudit, VerifyAudit
from tasks.job import Claim, Reschedule, performs

log = structlog.get_logger()

MINUTE_S: Final = 60.0
REST_S: Final = 1.0
"""The window in which a row may be forged and sealed as forged."""
MOST_BATCHES: Final = 20
"""In one go, well within the time limit."""
SLICE_S: Final = 15.0
"""A walk that takes longer rests and goes on: its worker has other things to do."""


class Sealed(msgspec.Struct, frozen=True):
    """What a minute's sealing did."""

    rows: int
    seq: int
    head: str


class Verified(msgspec.Struct, frozen=True):
    """What a verification saw. `found` counts every difference, `differences` names the first hundred."""

    rows: int
    head: str
    found: int
    differences: tuple[Difference, ...]


@performs(SealAudit)
async def seal_audit(_: SealAudit, claim: Claim) -> Sealed:
    """Seal what waits, now and each second until the minute is over. Twice at once is once."""
    rows: int = claim.bookmark or 0
    for _batch in range(MOST_BATCHES):
        batch = await guard.commit(audit_chain.seal)
        rows += batch.rows
        if batch.rows:
            log.info("audit.sealed", rows=batch.rows, seq=batch.head.seq, head=batch.head.hash)
        if batch.rows < BATCH:
            break
    if claim.age_s + REST_S < MINUTE_S:
        raise Reschedule(REST_S, bookmark=rows)
    return Sealed(rows=rows, seq=batch.head.seq, head=batch.head.hash)


@performs(VerifyAudit)
async def verify_audit(_: VerifyAudit, claim: Claim) -> Verified:
    """Walk the whole chain; each difference is logged as an error, and nothing is mended."""
    began = time.monotonic()
    walk = Walk() if claim.bookmark is None else msgspec.convert(claim.bookmark, Walk)
    while not walk.over:
        if time.monotonic() - began > SLICE_S:
            raise Reschedule(0, bookmark=walk)
        walk = await audit_chain.walk(walk)
    for one in walk.differences:
        log.error("audit.difference", check=one.check, seq=one.seq, id=one.id, detail=one.detail)
    log.info("audit.verified", rows=walk.rows, seq=walk.seq, head=walk.hash, found=walk.found)
    return Verified(rows=walk.rows, head=walk.hash, found=walk.found, differences=walk.differences)
