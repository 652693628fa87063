"""Proving an address: a link that works once, and a page that consumes nothing until its button is pressed."""

from datetime import UTC, datetime, timedelta

from litestar import Litestar

from models import guard
from tests.api.conftest import Client, SignedIn
from wire.tokens import Purpose, Tokens


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
