"""What a client has written, written otherwise or taken back."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from models import acceptance, briefs, guard, projects
from models.briefs import Changes
from models.errors import AmountOutOfBounds, AmountTooPrecise, Invalid, NotFound, TokenInvalid, WrongState
from models.money import Money
from models.projects import BudgetType, ProjectRow, Visibility
from tests import clock, factories, worlds


async def edit(project: ProjectRow, **changes: Any) -> ProjectRow:
    return await guard.commit(briefs.edit, project.id, Changes(**changes), client_id=project.client_id)


async def jobs_of(kind: str) -> int:
    counted: int = await guard.value("select count(*) from jobs where kind = $1", kind)
    return counted


async def test_a_draft_may_become_another_project_altogether(database: str) -> None:
    draft = await factories.a_project(open=False)
    soon = datetime.now(UTC).date() + timedelta(days=3)

    edited = await edit(
        draft,
        title="A bakery",
        description="Bread.",
        category="design",
        skills=["Figma"],
        budget_type=BudgetType.HOURLY,
        budget_min=Decimal("20.50"),
        budget_max=Decimal(30),
        currency="eur",
        deadline=soon,
        visibility=Visibility.PRIVATE,
    )

    assert edited == await projects.read(draft.id, user_id=draft.client_id, admin=False)
    assert (edited.title, edited.description, edited.category, edited.skills) == (
        "A bakery",
        "Bread.",
        "design",
        ["Figma"],
    )
    assert (edited.budget_min, edited.budget_max) == (Money(2050, "EUR"), Money(3000, "EUR"))
    assert (edited.budget_type, edited.deadline, edited.visibility) == ("hourly", soon, "private")
    assert await worlds.heard(f"project:{draft.id}") == []
    assert (await edit(edited, deadline=None)).deadline is None
    assert await edit(draft) == await edit(draft, title="A bakery")


async def test_an_open_project_changes_before_the_eyes_of_its_room(database: str) -> None:
    project = await factories.a_project()

    edited = await edit(project, title="Two shops", budget_max=Decimal(3000), visibility=Visibility.INVITE_ONLY)

    assert (edited.title, edited.budget_max, edited.visibility) == ("Two shops", Money(300_000, "USD"), "invite_only")
    assert (await worlds.heard(f"project:{project.id}"))[-1] == (
        "project_update",
        {"project_id": project.id, "status": "open"},
    )


async def test_what_offers_are_made_upon_stays_once_there_is_one(database: str) -> None:
    market = await worlds.a_market(rivals=1)

    for field, new in (
        ("currency", "EUR"),
        ("budget_type", BudgetType.HOURLY),
        ("visibility", Visibility.PRIVATE),
    ):
        async with worlds.refused(WrongState, f"its {field} stays"):
            await edit(market.project, **{field: new})
    kept = await edit(market.project, currency="USD", visibility=Visibility.PUBLIC, budget_max=Decimal(9000))
    assert kept.budget_max == Money(900_000, "USD")
    await guard.rows("update proposals set status = 'withdrawn'")
    assert (await edit(market.project, currency="EUR")).budget_min == Money(50_000, "EUR")


async def test_a_project_under_way_or_over_is_not_edited(database: str) -> None:
    market = await worlds.a_market(rivals=1)
    await guard.commit(acceptance.accept, market.proposals[0].id, client_id=market.client.id, policy=factories.POLICY)

    async with worlds.refused(WrongState, "is in_progress: to edit it, it has to be draft or open"):
        await edit(market.project, title="Too late")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"budget_max": Decimal(1)}, AmountOutOfBounds),
        ({"budget_min": Decimal("0.001")}, AmountTooPrecise),
        ({"currency": "JPY", "budget_max": Decimal("0.5")}, AmountTooPrecise),
        ({"deadline": date(2020, 1, 1)}, Invalid),
    ],
)
async def test_an_edit_is_held_to_what_a_draft_is(database: str, changes: dict[str, Any], error: Any) -> None:
    project = await factories.a_project()

    async with worlds.refused(error):
        await edit(project, **changes)


async def test_a_deadline_that_has_passed_since_does_not_stand_in_the_way(database: str) -> None:
    project = await factories.a_project(brief=factories.a_brief(deadline=datetime.now(UTC).date() + timedelta(days=1)))
    await clock.ahead(days=3)

    assert (await edit(project, title="Still wanted")).deadline == project.deadline
    async with worlds.refused(Invalid, "is past"):
        await edit(project, deadline=datetime.now(UTC).date() + timedelta(days=2))


async def test_others_edit_and_delete_nothing(database: str) -> None:
    project, draft = await factories.a_project(), await factories.a_project(open=False)
    other = await factories.a_client()

    for one in (project, draft):
        async with worlds.refused(NotFound):
            await guard.commit(briefs.edit, one.id, Changes(title="Mine"), client_id=other.id)
        async with worlds.refused(NotFound):
            await guard.commit(briefs.remove, one.id, client_id=other.id)
    await guard.rows("update users set deactivated_at = now() where id = $1", draft.client_id)
    async with worlds.refused(TokenInvalid):
        await edit(draft, title="From beyond")


async def test_only_a_draft_is_deleted(database: str) -> None:
    client = await factories.a_client()
    draft, project = await factories.a_project(client, open=False), await factories.a_project(client)

    await guard.commit(briefs.remove, draft.id, client_id=client.id)
    async with worlds.refused(WrongState, "is open: to delete it, it has to be draft"):
        await guard.commit(briefs.remove, project.id, client_id=client.id)
    async with worlds.refused(NotFound):
        await guard.commit(briefs.remove, draft.id, client_id=client.id)

    assert await guard.value("select array_agg(id) from projects") == [project.id]


async def test_saved_searches_hear_of_what_is_or_becomes_public(database: str) -> None:
    for visibility in (Visibility.PRIVATE, Visibility.INVITE_ONLY):
        hidden = await factories.a_project(brief=factories.a_brief(visibility=visibility))
        assert await jobs_of("searches.match_project") == 0
    await edit(hidden, visibility=Visibility.PUBLIC)
    assert await jobs_of("searches.match_project") == 1
    await edit(hidden, title="Another word")
    assert await jobs_of("searches.match_project") == 1
    await factories.a_project()
    assert await jobs_of("searches.match_project") == 2
