"""The second half of a sign-in, and an authenticator app switched on and off; and every way to cheat at it."""

import asyncio
import io
from base64 import b64decode
from datetime import datetime
from uuid import uuid4

import pytest
import zxingcpp
from litestar import Litestar
from PIL import Image

from api.proofs import prove_second_factor, sealer_of
from models import factors, guard, sessions, tickets
from models.accounts import Person
from models.errors import Invalid, SecondFactorWrong
from models.factors import Method
from models.tickets import Purpose
from tests import factories
from tests.api.callers import anonymous, body_of, calling, problem_of
from tests.enrolled import (
    ELSEWHERE,
    PHONE,
    VISITOR,
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
from wire.passwords import hash_now
from wire.second_factors import otpauth

PASSWORD = "SecurePass123!"
VERIFY = "/api/auth/2fa/verify"


@pytest.fixture
async def ada(app: Litestar) -> Person:
    return await factories.a_client()


async def enrolled(app: Litestar, person: Person) -> tuple[str, list[str]]:
    return await with_totp(sealer_of(app.state), person.id)


async def has_password(person: Person) -> None:
    await guard.rows("update users set password_hash = $2 where id = $1", person.id, hash_now(PASSWORD))


# Switching it on


async def test_enabling_answers_the_sources_body_and_changes_nothing_yet(app: Litestar, ada: Person):
    client = await calling(app, ada)
    body = body_of(await client.post("/api/auth/2fa/enable"), 200)
    assert set(body) == {"secret", "qr_code", "backup_codes"}
    assert len(body["backup_codes"]) == 8
    [read] = zxingcpp.read_barcodes(Image.open(io.BytesIO(b64decode(body["qr_code"].partition(",")[2]))))
    assert read.text == otpauth(body["secret"], ada.email)
    sealed = await guard.value("select secret_sealed from mfa_methods")
    assert body["secret"] not in sealed
    assert sealer_of(app.state).unseal(sealed) == body["secret"]
    status = body_of(await client.get("/api/auth/2fa/status"), 200)
    assert status == {"enabled": False, "methods": [], "backup_codes_left": 0}


async def test_confirming_switches_it_on_and_ends_the_other_sessions(app: Litestar, ada: Person):
    client, elsewhere = await calling(app, ada), await calling(app, ada)
    seed = body_of(await client.post("/api/auth/2fa/enable"), 200)["secret"]
    problem_of(await client.post("/api/auth/2fa/confirm", json={"code": wrong_code(seed)}), 422, "code_wrong")
    problem_of(await client.post("/api/auth/2fa/confirm", json={"code": "no code"}), 422, "code_wrong")
    assert await factors.methods_of(ada.id) == []
    on = body_of(await client.post("/api/auth/2fa/confirm", json={"code": code_at(seed)}), 200)
    assert on == {"enabled": True, "methods": ["totp"], "backup_codes_left": 8}
    assert (await client.get("/api/auth/2fa/status")).status_code == 200
    problem_of(await elsewhere.get("/api/auth/2fa/status"), 401, "token_invalid")
    assert await mailed(ada.id) == ["2fa_enabled"]
    assert await noted(ada.id) == ["second_factor_failed"] * 2 + ["factor_added"]
    # The code that confirmed it is used up.
    problem_of(
        await client.post("/api/security/mfa/verify", json={"method": "totp", "code": code_at(seed)}), 422, "code_wrong"
    )


async def test_of_rivals_with_one_code_one_confirms(app: Litestar, ada: Person):
    client = await calling(app, ada)
    seed = body_of(await client.post("/api/auth/2fa/enable"), 200)["secret"]
    answers = await asyncio.gather(
        *(client.post("/api/auth/2fa/confirm", json={"code": code_at(seed)}) for _ in range(5))
    )
    assert [one.status_code for one in answers].count(200) == 1
    assert await mailed(ada.id) == ["2fa_enabled"]


async def test_there_is_nothing_to_confirm_or_disable_before_it_was_begun(app: Litestar, ada: Person):
    client = await calling(app, ada)
    problem_of(await client.post("/api/auth/2fa/confirm", json={"code": "123456"}), 409, "factor_exists")
    problem_of(
        await client.post("/api/auth/2fa/disable", json={"password": PASSWORD, "code": "123456"}), 409, "factor_exists"
    )
    problem_of(await client.post("/api/auth/2fa/backup-codes"), 409, "factor_exists")


async def test_enabling_anew_takes_a_proof_and_leaves_the_old_app_until_confirmed(app: Litestar, ada: Person):
    seed, old_codes = await enrolled(app, ada)
    client = await calling(app, ada)
    problem_of(await client.post("/api/auth/2fa/enable"), 403, "step_up_required")
    proof = {"method": "totp", "code": code_at(seed)}
    body_of(await client.post("/api/security/mfa/verify", json=proof), 200)
    new = body_of(await client.post("/api/auth/2fa/enable"), 200)
    # The old one still signs in.
    answer = await anonymous(app).post(VERIFY, json={"mfa_token": await mfa_token(app, ada), "code": code_at(seed, 1)})
    assert answer.status_code == 200
    body_of(await client.post("/api/auth/2fa/confirm", json={"code": code_at(new["secret"])}), 200)
    for code, status in ((old_codes[0], 401), (new["backup_codes"][0], 200)):
        answer = await anonymous(app).post(VERIFY, json={"mfa_token": await mfa_token(app, ada), "code": code})
        assert answer.status_code == status


# Signing in


async def test_a_code_of_the_app_finishes_a_sign_in_and_opens_a_proved_session(app: Litestar, ada: Person):
    seed, _ = await enrolled(app, ada)
    body = body_of(
        await anonymous(app).post(VERIFY, json={"mfa_token": await mfa_token(app, ada), "code": code_at(seed)}), 200
    )
    assert body["token_type"] == "bearer"
    session_id = app.state.tokens.read_access(body["access_token"]).session_id
    session = await sessions.read_live(session_id)
    assert session is not None
    assert isinstance(session.proved_at, datetime)
    assert (await noted(ada.id))[-2:] == ["second_factor_proved", "signed_in"]


@pytest.mark.parametrize("method", [None, "totp"])
async def test_a_code_of_the_app_works_once(app: Litestar, ada: Person, method: str | None):
    seed, _ = await enrolled(app, ada)
    code, client = code_at(seed), anonymous(app)
    for status in (200, 401):
        said = {"mfa_token": await mfa_token(app, ada), "code": code, "method": method}
        assert (await client.post(VERIFY, json=said)).status_code == status
    # Nor does an earlier one, now that a later one was used.
    said = {"mfa_token": await mfa_token(app, ada), "code": code_at(seed, -1)}
    problem_of(await client.post(VERIFY, json=said), 401, "second_factor_wrong")


async def test_of_rivals_with_one_code_of_the_app_one_enters(app: Litestar, ada: Person):
    seed, _ = await enrolled(app, ada)
    code, client = code_at(seed), anonymous(app)
    held = [await mfa_token(app, ada) for _ in range(6)]
    answers = await asyncio.gather(*(client.post(VERIFY, json={"mfa_token": one, "code": code}) for one in held))
    assert sorted(one.status_code for one in answers) == [200] + [401] * 5


async def test_a_backup_code_works_once_even_at_the_same_moment(app: Litestar, ada: Person):
    _, codes = await enrolled(app, ada)
    client, held = anonymous(app), [await mfa_token(app, ada) for _ in range(6)]
    answers = await asyncio.gather(*(client.post(VERIFY, json={"mfa_token": one, "code": codes[0]}) for one in held))
    assert sorted(one.status_code for one in answers) == [200] + [401] * 5
    said = {"mfa_token": await mfa_token(app, ada), "code": codes[1].lower(), "method": "backup_code"}
    body_of(await client.post(VERIFY, json=said), 200)
    told = await noted(ada.id)
    assert [told.count(one) for one in ("second_factor_proved", "backup_code_used", "signed_in")] == [2, 2, 2]
    assert await factors.codes_left(ada.id) == 6


async def test_a_ticket_opens_one_session(app: Litestar, ada: Person):
    _, codes = await enrolled(app, ada)
    client, token = anonymous(app), await mfa_token(app, ada)
    body_of(await client.post(VERIFY, json={"mfa_token": token, "code": codes[0]}), 200)
    problem_of(await client.post(VERIFY, json={"mfa_token": token, "code": codes[1]}), 401, "token_invalid")
    assert await factors.codes_left(ada.id) == 7


async def test_five_wrong_codes_end_a_sign_in(app: Litestar, ada: Person):
    seed, _ = await enrolled(app, ada)
    client, token = anonymous(app), await mfa_token(app, ada)
    for code in (wrong_code(seed), "AAAAA-AAAA-AAAA", "gibberish", "12345", " "):
        answer = await client.post(VERIFY, json={"mfa_token": token, "code": code})
        assert answer.status_code == (422 if code == " " else 401), code
    problem_of(await client.post(VERIFY, json={"mfa_token": token, "code": "1"}), 401, "second_factor_wrong")
    answer = await client.post(VERIFY, json={"mfa_token": token, "code": code_at(seed)})
    problem_of(answer, 429, "throttled")
    assert answer.headers["retry-after"] == "300"
    assert await noted(ada.id) == ["factor_added"] + ["second_factor_failed"] * 5


async def test_wrong_codes_are_counted_for_the_account_whatever_the_ticket(app: Litestar, ada: Person):
    seed, _ = await enrolled(app, ada)
    client, wrong = anonymous(app), wrong_code(seed)
    statuses = []
    for _ in range(30):
        answer = await client.post(VERIFY, json={"mfa_token": await mfa_token(app, ada), "code": wrong})
        statuses.append(answer.status_code)
        if answer.status_code == 429:
            break
    assert statuses[-1] == 429
    assert set(statuses[:-1]) == {401}
    # The right one must wait too.
    said = {"mfa_token": await mfa_token(app, ada), "code": code_at(seed)}
    problem_of(await client.post(VERIFY, json=said), 429, "throttled")


async def test_tokens_of_other_types_and_dead_tickets_are_refused(app: Litestar, ada: Person):
    seed, codes = await enrolled(app, ada)
    client, tokens = anonymous(app), app.state.tokens
    begun = await guard.commit(sessions.begin, ada.id, ada.role)
    for token in (
        tokens.issue_access(ada.id, ada.role.value, begun.session_id),
        tokens.issue_refresh(begun.session_id, 1),
        tokens.issue_ticket(uuid4()),
        "x",
    ):
        for path, said in (
            (VERIFY, {"code": codes[0]}),
            ("/api/auth/2fa/send", {"method": "email"}),
            ("/api/security/webauthn/login/begin", {}),
        ):
            problem_of(await client.post(path, json={"mfa_token": token, **said}), 401, "token_invalid")
    old = await mfa_token(app, ada)
    await guard.rows("update sign_in_tickets set created_at = now() - interval '301 seconds'")
    problem_of(await client.post(VERIFY, json={"mfa_token": old, "code": code_at(seed)}), 401, "token_invalid")
    # And a ticket's token is no access token.
    client.headers["Authorization"] = f"Bearer {await mfa_token(app, ada)}"
    problem_of(await client.get("/api/auth/2fa/status"), 401, "token_invalid")
    assert await factors.codes_left(ada.id) == 8


async def test_a_method_that_the_ticket_does_not_take_is_refused(app: Litestar, ada: Person):
    seed, _ = await enrolled(app, ada)
    client = anonymous(app)
    token = await mfa_token(app, ada, Method.EMAIL)
    said = {"mfa_token": token, "code": code_at(seed), "method": "totp"}
    assert problem_of(await client.post(VERIFY, json=said), 422, "invalid")["errors"][0]["field"] == "method"
    del said["method"]
    problem_of(await client.post(VERIFY, json=said), 401, "second_factor_wrong")
    token = await mfa_token(app, ada)
    answer = await client.post("/api/auth/2fa/send", json={"mfa_token": token, "method": "email"})
    assert problem_of(answer, 422, "invalid")["errors"][0]["field"] == "method"
    assert "totp, backup_code" in answer.text


@pytest.mark.parametrize(
    "said", [{}, {"code": "1"}, {"code": "123456", "x": 1}, {"code": "1" * 41}, {"code": 123456}, {"code": "1\x002345"},
             {"code": "123456", "method": "webauthn"}]
)  # fmt: skip
async def test_a_bad_body_is_refused(app: Litestar, ada: Person, said: dict[str, object]):
    await enrolled(app, ada)
    answer = await anonymous(app).post(VERIFY, json={"mfa_token": await mfa_token(app, ada), **said})
    assert answer.status_code == (401 if said == {"code": "1"} else 422), answer.text


async def test_a_risky_sign_in_is_finished_by_the_code_that_was_mailed(app: Litestar, ada: Person):
    client, token = anonymous(app), await mfa_token(app, ada, Method.EMAIL)
    assert await mailed(ada.id) == ["security_code"]
    answer = await client.post("/api/auth/2fa/send", json={"mfa_token": token, "method": "email"})
    problem_of(answer, 429, "throttled")
    assert 50 <= int(answer.headers["retry-after"]) <= 60
    earlier = await sent_code(app.state.tokens, ada.id)
    await a_minute_passes(ada.id)
    answer = await client.post("/api/auth/2fa/send", json={"mfa_token": token, "method": "email"})
    assert answer.status_code == 202
    assert await mailed(ada.id) == ["security_code"] * 2
    code = await sent_code(app.state.tokens, ada.id)
    for one, status in ((earlier, 401), (code, 200)):
        assert (await client.post(VERIFY, json={"mfa_token": token, "code": one})).status_code == status
    token = await mfa_token(app, ada, Method.EMAIL)
    problem_of(await client.post(VERIFY, json={"mfa_token": token, "code": code}), 401, "second_factor_wrong")


async def test_of_rivals_with_one_sent_code_one_enters(app: Litestar, ada: Person):
    client, held = anonymous(app), [await mfa_token(app, ada, Method.EMAIL) for _ in range(4)]
    code = await sent_code(app.state.tokens, ada.id)
    answers = await asyncio.gather(*(client.post(VERIFY, json={"mfa_token": one, "code": code}) for one in held))
    assert sorted(one.status_code for one in answers) == [200] + [401] * 3


async def test_without_a_provider_no_text_message_is_promised(app: Litestar, ada: Person):
    await with_contact(ada.id, Method.SMS, PHONE)
    said = {"mfa_token": await mfa_token(app, ada), "method": "sms"}
    problem_of(await anonymous(app).post("/api/auth/2fa/send", json=said), 422, "channel_unavailable")


async def test_the_proof_is_usable_without_a_ticket(app: Litestar, ada: Person):
    seed, _ = await enrolled(app, ada)

    async def prove(code: str, method: Method | None = None) -> Method:
        return await prove_second_factor(app.state, ada.id, code, method, purpose=Purpose.SIGN_IN, visitor=VISITOR)

    with pytest.raises(SecondFactorWrong):
        await prove(wrong_code(seed))
    with pytest.raises(Invalid):
        await prove(code_at(seed), Method.SMS)
    assert await prove(code_at(seed)) is Method.TOTP


async def test_the_code_of_the_app_goes_before_one_that_was_sent(app: Litestar, ada: Person):
    seed, _ = await enrolled(app, ada)
    await with_contact(ada.id, Method.EMAIL, ELSEWHERE)
    client, token = anonymous(app), await mfa_token(app, ada)
    answer = await client.post("/api/auth/2fa/send", json={"mfa_token": token, "method": "email"})
    assert answer.status_code == 202
    assert await guard.value("select address from mails where kind = 'security_code'") == ELSEWHERE
    body_of(await client.post(VERIFY, json={"mfa_token": token, "code": code_at(seed)}), 200)
    assert await guard.value("select attempts from security_codes") == 0
    said = {"mfa_token": await mfa_token(app, ada), "code": await sent_code(app.state.tokens, ada.id)}
    body_of(await client.post(VERIFY, json=said), 200)


async def test_a_factor_that_is_gone_finishes_no_ticket_opened_before(app: Litestar, ada: Person):
    seed, codes = await enrolled(app, ada)
    held = await mfa_token(app, ada)
    [factor] = await factors.list_own(ada.id)
    await guard.commit(factors.remove, factor.id, user_id=ada.id, role=ada.role, visitor=VISITOR)
    for code in (code_at(seed), codes[0]):
        answer = await anonymous(app).post(VERIFY, json={"mfa_token": held, "code": code})
        problem_of(answer, 401, "token_invalid")


async def test_a_ticket_is_not_taken_for_somebody_else(app: Litestar, ada: Person):
    ticket_id = await guard.commit(tickets.open_ticket, ada.id, VISITOR, [Method.TOTP], 0)
    with pytest.raises(AssertionError, match="somebody else"):
        await prove_second_factor(
            app.state, ada.id + 1, "1", None, purpose=Purpose.SIGN_IN, visitor=VISITOR, ticket_id=ticket_id
        )


# Switching it off


async def test_disabling_takes_the_password_and_a_code(app: Litestar, ada: Person):
    await has_password(ada)
    seed, codes = await enrolled(app, ada)
    client, elsewhere = await calling(app, ada), await calling(app, ada)

    async def disable(password: str, code: str, status: int) -> dict[str, object]:
        answer = await client.post("/api/auth/2fa/disable", json={"password": password, "code": code})
        found: dict[str, object] = body_of(answer, status)
        return found

    assert (await disable("Wrong1234!", code_at(seed), 422))["code"] == "password_wrong"
    assert (await disable(PASSWORD, wrong_code(seed), 422))["code"] == "code_wrong"
    assert await factors.codes_left(ada.id) == 8
    off = await disable(PASSWORD, codes[3], 200)
    assert off == {"enabled": False, "methods": [], "backup_codes_left": 0}
    assert await mailed(ada.id) == ["2fa_enabled", "2fa_disabled"]
    problem_of(await elsewhere.get("/api/auth/2fa/status"), 401, "token_invalid")
    assert await guard.value("select count(*) from backup_codes") == 0


async def test_an_admin_cannot_switch_off_the_last_factor(app: Litestar):
    admin = await factories.an_admin()
    await has_password(admin)
    seed, _ = await enrolled(app, admin)
    client = await calling(app, admin)
    answer = await client.post("/api/auth/2fa/disable", json={"password": PASSWORD, "code": code_at(seed)})
    problem_of(answer, 403, "second_factor_required")


async def test_new_backup_codes_take_a_proof_of_the_last_five_minutes(app: Litestar, ada: Person):
    seed, old = await enrolled(app, ada)
    client = await calling(app, ada)
    problem_of(await client.post("/api/auth/2fa/backup-codes"), 403, "step_up_required")
    proof = {"method": "totp", "code": code_at(seed)}
    body_of(await client.post("/api/security/mfa/verify", json=proof), 200)
    new = body_of(await client.post("/api/auth/2fa/backup-codes"), 200)["backup_codes"]
    assert len(new) == 8
    await proof_grows_old(ada.id)
    problem_of(await client.post("/api/auth/2fa/backup-codes"), 403, "step_up_required")
    for code, status in ((old[0], 401), (new[0], 200)):
        answer = await anonymous(app).post(VERIFY, json={"mfa_token": await mfa_token(app, ada), "code": code})
        assert answer.status_code == status


async def test_no_secret_is_left_in_a_row(app: Litestar, ada: Person):
    client = await calling(app, ada)
    body = body_of(await client.post("/api/auth/2fa/enable"), 200)
    body_of(await client.post("/api/auth/2fa/confirm", json={"code": code_at(body["secret"])}), 200)
    await steps_forgotten(ada.id)
    kept = ""
    for table in ("mfa_methods", "backup_codes", "security_events", "audit_log", "mails", "jobs"):
        kept += "".join(one[0] for one in await guard.rows(f"select to_jsonb(t)::text from {table} t"))
    for secret in (body["secret"], *body["backup_codes"]):
        assert secret not in kept
        assert secret.replace("-", "") not in kept
