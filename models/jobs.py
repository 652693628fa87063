"""Every job there is, and the queues they wait in.

A job is a typed, frozen struct: what to do and the ids to do it to, never a secret, never a copy of a row.
`tasks/` has one performer for each. The rows behind it (`jobs`, `job_live`, `job_keys`, `workers`) are raw SQL in the
migrations, because `jobs` is partitioned by its id.
"""

from collections.abc import Callable
from enum import IntEnum, StrEnum
from typing import Any, ClassVar, Final, TypeVar

import msgspec

J = TypeVar("J", bound="Job")


class Queue(StrEnum):
    """Where a job waits. Workers name the queues they serve, the most urgent first."""

    PAYMENTS = "payments"
    INTERACTIVE = "interactive"
    SCORE = "score"
    NOTIFY = "notify"
    MAIL = "mail"
    CHAIN = "chain"
    BULK = "bulk"
    ML = "ml"


CPU_BOUND: Final = frozenset({Queue.SCORE, Queue.ML})
"""Queues of performers that compute: plain functions, in worker processes that serve no other queue."""


class QueuePolicy(msgspec.Struct, frozen=True):
    """How long a job of a queue may run (None: as long as its process), how often it is tried and how far apart."""

    time_limit_s: float | None
    max_attempts: int
    backoff_min_s: float
    backoff_max_s: float


POLICIES: Final[dict[Queue, QueuePolicy]] = {
    Queue.PAYMENTS: QueuePolicy(time_limit_s=20, max_attempts=12, backoff_min_s=2, backoff_max_s=3600),
    Queue.INTERACTIVE: QueuePolicy(time_limit_s=5, max_attempts=2, backoff_min_s=0.2, backoff_max_s=1),
    Queue.SCORE: QueuePolicy(time_limit_s=5, max_attempts=2, backoff_min_s=0.2, backoff_max_s=1),
    Queue.NOTIFY: QueuePolicy(time_limit_s=5, max_attempts=3, backoff_min_s=1, backoff_max_s=60),
    Queue.MAIL: QueuePolicy(time_limit_s=20, max_attempts=8, backoff_min_s=10, backoff_max_s=7200),
    Queue.CHAIN: QueuePolicy(time_limit_s=15, max_attempts=5, backoff_min_s=5, backoff_max_s=300),
    Queue.BULK: QueuePolicy(time_limit_s=25, max_attempts=5, backoff_min_s=5, backoff_max_s=600),
    Queue.ML: QueuePolicy(time_limit_s=None, max_attempts=2, backoff_min_s=60, backoff_max_s=600),
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
    is_cancellable: ClassVar[bool] = True
    """Whether an admin may cancel it while it waits. Not when a row's state waits for its end."""
    is_singleton: ClassVar[bool] = False
    """Whether two of the kind never run at the same time."""


class SendMail(Job, frozen=True):
    """Render and send one mail row."""

    kind = "mail.send_mail"
    queue = Queue.MAIL
    is_cancellable = False
    mail_id: int


class FundMilestone(Job, frozen=True):
    """Charge a client's card for a milestone, or look again at a charge that waited for its owner."""

    kind = "escrow.fund_milestone"
    queue = Queue.PAYMENTS
    is_cancellable = False
    payment_id: int


class ExpireFunding(Job, frozen=True):
    """Give up a funding that nobody completed, unless the money came after all."""

    kind = "escrow.expire_funding"
    queue = Queue.PAYMENTS
    is_cancellable = False
    payment_id: int


class SecureHold(Job, frozen=True):
    """Capture a card's hold before it lapses, so that escrow stays money."""

    kind = "escrow.secure_hold"
    queue = Queue.PAYMENTS
    is_cancellable = False
    payment_id: int


class ReleaseMilestone(Job, frozen=True):
    """Capture and transfer a milestone's money to its freelancer."""

    kind = "escrow.release_milestone"
    queue = Queue.PAYMENTS
    is_cancellable = False
    release_id: int


class TransferRelease(Job, frozen=True):
    """Send a freelancer what was held for them, now that their account can take it."""

    kind = "escrow.transfer_release"
    queue = Queue.PAYMENTS
    is_cancellable = False
    release_id: int


class OpenPayoutAccount(Job, frozen=True):
    """Make or find a freelancer's connected account and an onboarding link for it."""

    kind = "payments.open_payout_account"
    queue = Queue.PAYMENTS
    is_cancellable = False
    user_id: int


class SendCode(Job, frozen=True):
    """Send one security code as a text message. A code by mail is a mail."""

    kind = "security.send_code"
    queue = Queue.NOTIFY
    is_cancellable = False
    code_id: int


class ExportAccount(Job, frozen=True):
    """Gather all that is known of a person into the ZIP of an export's row."""

    kind = "users.export_account"
    queue = Queue.BULK
    export_id: int


class ResealSecrets(Job, frozen=True):
    """Seal anew, under the present key, what earlier keys sealed."""

    kind = "security.reseal_secrets"
    queue = Queue.BULK
    is_singleton = True


class SealAudit(Job, frozen=True):
    """Chain the audit log's new rows, each second for a minute."""

    kind = "audit.seal"
    queue = Queue.BULK
    is_singleton = True


class VerifyAudit(Job, frozen=True):
    """Walk the whole audit chain and say where it breaks."""

    kind = "audit.verify"
    queue = Queue.BULK


class HandleCallback(Job, frozen=True):
    """Work on a stored provider callback."""

    kind = "inbox.handle_callback"
    queue = Queue.PAYMENTS
    is_cancellable = False
    inbox_id: int


class SweepEscrow(Job, frozen=True):
    """Find fundings past their time and holds near their end, and enqueue a job for each."""

    kind = "escrow.sweep"
    queue = Queue.BULK


class CheckLedger(Job, frozen=True):
    """Prove the ledger: every journal sums to zero, every balance equals its postings."""

    kind = "invariants.check_ledger"
    queue = Queue.BULK


class SweepTimers(Job, frozen=True):
    """Make a job of each deadline that has passed."""

    kind = "timers.sweep"
    queue = Queue.BULK


class FireTimer(Job, frozen=True):
    """Do what one deadline asks for."""

    kind = "timers.fire"
    queue = Queue.NOTIFY
    is_cancellable = False
    timer_id: int


class MatchProject(Job, frozen=True):
    """Hold a project that was just published against every saved search."""

    kind = "searches.match_project"
    queue = Queue.NOTIFY
    project_id: int


class InspectUpload(Job, frozen=True):
    """Look at a file that was uploaded: is it what it said?"""

    kind = "uploads.inspect"
    # Not a quick queue's: a store takes seconds to copy a hundred megabytes.
    queue = Queue.BULK
    is_cancellable = False
    upload_id: int


class DeleteObjects(Job, frozen=True):
    """Delete what a file left in storage, at each place where it may lie."""

    kind = "uploads.delete_objects"
    queue = Queue.BULK
    is_cancellable = False
    object_keys: list[str]


class NumberInvoices(Job, frozen=True):
    """Give invoices without a number the next ones of their year, and make their PDFs."""

    kind = "invoices.number"
    queue = Queue.BULK
    is_cancellable = False
    is_singleton = True


class GatherWords(Job, frozen=True):
    """Gather the words that projects use, for whoever mistypes one."""

    kind = "searches.gather_words"
    queue = Queue.BULK
    is_singleton = True


class TendPartitions(Job, frozen=True):
    """Make next months' partitions and drop what retention has passed."""

    kind = "upkeep.tend_partitions"
    queue = Queue.BULK


KINDS: Final[dict[str, type[Job]]] = {job.kind: job for job in Job.__subclasses__()}

ALIASES: Final[dict[str, str]] = {}
"""Renamed kinds, by their old name. One stays for a deploy at least, so that what was enqueued before it is done."""


def known(kind: str) -> type[Job] | None:
    """The job that a kind's name means, by its old name too; None when nobody declares it (any more)."""
    return KINDS.get(ALIASES.get(kind, kind))


UPGRADES: Final[dict[tuple[str, int], Callable[[dict[str, Any]], dict[str, Any]]]] = {}
"""By kind and version: makes a payload of that version one of the next. Each stays as long as jobs do, with a
golden payload of every version in the tests."""


def decode(job: type[J], version: int, payload: str) -> J:
    """The job that a payload of this or an older version stands for. Raises msgspec.DecodeError when it is none."""
    if version == job.version:
        return msgspec.json.decode(payload, type=job)
    fields = msgspec.json.decode(payload, type=dict[str, Any])
    for old in range(version, job.version):
        upgrade = UPGRADES.get((job.kind, old))
        if upgrade is None:
            raise msgspec.DecodeError(f"{job.kind}: nothing reads version {old}")
        try:
            fields = upgrade(fields)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise msgspec.DecodeError(f"{job.kind}: version {old} is not what it should be") from error
    # As text once more: `msgspec.convert` reads some types otherwise than the decoder of JSON does.
    return msgspec.json.decode(msgspec.json.encode(fields), type=job)
