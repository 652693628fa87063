"""What a client has written about a project, written otherwise or taken back.

Refuses any change of a project that is under way or over, and of what offers were made upon.
"""

from datetime import date
from decimal import Decimal
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from models import accounts, guard, projects
from models.base import Record
from models.errors import WrongState
from models.money import Money
from models.projects import COLUMNS, Brief, BudgetType, ProjectRow, ProjectStatus, Visibility


class Changes(Record, frozen=True):
    """What is to become of a project; UNSET stays as it is. Budgets are in major units of the currency it then has."""

    title: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    category: str | UnsetType = UNSET
    skills: list[str] | UnsetType = UNSET
    budget_type: BudgetType | UnsetType = UNSET
    budget_min: Decimal | UnsetType = UNSET
    budget_max: Decimal | UnsetType = UNSET
    currency: str | UnsetType = UNSET
    deadline: date | UnsetType | None = UNSET
    visibility: Visibility | UnsetType = UNSET


BINDING: Final = ("budget_type", "visibility")
"""What offers are made upon, besides the currency: it stays once there are any."""

EDIT: Final = f"""
update projects as p set title = $2, description = $3, category = $4, skills = $5, budget_type = $6,
       budget_min_minor = $7, budget_max_minor = $8, currency = $9, deadline = $10, visibility = $11, updated_at = now()
 where id = $1 returning {COLUMNS}
"""


async def edit(project_id: int, changes: Changes, *, client_id: int) -> ProjectRow:
    """Change one's own draft, or an open project; what offers are made upon stays once there is one.

    An open one that becomes public is held against saved searches as if it had just been published. Raises NotFound
    for anybody else's; WrongState; what `create` raises; TokenInvalid when the client left meanwhile.
    """
    await accounts.lock_present(client_id)
    project = await projects.own_locked(project_id, client_id)
    if project.status not in (ProjectStatus.DRAFT, ProjectStatus.OPEN):
        raise WrongState(f"This project is {project.status.value}: to edit it, it has to be draft or open.")
    brief = _changed(project, changes)
    before = brief_of(project)
    bound = [name for name in BINDING if getattr(before, name) != getattr(brief, name)]
    if before.budget_min.currency != brief.budget_min.currency:
        bound.append("currency")
    if bound and await guard.value(
        "select exists (select from proposals where project = $1 and status <> 'withdrawn')", project_id
    ):
        raise WrongState(f"There are proposals for this project: its {bound[0]} stays.", field=bound[0])
    await projects.check_brief(brief, old_deadline=project.deadline)
    edited = projects.row_of(await guard.only(EDIT, project_id, *projects.fields_of(brief)))
    if edited.status is ProjectStatus.OPEN:
        await projects.tell_room(edited)
        if project.visibility is not Visibility.PUBLIC:
            await projects.seek_matches(edited)
    return edited


def brief_of(project: ProjectRow) -> Brief:
    """What the client has written, as it stands."""
    return Brief(**{name: getattr(project, name) for name in Brief.__struct_fields__})


def _changed(project: ProjectRow, changes: Changes) -> Brief:
    """The project as it is to be. In another currency the same numbers are other amounts."""
    said = {name: new for name, new in msgspec.structs.asdict(changes).items() if new is not UNSET}
    currency = said.pop("currency", project.currency)
    for name in ("budget_min", "budget_max"):
        said[name] = Money.from_major(said.get(name, getattr(project, name).major), currency)
    return msgspec.structs.replace(brief_of(project), **said)


async def remove(project_id: int, *, client_id: int) -> None:
    """Delete one's own draft, which nobody else has seen. Raises NotFound for anybody else's, WrongState."""
    guard.in_transaction()
    project = await projects.own_locked(project_id, client_id)
    if project.status is not ProjectStatus.DRAFT:
        raise WrongState(f"This project is {project.status.value}: to delete it, it has to be draft.")
    await guard.rows("delete from favorites where project = $1", project_id)
    await guard.rows("delete from projects where id = $1", project_id)
