"""The gateway to SES, against its stand-in: what arrives, and what each kind of trouble is called."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from botocore.exceptions import ClientError

import settings
from models import guard
from models.errors import Refused, Unreachable
from tasks.gateways import post
from tasks.gateways.post import Letter, Post
from tests.postbox import Postbox, a_postbox

LETTER = Letter(
    mail_id=41,
    to="aisha@example.org",
    subject="Grüße, 400.00 USD",
    html="<p>Hello &amp; welcome</p>",
    text="Hello & welcome\n",
)


@dataclass
class Desk:
    """A gateway and the mailbox it sends to."""

    post: Post
    box: Postbox


def account(endpoint: str) -> settings.Post:
    return settings.Post("us-east-1", "sandbox", "sandbox", "MegiLance <noreply@megilance.com>", endpoint, 14.0)


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postbox]:
    with a_postbox(tmp_path_factory.mktemp("post")) as started:
        yield started


@pytest.fixture
def desk(box: Postbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr(post, "READ_S", 0.5)
    sending = Post(account(box.base))
    yield Desk(sending, box)
    sending.close()
    box.reset()


@pytest.fixture(autouse=True)
def _no_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "outside_transaction", lambda: None)


async def test_a_letter_arrives_whole_and_recognisable(desk: Desk) -> None:
    provider_id = await desk.post.send(LETTER)

    (taken,) = desk.box.messages()
    assert taken["id"] == provider_id
    assert taken["to"] == ["aisha@example.org"]
    assert taken["from"] == "MegiLance <noreply@megilance.com>"
    assert taken["subject"] == "Grüße, 400.00 USD"
    assert taken["html"] == "<p>Hello &amp; welcome</p>"
    assert taken["text"] == "Hello & welcome\n"
    assert taken["headers"]["X-MegiLance-Mail"] == "41"
    assert taken["headers"]["Auto-Submitted"] == "auto-generated"
    assert taken["tags"] == {"megilance-mail": "41"}


async def test_a_repetition_is_a_second_copy_with_the_same_mark(desk: Desk) -> None:
    first, second = await desk.post.send(LETTER), await desk.post.send(LETTER)

    assert first != second
    assert [one["headers"]["X-MegiLance-Mail"] for one in desk.box.messages()] == ["41", "41"]


@pytest.mark.parametrize("fault", ["throttle", "paused", "down", "error_after_commit", "timeout_after_commit"])
async def test_trouble_that_passes_is_unreachable_and_is_not_repeated_here(desk: Desk, fault: str) -> None:
    desk.box.misbehave(fault, delay_s=2)

    with pytest.raises(Unreachable):
        await desk.post.send(LETTER)

    assert len(desk.box.messages()) == (1 if fault.endswith("after_commit") else 0)
    await desk.post.send(LETTER)


async def test_a_rejected_letter_is_refused_with_the_reason(desk: Desk) -> None:
    desk.box.misbehave("reject")

    with pytest.raises(Refused) as no:
        await desk.post.send(LETTER)

    assert no.value.code == "MessageRejected"
    assert desk.box.messages() == []


async def test_a_slow_drip_is_given_up_in_time(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(post, "SEND_S", 0.1)
    desk.box.misbehave("timeout_after_commit", delay_s=0.3)

    with pytest.raises(Unreachable, match="TimeoutError"):
        await desk.post.send(LETTER)


async def test_nobody_listening_is_unreachable() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nowhere = Post(account(f"http://127.0.0.1:{probe.getsockname()[1]}"))
        with pytest.raises(Unreachable):
            await nowhere.send(LETTER)
    nowhere.close()


@pytest.mark.parametrize(
    "changed",
    [
        {"subject": "Hi\r\nBcc: eve@example.org"},
        {"subject": "Hi\nthere"},
        {"headers": {"X-Note": "a\r\nBcc: eve@example.org"}},
        {"headers": {"X-Note\r\nBcc": "eve@example.org"}},
        {"headers": {"Bcc:": "eve@example.org"}},
        {"to": "a@example.org\r\nBcc: eve@example.org"},
        {"to": "a@example.org, eve@example.org"},
        {"to": "Eve <eve@example.org>"},
        {"to": "nobody"},
        {"to": ""},
    ],
)
async def test_what_would_smuggle_a_header_or_a_recipient_is_refused_unsent(
    desk: Desk, changed: dict[str, str]
) -> None:
    with pytest.raises(Refused) as no:
        await desk.post.send(msgspec.structs.replace(LETTER, **changed))

    assert no.value.code in ("header_injection", "address_invalid")
    assert desk.box.messages() == []


@pytest.mark.parametrize(
    ("code", "status", "headers", "pause_s"),
    [
        ("TooManyRequestsException", 429, {"retry-after": "7"}, 7.0),
        ("Throttling", 400, {}, None),
        ("LimitExceededException", 400, {}, None),
        ("InternalServiceErrorException", 500, {"retry-after": "Sun, 22 Nov 2026 10:00:00 GMT"}, None),
        ("ServiceUnavailable", 503, {"retry-after": "30"}, 30.0),
    ],
)
def test_a_later_carries_the_pause_that_was_asked_for(
    code: str, status: int, headers: dict[str, str], pause_s: float | None
) -> None:
    said = post._said(an_error(code, status, headers))

    assert isinstance(said, Unreachable)
    assert said.retry_after_s == pause_s


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("MessageRejected", 400),
        ("BadRequestException", 400),
        ("MailFromDomainNotVerifiedException", 400),
        ("AccountSuspendedException", 400),
        ("NotFoundException", 404),
        ("SignatureDoesNotMatch", 403),
    ],
)
def test_a_no_stays_a_no(code: str, status: int) -> None:
    said = post._said(an_error(code, status, {}))

    assert isinstance(said, Refused)
    assert said.code == code


def an_error(code: str, status: int, headers: dict[str, str]) -> ClientError:
    answer: Any = {
        "Error": {"Code": code, "Message": "because"},
        "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": headers},
    }
    return ClientError(answer, "SendEmail")


async def test_no_letter_is_sent_while_a_transaction_is_open(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    closed = Post(account("http://127.0.0.1:9"))
    async with guard.transaction():
        with pytest.raises(AssertionError):
            await closed.send(LETTER)
    closed.close()
