"""Jobs and queues as admins see and steer them, as JSON."""

from datetime import datetime
from functools import partial
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from litestar import Router, get, post
from litestar.params import FromPath, FromQuery, JSONBody, Parameter, QueryParameter

from api.auth import Asking, role
from api.fields import MAX_ID, Body, QueryId, QueryMoment, sought_moment, sought_word
from api.idempotency import Once, no_id, nothing
from api.pages import DEFAULT_LIMIT, Cursor, Limit, Page, decode_cursor, encode_cursor
from models.accounts import Role
from models.errors import Invalid
from models.jobs import Queue
from models.queue import control, figures, history, search
from models.queue.control import Retried
from models.queue.figures import QueueFigures, Schedule, Worker
from models.queue.history import JobFile
from models.queue.search import MAX_TEXT_CHARS, Filter, FoundJob, State

LISTING: Final = "admin.jobs"
MAX_WORD_CHARS: Final = 64

QueryWord = Annotated[str | None, Parameter(max_length=MAX_WORD_CHARS)]
QueryText = Annotated[
    str | None, Parameter(max_length=MAX_TEXT_CHARS, description="in the last error's detail; the last 7 days only")
]
# `state` itself is a word that the framework keeps for its own, so the parameter is read and refused by hand.
QueryState = Annotated[str | None, QueryParameter(name="state", schema_extra={"enum": list(State)})]
Word = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_WORD_CHARS)]


class Sought(Body, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which dead jobs are to be retried; absent fields stand for anything. At least one must be there."""

    kind: Word | None = None
    queue: Queue | None = None
    error_code: Word | None = None
    caller_id: Annotated[int, msgspec.Meta(ge=1, le=MAX_ID)] | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    text: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TEXT_CHARS)] | None = None


class Reason(Body, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a queue stands still: whoever finds it so wants to know."""

    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=control.MAX_REASON_CHARS)]


class RetriedOut(msgspec.Struct, frozen=True):
    """How many jobs wait again; `more`: that was the most at once, and there may be others."""

    retried: int
    more: bool


class Paused(msgspec.Struct, frozen=True):
    """Whether the queue stands still now, and whether this call changed that."""

    queue: str
    paused: bool
    changed: bool


@get("/jobs")
async def list_jobs(
    *,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    id: FromQuery[UUID | None] = None,  # noqa: A002  its name on the wire
    kind: QueryWord = None,
    caller_id: QueryId = None,
    standing: QueryState = None,
    queue: FromQuery[Queue | None] = None,
    error_code: QueryWord = None,
    created_from: QueryMoment = None,
    created_to: QueryMoment = None,
    text: QueryText = None,
) -> Page[FoundJob]:
    """Search, newest first. A page looks at so many jobs only: it may be short and still have a `next_cursor`."""
    wanted = filter_of(
        id=id,
        kind=kind,
        caller_id=caller_id,
        state=_state(standing),
        queue=queue,
        error_code=error_code,
        created_from=created_from,
        created_to=created_to,
        text=text,
    )
    found = await search.find(wanted, before=decode_cursor(LISTING, cursor, UUID), limit=limit)
    return Page(found.jobs, encode_cursor(LISTING, found.further) if found.further else None)


def _state(given: str | None) -> State | None:
    try:
        return None if given is None else State(given)
    except ValueError:
        raise Invalid(f"`state` is one of {', '.join(State)}.", field="state") from None


def filter_of(
    *,
    id: UUID | None,  # noqa: A002
    kind: str | None,
    caller_id: int | None,
    state: State | None,
    queue: Queue | None,
    error_code: str | None,
    created_from: str | datetime | None,
    created_to: str | datetime | None,
    text: str | None,
) -> Filter:
    """The filter that a query stands for. Raises Invalid, also for a time without its zone."""
    return Filter(
        id=id,
        kind=sought_word(kind, "kind"),
        caller_id=caller_id,
        state=state,
        queue=queue,
        error_code=sought_word(error_code, "error_code"),
        created_from=sought_moment(created_from, "created_from"),
        created_to=sought_moment(created_to, "created_to"),
        text=sought_word(text, "text"),
    )


@get("/jobs/{job_id:str}")
async def read_job(job_id: FromPath[UUID]) -> JobFile:
    """One job with every attempt, every admin's hand on it, what caused it and what it caused."""
    return await history.read(job_id)


@post("/jobs/{job_id:str}/retry", status_code=200, opt={"bodiless": True})
async def retry(caller: Asking, job_id: FromPath[UUID], once: Once) -> JobFile:
    """Let a dead job wait again, with all its attempts."""
    await once(control.retry, job_id, caller.id, again=nothing)
    return await history.read(job_id)


@post("/jobs/{job_id:str}/cancel", status_code=200, opt={"bodiless": True})
async def cancel(caller: Asking, job_id: FromPath[UUID], once: Once) -> JobFile:
    """End a waiting job before it begins."""
    await once(control.cancel, job_id, caller.id, again=nothing)
    return await history.read(job_id)


@post("/jobs/{job_id:str}/discard", status_code=200, opt={"bodiless": True})
async def discard(caller: Asking, job_id: FromPath[UUID], once: Once) -> JobFile:
    """Accept that a dead job stays undone."""
    await once(control.discard, job_id, caller.id, again=nothing)
    return await history.read(job_id)


@post("/jobs/retry", status_code=200)
async def retry_many(caller: Asking, data: JSONBody[Sought], once: Once) -> RetriedOut:
    """Let the oldest dead jobs that fit wait again, at most 1,000 at once. A repetition retries none."""
    fields: dict[str, Any] = msgspec.structs.asdict(data)
    if not any(fields.values()):
        raise Invalid("Name at least one field: to retry everything that is dead is rarely meant.")
    wanted = filter_of(id=None, state=State.DEAD, **fields)
    retried = await once(control.retry_many, wanted, caller.id, made=no_id, again=partial(_left, wanted))
    return RetriedOut(retried.count, retried.more)


async def _left(wanted: Filter, _: None) -> Retried:
    """What a repetition retries, and whether there are dead jobs that fit."""
    found = await search.find(wanted, limit=1)
    return Retried(count=0, more=bool(found.jobs) or found.further is not None)


@get("/queues")
async def list_queues() -> list[QueueFigures]:
    """Every queue: what waits and runs, how fast it goes, whether it stands still; and its last hour by the minute."""
    return await figures.queues()


@post("/queues/{name:str}/pause", status_code=200)
async def pause(caller: Asking, name: FromPath[str], data: JSONBody[Reason], once: Once) -> Paused:
    """Let workers claim nothing more from a queue; what runs goes on."""
    changed = await once(control.pause, name, data.reason, caller.id, made=no_id, again=nothing)
    return await _as_is(name) if changed is None else Paused(name, paused=True, changed=changed)


@post("/queues/{name:str}/resume", status_code=200, opt={"bodiless": True})
async def resume(caller: Asking, name: FromPath[str], once: Once) -> Paused:
    """Let workers claim from a queue again."""
    changed = await once(control.resume, name, caller.id, made=no_id, again=nothing)
    return await _as_is(name) if changed is None else Paused(name, paused=False, changed=changed)


async def _as_is(name: str) -> Paused:
    """What a repetition answers: how the queue stands, whoever changed it last."""
    paused = any(one.name == name and one.pause is not None for one in await figures.queues())
    return Paused(name, paused=paused, changed=False)


@get("/workers")
async def list_workers() -> list[Worker]:
    """Every worker process, what it has in hand, and how long it has been silent."""
    return await figures.workers()


@get("/schedule")
async def list_schedule() -> list[Schedule]:
    """Every periodic job, its last slot and its next one."""
    return await figures.schedule()


router = Router(
    "/api/admin",
    route_handlers=[
        list_jobs,
        read_job,
        retry_many,
        retry,
        cancel,
        discard,
        list_queues,
        pause,
        resume,
        list_workers,
        list_schedule,
    ],
    guards=[role(Role.ADMIN)],
    tags=["admin"],
)
