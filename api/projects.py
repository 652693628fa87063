"""What clients want done, over HTTP."""

from typing import Final

from litestar import Router, delete, get, patch, post
from litestar.di import Provide
from litestar.params import FromQuery, JSONBody
from litestar.status_codes import HTTP_200_OK

from api.auth import Asking, role, signed_in, verified
from api.briefs import NewProject, ProjectChange, ProjectOut, show
from api.fields import PathId
from api.idempotency import Once, seen_by
from api.pages import DEFAULT_LIMIT, Cursor, Limit, Page, decode_cursor, page
from api.search import list_projects, provide_sought, read_facets, read_suggestions
from models import briefs, closures, projects
from models.accounts import Role
from models.guard import commit
from models.projects import ProjectStatus

__all__ = ["ProjectOut", "router", "show"]

LISTING: Final = "projects"


@post("/", guards=[role(Role.CLIENT)])
async def create_project(data: JSONBody[NewProject], caller: Asking, once: Once) -> ProjectOut:
    """Write a draft, which only its client sees."""
    return show(await once(projects.create, caller.id, data.brief(), again=seen_by(caller, projects.read)))


@get("/my", guards=[role(Role.CLIENT)])
async def list_my_projects(
    caller: Asking, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None, status: FromQuery[ProjectStatus | None] = None
) -> Page[ProjectOut]:
    """The caller's own projects in any state, newest first."""
    before = decode_cursor(LISTING, cursor, int)
    found = await projects.list_own(caller.id, status=status, before=before, limit=limit + 1)
    return page(LISTING, [show(one) for one in found], limit, lambda one: one.id)


@get("/{project_id:int}")
async def read_project(project_id: PathId, caller: Asking) -> ProjectOut:
    """A project the caller may see."""
    return show(await projects.read(project_id, user_id=caller.id, admin=caller.admin))


@post("/{project_id:int}/publish", status_code=HTTP_200_OK, guards=[role(Role.CLIENT), verified])
async def publish_project(project_id: PathId, caller: Asking, once: Once) -> ProjectOut:
    """Open a draft to proposals."""
    again = seen_by(caller, projects.read)
    return show(await once(projects.publish, project_id, client_id=caller.id, again=again))


@patch("/{project_id:int}", guards=[role(Role.CLIENT)])
async def edit_project(project_id: PathId, data: JSONBody[ProjectChange], caller: Asking) -> ProjectOut:
    """Change one's own draft or open project. Currency, kind of budget and visibility stay once there are proposals."""
    return show(await commit(briefs.edit, project_id, data.changes(), client_id=caller.id))


@delete("/{project_id:int}", guards=[role(Role.CLIENT)])
async def delete_project(project_id: PathId, caller: Asking) -> None:
    """Delete one's own draft. What was published is closed or cancelled instead."""
    await commit(briefs.remove, project_id, client_id=caller.id)


@post("/{project_id:int}/close", status_code=HTTP_200_OK, guards=[role(Role.CLIENT)])
async def close_project(project_id: PathId, caller: Asking, once: Once) -> ProjectOut:
    """Take an open project off the market: proposals that wait for a decision are rejected."""
    again = seen_by(caller, projects.read)
    return show(await once(closures.close, project_id, client_id=caller.id, again=again))


@post("/{project_id:int}/cancel", status_code=HTTP_200_OK, guards=[role(Role.CLIENT)])
async def cancel_project(project_id: PathId, caller: Asking, once: Once) -> ProjectOut:
    """Give up a draft or an open project: proposals that wait for a decision are rejected."""
    again = seen_by(caller, projects.read)
    return show(await once(closures.cancel, project_id, client_id=caller.id, again=again))


router = Router(
    "/api/projects",
    route_handlers=[
        create_project,
        list_projects,
        read_facets,
        read_suggestions,
        list_my_projects,
        read_project,
        edit_project,
        delete_project,
        publish_project,
        close_project,
        cancel_project,
    ],
    dependencies={"sought": Provide(provide_sought)},
    tags=["projects"],
    guards=[signed_in],
)
