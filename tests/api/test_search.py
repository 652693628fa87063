"""Finding projects over HTTP: filters, orders, cursors, facets, suggestions; and whose projects are whose."""

from typing import Any

import httpx
import pytest
from litestar import Litestar

from api.pages import encode_cursor
from models import guard, vocabulary
from models.projects import Visibility
from models.sought import Sort
from tests import factories
from tests.api.callers import body_of, calling, problem_of

PROJECTS = "/api/projects"


async def listed(caller: httpx.AsyncClient, **query: Any) -> list[int]:
    return [one["id"] for one in body_of(await caller.get(PROJECTS, params=query), 200)["items"]]


async def all_pages(caller: httpx.AsyncClient, **query: Any) -> list[int]:
    found: list[int] = []
    cursor: str | None = ""
    while cursor is not None:
        page = body_of(await caller.get(PROJECTS, params=query | ({"cursor": cursor} if cursor else {})), 200)
        found += [one["id"] for one in page["items"]]
        cursor = page["next_cursor"]
    return found


async def three(client: Any = None) -> list[int]:
    """Three projects; the second has the highest budget, the third the lowest and the most of the word."""
    briefs = [("Unicorn shop", ("10", "50")), ("Unicorn stable", ("30", "90")), ("Unicorn of a unicorn", ("5", "20"))]
    return [
        (await factories.a_project(client, brief=factories.a_brief(title=title, budget=budget))).id
        for title, budget in briefs
    ]


@pytest.mark.parametrize("sort", list(Sort))
async def test_every_order_goes_page_by_page(app: Litestar, sort: Sort) -> None:
    one, two, three_ = await three()
    caller = await calling(app, await factories.a_freelancer())
    wanted = {
        Sort.NEWEST: [three_, two, one],
        Sort.RELEVANCE: [three_, two, one],
        Sort.BUDGET_HIGH: [two, one, three_],
        Sort.BUDGET_LOW: [three_, one, two],
        Sort.DEADLINE: [one, two, three_],
    }

    query = {"q": "unicorn", "sort": sort.value, "currency": "usd", "budget_type": "fixed"}
    assert await all_pages(caller, **query, limit=1) == wanted[sort]
    assert await listed(caller, **query, limit=3) == wanted[sort]


async def test_a_question_must_make_sense(app: Litestar) -> None:
    caller = await calling(app, await factories.a_freelancer())
    page = body_of(await caller.get(PROJECTS), 200)
    assert page == {"items": [], "next_cursor": None}

    for query, field in (
        ({"sort": "budget_high"}, "currency"),
        ({"sort": "budget_low", "currency": " "}, "currency"),
        ({"sort": "relevance"}, "q"),
        ({"q": "nu\x00ll"}, "q"),
        ({"currency": "nu\x00l"}, "currency"),
        ({"sort": "newest", "cursor": encode_cursor("projects.relevance", [1])}, "cursor"),
        ({"cursor": encode_cursor("projects.newest", "1")}, "cursor"),
    ):
        problem = problem_of(await caller.get(PROJECTS, params=query), 422, "invalid")
        assert [one["field"] for one in problem["errors"]] == [field]
    for query in ({"sort": "best"}, {"status": "lost"}, {"budget_type": "barter"}, {"q": "x" * 401}, {"order": "up"}):
        problem_of(await caller.get(PROJECTS, params=query), 422, "invalid")
    # No order and no limit for what is counted.
    problem_of(await caller.get(f"{PROJECTS}/facets", params={"sort": "newest"}), 422, "invalid")


@pytest.mark.parametrize(
    ("sort", "position"),
    [
        ("newest", [2**70]),
        ("newest", [-1]),
        ("newest", [5, None, None]),
        ("relevance", [5]),
        ("relevance", [5, 0.5, 2**63]),
        ("relevance", [5, -1e308, 7]),
        ("budget_high", [5, 2**80]),
        ("budget_low", [5, "x"]),
        ("budget_low", [5]),
        ("deadline", [5, 10**9]),
        ("deadline", [5, -(10**7)]),
    ],
)
async def test_a_cursor_of_ones_own_making_is_no_error_of_ours(app: Litestar, sort: str, position: Any) -> None:
    await three()
    caller = await calling(app, await factories.a_freelancer())
    query = {"q": "unicorn", "currency": "USD", "sort": sort, "cursor": encode_cursor(f"projects.{sort}", position)}

    answer = await caller.get(PROJECTS, params=query)

    assert answer.status_code in (200, 422), answer.text


async def test_a_status_asks_for_ones_own(app: Litestar) -> None:
    client, stranger = await factories.a_client(), await factories.a_client()
    draft = await factories.a_project(client, open=False)
    hidden = await factories.a_project(client, brief=factories.a_brief(visibility=Visibility.PRIVATE))
    public = await factories.a_project(client)
    owner, other = await calling(app, client), await calling(app, stranger)
    admin = await calling(app, await factories.an_admin())

    assert await listed(owner, status="draft") == await listed(admin, status="draft") == [draft.id]
    assert await listed(other, status="draft") == []
    for caller in (owner, other):
        assert await listed(caller) == await listed(caller, status="open") == [public.id]
    assert await listed(admin) == [public.id]
    assert await listed(admin, status="open") == [public.id, hidden.id]
    assert await all_pages(admin, status="open", limit=1, sort="budget_high", currency="USD") == [public.id, hidden.id]
    facets = body_of(await owner.get(f"{PROJECTS}/facets", params={"status": "draft"}), 200)
    assert facets["counted"] == 1
    assert body_of(await other.get(f"{PROJECTS}/facets", params={"status": "draft"}), 200)["counted"] == 0


async def test_an_admin_without_a_second_factor_finds_what_anybody_does(app: Litestar) -> None:
    await factories.a_project(brief=factories.a_brief(visibility=Visibility.PRIVATE))
    unproved = await calling(app, await factories.an_admin())
    await guard.rows("update sessions set proved_at = null")
    assert await listed(unproved, status="open") == []


async def test_facets_say_what_the_matches_have_in_common(app: Litestar) -> None:
    await three()
    caller = await calling(app, await factories.a_freelancer())

    assert body_of(await caller.get(f"{PROJECTS}/facets", params={"q": "unicorn", "skills": "python"}), 200) == {
        "category": [{"value": "web", "count": 3}],
        "skills": [{"value": "PostgreSQL", "count": 3}, {"value": "Python", "count": 3}],
        "budget_type": [{"value": "fixed", "count": 3}],
        "counted": 3,
        "is_capped": False,
    }


async def test_suggestions_help_whoever_mistypes(app: Litestar) -> None:
    await three()
    await factories.a_project(brief=factories.a_brief(title="Secretive", visibility=Visibility.PRIVATE))
    await guard.commit(vocabulary.gather)
    caller = await calling(app, await factories.a_freelancer())

    async def suggested(q: str) -> Any:
        return body_of(await caller.get(f"{PROJECTS}/suggestions", params={"q": q}), 200)

    assert await suggested("unicron") == {"did_you_mean": "unicorn", "completions": []}
    assert (await suggested("uni"))["completions"][0] == "unicorn"
    assert await suggested(" ") == {"did_you_mean": None, "completions": []}
    assert (await suggested("secretiv"))["completions"] == []
    problem_of(await caller.get(f"{PROJECTS}/suggestions"), 422, "invalid")
    problem_of(await caller.get(f"{PROJECTS}/suggestions", params={"q": "\x07"}), 422, "invalid")


async def test_the_catalogue_is_there(app: Litestar) -> None:
    caller = await calling(app, await factories.a_freelancer())

    categories = body_of(await caller.get("/api/categories"), 200)
    assert categories["items"][0] == {"slug": "web-development", "name": "Web development"}
    first = body_of(await caller.get("/api/skills", params={"q": "script", "limit": 1}), 200)
    assert first["items"] == [{"slug": "javascript", "name": "JavaScript"}]
    rest = body_of(await caller.get("/api/skills", params={"q": "script", "cursor": first["next_cursor"]}), 200)
    assert rest == {"items": [{"slug": "typescript", "name": "TypeScript"}], "next_cursor": None}
    problem_of(await caller.get("/api/skills", params={"q": "x" * 61}), 422, "invalid")
