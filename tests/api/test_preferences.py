"""How one hears of what, over HTTP: wishes by category, and quiet hours."""

from typing import Any

from litestar import Litestar

from models.preferences import Category
from tests import factories, worlds
from tests.api.callers import body_of, calling, problem_of

PREFERENCES = "/api/users/me/notification-preferences"
YES = {category.value: {"email": True, "in_app": True} for category in Category}


async def test_wishes_are_all_yes_and_change_one_by_one(app: Litestar) -> None:
    caller = await calling(app, await factories.a_client())

    assert body_of(await caller.get(PREFERENCES), 200) == {"categories": YES, "quiet_hours": None}
    body = {"categories": {"projects": {"email": False}, "disputes": {"email": False, "in_app": False}, "messages": {}}}
    changed = body_of(await caller.put(PREFERENCES, json=body), 200)

    assert changed["categories"] == YES | {
        "projects": {"email": False, "in_app": True},
        "disputes": {"email": False, "in_app": False},
    }
    assert body_of(await caller.get(PREFERENCES), 200) == changed
    async with worlds.unmoved():
        assert body_of(await caller.put(PREFERENCES, json={}), 200) == changed


async def test_quiet_hours_come_stay_and_go(app: Litestar) -> None:
    caller = await calling(app, await factories.a_client())
    night = {"from": "22:00", "to": "07:05"}

    assert body_of(await caller.put(PREFERENCES, json={"quiet_hours": night}), 200)["quiet_hours"] == night
    kept = body_of(await caller.put(PREFERENCES, json={"categories": {"searches": {"email": False}}}), 200)
    assert kept["quiet_hours"] == night
    assert kept["categories"]["searches"] == {"email": False, "in_app": True}
    gone = body_of(await caller.put(PREFERENCES, json={"quiet_hours": None}), 200)
    assert (gone["quiet_hours"], gone["categories"]) == (None, kept["categories"])


MAKES_NO_SENSE: list[Any] = [
    {"categories": {"security": {"email": False}}, "quiet_hours": {"from": "22:00", "to": "07:00"}},
    {"categories": {"security": {"in_app": False}, "projects": {"email": False}}},
    {"categories": {"gossip": {"email": False}}},
    {"categories": {"projects": {"sms": False}}},
    {"categories": {"projects": {"email": None}}},
    {"categories": {"projects": {"email": "no"}}},
    {"categories": []},
    {"categories": None},
    {"user_id": 1, "categories": {}},
    {"quiet_hours": {"from": "22:00", "to": "22:00"}},
    {"quiet_hours": {"from": "24:00", "to": "07:00"}},
    {"quiet_hours": {"from": "22:60", "to": "07:00"}},
    {"quiet_hours": {"from": "22:00:00", "to": "07:00"}},
    {"quiet_hours": {"from": "22:00\n", "to": "07:00"}},
    {"quiet_hours": {"from": "٢٢:00", "to": "07:00"}},
    {"quiet_hours": {"from": 1320, "to": 420}},
    {"quiet_hours": {"from": "22:00"}},
    {"quiet_hours": {"start": "22:00", "to": "07:00"}},
    {"quiet_hours": {"from": "22:00", "to": "07:00", "zone": "UTC"}},
]


async def test_a_wish_that_makes_no_sense_changes_nothing(app: Litestar) -> None:
    caller = await calling(app, await factories.a_client())

    async with worlds.unmoved():
        for body in MAKES_NO_SENSE:
            problem_of(await caller.put(PREFERENCES, json=body), 422, "invalid")
    assert body_of(await caller.get(PREFERENCES), 200) == {"categories": YES, "quiet_hours": None}
