"""Projects and freelancers that somebody keeps in mind. Nobody else knows.

Refuses what the caller may not see: it does not exist for them.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from piccolo.columns import BigSerial, Timestamptz
from piccolo.columns.defaults.timestamptz import TimestamptzNow
from piccolo.table import Table

from models import accounts, freelancers, guard, projects
from models.accounts import User
from models.base import Record, restricted
from models.errors import NotFound, WrongState
from models.projects import Project
from models.queries import query

MAX_FAVORITES: Final = 1_000
"""Of one person: more is no longer kept in mind."""


class Favorite(Table, tablename="favorites"):
    """One of the two is named, the other null."""

    id = BigSerial(primary_key=True)
    user = restricted(User)
    project = restricted(Project, null=True)
    freelancer = restricted(User, null=True)
    created_at = Timestamptz(default=TimestamptzNow())


class FavoriteKind(StrEnum):
    """What is kept in mind."""

    PROJECT = "project"
    FREELANCER = "freelancer"


class FavoriteRow(Record, frozen=True):
    """A favourite as the domain passes it around. `name`: the title or who it is, None when it is seen no more."""

    id: int
    project_id: int | None
    freelancer_id: int | None
    name: str | None
    created_at: datetime

    @property
    def kind(self) -> FavoriteKind:
        """What is kept in mind."""
        return FavoriteKind.FREELANCER if self.project_id is None else FavoriteKind.PROJECT


SELECT: Final = f"""
select f.id, f.project as project_id, f.freelancer as freelancer_id,
       coalesce(p.title, u.first_name || ' ' || u.last_name) as name, f.created_at
  from favorites f
       left join projects p on p.id = f.project
                           and (p.client = f."user" or (p.status = 'open' and p.visibility = 'public'))
       left join users u on u.id = f.freelancer and {freelancers.FINDABLE}
"""
_NEWEST: Final = ' where f."user" = $1 and f.id < $2 {which} order by f.id desc limit $3'
LISTS: Final = {
    None: query("favorites.own", SELECT + _NEWEST.format(which="")),
    FavoriteKind.PROJECT: query("favorites.own_projects", SELECT + _NEWEST.format(which="and f.project is not null")),
    FavoriteKind.FREELANCER: query(
        "favorites.own_freelancers", SELECT + _NEWEST.format(which="and f.freelancer is not null")
    ),
}
ALL: Final = 2**63 - 1
ADD: Final = """
insert into favorites ("user", project, freelancer, created_at) values ($1, $2, $3, now())
on conflict do nothing returning id
"""
HELD: Final = """
select id from favorites where "user" = $1 and (project = $2 or freelancer = $3)
"""


def _row(found: Any) -> FavoriteRow:
    return FavoriteRow(**dict(found))


# Verbs


async def add_project(project_id: int, *, user_id: int, admin: bool) -> FavoriteRow:
    """Keep a project in mind; one that is kept already is the same row. Raises NotFound for one the caller cannot see.

    Raises WrongState past MAX_FAVORITES, TokenInvalid when the caller left meanwhile.
    """
    await accounts.lock_present(user_id)
    await projects.read(project_id, user_id=user_id, admin=admin)
    return await _add(user_id, project_id, None)


async def add_freelancer(freelancer_id: int, *, user_id: int) -> FavoriteRow:
    """Keep a freelancer in mind, as `add_project` does. Raises NotFound for somebody whom nobody finds."""
    await accounts.lock_present(user_id)
    await freelancers.read(freelancer_id)
    return await _add(user_id, None, freelancer_id)


async def remove(favorite_id: int, *, user_id: int) -> None:
    """Forget a favourite. Raises NotFound for anybody else's."""
    guard.in_transaction()
    if not await guard.execute(
        """delete from favorites where id = $1 and "user" = $2 returning id""", favorite_id, user_id
    ):
        raise NotFound(f"There is no favourite {favorite_id}.")


async def _add(user_id: int, project_id: int | None, freelancer_id: int | None) -> FavoriteRow:
    # Under the account's lock, so that two additions at once are counted one after the other.
    held = await guard.value(HELD, user_id, project_id, freelancer_id)
    if held is None:
        if await guard.value("""select count(*) from favorites where "user" = $1""", user_id) >= MAX_FAVORITES:
            raise WrongState(f"You have {MAX_FAVORITES} favourites already; take one away first.")
        held = await guard.value(ADD, user_id, project_id, freelancer_id)
    return await read(held, user_id=user_id)


# Queries


async def read(favorite_id: int, *, user_id: int) -> FavoriteRow:
    """One's own favourite. Raises NotFound for anybody else's."""
    found = await guard.row(SELECT + """where f.id = $1 and f."user" = $2""", favorite_id, user_id)
    if found is None:
        raise NotFound(f"There is no favourite {favorite_id}.")
    return _row(found)


async def list_own(user_id: int, *, kind: FavoriteKind | None, before: int | None, limit: int) -> list[FavoriteRow]:
    """One's own newest favourites, of one kind or both, from `before` (an id, exclusive) backwards."""
    return [_row(one) for one in await guard.rows(LISTS[kind], user_id, before or ALL, limit)]
