"""Favourites: what one sees and keeps in mind, each once, told to nobody."""

import asyncio

import pytest

from models import favorites, guard
from models.errors import NotFound, WrongState
from models.favorites import FavoriteKind
from models.projects import Visibility
from tests import factories, worlds


async def names(user_id: int, kind: FavoriteKind | None = None) -> list[str | None]:
    return [one.name for one in await favorites.list_own(user_id, kind=kind, before=None, limit=10)]


async def test_projects_and_freelancers_are_kept_in_mind_each_once(database: str) -> None:
    person = await factories.a_freelancer()
    project, other = await factories.a_project(), await factories.a_freelancer()

    first = await guard.commit(favorites.add_project, project.id, user_id=person.id, admin=False)
    second = await guard.commit(favorites.add_freelancer, other.id, user_id=person.id)

    assert (first.kind, first.project_id, first.name) == (FavoriteKind.PROJECT, project.id, project.title)
    assert (second.kind, second.freelancer_id, second.name) == (FavoriteKind.FREELANCER, other.id, "Frida Freelancer")
    assert await guard.commit(favorites.add_project, project.id, user_id=person.id, admin=False) == first
    again = await asyncio.gather(
        *(guard.commit(favorites.add_freelancer, other.id, user_id=person.id) for _ in range(4))
    )
    assert again == [second] * 4
    assert await names(person.id) == ["Frida Freelancer", project.title]
    assert await names(person.id, FavoriteKind.PROJECT) == [project.title]
    assert await names(person.id, FavoriteKind.FREELANCER) == ["Frida Freelancer"]
    assert await names(other.id) == []
    before = await favorites.list_own(person.id, kind=None, before=second.id, limit=10)
    assert before == [first]


async def test_what_is_not_seen_is_not_there(database: str) -> None:
    person = await factories.a_freelancer()
    draft = await factories.a_project(open=False)
    private = await factories.a_project(brief=factories.a_brief(visibility=Visibility.PRIVATE))
    client, unverified = await factories.a_client(), await factories.a_freelancer(verified=False)

    for project_id in (draft.id, private.id, 999_999):
        async with worlds.refused(NotFound):
            await guard.commit(favorites.add_project, project_id, user_id=person.id, admin=False)
    for freelancer_id in (client.id, unverified.id, 999_999):
        async with worlds.refused(NotFound):
            await guard.commit(favorites.add_freelancer, freelancer_id, user_id=person.id)


async def test_what_is_seen_no_more_has_no_name(database: str) -> None:
    person, other = await factories.a_client(), await factories.a_freelancer()
    mine, theirs = await factories.a_project(person), await factories.a_project()
    for project in (mine, theirs):
        await guard.commit(favorites.add_project, project.id, user_id=person.id, admin=False)
    await guard.commit(favorites.add_freelancer, other.id, user_id=person.id)

    await guard.rows("update projects set status = 'closed'")
    await guard.rows("update users set suspended_at = now() where id = $1", other.id)

    assert await names(person.id) == [None, None, mine.title]


async def test_a_favourite_is_forgotten_by_its_owner_alone(database: str) -> None:
    person, other = await factories.a_client(), await factories.a_freelancer()
    kept = await guard.commit(favorites.add_freelancer, other.id, user_id=person.id)

    async with worlds.refused(NotFound):
        await guard.commit(favorites.remove, kept.id, user_id=other.id)
    await guard.commit(favorites.remove, kept.id, user_id=person.id)

    assert await names(person.id) == []
    with pytest.raises(NotFound):
        await favorites.read(kept.id, user_id=person.id)


async def test_so_many_are_kept_in_mind_and_no_more(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(favorites, "MAX_FAVORITES", 1)
    person, first, second = await factories.a_client(), await factories.a_freelancer(), await factories.a_freelancer()
    await guard.commit(favorites.add_freelancer, first.id, user_id=person.id)

    async with worlds.refused(WrongState, "1 favourites already"):
        await guard.commit(favorites.add_freelancer, second.id, user_id=person.id)
    await guard.commit(favorites.add_freelancer, first.id, user_id=person.id)
