"""What somebody looks for among projects, and the statements that find it, in pieces that a test can EXPLAIN.

Words stand in every second project or in none, and a plan that is right for one is wrong for the other by a factor of
a thousand. So little is left to estimates. `near` walks a window of a list and sifts it: common words are found in no
time. `far` fetches whatever fits from the indexes of words and skills, then sorts it: right for rare ones. Which of the
two goes on after the first window is decided by what that window held (models/search.py).
"""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from enum import StrEnum
from typing import Any, Final

from models.base import Record
from models.money import EXPONENTS

ON_MARKET: Final = "p.status = 'open' and p.visibility = 'public'"
"""What strangers find: the predicate of the partial indexes, letter by letter."""
MOST_MINOR: Final = 2**62
"""Beyond every budget, and within what a column holds."""


class Sort(StrEnum):
    """In which order projects are listed. Budgets are those of one currency."""

    NEWEST = "newest"
    RELEVANCE = "relevance"
    BUDGET_HIGH = "budget_high"
    BUDGET_LOW = "budget_low"
    DEADLINE = "deadline"


class Sought(Record, frozen=True):
    """What a list of projects is narrowed to; None stands for anything.

    Budgets are in major units of each project's own currency. A project's budget is a range: one that overlaps the
    range sought is found. Category and skills are compared without case; every skill sought must be there.
    """

    q: str | None = None
    category: str | None = None
    skills: list[str] | None = None
    budget_type: str | None = None
    currency: str | None = None
    budget_min: Decimal | None = None
    budget_max: Decimal | None = None
    client_id: int | None = None

    @property
    def indexed(self) -> bool:
        """Whether an index can fetch what fits, without a walk."""
        return self.q is not None or self.skills is not None


class Scope(Record, frozen=True):
    """Which projects are looked at. Without a status: the open public ones, for everybody.

    With one: a person's own projects and those they have a contract for, or every one (`everything`, for admins).
    """

    status: str | None = None
    user_id: int | None = None
    everything: bool = False

    @property
    def market(self) -> bool:
        """Whether it is what anybody finds."""
        return self.status is None


MARKET: Final = Scope()


class Position(Record, frozen=True, array_like=True):
    """Where a page ended: the last project, and what it was ordered by besides its id.

    `head` is the newest project that was ranked for the first page of a list by relevance.
    """

    id: int
    key: float | int | None = None
    head: int | None = None


class Order(Record, frozen=True):
    """A way to list: a key and then the id, both in one direction; `bound` makes a position's number the key's type."""

    key: str
    bound: str
    up: bool


NEWEST: Final = Order(key="", bound="", up=False)
ORDERS: Final[dict[Sort, Order]] = {
    Sort.NEWEST: NEWEST,
    # The newest are ranked, whatever their rank is: see models/search.py.
    Sort.RELEVANCE: NEWEST,
    Sort.BUDGET_HIGH: Order(key="p.budget_max_minor", bound="{}::bigint", up=False),
    Sort.BUDGET_LOW: Order(key="p.budget_min_minor", bound="{}::bigint", up=True),
    # Projects without a deadline come last; the expression is the index's.
    Sort.DEADLINE: Order(
        key="coalesce(p.deadline, date '9999-12-31')", bound="(date '1970-01-01' + {}::integer)", up=True
    ),
}
BY_BUDGET: Final = (Sort.BUDGET_HIGH, Sort.BUDGET_LOW)


class Statement:
    """A text and its values, while it is being built and afterwards."""

    def __init__(self) -> None:
        self.sql = ""
        self.values: list[Any] = []

    def put(self, value: Any) -> str:
        """Add a value and return its placeholder."""
        self.values.append(value)
        return f"${len(self.values)}"


def _units_per_major() -> str:
    """The exponents of money.py as SQL: how many smallest units one unit of a project's currency has."""
    whens = (f"when '{code}' then {10**exponent}" for code, exponent in EXPONENTS.items() if exponent != 2)
    return f"(case p.currency {' '.join(whens)} else 100 end)"


UNITS: Final = _units_per_major()


def words(placeholder: str) -> str:
    """What somebody typed as a query. In a subquery, so that it is read once and not again for each project."""
    return f"(select websearch_to_tsquery('english', plain({placeholder})))"


def near(
    sought: Sought, sort: Sort, position: Position | None, *, limit: int, window: int | None, scope: Scope = MARKET
) -> Statement:
    """Ids in their order, out of the first `window` projects behind a position, or out of all of them (None)."""
    made = Statement()
    walk = [*_scoped(scope, made), *_walked(sought, sort, made), *_beyond(sort, position, made)]
    sift = _sifted(sought, sort, made)
    if window is None or not sift:
        where = _all([*walk, *sift])
        made.sql = f"select p.id from projects p where {where} order by {_order(sort)} limit {made.put(limit)}"
        return made
    made.sql = f"""
    select p.id from (select p.*, {_key(sort)} as key from projects p where {_all(walk)}
                       order by {_order(sort)} limit {made.put(window)}) p
     where {_all(sift)} order by {_order(sort, named=True)} limit {made.put(limit)}"""
    return made


def end(sought: Sought, sort: Sort, position: Position | None, *, window: int) -> Statement:
    """The project at which a window ends; no row when there are not so many."""
    made = Statement()
    where = _all([ON_MARKET, *_walked(sought, sort, made), *_beyond(sort, position, made)])
    made.sql = f"""
    select p.id from projects p where {where} order by {_order(sort)} offset {made.put(window - 1)} limit 1"""
    return made


def far(sought: Sought, sort: Sort, position: Position | None, *, limit: int) -> Statement:
    """Ids in their order, out of all that fit: fetched by the indexes of words and skills, then sorted."""
    made = Statement()
    fit = _all([ON_MARKET, *_walked(sought, sort, made), *_sifted(sought, sort, made)])
    beyond = _all(_beyond(sort, position, made, named=True))
    # `offset 0` keeps position, order and limit outside, or the planner would walk after all, or read a second index.
    made.sql = f"""
    select p.id from (select p.id, {_key(sort)} as key from projects p where {fit} offset 0) p
     where {beyond} order by {_order(sort, named=True)} limit {made.put(limit)}"""
    return made


def count_sieves(sought: Sought, sort: Sort) -> int:
    """How many conditions sift a walk; without any, a walk that ends early has seen everything."""
    return len(_sifted(sought, sort, Statement()))


def _scoped(scope: Scope, made: Statement) -> list[str]:
    if scope.market:
        return [ON_MARKET]
    where = [f"p.status = {made.put(scope.status)}"]
    if not scope.everything:
        own = made.put(scope.user_id)
        where.append(
            f"p.id in (select id from projects where client = {own}"
            f" union all select project from contracts where freelancer = {own})"
        )
    return where


def _walked(sought: Sought, sort: Sort, made: Statement) -> list[str]:
    """Conditions that an index has which the list is walked in, so that they cost nothing."""
    if sort in BY_BUDGET:
        assert sought.currency is not None, "budgets are compared in one currency"
        return [f"p.currency = {made.put(sought.currency)}"]
    return [] if sort is Sort.DEADLINE else _placed(sought, made)


def _sifted(sought: Sought, sort: Sort, made: Statement) -> list[str]:
    """All other conditions."""
    where = []
    if sought.q is not None:
        where.append(f"p.search @@ {words(made.put(sought.q))}")
    if sought.skills is not None:
        where.append(f"p.skill_keys @> (select lowered({made.put(sought.skills)}::text[]))")
    if sought.budget_type is not None:
        where.append(f"p.budget_type = {made.put(sought.budget_type)}")
    if sought.currency is not None and sort not in BY_BUDGET:
        where.append(f"p.currency = {made.put(sought.currency)}")
    if sort in BY_BUDGET or sort is Sort.DEADLINE:
        where += _placed(sought, made)
    return where + _budgeted(sought, made)


def _placed(sought: Sought, made: Statement) -> list[str]:
    where = []
    if sought.category is not None:
        where.append(f"lower(p.category) = lower({made.put(sought.category)})")
    if sought.client_id is not None:
        where.append(f"p.client = {made.put(sought.client_id)}")
    return where


def _budgeted(sought: Sought, made: Statement) -> list[str]:
    where = []
    if sought.currency in EXPONENTS:  # in its smallest unit, which an index can look up
        least, most = minor_bounds(sought)
        if least is not None:
            where.append(f"p.budget_max_minor >= {made.put(least)}")
        if most is not None:
            where.append(f"p.budget_min_minor <= {made.put(most)}")
        return where
    if sought.budget_min is not None:
        where.append(f"p.budget_max_minor >= {made.put(sought.budget_min)}::numeric * {UNITS}")
    if sought.budget_max is not None:
        where.append(f"p.budget_min_minor <= {made.put(sought.budget_max)}::numeric * {UNITS}")
    return where


def minor_bounds(sought: Sought) -> tuple[int | None, int | None]:
    """The budgets sought in the smallest unit of the currency sought, the one rounded up and the other down."""
    assert sought.currency in EXPONENTS, "a bound has a currency"
    exponent = EXPONENTS[sought.currency]
    least, most = sought.budget_min, sought.budget_max
    return (
        None if least is None else min(int(least.scaleb(exponent).to_integral_value(ROUND_CEILING)), MOST_MINOR),
        None if most is None else min(int(most.scaleb(exponent).to_integral_value(ROUND_FLOOR)), MOST_MINOR),
    )


def _beyond(sort: Sort, position: Position | None, made: Statement, *, named: bool = False) -> list[str]:
    """What lies behind a position; `named`, of rows that carry their key as `key`."""
    if position is None:
        return []
    order = ORDERS[sort]
    if not order.key:
        return [f"p.id < {made.put(position.id)}"]
    bound = order.bound.format(made.put(int(position.key or 0)))
    return [f"({'p.key' if named else order.key}, p.id) {'>' if order.up else '<'} ({bound}, {made.put(position.id)})"]


def _order(sort: Sort, *, named: bool = False) -> str:
    order = ORDERS[sort]
    way = "" if order.up else " desc"
    key = f"{'p.key' if named else order.key}{way}, " if order.key else ""
    return f"{key}p.id{way}"


def _key(sort: Sort) -> str:
    return ORDERS[sort].key or "null"


def _all(conditions: list[str]) -> str:
    return " and ".join(conditions) or "true"
