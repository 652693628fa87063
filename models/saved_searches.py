"""Searches that people keep: each project is held against all of them when it is published, and they hear of it once.

Nobody hears of a project they could not find. A mail's link ends its alerts without a sign-in.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType
from piccolo.columns import Array, BigInt, BigSerial, Boolean, Text, Timestamptz
from piccolo.columns.defaults.timestamptz import TimestamptzNow
from piccolo.table import Table

from models import accounts, guard, vocabulary
from models.accounts import User
from models.base import Record, restricted
from models.errors import AmountOutOfBounds, Invalid, NotFound, WrongState
from models.money import MAX_MINOR, Money
from models.projects import LAST, BudgetType, Project
from models.queries import query

MOST: Final = 20
"""Searches that one person keeps: each is looked at for every project."""


class SavedSearch(Table, tablename="saved_searches"):
    """What somebody looks for; null stands for anything. Budgets are in smallest units of `currency`."""

    id = BigSerial(primary_key=True)
    user = restricted(User)
    name = Text()
    q = Text(null=True, default=None)
    category = Text(null=True, default=None)
    skills = Array(base_column=Text(), default=list)
    budget_type = Text(null=True, default=None)
    budget_min_minor = BigInt(null=True, default=None)
    budget_max_minor = BigInt(null=True, default=None)
    currency = Text(null=True, default=None)
    alerts_by_mail = Boolean(default=True)
    created_at = Timestamptz(default=TimestamptzNow())
    unsubscribed_at = Timestamptz(null=True, default=None)


class Match(Table, tablename="saved_search_matches"):
    """A project that fitted a search when it was published: told once."""

    id = BigSerial(primary_key=True)
    search = restricted(SavedSearch)
    project = restricted(Project)
    created_at = Timestamptz(default=TimestamptzNow())


class Wanted(Record, frozen=True, kw_only=True):
    """What a search looks for, in words and major units of `currency`; None, and no skills, stand for anything."""

    name: str
    q: str | None = None
    category: str | None = None
    skills: list[str] = msgspec.field(default_factory=list)
    budget_type: BudgetType | None = None
    budget_min: Decimal | None = None
    budget_max: Decimal | None = None
    currency: str | None = None
    alerts_by_mail: bool = True


class Changes(Record, frozen=True):
    """What is to become of a search; UNSET stays as it is."""

    name: str | UnsetType = UNSET
    q: str | UnsetType | None = UNSET
    category: str | UnsetType | None = UNSET
    skills: list[str] | UnsetType = UNSET
    budget_type: BudgetType | UnsetType | None = UNSET
    budget_min: Decimal | UnsetType | None = UNSET
    budget_max: Decimal | UnsetType | None = UNSET
    currency: str | UnsetType | None = UNSET
    alerts_by_mail: bool | UnsetType = UNSET


class SearchRow(Wanted, frozen=True, kw_only=True):
    """A search as its person sees it."""

    id: int
    created_at: datetime


SELECT: Final = """
select id, name, q, category, skills, budget_type, budget_min_minor, budget_max_minor, currency, alerts_by_mail,
       created_at from saved_searches
"""
READ: Final = SELECT + """where id = $1 and "user" = $2"""
LIST: Final = query("saved_searches.own", SELECT + """where "user" = $1 and id < $2 order by id desc limit $3""")
CREATE: Final = """
insert into saved_searches ("user", name, q, category, skills, budget_type, budget_min_minor, budget_max_minor,
                            currency, alerts_by_mail)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) returning id
"""
# Whoever asks for mails again has thought better of the link they pressed.
EDIT: Final = """
update saved_searches set name = $2, q = $3, category = $4, skills = $5, budget_type = $6, budget_min_minor = $7,
       budget_max_minor = $8, currency = $9, alerts_by_mail = $10,
       unsubscribed_at = case when $10 then null else unsubscribed_at end
 where id = $1
"""
UNSUBSCRIBE: Final = """
update saved_searches s set alerts_by_mail = false, unsubscribed_at = coalesce(s.unsubscribed_at, now())
  from mails m where m.id = $1 and m.kind = 'saved_search_alert' and s.id = (m.context->>'search_id')::bigint
   and s."user" = m."user" and s.alerts_by_mail
"""


def _row(found: Any) -> SearchRow:
    fields = dict(found)
    currency = fields["currency"]
    for name in ("budget_min", "budget_max"):
        minor = fields.pop(f"{name}_minor")
        fields[name] = None if minor is None else Money(minor, currency).major
    fields["budget_type"] = fields["budget_type"] and BudgetType(fields["budget_type"])
    return SearchRow(**fields)


# Verbs


async def create(user_id: int, wanted: Wanted) -> SearchRow:
    """Keep a search. Raises WrongState for one more than MOST; Invalid, AmountOutOfBounds for one that finds nothing.

    Also TokenInvalid when its person left meanwhile.
    """
    await accounts.lock_present(user_id)
    values = await _values(wanted)
    if await guard.value("""select count(*) from saved_searches where "user" = $1""", user_id) >= MOST:
        raise WrongState(f"You keep {MOST} searches already: delete one first.")
    return await read(await guard.value(CREATE, user_id, *values), user_id=user_id)


async def edit(search_id: int, changes: Changes, *, user_id: int) -> SearchRow:
    """Change one's own search. Projects that it fitted before are not told again. Raises as `create`; NotFound."""
    await accounts.lock_present(user_id)
    kept = await read(search_id, user_id=user_id)
    said = {name: new for name, new in msgspec.structs.asdict(changes).items() if new is not UNSET}
    before = Wanted(**{name: getattr(kept, name) for name in Wanted.__struct_fields__})
    await guard.rows(EDIT, search_id, *await _values(msgspec.structs.replace(before, **said)))
    return await read(search_id, user_id=user_id)


async def remove(search_id: int, *, user_id: int) -> None:
    """Forget one's own search and what it fitted. Raises NotFound, TokenInvalid when its person left meanwhile."""
    # Whoever holds a project against the searches locks the person too: no match is added in between.
    await accounts.lock_present(user_id)
    await read(search_id, user_id=user_id)
    await guard.rows("delete from saved_search_matches where search = $1", search_id)
    await guard.rows("delete from saved_searches where id = $1", search_id)


async def unsubscribe(mail_id: int) -> None:
    """End the mails of the search that this alert was about. Again, or when the search is gone: nothing to do."""
    guard.in_transaction()
    await guard.rows(UNSUBSCRIBE, mail_id)


async def _values(wanted: Wanted) -> tuple[Any, ...]:
    """The row's values. Raises Invalid, AmountOutOfBounds."""
    vocabulary.check_typed(wanted.q or "")
    if wanted.q is not None and not await guard.value(
        "select numnode(websearch_to_tsquery('english', plain($1)))", wanted.q
    ):
        raise Invalid("These words are in every text: nothing could be looked for.", field="q")
    low, high = _budget(wanted)
    return (
        wanted.name,
        wanted.q,
        wanted.category,
        wanted.skills,
        wanted.budget_type and wanted.budget_type.value,
        low,
        high,
        wanted.currency and wanted.currency.upper(),
        wanted.alerts_by_mail,
    )


def _budget(wanted: Wanted) -> tuple[int | None, int | None]:
    if wanted.currency is None:
        if wanted.budget_min is not None or wanted.budget_max is not None:
            raise Invalid("A budget has a currency: name it.", field="currency")
        return None, None
    Money.from_major(Decimal(0), wanted.currency)  # is it one of ours?
    bounds = [
        None if one is None else Money.from_major(one, wanted.currency).minor
        for one in (wanted.budget_min, wanted.budget_max)
    ]
    given = [one for one in bounds if one is not None]
    if given != sorted(given) or any(not 0 < one <= MAX_MINOR for one in given):
        most = Money(MAX_MINOR, wanted.currency.upper())
        raise AmountOutOfBounds(f"A budget is more than 0 and at most {most}, and its lower bound the smaller one.")
    return bounds[0], bounds[1]


# Queries


async def read(search_id: int, *, user_id: int) -> SearchRow:
    """One's own search. Raises NotFound for anybody else's."""
    found = await guard.row(READ, search_id, user_id)
    if found is None:
        raise NotFound(f"There is no saved search {search_id}.")
    return _row(found)


async def list_own(user_id: int, *, before: int | None, limit: int) -> list[SearchRow]:
    """One's own newest searches, from `before` (an id, exclusive) backwards."""
    return [_row(one) for one in await guard.rows(LIST, user_id, LAST if before is None else before, limit)]
