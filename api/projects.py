"""What clients want done, over HTTP."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Final

import msgspec
from litestar import Router, get, post
from litestar.params import FromQuery, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK

from api.auth import Asking, role, signed_in, verified
from api.fields import (
    Amount,
    Body,
    Currency,
    PathId,
    Prose,
    QueryAmount,
    QueryId,
    Title,
    Word,
    sought_amount,
    sought_word,
    sought_words,
)
from api.idempotency import Once, seen_by
from api.pages import DEFAULT_LIMIT, Cursor, Limit, Page, decode_cursor, page
from models import projects
from models.accounts import Role
from models.money import Money
from models.projects import Brief, BudgetType, ProjectRow, ProjectStatus, Sought, Visibility

LISTING: Final = "projects"
MAX_SKILLS: Final = 30
MAX_QUERY_CHARS: Final = 400

QueryText = Annotated[str | None, QueryParameter(max_length=MAX_QUERY_CHARS)]


class NewProject(Body, frozen=True, kw_only=True):
    """A draft as its client writes it."""

    title: Title
    description: Prose
    category: Word
    skills: Annotated[list[Word], msgspec.Meta(max_length=MAX_SKILLS)] = msgspec.field(default_factory=list)
    budget_type: BudgetType = BudgetType.FIXED
    budget_min: Amount
    budget_max: Amount
    currency: Currency
    deadline: date | None = None
    visibility: Visibility = Visibility.PUBLIC

    def brief(self) -> Brief:
        """What the domain is told."""
        return Brief(
            title=self.title,
            description=self.description,
            category=self.category,
            skills=list(dict.fromkeys(self.skills)),
            budget_type=self.budget_type,
            budget_min=Money.from_major(self.budget_min, self.currency),
            budget_max=Money.from_major(self.budget_max, self.currency),
            deadline=self.deadline,
            visibility=self.visibility,
        )


class ProjectOut(msgspec.Struct, frozen=True, kw_only=True):
    """A project as it is answered; both budgets are in major units of `currency`."""

    id: int
    client_id: int
    title: str
    description: str
    category: str
    skills: list[str]
    budget_type: BudgetType
    budget_min: Decimal
    budget_max: Decimal
    currency: str
    deadline: date | None
    visibility: Visibility
    status: ProjectStatus
    created_at: datetime
    published_at: datetime | None


def show(project: ProjectRow) -> ProjectOut:
    """The project as it is answered."""
    return ProjectOut(
        id=project.id,
        client_id=project.client_id,
        title=project.title,
        description=project.description,
        category=project.category,
        skills=project.skills,
        budget_type=project.budget_type,
        budget_min=project.budget_min.major,
        budget_max=project.budget_max.major,
        currency=project.currency,
        deadline=project.deadline,
        visibility=project.visibility,
        status=project.status,
        created_at=project.created_at,
        published_at=project.published_at,
    )


@post("/", guards=[role(Role.CLIENT)])
async def create_project(data: JSONBody[NewProject], caller: Asking, once: Once) -> ProjectOut:
    """Write a draft, which only its client sees."""
    return show(await once(projects.create, caller.id, data.brief(), again=seen_by(caller, projects.read)))


@get("/")
async def list_projects(
    *,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    category: QueryText = None,
    skills: Annotated[
        str | None, QueryParameter(max_length=MAX_QUERY_CHARS, description="comma-separated; all")
    ] = None,
    currency: QueryText = None,
    budget_min: QueryAmount = None,
    budget_max: QueryAmount = None,
    client_id: QueryId = None,
) -> Page[ProjectOut]:
    """Open public projects, newest first."""
    sought = Sought(
        category=sought_word(category, "category"),
        skills=sought_words(skills, "skills"),
        currency=currency.upper() if currency else None,
        budget_min=sought_amount(budget_min, "budget_min"),
        budget_max=sought_amount(budget_max, "budget_max"),
        client_id=client_id,
    )
    found = await projects.list_open(sought, before=decode_cursor(LISTING, cursor, int), limit=limit + 1)
    return page(LISTING, [show(one) for one in found], limit, lambda one: one.id)


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


router = Router(
    "/api/projects",
    route_handlers=[create_project, list_projects, list_my_projects, read_project, publish_project],
    tags=["projects"],
    guards=[signed_in],
)
