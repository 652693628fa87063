"""Browsers: the configured origins may call, nobody else's pages may read."""

from collections.abc import AsyncIterator

import pytest

from api.requests import MAX_ANONYMOUS_BODY_BYTES
from tests.api.callers import problem_of
from tests.api.conftest import Client

OURS = "http://localhost:3000"


async def preflight(client: Client, origin: str, headers: str = "authorization,content-type"):
    return await client.options(
        "/api/auth/login",
        headers={
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": headers,
        },
    )


async def test_our_web_app_may_ask_with_every_header_of_the_contract(client: Client):
    response = await preflight(client, OURS, "authorization,content-type,idempotency-key,prefer,x-request-id")
    assert response.status_code == 204
    assert response.headers["access-control-allow-origin"] == OURS
    allowed = response.headers["access-control-allow-headers"].lower()
    assert all(name in allowed for name in ("authorization", "idempotency-key", "prefer"))
    assert "access-control-allow-credentials" not in response.headers


async def test_our_web_app_sees_the_headers_of_the_contract(client: Client):
    response = await client.get("/api/config", headers={"Origin": OURS})
    assert response.headers["access-control-allow-origin"] == OURS
    exposed = {name.strip() for name in response.headers["access-control-expose-headers"].split(",")}
    assert exposed >= {
        "Location",
        "Retry-After",
        "RateLimit-Limit",
        "RateLimit-Remaining",
        "RateLimit-Reset",
        "X-Request-ID",
        "Idempotent-Replayed",
    }


async def test_a_page_of_ours_can_read_an_error_too(client: Client):
    for path in ("/api/auth/me", "/nowhere"):
        response = await client.get(path, headers={"Origin": OURS})
        assert response.headers["access-control-allow-origin"] == OURS


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "http://localhost:3000.evil.example",
        "http://localhost:30000",
        "http://LOCALHOST",
    ],
)
async def test_nobody_elses_page_may_ask_or_read(client: Client, origin: str):
    assert (await preflight(client, origin)).status_code == 400
    response = await client.get("/api/config", headers={"Origin": origin})
    assert "access-control-allow-origin" not in response.headers


async def test_a_header_that_is_not_in_the_contract_is_refused(client: Client):
    assert (await preflight(client, OURS, "x-admin")).status_code == 400


async def test_what_an_answer_carries_is_not_for_pages_of_others(client: Client):
    wanted = {
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
        "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
        "cache-control": "no-store",
    }
    answers = [
        await client.get("/api/config"),
        await client.get("/api/auth/me"),  # 401
        await client.post("/api/auth/login", json={}),  # 422
        await client.get("/nowhere"),  # 404
        await client.delete("/api/config"),  # 405
    ]
    assert [answer.status_code for answer in answers] == [200, 401, 422, 404, 405]
    for answer in answers:
        assert {name: answer.headers.get(name) for name in wanted} == wanted
        assert "strict-transport-security" not in answer.headers, "this address is not https"
        assert "server" not in answer.headers


async def test_a_stranger_may_send_little_whether_announced_or_not(client: Client):
    large = b'{"email": "' + b"x" * MAX_ANONYMOUS_BODY_BYTES + b'"}'

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(large), 4096):
            yield large[start : start + 4096]

    headers = {"Content-Type": "application/json", "Origin": OURS}
    for body in (large, chunks()):
        answer = await client.post("/api/auth/login", content=body, headers=headers)
        problem_of(answer, 413, "payload_too_large")
        assert answer.headers["access-control-allow-origin"] == OURS


async def test_without_origins_there_is_no_cors(monkeypatch: pytest.MonkeyPatch):
    from api.app import _cors

    assert _cors(()) is None
