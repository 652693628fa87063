"""Projects as clients write them and as they are answered."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, UnsetType

from api.fields import Amount, Body, Currency, Prose, Title, Word
from models.briefs import Changes
from models.money import Money
from models.projects import Brief, BudgetType, ProjectRow, ProjectStatus, Visibility

MAX_SKILLS: Final = 30

Skills = Annotated[list[Word], msgspec.Meta(max_length=MAX_SKILLS)]


class NewProject(Body, frozen=True, kw_only=True):
    """A draft as its client writes it."""

    title: Title
    description: Prose
    category: Word
    skills: Skills = msgspec.field(default_factory=list)
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


class ProjectChange(Body, frozen=True, kw_only=True):
    """What is to become of a project: fields that are absent stay. Budgets are in major units of its currency."""

    title: Title | UnsetType = UNSET
    description: Prose | UnsetType = UNSET
    category: Word | UnsetType = UNSET
    skills: Skills | UnsetType = UNSET
    budget_type: BudgetType | UnsetType = UNSET
    budget_min: Amount | UnsetType = UNSET
    budget_max: Amount | UnsetType = UNSET
    currency: Currency | UnsetType = UNSET
    deadline: date | UnsetType | None = UNSET
    visibility: Visibility | UnsetType = UNSET

    def changes(self) -> Changes:
        """What the domain is told."""
        said = msgspec.structs.asdict(self)
        if self.skills is not UNSET:
            said["skills"] = list(dict.fromkeys(self.skills))
        return Changes(**said)


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
