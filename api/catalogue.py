"""Categories and skills, over HTTP."""

from typing import Annotated, Final

import msgspec
from litestar import Router, get
from litestar.params import QueryParameter

from api.auth import signed_in
from api.fields import sought_word
from api.pages import DEFAULT_LIMIT, Cursor, Limit, Page, decode_cursor, page
from models import catalogue

SKILLS: Final = "skills"


class EntryOut(msgspec.Struct, frozen=True):
    """A category or a skill: `slug` for programs, `name` for people."""

    slug: str
    name: str


@get("/categories")
async def list_categories() -> Page[EntryOut]:
    """Every kind of work, in one page."""
    return Page([EntryOut(one.slug, one.name) for one in await catalogue.list_categories()], None)


@get("/skills")
async def list_skills(
    q: Annotated[str | None, QueryParameter(max_length=60, description="a part of the name")] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[EntryOut]:
    """Skills by name. They are suggestions: a project may name others."""
    after = decode_cursor(SKILLS, cursor, str)
    found = await catalogue.list_skills(sought_word(q, "q"), after=after, limit=limit + 1)
    return page(SKILLS, [EntryOut(one.slug, one.name) for one in found], limit, lambda one: one.slug)


router = Router("/api", route_handlers=[list_categories, list_skills], tags=["projects"], guards=[signed_in])
