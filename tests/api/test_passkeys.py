"""Passkeys over HTTP with an authenticator in software: made, signed in with, proved anew; replayed, copied, stolen."""

from typing import Any

import httpx
import pytest
from litestar import Litestar

from api.proofs import sealer_of
from models import factors, guard
from models.accounts import Person
from models.factors import Method
from tests import factories
from tests.api.callers import anonymous, body_of, calling, problem_of
from tests.enrolled import code_at, mfa_token, noted, proof_grows_old, with_totp
from tests.passkey import Authenticator, text
from tests.worlds import mailed

ROOT = "/api/security/webauthn"


@pytest.fixture
async def ada(app: Litestar) -> Person:
    return await factories.a_client()


async def options(client: httpx.AsyncClient, path: str, **body: Any) -> dict[str, Any]:
    answer = await client.post(f"{ROOT}/{path}/begin", json=body) if body else await client.post(f"{ROOT}/{path}/begin")
    found: dict[str, Any] = body_of(answer, 200)["options"]
    return found


async def registered(client: httpx.AsyncClient, one: Authenticator, **body: Any) -> dict[str, Any]:
    credential = one.create(await options(client, "register"))
    answer = await client.post(f"{ROOT}/register/finish", json={"credential": credential, **body})
    found: dict[str, Any] = body_of(answer, 201)
    return found


async def finish(client: httpx.AsyncClient, token: str, credential: dict[str, Any]) -> httpx.Response:
    return await client.post(f"{ROOT}/login/finish", json={"mfa_token": token, "credential": credential})


# Made


async def test_a_passkey_is_made_and_the_account_gets_its_backup_codes(app: Litestar, ada: Person):
    client, elsewhere, one = await calling(app, ada), await calling(app, ada), Authenticator()
    body = await registered(client, one, name=" My phone ")
    assert (body["method"], body["name"], len(body["backup_codes"])) == ("webauthn", "My phone", 10)
    row = await guard.only("select id, credential_id, sign_count, confirmed_at from mfa_methods")
    assert (row["id"], row["credential_id"], row["sign_count"]) == (body["id"], text(one.id), 1)
    assert await factors.methods_of(ada.id) == [Method.WEBAUTHN, Method.BACKUP_CODE]
    assert (await mailed(ada.id), await noted(ada.id)) == (["2fa_enabled"], ["factor_added"])
    problem_of(await elsewhere.get("/api/security/mfa/methods"), 401, "token_invalid")
    # This session is proved by it, so a second one follows; who has the first is not asked again.
    asked = await options(client, "register")
    assert [it["id"] for it in asked["excludeCredentials"]] == [text(one.id)]
    second = await registered(client, Authenticator())
    assert second["name"] == "Passkey"
    assert "backup_codes" not in second
    await proof_grows_old(ada.id)
    problem_of(await client.post(f"{ROOT}/register/begin"), 403, "step_up_required")
    answer = await client.post(f"{ROOT}/register/finish", json={"credential": one.create(asked)})
    problem_of(answer, 403, "step_up_required")


async def test_the_answer_to_a_creation_works_once_and_for_its_asker(app: Litestar, ada: Person):
    bob = await factories.a_freelancer()
    client, other, one = await calling(app, ada), await calling(app, bob), Authenticator()
    credential = one.create(await options(client, "register"))
    path = f"{ROOT}/register/finish"
    problem_of(await other.post(path, json={"credential": credential}), 422, "code_wrong")
    body_of(await client.post(path, json={"credential": credential}), 201)
    problem_of(await client.post(path, json={"credential": credential}), 422, "code_wrong")
    # Nor does anybody register a key that is somebody's.
    again = one.create(await options(other, "register"))
    problem_of(await other.post(path, json={"credential": again}), 409, "factor_exists")


@pytest.mark.parametrize(
    "changed", [{"origin": "https://evil.example"}, {"type": "webauthn.get"}, {"challenge": text(b"mine")}]
)
async def test_a_creation_for_another_page_or_question_is_refused(app: Litestar, ada: Person, changed: dict[str, str]):
    client = await calling(app, ada)
    credential = Authenticator().create(await options(client, "register"), **changed)
    answer = await client.post(f"{ROOT}/register/finish", json={"credential": credential})
    problem_of(answer, 422, "code_wrong")
    assert await guard.value("select count(*) from mfa_methods") == 0


@pytest.mark.parametrize(
    "credential",
    [
        None,
        {},
        "x",
        {"id": "a", "rawId": "a", "type": "password", "response": {"clientDataJSON": "a"}},
        {"id": "a", "rawId": "a", "type": "public-key", "response": {}},
        {"id": "a" * 9000, "rawId": "a", "type": "public-key", "response": {"clientDataJSON": "a"}},
    ],
)
async def test_what_is_no_credential_is_refused(app: Litestar, ada: Person, credential: Any):
    client = await calling(app, ada)
    problem_of(await client.post(f"{ROOT}/register/finish", json={"credential": credential}), 422, "invalid")


async def test_what_no_browser_writes_proves_nothing(app: Litestar, ada: Person):
    client = await calling(app, ada)
    body = {"id": "AA", "rawId": "AA", "type": "public-key", "response": {"clientDataJSON": "!!\u00f6"}}
    for path in ("register", "verify"):
        problem_of(await client.post(f"{ROOT}/{path}/finish", json={"credential": body}), 422, "code_wrong")


# Signed in with


async def test_a_passkey_finishes_a_sign_in_and_its_answer_works_once(app: Litestar, ada: Person):
    one, client = Authenticator(), anonymous(app)
    await registered(await calling(app, ada), one)
    token = await mfa_token(app, ada)
    asked = await options(client, "login", mfa_token=token)
    assert [it["id"] for it in asked["allowCredentials"]] == [text(one.id)]
    credential = one.get(asked)
    pair = body_of(await finish(client, token, credential), 200)
    client.headers["Authorization"] = f"Bearer {pair['access_token']}"
    # The new session is proved: it may do at once what takes a proof.
    body_of(await client.post("/api/auth/2fa/backup-codes"), 200)
    problem_of(await finish(client, token, credential), 401, "token_invalid")
    # The same answer to another ticket of the same person is a replay.
    problem_of(await finish(client, await mfa_token(app, ada), credential), 401, "second_factor_wrong")
    told = ["second_factor_proved", "signed_in", "backup_codes_made", "second_factor_failed"]
    assert (await noted(ada.id))[-4:] == told


async def test_an_answer_that_was_refused_is_used_up_too(app: Litestar, ada: Person):
    one, client = Authenticator(), anonymous(app)
    await registered(await calling(app, ada), one)
    token = await mfa_token(app, ada)
    asked = await options(client, "login", mfa_token=token)
    problem_of(await finish(client, token, one.get(asked, flags=0)), 401, "second_factor_wrong")
    problem_of(await finish(client, token, one.get(asked)), 401, "second_factor_wrong")
    body_of(await finish(client, token, one.get(await options(client, "login", mfa_token=token))), 200)


async def test_a_counter_that_goes_back_is_refused_and_told(app: Litestar, ada: Person):
    one, client = Authenticator(counter=7), anonymous(app)
    await registered(await calling(app, ada), one)
    for counter in (7, 3, None):
        token = await mfa_token(app, ada)
        one.counter = counter
        answer = await finish(client, token, one.get(await options(client, "login", mfa_token=token)))
        problem_of(answer, 401, "second_factor_wrong")
        assert (await noted(ada.id))[-1] == "passkey_counter_went_back"
    assert await guard.value("select sign_count from mfa_methods") == 7
    one.counter = 8
    token = await mfa_token(app, ada)
    body_of(await finish(client, token, one.get(await options(client, "login", mfa_token=token))), 200)
    assert await guard.value("select sign_count from mfa_methods") == 8


async def test_a_passkey_without_a_counter_signs_in_again_and_again(app: Litestar, ada: Person):
    one, client = Authenticator(counter=None), anonymous(app)
    await registered(await calling(app, ada), one)
    for _ in range(3):
        token = await mfa_token(app, ada)
        body_of(await finish(client, token, one.get(await options(client, "login", mfa_token=token))), 200)


async def test_somebody_elses_passkey_is_refused(app: Litestar, ada: Person):
    bob = await factories.a_freelancer()
    one, bobs, client = Authenticator(), Authenticator(), anonymous(app)
    await registered(await calling(app, ada), one)
    await registered(await calling(app, bob), bobs)
    token = await mfa_token(app, ada)
    asked = await options(client, "login", mfa_token=token)
    problem_of(await finish(client, token, bobs.get(asked)), 401, "second_factor_wrong")
    # Nor by the name of Ada's key, signed by Bob's.
    asked = await options(client, "login", mfa_token=token)
    forged = {**bobs.get(asked), "id": text(one.id), "rawId": text(one.id)}
    problem_of(await finish(client, token, forged), 401, "second_factor_wrong")
    # Nor with a ticket of Bob's for what Ada was asked.
    asked = await options(client, "login", mfa_token=token)
    problem_of(await finish(client, await mfa_token(app, bob), one.get(asked)), 401, "second_factor_wrong")


async def test_a_ticket_takes_five_answers(app: Litestar, ada: Person):
    one, client = Authenticator(), anonymous(app)
    await registered(await calling(app, ada), one)
    token = await mfa_token(app, ada)
    asked = await options(client, "login", mfa_token=token)
    for _ in range(5):
        problem_of(await finish(client, token, one.get(asked, type="webauthn.create")), 401, "second_factor_wrong")
    problem_of(await finish(client, token, one.get(asked)), 429, "throttled")


async def test_without_a_passkey_there_is_none_to_ask(app: Litestar, ada: Person):
    await with_totp(sealer_of(app.state), ada.id)
    answer = await anonymous(app).post(f"{ROOT}/login/begin", json={"mfa_token": await mfa_token(app, ada)})
    problem_of(answer, 422, "invalid")
    problem_of(await (await calling(app, ada)).post(f"{ROOT}/verify/begin"), 409, "factor_exists")


# Proved anew


async def test_a_passkey_proves_anew_for_this_session_only(app: Litestar, ada: Person):
    one = Authenticator()
    first = await calling(app, ada)
    await registered(first, one)
    await proof_grows_old(ada.id)
    client, other = await calling(app, ada), await calling(app, ada)
    problem_of(await client.post("/api/auth/2fa/backup-codes"), 403, "step_up_required")
    credential = one.get(await options(client, "verify"))
    # A signature for a step-up is none for a sign-in.
    problem_of(await finish(anonymous(app), await mfa_token(app, ada), credential), 401, "second_factor_wrong")
    path = f"{ROOT}/verify/finish"
    assert body_of(await client.post(path, json={"credential": credential}), 200) == {
        "verified": True, "method": "webauthn"
    }  # fmt: skip
    problem_of(await client.post(path, json={"credential": credential}), 422, "code_wrong")
    body_of(await client.post("/api/auth/2fa/backup-codes"), 200)
    problem_of(await other.post("/api/auth/2fa/backup-codes"), 403, "step_up_required")


async def test_an_app_is_added_to_a_passkey_and_both_protect(app: Litestar, ada: Person):
    one, client = Authenticator(), await calling(app, ada)
    await registered(client, one)
    seed = body_of(await client.post("/api/auth/2fa/enable"), 200)["secret"]
    on = body_of(await client.post("/api/auth/2fa/confirm", json={"code": code_at(seed)}), 200)
    assert on == {"enabled": True, "methods": ["totp", "webauthn"], "backup_codes_left": 8}
