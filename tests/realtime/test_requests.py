"""What clients ask, and what they send instead."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from models import events, guard
from models.accounts import Role
from tests.realtime import world
from tests.realtime.client import raw, signed_in
from tests.realtime.conftest import Person, Realtime, make_person


async def make_project(client_id: int) -> int:
    made: int = await guard.value(
        """insert into projects (client, title, description, category, skills, budget_type, budget_min_minor,
                                 budget_max_minor, currency, visibility, status)
           values ($1, 'A title', 'A text', 'web', '{}', 'fixed', 1000, 2000, 'USD', 'public', 'open') returning id""",
        client_id,
    )
    return made


async def test_a_projects_client_hears_its_room(realtime: Realtime, ada: Person, redis_url: str) -> None:
    project_id = await make_project(ada.id)
    changed = events.ProjectUpdated(project_id=project_id, status="in_progress")
    async with signed_in(realtime.url, ada.auth()) as client:
        assert await client.ask("join_project", {"project_id": project_id}) == {"ok": True, "head": 0}
        assert await client.ask("join_project", {"project_id": project_id}) == {"ok": True, "head": 0}
        await world.happen((changed, events.project(project_id)))
        await world.relay(redis_url)
        expected = (
            "project_update",
            [{"project_id": project_id, "status": "in_progress"}, {"project_id": project_id, "project_seq": 1}],
        )
        assert await client.wait_for(1, 2) == [expected]

        assert await client.ask("leave_project", {"project_id": project_id}) == {"ok": True}
        await world.happen((changed, events.project(project_id)), (world.notified(1), events.user(ada.id)))
        await world.relay(redis_url)
        await client.wait_for(2)
        assert [name for name, _ in client.heard] == ["project_update", "notification"]

        assert await client.ask("join_project", {"project_id": project_id, "events_after": 1}) == {
            "ok": True,
            "head": 2,
        }
        await client.wait_for(3)
        assert client.heard[2][1][1] == {"project_id": project_id, "project_seq": 2}


async def test_a_foreign_project_and_one_that_is_not_there_are_refused_alike(realtime: Realtime, ada: Person) -> None:
    project_id = await make_project(ada.id)
    stranger = await make_person(Role.FREELANCER)
    async with signed_in(realtime.url, stranger.auth()) as client:
        foreign = await client.ask("join_project", {"project_id": project_id})
        absent = await client.ask("join_project", {"project_id": project_id + 10_000})
        assert foreign == absent == {"ok": False, "code": "not_allowed", "detail": "You cannot follow this project."}


async def test_an_admin_may_follow_any_project(realtime: Realtime, ada: Person) -> None:
    project_id = await make_project(ada.id)
    admin = await make_person(Role.ADMIN)
    async with signed_in(realtime.url, admin.auth()) as client:
        assert (await client.ask("join_project", {"project_id": project_id}))["ok"]


async def test_an_admin_without_a_second_factor_is_nobody_special(realtime: Realtime, ada: Person) -> None:
    project_id = await make_project(ada.id)
    admin = await make_person(Role.ADMIN)
    await guard.rows("update sessions set proved_at = null where id = $1", admin.session_id)
    async with signed_in(realtime.url, admin.auth()) as client:
        assert (await client.ask("join_project", {"project_id": project_id}))["code"] == "not_allowed"


async def test_who_is_no_admin_any_more_follows_no_other_project(realtime: Realtime, ada: Person) -> None:
    project_id = await make_project(ada.id)
    admin = await make_person(Role.ADMIN)
    async with signed_in(realtime.url, admin.auth()) as client:
        await guard.rows("update users set role = 'client' where id = $1", admin.id)
        assert (await client.ask("join_project", {"project_id": project_id}))["code"] == "not_allowed"


async def test_five_joins_a_second_and_no_more(realtime: Realtime, ada: Person) -> None:
    project_id = await make_project(ada.id)
    async with signed_in(realtime.url, ada.auth()) as client:
        answers = [await client.ask("join_project", {"project_id": project_id}) for _ in range(7)]
        assert [one["ok"] for one in answers[:5]] == [True] * 5
        assert answers[6]["code"] == "rate_limited"
        assert 0 < answers[6]["retry_after"] <= 0.3
        await asyncio.sleep(answers[6]["retry_after"] + 0.05)
        assert (await client.ask("join_project", {"project_id": project_id}))["ok"]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("join_project", []),
        ("join_project", [1]),
        ("join_project", [None]),
        ("join_project", [[]]),
        ("join_project", [{}]),
        ("join_project", [{"project_id": "1"}]),
        ("join_project", [{"project_id": True}]),
        ("join_project", [{"project_id": 1.5}]),
        ("join_project", [{"project_id": 0}]),
        ("join_project", [{"project_id": 2**70}]),
        ("join_project", [{"project_id": 1, "admin": True}]),
        ("join_project", [{"project_id": 1}, {"project_id": 2}]),
        ("leave_project", [{"project_id": -1}]),
        ("sync", [{"events_after": None}]),
        ("sync", [{"events_after": 1, "since": {}}]),
        ("sync", ["x" * 60_000]),
        ("auth_refresh", [{"token": 5}]),
        ("auth_refresh", []),
        ("no_such_event", [{}]),
        ("connect", [{}, {}]),
        ("disconnect", ["x"]),
        ("*", []),
        ("", []),
    ],
)
async def test_what_makes_no_sense_is_answered_so(realtime: Realtime, name: str, arguments: list[Any]) -> None:
    someone = await make_person()
    async with signed_in(realtime.url, someone.auth()) as client:
        answer = await client.ask(name, *arguments)
        assert (answer["ok"], answer["code"]) == (False, "invalid")
        assert answer["detail"]
        assert (await client.ask("sync", {"events_after": 0}))["ok"]


@pytest.mark.parametrize(
    "frame",
    ["", "x", "9", "4", "4[", "3" + "[" * 5000, "45-[]", "46-[]", "44{}", "b!!!", "40" + "x" * 70_000, b"\x04binary"],
)
async def test_what_is_no_packet_ends_the_connection(realtime: Realtime, frame: str | bytes) -> None:
    async with raw(realtime.url) as socket:
        await socket.send(frame)
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(socket.recv(), 2)


@pytest.mark.parametrize(
    "frame", ["42", "42{}", "42[]", "42[5]", "42[[],1]", "42[{}]", "420[", "42" + "[" * 5000, "42" + "1" * 200, "43", "437[]",
              "43[]", "40/elsewhere,{}", "40/a?b", "41/elsewhere,", '42/elsewhere,["sync"]', "40{}"]
)  # fmt: skip
async def test_a_broken_packet_is_dropped_and_the_socket_lives(realtime: Realtime, frame: str) -> None:
    someone = await make_person()
    async with signed_in(realtime.url, someone.auth()) as client:
        await client.socket.send(frame)
        assert (await client.ask("sync", {"events_after": 0}))["ok"]


async def test_a_client_that_polls_and_says_goodbye_is_let_go_at_once(realtime: Realtime, ada: Person) -> None:
    path = realtime.url + "/socket.io/?EIO=4&transport=polling"
    async with httpx.AsyncClient(timeout=10) as browser:
        hello = (await browser.get(path)).text
        path += "&sid=" + json.loads(hello[1:])["sid"]
        await browser.post(path, content="40" + json.dumps(ada.auth()))
        assert (await browser.get(path)).text.startswith("40")
        waiting = asyncio.create_task(browser.get(path))
        await asyncio.sleep(0.1)

        await browser.post(path, content="41\x1e1")

        assert (await asyncio.wait_for(waiting, 2)).status_code == httpx.codes.OK
