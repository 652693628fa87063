"""The gateway to Twilio, against its stand-in: what arrives, and what each kind of trouble is called."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from twilio.base.exceptions import TwilioException, TwilioRestException, TwilioServiceException

import settings
from models import guard
from models.errors import Refused, Unreachable
from tasks.gateways import sms
from tasks.gateways.sms import Sms
from tests.smsbox import ACCOUNT, SmsBox, an_smsbox

FROM, TO = "+15005550006", "+4915112345678"


@dataclass
class Desk:
    """A gateway and the box it sends to."""

    sms: Sms
    box: SmsBox


def account(base: str, sid: str = ACCOUNT, token: str = "t0p") -> settings.Sms:
    return settings.Sms(sid, token, FROM, base)


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmsBox]:
    with an_smsbox(tmp_path_factory.mktemp("sms")) as started:
        yield started


@pytest.fixture
def desk(box: SmsBox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr(sms, "READ_S", 0.5)
    sending = Sms(account(box.base))
    yield Desk(sending, box)
    sending.close()
    box.reset()


@pytest.fixture(autouse=True)
def _no_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "outside_transaction", lambda: None)


async def test_a_message_arrives_whole(desk: Desk) -> None:
    provider_id = await desk.sms.send(TO, "Grüße & 123456 + 7")

    (taken,) = desk.box.messages(TO)
    assert taken["sid"] == provider_id
    assert (taken["to"], taken["from"], taken["account_sid"]) == (TO, FROM, ACCOUNT)
    assert taken["body"] == "Grüße & 123456 + 7"


@pytest.mark.parametrize(
    "fault",
    [
        "throttle",
        "error",
        "down",
        "error_after_commit",
        "timeout_after_commit",
        "garbage_after_commit",
        "empty_after_commit",
    ],
)
async def test_trouble_that_passes_is_unreachable_and_is_not_repeated_here(desk: Desk, fault: str) -> None:
    desk.box.misbehave(fault, delay_s=2)

    with pytest.raises(Unreachable) as trouble:
        await desk.sms.send(TO, "x")

    assert TO not in str(trouble.value)
    assert trouble.value.__suppress_context__
    assert len(desk.box.messages()) == (1 if fault.endswith("after_commit") else 0)
    await desk.sms.send(TO, "x")


async def test_a_no_is_refused_and_repeats_no_number(desk: Desk) -> None:
    desk.box.misbehave("reject")

    with pytest.raises(Refused) as no:
        await desk.sms.send(TO, "x")

    assert no.value.code == "twilio_21610"
    assert no.value.detail.endswith("Attempt to send to unsubscribed recipient (number)")
    assert desk.box.messages() == []


async def test_a_slow_drip_is_given_up_in_time(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sms, "SEND_S", 0.1)
    desk.box.misbehave("timeout_after_commit", delay_s=0.3)

    with pytest.raises(Unreachable, match="TimeoutError"):
        await desk.sms.send(TO, "x")


async def test_nobody_listening_is_unreachable() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nowhere = Sms(account(f"http://127.0.0.1:{probe.getsockname()[1]}"))
        with pytest.raises(Unreachable):
            await nowhere.send(TO, "x")
    nowhere.close()


async def test_an_account_that_is_not_ours_is_refused(box: SmsBox) -> None:
    live = Sms(account(box.base, sid="AC" + "0a" * 16))
    with pytest.raises(Refused, match="may be a live account") as no:
        await live.send(TO, "x")
    live.close()

    assert no.value.code == "twilio_20003"
    assert box.messages() == []


@pytest.mark.parametrize(
    ("to", "text", "code"),
    [
        ("", "x", "number_invalid"),
        ("4915112345678", "x", "number_invalid"),
        ("+0151123456", "x", "number_invalid"),
        ("+49 151 12345678", "x", "number_invalid"),
        ("whatsapp:+4915112345678", "x", "number_invalid"),
        ("+4915112345678,+4915112345679", "x", "number_invalid"),
        ("+4915112345678\n", "x", "number_invalid"),
        ("+1555\u0661\u0662\u0663\u0664", "x", "number_invalid"),
        ("12345", "x", "number_invalid"),
        (TO, "", "message_invalid"),
        (TO, "x" * 1601, "message_invalid"),
    ],
)
async def test_what_is_not_one_number_or_no_message_is_refused_unsent(
    desk: Desk, to: str, text: str, code: str
) -> None:
    with pytest.raises(Refused) as no:
        await desk.sms.send(to, text)

    assert no.value.code == code
    assert desk.box.messages() == []


@pytest.mark.parametrize(
    "error",
    [
        TwilioRestException(429, "/", "Too Many Requests", 20429),
        TwilioRestException(500, "/", "sorry", 20500),
        TwilioRestException(503, "/"),
        TwilioRestException(400, "/", "queue is full", 21611),
        TwilioServiceException("about:blank", "Oops", 502, 20500),
        TwilioException("no connection"),
    ],
)
def test_a_later_is_unreachable(error: TwilioException) -> None:
    assert isinstance(sms._said(error), Unreachable)


@pytest.mark.parametrize(
    ("error", "code", "detail"),
    [
        (TwilioRestException(400, "/", "The number +1 (555) 123-4567 is wrong", 21211), 21211, "The number (number) is wrong"),
        (TwilioRestException(401, "/", "Authenticate", 20003), 20003, "Authenticate"),
        (TwilioServiceException("about:blank", "Bad 15551234567", 400, 21211), 21211, "Bad (number)"),
    ],
)  # fmt: skip
def test_a_no_stays_a_no(error: TwilioException, code: int, detail: str) -> None:
    said = sms._said(error)

    assert isinstance(said, Refused)
    assert said.code == f"twilio_{code}"
    assert said.detail.endswith(f", {code}: {detail}")


def test_without_an_address_of_its_own_the_sdk_calls_twilio() -> None:
    real = Sms(account(""))
    with pytest.raises(OSError, match=r"api\.twilio\.com|getaddrinfo|resolve"):
        real._create(TO, "x")
    real.close()


async def test_no_message_is_sent_while_a_transaction_is_open(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    closed = Sms(account("http://127.0.0.1:9"))
    async with guard.transaction():
        with pytest.raises(AssertionError):
            await closed.send(TO, "x")
    closed.close()
