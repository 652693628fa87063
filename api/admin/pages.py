"""The pages that show: jobs with the queues above them, one job, the workers and the schedule. They change nothing."""

import asyncio
import time
from typing import Any, Final
from uuid import UUID

from litestar import Request, Response, Router, get
from litestar.di import Provide
from litestar.exceptions import NotFoundException
from litestar.middleware import DefineMiddleware
from litestar.params import FromPath
from litestar.response import Redirect
from litestar.types import ExceptionHandlersMap

from api.admin import audit_pages, people_pages, presses, sign_in
from api.admin.door import HOME, OPEN, SIGN_IN, UNNOTICED, Door, SignInNeeded, provide_form, seals_of
from api.admin.forms import address, read_filter, typed_in
from api.admin.rendering import SERVED, fragment, page
from api.auth import PUBLIC, Asking, Caller
from api.limits import UNLIMITED
from api.pages import decode_cursor, encode_cursor
from api.problems import EXCEPTION_HANDLERS
from api.requests import MAX_ANONYMOUS_BODY_BYTES
from models import accounts
from models.errors import Invalid
from models.jobs import known
from models.queue import control, figures, history, search
from models.queue.figures import QueueFigures
from models.queue.search import Filter, Found, State

LISTING: Final = "admin.page"
PAGE_JOBS: Final = 50
KEPT_S: Final = 1.0
"""How old figures may be: several tabs that ask every two seconds cost one read."""
TYPES: Final = {"css": "text/css", "js": "text/javascript"}
Asked = Request[Caller, Any, Any]


class _Figures:
    """The queues' figures, read at most once a second and by one asker at a time, however many ask."""

    def __init__(self) -> None:
        self._read_at = float("-inf")
        self._held: list[QueueFigures] = []
        self._reading = asyncio.Lock()

    async def read(self) -> list[QueueFigures]:
        """The figures, at most KEPT_S old."""
        async with self._reading:
            if time.monotonic() - self._read_at > KEPT_S:
                self._held = await figures.queues()
                self._read_at = time.monotonic()
            return self._held


@get("/", opt=dict(OPEN))
async def front() -> Redirect:
    """The first page."""
    return Redirect(HOME, status_code=303)


@get("/assets/{name:str}", opt=dict(OPEN))
async def asset(name: FromPath[str]) -> Response[bytes]:
    """A file of the pages. Its address changes with it."""
    if name not in SERVED:
        raise NotFoundException(f"There is no file {name}.")
    kept = {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response(SERVED[name], media_type=TYPES[name.rpartition(".")[2]], headers=kept)


@get("/jobs")
async def list_jobs(request: Asked, caller: Asking) -> Response[str]:
    """The queues, and the jobs that are sought."""
    typed, wrong, status = typed_in(request.query_params), None, 200
    found, dead = Found(jobs=[], further=None), 0
    try:
        found, dead = await _search(read_filter(typed), request.query_params.get("cursor"))
    except Invalid as refusal:
        wrong, status = refusal, 422
    further = address(typed, cursor=encode_cursor(LISTING, found.further)) if found.further else None
    person, queues, paged = await accounts.read(caller.id), await figures.queues(), "cursor" in request.query_params
    shown: dict[str, Any] = {"found": found, "dead": dead, "further": further, "wrong": wrong, "typed": typed}
    return page(request, "jobs.html", status_code=status, person=person, queues=queues, paged=paged, **shown)


async def _search(wanted: Filter, cursor: str | None) -> tuple[Found, int]:
    """The jobs of a page, and how many dead ones the filter has when it is dead ones that are sought."""
    found = await search.find(wanted, before=decode_cursor(LISTING, cursor or None, UUID), limit=PAGE_JOBS)
    dead = await search.count_dead(wanted, most=control.MOST_AT_ONCE + 1) if wanted.state is State.DEAD else 0
    return found, dead


@get("/jobs/figures", opt=dict(UNNOTICED))
async def show_figures(request: Asked, caller: Asking) -> Response[str]:
    """The queues' table alone, for the page that renews it."""
    held: _Figures = request.app.state.setdefault("admin_figures", _Figures())
    form_token = seals_of(request).form_token(str(caller.session_id))
    return fragment("figures.html", queues=await held.read(), form_token=form_token)


@get("/jobs/{job_id:str}")
async def show_job(request: Asked, caller: Asking, job_id: FromPath[UUID]) -> Response[str]:
    """One job, whole."""
    job = await history.read(job_id)
    declared = known(job.kind)
    person = await accounts.read(caller.id)
    return page(request, "job.html", person=person, job=job, is_cancellable=declared is None or declared.is_cancellable)


@get("/workers")
async def show_workers(request: Asked, caller: Asking) -> Response[str]:
    """Who works, and what is due when."""
    workers, schedule = await figures.workers(), await figures.schedule()
    return page(request, "workers.html", person=await accounts.read(caller.id), workers=workers, schedule=schedule)


@get("/{rest:path}")
async def missing(rest: FromPath[str]) -> None:
    """Nothing is here, which only an admin is told."""
    raise NotFoundException(f"There is no page {rest}.")


def send_to_sign_in(request: Request[Any, Any, Any], error: SignInNeeded) -> Response[Any]:
    """The way in, and back; a script is told by a status, since it cannot show a form."""
    if request.scope["route_handler"].opt.get("unnoticed"):
        return Response(b"", status_code=401)
    return Redirect(SIGN_IN, status_code=303, query_params={"next": error.wanted})


def _as_page(request: Request[Any, Any, Any], error: Exception) -> Response[str]:
    """A refusal for people: the same status and sentence as the API's problem."""
    handler: Any = next(EXCEPTION_HANDLERS[kind] for kind in type(error).__mro__ if kind in EXCEPTION_HANDLERS)
    problem = handler(request, error).content
    return page(request, "refusal.html", status_code=problem.status, problem=problem)


REFUSALS: Final[ExceptionHandlersMap] = {
    **dict.fromkeys(EXCEPTION_HANDLERS, _as_page),
    SignInNeeded: send_to_sign_in,
}

router = Router(
    "/admin",
    route_handlers=[
        front,
        asset,
        list_jobs,
        show_figures,
        show_job,
        show_workers,
        missing,
        sign_in.show_sign_in,
        sign_in.sign_in,
        sign_in.show_code,
        sign_in.enter_code,
        sign_in.sign_out,
        *audit_pages.HANDLERS,
        *people_pages.HANDLERS,
        *presses.HANDLERS,
    ],
    opt=PUBLIC | UNLIMITED,
    middleware=[DefineMiddleware(Door)],
    dependencies={"form": Provide(provide_form)},
    exception_handlers=REFUSALS,
    include_in_schema=False,
    request_max_body_size=MAX_ANONYMOUS_BODY_BYTES,
)
