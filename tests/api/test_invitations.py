"""Invitations over HTTP: a client asks, a freelancer sees and answers, nobody else learns of it."""

from litestar import Litestar

from models import guard
from models.projects import Visibility
from tests import factories, worlds
from tests.api.callers import body_of, calling, problem_of


async def test_a_freelancer_is_asked_reads_and_declines(app: Litestar) -> None:
    client, freelancer = await factories.a_client(), await factories.a_freelancer()
    project = await factories.a_project(client, brief=factories.a_brief(visibility=Visibility.PRIVATE))
    asking, asked = await calling(app, client), await calling(app, freelancer)
    rival = await calling(app, await factories.a_freelancer())
    path = f"/api/projects/{project.id}"
    problem_of(await asked.get(path), 404, "not_found")

    made = body_of(await asking.post(f"{path}/invite", json={"user_id": freelancer.id, "message": " Two\nlines "}), 201)

    assert made == {
        "id": made["id"],
        "project_id": project.id,
        "project_title": project.title,
        "client_id": client.id,
        "client_name": "Clara Client",
        "freelancer_id": freelancer.id,
        "freelancer_name": "Frida Freelancer",
        "message": "Two\nlines",
        "status": "sent",
        "is_open": True,
        "created_at": made["created_at"],
        "answered_at": None,
    }
    assert body_of(await asked.get(path), 200)["id"] == project.id
    problem_of(await rival.get(path), 404, "not_found")
    for query in ({}, {"q": "shop"}, {"client_id": client.id}):
        assert body_of(await asked.get("/api/projects", params=query), 200)["items"] == []
    assert body_of(await asked.get("/api/invitations"), 200) == {"items": [made], "next_cursor": None}
    assert body_of(await rival.get("/api/invitations"), 200)["items"] == []
    assert body_of(await asking.get(f"{path}/invitations", params={"limit": 1}), 200)["items"] == [made]
    problem_of(await asking.post(f"{path}/invite", json={"user_id": freelancer.id}), 409, "invitation_exists")

    decline = f"/api/invitations/{made['id']}/decline"
    problem_of(await rival.post(decline), 404, "not_found")
    assert body_of(await asked.post(decline), 200)["status"] == "declined"
    problem_of(await asked.post(decline), 409, "wrong_state")
    problem_of(await asked.get(path), 404, "not_found")


async def test_who_may_not_ask_whom(app: Litestar) -> None:
    client, freelancer = await factories.a_client(), await factories.a_freelancer()
    project = await factories.a_project(client)
    asking, other = await calling(app, client), await calling(app, await factories.a_client())
    unverified = await calling(app, await factories.a_client(verified=False))
    path, body = f"/api/projects/{project.id}/invite", {"user_id": freelancer.id}

    async with worlds.unmoved():
        problem_of(await other.post(path, json=body), 404, "not_found")
        problem_of(await other.get(f"/api/projects/{project.id}/invitations"), 404, "not_found")
        problem_of(await unverified.post(path, json=body), 403, "email_unverified")
        problem_of(await asking.post(path, json={"user_id": client.id}), 422, "invalid")
        problem_of(await asking.post(path, json={"user_id": 2**53 - 1}), 404, "not_found")
        for wrong in ({}, {"user_id": "1"}, {"user_id": 0}, body | {"message": "\x07"}, body | {"role": "admin"}):
            problem_of(await asking.post(path, json=wrong), 422, "invalid")
        problem_of(await asking.get("/api/invitations"), 403, "role_not_allowed")


async def test_an_invitation_is_repeated_by_its_key(app: Litestar) -> None:
    client, freelancer = await factories.a_client(), await factories.a_freelancer()
    project = await factories.a_project(client)
    asking, key = await calling(app, client), {"Idempotency-Key": "ask-1"}
    path, body = f"/api/projects/{project.id}/invite", {"user_id": freelancer.id}

    first = await asking.post(path, json=body, headers=key)
    again = await asking.post(path, json=body, headers=key)

    assert body_of(again, 201) == body_of(first, 201)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert await guard.value("select count(*) from project_invitations") == 1
