"""The door of the pages: who gets in, how long they stay, and every trick to get in without a password."""

import asyncio
from typing import Any
from uuid import UUID

import bcrypt
import pytest
from litestar import Litestar

import settings
from api.admin.door import safe_next
from api.admin.seals import BEGUN_S, FLASH_S, FORM_S, IDLE_S, LONGEST_S, Begun, Nonce, Seals, Visit
from models import accounts, audit, guard, sessions
from models import sign_in as entrance
from models.accounts import Role
from models.base import uuid7
from models.errors import AccountSuspended
from models.factors import Method
from models.security import SecurityEventKind
from models.tickets import Purpose
from tests.api.admin.conftest import APPS, DRAWER, Browser, a_user, browser, text_of
from tests.api.conftest import PASSWORD

PAGES = [
    "/admin/users",
    "/admin/users/1",
    "/admin/audit",
    "/admin/jobs",
    f"/admin/jobs/{UUID(int=7)}",
    "/admin/workers",
    "/admin/nothing",
    "/admin/jobs?state=dead",
]


async def test_an_admin_signs_in_and_goes_where_they_wanted(visitor: Browser):
    await a_user()
    asked = await visitor.get("/admin/jobs?state=dead&kind=a%26b")
    assert asked.status_code == 303
    form = await visitor.get(asked.headers["location"])
    assert 'name="next" value="/admin/jobs?state=dead&amp;kind=a%26b"' in form.text
    answer = await visitor.sign_in(next="/admin/jobs?state=dead&kind=a%26b")
    assert (answer.status_code, answer.headers["location"]) == (303, "/admin/jobs?state=dead&kind=a%26b")
    cookie = next(one for one in answer.headers.get_list("set-cookie") if one.startswith("megilance_admin="))
    assert {"HttpOnly", "SameSite=strict", "Path=/admin"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    assert (await visitor.get("/admin/jobs")).status_code == 200
    assert (await visitor.get("/admin/sign-in")).headers["location"] == "/admin/jobs"
    assert await guard.value("select count(*) from sessions where revoked_at is null") == 1


@pytest.mark.parametrize("path", PAGES)
async def test_a_stranger_is_sent_to_the_sign_in(visitor: Browser, path: str):
    answer = await visitor.get(path)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/admin/sign-in?next=%2Fadmin%2F")


async def test_a_script_of_a_stranger_is_told_by_a_status(visitor: Browser):
    assert (await visitor.get("/admin/jobs/figures")).status_code == 401


async def test_the_bare_address_leads_to_the_first_page(visitor: Browser):
    assert (await visitor.get("/admin")).headers["location"] == "/admin/jobs"


@pytest.mark.parametrize(
    ("email", "password"),
    [
        ("ada@example.com", "Wrong1234!"),
        ("nobody@example.com", PASSWORD),
        ("client@example.com", PASSWORD),
        ("gone@example.com", PASSWORD),
        ("no address", PASSWORD),
        ("a\x00b@example.com", PASSWORD),
        ("ada@example.com", ""),
        ("", ""),
        ("x" * 5000, "x" * 5000),
    ],
)
async def test_whoever_may_not_enter_gets_one_answer(visitor: Browser, email: str, password: str):
    await a_user()
    await a_user(Role.CLIENT, "client@example.com")
    gone = await a_user(Role.ADMIN, "gone@example.com")
    await guard.rows("update users set suspended_at = now() where id = $1", gone.id)
    answer = await visitor.sign_in(email, password)
    assert answer.status_code == 401
    assert "Address or password is wrong." in text_of(answer)
    assert "megilance_admin=" not in str(answer.headers.get_list("set-cookie"))
    assert await guard.value("select count(*) from sessions") == 0


async def test_an_old_bcrypt_hash_is_replaced_at_sign_in(visitor: Browser):
    await a_user()
    await guard.rows(
        "update users set password_hash = $1", bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    )
    assert (await visitor.sign_in()).status_code == 303
    assert (await guard.value("select password_hash from users")).startswith("$argon2id$")


@pytest.mark.parametrize(
    "sql",
    [
        "update users set suspended_at = now()",
        "update users set role = 'freelancer'",
        "update sessions set revoked_at = now()",
    ],
)
async def test_a_cookie_ends_with_its_session_its_user_and_their_role(admin: Browser, sql: str):
    token = await admin.token()
    await guard.rows(sql)
    assert (await admin.get("/admin/jobs")).status_code == 303
    pressed = await admin.press("/admin/queues/mail/pause", token=token, reason="x")
    assert (pressed.status_code, pressed.headers["location"]) == (303, "/admin/sign-in?next=%2Fadmin%2Fjobs")
    assert await guard.value("select count(*) from queue_pauses") == 0


async def test_signing_out_ends_the_session_for_good(admin: Browser):
    kept = dict(admin.cookies)
    answer = await admin.press("/admin/sign-out")
    assert answer.headers["location"] == "/admin/sign-in"
    assert await guard.value("select revoked_because from sessions") == "signed_out"
    admin.cookies.update(kept)
    assert (await admin.get("/admin/jobs")).status_code == 303


@pytest.mark.parametrize("forged", ["", "x", "ä", "A" * 60, "A" * 3000, "!!!!"])
async def test_a_cookie_that_we_did_not_seal_opens_nothing(visitor: Browser, forged: str):
    answer = await visitor.get("/admin/jobs", headers={"Cookie": f"megilance_admin={forged}".encode()})
    assert answer.status_code == 303


async def test_every_changed_letter_of_a_cookie_makes_it_worthless(admin: Browser):
    good = admin.cookies["megilance_admin"]
    seals = Seals(settings.load().tokens)
    assert seals.read_visit(good) is not None
    for position in range(len(good) - 1):
        changed = good[:position] + ("A" if good[position] != "A" else "B") + good[position + 1 :]
        assert seals.read_visit(changed) is None


async def test_tokens_of_the_api_are_no_cookies_and_cookies_no_tokens(app: Litestar, admin: Browser):
    person: Any = admin.person  # type: ignore[attr-defined]
    begun = await guard.commit(sessions.begin, person.id, person.role)
    access = app.state.tokens.issue_access(person.id, "admin", begun.session_id)
    async with browser(app, Cookie=f"megilance_admin={access}") as other:
        assert (await other.get("/admin/jobs")).status_code == 303
    async with browser(app, Authorization=f"Bearer {access}") as other:
        assert (await other.get("/admin/jobs")).status_code == 303
    cookie = admin.cookies["megilance_admin"]
    assert (await admin.get("/api/admin/jobs")).status_code == 401
    assert (await admin.get("/api/admin/jobs", headers={"Authorization": f"Bearer {cookie}"})).status_code == 401


def test_a_sign_in_ends_when_idle_and_after_a_day_and_lasts_over_a_change_of_keys():
    keys = settings.Tokens("k" * 40, (), "HS256", 30)
    now = [1_000_000.0]
    seals = Seals(keys, lambda: now[0])
    session_id = uuid7()
    cookie = seals.visit_cookie(Visit(session_id, 1_000_000, 1_000_000))
    later = Seals(settings.Tokens("n" * 40, ("k" * 40,), "HS256", 30), lambda: now[0])
    stranger = Seals(settings.Tokens("n" * 40, (), "HS256", 30), lambda: now[0])
    assert later.read_visit(cookie) == Visit(session_id, 1_000_000, 1_000_000)
    assert later.fits_form("1", seals.form_token("1"))
    assert stranger.read_visit(cookie) is None
    assert seals.read_flash(cookie, session_id) is None
    now[0] += IDLE_S
    assert seals.read_visit(cookie) is not None
    now[0] += 1
    assert seals.read_visit(cookie) is None
    now[0] = 1_000_000 + LONGEST_S + 1
    assert seals.read_visit(seals.visit_cookie(Visit(session_id, 1_000_000, int(now[0])))) is None


def test_a_message_is_for_the_next_page_of_one_session_and_a_form_does_not_lie_open_for_ever():
    now = [5_000.0]
    seals = Seals(settings.Tokens("k" * 40, (), "HS256", 30), lambda: now[0])
    mine, nonce = uuid7(), Nonce("n", 5_000)
    said, beside = seals.flash_cookie(mine, "Done.", good=True), seals.nonce_cookie(nonce)
    assert seals.read_flash(said, uuid7()) is None
    assert seals.read_nonce(said) is None
    now[0] += FLASH_S
    assert (found := seals.read_flash(said, mine)) is not None
    assert (found.text, found.good) == ("Done.", True)
    now[0] += 1
    assert seals.read_flash(said, mine) is None
    assert seals.read_nonce(beside) == nonce
    now[0] = 5_001 + FORM_S
    assert seals.read_nonce(beside) is None


async def test_a_page_renews_the_cookie_and_what_a_page_fetches_by_itself_does_not(admin: Browser):
    seals = Seals(settings.load().tokens)
    visit = seals.read_visit(admin.cookies["megilance_admin"])
    assert visit is not None
    stale = seals.visit_cookie(Visit(visit.session_id, visit.began_s, visit.seen_s - 600))
    headers = {"Cookie": f"megilance_admin={stale}"}
    assert "set-cookie" not in (await admin.get("/admin/jobs/figures", headers=headers)).headers
    renewed = (await admin.get("/admin/jobs", headers=headers)).headers["set-cookie"]
    fresh = seals.read_visit(renewed.partition("=")[2].partition(";")[0])
    assert fresh is not None
    assert (fresh.session_id, fresh.began_s) == (visit.session_id, visit.began_s)
    assert fresh.seen_s >= visit.seen_s


async def test_behind_https_the_cookie_is_secure_and_says_so_in_its_name(
    app: Litestar, visitor: Browser, monkeypatch: pytest.MonkeyPatch
):
    await a_user()
    monkeypatch.setenv("API_PUBLIC_URL", "https://api.example.com")
    settings.load.cache_clear()
    app.state.settings = settings.load()
    async with browser(app, Origin="https://api.example.com", Host="api.example.com") as secure:
        secure.base_url = "https://api.example.com"
        answer = await secure.sign_in()
        cookies = answer.headers.get_list("set-cookie")
        assert answer.status_code == 303, answer.text
        assert [one.split("=")[0] for one in cookies] == ["__Secure-megilance_admin", "__Secure-megilance_admin_begun"]
        assert all("Secure" in one.split("; ") for one in cookies)
        assert (await secure.get("/admin/jobs")).status_code == 200
    settings.load.cache_clear()


# Forms from elsewhere


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "null", "Sec-Fetch-Site": ""},
        {"Origin": "http://testserver", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://testserver", "Sec-Fetch-Site": "same-site"},
        {"Origin": "http://testserver.evil.example", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "http://evil.example", "Sec-Fetch-Site": "none"},
        {"Origin": "file://testserver", "Sec-Fetch-Site": "same-origin"},
    ],
)
async def test_a_form_of_another_site_does_nothing(admin: Browser, headers: dict[str, str]):
    token = await admin.token()
    for path in ("/admin/queues/mail/pause", "/admin/sign-out", "/admin/sign-in"):
        answer = await admin.post(path, data={"form_token": token, "reason": "x"}, headers=headers)
        assert answer.status_code == 403
    assert await guard.value("select count(*) from queue_pauses") == 0
    assert await guard.value("select count(*) from sessions where revoked_at is not null") == 0


async def test_what_says_nothing_of_its_origin_is_no_browser(admin: Browser):
    token = await admin.token()
    del admin.headers["origin"], admin.headers["sec-fetch-site"]
    answer = await admin.post("/admin/queues/mail/pause", data={"form_token": token, "reason": "x"})
    assert answer.status_code == 403


@pytest.mark.parametrize("token", ["", "0" * 64, "ä", None])
async def test_a_form_without_its_token_does_nothing(admin: Browser, token: str | None):
    fields = {"reason": "x"} if token is None else {"reason": "x", "form_token": token}
    answer = await admin.post("/admin/queues/mail/pause", data=fields)
    assert (answer.status_code, "not of your present sign-in" in answer.text) == (403, True)
    assert await guard.value("select count(*) from queue_pauses") == 0


async def test_a_form_of_another_session_of_the_same_admin_does_nothing(app: Litestar, admin: Browser):
    async with browser(app) as other:
        await other.sign_in()
        token = await other.token()
    answer = await admin.press("/admin/queues/mail/pause", token=token, reason="x")
    assert answer.status_code == 403


async def test_a_sign_in_form_is_of_one_browser(app: Litestar, visitor: Browser):
    await a_user()
    async with browser(app) as other:
        token = await other.token("/admin/sign-in")
    fields = {"form_token": token, "email": "ada@example.com", "password": PASSWORD}
    for _ in range(2):
        answer = await visitor.post("/admin/sign-in", data=fields)
        assert (answer.status_code, "lain open too long" in answer.text) == (403, True)
    assert await guard.value("select count(*) from sessions") == 0


async def test_two_sign_in_forms_of_one_browser_are_both_good(visitor: Browser):
    await a_user()
    token = await visitor.token("/admin/sign-in")
    await visitor.token("/admin/sign-in")
    fields = {"form_token": token, "email": "ada@example.com", "password": PASSWORD}
    assert (await visitor.post("/admin/sign-in", data=fields)).status_code == 303


async def test_a_large_form_is_refused_unread(visitor: Browser):
    answer = await visitor.post("/admin/sign-in", data={"email": "x" * 20_000})
    assert answer.status_code == 413
    assert (await visitor.post("/admin/sign-in", json={"email": "x"})).status_code == 415


# Where a visitor is sent


@pytest.mark.parametrize(
    "wanted",
    [
        "", "/", "//evil.example", "https://evil.example", "/admin", "/adminx", "/admin//evil.example", "/admin/../api",
        "/admin/%2e%2e/api", "/admin/./x", "\\\\evil.example", "/admin/\\evil", "javascript:alert(1)", "/admin/jobs\r\nX: y",
        "//admin/jobs", "http:/admin/jobs", "/admin/sign-in?next=/admin/sign-in", "/admin/" + "x" * 1000, "/admin/jobs\u2028",
        " /admin/jobs", "//[", "/api/auth/logout",
    ],
)  # fmt: skip
async def test_nobody_is_sent_elsewhere_after_signing_in(visitor: Browser, wanted: str):
    assert safe_next(wanted) == "/admin/jobs"
    await a_user()
    assert (await visitor.sign_in(next=wanted)).headers["location"] == "/admin/jobs"


@pytest.mark.parametrize("wanted", ["/admin/jobs?kind=a%26b&x=//y", "/admin/workers", f"/admin/jobs/{UUID(int=1)}"])
def test_a_page_of_ours_is_where_one_is_sent(wanted: str):
    assert safe_next(wanted) == wanted


async def test_many_sign_in_at_the_same_moment(app: Litestar, visitor: Browser):
    await a_user()
    browsers = [browser(app) for _ in range(4)]
    answers = await asyncio.gather(*(one.sign_in() for one in browsers))
    assert [one.status_code for one in answers] == [303] * 4
    assert await guard.value("select count(*) from sessions") == 4


# The second step


async def test_a_password_alone_opens_nothing(visitor: Browser):
    await a_user()
    answer = await visitor.type_password(next="/admin/workers")
    assert (answer.status_code, answer.headers["location"]) == (303, "/admin/sign-in/code")
    assert await guard.value("select count(*) from sessions") == 0
    for page in PAGES:
        assert (await visitor.get(page)).headers["location"].startswith("/admin/sign-in?next=")
    entered = await visitor.type_code(APPS["ada@example.com"].now())
    assert (entered.status_code, entered.headers["location"]) == (303, "/admin/workers")
    assert await guard.value("select proved_at is not null from sessions") is True
    (deed,) = await audit.find(audit.Sought(action="admin.signed_in"), before=None, limit=9)
    assert deed.details == {"ip_address": "127.0.0.…", "method": "totp"}


async def test_a_code_works_once_and_a_backup_code_does_too(app: Litestar, visitor: Browser):
    await a_user()
    code, backup = APPS["ada@example.com"].now(), DRAWER["ada@example.com"].pop()
    for typed, status in ((code, 303), (code, 401), (f" {backup.lower()} ", 303), (backup, 401)):
        async with browser(app) as one:
            await one.type_password()
            answer = await one.type_code(typed)
            assert answer.status_code == status, typed
            assert ("This code is wrong" in answer.text) == (status == 401)
    assert await guard.value("select count(*) from sessions") == 2


@pytest.mark.parametrize("code", ["", "000000", "x", "x" * 41, "ABCDE-FGHI-JKLM", "a\0b", "١٢٣٤٥٦"])
async def test_a_wrong_code_opens_nothing_and_is_noted(visitor: Browser, code: str):
    await a_user()
    await visitor.type_password()
    answer = await visitor.type_code(code)
    assert (answer.status_code, "This code is wrong" in text_of(answer)) == (401, True)
    assert await guard.value("select count(*) from sessions") == 0


async def test_after_five_wrong_codes_the_page_says_when_to_come_back(visitor: Browser):
    await a_user()
    await visitor.type_password()
    for _ in range(5):
        assert (await visitor.type_code("000000")).status_code == 401
    answer = await visitor.type_code(APPS["ada@example.com"].now())
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0
    assert "Too many attempts. Come back in" in text_of(answer)
    assert await guard.value("select count(*) from sessions") == 0


@pytest.mark.parametrize(
    ("email", "password"),
    [("ada@example.com", "Wrong1234!"), ("nobody@example.com", "Wrong1234!"), ("client@example.com", PASSWORD)],
)
async def test_too_many_passwords_get_one_answer_too(visitor: Browser, email: str, password: str):
    await a_user()
    await a_user(Role.CLIENT, "client@example.com", factor=False)
    answers = [await visitor.sign_in(email, password) for _ in range(8)]
    statuses = [one.status_code for one in answers]
    assert (statuses[:5], statuses[-1]) == ([401] * 5, 429)
    assert answers[-1].headers["retry-after"] == "5"
    assert "Come back in 5 s." in text_of(answers[-1])
    right = await visitor.type_password(email, PASSWORD)
    assert right.status_code == 429


async def test_a_wrong_password_is_noted_for_its_owner(visitor: Browser):
    person = await a_user()
    await visitor.sign_in(password="Wrong1234!")
    assert await guard.value('select kind from security_events where "user" = $1', person.id) == (
        SecurityEventKind.SIGN_IN_FAILED.value
    )


async def test_an_admin_without_an_app_is_told_how_to_get_one(visitor: Browser):
    await a_user(factor=False)
    answer = await visitor.sign_in()
    assert answer.status_code == 403
    assert "./megilance admin factor --email ada@example.com" in text_of(answer)
    assert await guard.value("select count(*) from sessions") == 0
    assert await guard.value("select count(*) from sign_in_tickets") == 0


@pytest.mark.parametrize("refusal", [AccountSuspended, entrance.CredentialsWrong])
async def test_whoever_is_shut_out_between_hash_and_ticket_gets_the_same_answer(
    visitor: Browser, monkeypatch: pytest.MonkeyPatch, refusal: Any
):
    await a_user()

    async def refuse(*_: Any, **__: Any) -> None:
        raise refusal("in this very moment")

    monkeypatch.setattr(entrance, "admit", refuse)
    answer = await visitor.sign_in()
    assert (answer.status_code, "Address or password is wrong." in text_of(answer)) == (401, True)


async def test_a_second_form_without_a_first_leads_to_the_first(visitor: Browser):
    for answer in (
        await visitor.get("/admin/sign-in/code"),
        await visitor.post("/admin/sign-in/code", data={"code": "1"}),
    ):
        assert (answer.status_code, answer.headers["location"]) == (303, "/admin/sign-in")


@pytest.mark.parametrize("token", ["", "0" * 64])
async def test_a_second_form_of_another_sign_in_does_nothing(visitor: Browser, token: str):
    await a_user()
    await visitor.type_password()
    answer = await visitor.post("/admin/sign-in/code", data={"form_token": token, "code": DRAWER["ada@example.com"][0]})
    assert answer.headers["location"] == "/admin/sign-in"
    assert await guard.value("select count(*) from sessions") == 0


@pytest.mark.parametrize(
    "sql",
    [
        "update sign_in_tickets set used_at = now()",
        "update sign_in_tickets set created_at = now() - interval '301 s'",
        "update users set suspended_at = now()",
        "update users set role = 'client'",
    ],
)
async def test_what_ends_between_the_steps_ends_the_sign_in(visitor: Browser, sql: str):
    await a_user()
    await visitor.type_password()
    token = await visitor.token("/admin/sign-in/code")
    await guard.rows(sql)
    code = DRAWER["ada@example.com"].pop()
    answer = await visitor.post("/admin/sign-in/code", data={"form_token": token, "code": code})
    assert (answer.status_code, answer.headers["location"]) == (303, "/admin/sign-in")
    assert await guard.value("select count(*) from sessions") == 0


async def test_a_code_that_was_sent_is_no_admins(visitor: Browser, app: Litestar):
    person = await a_user()
    await visitor.type_password()
    await guard.rows("update sign_in_tickets set methods = '{email,totp}'")
    await guard.commit(entrance.tickets.send_code, person.id, Method.EMAIL, Purpose.SIGN_IN, "ada@example.com")
    sent = await guard.only("select id, created_at from security_codes")
    answer = await visitor.type_code(app.state.tokens.code(sent["id"], sent["created_at"]))
    assert answer.status_code == 401
    assert await guard.value("select count(*) from sessions") == 0


def test_a_begun_sign_in_waits_five_minutes():
    now = [1_000_000.0]
    seals = Seals(settings.Tokens("k" * 40, (), "HS256", 30), lambda: now[0])
    begun = Begun(uuid7(), 7, 1_000_000, "/admin/jobs")
    cookie = seals.begun_cookie(begun)
    now[0] += BEGUN_S
    assert seals.read_begun(cookie) == begun
    assert seals.read_visit(cookie) is None
    now[0] += 1
    assert seals.read_begun(cookie) is None


# Sign-ins that were left alone


async def test_a_session_without_a_second_factor_is_no_sign_in(admin: Browser):
    await guard.rows("update sessions set proved_at = null")
    assert (await admin.get("/admin/jobs")).status_code == 303


@pytest.mark.parametrize("aged", [(0, IDLE_S + 1), (LONGEST_S + 1, 0)])
async def test_a_sign_in_that_was_left_alone_ends_with_its_session_when_it_is_seen(
    admin: Browser, aged: tuple[int, int]
):
    seals = Seals(settings.load().tokens)
    visit = seals.read_visit(admin.cookies["megilance_admin"])
    assert visit is not None
    old = seals.visit_cookie(Visit(visit.session_id, visit.began_s - aged[0], visit.seen_s - aged[1]))
    for _ in range(2):
        assert (await admin.get("/admin/jobs", headers={"Cookie": f"megilance_admin={old}"})).status_code == 303
    assert await guard.value("select revoked_because from sessions") == "left_alone"
    assert (await admin.get("/admin/jobs")).status_code == 303


async def test_credentials_know_a_network_of_before(admin: Browser):
    known = await accounts.read_credentials("ada@example.com", "127.0.0.0/24")
    assert known is not None
    assert known.familiar
