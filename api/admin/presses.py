"""The pages' buttons: each does one thing, leaves a sentence for the next page, and leads there."""

from collections.abc import Awaitable, Callable
from typing import Any, Final
from uuid import UUID

from litestar import Request, post
from litestar.params import FromPath
from litestar.response import Redirect
from msgspec.structs import replace

from api.admin.door import FLASH_COOKIE, HOME, Form, cookie, seals_of
from api.admin.forms import address, read_filter, typed_in
from api.admin.rendering import count
from api.admin.seals import FLASH_S
from api.admin.sign_in import FORM
from api.auth import Asking, Caller
from models.errors import DomainError
from models.guard import commit
from models.queue import control
from models.queue.control import Retried
from models.queue.search import State

Asked = Request[Caller, Any, Any]


async def press(request: Asked, back: str, verb: Callable[[], Awaitable[str]]) -> Redirect:
    """Do it, and go back with the sentence that it returns, or with the rule that said no."""
    good = True
    try:
        said = await verb()
    except DomainError as refusal:
        good, said = False, refusal.detail
    answer = Redirect(back, status_code=303)
    sealed = seals_of(request).flash_cookie(request.user.session_id, said, good=good)
    answer.set_cookie(cookie(request, FLASH_COOKIE, sealed, FLASH_S))
    return answer


def _job(job_id: UUID) -> str:
    return f"/admin/jobs/{job_id}"


@post("/jobs/{job_id:str}/retry", status_code=303, opt=dict(FORM))
async def retry(request: Asked, caller: Asking, form: Form, job_id: FromPath[UUID]) -> Redirect:  # noqa: ARG001
    """Let a dead job wait again."""

    async def verb() -> str:
        await commit(control.retry, job_id, caller.id)
        return "The job waits again, with all its attempts."

    return await press(request, _job(job_id), verb)


@post("/jobs/{job_id:str}/cancel", status_code=303, opt=dict(FORM))
async def cancel(request: Asked, caller: Asking, form: Form, job_id: FromPath[UUID]) -> Redirect:  # noqa: ARG001
    """End a waiting job."""

    async def verb() -> str:
        await commit(control.cancel, job_id, caller.id)
        return "The job is cancelled. It will not run."

    return await press(request, _job(job_id), verb)


@post("/jobs/{job_id:str}/discard", status_code=303, opt=dict(FORM))
async def discard(request: Asked, caller: Asking, form: Form, job_id: FromPath[UUID]) -> Redirect:  # noqa: ARG001
    """Accept that a dead job stays undone."""

    async def verb() -> str:
        await commit(control.discard, job_id, caller.id)
        return "The job is discarded: failed, and waiting for nobody."

    return await press(request, _job(job_id), verb)


@post("/jobs/retry", status_code=303, opt=dict(FORM))
async def retry_many(request: Asked, caller: Asking, form: Form) -> Redirect:
    """Let the dead jobs of the filter that was shown wait again."""
    typed = typed_in(form)

    async def verb() -> str:
        wanted = replace(read_filter(typed), state=State.DEAD)
        return _told(await commit(control.retry_many, wanted, caller.id))

    return await press(request, address(typed), verb)


def _told(retried: Retried) -> str:
    if retried.count == 0:
        return "There was nothing left to retry."
    jobs = "1 job waits" if retried.count == 1 else f"{count(retried.count)} jobs wait"
    return f"{jobs} again." + (" That is the most at once; there may be more." if retried.more else "")


@post("/queues/{name:str}/pause", status_code=303, opt=dict(FORM))
async def pause(request: Asked, caller: Asking, form: Form, name: FromPath[str]) -> Redirect:
    """Let a queue stand still."""

    async def verb() -> str:
        changed = await commit(control.pause, name, form.get("reason", ""), caller.id)
        return f"{name} stands still; what runs goes on." if changed else f"{name} stood still already."

    return await press(request, HOME, verb)


@post("/queues/{name:str}/resume", status_code=303, opt=dict(FORM))
async def resume(request: Asked, caller: Asking, form: Form, name: FromPath[str]) -> Redirect:  # noqa: ARG001
    """Let a queue go on."""

    async def verb() -> str:
        changed = await commit(control.resume, name, caller.id)
        return f"{name} goes on." if changed else f"{name} was going already."

    return await press(request, HOME, verb)


HANDLERS: Final = [retry, cancel, discard, retry_many, pause, resume]
