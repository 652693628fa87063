"""Freelancers as clients look for them: by words, skills, rates, ratings, availability and country, a page at a time.

Only freelancers whose address is verified and who neither left nor are suspended are found. A page costs the same at
any depth and for any word: first the newest (or best, or cheapest) are walked and looked at, and only when too few of
them fit, which means that few fit at all, the index of what is sought is asked.
"""

from decimal import Decimal
from enum import StrEnum
from math import ceil
from typing import Annotated, Any, Final

import msgspec

from models import guard, vocabulary
from models.base import Record
from models.errors import Invalid, NotFound
from models.locks import Noun, is_held
from models.money import Money
from models.profiles import SEEN, STANDING, PublicProfile, seen
from models.queries import query

RANKED: Final = 500
"""Relevance orders the newest so many matches: ranking reads every one of them."""
WALKED: Final = 1000
"""How many are looked at before an index is asked: two milliseconds."""
WORTH_WALKING: Final = 0.12
"""Where more than this share fits, walking on is cheaper than gathering all that fit."""
MICRO: Final = 1_000_000

# The condition of every index freelancers_… in the migration, or they would not be used.
FINDABLE: Final = f"u.role = 'freelancer' and u.email_verified_at is not null and {STANDING}"
RATING: Final = f"coalesce(u.rating_sum::bigint * {MICRO} / nullif(u.rating_count, 0), 0)"
"""The average in millionths, 0 without reviews; the expression of freelancers_rating."""


class Sort(StrEnum):
    """What a list is ordered by."""

    NEWEST = "newest"
    RELEVANCE = "relevance"
    RATING = "rating"
    RATE_LOW = "rate_low"
    RATE_HIGH = "rate_high"


class Order(Record, frozen=True):
    """An order as SQL: what is compared before the id, and which way."""

    key: str
    way: str

    @property
    def beyond(self) -> str:
        """The comparison of whoever comes later."""
        return "<" if self.way == "desc" else ">"


ORDERS: Final = {
    Sort.NEWEST: Order(key="u.id", way="desc"),
    Sort.RATING: Order(key=RATING, way="desc"),
    Sort.RATE_LOW: Order(key="u.hourly_rate_minor", way="asc"),
    Sort.RATE_HIGH: Order(key="u.hourly_rate_minor", way="desc"),
}
"""Relevance gathers by age and ranks what it has."""
BY_RATE: Final = (Sort.RATE_LOW, Sort.RATE_HIGH)


class Sought(Record, frozen=True):
    """Whom a list is narrowed to; None stands for anybody. Rates are in the currency, which they and their order need.

    Every skill sought must be there, whatever its case.
    """

    words: str | None = None
    skills: list[str] | None = None
    min_rate: Money | None = None
    max_rate: Money | None = None
    currency: str | None = None
    min_rating: Decimal | None = None
    available: bool | None = None
    country: str | None = None


class Position(Record, frozen=True):
    """Where somebody stands in a list: what it is ordered by, then the id. Bounded: cursors come back from outside."""

    key: Annotated[float, msgspec.Meta(ge=0, le=2**53)]
    id: Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class Found(Record, frozen=True):
    """Somebody who fits, and where in the list."""

    profile: PublicProfile
    position: Position


class Text:
    """A statement under construction: what is put into it becomes a parameter, in the order of its coming."""

    def __init__(self) -> None:
        self.values: list[Any] = []

    def put(self, value: Any, kind: str) -> str:
        """The place of a value."""
        self.values.append(value)
        return f"${len(self.values)}::{kind}"


# Words are stemmed as English, as what people say is, their names included. Who is called Will is found all the same:
# what English takes for no word at all is sought as it was typed, and names are kept so too.
PARSE: Final = """
select parsed::text as words, querytree(parsed) as sought
  from (values (1, websearch_to_tsquery('english', plain($1))), (2, websearch_to_tsquery('simple', plain($1))))
       readings (place, parsed)
 where parsed::text <> '' order by place limit 1
"""
CARDS: Final = query("freelancers.cards", f"select {SEEN} from users u where u.id = any($1::bigint[])")
RANK: Final = query(
    "freelancers.rank",
    """
select id, key from (select u.id, ts_rank(u.search, $2::tsquery)::float8 as key
                       from users u where u.id = any($1::bigint[])) ranked
 where $3::float8 is null or (key, id) < ($3::float8, $4::bigint) order by key desc, id desc limit $5
""",
)
READ: Final = query("freelancers.read", f"select {SEEN} from users u where u.id = $1 and {FINDABLE}")
COUNT: Final = "update users set completed_contracts = completed_contracts + 1 where id = $1"


def _reach(text: Text, sort: Sort, sought: Sought) -> str:
    """Who is in the list at all: also what its own index bounds."""
    if sort in BY_RATE:
        return " and ".join([FINDABLE, *_rates(text, sought)])
    return " and ".join([FINDABLE, *(_rated(text, sought) if sort is Sort.RATING else [])])


def _behind(text: Text, sort: Sort, after: Position | None, key: str, last: str) -> str:
    """Who comes after a position; `key` and `last` say what is compared with it."""
    if after is None:
        return "true"
    if sort is Sort.NEWEST:
        return f"{last} < {text.put(after.id, 'bigint')}"
    there = f"({text.put(int(after.key), 'bigint')}, {text.put(after.id, 'bigint')})"
    return f"({key}, {last}) {ORDERS[sort].beyond} {there}"


def _fits(text: Text, sought: Sought, *, indexed: bool) -> str:
    """What is sought, as a condition; `indexed` as the indexes have it, else as it is quickly told of one row."""
    wanted = [*_rates(text, sought), *_rated(text, sought)]
    if sought.words is not None:
        wanted.append(f"u.search @@ {text.put(sought.words, 'tsquery')}")
    if sought.skills is not None:
        # `lowered` costs more than all the rest of a row: only its index is quick.
        held = "lowered(u.skills)" if indexed else "lower(u.skills::text)::text[]"
        wanted.append(f"{held} @> {text.put([one.lower() for one in sought.skills], 'text[]')}")
    if sought.available is not None:
        wanted.append(f"u.is_available = {text.put(sought.available, 'boolean')}")
    if sought.country is not None:
        wanted.append(f"u.country = {text.put(sought.country, 'text')}")
    return " and ".join(wanted) or "true"


def _rates(text: Text, sought: Sought) -> list[str]:
    wanted = []
    if sought.currency is not None:
        wanted.append(f"u.rate_currency = {text.put(sought.currency, 'text')}")
    for comparison, rate in ((">=", sought.min_rate), ("<=", sought.max_rate)):
        if rate is not None:
            wanted.append(f"u.hourly_rate_minor {comparison} {text.put(rate.minor, 'bigint')}")
    return wanted


def _rated(text: Text, sought: Sought) -> list[str]:
    if sought.min_rating is None:
        return []
    return [f"{RATING} >= {text.put(ceil(sought.min_rating * MICRO), 'bigint')}"]


def walk_text(
    sort: Sort, sought: Sought, after: Position | None, *, looked_at: int, most: int
) -> tuple[str, list[Any]]:
    """The statement that looks at the next so many of a list: the first `most` who fit, or the last one looked at."""
    text, order = Text(), ORDERS[sort]
    limit, most_fitting = text.put(looked_at, "bigint"), text.put(most, "bigint")
    reach, fits = _reach(text, sort, sought), _fits(text, sought, indexed=False)
    behind = _behind(text, sort, after, order.key, "u.id")
    by = f"order by {order.key} {order.way}" + ("" if order.key == "u.id" else f", u.id {order.way}")
    return (
        f"""select id, key, fits, place from (
                select u.id, {order.key} as key, coalesce({fits}, false) as fits, row_number() over ({by}) as place
                  from users u where {reach} and {behind} {by} limit {limit}) walked
             where fits or place = {limit} limit {most_fitting}""",
        text.values,
    )


def find_text(sort: Sort, sought: Sought, after: Position | None, most: int) -> tuple[str, list[Any]]:
    """The statement that gathers all who fit, by the index of what is sought, and takes the first `most`."""
    text, order = Text(), ORDERS[sort]
    limit = text.put(most, "bigint")
    reach, fits = _reach(text, sort, sought), _fits(text, sought, indexed=True)
    behind = _behind(text, sort, after, "key", "id")
    return (
        # Materialized, and the position outside: a plan that walks the list's order would read all of it for a rare
        # word, and one that gathers everybody behind the position likewise.
        f"""with fitting as materialized (select u.id, {order.key} as key from users u where {reach} and {fits})
            select id, key from fitting where {behind} order by key {order.way}, id {order.way} limit {limit}""",
        text.values,
    )


_SOME: Final = Sought(words="'python'", currency="USD")
_AT: Final = Position(key=1000, id=1000)
SAMPLES: Final[dict[str, tuple[str, list[Any]]]] = {
    "freelancers.newest": walk_text(Sort.NEWEST, Sought(), _AT, looked_at=21, most=21),
    "freelancers.best": walk_text(Sort.RATING, _SOME, _AT, looked_at=WALKED, most=21),
    "freelancers.cheapest": walk_text(Sort.RATE_LOW, _SOME, _AT, looked_at=WALKED, most=21),
    "freelancers.dearest": walk_text(Sort.RATE_HIGH, _SOME, _AT, looked_at=WALKED, most=21),
    "freelancers.with_words": find_text(Sort.NEWEST, Sought(words="'python'"), _AT, 21),
    "freelancers.with_skills": find_text(Sort.NEWEST, Sought(skills=["python"]), _AT, 21),
    "freelancers.in_country": find_text(Sort.NEWEST, Sought(country="TV"), _AT, 21),
}
"""Of the statements that are made for each list: one for each index, with what it is asked."""
for _name, (_sql, _) in SAMPLES.items():
    query(_name, _sql)


async def search(sought: Sought, *, sort: Sort, after: Position | None, limit: int) -> list[Found]:
    """The first `limit` who fit, behind a position, in this order; relevance knows the newest RANKED of them only.

    Raises Invalid for rates, or their order, without a currency, for relevance without words, and for words of which
    none is wanted.
    """
    _check(sought, sort)
    if sought.words is not None:
        words = await _parsed(sought.words)
        if words is None:
            return []
        sought = _with_words(sought, words)
    if sort is Sort.RELEVANCE:
        positions = await _rank(sought, after, limit)
    else:
        positions = await _gather(sort, sought, after, limit)
    cards = {one["id"]: seen(one) for one in await guard.rows(CARDS, [position.id for position in positions])}
    return [Found(profile=cards[position.id], position=position) for position in positions]


async def read(user_id: int) -> PublicProfile:
    """A freelancer whom anybody finds. Raises NotFound."""
    found = await guard.row(READ, user_id)
    if found is None:
        raise NotFound(f"There is no freelancer {user_id}.")
    return seen(found)


async def count_completed(user_id: int) -> None:
    """Count one more completed contract of somebody whose account is locked: above the contract, as accounts are."""
    assert is_held(Noun.ACCOUNT, user_id), f"account {user_id} is not locked"
    await guard.rows(COUNT, user_id)


def _check(sought: Sought, sort: Sort) -> None:
    if sort is Sort.RELEVANCE and sought.words is None:
        raise Invalid("Relevance is to words: say `q`.", field="sort")
    if sought.currency is None and sort in BY_RATE:
        raise Invalid("Rates are compared within one currency: name it.", field="currency")


async def _parsed(words: str) -> str | None:
    """The words as PostgreSQL seeks them, or None when it knows none of them. Raises Invalid for mere exclusions."""
    vocabulary.check_typed(words)
    parsed = await guard.row(PARSE, words)
    if parsed is None:
        return None
    if parsed["sought"] == "T":
        raise Invalid("Name a word that is wanted: exclusions alone find everybody else.", field="q")
    found: str = parsed["words"]
    return found


def _with_words(sought: Sought, words: str) -> Sought:
    return Sought(**{name: getattr(sought, name) for name in Sought.__struct_fields__ if name != "words"}, words=words)


async def _rank(sought: Sought, after: Position | None, limit: int) -> list[Position]:
    newest = await _gather(Sort.NEWEST, sought, None, RANKED)
    key, last = (None, None) if after is None else (after.key, after.id)
    ranked = await guard.rows(RANK, [one.id for one in newest], sought.words, key, last, limit)
    return [_position(one) for one in ranked]


async def _gather(sort: Sort, sought: Sought, after: Position | None, most: int) -> list[Position]:
    """The first `most` who fit, behind a position."""
    if sought == Sought(currency=sought.currency if sort in BY_RATE else None):
        # Everybody in the list fits.
        return (await _walk(sort, sought, after, looked_at=most, most=most))[0]
    fitting, last = await _walk(sort, sought, after, looked_at=WALKED, most=most)
    share = len(fitting) / WALKED
    if last is not None and share > WORTH_WALKING:
        left = most - len(fitting)
        more, last = await _walk(sort, sought, last, looked_at=ceil(1.5 * left / share), most=left)
        fitting += more
    if last is not None:
        found = await guard.rows(*_spread(find_text(sort, sought, after, most)))
        return [_position(one) for one in found]
    return fitting


async def _walk(
    sort: Sort, sought: Sought, after: Position | None, *, looked_at: int, most: int
) -> tuple[list[Position], Position | None]:
    """Those of the next `looked_at` who fit, `most` at most; and where to look on, None when there is no need."""
    found = await guard.rows(*_spread(walk_text(sort, sought, after, looked_at=looked_at, most=most)))
    fitting = [_position(one) for one in found if one["fits"]]
    over = len(fitting) == most or not found or found[-1]["place"] < looked_at
    return fitting, None if over else _position(found[-1])


def _position(found: Any) -> Position:
    return Position(key=found["key"], id=found["id"])


def _spread(statement: tuple[str, list[Any]]) -> tuple[Any, ...]:
    sql, values = statement
    return sql, *values
