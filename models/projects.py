"""What clients want done: drafts, the open market, and who may see and follow which project.

Refuses a budget out of bounds, and any change the table below does not list. A project that a caller may not see does
not exist for them. Which role may call a verb, and that the caller's address is verified, is the edge's question.
"""

from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final

from piccolo.columns import Array, BigInt, BigSerial, Date, Text, Timestamptz
from piccolo.columns.defaults.timestamptz import TimestamptzNow
from piccolo.table import Table

from models import accounts, business_time, events, guard, mail, outbox
from models.accounts import User
from models.base import Record, restricted
from models.errors import AmountOutOfBounds, Invalid, NotFound
from models.jobs import MatchProject
from models.locks import Noun, lock
from models.money import MAX_MINOR, Money
from models.queries import query
from models.sought import ON_MARKET, Position, Sort, Sought, near
from models.states import Edge, Machine, Part

__all__ = ["Sought"]


class ProjectStatus(StrEnum):
    """Where a project stands."""

    DRAFT = "draft"
    OPEN = "open"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    CLOSED = "closed"


class BudgetType(StrEnum):
    """What the budget is for: the whole, or each hour."""

    FIXED = "fixed"
    HOURLY = "hourly"


class Visibility(StrEnum):
    """Who finds an open project."""

    PUBLIC = "public"
    INVITE_ONLY = "invite_only"
    PRIVATE = "private"


class Project(Table, tablename="projects"):
    """A piece of work a client describes. Budgets are in the smallest unit of `currency`."""

    id = BigSerial(primary_key=True)
    client = restricted(User)
    title = Text()
    description = Text()
    category = Text()
    skills = Array(base_column=Text(), default=list)
    budget_type = Text()
    budget_min_minor = BigInt(default=None)
    budget_max_minor = BigInt(default=None)
    currency = Text()
    deadline = Date(null=True, default=None)
    visibility = Text()
    status = Text(default=ProjectStatus.DRAFT.value)
    created_at = Timestamptz(default=TimestamptzNow())
    updated_at = Timestamptz(default=TimestamptzNow())
    published_at = Timestamptz(null=True, default=None)


MACHINE: Final = Machine[ProjectStatus](
    noun="project",
    start=ProjectStatus.DRAFT,
    edges=(
        Edge(
            source=ProjectStatus.DRAFT,
            target=ProjectStatus.OPEN,
            verb="publish",
            by=(Part.CLIENT,),
            guard="the client's address is verified",
            mails=("project_created",),
            events=("project_update",),
        ),
        Edge(
            source=ProjectStatus.DRAFT,
            target=ProjectStatus.CANCELLED,
            verb="cancel",
            by=(Part.CLIENT,),
            events=("project_update",),
        ),
        Edge(
            source=ProjectStatus.OPEN,
            target=ProjectStatus.IN_PROGRESS,
            verb="accept",
            by=(Part.CLIENT,),
            guard="one of its proposals is accepted",
            events=("project_update",),
        ),
        Edge(
            source=ProjectStatus.OPEN,
            target=ProjectStatus.CLOSED,
            verb="close",
            by=(Part.CLIENT,),
            events=("project_update",),
        ),
        Edge(
            source=ProjectStatus.OPEN,
            target=ProjectStatus.CANCELLED,
            verb="cancel",
            by=(Part.CLIENT,),
            events=("project_update",),
        ),
        Edge(
            source=ProjectStatus.IN_PROGRESS,
            target=ProjectStatus.COMPLETED,
            verb="complete",
            by=(Part.SYSTEM,),
            guard="its contract is completed",
            events=("project_update",),
        ),
        Edge(
            source=ProjectStatus.IN_PROGRESS,
            target=ProjectStatus.CANCELLED,
            verb="cancel_contract",
            by=(Part.SYSTEM,),
            guard="its contract is cancelled",
            events=("project_update",),
        ),
    ),
)


class Brief(Record, frozen=True):
    """What a client writes about a project. Both budgets are in one currency."""

    title: str
    description: str
    category: str
    skills: list[str]
    budget_type: BudgetType
    budget_min: Money
    budget_max: Money
    deadline: date | None
    visibility: Visibility


class ProjectRow(Record, frozen=True):
    """A project as the domain passes it around."""

    id: int
    client_id: int
    title: str
    description: str
    category: str
    skills: list[str]
    budget_type: BudgetType
    budget_min_minor: int
    budget_max_minor: int
    currency: str
    deadline: date | None
    visibility: Visibility
    status: ProjectStatus
    created_at: datetime
    published_at: datetime | None

    @property
    def budget_min(self) -> Money:
        """The lower bound of the budget."""
        return Money(self.budget_min_minor, self.currency)

    @property
    def budget_max(self) -> Money:
        """The upper bound of the budget."""
        return Money(self.budget_max_minor, self.currency)


COLUMNS: Final = """
p.id, p.client as client_id, p.title, p.description, p.category, p.skills, p.budget_type, p.budget_min_minor,
p.budget_max_minor, p.currency, p.deadline, p.visibility, p.status, p.created_at, p.published_at
"""

SELECT: Final = f"select {COLUMNS} from projects p "

FOLLOWED: Final = """
(p.client = $2 or $3 or exists (
    select 1 from proposals o
     where o.project = p.id and o.freelancer = $2 and o.status in ('submitted', 'shortlisted', 'accepted')))
"""
"""Who has to do with project `p`: its client, a freelancer whose offer stands, an admin ($2: the caller, $3: admin)."""

INVITED: Final = """
(p.status = 'open' and exists (
    select 1 from project_invitations i where i.project = p.id and i.freelancer = $2 and i.status <> 'declined'))
"""
"""Who else sees an open project that others may not: a freelancer whom its client has asked ($2: the caller)."""

READ: Final = query(
    "projects.read",
    SELECT + f"where p.id = $1 and (({ON_MARKET}) or {FOLLOWED} or {INVITED})",
)
OWN: Final = query("projects.own", SELECT + "where p.client = $1 and p.id < $2 order by p.id desc limit $3")
OWN_OF_STATUS: Final = query(
    "projects.own_of_status",
    SELECT + "where p.client = $1 and p.status = $4 and p.id < $2 order by p.id desc limit $3",
)
LAST: Final = 2**63 - 1
"""The position before the first page of what is listed by falling ids."""

CREATE: Final = f"""
insert into projects as p (client, title, description, category, skills, budget_type, budget_min_minor,
                           budget_max_minor, currency, deadline, visibility)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) returning {COLUMNS}
"""

MOVE: Final = f"""
update projects as p set status = $2, updated_at = now(),
       published_at = case when $2 = 'open' then now() else published_at end
 where id = $1 returning {COLUMNS}
"""


def row_of(found: Any) -> ProjectRow:
    """The struct of a row of SELECT."""
    fields = dict(found)
    fields["budget_type"] = BudgetType(fields["budget_type"])
    fields["visibility"] = Visibility(fields["visibility"])
    fields["status"] = ProjectStatus(fields["status"])
    return ProjectRow(**fields)


# Verbs


async def create(client_id: int, brief: Brief) -> ProjectRow:
    """Write a draft that only its client sees.

    Raises AmountOutOfBounds for a budget that is not positive, too large or upside down, Invalid for a past deadline.
    """
    guard.in_transaction()
    await check_brief(brief)
    return row_of(await guard.only(CREATE, client_id, *fields_of(brief)))


def fields_of(brief: Brief) -> tuple[Any, ...]:
    """The values of a brief in the order in which CREATE has them."""
    return (
        brief.title,
        brief.description,
        brief.category,
        brief.skills,
        brief.budget_type.value,
        brief.budget_min.minor,
        brief.budget_max.minor,
        brief.budget_min.currency,
        brief.deadline,
        brief.visibility.value,
    )


async def check_brief(brief: Brief, *, old_deadline: date | None = None) -> None:
    """Refuse a budget that makes no sense, and a deadline that is past unless it was there: what `create` raises."""
    low, high = brief.budget_min, brief.budget_max
    assert low.currency == high.currency, "one project, one currency"
    if not 0 < low.minor <= high.minor <= MAX_MINOR:
        most = Money(MAX_MINOR, low.currency)
        raise AmountOutOfBounds(f"A budget is more than 0 and at most {most}; {low} to {high} is not.")
    if brief.deadline in (None, old_deadline):  # one that has passed since it was written may stay
        return
    if brief.deadline < (await business_time.now()).date():
        raise Invalid(f"The deadline {brief.deadline} is past.", field="deadline")


async def publish(project_id: int, *, client_id: int) -> ProjectRow:
    """Open one's own draft to proposals. Raises NotFound for anybody else's, WrongState unless it is a draft.

    Also TokenInvalid, when the client left meanwhile: whoever leaves closes what is open, and sees no draft.
    """
    await accounts.lock_present(client_id)
    project = await own_locked(project_id, client_id)
    opened = await move(project, ProjectStatus.OPEN)
    await mail.write(
        "project_created",
        to=client_id,
        about=f"project:{project_id}",
        project_id=project_id,
        project_title=project.title,
        budget_type=project.budget_type,
        budget_min_minor=project.budget_min_minor,
        budget_max_minor=project.budget_max_minor,
        currency=project.currency,
    )
    await seek_matches(opened)
    return opened


async def seek_matches(project: ProjectRow) -> None:
    """Have saved searches hear of a project that others find from now on."""
    if project.visibility is Visibility.PUBLIC:
        await outbox.enqueue(MatchProject(project_id=project.id))


async def locked(project_id: int) -> ProjectRow:
    """The project, locked until the transaction ends, whoever asks. Raises NotFound."""
    await lock(Noun.PROJECT, project_id)
    return row_of(await guard.only(SELECT + "where p.id = $1", project_id))


async def own_locked(project_id: int, client_id: int) -> ProjectRow:
    """One's own project, locked until the transaction ends. Raises NotFound for anybody else's."""
    project = await locked(project_id)
    if project.client_id != client_id:
        raise NotFound(f"There is no project {project_id}.")
    return project


async def move(project: ProjectRow, target: ProjectStatus, *, verb: str | None = None) -> ProjectRow:
    """Change a locked project's status and tell its room.

    Raises WrongState when the table does not list the change, or not by this verb.
    """
    guard.in_transaction()
    MACHINE.check(project.status, target, verb=verb)
    moved = row_of(await guard.only(MOVE, project.id, target.value))
    await tell_room(moved)
    return moved


async def tell_room(project: ProjectRow) -> None:
    """Tell whoever follows a project that it has changed."""
    changed = events.ProjectUpdated(project_id=project.id, status=project.status.value)
    await outbox.publish(changed, events.project(project.id))


# Queries


async def read(project_id: int, *, user_id: int, admin: bool) -> ProjectRow:
    """The project, if the caller may see it. Raises NotFound.

    It is an open public one, an open one they were asked to, or one they have to do with.
    """
    found = await guard.row(READ, project_id, user_id, admin)
    if found is None:
        raise NotFound(f"There is no project {project_id}.")
    return row_of(found)


async def list_open(sought: Sought, *, before: int | None, limit: int) -> list[ProjectRow]:
    """The newest open public projects that fit, from `before` (an id, exclusive) backwards."""
    position = None if before is None else Position(id=before)
    asked = near(sought, Sort.NEWEST, position, limit=limit, window=None)
    ids = [one["id"] for one in await guard.rows(asked.sql, *asked.values)]
    return [row_of(one) for one in await guard.rows(SELECT + "where p.id = any($1) order by p.id desc", ids)]


async def list_own(client_id: int, *, status: ProjectStatus | None, before: int | None, limit: int) -> list[ProjectRow]:
    """A client's own newest projects in any state, or in one, from `before` (an id, exclusive) backwards."""
    asked = (client_id, LAST if before is None else before, limit)
    if status is None:
        return [row_of(one) for one in await guard.rows(OWN, *asked)]
    return [row_of(one) for one in await guard.rows(OWN_OF_STATUS, *asked, status.value)]


async def may_follow(project_id: int, *, user_id: int, admin: bool) -> bool:
    """Whether a person may enter the project's room: its client, a freelancer whose offer stands, an admin."""
    found: bool | None = await guard.value(
        f"select {FOLLOWED} from projects p where p.id = $1", project_id, user_id, admin
    )
    return bool(found)
