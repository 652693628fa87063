"""The words of the market: categories that projects stand in, and skills that people name.

Both are suggestions: a client may write a word that is not here.
"""

from typing import Final

from piccolo.columns import BigSerial, Integer, Text
from piccolo.table import Table

from models import guard
from models.base import Record


class WorkCategory(Table, tablename="categories"):
    """A kind of work. `slug` is what projects carry."""

    id = BigSerial(primary_key=True)
    slug = Text(unique=True)
    name = Text()
    position = Integer(default=0)


class Skill(Table, tablename="skills"):
    """Something people can do."""

    id = BigSerial(primary_key=True)
    slug = Text(unique=True)
    name = Text()


class Entry(Record, frozen=True):
    """A category or a skill: the word for programs and the words for people."""

    slug: str
    name: str


CATEGORIES: Final = "select slug, name from categories order by position, slug"
# A few hundred rows in a page or two: an index would be the longer way. Sought anywhere in the name, as it is.
SKILLS: Final = """
select slug, name from skills
 where ($1::text is null or strpos(lower(plain(name)), lower(plain($1))) > 0) and ($2::text is null or slug > $2)
 order by slug limit $3
"""


async def list_categories() -> list[Entry]:
    """Every kind of work, in the order in which people look for them."""
    return [Entry(**dict(one)) for one in await guard.rows(CATEGORIES)]


async def list_skills(q: str | None, *, after: str | None, limit: int) -> list[Entry]:
    """Skills whose name has these letters, by slug, from `after` (exclusive) on. Case and accents do not matter."""
    return [Entry(**dict(one)) for one in await guard.rows(SKILLS, q, after, limit)]
