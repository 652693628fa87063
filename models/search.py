"""Finding projects: pages in five orders, and what the newest matches have in common.

Everybody finds open public projects and nothing else; only with a status does a person see their own. What is not
public is in no list, no count and no order of anybody else's.
"""

from collections.abc import Sequence
from datetime import date
from typing import Final

from models import guard, vocabulary
from models.base import Record
from models.errors import Invalid
from models.projects import SELECT, ProjectRow, row_of
from models.queries import query
from models.sought import (
    BY_BUDGET,
    MARKET,
    ON_MARKET,
    Position,
    Scope,
    Sort,
    Sought,
    Statement,
    count_sieves,
    end,
    far,
    near,
    words,
)

WINDOW: Final = 800
"""Projects that are walked at first. What fills a page from them is common, and done with."""
MARKET_SIZE: Final = 150_000
"""About how many projects are open: an index has to fetch that many times a word's share of them."""
FEW, MANY = 1 / 2, 10
"""What fetching costs, against walking as far: little for one condition, much for several."""
RANKED: Final = 500
"""The newest matches are ranked; older ones matter to nobody who looks for work."""
COUNTED: Final = 1_000
"""The newest matches are counted, so that a count costs the same however many there are."""
MOST_VALUES: Final = 20
"""Values that a facet shows."""
EPOCH: Final = date(1970, 1, 1)
NEVER: Final = date(9999, 12, 31)
"""Where a project without a deadline stands in the order of deadlines."""

# What was found a moment ago is asked anew whether it still may be seen ($2: whoever asks sees them anyway).
ROWS: Final = query(
    "projects.by_ids",
    SELECT
    + f"""join unnest($1::bigint[]) with ordinality wanted(id, n) on wanted.id = p.id
           where $2 or ({ON_MARKET}) order by wanted.n""",
)
BEST: Final = query(
    "projects.ranked",
    f"""select id, rank from (select p.id, ts_rank_cd(p.search, {words("$2")}) as rank
                                from projects p where p.id = any($1::bigint[])) p
         where $3::real is null or (rank, id) < ($3::real, $4::bigint) order by rank desc, id desc limit $5""",
)
FACETS: Final = query(
    "projects.facets",
    f"""with found as (select p.category, p.skills, p.budget_type from projects p
                        where p.id = any($1::bigint[]) and ($2 or ({ON_MARKET}))),
             counted as (
                 select 'category' as facet, min(category) as value, count(*) as count
                   from found group by lower(category)
                 union all
                 select 'skills', min(skill), count(*) from found, unnest(skills) skill group by lower(skill)
                 union all
                 select 'budget_type', budget_type, count(*) from found group by budget_type),
             ordered as (select *, row_number() over (partition by facet order by count desc, value) as n from counted)
        select facet, value, count from ordered where n <= {MOST_VALUES} order by facet, n""",
)


class Found(Record, frozen=True):
    """A project on a page, and the position that the page has if it ends here."""

    project: ProjectRow
    position: Position


class Value(Record, frozen=True):
    """What some of the matches share, and how many do."""

    value: str
    count: int


class Facets(Record, frozen=True):
    """What the newest matches have in common. `is_capped`: there are more than were counted."""

    category: list[Value]
    skills: list[Value]
    budget_type: list[Value]
    counted: int
    is_capped: bool


async def find(
    sought: Sought, *, sort: Sort = Sort.NEWEST, position: Position | None = None, limit: int, scope: Scope = MARKET
) -> list[Found]:
    """A page of projects behind a position. A text of nothing but stop words finds nothing.

    By relevance only the RANKED newest matches are listed. Raises Invalid for an order that lacks what it orders by.
    """
    if sort in BY_BUDGET and sought.currency is None:
        raise Invalid("Budgets are compared in one currency: name it.", field="currency")
    if sort is Sort.RELEVANCE:
        return await _by_relevance(sought, position, limit, scope)
    ids = await _ids(sought, sort, position, limit, scope)
    return [Found(project=one, position=_position(one, sort)) for one in await _rows(ids, scope)]


async def count_facets(sought: Sought, *, scope: Scope = MARKET) -> Facets:
    """What the COUNTED newest matches have in common, most frequent first."""
    ids = await _ids(sought, Sort.NEWEST, None, COUNTED + 1, scope)
    counted = ids[:COUNTED]
    values: dict[str, list[Value]] = {"category": [], "skills": [], "budget_type": []}
    for one in await guard.rows(FACETS, counted, not scope.market):
        values[one["facet"]].append(Value(value=one["value"], count=one["count"]))
    return Facets(**values, counted=len(counted), is_capped=len(ids) > COUNTED)


async def _by_relevance(sought: Sought, position: Position | None, limit: int, scope: Scope) -> list[Found]:
    if sought.q is None:
        raise Invalid("Relevance is to words: say which.", field="q")
    # Behind the first page the same ones are ranked again: what was published meanwhile is newer than the head.
    head = None if position is None else Position(id=(position.head or 0) + 1)
    ids = await _ids(sought, Sort.NEWEST, head, RANKED, scope)
    after = (None, None) if position is None else (position.key, position.id)
    best = {one["id"]: one["rank"] for one in await guard.rows(BEST, ids, sought.q, *after, limit)}
    newest = (ids[0] if ids else None) if position is None else position.head
    return [
        Found(project=one, position=Position(id=one.id, key=best[one.id], head=newest))
        for one in await _rows(list(best), scope)
    ]


async def _ids(sought: Sought, sort: Sort, position: Position | None, limit: int, scope: Scope) -> list[int]:
    """The ids of a page, in its order, by the way that is likely to be the shortest."""
    vocabulary.check_typed(sought.q or "")
    if not scope.market:
        return await _listed(near(sought, sort, position, limit=limit, window=None, scope=scope))
    window, sieves = WINDOW, count_sieves(sought, sort)
    found = await _listed(near(sought, sort, position, limit=limit, window=window))
    if len(found) >= limit or not sieves:
        return found
    if not sought.indexed:
        return await _listed(near(sought, sort, position, limit=limit, window=None))
    share = len(found) / window
    # An index fetches what fits one condition, and of several only the planner knows which: then it may be a lot.
    fetched = share * MARKET_SIZE * (FEW if sieves == 1 else MANY)
    if share and limit / share < fetched:
        window = int(2 * limit / share)
        found = await _listed(near(sought, sort, position, limit=limit, window=window))
    if len(found) >= limit or not await _listed(end(sought, sort, position, window=window)):
        return found
    return await _listed(far(sought, sort, position, limit=limit))


async def _listed(statement: Statement) -> list[int]:
    return [one["id"] for one in await guard.rows(statement.sql, *statement.values)]


async def _rows(ids: Sequence[int], scope: Scope) -> list[ProjectRow]:
    return [row_of(one) for one in await guard.rows(ROWS, list(ids), not scope.market)] if ids else []


def _position(project: ProjectRow, sort: Sort) -> Position:
    keys = {
        Sort.BUDGET_HIGH: project.budget_max_minor,
        Sort.BUDGET_LOW: project.budget_min_minor,
        Sort.DEADLINE: ((project.deadline or NEVER) - EPOCH).days,
    }
    return Position(id=project.id, key=keys.get(sort))
