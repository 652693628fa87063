"""Signing in, staying signed in, signing out; tokens that are believed, and every way to forge one."""

import asyncio
from uuid import UUID

import bcrypt
import jwt
import pytest
from litestar import Litestar

from models import guard, sessions
from models.base import uuid7
from tests.api.conftest import PASSWORD, Client, SignedIn, registration
from wire.tokens import Purpose

LOGIN = {"email": "user@example.com", "password": PASSWORD}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


# Signing in


async def test_signing_in_answers_the_sources_body(client: Client):
    await client.post("/api/auth/register", json=registration())
    response = await client.post("/api/auth/login", json=LOGIN, headers={"user-agent": "Te\x7fst"})
    assert response.status_code == 200
    body = response.json()
    assert set(body) == {"access_token", "refresh_token", "token_type", "requires_2fa", "mfa_token", "methods"}
    assert (body["token_type"], body["requires_2fa"]) == ("bearer", False)
    assert (body["mfa_token"], body["methods"]) == (None, [])
    me = await client.get("/api/auth/me", headers=bearer(body["access_token"]))
    assert (me.status_code, me.json()["email"]) == (200, "user@example.com")
    assert (await guard.only("select ip_address from sessions"))["ip_address"] == "127.0.0.1"


async def test_an_unknown_address_and_a_wrong_password_look_alike(client: Client):
    await client.post("/api/auth/register", json=registration())
    answers = [
        await client.post("/api/auth/login", json={"email": email, "password": password})
        for email, password in (
            ("user@example.com", "Wrong1234!"),
            ("nobody@example.com", PASSWORD),
            ("no address", PASSWORD),
            ("us\x00er@example.com", PASSWORD),
        )
    ]
    assert {one.status_code for one in answers} == {401}
    bodies = [{**one.json(), "request_id": None} for one in answers]
    assert all(one == bodies[0] for one in bodies)
    assert bodies[0]["code"] == "credentials_wrong"
    assert await guard.value("select count(*) from sessions") == 0


async def test_an_account_without_a_password_lets_nobody_in(client: Client):
    await client.post("/api/auth/register", json=registration())
    await guard.rows("update users set password_hash = ''")
    for password in (PASSWORD, "", "nobody has this password"):
        response = await client.post("/api/auth/login", json={**LOGIN, "password": password})
        assert response.status_code == 401


async def test_an_old_bcrypt_hash_is_replaced_at_sign_in(client: Client):
    await client.post("/api/auth/register", json=registration())
    old = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    await guard.rows("update users set password_hash = $1", old)
    assert (await client.post("/api/auth/login", json=LOGIN)).status_code == 200
    assert (await guard.value("select password_hash from users")).startswith("$argon2id$")
    assert (await client.post("/api/auth/login", json=LOGIN)).status_code == 200


async def test_a_suspended_account_is_told_only_after_its_password(client: Client):
    await client.post("/api/auth/register", json=registration())
    await guard.rows("update users set suspended_at = now()")
    right = await client.post("/api/auth/login", json=LOGIN)
    assert (right.status_code, right.json()["code"]) == (403, "account_suspended")
    wrong = await client.post("/api/auth/login", json={**LOGIN, "password": "Wrong1234!"})
    assert (wrong.status_code, wrong.json()["code"]) == (401, "credentials_wrong")
    assert await guard.value("select count(*) from sessions") == 0


async def test_a_deactivated_account_comes_back_by_signing_in(client: Client):
    me = (await client.post("/api/auth/register", json=registration())).json()
    await guard.rows("update users set deactivated_at = now()")
    wrong = await client.post("/api/auth/login", json={**LOGIN, "password": "Wrong1234!"})
    assert wrong.status_code == 401
    assert await guard.value("select deactivated_at is not null from users")
    tokens = (await client.post("/api/auth/login", json=LOGIN)).json()
    assert (await client.get("/api/auth/me", headers=bearer(tokens["access_token"]))).status_code == 200
    assert await guard.value("select deactivated_at from users") is None
    assert await events_of(me["id"]) == ["sign_in_failed", "account_reactivated", "signed_in"]


async def test_an_erased_account_lets_nobody_in(client: Client):
    await client.post("/api/auth/register", json=registration())
    await guard.rows("update users set erased_at = now()")
    assert (await client.post("/api/auth/login", json=LOGIN)).status_code == 401


async def test_sign_ins_are_noted_with_whence_they_came(client: Client):
    me = (await client.post("/api/auth/register", json=registration())).json()
    await client.post("/api/auth/login", json={**LOGIN, "password": "Wrong1234!"}, headers={"user-agent": "Guess/1.0"})
    await client.post("/api/auth/login", json={"email": "nobody@example.com", "password": "Wrong1234!"})
    await client.post("/api/auth/login", json=LOGIN)
    noted = await guard.rows('select "user", kind, ip_address, network, user_agent, details::text from security_events')
    assert [tuple(one)[:5] for one in noted] == [
        (me["id"], "sign_in_failed", "127.0.0.1", "127.0.0.0/24", "Guess/1.0"),
        (me["id"], "signed_in", "127.0.0.1", "127.0.0.0/24", noted[1]["user_agent"]),
    ]
    session_id = await guard.value("select id from sessions")
    assert noted[1]["details"] == f'{{"session_id": "{session_id}"}}'


async def test_a_new_device_is_told_of_by_mail_and_the_first_and_a_known_one_are_not(client: Client):
    await client.post("/api/auth/register", json=registration())
    for browser in ("Firefox/1.0", "Firefox/2.0", "Netscape/4.0"):
        await client.post("/api/auth/login", json=LOGIN, headers={"user-agent": browser})
    mails = await guard.rows("select context->>'device' as device, context->>'ip_address' as address from mails "
                             "where kind = 'new_sign_in'")  # fmt: skip
    assert [tuple(one) for one in mails] == [("Netscape/4.0", "127.0.0.1")]


async def test_an_account_with_a_second_factor_gets_a_ticket_and_no_session(client: Client):
    me = (await client.post("/api/auth/register", json=registration())).json()
    await guard.rows(
        """insert into mfa_methods ("user", method, name, sign_count, created_at, confirmed_at)
           values ($1, 'totp', '', 0, now(), now())""",
        me["id"],
    )
    answer = (await client.post("/api/auth/login", json=LOGIN)).json()
    assert answer == {
        "access_token": None,
        "refresh_token": None,
        "token_type": "bearer",
        "requires_2fa": True,
        "mfa_token": answer["mfa_token"],
        "methods": ["totp"],
    }
    assert await guard.value("select count(*) from sessions") == 0
    # The ticket's token opens nothing by itself.
    ticket = answer["mfa_token"]
    assert (await client.get("/api/auth/me", headers=bearer(ticket))).status_code == 401
    assert (await client.post("/api/auth/refresh", json={"refresh_token": ticket})).status_code == 401


async def test_a_link_token_opens_nothing(app: Litestar, signed_in: SignedIn, client: Client):
    await signed_in()
    mail = await guard.only("select id, created_at from mails where kind = 'email_verification'")
    link = app.state.tokens.link_token(Purpose.EMAIL_VERIFICATION, mail["id"], mail["created_at"])
    assert (await client.get("/api/auth/me", headers=bearer(link))).status_code == 401
    assert (await client.post("/api/auth/refresh", json={"refresh_token": link})).status_code == 401


@pytest.mark.parametrize(
    "body",
    [
        {**LOGIN, "id": 1},
        {**LOGIN, "role": "admin"},
        {**LOGIN, "requires_2fa": False},
        {"email": "user@example.com"},
        {"password": PASSWORD},
        {"email": 1, "password": PASSWORD},
        {"email": "user@example.com", "password": {"$ne": ""}},
        {"email": "x" * 1025, "password": PASSWORD},
        {"email": "user@example.com", "password": "x" * 1025},
    ],
)
async def test_a_sign_in_of_another_shape_is_refused_before_anything_is_counted(client: Client, body: dict):
    answer = await client.post("/api/auth/login", json=body)
    assert answer.status_code == 422
    assert await guard.value("select count(*) from throttles") == 0


# Staying signed in


async def refreshed(client: Client, token: str):
    return await client.post("/api/auth/refresh", json={"refresh_token": token})


async def test_refreshing_gives_the_next_pair_of_the_same_session(signed_in: SignedIn, client: Client):
    one = await signed_in()
    response = await refreshed(client, one.tokens["refresh_token"])
    assert response.status_code == 200
    assert response.json()["refresh_token"] != one.tokens["refresh_token"]
    assert await guard.value("select count(*) from sessions") == 1
    assert await guard.value("select generation from sessions") == 2
    me = await client.get("/api/auth/me", headers=bearer(response.json()["access_token"]))
    assert me.status_code == 200


async def later(session_id: object = None) -> None:
    """Let the grace of every refresh, or of one session's, be over."""
    await guard.rows(
        "update sessions set refreshed_at = refreshed_at - interval '11 seconds' where $1::uuid is null or id = $1",
        session_id,
    )


async def events_of(user_id: int, *, leave: str = "") -> list[str]:
    found = await guard.rows('select kind from security_events where "user" = $1 order by id', user_id)
    return [one["kind"] for one in found if one["kind"] != leave]


async def test_a_refresh_token_sent_again_later_ends_its_session_with_all_its_tokens(
    signed_in: SignedIn, client: Client
):
    one = await signed_in()
    second = (await refreshed(client, one.tokens["refresh_token"])).json()
    await later()
    thief = await client.post(
        "/api/auth/refresh", json={"refresh_token": one.tokens["refresh_token"]}, headers={"user-agent": "Thief/1.0"}
    )
    assert (thief.status_code, thief.json()["code"]) == (401, "token_invalid")
    assert (await refreshed(client, second["refresh_token"])).status_code == 401
    assert (await client.get("/api/auth/me", headers=bearer(second["access_token"]))).status_code == 401
    assert (await one.get("/api/auth/me")).status_code == 401
    assert await guard.value("select revoked_because from sessions") == sessions.REUSED
    noted = await guard.only(
        "select ip_address, user_agent, details->>'session_id' as session from security_events where kind = $1",
        "refresh_token_reused",
    )
    assert (noted["ip_address"], noted["user_agent"]) == ("127.0.0.1", "Thief/1.0")
    assert noted["session"] == str(await guard.value("select id from sessions"))


async def test_a_reuse_is_noted_once(signed_in: SignedIn, client: Client):
    one = await signed_in()
    await refreshed(client, one.tokens["refresh_token"])
    await later()
    for _ in range(3):
        assert (await refreshed(client, one.tokens["refresh_token"])).status_code == 401
    assert (await events_of(one.me["id"])).count("refresh_token_reused") == 1


async def test_two_tabs_that_refresh_at_once_get_the_same_child_of_one_session(signed_in: SignedIn, client: Client):
    one = await signed_in()
    answers = await asyncio.gather(*(refreshed(client, one.tokens["refresh_token"]) for _ in range(5)))
    assert [answer.status_code for answer in answers] == [200] * 5
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1
    found = await guard.only("select generation, revoked_at from sessions")
    assert (found["generation"], found["revoked_at"]) == (2, None)
    # Whichever tab goes on, the child is good.
    assert (await refreshed(client, answers[3].json()["refresh_token"])).status_code == 200


async def test_a_tab_that_comes_within_the_grace_gets_the_very_same_child(signed_in: SignedIn, client: Client):
    one = await signed_in()
    first = await refreshed(client, one.tokens["refresh_token"])
    await guard.rows("update sessions set refreshed_at = refreshed_at - interval '8 seconds'")
    moved = await refreshed(client, one.tokens["refresh_token"])
    said, again = (
        jwt.decode(answer.json()["refresh_token"], options={"verify_signature": False}) for answer in (first, moved)
    )
    assert (moved.status_code, again["gen"], again["sid"]) == (200, 2, said["sid"])
    assert again["exp"] == said["exp"] - 8  # it was made when the session says it was


async def test_a_grandparent_is_a_reuse_even_within_the_grace(signed_in: SignedIn, client: Client):
    one = await signed_in()
    second = (await refreshed(client, one.tokens["refresh_token"])).json()
    assert (await refreshed(client, second["refresh_token"])).status_code == 200
    assert (await refreshed(client, one.tokens["refresh_token"])).status_code == 401
    assert await guard.value("select revoked_because from sessions") == sessions.REUSED


@pytest.mark.parametrize("change", ["suspended_at", "deactivated_at"])
async def test_the_grace_opens_nothing_for_a_suspended_or_deactivated_account(
    signed_in: SignedIn, client: Client, change: str
):
    one = await signed_in()
    await refreshed(client, one.tokens["refresh_token"])
    await guard.rows(f"update users set {change} = now()")
    assert (await refreshed(client, one.tokens["refresh_token"])).status_code == 401


async def test_a_session_that_has_ended_has_no_grace(signed_in: SignedIn, client: Client):
    one = await signed_in()
    await refreshed(client, one.tokens["refresh_token"])
    await one.post("/api/auth/logout")
    assert (await refreshed(client, one.tokens["refresh_token"])).status_code == 401
    assert await guard.value("select revoked_because from sessions") == "signed_out"
    assert "refresh_token_reused" not in await events_of(one.me["id"])


async def test_another_session_of_the_same_person_lives_on(signed_in: SignedIn, client: Client):
    one = await signed_in(email="user@example.com")
    other = (await client.post("/api/auth/login", json=LOGIN)).json()
    await refreshed(client, one.tokens["refresh_token"])
    await later()
    assert (await refreshed(client, one.tokens["refresh_token"])).status_code == 401
    assert (await client.get("/api/auth/me", headers=bearer(other["access_token"]))).status_code == 200


async def test_a_generation_that_was_never_issued_refreshes_nothing_and_ends_nothing(
    app: Litestar, signed_in: SignedIn, client: Client
):
    one = await signed_in()
    session_id = await guard.value("select id from sessions")
    ahead = app.state.tokens.issue_refresh(UUID(str(session_id)), 9)
    assert (await refreshed(client, ahead)).status_code == 401
    assert (await one.get("/api/auth/me")).status_code == 200
    unknown = app.state.tokens.issue_refresh(uuid7(), 1)
    assert (await refreshed(client, unknown)).status_code == 401


async def test_an_access_token_refreshes_nothing_and_a_refresh_token_opens_nothing(signed_in: SignedIn, client: Client):
    one = await signed_in()
    assert (await refreshed(client, one.tokens["access_token"])).status_code == 401
    assert (await client.get("/api/auth/me", headers=bearer(one.tokens["refresh_token"]))).status_code == 401


async def test_a_suspended_user_is_out_at_once_and_cannot_refresh(signed_in: SignedIn, client: Client):
    one = await signed_in()
    await guard.rows("update users set suspended_at = now()")
    assert (await one.get("/api/auth/me")).status_code == 401
    assert (await refreshed(client, one.tokens["refresh_token"])).status_code == 401
    # Refused, not reused: once restored the session is as it was.
    await guard.rows("update users set suspended_at = null")
    assert (await refreshed(client, one.tokens["refresh_token"])).status_code == 200


async def test_signing_out_ends_the_session_at_once(signed_in: SignedIn, client: Client):
    one = await signed_in()
    assert (await one.post("/api/auth/logout")).status_code == 204
    assert (await one.get("/api/auth/me")).status_code == 401
    assert (await refreshed(client, one.tokens["refresh_token"])).status_code == 401


# Who asks


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer x.y.z"},
        {"Authorization": "Basic dXNlcjpwYXNz"},
        {"Authorization": "Bearer ä"},
    ],
)
async def test_whoever_does_not_say_who_they_are_is_refused(client: Client, headers: dict):
    response = await client.get("/api/auth/me", headers=[(k, v.encode("latin-1")) for k, v in headers.items()])
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.json()["code"] == "token_invalid"


async def test_two_authorization_headers_are_none(signed_in: SignedIn, client: Client):
    one = await signed_in()
    header = ("Authorization", f"Bearer {one.tokens['access_token']}")
    assert (await client.get("/api/auth/me", headers=[header])).status_code == 200
    assert (await client.get("/api/auth/me", headers=[header, header])).status_code == 401


async def test_a_token_without_a_signature_is_refused(signed_in: SignedIn, client: Client):
    one = await signed_in()
    said = jwt.decode(one.tokens["access_token"], options={"verify_signature": False})
    kid = jwt.get_unverified_header(one.tokens["access_token"])["kid"]
    forged = jwt.encode({**said, "role": "admin"}, "", algorithm="none", headers={"kid": kid})
    assert (await client.get("/api/auth/me", headers=bearer(forged))).status_code == 401


async def test_a_good_token_that_names_another_user_of_the_session_is_refused(
    app: Litestar, signed_in: SignedIn, client: Client
):
    one, other = await signed_in(), await signed_in()
    session_id = await guard.value('select id from sessions where "user" = $1', one.me["id"])
    crossed = app.state.tokens.issue_access(other.me["id"], "admin", UUID(str(session_id)))
    assert (await client.get("/api/auth/me", headers=bearer(crossed))).status_code == 401


async def test_the_role_is_the_databases_and_not_the_tokens(app: Litestar, signed_in: SignedIn, client: Client):
    one = await signed_in()
    session_id = await guard.value("select id from sessions")
    boasting = app.state.tokens.issue_access(one.me["id"], "admin", UUID(str(session_id)))
    me = await client.get("/api/auth/me", headers=bearer(boasting))
    assert me.json()["user_type"] == "freelancer"
    # Somebody else's job is not there for a freelancer, whatever the token says.
    job = await guard.value("select id from jobs limit 1")
    assert (await client.get(f"/api/jobs/{job}", headers=bearer(boasting))).status_code == 404


async def test_signing_up_takes_no_large_bodies(client: Client):
    answer = await client.post(
        "/api/auth/login", content=b"[" + b"[]," * 6000 + b"[]]", headers={"Content-Type": "application/json"}
    )
    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
