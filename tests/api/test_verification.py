"""Proving an address and changing it: links that work once, and a page that consumes nothing until it is pressed."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from litestar import Litestar

from models import guard
from tests.api.conftest import PASSWORD, Client, SignedIn, registration
from tests.api.links import events_of, mails_of, newest_link
from wire.tokens import Purpose, Tokens


@pytest.fixture
def limited(environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings as they are where limits are not lifted."""
    monkeypatch.setenv("RATE_LIMIT_USER", "240/60")


async def link_of(app: Litestar, user_id: int, *, kind: str = "email_verification", age_s: float = 0) -> str:
    found = await guard.only('select id from mails where "user" = $1 and kind = $2', user_id, kind)
    tokens: Tokens = app.state.tokens
    moment = datetime.now(UTC) - timedelta(seconds=age_s)
    return tokens.link_token(Purpose.EMAIL_VERIFICATION, found["id"], moment)


async def test_a_verification_link_verifies_once_and_answers_alike_twice(
    app: Litestar, signed_in: SignedIn, client: Client
):
    one = await signed_in()
    token = await link_of(app, one.me["id"])
    for _ in range(2):
        response = await client.post("/api/auth/verify-email", json={"token": token})
        assert (response.status_code, response.json()) == (200, {"email_verified": True})
    assert (await one.get("/api/auth/me")).json()["email_verified"] is True
    assert await events_of(one.me["id"]) == ["email_verified"]


async def test_a_second_link_to_a_verified_account_is_used_up_and_nothing_is_noted(
    app: Litestar, signed_in: SignedIn, client: Client
):
    one = await signed_in()
    first = await link_of(app, one.me["id"])
    await guard.rows("update mails set key = key || ':earlier'")
    await one.post("/api/auth/resend-verification")
    second = await newest_link(app, one.me["id"], "email_verification")
    for token in (first, second):
        assert (await client.post("/api/auth/verify-email", json={"token": token})).status_code == 200
    assert await events_of(one.me["id"]) == ["email_verified"]


async def test_a_used_link_does_not_verify_an_address_again(app: Litestar, signed_in: SignedIn, client: Client):
    one = await signed_in()
    token = await link_of(app, one.me["id"])
    await client.post("/api/auth/verify-email", json={"token": token})
    await guard.rows("update users set email_verified_at = null")
    response = await client.post("/api/auth/verify-email", json={"token": token})
    assert (response.status_code, response.json()["code"]) == (422, "link_invalid")
    assert (await one.get("/api/auth/me")).json()["email_verified"] is False


async def test_an_old_link_a_foreign_mails_link_and_nonsense_verify_nothing(
    app: Litestar, signed_in: SignedIn, client: Client
):
    one = await signed_in()
    links = [
        await link_of(app, one.me["id"], age_s=24 * 3600 + 5),
        await link_of(app, one.me["id"], kind="welcome_email"),
        Tokens("x" * 40).link_token(Purpose.EMAIL_VERIFICATION, 1, datetime.now(UTC)),
        app.state.tokens.link_token(Purpose.PASSWORD_RESET, 1, datetime.now(UTC)),
        one.tokens["access_token"],
        "",
        "null\x00byte",
    ]
    for token in links:
        response = await client.post("/api/auth/verify-email", json={"token": token})
        assert (response.status_code, response.json()["code"]) == (422, "link_invalid")
        assert response.json()["errors"][0]["field"] == "token"
    assert (await one.get("/api/auth/me")).json()["email_verified"] is False


async def test_another_mail_is_sent_at_most_once_a_minute_and_never_to_the_verified(signed_in: SignedIn):
    one = await signed_in()
    for _ in range(3):
        assert (await one.post("/api/auth/resend-verification")).status_code == 202
    count = "select count(*) from mails where kind = 'email_verification'"
    sent = await guard.value(count)
    assert sent in (2, 3)  # 3 when a minute ended meanwhile
    await guard.rows("update users set email_verified_at = now()")
    await guard.rows("delete from mails where key like '%again%'")
    assert (await one.post("/api/auth/resend-verification")).status_code == 202
    assert await guard.value(count) == 1


async def test_the_page_behind_a_link_consumes_nothing_until_its_button_is_pressed(
    app: Litestar, signed_in: SignedIn, client: Client
):
    one = await signed_in()
    token = await link_of(app, one.me["id"])
    page = await client.get("/verify-email", params={"token": token})
    assert page.status_code == 200
    assert f'value="{token}"' in page.text
    assert page.headers["referrer-policy"] == "no-referrer"
    assert (await one.get("/api/auth/me")).json()["email_verified"] is False
    pressed = await client.post("/verify-email", data={"token": token})
    assert (pressed.status_code, "confirmed" in pressed.text) == (200, True)
    assert (await one.get("/api/auth/me")).json()["email_verified"] is True


async def test_the_page_shows_no_markup_of_somebody_elses(client: Client):
    page = await client.get("/verify-email", params={"token": '"><script>alert(1)</script>'})
    assert "<script>" not in page.text
    pressed = await client.post("/verify-email", data={"token": "<b>"})
    assert (pressed.status_code, "<b>" in pressed.text) == (422, False)
    assert (await client.post("/verify-email", json={"token": "x"})).status_code == 415


# Another address


CHANGE = {"new_email": "New.Name@Example.org", "password": PASSWORD}


async def ask(one: Client, **changed: str):
    return await one.post("/api/auth/change-email", json=CHANGE | changed)


async def follow(client: Client, token: str):
    return await client.post("/api/auth/verify-email", json={"token": token})


async def test_an_address_changes_when_the_link_mailed_to_the_new_one_is_followed(
    app: Litestar, signed_in: SignedIn, client: Client
):
    one = await signed_in()
    elsewhere = {"email": "user0@example.com", "password": PASSWORD}
    other = (await client.post("/api/auth/login", json=elsewhere)).json()
    answer = await ask(one)
    assert (answer.status_code, answer.content) == (202, b"null")
    assert (await one.get("/api/auth/me")).json()["email"] == "user0@example.com"
    assert await guard.value("select address from mails where kind = 'email_change'") == "New.Name@Example.org"

    token = await newest_link(app, one.me["id"], "email_change")
    for _ in range(2):  # pressed twice
        followed = await follow(client, token)
        assert (followed.status_code, followed.json()) == (200, {"email_verified": True})
    me = (await one.get("/api/auth/me")).json()
    assert (me["email"], me["email_verified"]) == ("New.Name@Example.org", True)
    # Other sessions stay; the old address opens nothing, the new one does.
    kept = await client.get("/api/auth/me", headers={"Authorization": f"Bearer {other['access_token']}"})
    assert kept.status_code == 200
    assert (await client.post("/api/auth/login", json=elsewhere)).status_code == 401
    renamed = {"email": "new.name@example.org", "password": PASSWORD}
    assert (await client.post("/api/auth/login", json=renamed)).status_code == 200


async def test_the_old_address_is_told_and_the_change_is_written_down(
    app: Litestar, signed_in: SignedIn, client: Client
):
    one = await signed_in()
    await ask(one)
    token = await newest_link(app, one.me["id"], "email_change")
    for _ in range(2):
        await follow(client, token)
    assert await mails_of(one.me["id"]) == ["email_change", "email_changed"]
    told = await guard.only("select address, context->>'new_address_hint' as hint from mails where kind = $1",
                            "email_changed")  # fmt: skip
    assert tuple(told) == ("user0@example.com", "N…@Example.org")
    assert (await events_of(one.me["id"])).count("email_changed") == 1
    (deed,) = await guard.rows(
        "select a.actor_id, a.subject_kind, a.subject_id, to_jsonb(a)::text as said from audit_log a where action = $1",
        "account.email_changed",
    )
    assert tuple(deed)[:3] == (one.me["id"], "user", str(one.me["id"]))
    assert "u…@example.com" in deed["said"]
    assert "N…@Example.org" in deed["said"]
    assert "user0@" not in deed["said"]


async def test_a_taken_address_gets_the_same_answer_and_no_mail(signed_in: SignedIn):
    one, _ = await signed_in(), await signed_in()
    for taken in ("user1@example.com", " USER1@example.com", "user0@example.com"):
        answer = await ask(one, new_email=taken)
        assert (answer.status_code, answer.content) == (202, b"null")
    assert await guard.value("select count(*) from mails where kind = 'email_change'") == 0


async def test_whoever_takes_the_address_meanwhile_has_it(app: Litestar, signed_in: SignedIn, client: Client):
    one = await signed_in()
    await ask(one)
    token = await newest_link(app, one.me["id"], "email_change")
    await client.post("/api/auth/register", json=registration(email="new.name@example.org"))
    for _ in range(2):
        refused = await follow(client, token)
        assert (refused.status_code, refused.json()["code"]) == (409, "email_taken")
    assert (await one.get("/api/auth/me")).json()["email"] == "user0@example.com"
    assert await guard.value("select count(*) from mails where kind = 'email_changed'") == 0


async def test_of_two_accounts_that_want_one_address_at_once_one_gets_it(
    app: Litestar, signed_in: SignedIn, client: Client
):
    people = [await signed_in() for _ in range(2)]
    for one in people:
        await ask(one)
    tokens = [await newest_link(app, one.me["id"], "email_change") for one in people]
    answers = await asyncio.gather(*(follow(client, token) for token in tokens))
    assert sorted(one.status_code for one in answers) == [200, 409]
    assert await guard.value("select count(*) from users where email_key = 'new.name@example.org'") == 1


async def test_a_change_needs_the_password_and_at_most_one_mail_a_minute_goes_out(signed_in: SignedIn):
    one = await signed_in()
    wrong = await ask(one, password="Wrong-Pass-1!")
    assert (wrong.status_code, wrong.json()["code"]) == (422, "password_wrong")
    assert await mails_of(one.me["id"]) == []
    for _ in range(3):
        assert (await ask(one)).status_code == 202
    assert len(await mails_of(one.me["id"])) in (1, 2)  # 2 when a minute ended meanwhile


async def test_with_a_second_factor_a_change_needs_it_proved_of_late(signed_in: SignedIn):
    one = await signed_in()
    await guard.rows(
        """insert into mfa_methods ("user", method, name, sign_count, created_at, confirmed_at)
           values ($1, 'totp', '', 0, now(), now())""",
        one.me["id"],
    )
    refused = await ask(one)
    assert (refused.status_code, refused.json()["code"]) == (403, "step_up_required")
    await guard.rows("update sessions set proved_at = now()")
    assert (await ask(one)).status_code == 202


async def test_after_a_change_no_link_to_the_old_address_works(app: Litestar, signed_in: SignedIn, client: Client):
    one = await signed_in()
    verification = await newest_link(app, one.me["id"], "email_verification")
    await client.post("/api/auth/forgot-password", json={"email": "user0@example.com"})
    reset = await newest_link(app, one.me["id"], "password_reset_request")
    await ask(one, new_email="first@example.org")
    first = await newest_link(app, one.me["id"], "email_change")
    await ask(one, new_email="second@example.org")
    second = await newest_link(app, one.me["id"], "email_change")
    assert (await follow(client, second)).status_code == 200
    assert (await follow(client, first)).status_code == 422
    body = {"token": reset, "new_password": "Another-Pass-9!"}
    assert (await client.post("/api/auth/reset-password", json=body)).status_code == 422
    await guard.rows("update users set email_verified_at = null")
    assert (await follow(client, verification)).status_code == 422
    assert (await one.get("/api/auth/me")).json()["email"] == "second@example.org"


async def test_an_old_change_and_one_of_an_erased_account_change_nothing(
    app: Litestar, signed_in: SignedIn, client: Client
):
    one = await signed_in()
    await ask(one)
    old = await newest_link(app, one.me["id"], "email_change", age_s=24 * 3600 + 5)
    assert (await follow(client, old)).status_code == 422
    await guard.rows("update users set erased_at = now()")
    assert (await follow(client, await newest_link(app, one.me["id"], "email_change"))).status_code == 422
    assert await guard.value("select email from users") == "user0@example.com"


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"new_email": "nonsense"}, "new_email"),
        ({"new_email": "us\x00er@example.com"}, "new_email"),
        ({"new_email": "a" * 250 + "@example.com"}, "new_email"),
        ({"new_email": None}, "new_email"),
        ({"password": None}, "password"),
        ({"password": "x" * 1025}, "password"),
        ({"email_verified": True}, "email_verified"),
        ({"user_id": 1}, "user_id"),
        ({"role": "admin"}, "role"),
    ],
)
async def test_a_change_of_another_shape_is_refused_by_name(signed_in: SignedIn, changed: dict, field: str):
    one = await signed_in()
    answer = await one.post("/api/auth/change-email", json=CHANGE | changed)
    assert answer.status_code == 422
    assert [problem["field"] for problem in answer.json()["errors"]] == [field]
    assert await mails_of(one.me["id"]) == []


async def test_whoever_registers_anothers_address_cannot_have_it_written_to_all_day(limited: None, signed_in: SignedIn):
    one = await signed_in()
    answers = [(await one.post("/api/auth/resend-verification")) for _ in range(11)]
    assert [answer.status_code for answer in answers] == [202] * 10 + [429]
    assert 8_000 < int(answers[-1].headers["Retry-After"]) <= 8_640
