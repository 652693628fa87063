"""Projects: drafts, publication, who sees and follows what."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from models import acceptance, guard, projects
from models.errors import AmountOutOfBounds, Invalid, NotFound, WrongState
from models.money import MAX_MINOR, Money
from models.projects import MACHINE, ProjectRow, ProjectStatus, Sought, Visibility
from tests import factories, worlds


async def found(**sought: object) -> list[int]:
    listed = await projects.list_open(Sought(**sought), before=None, limit=100)  # type: ignore[arg-type]
    return [one.id for one in listed]


async def seen_by(project: ProjectRow, user_id: int, *, admin: bool = False) -> bool:
    try:
        await projects.read(project.id, user_id=user_id, admin=admin)
    except NotFound:
        return False
    return True


def test_every_state_but_the_first_can_be_reached() -> None:
    assert {edge.target for edge in MACHINE.edges} == set(ProjectStatus) - {ProjectStatus.DRAFT}


async def test_a_new_project_is_a_draft_with_exactly_what_was_written(database: str) -> None:
    client = await factories.a_client()
    brief = factories.a_brief(budget=("99.50", "1200"), deadline=datetime.now(UTC).date() + timedelta(days=30))

    made = await guard.commit(projects.create, client.id, brief)

    assert made.status is ProjectStatus.DRAFT
    assert made.client_id == client.id
    assert (made.budget_min, made.budget_max) == (Money(9950, "USD"), Money(120_000, "USD"))
    assert (made.title, made.skills, made.deadline) == (brief.title, brief.skills, brief.deadline)
    assert made.published_at is None
    assert await worlds.mailed(client.id) == []


@pytest.mark.parametrize("budget", [("0", "10"), ("-5", "10"), ("11", "10"), ("1", str(MAX_MINOR // 100 + 1))])
async def test_a_budget_out_of_bounds_is_refused(database: str, budget: tuple[str, str]) -> None:
    client = await factories.a_client()

    async with worlds.refused(AmountOutOfBounds):
        await guard.commit(projects.create, client.id, factories.a_brief(budget=budget))


async def test_a_past_deadline_is_refused(database: str) -> None:
    client = await factories.a_client()

    async with worlds.refused(Invalid, "2020-01-01 is past"):
        await guard.commit(projects.create, client.id, factories.a_brief(deadline=date(2020, 1, 1)))


async def test_publishing_opens_tells_the_room_and_mails_the_client(database: str) -> None:
    client = await factories.a_client()
    draft = await factories.a_project(client, open=False)

    opened = await guard.commit(projects.publish, draft.id, client_id=client.id)

    assert opened.status is ProjectStatus.OPEN
    assert opened.published_at is not None
    assert await worlds.heard(f"project:{draft.id}") == [("project_update", {"project_id": draft.id, "status": "open"})]
    assert await worlds.mailed(client.id) == ["project_created"]


async def test_a_project_is_published_once_and_only_by_its_client(database: str) -> None:
    client, other = await factories.a_client(), await factories.a_client()
    draft = await factories.a_project(client, open=False)

    async with worlds.refused(NotFound):
        await guard.commit(projects.publish, draft.id, client_id=other.id)
    await guard.commit(projects.publish, draft.id, client_id=client.id)
    async with worlds.refused(WrongState, "This project is open"):
        await guard.commit(projects.publish, draft.id, client_id=client.id)


async def test_a_draft_is_seen_by_its_client_and_admins_alone(database: str) -> None:
    client, other = await factories.a_client(), await factories.a_client()
    draft = await factories.a_project(client, open=False)

    assert await seen_by(draft, client.id)
    assert await seen_by(draft, other.id, admin=True)
    assert not await seen_by(draft, other.id)
    assert not await seen_by(draft, (await factories.a_freelancer()).id)
    assert await found() == []


async def test_a_private_project_is_not_found_by_others(database: str) -> None:
    project = await factories.a_project(brief=factories.a_brief(visibility=Visibility.PRIVATE))

    assert await seen_by(project, project.client_id)
    assert not await seen_by(project, (await factories.a_freelancer()).id)
    assert await found() == []


async def test_a_project_under_way_is_seen_by_the_two_who_work_on_it(database: str) -> None:
    market = await worlds.a_market(rivals=2)
    chosen, rival = market.freelancers
    await guard.commit(acceptance.accept, market.proposals[0].id, client_id=market.client.id, policy=factories.POLICY)

    assert await seen_by(market.project, market.client.id)
    assert await seen_by(market.project, chosen.id)
    assert not await seen_by(market.project, rival.id)
    assert await found() == []


async def test_a_room_is_followed_by_the_client_those_whose_offer_stands_and_admins(database: str) -> None:
    market = await worlds.a_market(rivals=1)
    stranger = await factories.a_freelancer()

    async def follows(user_id: int, *, admin: bool = False) -> bool:
        return await projects.may_follow(market.project.id, user_id=user_id, admin=admin)

    assert await follows(market.client.id)
    assert await follows(market.freelancers[0].id)
    assert await follows(stranger.id, admin=True)
    assert not await follows(stranger.id)
    assert not await projects.may_follow(999_999, user_id=stranger.id, admin=True)
    await guard.rows("update proposals set status = 'withdrawn'")
    assert not await follows(market.freelancers[0].id)


async def test_open_projects_are_listed_newest_first_page_by_page(database: str) -> None:
    client = await factories.a_client()
    made = [(await factories.a_project(client)).id for _ in range(5)]

    first = await projects.list_open(Sought(), before=None, limit=2)
    second = await projects.list_open(Sought(), before=first[-1].id, limit=10)

    assert [one.id for one in first + second] == made[::-1]


async def test_open_projects_are_narrowed(database: str) -> None:
    web = await factories.a_project(brief=factories.a_brief(category="Web", skills=["Python", "SQL"]))
    art = await factories.a_project(brief=factories.a_brief(category="art", skills=["Oil"], currency="EUR"))

    assert await found(category="web") == [web.id]
    assert await found(skills=["sql", "PYTHON"]) == [web.id]
    assert await found(skills=["sql", "oil"]) == []
    assert await found(currency="EUR") == [art.id]
    assert await found(client_id=art.client_id) == [art.id]


async def test_budgets_are_compared_in_units_of_each_currency(database: str) -> None:
    dollars = await factories.a_project(brief=factories.a_brief(budget=("500", "2000")))
    yen = await factories.a_project(brief=factories.a_brief(currency="JPY", budget=("50000", "90000")))
    dinars = await factories.a_project(brief=factories.a_brief(currency="KWD", budget=("100", "400")))

    assert await found(budget_min=Decimal("2000.01")) == [yen.id]
    assert await found(budget_min=Decimal(2000)) == [yen.id, dollars.id]
    assert await found(budget_max=Decimal("499.99")) == [dinars.id]
    assert await found(budget_min=Decimal(400), budget_max=Decimal(500)) == [dinars.id, dollars.id]


async def test_a_client_lists_own_projects_in_any_state(database: str) -> None:
    client = await factories.a_client()
    draft, opened = await factories.a_project(client, open=False), await factories.a_project(client)
    await factories.a_project()

    everything = await projects.list_own(client.id, status=None, before=None, limit=10)
    drafts = await projects.list_own(client.id, status=ProjectStatus.DRAFT, before=None, limit=10)

    assert [one.id for one in everything] == [opened.id, draft.id]
    assert [one.id for one in drafts] == [draft.id]
