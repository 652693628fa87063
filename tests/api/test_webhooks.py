"""Stripe's callbacks over HTTP: what is not signed by Stripe, now, for this mode, leaves no trace."""

import json
import time
from typing import Any

import httpx
import pytest
from litestar import Litestar

import settings
from api.webhooks import MAX_SIGNATURES, TOLERANCE_S, is_signed
from models import guard
from tests import worlds
from tests.api.callers import anonymous, body_of, problem_of
from tests.stripe_sandbox import CONNECT_SECRET, WEBHOOK_SECRET, signature

EVENT: dict[str, Any] = {
    "id": "evt_1",
    "type": "payment_intent.succeeded",
    "livemode": False,
    "data": {"object": {"id": "pi_1", "amount": 5}},
}
RAW = json.dumps(EVENT).encode()


async def told(app: Litestar, raw: bytes, header: str | None) -> httpx.Response:
    headers = {b"content-type": b"application/json; charset=utf-8"}
    if header is not None:
        headers[b"stripe-signature"] = header.encode()
    return await anonymous(app).post("/api/stripe/webhooks", content=raw, headers=headers)


async def stored() -> list[tuple[str, str, str]]:
    found = await guard.rows("select provider, external_id, kind from inbox order by id")
    return [tuple(one) for one in found]


@pytest.mark.parametrize("secret", [WEBHOOK_SECRET, CONNECT_SECRET])
async def test_a_signed_event_is_stored_with_its_job_before_the_answer(app: Litestar, secret: str):
    answer = await told(app, RAW, signature(RAW, secret=secret))
    assert body_of(answer, 200) == {"received": True}
    assert await stored() == [("stripe", "evt_1", "payment_intent.succeeded")]
    assert json.loads(await guard.value("select payload::text from inbox")) == EVENT
    assert await guard.value("select count(*) from job_live where queue = 'payments'") == 1


async def test_a_repeat_is_answered_and_stored_no_more(app: Litestar):
    for _ in range(3):
        assert (await told(app, RAW, signature(RAW))).status_code == 200
    other = json.dumps({**EVENT, "type": "charge.refunded"}).encode()
    assert (await told(app, other, signature(other))).status_code == 200
    assert await stored() == [("stripe", "evt_1", "payment_intent.succeeded")]
    assert await guard.value("select count(*) from jobs") == 1


async def test_what_stripe_did_not_sign_is_refused(app: Litestar, subtests: pytest.Subtests):
    now = time.time()
    good = signature(RAW)
    stamp, mac = good.split(",")
    wrong: dict[str, tuple[bytes, str | None]] = {
        "unsigned": (RAW, None),
        "empty": (RAW, ""),
        "no mac": (RAW, stamp),
        "no time": (RAW, mac),
        "two times": (RAW, f"{stamp},{good}"),
        "another secret": (RAW, signature(RAW, secret="whsec_other")),
        "no secret": (RAW, signature(RAW, secret="")),
        "another body": (RAW.replace(b"5", b"6"), good),
        "another scheme": (RAW, good.replace("v1=", "v0=")),
        "too old": (RAW, signature(RAW, at=now - TOLERANCE_S - 2)),
        "from the future": (RAW, signature(RAW, at=now + TOLERANCE_S + 2)),
        "time is no number": (RAW, f"t=now,{mac}"),
        "time is other digits": (RAW, f"t=٣,{mac}"),
        "time without end": (RAW, f"t={'9' * 400},{mac}"),
        "mac is no ASCII": (RAW, f"{stamp},v1=\xe9"),
        "too many": (RAW, stamp + ",v1=00" * MAX_SIGNATURES + "," + mac),
    }
    for why, (raw, header) in wrong.items():
        with subtests.test(why=why):
            async with worlds.unmoved():
                problem_of(await told(app, raw, header), 422, "callback_refused")
    assert await stored() == []


async def test_signed_bodies_that_are_no_events_of_ours_are_refused(app: Litestar, subtests: pytest.Subtests):
    wrong = {
        "not JSON": b"hello",
        "not UTF-8": RAW.replace(b'"pi_1"', b'"\xff"'),
        "empty": b"",
        "a list": b"[]",
        "no id": b'{"type": "x", "livemode": false}',
        "id is a number": b'{"id": 7, "type": "x", "livemode": false}',
        "the other mode": json.dumps({**EVENT, "livemode": True}).encode(),
    }
    for why, raw in wrong.items():
        with subtests.test(why=why):
            async with worlds.unmoved():
                problem_of(await told(app, raw, signature(raw)), 422, "callback_refused")
    assert await stored() == []


@pytest.mark.parametrize(
    ("key", "live"), [("sk_live_1", True), ("rk_live_1", True), ("sk_test_1", False), ("rk_test_1", False)]
)
async def test_the_mode_is_the_keys(database: str, monkeypatch: pytest.MonkeyPatch, key: str, live: bool):  # noqa: FBT001
    from tests.api.conftest import create_app

    monkeypatch.setenv("STRIPE_SECRET_KEY", key)
    settings.load.cache_clear()
    raw = json.dumps({**EVENT, "livemode": live}).encode()
    app = create_app()
    settings.load.cache_clear()
    assert (await told(app, raw, signature(raw))).status_code == 200


def test_one_of_several_signatures_is_enough_while_a_secret_is_rolled():
    good = signature(RAW, at=1_000)
    header = good.replace("v1=", "v1=00,v1=")
    assert is_signed(header, RAW, ("whsec_old", WEBHOOK_SECRET), 1_000)
    assert is_signed(good, RAW, ("", WEBHOOK_SECRET), 1_000 + TOLERANCE_S)
    assert is_signed(good, RAW, (WEBHOOK_SECRET, ""), 1_000 - TOLERANCE_S)
    assert not is_signed(good, RAW, (), 1_000)


def test_without_a_secret_nothing_is_signed():
    assert not is_signed(signature(RAW, secret="", at=1_000), RAW, ("", ""), 1_000)
