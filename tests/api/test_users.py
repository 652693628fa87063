"""One's own account over the wire: profile, wishes, one's data, leaving; and what others get to see."""

import asyncio
import io
import zipfile
from decimal import Decimal
from hashlib import sha256
from typing import Any

import httpx
import pytest
from litestar import Litestar

import tasks.users  # noqa: F401  for its performer
from models import accounts, guard, sessions
from tests import factories
from tests.api.callers import anonymous, body_of, calling, problem_of
from tests.api.conftest import PASSWORD, SignedIn
from tests.performing import perform_now
from tests.uploading import an_upload

PROOF = {"password": PASSWORD}
SAID: dict[str, Any] = {
    "first_name": "Zoë",
    "last_name": "O'Brien",
    "headline": "Shops that sell",
    "about": "Ten years.\n\nTwenty shops.",
    "country": "PK",
    "time_zone": "Asia/Karachi",
}
WORK = ("skills", "hourly_rate", "rate_currency", "is_available", "avatar_upload_id")
SEEN_WORK = (
    "skills", "hourly_rate", "currency", "available", "avatar_upload_id", "rating", "review_count",
    "completed_contracts",
)  # fmt: skip


async def remove(who: httpx.AsyncClient, body: Any = PROOF) -> httpx.Response:
    return await who.request("DELETE", "/api/users/me", json=body)


async def test_a_profile_is_read_and_changed_by_its_owner(app: Litestar) -> None:
    person = await factories.a_freelancer()
    caller = await calling(app, person)

    edited = body_of(await caller.patch("/api/users/me", json=SAID), 200)

    assert {name: edited[name] for name in SAID} == SAID
    assert (edited["id"], edited["email"], edited["user_type"]) == (person.id, person.email, "freelancer")
    assert edited["email_verified"] is True
    assert set(edited) == {*SAID, *WORK, "id", "email", "email_verified", "user_type", "created_at"}
    assert body_of(await caller.get("/api/users/me"), 200) == edited
    cleared = body_of(await caller.patch("/api/users/me", json={"country": None, "headline": "", "about": ""}), 200)
    assert (cleared["country"], cleared["headline"], cleared["about"]) == (None, "", "")
    assert body_of(await caller.patch("/api/users/me", json={}), 200) == cleared


@pytest.mark.parametrize(
    "body",
    [
        {"country": "XX"},
        {"country": "pk"},
        {"country": 1},
        {"time_zone": "Mars/Olympus"},
        {"time_zone": None},
        {"headline": "x" * 201},
        {"headline": "two\nlines"},
        {"about": "x" * 5001},
        {"about": "null\0byte"},
        {"first_name": ""},
        {"first_name": "   "},
        {"last_name": "x" * 101},
        {"id": 1},
        {"email": "new@example.org"},
        {"email_verified": True},
        {"user_type": "admin"},
        {"role": "admin"},
        {"phone": "+49"},
        {"password_hash": "x"},
        {"deactivated_at": None},
        {"payouts_ready": True},
        [],
    ],
    ids=str,
)
async def test_what_a_profile_does_not_take_changes_nothing(app: Litestar, body: Any) -> None:
    caller = await calling(app, await factories.a_freelancer())
    before = await guard.only("select * from users")

    problem_of(await caller.patch("/api/users/me", json=body), 422, "invalid")

    assert await guard.only("select * from users") == before


async def test_a_freelancer_offers_skills_a_rate_and_time_and_others_see_them(app: Litestar) -> None:
    person = await factories.a_freelancer()
    picture = await an_upload(person, purpose="avatar")
    caller, other = await calling(app, person), await calling(app, await factories.a_client())
    said = {"skills": [" Python ", "python", "SQL"], "hourly_rate": 45.5, "rate_currency": "eur"}

    edited = body_of(await caller.patch("/api/users/me", json={**said, "avatar_upload_id": picture}), 200)

    assert (edited["skills"], edited["hourly_rate"], edited["rate_currency"]) == (
        ["Python", "SQL"],
        Decimal("45.50"),
        "EUR",
    )
    assert (edited["is_available"], edited["avatar_upload_id"]) == (True, picture)
    seen = body_of(await other.get(f"/api/users/{person.id}"), 200)
    assert {name: seen[name] for name in SEEN_WORK} == {
        "skills": ["Python", "SQL"], "hourly_rate": Decimal("45.50"), "currency": "EUR", "available": True,
        "avatar_upload_id": picture, "rating": None, "review_count": 0, "completed_contracts": 0,
    }  # fmt: skip
    gone = {"hourly_rate": None, "rate_currency": None, "avatar_upload_id": None, "is_available": False, "skills": []}
    assert {
        name: held
        for name, held in body_of(await caller.patch("/api/users/me", json=gone), 200).items()
        if name in gone
    } == gone


async def test_what_a_freelancer_cannot_say_is_refused_and_changes_nothing(app: Litestar) -> None:
    caller = await calling(app, await factories.a_freelancer())
    before = await guard.only("select * from users")

    for body, code in (
        ({"skills": ["x" * 61]}, "invalid"),
        ({"skills": [" "]}, "invalid"),
        ({"skills": None}, "invalid"),
        ({"skills": [f"skill {n}" for n in range(51)]}, "invalid"),
        ({"hourly_rate": 10}, "invalid"),
        ({"hourly_rate": None}, "invalid"),
        ({"rate_currency": "USD"}, "invalid"),
        ({"hourly_rate": None, "rate_currency": "USD"}, "invalid"),
        ({"hourly_rate": 10, "rate_currency": None}, "invalid"),
        ({"hourly_rate": 10, "rate_currency": "US"}, "invalid"),
        ({"is_available": None}, "invalid"),
        ({"avatar_upload_id": 0}, "invalid"),
        ({"rating_sum": 5}, "invalid"),
        ({"hourly_rate": 0, "rate_currency": "USD"}, "amount_out_of_bounds"),
        ({"hourly_rate": 1.001, "rate_currency": "USD"}, "amount_too_precise"),
        ({"hourly_rate": 1, "rate_currency": "ZZZ"}, "currency_unsupported"),
        ({"avatar_upload_id": 999_999}, "upload_not_ready"),
    ):
        problem_of(await caller.patch("/api/users/me", json=body), 422, code)

    assert await guard.only("select * from users") == before


async def test_a_client_has_a_picture_and_nothing_that_freelancers_have(app: Litestar) -> None:
    person = await factories.a_client()
    picture = await an_upload(person, purpose="avatar")
    caller = await calling(app, person)

    edited = body_of(await caller.patch("/api/users/me", json={"avatar_upload_id": picture}), 200)

    assert (edited["avatar_upload_id"], edited["skills"], edited["is_available"]) == (picture, [], None)
    assert body_of(await caller.get(f"/api/users/{person.id}"), 200)["available"] is None
    for body in ({"skills": ["Go"]}, {"hourly_rate": 5, "rate_currency": "USD"}, {"is_available": True}):
        problem_of(await caller.patch("/api/users/me", json=body), 403, "role_not_allowed")


async def test_others_see_a_name_and_no_address(app: Litestar) -> None:
    person, other = await factories.a_freelancer(), await factories.a_client()
    await (await calling(app, person)).patch("/api/users/me", json=SAID)
    caller = await calling(app, other)

    seen = body_of(await caller.get(f"/api/users/{person.id}"), 200)

    assert {name: seen.pop(name) for name in SAID if name != "time_zone"} == {
        name: held for name, held in SAID.items() if name != "time_zone"
    }
    assert set(seen) == {*SEEN_WORK, "id", "user_type", "created_at"}
    for state in ("suspended_at", "deactivated_at", "erased_at"):
        await guard.rows(f"update users set {state} = now() where id = $1", person.id)
        problem_of(await caller.get(f"/api/users/{person.id}"), 404, "not_found")
        await guard.rows(f"update users set {state} = null where id = $1", person.id)
    problem_of(await caller.get(f"/api/users/{other.id + 99}"), 404, "not_found")


async def test_who_does_not_say_who_they_are_gets_nothing(app: Litestar) -> None:
    person = await factories.a_client()
    nobody = anonymous(app)

    for method, path in [
        ("GET", "/api/users/me"),
        ("PATCH", "/api/users/me"),
        ("DELETE", "/api/users/me"),
        ("GET", f"/api/users/{person.id}"),
        ("POST", "/api/users/me/deactivate"),
        ("POST", "/api/users/me/export"),
        ("GET", "/api/users/me/exports/1"),
        ("GET", "/api/users/me/notification-preferences"),
        ("PUT", "/api/users/me/notification-preferences"),
    ]:
        problem_of(await nobody.request(method, path), 401, "token_invalid")


# One's data


async def exported(caller: httpx.AsyncClient) -> dict[str, Any]:
    """The answer to an export whose job was performed while the caller waited."""
    answering = asyncio.create_task(caller.post("/api/users/me/export"))
    due = "select job_id from jobs j join job_live l on l.job_id = j.id where kind = 'users.export_account' and l.status = 0"
    while (job_id := await guard.value(due)) is None:  # noqa: ASYNC110  a row, which no event announces
        await asyncio.sleep(0.01)
    await perform_now(job_id)
    found: dict[str, Any] = body_of(await answering, 200)
    return found


async def test_an_export_is_asked_for_and_fetched_by_its_owner_alone(app: Litestar) -> None:
    person = await factories.a_client()
    caller, other = await calling(app, person), await calling(app, await factories.an_admin())

    made = await exported(caller)

    assert set(made) == {"id", "size_bytes", "sha256", "download_url", "expires_at"}
    assert made["download_url"] == f"/api/users/me/exports/{made['id']}"
    file = await caller.get(made["download_url"])
    assert (file.status_code, file.headers["content-type"]) == (200, "application/zip")
    assert file.headers["content-disposition"] == f'attachment; filename="megilance-export-{made["id"]}.zip"'
    assert file.headers["cache-control"] == "no-store"
    assert (len(file.content), sha256(file.content).hexdigest()) == (made["size_bytes"], made["sha256"])
    assert "README.txt" in zipfile.ZipFile(io.BytesIO(file.content)).namelist()
    problem_of(await other.get(made["download_url"]), 404, "not_found")
    await guard.rows("update exports set expires_at = now()")
    problem_of(await caller.get(made["download_url"]), 404, "not_found")


async def test_an_export_that_takes_longer_is_a_job_and_the_fourth_of_a_day_is_refused(app: Litestar) -> None:
    caller = await calling(app, await factories.a_client())
    for _ in range(3):
        waiting = await caller.post("/api/users/me/export", headers={"Prefer": "respond-async"})
        job = body_of(waiting, 202)
        assert (job["kind"], waiting.headers["location"]) == ("users.export_account", f"/api/jobs/{job['id']}")

    refused = await caller.post("/api/users/me/export")

    problem_of(refused, 429, "throttled")
    assert 86_000 < int(refused.headers["retry-after"]) <= 86_400
    assert await guard.value("select count(*) from exports") == 3
    problem_of(await caller.post("/api/users/me/export", json={"user_id": 1}), 422, "invalid")


# Leaving


async def test_a_deactivated_account_is_out_at_once(app: Litestar, signed_in: SignedIn) -> None:
    caller, other = await signed_in(), await signed_in()
    user_id = caller.me["id"]  # type: ignore[attr-defined]

    assert (await caller.post("/api/users/me/deactivate", json=PROOF)).status_code == 204

    problem_of(await caller.get("/api/users/me"), 401, "token_invalid")
    problem_of(await other.get(f"/api/users/{user_id}"), 404, "not_found")
    assert await guard.value("select count(*) from mails where kind = 'account_deactivated'") == 1


async def test_no_fingerprint_of_a_password_is_kept_for_a_key(signed_in: SignedIn) -> None:
    """A plain hash of `{"password": …}` would be guessed a million times faster than the password's own."""
    caller = await signed_in()

    answer = await caller.post("/api/users/me/deactivate", json=PROOF, headers={"Idempotency-Key": "once"})

    problem_of(answer, 422, "idempotency_unsupported")
    assert await guard.value("select count(*) from idempotency_keys") == 0
    assert (await caller.get("/api/users/me")).status_code == 200


@pytest.mark.parametrize(
    "body",
    [{}, {"password": 1}, {"password": "x" * 1025}, {**PROOF, "user_id": 1}, []],
    ids=["{}", "1", "x", "+", "[]"],
)
async def test_leaving_takes_the_password_and_nothing_else(signed_in: SignedIn, body: Any) -> None:
    caller = await signed_in()

    problem_of(await caller.post("/api/users/me/deactivate", json=body), 422, "invalid")
    problem_of(await remove(caller, body), 422, "invalid")

    assert (await caller.get("/api/users/me")).status_code == 200


async def test_a_wrong_password_leaves_everything_as_it_is(signed_in: SignedIn) -> None:
    caller = await signed_in()

    problem_of(await caller.post("/api/users/me/deactivate", json={"password": "Wrong123!"}), 422, "password_wrong")
    problem_of(await remove(caller, {"password": "Wrong123!"}), 422, "password_wrong")

    assert (await caller.get("/api/users/me")).status_code == 200


async def test_nobody_leaves_a_contract_behind(app: Litestar, signed_in: SignedIn) -> None:
    caller = await signed_in()
    person = await accounts.read(caller.me["id"])  # type: ignore[attr-defined]
    await factories.a_contract(freelancer=person, signed=False)

    for refused in (await caller.post("/api/users/me/deactivate", json=PROOF), await remove(caller)):
        found = problem_of(refused, 409, "account_in_use")
        assert "contracts that have not ended: 1" in found["detail"]
    assert (await caller.get("/api/users/me")).status_code == 200


async def test_an_erased_account_is_gone_and_its_address_free(app: Litestar, signed_in: SignedIn) -> None:
    caller, other = await signed_in(email="gone@example.com"), await signed_in()
    user_id = caller.me["id"]  # type: ignore[attr-defined]

    assert (await remove(caller)).status_code == 204

    nobody = anonymous(app)
    problem_of(await caller.get("/api/users/me"), 401, "token_invalid")
    problem_of(await other.get(f"/api/users/{user_id}"), 404, "not_found")
    for email in ("gone@example.com", f"erased-{user_id}@erased.invalid"):
        for password in (PASSWORD, ""):
            sent = await nobody.post("/api/auth/login", json={"email": email, "password": password})
            problem_of(sent, 401, "credentials_wrong")
    again = await signed_in(email="gone@example.com")
    assert again.me["id"] != user_id  # type: ignore[attr-defined]


async def test_erasure_needs_the_second_factor_of_an_account_that_has_one(signed_in: SignedIn) -> None:
    caller = await signed_in()
    user_id = caller.me["id"]  # type: ignore[attr-defined]
    await guard.rows(
        """insert into mfa_methods ("user", method, contact, confirmed_at) values ($1, 'email', 'x@example.com', now())""",
        user_id,
    )

    problem_of(await remove(caller), 403, "step_up_required")

    assert await guard.value("select erased_at from users where id = $1", user_id) is None
    session_id = await guard.value('select id from sessions where "user" = $1', user_id)
    await guard.commit(sessions.mark_proved, session_id)
    assert (await remove(caller)).status_code == 204
