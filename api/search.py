"""Finding projects, over HTTP: pages, what the matches have in common, and help for whoever mistypes.

The handlers stand in the router of `api/projects.py`, which has the same path.
"""

from typing import Annotated, Final

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery, QueryParameter

from api.auth import Asking, Caller
from api.briefs import ProjectOut, show
from api.fields import QueryAmount, QueryId, sought_amount, sought_word, sought_words
from api.pages import DEFAULT_LIMIT, Cursor, Limit, Page, decode_cursor, page
from models import search, vocabulary
from models.projects import BudgetType, ProjectStatus
from models.sought import MARKET, Position, Scope, Sort, Sought

MAX_QUERY_CHARS: Final = 400

QueryText = Annotated[str | None, QueryParameter(max_length=MAX_QUERY_CHARS)]
QueryWords = Annotated[
    str | None,
    QueryParameter(max_length=MAX_QUERY_CHARS, description='words; "a phrase", or, and -not are understood'),
]
QuerySkills = Annotated[str | None, QueryParameter(max_length=MAX_QUERY_CHARS, description="comma-separated; all")]
QueryStatus = Annotated[
    ProjectStatus | None,
    QueryParameter(description="with one other than open: among one's own; without: open public ones"),
]


class ValueOut(msgspec.Struct, frozen=True):
    """What some of the matches share, and how many do."""

    value: str
    count: int


class FacetsOut(msgspec.Struct, frozen=True):
    """What the newest matches have in common; `is_capped`: there are more than `counted`."""

    category: list[ValueOut]
    skills: list[ValueOut]
    budget_type: list[ValueOut]
    counted: int
    is_capped: bool


class SuggestionsOut(msgspec.Struct, frozen=True):
    """What somebody may have meant, and how the last word may go on."""

    did_you_mean: str | None
    completions: list[str]


async def provide_sought(
    *,
    q: QueryWords = None,
    category: QueryText = None,
    skills: QuerySkills = None,
    budget_type: FromQuery[BudgetType | None] = None,
    currency: QueryText = None,
    budget_min: QueryAmount = None,
    budget_max: QueryAmount = None,
    client_id: QueryId = None,
) -> Sought:
    """The dependency `sought`: what a list is narrowed to. Raises Invalid."""
    wanted = sought_word(currency, "currency")
    return Sought(
        q=sought_word(q, "q"),
        category=sought_word(category, "category"),
        skills=sought_words(skills, "skills"),
        budget_type=budget_type and budget_type.value,
        currency=wanted and wanted.upper(),
        budget_min=sought_amount(budget_min, "budget_min"),
        budget_max=sought_amount(budget_max, "budget_max"),
        client_id=client_id,
    )


Looking = NamedDependency[Sought]


def scope_of(status: ProjectStatus | None, caller: Caller) -> Scope:
    """Where this caller looks: others' projects that are not open and public do not exist."""
    if status is None or (status is ProjectStatus.OPEN and not caller.admin):
        return MARKET
    return Scope(status=status.value, user_id=caller.id, everything=caller.admin)


@get("/")
async def list_projects(
    *,
    sought: Looking,
    caller: Asking,
    status: QueryStatus = None,
    sort: FromQuery[Sort] = Sort.NEWEST,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[ProjectOut]:
    """Open public projects; with a status, one's own ones, and those one has a contract for."""
    listing = f"projects.{sort.value}"
    position, scope = decode_cursor(listing, cursor, Position), scope_of(status, caller)
    found = await search.find(sought, sort=sort, position=position, limit=limit + 1, scope=scope)
    made = page(listing, found, limit, lambda one: one.position)
    return Page([show(one.project) for one in made.items], made.next_cursor)


@get("/facets")
async def read_facets(sought: Looking, caller: Asking, status: QueryStatus = None) -> FacetsOut:
    """What the newest 1,000 matches of the same filters have in common."""
    found = await search.count_facets(sought, scope=scope_of(status, caller))
    return msgspec.convert(found, FacetsOut, from_attributes=True)


@get("/suggestions")
async def read_suggestions(
    q: Annotated[str, QueryParameter(max_length=MAX_QUERY_CHARS, description="what was typed so far")],
) -> SuggestionsOut:
    """Words of open public projects near those typed, and completions of the last one."""
    found = await vocabulary.suggest(sought_word(q, "q") or "")
    return SuggestionsOut(found.did_you_mean, found.completions)
