"""Passwords forgotten, reset and changed: links that work once, sessions that end, and nothing that tells who exists."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from litestar import Litestar

from models import erasure, guard
from tests.api.conftest import PASSWORD, Client, SignedIn
from tests.api.links import events_of, mails_of, newest_link
from wire.tokens import Purpose, Tokens

NEW = "Another-Pass-9!"
RESET = "password_reset_request"


async def sign_in(client: Client, password: str, email: str = "user0@example.com") -> int:
    answer = await client.post("/api/auth/login", json={"email": email, "password": password})
    return answer.status_code


async def forget(client: Client, email: str = "user0@example.com"):
    return await client.post("/api/auth/forgot-password", json={"email": email})


async def reset(client: Client, token: str, password: str = NEW):
    return await client.post("/api/auth/reset-password", json={"token": token, "new_password": password})


async def is_valid(client: Client, token: str) -> bool:
    answer = await client.post("/api/auth/validate-reset-token", json={"token": token})
    assert answer.status_code == 200
    assert set(answer.json()) == {"valid"}
    return answer.json()["valid"]


async def minute_passes() -> None:
    await guard.rows("update throttles set blocked_until = null")
    await guard.rows("update mails set key = key || ':earlier'")


# Forgotten


@pytest.mark.parametrize(
    "email", ["nobody@example.com", "no address", "us\x00er@example.com", "", "x" * 1024, "\u202e@x"]
)
async def test_whoever_asks_gets_the_same_answer_and_only_the_owner_a_mail(
    signed_in: SignedIn, client: Client, email: str
):
    one = await signed_in()
    answers = [await forget(client), await forget(client, email)]
    assert [(answer.status_code, answer.content) for answer in answers] == [(202, b"null")] * 2
    assert await mails_of(one.me["id"]) == [RESET]
    assert await guard.value("select count(*) from mails where kind = $1", RESET) == 1
    assert await events_of(one.me["id"]) == ["password_reset_asked"]


async def test_any_spelling_of_an_address_finds_its_account(signed_in: SignedIn, client: Client):
    one = await signed_in()
    await forget(client, "  USER0@Example.com ")
    assert await mails_of(one.me["id"]) == [RESET]


async def test_at_most_one_mail_a_minute_however_many_ask_at_once(signed_in: SignedIn, client: Client):
    one = await signed_in()
    answers = await asyncio.gather(*(forget(client) for _ in range(6)))
    assert {answer.status_code for answer in answers} == {202}
    assert await mails_of(one.me["id"]) == [RESET]
    await minute_passes()
    await forget(client)
    assert await mails_of(one.me["id"]) == [RESET] * 2


async def test_an_erased_account_gets_no_mail(signed_in: SignedIn, client: Client):
    one = await signed_in()
    await guard.rows("update users set erased_at = now()")
    assert (await forget(client)).status_code == 202
    assert await mails_of(one.me["id"]) == []


# Reset


async def test_a_reset_sets_the_password_ends_every_session_and_tells_the_owner(
    app: Litestar, signed_in: SignedIn, client: Client
):
    one = await signed_in()
    await forget(client)
    token = await newest_link(app, one.me["id"], RESET)
    answer = await reset(client, token)
    assert (answer.status_code, answer.json()) == (200, {"password_reset": True})
    assert (await one.get("/api/auth/me")).status_code == 401
    refreshed = await client.post("/api/auth/refresh", json={"refresh_token": one.tokens["refresh_token"]})
    assert refreshed.status_code == 401
    assert (await sign_in(client, PASSWORD), await sign_in(client, NEW)) == (401, 200)
    assert await mails_of(one.me["id"]) == [RESET, "password_reset_success"]
    assert await guard.value("select context->>'how' from mails where kind = 'password_reset_success'") == "reset"
    assert (await events_of(one.me["id"]))[:2] == ["password_reset_asked", "password_reset"]
    assert await guard.value("select password_changed_at > created_at from users")


async def test_a_reset_link_works_once(app: Litestar, signed_in: SignedIn, client: Client):
    one = await signed_in()
    await forget(client)
    token = await newest_link(app, one.me["id"], RESET)
    assert (await reset(client, token)).status_code == 200
    again = await reset(client, token, "Third-Pass-77!")
    assert (again.status_code, again.json()["code"]) == (422, "link_invalid")
    assert again.json()["errors"][0]["field"] == "token"
    assert await sign_in(client, NEW) == 200


async def test_of_two_resets_at_the_same_moment_one_wins(app: Litestar, signed_in: SignedIn, client: Client):
    one = await signed_in()
    await forget(client)
    token = await newest_link(app, one.me["id"], RESET)
    answers = await asyncio.gather(*(reset(client, token, f"Another-Pass-{n}!") for n in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 422, 422, 422]
    winner = [answer.status_code for answer in answers].index(200)
    assert await sign_in(client, f"Another-Pass-{winner}!") == 200
    assert (await mails_of(one.me["id"])).count("password_reset_success") == 1


async def test_a_reset_that_waited_for_an_erasure_gives_nobody_a_password(
    app: Litestar, signed_in: SignedIn, client: Client
):
    one = await signed_in()
    await forget(client)
    token = await newest_link(app, one.me["id"], RESET)

    async def erase_slowly() -> None:
        await erasure.erase(one.me["id"])
        begun.set()
        await asyncio.sleep(0.5)

    begun = asyncio.Event()
    erasing = asyncio.create_task(guard.commit(erase_slowly))
    await begun.wait()
    assert (await reset(client, token)).json().get("code") == "link_invalid"
    await erasing
    assert await guard.value("select password_hash from users where id = $1", one.me["id"]) == ""


async def test_a_reset_uses_up_every_other_link(app: Litestar, signed_in: SignedIn, client: Client):
    one = await signed_in()
    await forget(client)
    older = await newest_link(app, one.me["id"], RESET)
    await minute_passes()
    await forget(client)
    newer = await newest_link(app, one.me["id"], RESET)
    assert await is_valid(client, older)
    assert (await reset(client, older)).status_code == 200
    assert not await is_valid(client, newer)
    assert (await reset(client, newer, "Third-Pass-77!")).status_code == 422


async def test_asking_whether_a_link_is_good_uses_nothing_up(app: Litestar, signed_in: SignedIn, client: Client):
    one = await signed_in()
    await forget(client)
    token = await newest_link(app, one.me["id"], RESET)
    assert [await is_valid(client, token) for _ in range(3)] == [True] * 3
    assert await is_valid(client, await newest_link(app, one.me["id"], RESET, age_s=3590))
    assert not await is_valid(client, await newest_link(app, one.me["id"], RESET, age_s=3601))
    assert (await reset(client, token)).status_code == 200
    assert not await is_valid(client, token)


async def test_no_other_token_resets_a_password(app: Litestar, signed_in: SignedIn, client: Client):
    one = await signed_in()
    await forget(client)
    tokens: Tokens = app.state.tokens
    mail_id = await guard.value("select id from mails where kind = $1", RESET)
    welcome = await guard.value("select id from mails where kind = 'welcome_email'")
    now = datetime.now(UTC)
    for token in (
        await newest_link(app, one.me["id"], RESET, age_s=3605),
        await newest_link(app, one.me["id"], "email_verification"),
        tokens.link_token(Purpose.EMAIL_CHANGE, mail_id, now),
        tokens.link_token(Purpose.PASSWORD_RESET, welcome, now),
        tokens.link_token(Purpose.PASSWORD_RESET, 2**40, now),
        Tokens("x" * 40).link_token(Purpose.PASSWORD_RESET, mail_id, now),
        one.tokens["access_token"],
        "",
        "null\x00byte",
    ):
        answer = await reset(client, token)
        assert (answer.status_code, answer.json()["code"]) == (422, "link_invalid"), token
        assert not await is_valid(client, token)
    assert (await one.get("/api/auth/me")).status_code == 200
    assert await sign_in(client, PASSWORD) == 200


@pytest.mark.parametrize(
    "password", ["short1!", "nouppercase123!", "P@ssw0rd1!", "Aa1!" + "x" * 125, "Nu\x00ll-Byte-123"]
)
async def test_a_weak_password_is_refused_by_name_and_leaves_the_link_good(
    app: Litestar, signed_in: SignedIn, client: Client, password: str
):
    one = await signed_in()
    await forget(client)
    token = await newest_link(app, one.me["id"], RESET)
    answer = await reset(client, token, password)
    assert (answer.status_code, answer.json()["code"]) == (422, "password_too_weak")
    assert answer.json()["errors"][0]["field"] == "new_password"
    assert await is_valid(client, token)
    assert (await one.get("/api/auth/me")).status_code == 200


async def test_a_reset_ends_a_half_finished_sign_in_and_keeps_the_factors(
    app: Litestar, signed_in: SignedIn, client: Client
):
    one = await signed_in()
    await guard.rows(
        """insert into mfa_methods ("user", method, name, sign_count, created_at, confirmed_at)
           values ($1, 'totp', '', 0, now(), now())""",
        one.me["id"],
    )
    assert await sign_in(client, PASSWORD) == 200
    assert await guard.value("select used_at from sign_in_tickets") is None
    await forget(client)
    assert (await reset(client, await newest_link(app, one.me["id"], RESET))).status_code == 200
    assert await guard.value("select used_at is not null from sign_in_tickets")
    known = {"email": "user0@example.com", "password": NEW}
    assert (await client.post("/api/auth/login", json=known)).json()["requires_2fa"] is True


async def test_a_suspended_account_stays_suspended(app: Litestar, signed_in: SignedIn, client: Client):
    one = await signed_in()
    await guard.rows("update users set suspended_at = now()")
    await forget(client)
    assert (await reset(client, await newest_link(app, one.me["id"], RESET))).status_code == 200
    assert await sign_in(client, NEW) == 403


async def test_a_reset_forgets_who_guessed(app: Litestar, signed_in: SignedIn, client: Client):
    one = await signed_in()
    for _ in range(6):
        assert await sign_in(client, "Wrong-Pass-1!") == 401
    assert await sign_in(client, PASSWORD) == 429
    await forget(client)
    assert (await reset(client, await newest_link(app, one.me["id"], RESET))).status_code == 200
    assert await sign_in(client, NEW) == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("forgot-password", {"email": "user0@example.com", "user_id": 1}),
        ("forgot-password", {}),
        ("forgot-password", {"email": 7}),
        ("forgot-password", {"email": "x" * 1025}),
        ("validate-reset-token", {"token": "x", "consume": True}),
        ("validate-reset-token", {"token": "x" * 1025}),
        ("reset-password", {"token": "x", "new_password": NEW, "email": "user0@example.com"}),
        ("reset-password", {"token": "x"}),
        ("reset-password", {"token": ["x"], "new_password": NEW}),
        ("reset-password", {"token": "x" * 1025, "new_password": NEW}),
        ("reset-password", {"token": "x", "new_password": "x" * 1025}),
    ],
)
async def test_bodies_of_another_shape_are_refused(client: Client, path: str, body: dict):
    assert (await client.post(f"/api/auth/{path}", json=body)).status_code == 422


# The page behind the link


async def test_the_reset_page_consumes_nothing_until_its_button_is_pressed(
    app: Litestar, signed_in: SignedIn, client: Client
):
    one = await signed_in()
    await forget(client)
    token = await newest_link(app, one.me["id"], RESET)
    for _ in range(2):
        page = await client.get("/reset-password", params={"token": token})
        assert (page.status_code, f'value="{token}"' in page.text) == (200, True)
    assert page.headers["referrer-policy"] == "no-referrer"
    assert "form-action 'self'" in page.headers["content-security-policy"]
    weak = await client.post("/reset-password", data={"token": token, "new_password": "weak"})
    assert (weak.status_code, "8 to 128 characters." in weak.text, token in weak.text) == (422, True, True)
    assert "weak" not in weak.text
    assert await is_valid(client, token)
    pressed = await client.post("/reset-password", data={"token": token, "new_password": NEW})
    assert (pressed.status_code, "Your new password is set" in pressed.text) == (200, True)
    assert await sign_in(client, NEW) == 200
    again = await client.post("/reset-password", data={"token": token, "new_password": NEW})
    assert (again.status_code, "That did not work" in again.text) == (422, True)


async def test_a_password_that_looks_like_something_else_stays_what_was_typed(
    app: Litestar, signed_in: SignedIn, client: Client
):
    one = await signed_in()
    await forget(client)
    token = await newest_link(app, one.me["id"], RESET)
    odd = '{"A": "b+c&d=1 %20!"}'
    pressed = await client.post("/reset-password", data={"token": token, "new_password": odd})
    assert pressed.status_code == 200
    assert await sign_in(client, odd) == 200


async def test_the_reset_page_shows_no_markup_of_somebody_elses(client: Client):
    page = await client.get("/reset-password", params={"token": '"><script>alert(1)</script>'})
    assert (page.status_code, "<script>" in page.text) == (200, False)
    pressed = await client.post("/reset-password", data={"token": "<b>", "new_password": "<i>weak"})
    assert (pressed.status_code, "<b>" in pressed.text, "<i>" in pressed.text) == (422, False, False)
    assert (await client.post("/reset-password", json={"token": "x", "new_password": NEW})).status_code == 415


# Changed


def change(current: str = PASSWORD, new: str = NEW) -> dict[str, str]:
    return {"current_password": current, "new_password": new}


async def test_a_change_ends_every_session_and_answers_a_new_pair(signed_in: SignedIn, client: Client):
    one = await signed_in()
    elsewhere = {"email": "user0@example.com", "password": PASSWORD}
    other = (await client.post("/api/auth/login", json=elsewhere)).json()
    answer = await one.post("/api/auth/change-password", json=change())
    assert answer.status_code == 200
    pair = answer.json()
    for token in (one.tokens["access_token"], other["access_token"]):
        refused = await client.get("/api/auth/me", headers={"Authorization": f"Bearer {token}"})
        assert refused.status_code == 401
    me = await client.get("/api/auth/me", headers={"Authorization": f"Bearer {pair['access_token']}"})
    assert me.status_code == 200
    refreshed = await client.post("/api/auth/refresh", json={"refresh_token": pair["refresh_token"]})
    assert refreshed.status_code == 200
    assert (await sign_in(client, PASSWORD), await sign_in(client, NEW)) == (401, 200)
    assert await mails_of(one.me["id"]) == ["password_reset_success"]
    assert await guard.value("select context->>'how' from mails where kind = 'password_reset_success'") == "changed"
    assert "password_changed" in await events_of(one.me["id"])


async def test_a_wrong_present_password_changes_nothing_and_too_many_wait(signed_in: SignedIn, client: Client):
    one = await signed_in()
    for _ in range(6):
        wrong = await one.post("/api/auth/change-password", json=change("Wrong-Pass-1!"))
        assert (wrong.status_code, wrong.json()["code"]) == (422, "password_wrong")
    blocked = await one.post("/api/auth/change-password", json=change())
    assert (blocked.status_code, blocked.json()["code"]) == (429, "throttled")
    assert 1 <= int(blocked.headers["retry-after"]) <= 5
    assert (await one.get("/api/auth/me")).status_code == 200
    assert await sign_in(client, PASSWORD) == 200
    assert await mails_of(one.me["id"]) == []


async def test_a_weak_new_password_is_refused_by_name(signed_in: SignedIn):
    one = await signed_in()
    answer = await one.post("/api/auth/change-password", json=change(new="weak"))
    assert (answer.status_code, answer.json()["code"]) == (422, "password_too_weak")
    assert answer.json()["errors"][0]["field"] == "new_password"


async def test_with_a_second_factor_a_change_needs_it_proved_of_late_and_keeps_it_proved(
    signed_in: SignedIn, client: Client
):
    one = await signed_in()
    await guard.rows(
        """insert into mfa_methods ("user", method, name, sign_count, created_at, confirmed_at)
           values ($1, 'totp', '', 0, now(), now())""",
        one.me["id"],
    )
    refused = await one.post("/api/auth/change-password", json=change())
    assert (refused.status_code, refused.json()["code"]) == (403, "step_up_required")
    proved = datetime.now(UTC) - timedelta(minutes=1)
    await guard.rows("update sessions set proved_at = $1", proved - timedelta(minutes=5))
    assert (await one.post("/api/auth/change-password", json=change())).status_code == 403
    await guard.rows("update sessions set proved_at = $1", proved)
    assert (await one.post("/api/auth/change-password", json=change())).status_code == 200
    assert await guard.value("select proved_at from sessions where revoked_at is null") == proved


async def test_a_change_ends_reset_links_and_address_changes_that_wait(
    app: Litestar, signed_in: SignedIn, client: Client
):
    one = await signed_in()
    await forget(client)
    wanted = {"new_email": "thief@example.com", "password": PASSWORD}
    assert (await one.post("/api/auth/change-email", json=wanted)).status_code == 202
    links = [await newest_link(app, one.me["id"], kind) for kind in (RESET, "email_change")]
    assert (await one.post("/api/auth/change-password", json=change())).status_code == 200
    assert (await reset(client, links[0], "Third-Pass-77!")).status_code == 422
    assert (await client.post("/api/auth/verify-email", json={"token": links[1]})).status_code == 422
    assert await guard.value("select email from users") == "user0@example.com"


async def test_a_reset_and_a_change_at_the_same_moment_leave_one_password_and_no_stranger(
    app: Litestar, signed_in: SignedIn, client: Client
):
    one = await signed_in()
    await forget(client)
    token = await newest_link(app, one.me["id"], RESET)
    answers = await asyncio.gather(
        reset(client, token, "Reset-Pass-11!"), one.post("/api/auth/change-password", json=change())
    )
    # Whichever came first: the change ends the link, or the reset ends the session.
    assert sorted(answer.status_code == 200 for answer in answers) == [False, True]
    wins = "Reset-Pass-11!" if answers[0].status_code == 200 else NEW
    loses = NEW if wins != NEW else "Reset-Pass-11!"
    assert (await sign_in(client, loses), await sign_in(client, wins)) == (401, 200)


@pytest.mark.parametrize("extra", [{"user_id": 1}, {"email": "x@example.com"}, {"password_hash": "x"}])
async def test_a_change_takes_nothing_else(signed_in: SignedIn, extra: dict):
    one = await signed_in()
    assert (await one.post("/api/auth/change-password", json=change() | extra)).status_code == 422
