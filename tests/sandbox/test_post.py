"""The mail sandbox driven by boto3's own SES client, and the mailbox a person reads."""

from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, HTTPClientError, ReadTimeoutError

from tests.sandbox.conftest import Stand

SENDER = "MegiLance <no-reply@megilance.example>"


@pytest.fixture(scope="module")
def _module_stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    started = Stand("sandbox.post", tmp_path_factory.mktemp("post"), "/sandbox/mail")
    yield started
    started.stop()


@pytest.fixture
def stand(_module_stand: Stand) -> Iterator[Stand]:
    _module_stand.http.delete("/sandbox/mail/messages")
    yield _module_stand
    _module_stand.http.delete("/sandbox/mail/faults")


@pytest.fixture
def ses(stand: Stand) -> Iterator[Any]:
    made = boto3.client(
        "sesv2",
        region_name="eu-west-1",
        endpoint_url=stand.base,
        aws_access_key_id="sandbox",
        aws_secret_access_key="sandbox",
        config=Config(retries={"total_max_attempts": 1}, read_timeout=1),
    )
    yield made
    made.close()


def send(ses: Any, to: str = "ada@example.com", subject: str = "Welcome", html: str = "<p>Hello</p>") -> str:
    answer = ses.send_email(
        FromEmailAddress=SENDER,
        Destination={"ToAddresses": [to]},
        ReplyToAddresses=["help@megilance.example"],
        Content={
            "Simple": {
                "Subject": {"Data": subject, "Charset": "UTF-8"},
                "Body": {"Html": {"Data": html}, "Text": {"Data": "Hello at https://megilance.example/verify?t=1"}},
                "Headers": [{"Name": "X-Kind", "Value": "verification"}],
            }
        },
        EmailTags=[{"Name": "kind", "Value": "verification"}],
    )
    return str(answer["MessageId"])


def messages(stand: Stand, to: str | None = None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = stand.http.get("/sandbox/mail/messages", params={"to": to} if to else {}).json()
    return found


def fault(stand: Stand, kind: str, **more: Any) -> None:
    assert stand.http.post("/sandbox/mail/faults", json={"kind": kind, **more}).status_code == 200


def test_a_sent_message_is_kept_whole(stand: Stand, ses: Any) -> None:
    sent = send(ses, subject="Willkommen, Łukasz ✓")
    (kept,) = messages(stand)
    assert (kept["id"], kept["to"], kept["from"]) == (sent, ["ada@example.com"], SENDER)
    assert (kept["subject"], kept["html"]) == ("Willkommen, Łukasz ✓", "<p>Hello</p>")
    assert kept["text"].startswith("Hello at https://")
    assert kept["headers"]["X-Kind"] == "verification"
    assert kept["headers"]["Reply-To"] == "help@megilance.example"
    assert kept["tags"] == {"kind": "verification"}
    assert kept["at"].endswith("Z")


def test_a_raw_message_is_read(stand: Stand, ses: Any) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = SENDER, "Bob <bob@example.com>", "Ünïcode"
    message.set_content("plain words")
    message.add_alternative("<b>html words</b>", subtype="html")
    ses.send_email(Content={"Raw": {"Data": message.as_bytes()}})
    (kept,) = messages(stand)
    assert (kept["to"], kept["from"], kept["subject"]) == (["bob@example.com"], SENDER, "Ünïcode")
    assert (kept["text"].strip(), kept["html"].strip()) == ("plain words", "<b>html words</b>")
    assert kept["headers"]["To"] == "Bob <bob@example.com>"


def test_messages_are_newest_first_and_found_by_recipient(stand: Stand, ses: Any) -> None:
    sent = [send(ses, to) for to in ("ada@example.com", "bob@example.com", "ADA@example.com")]
    assert [one["id"] for one in messages(stand)] == sent[::-1]
    assert [one["id"] for one in messages(stand, "ada@example.com")] == [sent[2], sent[0]]
    assert stand.http.delete("/sandbox/mail/messages").json() == {"deleted": 3}
    assert messages(stand) == []


def test_a_person_opens_a_message_and_its_scripts_stay_dead(stand: Stand, ses: Any) -> None:
    sent = send(ses, subject="<script>alert(1)</script>", html="<script>alert(2)</script><p>Hi</p>")
    listed = stand.http.get("/sandbox/mail")
    assert f'href="/sandbox/mail/{sent}"' in listed.text
    assert "&lt;script&gt;alert(1)" in listed.text
    page = stand.http.get(f"/sandbox/mail/{sent}")
    assert "alert(2)" not in page.text
    assert '<iframe sandbox="allow-popups"' in page.text
    assert "X-Kind: verification" in page.text
    assert 'href="https://megilance.example/verify?t=1"' in page.text
    framed = stand.http.get(f"/sandbox/mail/{sent}/html")
    assert framed.text.endswith("<script>alert(2)</script><p>Hi</p>")
    policy = framed.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "sandbox" in policy
    assert "script-src" not in policy
    for missing in ("/sandbox/mail/nothing", "/sandbox/mail/..%2f..%2fetc", f"/sandbox/mail/{sent}/source"):
        assert stand.http.get(missing).status_code == 404


@pytest.mark.parametrize(
    ("kind", "name", "status"),
    [
        ("throttle", "TooManyRequestsException", 429),
        ("reject", "MessageRejected", 400),
        ("paused", "SendingPausedException", 400),
    ],
)
def test_a_refusal_is_typed_as_ses_types_it(stand: Stand, ses: Any, kind: str, name: str, status: int) -> None:
    fault(stand, kind)
    with pytest.raises(getattr(ses.exceptions, name)) as caught:
        send(ses)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert messages(stand) == []
    send(ses)
    assert len(messages(stand)) == 1


def test_a_bad_request_is_refused(stand: Stand, ses: Any) -> None:
    for to in ("nobody", ""):
        with pytest.raises(ses.exceptions.BadRequestException):
            send(ses, to)
    assert messages(stand) == []
    assert stand.http.post("/v2/email/outbound-emails", json={}).status_code == 403
    assert stand.http.post("/sandbox/mail/faults", json={"kind": "nonsense"}).status_code == 400


def test_faults_after_the_commit_keep_the_message(stand: Stand, ses: Any) -> None:
    fault(stand, "error_after_commit")
    with pytest.raises(ClientError) as caught:
        send(ses, "first@example.com")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
    fault(stand, "timeout_after_commit", delay_s=20)
    with pytest.raises(ReadTimeoutError):
        send(ses, "second@example.com")
    assert [one["to"] for one in messages(stand)] == [["second@example.com"], ["first@example.com"]]


def test_a_service_that_is_down_keeps_nothing(stand: Stand, ses: Any) -> None:
    fault(stand, "down")
    with pytest.raises((ConnectionClosedError, HTTPClientError)):
        send(ses)
    assert messages(stand) == []


def test_messages_survive_a_kill(tmp_path: Path) -> None:
    own = Stand("sandbox.post", tmp_path, "/mail/messages", "--prefix", "/mail")
    made = boto3.client(
        "sesv2",
        region_name="eu-west-1",
        endpoint_url=own.base,
        aws_access_key_id="sandbox",
        aws_secret_access_key="sandbox",
    )
    sent = send(made)
    made.close()
    own.kill()
    own.start()
    assert [one["id"] for one in own.http.get("/mail/messages").json()] == [sent]
    assert own.http.get(f"/mail/{sent}").status_code == 200
    own.stop()
