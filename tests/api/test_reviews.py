"""Reviews over HTTP: written, hidden, shown, answered."""

from litestar import Litestar

from models import guard
from tests import factories
from tests.api.callers import body_of, calling, problem_of
from tests.reviewing import a_completed_contract


async def test_two_reviews_from_the_first_word_to_the_answer(app: Litestar) -> None:
    client, freelancer = await factories.a_client(), await factories.a_freelancer()
    contract = await a_completed_contract(client, freelancer)
    clara, frida = await calling(app, client), await calling(app, freelancer)
    stranger = await calling(app, await factories.a_client())
    said = {"contract_id": contract.id, "rating": 4, "comment": "Quick.\nAnd kind."}

    first = body_of(await clara.post("/api/reviews", json=said, headers={"Idempotency-Key": "once"}), 201)

    assert {name: first[name] for name in said} == said
    assert (first["status"], first["shown_at"], first["reviewer_name"]) == ("hidden", None, "Clara Client")
    repeated = await clara.post("/api/reviews", json=said, headers={"Idempotency-Key": "once"})
    assert body_of(repeated, 201) == first
    problem_of(await clara.post("/api/reviews", json=said), 409, "review_exists")
    about = f"/api/reviews?user_id={freelancer.id}"
    assert body_of(await clara.get(about), 200)["items"] == [first]
    for nosy in (frida, stranger):
        assert body_of(await nosy.get(about), 200) == {"items": [], "next_cursor": None}
        problem_of(await nosy.get(f"/api/reviews/{first['id']}"), 404, "not_found")
        problem_of(await nosy.post(f"/api/reviews/{first['id']}/respond", json={"response": "?"}), 404, "not_found")

    second = body_of(await frida.post("/api/reviews", json={**said, "rating": 5}), 201)

    assert (second["status"], second["reviewee_id"]) == ("shown", client.id)
    shown = body_of(await stranger.get(f"/api/reviews/{first['id']}"), 200)
    assert (shown["status"], shown["project_title"]) == ("shown", contract.title)
    answered = body_of(await frida.post(f"/api/reviews/{first['id']}/respond", json={"response": "Thanks."}), 200)
    assert (answered["response"], answered["responded_at"] is None) == ("Thanks.", False)
    again = await frida.post(f"/api/reviews/{first['id']}/respond", json={"response": "Thanks."})
    problem_of(again, 409, "wrong_state")
    profile = body_of(await stranger.get(f"/api/users/{freelancer.id}"), 200)
    assert (profile["rating"], profile["review_count"]) == (4, 1)


async def test_what_is_no_review_is_refused(app: Litestar) -> None:
    contract = await a_completed_contract()
    caller = await calling(app, await factories.a_client())

    for changed in (
        {"rating": 0},
        {"rating": 6},
        {"rating": 4.5},
        {"comment": ""},
        {"comment": " "},
        {"comment": "x" * 5001},
        {"comment": "null\0byte"},
        {"contract_id": 0},
        {"reviewee_id": 1},
    ):
        body = {"contract_id": contract.id, "rating": 5, "comment": "Fine.", **changed}
        problem_of(await caller.post("/api/reviews", json=body), 422, "invalid")

    assert await guard.value("select count(*) from reviews") == 0


async def test_whose_reviews_must_be_said_and_admins_write_none(app: Litestar) -> None:
    admin = await calling(app, await factories.an_admin())

    problem_of(await admin.get("/api/reviews"), 422, "invalid")
    body = {"contract_id": 1, "rating": 5, "comment": "Fine."}
    problem_of(await admin.post("/api/reviews", json=body), 403, "role_not_allowed")
