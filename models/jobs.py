"""Every job there is, and the queues they wait in.

A job is a typed, frozen struct: what to do and the ids to do it to, never a secret, never a copy of a row.
`tasks/` has one performer for each. The rows behind it (`jobs`, `job_live`, `job_keys`, `workers`) are raw SQL in the
migrations, because `jobs` is partitioned by its id.
"""

from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Any, ClassVar, Final
from uuid import UUID

import msgspec

from models.base import Record
from models.errors import NotFound
from models.guard import row, rows


class Queue(StrEnum):
    """Where a job waits. Workers name the queues they serve, the most urgent first."""

    PAYMENTS = "payments"
    INTERACTIVE = "interactive"
    NOTIFY = "notify"
    MAIL = "mail"
    CHAIN = "chain"
    BULK = "bulk"


class QueuePolicy(msgspec.Struct, frozen=True):
    """How long a job of a queue may run, and how often and after what pause it is tried again."""

    time_limit_s: float
    max_attempts: int
    backoff_min_s: float
    backoff_max_s: float


POLICIES: Final[dict[Queue, QueuePolicy]] = {
    Queue.PAYMENTS: QueuePolicy(time_limit_s=20, max_attempts=12, backoff_min_s=2, backoff_max_s=3600),
    Queue.INTERACTIVE: QueuePolicy(time_limit_s=5, max_attempts=2, backoff_min_s=0.2, backoff_max_s=1),
    Queue.NOTIFY: QueuePolicy(time_limit_s=5, max_attempts=3, backoff_min_s=1, backoff_max_s=60),
    Queue.MAIL: QueuePolicy(time_limit_s=20, max_attempts=8, backoff_min_s=10, backoff_max_s=7200),
    Queue.CHAIN: QueuePolicy(time_limit_s=15, max_attempts=5, backoff_min_s=5, backoff_max_s=300),
    Queue.BULK: QueuePolicy(time_limit_s=25, max_attempts=5, backoff_min_s=5, backoff_max_s=600),
}


class JobStatus(IntEnum):
    """The end of a job as its row has it; `RUNNING` stands only in the live row."""

    QUEUED = 0
    RUNNING = 1
    SUCCEEDED = 2
    FAILED = 3
    CANCELLED = 4


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What every job declares: its name on the wire, its version and the queue it waits in."""

    kind: ClassVar[str]
    version: ClassVar[int] = 1
    queue: ClassVar[Queue]


class SendMail(Job, frozen=True):
    """Render and send one mail row."""

    kind = "mail.send_mail"
    queue = Queue.MAIL
    mail_id: int


class FundMilestone(Job, frozen=True):
    """Charge a client's card for a milestone, or look again at a charge that waited for its owner."""

    kind = "escrow.fund_milestone"
    queue = Queue.PAYMENTS
    payment_id: int


class ExpireFunding(Job, frozen=True):
    """Give up a funding that nobody completed, unless the money came after all."""

    kind = "escrow.expire_funding"
    queue = Queue.PAYMENTS
    payment_id: int


class SecureHold(Job, frozen=True):
    """Capture a card's hold before it lapses, so that escrow stays money."""

    kind = "escrow.secure_hold"
    queue = Queue.PAYMENTS
    payment_id: int


class ReleaseMilestone(Job, frozen=True):
    """Capture and transfer a milestone's money to its freelancer."""

    kind = "escrow.release_milestone"
    queue = Queue.PAYMENTS
    release_id: int


class TransferRelease(Job, frozen=True):
    """Send a freelancer what was held for them, now that their account can take it."""

    kind = "escrow.transfer_release"
    queue = Queue.PAYMENTS
    release_id: int


class OpenPayoutAccount(Job, frozen=True):
    """Make or find a freelancer's connected account and an onboarding link for it."""

    kind = "payments.open_payout_account"
    queue = Queue.PAYMENTS
    user_id: int


class HandleCallback(Job, frozen=True):
    """Work on a stored provider callback."""

    kind = "inbox.handle_callback"
    queue = Queue.PAYMENTS
    inbox_id: int


class SweepEscrow(Job, frozen=True):
    """Find fundings past their time and holds near their end, and enqueue a job for each."""

    kind = "escrow.sweep"
    queue = Queue.BULK


class CheckLedger(Job, frozen=True):
    """Prove the ledger: every journal sums to zero, every balance equals its postings."""

    kind = "invariants.check_ledger"
    queue = Queue.BULK


class TendPartitions(Job, frozen=True):
    """Make next months' partitions and drop what retention has passed."""

    kind = "upkeep.tend_partitions"
    queue = Queue.BULK


KINDS: Final[dict[str, type[Job]]] = {job.kind: job for job in Job.__subclasses__()}


class JobView(Record, frozen=True):
    """A job as its owner or an admin sees it."""

    id: UUID
    kind: str
    status: JobStatus
    attempts: int
    result: Any
    error_code: str | None
    error_detail: str | None
    error_data: Any
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    caller_id: int | None


VIEW: Final = """
select j.id, j.kind, coalesce(l.status, j.status) as status, coalesce(l.attempts, j.attempts) as attempts,
       j.result::text as result, j.error_code, j.error_detail, j.error_data::text as error_data, j.created_at,
       coalesce(l.started_at, j.started_at) as started_at, j.finished_at, j.caller_id
  from jobs j left join job_live l on l.job_id = j.id
"""


def _view(found: Any) -> JobView:
    fields = dict(found)
    fields["status"] = JobStatus(fields["status"])
    for name in ("result", "error_data"):
        fields[name] = None if fields[name] is None else msgspec.json.decode(fields[name])
    return JobView(**fields)


async def read(job_id: UUID, *, caller_id: int, admin: bool) -> JobView:
    """The job, if the caller caused it or is an admin; NotFound otherwise."""
    found = await row(VIEW + "where j.id = $1 and ($3 or j.caller_id = $2)", job_id, caller_id, admin)
    if found is None:
        raise NotFound(f"There is no job {job_id}.")
    return _view(found)


async def read_many(job_ids: list[UUID]) -> list[JobView]:
    """The jobs with these ids, in any order, whoever they belong to: for processes, not for callers."""
    return [_view(found) for found in await rows(VIEW + "where j.id = any($1)", job_ids)]


async def list_own(caller_id: int, *, kind: str | None, before: UUID | None, limit: int) -> list[JobView]:
    """The newest jobs the caller caused, from `before` (an id, exclusive) backwards."""
    found = await rows(
        VIEW
        + """where j.caller_id = $1 and ($2::text is null or j.kind = $2) and ($3::uuid is null or j.id < $3)
             order by j.id desc limit $4""",
        caller_id,
        kind,
        before,
        limit,
    )
    return [_view(one) for one in found]
