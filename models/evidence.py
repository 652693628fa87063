"""What the two sides of a dispute say and show. Nothing of it is changed or taken back.

Refuses evidence once the dispute is decided, and files that are not their author's own or were not found good.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from piccolo.columns import Array, BigInt, BigSerial, Text, Timestamptz
from piccolo.columns.defaults.timestamptz import TimestamptzNow
from piccolo.table import Table

from models import disputes, guard, uploads
from models.accounts import User
from models.base import Record, restricted
from models.disputes import MACHINE, Dispute, DisputeRow, DisputeStatus
from models.errors import Invalid, NotFound, WrongState
from models.notifications import NotificationType
from models.queries import query
from models.timers import TimerKind
from models.uploads import UploadPurpose

MOST_EVIDENCE: Final = 50
"""Pieces of evidence that one party brings to one dispute: an admin reads all of them."""
MOST_ATTACHMENTS: Final = 10
"""Files of one piece of evidence."""


class Evidence(Table, tablename="dispute_evidence"):
    """What a party says and shows; nothing of it is changed or taken back."""

    id = BigSerial(primary_key=True)
    dispute = restricted(Dispute)
    author = restricted(User)
    note = Text()
    attachment_ids = Array(base_column=BigInt(), default=list)
    created_at = Timestamptz(default=TimestamptzNow())


class EvidenceRow(Record, frozen=True):
    """What a party said and showed."""

    id: int
    author_id: int
    note: str
    attachment_ids: list[int]
    created_at: datetime


EVIDENCE: Final = query(
    "disputes.evidence",
    """select id, author as author_id, note, attachment_ids, created_at from dispute_evidence
        where dispute = $1 order by id""",
)

WRITE: Final = """
insert into dispute_evidence (dispute, author, note, attachment_ids, created_at)
values ($1, $2, $3, $4::bigint[], business_now())
"""


# Verbs


async def add(dispute_id: int, *, user_id: int, note: str, attachment_ids: Sequence[int] = ()) -> DisputeRow:
    """Say and show something, as a party, until it is decided; the other party's first word is the answer.

    The answer gives both five working days for evidence. Raises NotFound for a stranger, WrongState once it is decided
    or the party has brought MOST_EVIDENCE, UploadNotReady for files that are not the caller's own ready evidence.
    """
    dispute, _, contract = await disputes.locked(dispute_id)
    if user_id not in dispute.parties:
        raise NotFound(f"There is no dispute {dispute_id}.")
    if dispute.status in (DisputeStatus.RESOLVED, DisputeStatus.CLOSED):
        raise WrongState(f"This dispute is {dispute.status.value}: it takes no evidence.")
    await _check_files(attachment_ids, user_id)
    brought = await guard.value(
        "select count(*) from dispute_evidence where dispute = $1 and author = $2", dispute_id, user_id
    )
    if brought >= MOST_EVIDENCE:
        raise WrongState(f"You have brought {MOST_EVIDENCE} pieces of evidence, as many as a dispute takes of a party.")
    await guard.rows(WRITE, dispute_id, user_id, note, list(attachment_ids))
    answered = dispute.status is DisputeStatus.OPEN and user_id == dispute.other_party_id
    if answered:
        MACHINE.check(dispute.status, DisputeStatus.EVIDENCE, verb="answer")
        await guard.rows(disputes.MOVE, dispute_id, DisputeStatus.EVIDENCE.value)
        await disputes.stop_clocks(dispute_id)
        await disputes.start_clock(TimerKind.DISPUTE_EVIDENCE, dispute_id, contract)
    await disputes.tell(
        dispute,
        contract.other_party(user_id),
        type=NotificationType.DISPUTE_ANSWERED,
        title="Dispute answered" if answered else "New evidence",
        message=f"{contract.name_of(user_id)} has brought evidence about “{dispute.milestone_title}”.",
    )
    return await disputes.reread(dispute_id)


async def _check_files(attachment_ids: Sequence[int], user_id: int) -> None:
    if len(set(attachment_ids)) < len(attachment_ids):
        raise Invalid("A file is named twice.", field="attachment_ids")
    await uploads.require_ready(attachment_ids, user_id=user_id, purpose=UploadPurpose.EVIDENCE)


# Queries


async def of_dispute(dispute_id: int) -> list[EvidenceRow]:
    """All that was said and shown, oldest first; both sides see all of it. Whether one may is `read`'s question."""
    return [EvidenceRow(**dict(one)) for one in await guard.rows(EVIDENCE, dispute_id)]
