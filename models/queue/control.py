"""What an admin may do to jobs and queues. Every verb is written into the audit log with the change itself.

A job in a worker's hands is the worker's: nothing here waits for it, and nothing here touches it. Locks are taken as
workers take them, the live row before the job's own, and many jobs in the order of their ids.
"""

import unicodedata
from typing import Any, Final
from uuid import UUID

import msgspec

from models import audit, events, outbox
from models.base import Record
from models.errors import Invalid, NotFound, WrongState
from models.guard import in_transaction, ring, row, rows
from models.jobs import JobStatus, Queue, known
from models.queue.history import BULK, BULK_SUBJECT, SUBJECT
from models.queue.search import Filter, dead_jobs

MOST_AT_ONCE: Final = 1_000
"""Dead jobs that one click brings back: one transaction of well under a second, and one audit row that names them."""
MAX_REASON_CHARS: Final = 200
UNSEEN: Final = frozenset({"Cc", "Cf", "Cs"})
"""Characters that a reason may not have: they would hide or turn round what another admin reads."""
QUEUE_SUBJECT: Final = "queue"
"""The audit log's word for a queue."""

FACTS: Final = """
select j.kind, j.queue, j.caller_id, j.is_dead, coalesce(l.status, j.status) as status
  from jobs j left join job_live l on l.job_id = j.id where j.id = $1
"""
# A row that somebody has locked is being claimed or ended at this moment: it is skipped, not waited for.
TAKE_WAITING: Final = """
delete from job_live where job_id in
       (select job_id from job_live where job_id = $1 and status = 0 for update skip locked)
returning attempts, claim_no
"""
CANCEL: Final = """
update jobs set status = $2, attempts = $3, claim_no = $4, finished_at = clock_timestamp(), error_code = 'cancelled',
       error_detail = 'An admin cancelled this job while it waited.' where id = $1
"""
# The last attempt moves into the history, so the row can be as it was before the first one; only the claims go on
# counting, because the live row's number is what fences a worker that comes back from the dead.
RETRY: Final = """
with d as ({chosen}),
     kept as (insert into job_attempts (job_id, claim_no, attempt, worker, outcome, error_code, error_detail,
                                        started_at, ended_at)
              select id, claim_no, attempts, worker, 'dead', error_code, error_detail, started_at,
                     coalesce(finished_at, clock_timestamp()) from d),
     again as (update jobs j set status = 0, attempts = 0, is_dead = false, worker = null, started_at = null,
                      finished_at = null, error_code = null, error_detail = null, error_data = null, result = null
                 from d where j.id = d.id)
insert into job_live (job_id, queue, claim_no) select id, queue, claim_no from d returning job_id, queue
"""
_DEAD: Final = """
select id, queue, claim_no, attempts, worker, error_code, error_detail, started_at, finished_at from jobs
 where id = $1 and is_dead and status = 3 for no key update
"""
DISCARD: Final = "update jobs set is_dead = false where id = $1 and is_dead and status = 3 returning 1"


class Retried(Record, frozen=True):
    """How many dead jobs wait again, and whether more of the same filter are left."""

    count: int
    more: bool


async def cancel(job_id: UUID, by: int) -> None:
    """End a job that waits. Raises NotFound; WrongState when it runs, has ended, or must be carried out."""
    in_transaction()
    facts = await _facts(job_id)
    job = known(facts["kind"])
    # Whatever it does now: a rival may let a dead one wait again before we take it.
    if job is not None and not job.is_cancellable:
        raise WrongState(f"A {facts['kind']} cannot be cancelled: a row's state waits for its end.")
    taken = await row(TAKE_WAITING, job_id)
    if taken is None:
        raise WrongState(f"Only a waiting job can be cancelled; job {job_id} {await _standing(job_id)}.")
    await rows(CANCEL, job_id, JobStatus.CANCELLED.value, taken["attempts"], taken["claim_no"])
    await _publish_cancelled(job_id, facts)
    await audit.record(by, "job.cancelled", SUBJECT, str(job_id), {"kind": facts["kind"]})


async def _publish_cancelled(job_id: UUID, facts: Any) -> None:
    if facts["caller_id"] is None or facts["queue"] == Queue.MAIL:  # mails are nobody's to follow
        return
    update = events.JobUpdated(id=job_id, kind=facts["kind"], status="cancelled")
    await outbox.publish(update, events.user(facts["caller_id"]))


async def retry(job_id: UUID, by: int) -> None:
    """Let a dead job wait again, with all its attempts. Raises NotFound; WrongState when it is not dead (any more)."""
    in_transaction()
    again = await row(RETRY.format(chosen=_DEAD), job_id)
    if again is None:
        raise await _not_dead(job_id, "retried")
    ring(again["queue"])
    await audit.record(by, "job.retried", SUBJECT, str(job_id))


async def retry_many(wanted: Filter, by: int, *, limit: int = MOST_AT_ONCE) -> Retried:
    """Let the oldest dead jobs that fit wait again, at most `limit` of them; `wanted.state` counts as dead.

    Jobs that a rival retries at this moment are the rival's, and are skipped.
    """
    in_transaction()
    chosen, arguments = dead_jobs(wanted, limit)
    again = await rows(RETRY.format(chosen=chosen), *arguments)
    if not again:
        return Retried(count=0, more=False)
    for queue in sorted({one["queue"] for one in again}):
        ring(queue)
    said = {name: held for name, held in msgspec.structs.asdict(wanted).items() if held is not None}
    ids = sorted(str(one["job_id"]) for one in again)
    await audit.record(
        by, "jobs.retried", BULK_SUBJECT, BULK, {"filter": {**said, "state": "dead"}, "count": len(ids), "ids": ids}
    )
    return Retried(count=len(ids), more=len(ids) == limit)


async def discard(job_id: UUID, by: int) -> None:
    """Accept that a dead job stays undone: it is failed from now on. Raises NotFound; WrongState unless it is dead."""
    in_transaction()
    if await row(DISCARD, job_id) is None:
        raise await _not_dead(job_id, "discarded")
    await audit.record(by, "job.discarded", SUBJECT, str(job_id))


async def pause(queue: str, reason: str, by: int) -> bool:
    """Let workers claim nothing more from a queue; what runs goes on. False: it was paused before, and nothing changed.

    Raises NotFound for a queue that does not exist, Invalid for a reason that says nothing.
    """
    in_transaction()
    name, reason = _queue(queue), _reason(reason)
    made = await row(
        """insert into queue_pauses (queue, paused_by, reason) values ($1, $2, $3)
           on conflict do nothing returning 1""",
        name.value,
        by,
        reason,
    )
    if made is not None:
        await audit.record(by, "queue.paused", QUEUE_SUBJECT, name.value, {"reason": reason})
    return made is not None


async def resume(queue: str, by: int) -> bool:
    """Let workers claim from a queue again. False: it was not paused. Raises NotFound."""
    in_transaction()
    name = _queue(queue)
    gone = await row("delete from queue_pauses where queue = $1 returning reason", name.value)
    if gone is not None:
        await audit.record(by, "queue.resumed", QUEUE_SUBJECT, name.value, {"reason": gone["reason"]})
        ring(name.value)
    return gone is not None


def _queue(name: str) -> Queue:
    try:
        return Queue(name)
    except ValueError:
        raise NotFound(f"There is no queue of this name; there are {', '.join(Queue)}.") from None


def _reason(reason: str) -> str:
    kept = unicodedata.normalize("NFC", reason.strip())
    if not 1 <= len(kept) <= MAX_REASON_CHARS or any(unicodedata.category(one) in UNSEEN for one in kept):
        raise Invalid(f"Say why, in one line of 1 to {MAX_REASON_CHARS} characters.", field="reason")
    return kept


async def _facts(job_id: UUID) -> Any:
    found = await row(FACTS, job_id)
    if found is None:
        raise NotFound(f"There is no job {job_id}.")
    return found


async def _standing(job_id: UUID) -> str:
    """What keeps a job from an admin's hand, as the end of a sentence."""
    facts = await _facts(job_id)
    match JobStatus(facts["status"]):
        case JobStatus.QUEUED:
            return "is being taken by a worker or another admin at this moment"
        case JobStatus.RUNNING:
            return "is running"
        case JobStatus.FAILED:
            return "is dead" if facts["is_dead"] else "has failed"
        case ended:
            return "has succeeded" if ended is JobStatus.SUCCEEDED else "was cancelled"


async def _not_dead(job_id: UUID, done: str) -> WrongState:
    return WrongState(f"Only a dead job can be {done}; job {job_id} {await _standing(job_id)}.")
