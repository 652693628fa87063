"""People as JSON for admins: the list, suspend, restore, sign out everywhere; and the pages of the same."""

from typing import Any

import httpx
import pytest
from litestar import Litestar

from models import audit_chain, guard, sessions
from models.accounts import Role
from tests.api.admin.conftest import Browser, a_user, browser, text_of
from tests.api.admin.test_pages import HOSTILE, whole
from tests.api.callers import body_of, calling, problem_of


@pytest.fixture
async def boss(app: Litestar) -> httpx.AsyncClient:
    return await calling(app, await a_user(factor=False))


async def test_the_list_shows_and_finds_people(boss: httpx.AsyncClient):
    client = await a_user(Role.CLIENT, "c@example.com")
    found = body_of(await boss.get("/api/users?q=C@EXAMPLE&role=client&status=active"), 200)
    (one,) = found["items"]
    assert (found["next_cursor"], one.pop("created_at")[-1]) == (None, "Z")
    assert one == {
        "id": client.id,
        "email": "c@example.com",
        "first_name": "Ada",
        "last_name": "<Admin>",
        "user_type": "client",
        "email_verified": True,
        "two_factor": True,
        "status": "active",
        "last_seen_at": None,
    }
    first = body_of(await boss.get("/api/users?limit=1"), 200)
    second = body_of(await boss.get(f"/api/users?limit=1&cursor={first['next_cursor']}"), 200)
    assert [first["items"][0]["email"], second["items"][0]["email"]] == ["c@example.com", "ada@example.com"]
    assert body_of(await boss.get("/api/users?q=%20"), 200)["items"] != []


@pytest.mark.parametrize("query", ["role=boss", "status=gone", "q=" + "x" * 101, "q=a%00b", "limit=0", "cursor=x"])
async def test_what_cannot_be_read_is_refused(boss: httpx.AsyncClient, query: str):
    problem_of(await boss.get(f"/api/users?{query}"), 422, "invalid")


async def test_an_admin_suspends_restores_and_signs_out(app: Litestar, boss: httpx.AsyncClient):
    client = await a_user(Role.CLIENT, "c@example.com", factor=False)
    theirs = await calling(app, client)
    path = f"/api/users/{client.id}"
    assert body_of(await boss.post(f"{path}/revoke-sessions"), 200) == {"revoked": 1}
    problem_of(await theirs.get("/api/jobs"), 401, "token_invalid")
    assert body_of(await boss.post(f"{path}/suspend", json={"reason": "fraud"}), 200)["status"] == "suspended"
    problem_of(await boss.post(f"{path}/suspend", json={"reason": "fraud"}), 409, "wrong_state")
    assert body_of(await boss.post(f"{path}/restore"), 200)["status"] == "active"
    problem_of(await boss.post(f"{path}/restore"), 409, "wrong_state")
    problem_of(await boss.post("/api/users/999/restore"), 404, "not_found")
    for body in ({}, {"reason": ""}, {"reason": " "}, {"reason": "x" * 501}, {"reason": "x", "by": 1}, {"reason": 1}):
        problem_of(await boss.post(f"{path}/suspend", json=body), 422, "invalid")


async def test_nobody_else_may(app: Litestar):
    client = await calling(app, await a_user(Role.CLIENT, "c@example.com", factor=False))
    for method, path in (("GET", ""), ("POST", "/1/suspend"), ("POST", "/1/restore"), ("POST", "/1/revoke-sessions")):
        answer = await client.request(method, f"/api/users{path}", json={"reason": "x"} if "suspend" in path else None)
        problem_of(answer, 403, "role_not_allowed")
    for method, path in (("GET", "audit"), ("POST", "audit/verify")):
        problem_of(await client.request(method, f"/api/admin/{path}"), 403, "role_not_allowed")


async def test_an_admin_without_a_second_factor_may_not(app: Litestar, boss: httpx.AsyncClient):
    await guard.rows("update sessions set proved_at = null")
    problem_of(await boss.get("/api/users"), 403, "second_factor_required")


# Pages


async def test_the_pages_show_hostile_words_as_words(admin: Browser):
    other = await a_user(Role.CLIENT, "c@example.com")
    await guard.commit(sessions.begin, other.id, other.role)
    await guard.rows("update users set first_name = $2, suspended_because = $2, suspended_at = now(), deactivated_at = now(), erased_at = null where id = $1", other.id, HOSTILE)  # fmt: skip
    await guard.rows("update sessions set user_agent = $1, ip_address = $1, country = 'DE', city = $1", HOSTILE)
    await guard.rows("""insert into security_events ("user", kind, ip_address, network, user_agent, country, city, details) values ($1, 'signed_in', $2, '', $2, 'DE', $2, '{}')""", other.id, HOSTILE)  # fmt: skip
    await guard.rows("insert into audit_log (actor_id, action, subject_kind, subject_id, details, before, after, request_id) values (0, $2, 'user', $1, jsonb_build_object($2::text, $2::text, 'ids', '[1]'::jsonb), jsonb_build_object('a', $2::text), null, $2)", str(other.id), HOSTILE)  # fmt: skip
    await guard.rows("insert into audit_log (actor_id, action, subject_kind, subject_id) values (1, 'x', 'job', $1), (1, 'x', 'queue', $1)", HOSTILE)  # fmt: skip
    await guard.commit(audit_chain.seal)
    for path in (
        "/admin/users",
        f"/admin/users/{other.id}",
        "/admin/audit",
        "/admin/users?q=c@",
        "/admin/users?status=erased",
    ):
        html = await whole(admin, path)
        for spoilt in ("<script>alert", "<img", "1337", "<Admin>"):
            assert spoilt not in html, path


async def test_a_persons_page_says_how_they_stand_and_what_may_be_done(app: Litestar, admin: Browser):
    me: Any = admin.person  # type: ignore[attr-defined]
    mine = await whole(admin, f"/admin/users/{me.id}")
    assert "Suspend…" not in mine
    assert "this one of yours too" in mine
    other = await a_user(Role.CLIENT, "c@example.com", factor=False)
    path = f"/admin/users/{other.id}"
    shown = text_of(await admin.get(path))
    assert "None: a password alone opens this account." in shown
    assert "Never signed in." in shown
    done = await admin.press(f"{path}/suspend", reason="fraud & more")
    assert (done.status_code, done.headers["location"]) == (303, path)
    shown = text_of(await admin.get(path))
    assert "The account is suspended, and signed out everywhere." in shown
    assert "fraud & more" in shown
    await admin.press(f"{path}/suspend", reason="again")
    assert f"User {other.id} is suspended already." in text_of(await admin.get(path))
    await admin.press(f"{path}/restore")
    assert "The account is restored." in text_of(await admin.get(path))
    await admin.press(f"{path}/suspend", reason="  ")
    assert "Say why" in text_of(await admin.get(path))
    await guard.commit(sessions.begin, other.id, other.role)
    await admin.press(f"{path}/revoke-sessions")
    assert "1 session ended." in text_of(await admin.get(path))
    await admin.press(f"{path}/revoke-sessions")
    assert "0 sessions ended." in text_of(await admin.get(path))
    async with browser(app) as stranger:
        assert (await stranger.post(f"{path}/suspend", data={"reason": "x"})).status_code == 303
    assert (await admin.post(f"{path}/suspend", data={"reason": "x"})).status_code == 403
    assert (await admin.get("/admin/users/999")).status_code == 404


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("role=boss", "There is no such role."),
        ("status=gone", "There is no such standing."),
        ("q=" + "x" * 101, "at most 100 characters"),
        ("q=a%00b", "control characters"),
        ("cursor=x", "This cursor is not one"),
    ],
)
async def test_a_search_that_cannot_be_read_is_named(admin: Browser, query: str, sentence: str):
    answer = await admin.get(f"/admin/users?{query}")
    assert (answer.status_code, sentence in text_of(answer)) == (422, True)


async def test_long_lists_go_on(admin: Browser):
    await guard.rows("insert into users (email, email_key, password_hash, first_name, last_name, role) select n || '@x', n || '@x', '', 'N', n::text, 'client' from generate_series(1, 60) n")  # fmt: skip
    html = await whole(admin, "/admin/users?role=client")
    further = html.split('<a class="button" href="')[1].split('"')[0].replace("&amp;", "&")
    assert "Newest" in await whole(admin, further)
    assert "Nobody fits." in await whole(admin, "/admin/users?q=nobody")
