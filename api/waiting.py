"""Waiting for a job: 200 with its result, a problem when it failed, 202 when it takes longer than anybody waits.

Once the job is committed the answer is never a 503: whatever happens while we wait, the work goes on without us, and a
client that is told where to look loses nothing.
"""

import asyncio
import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol
from uuid import UUID

import msgspec
import structlog
from litestar import Request, Response

from api.answers import Answer
from api.jobs import show
from api.problems import job_problem, problem
from models import guard
from models.jobs import JobStatus
from models.outbox import Enqueued
from models.queue import views
from models.queue.views import JobView
from settings import MAX_JOB_WAIT_S
from wire.metrics import Web
from wire.notices import Notices

log = structlog.get_logger(__name__)

ENDED: Final = {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED}
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~\w-]+", re.ASCII)


class Requested(Protocol):
    """What a verb returns that enqueued a job: the job, beside whatever else it made."""

    @property
    def job(self) -> Enqueued | UUID:
        """The job, or its id."""


class Wait(msgspec.Struct, frozen=True):
    """How long a client is ready to wait, in seconds, and the header that confirms what we took from its Prefer."""

    seconds: float
    applied: str | None


class Waiting(msgspec.Struct, frozen=True):
    """What the app keeps for those who wait."""

    notices: Notices
    default_s: float
    counted: Web


def preferred(sent: Sequence[str], default_s: float) -> Wait:
    """Read Prefer headers (RFC 7240): `respond-async`, `wait=N`, or both; the first of each counts.

    What is misspelt or unknown is ignored, as the RFC asks. More than 20 s is 20.
    """
    wishes: dict[str, str] = {}
    for one in ",".join(sent).split(","):
        # Split, not matched: a pattern with two runs of spaces takes cubic time on a header made for it.
        name, _, value = (part.strip() for part in one.partition(";")[0].partition("="))
        if _TOKEN.fullmatch(name):
            wishes.setdefault(name.lower(), value.removeprefix('"').removesuffix('"'))
    if re.fullmatch(r"[0-9]{1,9}", wishes.get("wait", ""), re.ASCII):
        seconds = min(int(wishes["wait"]), MAX_JOB_WAIT_S)
        return Wait(seconds, f"wait={seconds}" + (", respond-async" if "respond-async" in wishes else ""))
    if "respond-async" in wishes:
        return Wait(0, "respond-async")
    return Wait(default_s, None)


async def answer(
    request: Request[Any, Any, Any],
    requested: Enqueued | Requested,
    on_success: Callable[[Any], Any],
    *,
    status_code: int = 200,
) -> Response[Any]:
    """Wait for a committed job and answer as the endpoint documents.

    `on_success` is given the job's result and returns the body, a Response, or an awaitable of either: what is secret
    is fetched there and never stored with the job. `status_code` is that of a body.
    """
    waiting: Waiting = request.app.state.waiting
    job_id = _job_id(requested)
    wait = preferred(request.headers.getall("prefer", []), waiting.default_s)
    try:
        with waiting.counted.awaited.track_inprogress():
            response = await _response(waiting.notices, job_id, wait.seconds, on_success, status_code)
    except guard.LOST_CONNECTION as error:
        # Committed, and now nobody can say how it went. The client looks later, as for any slow job.
        log.warning("waiting.database_away", error=type(error).__name__, job_id=str(job_id))
        response = _accepted(job_id, {"id": job_id, "status": "queued"})
    waiting.counted.waits.labels("still_running" if response.status_code == 202 else "ended").inc()
    if wait.applied:
        response.set_header("Preference-Applied", wait.applied)
    return response


async def _response(
    notices: Notices, job_id: UUID, wait_s: float, on_success: Callable[[Any], Any], status_code: int
) -> Response[Any]:
    job = await _ended_or_not(notices, job_id, wait_s)
    match job.status:
        case JobStatus.SUCCEEDED:
            body = on_success(job.result)
            if inspect.isawaitable(body):
                body = await body
            return body if isinstance(body, Response) else Answer(body, status_code=status_code)
        case JobStatus.FAILED:
            return job_problem(job.error_code or "internal_error", job.error_detail or "", decline_code=_declined(job))
        case JobStatus.CANCELLED:
            return problem("job_cancelled", f"The job {job_id} was cancelled.")
        case _:
            return _accepted(job_id, show(job))


def _accepted(job_id: UUID, body: Any) -> Answer[Any]:
    return Answer(body, status_code=202, headers={"Location": f"/api/jobs/{job_id}"})


async def _ended_or_not(notices: Notices, job_id: UUID, wait_s: float) -> JobView:
    """The job as it is when it has ended, or when the wait is over.

    Registered before the row is read: a job that ends in between is seen by one of the two.
    """
    ended = notices.register(job_id)
    try:
        job = await _read(job_id)
        if job.status in ENDED or wait_s <= 0:
            return job
        await asyncio.wait({ended}, timeout=wait_s)
        return await _read(job_id)
    finally:
        ended.cancel()


async def _read(job_id: UUID) -> JobView:
    (job,) = await views.read_many([job_id])
    return job


def _job_id(requested: Enqueued | Requested) -> UUID:
    job = requested if isinstance(requested, Enqueued) else requested.job
    return job.job_id if isinstance(job, Enqueued) else job


def _declined(job: JobView) -> str | None:
    """The bank's word for a decline; jobs keep it with the error."""
    return job.error_data.get("decline_code") if isinstance(job.error_data, dict) else None
