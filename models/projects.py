"""What clients want done: drafts, the open market, and who may see and follow which project.

Refuses a budget out of bounds, and any change the table below does not list. A project that a caller may not see does
not exist for them. Which role may call a verb, and that the caller's address is verified, is the edge's question.
"""

from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from piccolo.columns import Array, BigInt, BigSerial, Date, Text, Timestamptz
from piccolo.columns.defaults.timestamptz import TimestamptzNow
from piccolo.table import Table

from models import accounts, events, guard, mail, outbox
from models.accounts import User
from models.base import Record, restricted
from models.errors import AmountOutOfBounds, Invalid, NotFound
from models.locks import Noun, lock
from models.money import EXPONENTS, MAX_MINOR, Money
from models.states import Edge, Machine


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
    edges=(
        Edge(source=ProjectStatus.DRAFT, target=ProjectStatus.OPEN, by="client", verb="publish"),
        Edge(source=ProjectStatus.DRAFT, target=ProjectStatus.CANCELLED, by="client", verb="cancel"),
        Edge(source=ProjectStatus.OPEN, target=ProjectStatus.IN_PROGRESS, by="client", verb="accept"),
        Edge(source=ProjectStatus.OPEN, target=ProjectStatus.CLOSED, by="client", verb="close"),
        Edge(source=ProjectStatus.OPEN, target=ProjectStatus.CANCELLED, by="client", verb="cancel"),
        Edge(source=ProjectStatus.IN_PROGRESS, target=ProjectStatus.COMPLETED, by="system", verb="complete"),
        Edge(source=ProjectStatus.IN_PROGRESS, target=ProjectStatus.CANCELLED, by="client", verb="cancel"),
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


class Sought(Record, frozen=True):
    """What a list of open projects is narrowed to. Budgets are in major units of each project's own currency."""

    category: str | None = None
    skills: list[str] | None = None
    currency: str | None = None
    budget_min: Decimal | None = None
    budget_max: Decimal | None = None
    client_id: int | None = None


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


def _units_per_major() -> str:
    """The exponents of money.py as SQL: how many smallest units one unit of a project's currency has."""
    whens = (f"when '{code}' then {10**exponent}" for code, exponent in EXPONENTS.items() if exponent != 2)
    return f"(case p.currency {' '.join(whens)} else 100 end)"


# A budget is a range; one that overlaps the range sought is found.
LIST_OPEN: Final = f"""{SELECT}
 where p.status = 'open' and p.visibility = 'public' and ($1::bigint is null or p.id < $1)
   and ($3::text is null or lower(p.category) = lower($3))
   and ($4::text[] is null or not exists (
        select 1 from unnest($4) sought where lower(sought) not in (select lower(s) from unnest(p.skills) s)))
   and ($5::text is null or p.currency = $5)
   and ($6::numeric is null or p.budget_max_minor >= $6 * {_units_per_major()})
   and ($7::numeric is null or p.budget_min_minor <= $7 * {_units_per_major()})
   and ($8::bigint is null or p.client = $8)
 order by p.id desc limit $2
"""


def _row(found: Any) -> ProjectRow:
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
    low, high = brief.budget_min, brief.budget_max
    assert low.currency == high.currency, "one project, one currency"
    if not 0 < low.minor <= high.minor <= MAX_MINOR:
        most = Money(MAX_MINOR, low.currency)
        raise AmountOutOfBounds(f"A budget is more than 0 and at most {most}; {low} to {high} is not.")
    if brief.deadline is not None and brief.deadline < datetime.now(UTC).date():
        raise Invalid(f"The deadline {brief.deadline} is past.", field="deadline")
    made = await guard.only(
        CREATE,
        client_id,
        brief.title,
        brief.description,
        brief.category,
        brief.skills,
        brief.budget_type.value,
        low.minor,
        high.minor,
        low.currency,
        brief.deadline,
        brief.visibility.value,
    )
    return _row(made)


async def publish(project_id: int, *, client_id: int) -> ProjectRow:
    """Open one's own draft to proposals. Raises NotFound for anybody else's, WrongState unless it is a draft.

    Also TokenInvalid, when the client left meanwhile: whoever leaves closes what is open, and sees no draft.
    """
    await accounts.lock_present(client_id)
    project = await locked(project_id)
    if project.client_id != client_id:
        raise NotFound(f"There is no project {project_id}.")
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
    return opened


async def locked(project_id: int) -> ProjectRow:
    """The project, locked until the transaction ends, whoever asks. Raises NotFound."""
    await lock(Noun.PROJECT, project_id)
    return _row(await guard.only(SELECT + "where p.id = $1", project_id))


async def move(project: ProjectRow, target: ProjectStatus) -> ProjectRow:
    """Change a locked project's status and tell its room. Raises WrongState when the table does not list the change."""
    guard.in_transaction()
    MACHINE.check(project.status, target)
    moved = _row(await guard.only(MOVE, project.id, target.value))
    await outbox.publish(events.ProjectUpdated(project_id=project.id, status=target.value), events.project(project.id))
    return moved


# Queries


async def read(project_id: int, *, user_id: int, admin: bool) -> ProjectRow:
    """The project, if the caller may see it: an open public one, or one they have to do with. Raises NotFound."""
    found = await guard.row(
        SELECT + f"where p.id = $1 and ((p.status = 'open' and p.visibility = 'public') or {FOLLOWED})",
        project_id,
        user_id,
        admin,
    )
    if found is None:
        raise NotFound(f"There is no project {project_id}.")
    return _row(found)


async def list_open(sought: Sought, *, before: int | None, limit: int) -> list[ProjectRow]:
    """The newest open public projects that fit, from `before` (an id, exclusive) backwards.

    Category and skills are compared without case; every skill sought must be there.
    """
    found = await guard.rows(
        LIST_OPEN,
        before,
        limit,
        sought.category,
        sought.skills,
        sought.currency,
        sought.budget_min,
        sought.budget_max,
        sought.client_id,
    )
    return [_row(one) for one in found]


async def list_own(client_id: int, *, status: ProjectStatus | None, before: int | None, limit: int) -> list[ProjectRow]:
    """A client's own newest projects in any state, or in one, from `before` (an id, exclusive) backwards."""
    found = await guard.rows(
        SELECT
        + """where p.client = $1 and ($2::text is null or p.status = $2) and ($3::bigint is null or p.id < $3)
             order by p.id desc limit $4""",
        client_id,
        status,
        before,
        limit,
    )
    return [_row(one) for one in found]


async def may_follow(project_id: int, *, user_id: int, admin: bool) -> bool:
    """Whether a person may enter the project's room: its client, a freelancer whose offer stands, an admin."""
    found: bool | None = await guard.value(
        f"select {FOLLOWED} from projects p where p.id = $1", project_id, user_id, admin
    )
    return bool(found)
