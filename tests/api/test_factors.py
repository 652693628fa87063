"""One's factors by the door of `/api/security/mfa`: added, proved once more, listed, removed."""

import asyncio
import io
from base64 import b64decode
from typing import Any

import httpx
import pytest
import zxingcpp
from litestar import Litestar
from PIL import Image

from api.factors import masked
from api.proofs import sealer_of
from models import factors, guard
from models.accounts import Person
from models.factors import Method
from tests import factories
from tests.api.callers import anonymous, body_of, calling, problem_of
from tests.enrolled import (
    ELSEWHERE,
    PHONE,
    a_minute_passes,
    code_at,
    mfa_token,
    noted,
    proof_grows_old,
    sent_code,
    steps_forgotten,
    with_contact,
    with_totp,
    wrong_code,
)
from tests.worlds import mailed
from wire.second_factors import otpauth

SETUP, VERIFY, SEND = "/api/security/mfa/setup", "/api/security/mfa/verify", "/api/security/mfa/send"
METHODS = "/api/security/mfa/methods"


@pytest.fixture
async def ada(app: Litestar) -> Person:
    return await factories.a_client()


@pytest.fixture
async def client(app: Litestar, ada: Person) -> httpx.AsyncClient:
    return await calling(app, ada)


@pytest.fixture
def texting(environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings with an account that text messages go through."""
    monkeypatch.setenv("TWILIO_ACCOUNT_SID", "AC" + "0" * 32)
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "sandbox")
    monkeypatch.setenv("TWILIO_FROM_NUMBER", "+15550000000")


@pytest.fixture
def limited(environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings as they are where limits are not lifted."""
    monkeypatch.setenv("RATE_LIMIT_USER", "240/60")


async def proved(client: httpx.AsyncClient, method: str, code: str) -> Any:
    return body_of(await client.post(VERIFY, json={"method": method, "code": code}), 200)


# An authenticator app


async def test_setting_up_an_app_answers_the_sources_body_with_ten_codes(client: httpx.AsyncClient, ada: Person):
    body = body_of(await client.post(SETUP, json={"method": "totp", "contact": "optional@email.com"}), 200)
    assert set(body) == {"method", "secret", "qr_code", "backup_codes"}
    assert (body["method"], len(set(body["backup_codes"]))) == ("totp", 10)
    [read] = zxingcpp.read_barcodes(Image.open(io.BytesIO(b64decode(body["qr_code"].partition(",")[2]))))
    assert read.text == otpauth(body["secret"], ada.email)
    assert await proved(client, "totp", code_at(body["secret"])) == {
        "method": "totp", "enrolled": True, "verified": True
    }  # fmt: skip
    assert await factors.codes_left(ada.id) == 10


async def test_both_doors_lead_to_one_thing(client: httpx.AsyncClient, ada: Person):
    seed = body_of(await client.post(SETUP, json={"method": "totp"}), 200)["secret"]
    on = body_of(await client.post("/api/auth/2fa/confirm", json={"code": code_at(seed)}), 200)
    assert on == {"enabled": True, "methods": ["totp"], "backup_codes_left": 10}


async def test_an_app_that_waits_does_not_stand_in_the_way_of_the_one_that_protects(
    app: Litestar, client: httpx.AsyncClient, ada: Person
):
    old, _ = await with_totp(sealer_of(app.state), ada.id)
    client = await calling(app, ada)
    await proved(client, "totp", code_at(old))
    new = body_of(await client.post(SETUP, json={"method": "totp"}), 200)["secret"]
    await steps_forgotten(ada.id)
    assert await proved(client, "totp", code_at(old)) == {"method": "totp", "enrolled": False, "verified": True}
    assert (await proved(client, "totp", code_at(new)))["enrolled"]


# A proof anew


async def test_a_proof_opens_what_needs_one_for_five_minutes(app: Litestar, ada: Person):
    seed, codes = await with_totp(sealer_of(app.state), ada.id)
    client = await calling(app, ada)
    problem_of(await client.post(SETUP, json={"method": "email"}), 403, "step_up_required")
    problem_of(await client.post(VERIFY, json={"method": "totp", "code": wrong_code(seed)}), 422, "code_wrong")
    problem_of(await client.post(SETUP, json={"method": "email"}), 403, "step_up_required")
    await proved(client, "backup_code", codes[0])
    assert await noted(ada.id) == [
        "factor_added", "second_factor_failed", "second_factor_proved", "backup_code_used"
    ]  # fmt: skip
    assert (await client.post(SETUP, json={"method": "email"})).status_code == 200
    await proof_grows_old(ada.id)
    problem_of(await client.post(SETUP, json={"method": "email"}), 403, "step_up_required")


@pytest.mark.parametrize("method", ["totp", "sms", "email", "backup_code"])
async def test_what_one_does_not_have_proves_nothing(client: httpx.AsyncClient, ada: Person, method: str):
    problem_of(await client.post(VERIFY, json={"method": method, "code": "123456"}), 409, "factor_exists")
    if method in {"sms", "email"}:
        code = "channel_unavailable" if method == "sms" else "factor_exists"
        answer = await client.post(SEND, json={"method": method})
        assert answer.json()["code"] == code


async def test_a_mailed_code_proves_anew(app: Litestar, ada: Person):
    await with_contact(ada.id, Method.EMAIL, ELSEWHERE)
    client = await calling(app, ada)
    assert (await client.post(SEND, json={"method": "email"})).status_code == 202
    assert await guard.value("select address from mails where kind = 'security_code'") == ELSEWHERE
    problem_of(await client.post(SEND, json={"method": "email"}), 429, "throttled")
    code = await sent_code(app.state.tokens, ada.id)
    # It is no code for signing in.
    said = {"mfa_token": await mfa_token(app, ada), "code": code}
    problem_of(await anonymous(app).post("/api/auth/2fa/verify", json=said), 401, "second_factor_wrong")
    await proved(client, "email", code)
    problem_of(await client.post(VERIFY, json={"method": "email", "code": code}), 422, "code_wrong")


# Mail and text messages


async def test_an_address_of_ones_own_is_proved_by_the_code_sent_there(
    app: Litestar, client: httpx.AsyncClient, ada: Person
):
    body = body_of(await client.post(SETUP, json={"method": "email", "contact": f" {ELSEWHERE} "}), 200)
    assert (body["method"], body["contact"], len(body["backup_codes"])) == ("email", ELSEWHERE, 10)
    assert "secret" not in body
    assert await guard.value("select address from mails") == ELSEWHERE
    first = await sent_code(app.state.tokens, ada.id)
    problem_of(await client.post(SEND, json={"method": "email"}), 429, "throttled")
    await a_minute_passes(ada.id)
    assert (await client.post(SEND, json={"method": "email"})).status_code == 202
    problem_of(await client.post(VERIFY, json={"method": "email", "code": first}), 422, "code_wrong")
    code = await sent_code(app.state.tokens, ada.id)
    assert (await proved(client, "email", code))["enrolled"]
    assert await factors.methods_of(ada.id) == [Method.EMAIL, Method.BACKUP_CODE]
    assert await mailed(ada.id) == ["security_code"] * 2 + ["2fa_enabled"]


async def test_of_rivals_with_one_mailed_code_one_enrols(app: Litestar, client: httpx.AsyncClient, ada: Person):
    body_of(await client.post(SETUP, json={"method": "email"}), 200)
    said = {"method": "email", "code": await sent_code(app.state.tokens, ada.id)}
    answers = await asyncio.gather(*(client.post(VERIFY, json=said) for _ in range(4)))
    assert [one.status_code for one in answers].count(200) == 1
    assert await mailed(ada.id) == ["security_code", "2fa_enabled"]


async def test_without_a_contact_the_accounts_address_is_taken_and_codes_are_given_once(app: Litestar, ada: Person):
    seed, _ = await with_totp(sealer_of(app.state), ada.id)
    client = await calling(app, ada)
    await proved(client, "totp", code_at(seed))
    body = body_of(await client.post(SETUP, json={"method": "email"}), 200)
    assert body == {"method": "email", "contact": ada.email}
    await proved(client, "email", await sent_code(app.state.tokens, ada.id))
    assert await factors.codes_left(ada.id) == 8


async def test_a_code_enrols_the_contact_it_went_to_and_no_other(app: Litestar, client: httpx.AsyncClient, ada: Person):
    body_of(await client.post(SETUP, json={"method": "email"}), 200)
    mine = await sent_code(app.state.tokens, ada.id)
    # A second setup within the minute changes nothing.
    problem_of(await client.post(SETUP, json={"method": "email", "contact": "victim@example.org"}), 429, "throttled")
    await a_minute_passes(ada.id)
    body_of(await client.post(SETUP, json={"method": "email", "contact": "victim@example.org"}), 200)
    problem_of(await client.post(VERIFY, json={"method": "email", "code": mine}), 422, "code_wrong")


async def test_a_phone_is_proved_by_a_text_message(
    texting: None, app: Litestar, client: httpx.AsyncClient, ada: Person
):
    body = body_of(await client.post(SETUP, json={"method": "sms", "contact": PHONE}), 200)
    assert (body["contact"], len(body["backup_codes"])) == (PHONE, 10)
    row = await guard.only("select id, status, purpose, contact from security_codes")
    assert (row["status"], row["purpose"], row["contact"]) == ("queued", "enrol", PHONE)
    assert await guard.value("select payload::text from jobs") == f'{{"code_id": {row["id"]}}}'
    await proved(client, "sms", await sent_code(app.state.tokens, ada.id))
    held = await mfa_token(app, ada)
    assert (
        await anonymous(app).post("/api/auth/2fa/send", json={"mfa_token": held, "method": "sms"})
    ).status_code == 202
    said = {"mfa_token": held, "code": await sent_code(app.state.tokens, ada.id), "method": "sms"}
    body_of(await anonymous(app).post("/api/auth/2fa/verify", json=said), 200)


@pytest.mark.parametrize(
    "contact", [None, "15551234567", "+123456", "+1234567890123456", "+05551234567", "+1 555 123 4567", ELSEWHERE,
                "+\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18"]
)  # fmt: skip
async def test_what_is_no_phone_number_is_refused(
    texting: None, app: Litestar, client: httpx.AsyncClient, contact: str | None
):
    answer = await client.post(SETUP, json={"method": "sms", "contact": contact})
    assert problem_of(answer, 422, "invalid")["errors"][0]["field"] == "contact"
    assert await guard.value("select count(*) from mfa_methods") == 0


@pytest.mark.parametrize("contact", ["no address", "a@b\nBcc: x@example.com", "a\x00@example.com", "x" * 300, ""])
async def test_what_is_no_address_is_refused(client: httpx.AsyncClient, contact: str):
    answer = await client.post(SETUP, json={"method": "email", "contact": contact})
    assert problem_of(answer, 422, "invalid")["errors"][0]["field"] == "contact"
    assert await guard.value("select count(*) from mails") == 0


async def test_without_a_provider_there_are_no_text_messages(client: httpx.AsyncClient):
    answer = await client.post(SETUP, json={"method": "sms", "contact": PHONE})
    problem_of(answer, 422, "channel_unavailable")


@pytest.mark.parametrize("body", [{}, {"method": "fax"}, {"method": "backup_code"}, {"method": "totp", "user_id": 1},
                                  {"method": "totp", "secret": "A" * 32}])  # fmt: skip
async def test_a_bad_setup_is_refused(client: httpx.AsyncClient, body: dict[str, Any]):
    problem_of(await client.post(SETUP, json=body), 422, "invalid")


async def test_setting_up_a_passkey_answers_the_browsers_options(client: httpx.AsyncClient):
    body = body_of(await client.post(SETUP, json={"method": "webauthn"}), 200)
    assert set(body) == {"method", "options"}
    assert body["options"]["rp"]["id"] == "localhost"


# Listing and removing


async def test_what_was_begun_before_the_first_factor_is_gone_after_it(
    app: Litestar, client: httpx.AsyncClient, ada: Person
):
    """A thief in the session, before its owner had a factor: a seed of the thief's own waits, and outlives the day."""
    seed = body_of(await client.post(SETUP, json={"method": "totp"}), 200)["secret"]
    body_of(await client.post(SETUP, json={"method": "email", "contact": ELSEWHERE}), 200)
    await proved(client, "email", await sent_code(app.state.tokens, ada.id))
    await proof_grows_old(ada.id)
    answer = await client.post("/api/auth/2fa/confirm", json={"code": code_at(seed)})
    problem_of(answer, 409, "factor_exists")
    problem_of(await client.post("/api/auth/2fa/backup-codes"), 403, "step_up_required")
    assert await factors.methods_of(ada.id) == [Method.EMAIL, Method.BACKUP_CODE]
    assert await guard.value("select count(*) from backup_codes where not live") == 0


async def test_seeds_and_codes_cannot_be_made_by_the_hundred(limited: None, client: httpx.AsyncClient):
    """Each costs a tenth of a second of a processor."""
    answers = [await client.post(SETUP, json={"method": "webauthn"}) for _ in range(21)]
    assert [one.status_code for one in answers] == [200] * 20 + [429]


def test_contacts_are_masked():
    assert [masked(one) for one in (None, PHONE, "user@example.com", "ü@x.de")] == [
        None, "+1…67", "u…@example.com", "ü…@x.de"
    ]  # fmt: skip


async def test_the_list_shows_no_secret_and_masks_contacts(app: Litestar, ada: Person):
    await with_totp(sealer_of(app.state), ada.id)
    await with_contact(ada.id, Method.SMS, PHONE)
    client = await calling(app, ada)
    body = body_of(await client.get(METHODS), 200)
    assert body["backup_codes_left"] == 8
    assert [set(one) for one in body["items"]] == [
        {"id", "method", "name", "contact", "is_active", "created_at", "last_used_at"}
    ] * 2
    assert [(one["method"], one["contact"], one["is_active"]) for one in body["items"]] == [
        ("totp", None, True),
        ("sms", "+1…67", True),
    ]


async def test_removing_takes_a_proof_and_ends_the_other_sessions(app: Litestar, ada: Person):
    seed, codes = await with_totp(sealer_of(app.state), ada.id)
    client, elsewhere = await calling(app, ada), await calling(app, ada)
    [factor] = await factors.list_own(ada.id)
    problem_of(await client.delete(f"{METHODS}/{factor.id}"), 403, "step_up_required")
    await proved(client, "totp", code_at(seed))
    assert (await client.delete(f"{METHODS}/{factor.id}")).status_code == 204
    problem_of(await elsewhere.get(METHODS), 401, "token_invalid")
    assert body_of(await client.get(METHODS), 200) == {"items": [], "backup_codes_left": 0}
    assert await mailed(ada.id) == ["2fa_enabled", "2fa_disabled"]
    problem_of(await client.delete(f"{METHODS}/{factor.id}"), 404, "not_found")
    assert codes


async def test_other_peoples_factors_are_not_there(app: Litestar, client: httpx.AsyncClient):
    bob = await factories.a_freelancer()
    factor_id = await with_contact(bob.id, Method.EMAIL, ELSEWHERE)
    problem_of(await client.delete(f"{METHODS}/{factor_id}"), 404, "not_found")
    assert await factors.methods_of(bob.id) == [Method.EMAIL]


async def test_what_waits_is_removed_without_a_proof(client: httpx.AsyncClient, ada: Person):
    body_of(await client.post(SETUP, json={"method": "totp"}), 200)
    [factor] = body_of(await client.get(METHODS), 200)["items"]
    assert not factor["is_active"]
    assert (await client.delete(f"{METHODS}/{factor['id']}")).status_code == 204
    assert await mailed(ada.id) == []


async def test_an_admin_keeps_the_last_factor(app: Litestar):
    admin = await factories.an_admin()
    seed, _ = await with_totp(sealer_of(app.state), admin.id)
    client = await calling(app, admin)
    await proved(client, "totp", code_at(seed))
    [factor] = await factors.list_own(admin.id)
    problem_of(await client.delete(f"{METHODS}/{factor.id}"), 403, "second_factor_required")


@pytest.mark.parametrize("path", [SETUP, VERIFY, SEND])
async def test_nobody_asks_without_a_session(app: Litestar, path: str):
    problem_of(await anonymous(app).post(path, json={"method": "totp", "code": "1"}), 401, "token_invalid")


@pytest.mark.parametrize("path", ["/api/auth/2fa/enable", "/api/security/webauthn/register/begin"])
async def test_the_thief_of_an_older_session_cannot_add_the_first_factor(app: Litestar, ada: Person, path: str):
    thief = await calling(app, ada)
    await guard.rows("update sessions set created_at = now() - interval '16 minutes'")
    problem_of(await thief.post(path), 403, "step_up_required")
    problem_of(await thief.post("/api/security/mfa/setup", json={"method": "email"}), 403, "step_up_required")
    assert await guard.rows("select 1 from mfa_methods") == []
