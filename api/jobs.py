"""Jobs as their callers see them."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
from litestar import Router, get
from litestar.params import FromPath, FromQuery, Parameter

from api.auth import Asking, signed_in
from api.pages import DEFAULT_LIMIT, Cursor, Limit, Page, decode_cursor, page
from models.jobs import JobStatus
from models.queue import views
from models.queue.views import JobView

LISTING: Final = "jobs"
Standing = Literal["queued", "running", "succeeded", "failed", "cancelled"]
MAX_KIND_CHARS: Final = 64


class JobError(msgspec.Struct, frozen=True):
    """Why a job failed, or why it will be tried again."""

    code: str
    detail: str


class JobOut(msgspec.Struct, frozen=True, kw_only=True):
    """A job: `queued` also while it waits for its next attempt, `failed` once nobody will try again."""

    id: UUID
    kind: str
    status: str
    attempts: int
    progress: float | None = None
    result: Any = None
    error: JobError | None = None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


def show(job: JobView) -> JobOut:
    """The job as it is answered."""
    return JobOut(
        id=job.id,
        kind=job.kind,
        status=job.status.name.lower(),
        attempts=job.attempts,
        progress=job.progress,
        result=job.result,
        error=JobError(job.error_code, job.error_detail or "") if job.error_code else None,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
    )


@get("/{job_id:str}")
async def read_job(caller: Asking, job_id: FromPath[UUID]) -> JobOut:
    """A job its caller caused; admins see every one."""
    return show(await views.read(job_id, caller_id=caller.id, admin=caller.admin))


@get("/")
async def list_jobs(
    caller: Asking,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    kind: Annotated[str | None, Parameter(max_length=MAX_KIND_CHARS)] = None,
    status: FromQuery[Standing | None] = None,
) -> Page[JobOut]:
    """The jobs one caused, newest first."""
    before = decode_cursor(LISTING, cursor, UUID)
    found = await views.list_own(
        caller.id,
        kind=kind,
        status=None if status is None else JobStatus[status.upper()],
        before=before,
        limit=limit + 1,
    )
    return page(LISTING, [show(one) for one in found], limit, lambda job: job.id)


router = Router(
    "/api/jobs",
    route_handlers=[read_job, list_jobs],
    tags=["jobs"],
    guards=[signed_in],
)
