"""A query parameter that a route does not declare is refused: a filter that is ignored answers another question."""

import pytest
from litestar import Litestar

from models import guard
from tests import factories
from tests.api.callers import anonymous, body_of, calling, problem_of


@pytest.mark.parametrize(
    ("path", "unknown"),
    [
        ("/api/projects?categori=web", ["categori"]),
        ("/api/projects?b=1&a=2&limit=5", ["a", "b"]),
        ("/api/auth/me?limit=5", ["limit"]),
        ("/api/projects?=1", [""]),
        ("/api/projects?caller=1", ["caller"]),
    ],
)
async def test_an_unknown_parameter_is_named(app: Litestar, path: str, unknown: list[str]):
    caller = await calling(app, await factories.a_client())
    problem = problem_of(await caller.get(path), 422, "invalid")
    assert problem["errors"] == [{"field": name, "message": "There is no such query parameter."} for name in unknown]


async def test_known_parameters_are_taken(app: Litestar):
    caller = await calling(app, await factories.a_client())
    for path in ("/api/projects?limit=5&category=web", "/api/auth/me?", "/api/auth/me"):
        body_of(await caller.get(path), 200)
    admin = await calling(app, await factories.an_admin())
    body_of(await admin.get("/api/admin/jobs?state=dead&limit=3"), 200)


async def test_a_path_parameter_is_no_query_parameter(app: Litestar):
    client = await factories.a_client()
    project = await factories.a_project(client)
    caller = await calling(app, client)
    problem_of(await caller.get(f"/api/projects/{project.id}?project_id=1"), 422, "invalid")


async def test_who_may_not_is_told_that_first(app: Litestar):
    problem_of(await anonymous(app).get("/api/projects?categori=web"), 401, "token_invalid")


async def test_nothing_is_written_for_an_unknown_parameter(app: Litestar):
    caller = await calling(app, await factories.a_client())
    project = {"title": "T", "description": "D", "category": "web", "budget_min": 1, "budget_max": 2, "currency": "USD"}
    problem_of(await caller.post("/api/projects?dry_run=true", json=project), 422, "invalid")
    assert await guard.value("select count(*) from projects") == 0


async def test_pages_for_people_may_be_followed_by_anything(app: Litestar):
    assert (await anonymous(app).get("/verify-email?token=x&utm_source=mail")).status_code == 200
