"""Support tickets over HTTP."""

from typing import Any

from litestar import Litestar

from tests import factories, worlds
from tests.api.callers import anonymous, body_of, calling, problem_of

PATH = "/api/support-tickets"


def question(**changed: Any) -> dict[str, Any]:
    return {
        "subject": "My payout has not arrived",
        "message": "It was due on Monday.\n\nWhere is it?",
        "priority": "high",
        "category": "payment",
        **changed,
    }


async def test_a_ticket_is_answered_and_support_has_no_name(app: Litestar) -> None:
    person, support = await factories.a_freelancer(), await factories.an_admin()
    owner, admin = await calling(app, person), await calling(app, support)

    made = body_of(await owner.post(PATH, json=question()), 201)

    assert made == {
        "id": made["id"],
        "user_id": person.id,
        "subject": "My payout has not arrived",
        "category": "payment",
        "priority": "high",
        "status": "open",
        "assignee_id": None,
        "first_response_due_at": made["first_response_due_at"],
        "first_response_at": None,
        "first_response_missed": False,
        "resolution_due_at": made["resolution_due_at"],
        "resolved_at": None,
        "resolution_missed": False,
        "created_at": made["created_at"],
        "updated_at": made["created_at"],
        "closed_at": None,
        "replies": [
            {
                "id": made["replies"][0]["id"],
                "author_id": person.id,
                "author_name": "Frida Freelancer",
                "from_support": False,
                "message": "It was due on Monday.\n\nWhere is it?",
                "created_at": made["created_at"],
            }
        ],
    }
    path = f"{PATH}/{made['id']}"
    assert body_of(await owner.get(path), 200) == made
    assert body_of(await admin.post(f"{path}/assign", json={}), 200)["assignee_id"] == support.id
    said = body_of(await admin.post(f"{path}/reply", json={"message": "Which bank?"}), 201)
    assert (said["status"], said["assignee_id"]) == ("waiting", support.id)
    assert [one["author_name"] for one in said["replies"]] == ["Frida Freelancer", "Ada Admin"]
    seen = body_of(await owner.get(path), 200)
    assert [(one["author_id"], one["author_name"], one["from_support"]) for one in seen["replies"]] == [
        (person.id, "Frida Freelancer", False),
        (None, "Support", True),
    ]
    assert (seen["assignee_id"], seen["first_response_at"] is None) == (None, False)
    assert "Ada" not in (await owner.get(path)).text

    key = {"Idempotency-Key": "mine"}
    body = {"message": "Mine."}
    first = await owner.post(f"{path}/reply", json=body, headers=key)
    second = await owner.post(f"{path}/reply", json=body, headers=key)
    assert body_of(first, 201) == body_of(second, 201)
    assert len(body_of(second, 201)["replies"]) == 3
    assert body_of(await admin.post(f"{path}/resolve", json={"message": "Sent."}), 200)["status"] == "resolved"
    assert body_of(await owner.post(f"{path}/close"), 200)["status"] == "closed"
    problem_of(await owner.post(f"{path}/reply", json=body), 409, "wrong_state")
    problem_of(await admin.post(f"{path}/resolve", json={}), 409, "wrong_state")


async def test_the_owner_lists_their_own_and_admins_the_queue(app: Litestar) -> None:
    one, two = await factories.a_client(), await factories.a_freelancer()
    first, second, admin = (
        await calling(app, one),
        await calling(app, two),
        await calling(app, await factories.an_admin()),
    )
    made = [
        body_of(await caller.post(PATH, json=question(priority=priority)), 201)["id"]
        for caller, priority in ((first, "low"), (second, "urgent"), (first, "normal"), (second, "normal"))
    ]

    async def listed(caller: Any, **asked: Any) -> list[int]:
        found: list[int] = []
        cursor = None
        while cursor or not found:
            wanted = {"limit": 1, **asked, **({"cursor": cursor} if cursor else {})}
            page = body_of(await caller.get(PATH, params=wanted), 200)
            found += [ticket["id"] for ticket in page["items"]]
            cursor = page["next_cursor"]
            if not page["items"]:
                break
        return found

    assert await listed(first) == [made[2], made[0]]
    assert await listed(first, priority="low") == [made[0]]
    assert await listed(first, status="closed") == []
    assert await listed(admin) == [made[1], made[2], made[3], made[0]]
    body_of(await admin.post(f"{PATH}/{made[3]}/assign", json={}), 200)
    assert await listed(admin, assignee="me") == [made[3]]
    assert await listed(admin, status="open", priority="normal") == [made[2]]
    problem_of(await first.get(PATH, params={"assignee": "me"}), 422, "invalid")
    for wrong in ({"status": "lost"}, {"priority": "5"}, {"assignee": "you"}, {"cursor": "x"}):
        problem_of(await admin.get(PATH, params=wrong), 422, "invalid")


NONSENSE: list[dict[str, Any]] = [
    {"subject": " "},
    {"subject": "two\nlines"},
    {"subject": "x" * 201},
    {"message": ""},
    {"message": "x" * 5_001},
    {"message": "\x1b[31m"},
    {"priority": "now"},
    {"category": None},
    {"category": "weather"},
    {"user_id": 1},
    {"status": "closed"},
]


async def test_what_makes_no_sense_is_422(app: Litestar) -> None:
    caller = await calling(app, await factories.a_client())

    async with worlds.unmoved():
        for changed in NONSENSE:
            problem_of(await caller.post(PATH, json=question(**changed)), 422, "invalid")


async def test_who_may_not(app: Litestar) -> None:
    person = await factories.a_client(verified=False)
    owner, stranger = await calling(app, person), await calling(app, await factories.a_freelancer())
    admin = await calling(app, await factories.an_admin())
    # Whoever cannot verify an address needs support most.
    path = f"{PATH}/{body_of(await owner.post(PATH, json=question()), 201)['id']}"

    async with worlds.unmoved():
        for verb, body in (("reply", {"message": "I too."}), ("close", None)):
            problem_of(await stranger.post(f"{path}/{verb}", json=body), 404, "not_found")
        problem_of(await stranger.get(path), 404, "not_found")
        for caller in (owner, stranger):
            problem_of(await caller.post(f"{path}/assign", json={}), 403, "role_not_allowed")
            problem_of(await caller.post(f"{path}/resolve", json={}), 403, "role_not_allowed")
        problem_of(await admin.post(PATH, json=question()), 403, "role_not_allowed")
        problem_of(await admin.post(f"{path}/assign", json={"admin_id": person.id}), 422, "invalid")
        problem_of(await admin.post(f"{path}/close"), 409, "wrong_state")
        problem_of(await anonymous(app).get(path), 401, "token_invalid")
    assert body_of(await stranger.get(PATH), 200) == {"items": [], "next_cursor": None}
