"""Jobs in every state, written straight into the tables, as the queue's engine leaves them."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from models import guard
from models.base import uuid7, uuid7_at
from models.jobs import JobStatus


async def a_job(
    status: JobStatus = JobStatus.SUCCEEDED,
    *,
    kind: str = "escrow.sweep",
    queue: str = "bulk",
    caller_id: int | None = None,
    is_dead: bool = False,
    error_code: str | None = None,
    error_detail: str | None = None,
    at: datetime | None = None,
    attempts: int = 1,
    payload: Any = None,
    cause: UUID | None = None,
) -> UUID:
    """A job that has ended, or whose live row is written beside it when it has not."""
    job_id = uuid7() if at is None else uuid7_at(int(at.timestamp() * 1000), int.from_bytes(uuid7().bytes[6:]))
    ended = status not in (JobStatus.QUEUED, JobStatus.RUNNING)
    began = at or await guard.value("select now()")
    await guard.rows(
        """insert into jobs (id, kind, version, payload, queue, caller_id, status, attempts, claim_no, worker, is_dead,
                             error_code, error_detail, created_at, started_at, finished_at, cause)
           values ($1, $2, 1, $3::text::jsonb, $4, $5, $6, $7::int, $7::int, $8, $9, $10, $11, $12, $13, $14, $15)""",
        job_id,
        kind,
        msgspec.json.encode(payload or {}).decode(),
        queue,
        caller_id,
        int(status) if ended else 0,
        attempts if ended else 0,
        "host-1:42" if ended else None,
        is_dead,
        error_code if ended else None,
        error_detail if ended else None,
        began,
        began if ended else None,
        began + timedelta(seconds=1) if ended else None,
        cause,
    )
    if not ended:
        await guard.rows(
            """insert into job_live (job_id, queue, status, attempts, claim_no, error_code, error_detail, started_at)
               values ($1, $2, $3::int, $4::int, $4::int, $5, $6, case when $3::int = 1 then now() end)""",
            job_id,
            queue,
            int(status),
            attempts if status == JobStatus.RUNNING or error_code else 0,
            error_code,
            error_detail,
        )
    return job_id


async def a_dead_job(**changed: Any) -> UUID:
    """A job that was tried as often as it may be."""
    said = {"error_code": "unreachable", "error_detail": "No answer.", "attempts": 5, **changed}
    return await a_job(JobStatus.FAILED, is_dead=True, **said)


async def everything() -> dict[str, list[tuple[Any, ...]]]:
    """What a refused call must leave as it was."""
    tables = ("jobs", "job_live", "job_attempts", "queue_pauses", "audit_log", "events")
    return {name: [tuple(one) for one in await guard.rows(f"select * from {name} order by 1")] for name in tables}
