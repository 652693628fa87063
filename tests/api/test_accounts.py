"""Registering, signing in, staying signed in, proving an address; and every way to cheat at it."""

import asyncio
from uuid import UUID

import bcrypt
import jwt
import pytest
from litestar import Litestar

from models import guard, sessions
from models.base import uuid7
from tests.api.conftest import PASSWORD, Client, SignedIn, registration

LOGIN = {"email": "user@example.com", "password": PASSWORD}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


# Registering


async def test_registering_answers_the_sources_body_and_writes_two_mails(client: Client):
    response = await client.post("/api/auth/register", json=registration())
    assert response.status_code == 201
    user_id = response.json()["id"]
    assert response.json() == {
        "id": user_id,
        "email": "user@example.com",
        "first_name": "John",
        "last_name": "Doe",
        "user_type": "freelancer",
        "email_verified": False,
    }
    mails = await guard.rows('select kind from mails where "user" = $1 order by kind', user_id)
    assert [one["kind"] for one in mails] == ["email_verification", "welcome_email"]
    jobs = await guard.rows("select kind, request_id from jobs")
    assert [one["kind"] for one in jobs] == ["mail.send_mail"] * 2
    assert {one["request_id"] for one in jobs} == {response.headers["x-request-id"]}


@pytest.mark.parametrize("again", ["user@example.com", "USER@Example.COM", "  user@example.com ", "User@EXAMPLE.com"])
async def test_one_address_has_one_account(client: Client, again: str):
    await client.post("/api/auth/register", json=registration())
    response = await client.post("/api/auth/register", json=registration(email=again))
    assert (response.status_code, response.json()["code"]) == (409, "email_taken")
    assert response.json()["errors"][0]["field"] == "email"
    assert await guard.value("select count(*) from users") == 1


async def test_of_two_registrations_at_the_same_moment_one_wins(client: Client):
    responses = await asyncio.gather(
        *(client.post("/api/auth/register", json=registration(first_name=f"N{n}")) for n in range(6))
    )
    assert sorted(one.status_code for one in responses) == [201] + [409] * 5
    assert await guard.value("select count(*) from users") == 1
    assert await guard.value("select count(*) from mails") == 2


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"user_type": "admin"}, "user_type"),
        ({"user_type": "Client"}, "user_type"),
        ({"role": "admin"}, ""),
        ({"email_verified": True}, ""),
        ({"id": 1}, ""),
        ({"email": 5}, "email"),
        ({"email": None}, "email"),
        ({"email": ["user@example.com"]}, "email"),
        ({"email": "user"}, "email"),
        ({"email": "us\x00er@example.com"}, "email"),
        ({"email": "user@example.com\nBcc: all@example.com"}, "email"),
        ({"email": "a" * 250 + "@example.com"}, "email"),
        ({"email": "a" * 65 + "@example.com"}, "email"),
        ({"password": "short1!"}, "password"),
        ({"password": "Aa1!" + "x" * 125}, "password"),
        ({"password": "Aa1!" + "x" * 2000}, "password"),
        ({"password": "Null\x00Byte123!"}, "password"),
        ({"password": "nouppercase123!"}, "password"),
        ({"password": "NOLOWERCASE123!"}, "password"),
        ({"password": "NoDigitsHere!"}, "password"),
        ({"password": "NoSymbols123"}, "password"),
        ({"password": "P@ssw0rd1!"}, "password"),
        ({"first_name": ""}, "first_name"),
        ({"first_name": "   "}, "first_name"),
        ({"first_name": "x" * 101}, "first_name"),
        ({"first_name": "Nu\x00ll"}, "first_name"),
        ({"last_name": "Line\r\nBreak"}, "last_name"),
        ({"last_name": {"$ne": None}}, "last_name"),
    ],
)
async def test_a_bad_registration_is_refused_by_name_and_leaves_nothing(client: Client, changed: dict, field: str):
    response = await client.post("/api/auth/register", json=registration(**changed))
    assert response.status_code == 422, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert [one["field"] for one in response.json()["errors"]] == [field]
    assert await guard.value("select count(*) from users") == 0
    assert await guard.value("select count(*) from mails") == 0


@pytest.mark.parametrize("field", ["email", "password", "first_name", "last_name", "user_type"])
async def test_every_field_is_needed(client: Client, field: str):
    body = registration()
    del body[field]
    response = await client.post("/api/auth/register", json=body)
    assert response.status_code == 422
    assert field in response.text


# Signing in


async def test_signing_in_answers_the_sources_body(client: Client):
    await client.post("/api/auth/register", json=registration())
    response = await client.post("/api/auth/login", json=LOGIN, headers={"user-agent": "Te\x7fst"})
    assert response.status_code == 200
    body = response.json()
    assert set(body) == {"access_token", "refresh_token", "token_type", "requires_2fa"}
    assert (body["token_type"], body["requires_2fa"]) == ("bearer", False)
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
    assert (await client.post("/api/auth/login", json=LOGIN)).status_code == 403
    wrong = await client.post("/api/auth/login", json={**LOGIN, "password": "Wrong1234!"})
    assert wrong.status_code == 401


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


async def test_a_refresh_token_sent_twice_ends_its_session_with_all_its_tokens(signed_in: SignedIn, client: Client):
    one = await signed_in()
    second = (await refreshed(client, one.tokens["refresh_token"])).json()
    assert (await refreshed(client, one.tokens["refresh_token"])).status_code == 401
    assert (await refreshed(client, second["refresh_token"])).status_code == 401
    assert (await client.get("/api/auth/me", headers=bearer(second["access_token"]))).status_code == 401
    assert (await one.get("/api/auth/me")).status_code == 401
    assert await guard.value("select revoked_because from sessions") == sessions.REUSED


async def test_of_refreshes_at_the_same_moment_one_wins_and_the_session_ends(signed_in: SignedIn, client: Client):
    one = await signed_in()
    answers = await asyncio.gather(*(refreshed(client, one.tokens["refresh_token"]) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 4
    assert await guard.value("select revoked_because from sessions") == sessions.REUSED


async def test_another_session_of_the_same_person_lives_on(signed_in: SignedIn, client: Client):
    one = await signed_in(email="user@example.com")
    other = (await client.post("/api/auth/login", json=LOGIN)).json()
    await refreshed(client, one.tokens["refresh_token"])
    await refreshed(client, one.tokens["refresh_token"])
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


async def test_every_route_that_is_not_declared_public_refuses_strangers(app: Litestar, client: Client):
    public = set()
    for route in app.routes:
        for handler in getattr(route, "route_handlers", ()):
            for method in handler.http_methods - {"OPTIONS"}:
                if route.path.startswith("/admin"):
                    # The console's pages have a door of their own, with its own cookie: tests/api/admin.
                    shown = await client.request(method, route.path.replace(":str}", "").replace("{", ""))
                    is_open = handler.opt.get("open") or "/assets/" in route.path
                    assert is_open or shown.status_code in (303, 401, 403), (method, route.path, shown.status_code)
                    continue
                if handler.opt.get("public"):
                    public.add(f"{method} {route.path}")
                    continue
                path = route.path_format.replace("{", "").replace("}", "")
                path = "/".join("1" if part.endswith("_id") else part for part in path.split("/"))
                response = await client.request(method, path)
                assert response.status_code in (401, 404), (method, path, response.status_code)
    assert {one for one in public if not one.startswith("GET /api/openapi.json")} == {
        "GET /",
        "GET /api/config",
        "GET /api/docs",
        "GET /api/docs/assets/{name:str}",
        "GET /api/docs/errors",
        "GET /api/health/live",
        "GET /api/health/ready",
        "GET /api/redoc",
        "GET /metrics",  # open on a desk, else its own token
        "GET /payouts",
        "GET /verify-email",
        "POST /api/auth/login",
        "POST /api/auth/refresh",
        "POST /api/auth/register",
        "POST /api/auth/verify-email",
        "POST /api/stripe/webhooks",
        "POST /verify-email",
    }


# Oneself


async def test_one_may_change_ones_names_and_nothing_else(signed_in: SignedIn):
    one = await signed_in()
    changed = await one.patch("/api/auth/me", json={"first_name": " Zoë "})
    assert (changed.json()["first_name"], changed.json()["last_name"]) == ("Zoë", "Doe")
    assert (await one.patch("/api/auth/me", json={"last_name": "Roe"})).json()["last_name"] == "Roe"
    for body in (
        {"role": "admin"},
        {"user_type": "admin"},
        {"email_verified": True},
        {"email": "x@example.com"},
        {"id": 1},
        {"first_name": None},
        {"first_name": " "},
    ):
        assert (await one.patch("/api/auth/me", json=body)).status_code == 422, body
    assert (await one.get("/api/auth/me")).json() == {**one.me, "first_name": "Zoë", "last_name": "Roe"}


async def test_signing_up_takes_no_large_bodies(client: Client):
    answer = await client.post(
        "/api/auth/login", content=b"[" + b"[]," * 6000 + b"[]]", headers={"Content-Type": "application/json"}
    )
    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
