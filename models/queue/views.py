"""Jobs as their callers see them: facts from `jobs`, the present from `job_live`."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from models.base import Record
from models.errors import NotFound
from models.guard import row, rows
from models.jobs import JobStatus


class JobView(Record, frozen=True):
    """A job as its owner or an admin sees it."""

    id: UUID
    kind: str
    status: JobStatus
    attempts: int
    progress: float | None
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
       l.progress::numeric::float8 as progress,
       j.result::text as result,
       case when l.job_id is null then j.error_code else l.error_code end as error_code,
       case when l.job_id is null then j.error_detail else l.error_detail end as error_detail,
       j.error_data::text as error_data, j.created_at,
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


async def list_own(
    caller_id: int, *, kind: str | None, status: JobStatus | None = None, before: UUID | None, limit: int
) -> list[JobView]:
    """The newest jobs the caller caused, from `before` (an id, exclusive) backwards."""
    found = await rows(
        VIEW
        + """where j.caller_id = $1 and ($2::text is null or j.kind = $2) and ($3::uuid is null or j.id < $3)
                 and ($5::smallint is null or coalesce(l.status, j.status) = $5)
             order by j.id desc limit $4""",
        caller_id,
        kind,
        before,
        limit,
        status,
    )
    return [_view(one) for one in found]
