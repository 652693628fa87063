"""Finding projects: by words, in five orders, page by page; and what is not public is nowhere."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from models import acceptance, closures, guard, search
from models.errors import Invalid
from models.projects import ProjectRow, Visibility
from models.search import Value
from models.sought import MARKET, Position, Scope, Sort, Sought
from tests import factories, worlds

# Straight into the table: what a search does with thousands of projects is not asked of the verbs that make them.
FILL = """
insert into projects (client, title, description, category, skills, budget_type, budget_min_minor, budget_max_minor,
                      currency, visibility, status)
select $1, case when n % 2 = 0 then 'Common bicycle' else 'Common car' end || case when n = 7 then ' unicorn' else '' end,
       '', 'web', case when n % 50 = 1 then '{Rust}'::text[] else '{Python}' end, 'fixed', n, n + 1, 'USD', 'public', 'open'
  from generate_series(1, $2::int) n
"""


async def a_project(title: str = "A shop", *, client: Any = None, **brief: Any) -> ProjectRow:
    return await factories.a_project(client, brief=factories.a_brief(title=title, **brief))


async def ids(q: str | None = None, *, sort: Sort = Sort.NEWEST, scope: Scope = MARKET, **sought: Any) -> list[int]:
    found = await search.find(Sought(q=q, **sought), sort=sort, limit=50, scope=scope)
    return [one.project.id for one in found]


async def pages(sought: Sought, sort: Sort, limit: int) -> list[list[int]]:
    found: list[list[int]] = []
    position: Position | None = None
    while True:
        page = await search.find(sought, sort=sort, position=position, limit=limit)
        if not page:
            return found
        found.append([one.project.id for one in page])
        position = page[-1].position


def ids_of(made: Sequence[ProjectRow]) -> list[int]:
    return [one.id for one in made]


async def test_words_are_found_in_any_form_with_or_without_accents(database: str) -> None:
    bakery = await a_project("Webseite für eine Bäckerei", skills=["Figma"])
    shop = await a_project("Selling bicycles", category="marketing")

    assert await ids("backerei") == await ids("BÄCKEREI") == [bakery.id]
    assert await ids("selling bicycle marketing") == [shop.id]
    assert await ids("figma or marketing") == [shop.id, bakery.id]
    assert await ids("walk") == [shop.id, bakery.id]  # the description
    assert await ids("walk -figma") == [shop.id]
    assert await ids('"webseite für eine"') == [bakery.id]
    assert await ids('"eine webseite"') == []
    assert await ids("-nothing") == [shop.id, bakery.id]
    assert await ids("bakery") == []


@pytest.mark.parametrize("nothing", ["the", "the and of", "!", "'", '"', "& | !", "-the", "😀", "\\"])
async def test_a_text_that_means_nothing_finds_nothing(database: str, nothing: str) -> None:
    await a_project()

    assert await ids(nothing) == []
    assert await ids(nothing, sort=Sort.RELEVANCE) == []
    assert (await search.count_facets(Sought(q=nothing))).counted == 0


async def test_the_title_outweighs_the_skills_and_they_the_description(database: str) -> None:
    described = await a_project("First", skills=["Python"])
    await guard.rows("update projects set description = 'A unicorn.' where id = $1", described.id)
    named, skilled = await a_project("Unicorn"), await a_project("Third", skills=["Unicorn"])

    assert await ids("unicorn") == [skilled.id, named.id, described.id]
    assert await ids("unicorn", sort=Sort.RELEVANCE) == [named.id, skilled.id, described.id]
    with pytest.raises(Invalid) as raised:
        await ids(sort=Sort.RELEVANCE)
    assert raised.value.field == "q"


async def test_pages_by_relevance_do_not_overlap_when_something_is_published(database: str) -> None:
    client = await factories.a_client()
    made = [await a_project("Unicorn " * n, client=client) for n in (1, 3, 2, 5, 4)]
    best = [made[n].id for n in (3, 4, 1, 2, 0)]

    first = await search.find(Sought(q="unicorn"), sort=Sort.RELEVANCE, limit=2)
    late = await a_project("Unicorn " * 3, client=client)
    second = await search.find(Sought(q="unicorn"), sort=Sort.RELEVANCE, position=first[-1].position, limit=9)

    assert [one.project.id for one in [*first, *second]] == best
    assert late.id in await ids("unicorn", sort=Sort.RELEVANCE)


async def test_only_the_newest_matches_are_ranked(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "RANKED", 3)
    made = ids_of([await a_project("Unicorn " * n) for n in (5, 1, 2, 3)])

    assert await pages(Sought(q="unicorn"), Sort.RELEVANCE, 2) == [[made[3], made[2]], [made[1]]]


async def test_budgets_and_deadlines_order_page_by_page(database: str) -> None:
    client, today = await factories.a_client(), datetime.now(UTC).date()
    budgets = [("10", "50"), ("30", "40"), ("10", "40"), ("20", "60"), ("5", "40")]
    days = [5, None, 1, 5, 3]
    made = ids_of(
        [
            await a_project(client=client, budget=budget, deadline=day and today + timedelta(days=day))
            for budget, day in zip(budgets, days, strict=True)
        ]
    )
    await a_project(client=client, currency="EUR", budget=("1", "99"))
    dollars = Sought(currency="USD")

    assert await pages(dollars, Sort.BUDGET_HIGH, 2) == [[made[3], made[0]], [made[4], made[2]], [made[1]]]
    assert await pages(dollars, Sort.BUDGET_LOW, 2) == [[made[4], made[0]], [made[2], made[3]], [made[1]]]
    assert await pages(dollars, Sort.DEADLINE, 2) == [[made[2], made[4]], [made[0], made[3]], [made[1]]]
    assert await pages(dollars, Sort.NEWEST, 4) == [made[:0:-1], made[:1]]
    narrowed = Sought(currency="USD", q="shop", category="WEB", client_id=client.id, budget_min=Decimal(50))
    assert await pages(narrowed, Sort.BUDGET_HIGH, 9) == [[made[3], made[0]]]
    assert await pages(narrowed, Sort.DEADLINE, 9) == [[made[0], made[3]]]
    for sort in (Sort.BUDGET_HIGH, Sort.BUDGET_LOW):
        with pytest.raises(Invalid) as raised:
            await ids(sort=sort)
        assert raised.value.field == "currency"


async def test_a_budget_in_a_currency_is_compared_in_its_smallest_unit(database: str) -> None:
    dollars = await a_project(budget=("500", "2000"), currency="USD")
    yen = await a_project(budget=("50000", "90000"), currency="JPY")

    assert await ids(currency="USD", budget_min=Decimal("2000.001")) == []
    assert await ids(currency="USD", budget_min=Decimal(2000), budget_max=Decimal("500.009")) == [dollars.id]
    assert await ids(currency="JPY", budget_min=Decimal(90000)) == [yen.id]
    assert await ids(currency="JPY", budget_max=Decimal("49999.9")) == []
    assert await ids(currency="USD", budget_min=Decimal(10) ** 17) == []
    assert await ids(currency="XXX", budget_min=Decimal(1)) == []


async def test_hourly_projects_are_told_from_fixed_ones(database: str) -> None:
    fixed, hourly = await a_project(), await a_project()
    await guard.rows("update projects set budget_type = 'hourly' where id = $1", hourly.id)

    assert await ids(budget_type="hourly") == [hourly.id]
    assert await ids(budget_type="fixed", skills=["python"]) == [fixed.id]


async def test_common_and_rare_words_are_found_among_thousands_to_the_last_page(database: str) -> None:
    client = await factories.a_client()
    await guard.rows(FILL, client.id, 4000)
    await guard.rows("analyze projects")
    everything = [one["id"] for one in await guard.rows("select id from projects order by id desc")]
    high = {Sort.BUDGET_HIGH: everything, Sort.BUDGET_LOW: everything[::-1]}

    async def found(sort: Sort = Sort.NEWEST, **sought: Any) -> list[int]:
        return [one for page in await pages(Sought(currency="USD", **sought), sort, 101) for one in page]

    assert await found(q="common") == everything
    assert await found(q="bicycle") == everything[::2]
    assert await found(q="unicorn") == [everything[-7]]
    assert await found(q="rust") == await found(skills=["RUST"]) == everything[49::50]
    assert await found(q="absent") == []
    assert await found(budget_max=Decimal("0.05")) == everything[-5:]
    for sort, ordered in high.items():
        assert await found(sort, q="unicorn") == [everything[-7]]
        assert await found(sort, skills=["rust"]) == [one for one in ordered if one in everything[49::50]]
        assert await found(sort, q="absent") == []
    # Few enough for the first window, enough of them for a longer walk, and too few for a page at all.
    assert len(await ids("rust car")) == 50
    assert len(await search.find(Sought(q="bicycle"), limit=1500)) == 1500


async def test_what_is_not_open_and_public_is_in_nothing_that_others_see(database: str) -> None:
    client, stranger = await factories.a_client(), await factories.a_freelancer()
    hidden = [
        await a_project("Unicorn", client=client, visibility=one)
        for one in (Visibility.PRIVATE, Visibility.INVITE_ONLY)
    ]
    draft = await factories.a_project(client, open=False, brief=factories.a_brief(title="Unicorn"))
    closed = await a_project("Unicorn", client=client)
    await guard.commit(closures.close, closed.id, client_id=client.id)

    for sort in Sort:
        assert await ids("unicorn", sort=sort, currency="USD") == []
    assert await search.count_facets(Sought(q="unicorn")) == search.Facets(
        category=[], skills=[], budget_type=[], counted=0, is_capped=False
    )
    for status in ("draft", "open", "closed"):
        assert await ids("unicorn", scope=Scope(status=status, user_id=stranger.id)) == []
    own = {
        status: await ids("unicorn", scope=Scope(status=status, user_id=client.id)) for status in ("draft", "closed")
    }
    assert own == {"draft": [draft.id], "closed": [closed.id]}
    everything = Scope(status="open", user_id=stranger.id, everything=True)
    assert await ids("unicorn", scope=everything) == ids_of(hidden)[::-1]
    assert await ids("unicorn", sort=Sort.RELEVANCE, scope=everything) == ids_of(hidden)[::-1]
    assert (await search.count_facets(Sought(), scope=everything)).counted == 2


async def test_a_freelancer_finds_the_projects_of_their_contracts_by_status(database: str) -> None:
    market = await worlds.a_market(rivals=2)
    await guard.commit(acceptance.accept, market.proposals[0].id, client_id=market.client.id, policy=factories.POLICY)

    found = {one.id: await ids(scope=Scope(status="in_progress", user_id=one.id)) for one in market.freelancers}

    assert list(found.values()) == [[market.project.id], []]
    assert await ids(scope=Scope(status="in_progress", user_id=market.client.id)) == [market.project.id]


async def test_what_matches_have_in_common_is_counted_without_case_and_with_an_end(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await a_project(category="web", skills=["Python", "SQL"])
    await a_project(category="Web", skills=["python"])
    await a_project(category="art", skills=["Oil"])

    facets = await search.count_facets(Sought())

    assert [(one.value.lower(), one.count) for one in facets.category] == [("web", 2), ("art", 1)]
    assert [(one.value.lower(), one.count) for one in facets.skills] == [("python", 2), ("oil", 1), ("sql", 1)]
    assert facets.budget_type == [Value(value="fixed", count=3)]
    assert (facets.counted, facets.is_capped) == (3, False)
    assert (await search.count_facets(Sought(skills=["OIL"]))).counted == 1
    monkeypatch.setattr(search, "COUNTED", 2)
    capped = await search.count_facets(Sought())
    assert (capped.counted, capped.is_capped) == (2, True)
    assert sum(one.count for one in capped.category) == 2
