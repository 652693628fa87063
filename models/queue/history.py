"""What became of one job: every attempt, every hand laid on it, what caused it and what it caused."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from models import audit
from models.audit import AuditRow
from models.base import Record, uuid7_at
from models.errors import NotFound
from models.guard import row, rows
from models.jobs import JobStatus
from models.queue.search import State, state_of

SUBJECT: Final = "job"
"""The audit log's word for one job."""
BULK_SUBJECT: Final = "jobs"
"""The audit log's word for many at once; `details.ids` names them."""
BULK: Final = "dead"
MOST_BULK: Final = 50
"""How many bulk deeds are looked through for one job; each row is about 40 KB of ids."""
MOST_FOLLOWING: Final = 20
"""Follow-up jobs that are shown, the earliest first."""
FOLLOWING_S: Final = 3600
"""How long after its start what a job caused is sought: no index has the cause, so the ids' times bound the walk."""
FOLLOWING_LOOKED_AT: Final = 20_000


class Attempt(Record, frozen=True):
    """One attempt. `outcome`: retried, lost, stopped or dead; of the last one its own state."""

    claim_no: int
    attempt: int
    worker: str | None
    outcome: str
    error_code: str | None
    error_detail: str | None
    started_at: datetime | None
    ended_at: datetime | None


class Relative(Record, frozen=True):
    """The job that caused this one, or one that it caused."""

    id: UUID
    kind: str
    state: State


class JobFile(Record, frozen=True):
    """All that is known of one job. `payload` holds ids and no secret: that is a rule of every job's declaration."""

    id: UUID
    kind: str
    version: int
    queue: str
    state: State
    is_dead: bool
    payload: Any
    result: Any
    error_data: Any
    caller_id: int | None
    request_id: str | None
    attempts: int
    claim_no: int
    worker: str | None
    error_code: str | None
    error_detail: str | None
    progress: float | None
    created_at: datetime
    run_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    history: list[Attempt]
    deeds: list[AuditRow]
    cause: Relative | None
    following: list[Relative]


FILE: Final = """
select j.id, j.kind, j.version, j.queue, j.payload::text as payload, j.result::text as result,
       j.error_data::text as error_data, j.caller_id, j.request_id, j.cause, j.is_dead, j.created_at, j.finished_at,
       coalesce(l.status, j.status) as status, coalesce(l.attempts, j.attempts) as attempts,
       coalesce(l.claim_no, j.claim_no) as claim_no,
       case when l.job_id is null then j.worker else w.host || ':' || w.pid end as worker,
       case when l.job_id is null then j.error_code else l.error_code end as error_code,
       case when l.job_id is null then j.error_detail else l.error_detail end as error_detail,
       l.progress::float8 as progress, l.run_at, coalesce(l.started_at, j.started_at) as started_at
  from jobs j left join job_live l on l.job_id = j.id left join workers w on w.id = l.worker_id
 where j.id = $1
"""
ATTEMPTS: Final = """
select claim_no, attempt, worker, outcome, error_code, error_detail, started_at, ended_at from job_attempts
 where job_id = $1 order by claim_no
"""
DEEDS: Final = f"""
select {audit.COLUMNS} from audit_log where subject_kind = $1 and subject_id = $2
union all
select {audit.COLUMNS} from (select {audit.KEPT} from audit_log where subject_kind = $3 and subject_id = $4
                              order by id desc limit $5) bulk
 where details -> 'ids' ? $2
order by id
"""
RELATIVE: Final = """
select j.id, j.kind, coalesce(l.status, j.status) as status, j.is_dead
  from jobs j left join job_live l on l.job_id = j.id
"""
# A walk along the primary key from the job's own time on, bounded twice: cheap, and blind to what came much later.
FOLLOWING: Final = f"""
{RELATIVE} where j.id in (
    select id from (select id, cause from jobs where id > $2 and id < $3 order by id limit $4) after
     where cause = $1 order by id limit $5)
 order by j.id
"""


async def read(job_id: UUID) -> JobFile:
    """All that is known of a job. Raises NotFound."""
    found = await row(FILE, job_id)
    if found is None:
        raise NotFound(f"There is no job {job_id}.")
    fields = dict(found)
    status, cause = fields.pop("status"), fields.pop("cause")
    for name in ("payload", "result", "error_data"):
        fields[name] = None if fields[name] is None else msgspec.json.decode(fields[name])
    fields["id"] = UUID(int=found["id"].int)
    fields["state"] = state_of(status, dead=found["is_dead"])
    attempts = [Attempt(**dict(one)) for one in await rows(ATTEMPTS, job_id)]
    last = _last(found, status)
    return JobFile(
        **fields,
        history=attempts + ([last] if last else []),
        deeds=await _deeds(job_id),
        cause=await _relative(cause),
        following=await _following(job_id, found["started_at"]),
    )


def _last(found: Any, status: int) -> Attempt | None:
    """The attempt that ended the job, or that is being made: it is in no row of the history."""
    if status in (JobStatus.QUEUED, JobStatus.CANCELLED):
        return None
    return Attempt(
        claim_no=found["claim_no"],
        attempt=found["attempts"],
        worker=found["worker"],
        outcome=state_of(status, dead=found["is_dead"]).value,
        error_code=None if status == JobStatus.RUNNING else found["error_code"],
        error_detail=None if status == JobStatus.RUNNING else found["error_detail"],
        started_at=found["started_at"],
        ended_at=found["finished_at"],
    )


async def _deeds(job_id: UUID) -> list[AuditRow]:
    return [audit.show(one) for one in await rows(DEEDS, SUBJECT, str(job_id), BULK_SUBJECT, BULK, MOST_BULK)]


def _show(found: Any) -> Relative:
    return Relative(
        id=UUID(int=found["id"].int), kind=found["kind"], state=state_of(found["status"], dead=found["is_dead"])
    )


async def _relative(job_id: UUID | None) -> Relative | None:
    found = await row(RELATIVE + "where j.id = $1", job_id) if job_id else None
    return None if found is None else _show(found)


async def _following(job_id: UUID, started_at: datetime | None) -> list[Relative]:
    if started_at is None:
        return []
    began_ms = int(started_at.timestamp() * 1000)
    first, last = uuid7_at(began_ms), uuid7_at(began_ms + FOLLOWING_S * 1000)
    found = await rows(FOLLOWING, job_id, first, last, FOLLOWING_LOOKED_AT, MOST_FOLLOWING)
    return [_show(one) for one in found]
