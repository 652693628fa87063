"""Registering, oneself, who may ask at all; and every way to cheat at it."""

import asyncio
import re

import pytest
from litestar import Litestar

from models import guard
from tests.api.conftest import Client, SignedIn, registration

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
        ({"role": "admin"}, "role"),
        ({"email_verified": True}, "email_verified"),
        ({"id": 1}, "id"),
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


async def test_every_route_that_is_not_declared_public_refuses_strangers(app: Litestar, client: Client):
    public = set()
    for route in app.routes:
        path = re.sub(r"\{\w+_id\}", "1", route.path_format).replace("{", "").replace("}", "")
        for handler in getattr(route, "route_handlers", ()):
            for method in handler.http_methods - {"OPTIONS"}:
                if route.path.startswith("/admin"):
                    # The console's pages have a door of their own, with its own cookie: tests/api/admin.
                    shown = await client.request(method, path)
                    is_open = handler.opt.get("open") or "/assets/" in route.path
                    assert is_open or shown.status_code in (303, 401, 403), (method, route.path, shown.status_code)
                    continue
                if handler.opt.get("public"):
                    public.add(f"{method} {route.path}")
                    continue
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
        "GET /reset-password",
        "GET /api/unsubscribe",
        "GET /verify-email",
        "POST /api/auth/2fa/send",
        "POST /api/auth/2fa/verify",
        "POST /api/auth/forgot-password",
        "POST /api/auth/login",
        "POST /api/auth/refresh",
        "POST /api/auth/register",
        "POST /api/auth/reset-password",
        "POST /api/auth/validate-reset-token",
        "POST /api/auth/verify-email",
        "POST /api/security/webauthn/login/begin",
        "POST /api/security/webauthn/login/finish",
        "POST /api/stripe/webhooks",
        "POST /api/unsubscribe",
        "POST /reset-password",
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
