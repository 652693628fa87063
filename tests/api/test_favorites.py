"""Favourites over HTTP."""

from litestar import Litestar

from tests import factories
from tests.api.callers import body_of, calling, problem_of


async def test_favourites_are_kept_listed_and_forgotten(app: Litestar) -> None:
    person, other = await factories.a_client(), await factories.a_freelancer()
    project = await factories.a_project()
    caller, nosy = await calling(app, person), await calling(app, other)

    kept = body_of(await caller.post("/api/favorites", json={"project_id": project.id}), 201)
    body = {"freelancer_id": other.id}
    second = body_of(await caller.post("/api/favorites", json=body, headers={"Idempotency-Key": "a"}), 201)

    assert (kept["kind"], kept["project_id"], kept["name"]) == ("project", project.id, project.title)
    assert (second["kind"], second["freelancer_id"], second["name"]) == ("freelancer", other.id, "Frida Freelancer")
    assert body_of(await caller.post("/api/favorites", json=body, headers={"Idempotency-Key": "a"}), 201) == second
    assert body_of(await caller.post("/api/favorites", json=body), 201) == second
    page = body_of(await caller.get("/api/favorites?limit=1"), 200)
    assert page["items"] == [second]
    assert body_of(await caller.get(f"/api/favorites?cursor={page['next_cursor']}"), 200)["items"] == [kept]
    assert body_of(await caller.get("/api/favorites?kind=project"), 200)["items"] == [kept]
    assert body_of(await nosy.get("/api/favorites"), 200)["items"] == []
    problem_of(await nosy.delete(f"/api/favorites/{kept['id']}"), 404, "not_found")
    assert (await caller.delete(f"/api/favorites/{kept['id']}")).status_code == 204


async def test_what_cannot_be_kept_in_mind(app: Litestar) -> None:
    client = await factories.a_client()
    draft = await factories.a_project(open=False)
    caller = await calling(app, client)

    for body in ({}, {"project_id": 1, "freelancer_id": 1}, {"project_id": 0}, {"kind": "project"}):
        problem_of(await caller.post("/api/favorites", json=body), 422, "invalid")
    for body in ({"project_id": draft.id}, {"freelancer_id": client.id}, {"freelancer_id": 999_999}):
        problem_of(await caller.post("/api/favorites", json=body), 404, "not_found")
    problem_of(await caller.get("/api/favorites?kind=other"), 422, "invalid")
