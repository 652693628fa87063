"""Errors as clients see them: one shape, the right status, and nothing of our insides."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import asyncpg
import httpx
import msgspec
import pytest
from litestar import Request, Router, get, post
from litestar.exceptions import TooManyRequestsException
from litestar.params import FromPath, JSONBody

from api import problems
from api.app import ROUTERS
from api.auth import PUBLIC, Asking, role, verified
from api.problems import job_problem
from api.requests import MAX_BODY_BYTES
from models import guard, sessions
from models.accounts import Role
from models.errors import Invalid, PaymentDeclined
from tests.api.conftest import Client, SignedIn, registration


class Order(msgspec.Struct, forbid_unknown_fields=True):
    amount: Decimal
    note: str = ""


@post("/orders")
async def order(data: JSONBody[Order]) -> dict[str, Any]:
    await guard.rows("select $1::text", data.note)
    return {"amount": data.amount, "kind": type(data.amount).__name__}


@post("/twice")
async def twice(request: Request[Any, Any, Any]) -> bool:
    return await request.json() is await request.json()


@get("/rows/{number:int}")
async def row(number: FromPath[int]) -> None:
    await guard.rows("select $1::bigint", number)


@get("/fail/{how:str}")
async def fail(how: FromPath[str]) -> None:
    raise {
        "bug": RuntimeError("select secret from users"),
        "declined": PaymentDeclined("The bank said no.", decline_code="insufficient_funds"),
        "declined-silently": PaymentDeclined("The bank said no."),
        "field": Invalid("Too much.", field="amount"),
        "lost": asyncpg.ConnectionDoesNotExistError("gone"),
        "refused-connection": ConnectionRefusedError("no server"),
        "unanswered": guard.OutcomeUnknown("no answer to COMMIT"),
        "limited": TooManyRequestsException(headers={"Retry-After": "7", "X-Inside": "x"}),
        "teapot": problems.HTTPException(status_code=418, detail="inside"),
    }[how]


@get("/clients", guards=[role(Role.CLIENT)])
async def clients_only(caller: Asking) -> int:
    return caller.id


@get("/verified", guards=[role(Role.CLIENT, Role.FREELANCER), verified])
async def verified_only(caller: Asking) -> int:
    return caller.id


@pytest.fixture(autouse=True)
def probes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Routes that fail in every way there is, beside the real ones."""
    public = Router("/probes", route_handlers=[order, twice, row, fail], opt=dict(PUBLIC))
    guarded = Router("/guarded", route_handlers=[clients_only, verified_only])
    monkeypatch.setattr("api.app.ROUTERS", (*ROUTERS, public, guarded))


def check(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    body: dict[str, Any] = response.json()
    assert {"type", "title", "status", "detail", "code", "request_id"} <= set(body)
    assert (body["status"], body["code"]) == (status, code), body
    assert body["type"] == f"/api/docs/errors#{code}"
    assert body["request_id"] == response.headers["x-request-id"]
    assert "Traceback" not in response.text
    assert "select" not in response.text
    return body


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/api/nowhere", 404, "not_found"),
        ("GET", "/api/docs/assets/app.py", 404, "not_found"),
        ("GET", "/api/docs/assets/..%2fapp.py", 404, "not_found"),
        ("DELETE", "/api/auth/me", 405, "method_not_allowed"),
        ("GET", "/api/auth/me", 401, "token_invalid"),
        ("GET", "/probes/fail/bug", 500, "internal_error"),
        ("GET", "/probes/fail/teapot", 500, "internal_error"),
        ("GET", "/probes/fail/lost", 503, "unavailable"),
        ("GET", "/probes/fail/refused-connection", 503, "unavailable"),
        ("GET", "/probes/fail/unanswered", 500, "outcome_unknown"),
        ("GET", "/probes/fail/limited", 429, "rate_limited"),
        ("GET", "/probes/rows/99999999999999999999999", 422, "invalid"),
        ("GET", "/probes/rows/abc", 404, "not_found"),
    ],
)
async def test_what_fails_has_its_status_and_code(client: Client, method: str, path: str, status: int, code: str):
    check(await client.request(method, path), status, code)


async def test_a_wrong_method_says_which_are_right(client: Client):
    assert "PATCH" in (await client.delete("/api/auth/me")).headers["allow"]


async def test_an_outage_and_a_limit_say_when_to_come_back_and_nothing_else(client: Client):
    assert int((await client.get("/probes/fail/lost")).headers["retry-after"]) > 0
    limited = await client.get("/probes/fail/limited")
    assert limited.headers["retry-after"] == "7"
    assert "x-inside" not in limited.headers


async def test_a_pool_that_is_gone_is_an_outage(client: Client, database: str):
    pool, guard.engine().pool = guard.engine().pool, None
    assert pool is not None
    await pool.close()
    guard.engine().pool = pool
    check(await client.get("/probes/rows/1"), 503, "unavailable")
    guard.engine().pool = None


async def test_a_decline_carries_the_banks_word(client: Client):
    declined = check(await client.get("/probes/fail/declined"), 402, "card_declined")
    assert declined["decline_code"] == "insufficient_funds"
    silent = check(await client.get("/probes/fail/declined-silently"), 402, "card_declined")
    assert silent["decline_code"] is None
    assert "decline_code" not in (await client.get("/nowhere")).json()


async def test_a_rule_about_a_field_names_it(client: Client):
    body = check(await client.get("/probes/fail/field"), 422, "invalid")
    assert body["errors"] == [{"field": "amount", "message": "Too much."}]


JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("content", "status", "code", "field"),
    [
        (b"{", 400, "malformed_json", None),
        (b"\xff\xfe", 400, "malformed_json", None),
        (b'{"amount": NaN}', 400, "malformed_json", None),
        (b'{"note": "\\ud800"}', 400, "malformed_json", None),
        (b"[" * 5000, 400, "malformed_json", None),
        (b'{"amount": 1e99999999999999999999}', 400, "malformed_json", None),
        (b"null", 422, "invalid", ""),
        (b"[]", 422, "invalid", ""),
        (b"{}", 422, "invalid", "amount"),
        (b'{"amount": "much"}', 422, "invalid", "amount"),
        (b'{"amount": true}', 422, "invalid", "amount"),
        (b'{"amount": 1, "note": 5}', 422, "invalid", "note"),
        (b'{"amount": 1, "role": "admin"}', 422, "invalid", "role"),
        (b'{"amount": 1, "note": "a\\u0000b"}', 422, "invalid", None),
    ],
)
async def test_a_bad_body_is_refused(client: Client, content: bytes, status: int, code: str, field: str | None):
    body = check(await client.post("/probes/orders", content=content, headers=JSON), status, code)
    assert [one["field"] for one in body.get("errors", [])] == ([] if field is None else [field])


async def test_no_body_at_all_is_refused(client: Client):
    body = check(await client.post("/probes/orders", headers=JSON), 422, "invalid")
    assert body["errors"] == [{"field": "", "message": "Send a JSON object."}]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""])
async def test_another_content_type_is_refused(client: Client, kind: str):
    headers = {"content-type": kind} if kind else {}
    response = await client.post("/probes/orders", content=b'{"amount": 1}', headers=headers)
    check(response, 415, "unsupported_media_type")


async def test_a_content_type_may_say_its_charset(client: Client):
    kind = {"content-type": "Application/JSON; charset=utf-8"}
    assert (await client.post("/probes/orders", content=b'{"amount": 1}', headers=kind)).status_code == 201


async def test_a_body_beyond_the_limit_is_refused_whether_announced_or_not(client: Client):
    large = b'{"amount": 1, "note": "' + b"x" * MAX_BODY_BYTES + b'"}'

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(large), 65536):
            yield large[start : start + 65536]

    check(await client.post("/probes/orders", content=large, headers=JSON), 413, "payload_too_large")
    check(await client.post("/probes/orders", content=chunks(), headers=JSON), 413, "payload_too_large")


async def test_money_is_never_a_float(client: Client):
    response = await client.post("/probes/orders", content=b'{"amount": 1234567890123456.78}', headers=JSON)
    assert response.text == '{"amount":1234567890123456.78,"kind":"Decimal"}'


async def test_a_body_is_decoded_once(client: Client):
    assert (await client.post("/probes/twice", json={"amount": 1.5})).json() is True


async def test_guards_say_which_rule_refused(signed_in: SignedIn):
    freelancer, client = await signed_in(), await signed_in(user_type="client")
    check(await freelancer.get("/guarded/clients"), 403, "role_not_allowed")
    assert (await client.get("/guarded/clients")).json() == client.me["id"]  # type: ignore[attr-defined]
    check(await client.get("/guarded/verified"), 403, "email_unverified")

    async def verify() -> None:
        await guard.rows("update users set email_verified_at = now()")
        sessions.standing_changed()

    await guard.commit(verify)
    assert (await client.get("/guarded/verified")).status_code == 200


async def test_a_failure_is_logged_whole_under_the_id_that_is_told(client: Client, caplog: pytest.LogCaptureFixture):
    response = await client.get("/probes/fail/bug", headers={"X-Request-ID": "mine-1"})
    assert response.json()["request_id"] == "mine-1"
    failures = [one for one in caplog.records if one.levelname == "ERROR"]
    assert len(failures) == 1
    assert "mine-1" in str(failures[0].msg)


@pytest.mark.parametrize("sent", ["", "a b", "x" * 65, "ä", "a\tb", '"><script>', "a/b"])
async def test_a_request_id_that_is_not_harmless_is_replaced(client: Client, sent: str):
    response = await client.get("/api/health/live", headers=[("X-Request-ID", sent.encode("latin-1"))])
    assert response.headers["x-request-id"] != sent
    assert len(response.headers["x-request-id"]) == 36


async def test_every_answer_has_the_security_headers(client: Client):
    for path in ("/api/health/live", "/nowhere", "/api/docs"):
        headers = (await client.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "strict-transport-security" not in headers


@pytest.mark.parametrize(
    ("code", "status", "answered"),
    [
        ("card_declined", 402, "card_declined"),
        ("wrong_state", 409, "wrong_state"),
        ("card_not_supported", 422, "refused_by_provider"),
        ("attempts_exhausted", 502, "job_failed"),
        ("internal_error", 502, "job_failed"),
        ("time_limit", 502, "job_failed"),
    ],
)
def test_a_jobs_end_has_its_status(code: str, status: int, answered: str):
    response = job_problem(code, "No.", decline_code="lost_card")
    assert (response.status_code, response.content.code) == (status, answered)
    assert response.content.decline_code == ("lost_card" if status == 402 else msgspec.UNSET)
    assert response.content.provider_code == (code if answered == "refused_by_provider" else msgspec.UNSET)


def test_a_code_that_nobody_declared_is_our_mistake():
    assert problems.problem("no_such_code", "x").status_code == 500


async def test_concurrent_requests_keep_their_ids_apart(client: Client):
    ids = [f"request-{n}" for n in range(10)]
    answers = await asyncio.gather(*(client.get("/nowhere", headers={"X-Request-ID": one}) for one in ids))
    assert [one.json()["request_id"] for one in answers] == ids


async def test_proxies_are_believed_only_as_far_as_they_are_trusted(
    client: Client, monkeypatch: pytest.MonkeyPatch, signed_in: SignedIn
):
    from api import requests

    await client.post("/api/auth/register", json=registration())
    login = {"email": "user@example.com", "password": registration()["password"]}

    async def seen(forwarded: str) -> str:
        await guard.rows("delete from sessions")
        await client.post("/api/auth/login", json=login, headers={"X-Forwarded-For": forwarded})
        return str(await guard.value("select ip_address from sessions"))

    assert await seen("203.0.113.9") == "127.0.0.1"
    networks = requests._networks(("127.0.0.0/8", "10.0.0.0/8"))
    monkeypatch.setattr(requests, "_networks", lambda _: networks)
    assert await seen("203.0.113.9") == "203.0.113.9"
    assert await seen("6.6.6.6, 203.0.113.9, 10.0.0.1") == "203.0.113.9"
    assert await seen("10.0.0.2, 10.0.0.1") == "10.0.0.2"
    assert await seen("nonsense") == "127.0.0.1"
    assert await seen("") == "127.0.0.1"


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/api/security/assess-risk", {"user_id": "1", "ip_address": "1.2.3.4", "user_agent": ""}, "user_id"),
        ("/api/auth/2fa/confirm", {"code": 123456}, "code"),
    ],
)
async def test_a_body_is_read_as_it_is_written(signed_in: SignedIn, path: str, body: dict[str, object], field: str):
    answer = await (await signed_in()).post(path, json=body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


@pytest.mark.parametrize(
    ("method", "path", "body", "field", "message"),
    [
        ("GET", "/api/projects/suggestions", None, "q", "`q` is missing."),
        ("GET", "/api/milestones", None, "contract_id", "`contract_id` is missing."),
        (
            "PUT",
            "/api/users/me/notification-preferences",
            {"categories": {"gossip": {"email": False}}},
            "categories",
            "Invalid enum value 'gossip'",
        ),
    ],
)
async def test_what_is_missing_or_unheard_of_is_named(
    signed_in: SignedIn, method: str, path: str, body: dict[str, object] | None, field: str, message: str
):
    answer = await (await signed_in()).request(method, path, json=body)
    assert (answer.status_code, answer.json()["errors"]) == (422, [{"field": field, "message": message}])
