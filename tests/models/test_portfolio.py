"""Portfolios: one's own work, with one's own pictures, in one's own order."""

import asyncio
from typing import Any

import pytest

from models import guard, portfolio
from models.errors import Invalid, NotFound, UploadNotReady, WrongState
from models.portfolio import ItemRow, Position
from tests import factories, worlds
from tests.uploading import an_upload


async def shown(user_id: int, asker_id: int = 0) -> list[int]:
    return [one.id for one in await portfolio.list_of(user_id, asker_id=asker_id)]


async def test_pieces_are_shown_in_the_order_of_their_owner(database: str) -> None:
    person = await factories.a_freelancer()
    picture, other = [await an_upload(person) for _ in range(2)]

    first = await guard.commit(
        portfolio.add, person.id, title="A shop", url="https://shop.example.com/?q=1", upload_ids=[other, picture]
    )
    second = await guard.commit(portfolio.add, person.id, title="Another", description="With\nlines.")
    third = await guard.commit(portfolio.add, person.id, title="Best", position=0)

    assert (first.position, second.position, first.upload_ids) == (0, 1, [other, picture])
    assert await shown(person.id) == [first.id, third.id, second.id]
    moved = await guard.commit(portfolio.edit, first.id, user_id=person.id, position=9, url=None, upload_ids=[other])
    assert (moved.title, moved.position, moved.url, moved.upload_ids) == ("A shop", 9, None, [other])
    assert await shown(person.id) == [third.id, second.id, first.id]
    rest = await portfolio.list_of(person.id, asker_id=0, after=Position(position=0, id=third.id), limit=1)
    assert [one.id for one in rest] == [second.id]
    await guard.commit(portfolio.remove, second.id, user_id=person.id)
    assert await shown(person.id) == [third.id, first.id]


async def test_what_makes_no_sense_is_refused(database: str) -> None:
    person = await factories.a_freelancer()
    item = await guard.commit(portfolio.add, person.id, title="A shop")
    nonsense: list[dict[str, Any]] = [
        {"url": "javascript:alert(1)"},
        {"url": "ftp://example.com/x"},
        {"url": "https://"},
        {"url": "https://[::1"},
        {"url": "https://a b.example"},
        {"upload_ids": list(range(1, 12))},
        {"upload_ids": [1, 1]},
    ]

    for said in nonsense:
        async with worlds.refused(Invalid):
            await guard.commit(portfolio.add, person.id, title="Another", **said)
        async with worlds.refused(Invalid):
            await guard.commit(portfolio.edit, item.id, user_id=person.id, **said)
    async with worlds.refused(UploadNotReady):
        await guard.commit(portfolio.edit, item.id, user_id=person.id, upload_ids=[999_999])


async def test_pictures_are_ones_own_for_this_and_found_good(database: str) -> None:
    person, other = await factories.a_freelancer(), await factories.a_freelancer()
    for bad in (
        await an_upload(other),
        await an_upload(person, purpose="avatar"),
        await an_upload(person, status="refused"),
    ):
        async with worlds.refused(UploadNotReady):
            await guard.commit(portfolio.add, person.id, title="A shop", upload_ids=[bad])


async def test_another_ones_piece_is_not_there(database: str) -> None:
    person, other = await factories.a_freelancer(), await factories.a_freelancer()
    item = await guard.commit(portfolio.add, person.id, title="A shop")

    async with worlds.refused(NotFound):
        await guard.commit(portfolio.edit, item.id, user_id=other.id, title="Mine")
    async with worlds.refused(NotFound):
        await guard.commit(portfolio.remove, item.id, user_id=other.id)


async def test_thirty_pieces_however_many_come_at_once(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portfolio, "MAX_ITEMS", 3)
    person = await factories.a_freelancer()

    came = await asyncio.gather(
        *(guard.commit(portfolio.add, person.id, title="A shop") for _ in range(6)), return_exceptions=True
    )

    assert sum(isinstance(one, ItemRow) for one in came) == 3
    assert sum(isinstance(one, WrongState) for one in came) == 3
    assert [one.position for one in await portfolio.list_of(person.id, asker_id=0, limit=9)] == [0, 1, 2]


async def test_the_work_of_who_is_away_is_seen_by_nobody_else(database: str) -> None:
    person = await factories.a_freelancer()
    item = await guard.commit(portfolio.add, person.id, title="A shop")
    await guard.rows("update users set deactivated_at = now() where id = $1", person.id)

    assert await shown(person.id) == []
    assert await shown(person.id, person.id) == [item.id]
