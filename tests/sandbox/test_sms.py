"""The SMS sandbox driven by Twilio's own client, and the page a person reads."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.sandbox.conftest import Stand
from tests.smsbox import ACCOUNT, SmsBox, an_smsbox

SENDING = f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
GOOD = {"To": "+4915112345678", "From": "+15005550006", "Body": "123456 is your <code>"}


@pytest.fixture(scope="module")
def _module_box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmsBox]:
    with an_smsbox(tmp_path_factory.mktemp("sms")) as started:
        yield started


@pytest.fixture
def box(_module_box: SmsBox) -> Iterator[SmsBox]:
    _module_box.reset()
    yield _module_box
    _module_box.reset()


def send(box: Stand, path: str = SENDING, sid: str = ACCOUNT, token: str = "t0p", **changed: Any) -> httpx.Response:
    return box.http.post(path, data=GOOD | changed, auth=(sid, token))


def test_a_message_is_answered_as_twilio_answers_it_and_kept(box: SmsBox) -> None:
    answer = send(box)

    told = answer.json()
    assert answer.status_code == 201
    assert (told["to"], told["from"], told["body"]) == (GOOD["To"], GOOD["From"], GOOD["Body"])
    assert (told["status"], told["num_segments"], told["error_code"]) == ("queued", "1", None)
    assert told["sid"].startswith("SM")
    assert len(told["sid"]) == 34
    assert told["uri"] == f"/2010-04-01/Accounts/{ACCOUNT}/Messages/{told['sid']}.json"
    (kept,) = box.messages(GOOD["To"])
    assert (kept["sid"], kept["body"]) == (told["sid"], GOOD["Body"])
    assert box.messages("+15551234567") == []
    assert send(box, Body="x" * 161).json()["num_segments"] == "2"


def test_the_page_shows_messages_newest_first_and_escaped(box: SmsBox) -> None:
    assert "No message yet" in box.http.get("/sandbox/sms").text
    send(box)
    send(box, Body="the second one")

    page = box.http.get("/sandbox/sms")

    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.text.index("the second one") < page.text.index("123456 is your &lt;code&gt;")
    assert box.http.get("/").headers["location"] == "/sandbox/sms"
    assert box.http.get("/sandbox/sms/nothing").status_code == 404
    assert box.http.get("/elsewhere").status_code == 404
    assert box.http.delete("/sandbox/sms/messages").json() == {"deleted": 2}


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"To": ""}, 21604), ({"To": "5551234567"}, 21211), ({"From": ""}, 21603), ({"From": "MegiLance"}, 21212),
        ({"Body": ""}, 21602), ({"Body": "x" * 1601}, 21617),
    ],
)  # fmt: skip
def test_what_twilio_would_not_take_is_refused_in_its_words(box: SmsBox, changed: dict[str, str], code: int) -> None:
    answer = send(box, **changed)

    told = answer.json()
    assert (answer.status_code, told["status"], told["code"]) == (400, 400, code)
    assert told["more_info"] == f"https://www.twilio.com/docs/errors/{code}"
    assert box.messages() == []


def test_a_body_that_is_no_form_has_no_recipient(box: SmsBox) -> None:
    answer = box.http.post(SENDING, content=b"\xff{", auth=(ACCOUNT, "t0p"))
    assert (answer.status_code, answer.json()["code"]) == (400, 21604)
    assert box.http.post(SENDING, content=b"x" * 1_000_001, auth=(ACCOUNT, "t0p")).status_code == 413


def test_only_an_account_of_the_sandboxs_own_is_let_in(box: SmsBox) -> None:
    live = "AC" + "0a" * 16
    assert send(box, token="").status_code == 401
    assert send(box, sid="ACsandbox9").status_code == 401
    assert box.http.post(SENDING, data=GOOD).status_code == 401
    assert box.http.post(SENDING, data=GOOD, headers={"Authorization": "Basic ?"}).status_code == 401
    refused = send(box, SENDING.replace(ACCOUNT, live), sid=live)
    assert (refused.status_code, refused.json()["code"]) == (403, 20003)
    assert send(box, "/2010-04-01/Accounts.json").json()["code"] == 20404
    assert box.http.get(SENDING, auth=(ACCOUNT, "t0p")).status_code == 404
    assert box.messages() == []


def test_with_a_token_of_its_own_it_takes_no_other_and_a_restart_keeps_the_messages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "right")
    own = Stand("sandbox.sms", tmp_path, "/texts/messages", "--prefix", "/texts")
    try:
        assert send(own, token="wrong").status_code == 401
        sent = send(own, token="right").json()["sid"]
        own.kill()
        own.start()
        assert [one["sid"] for one in own.http.get("/texts/messages").json()] == [sent]
    finally:
        own.stop()


@pytest.mark.parametrize(
    ("kind", "status", "kept"),
    [
        ("throttle", 429, 0), ("reject", 400, 0), ("error", 500, 0), ("error_after_commit", 500, 1),
        ("garbage_after_commit", 201, 1), ("empty_after_commit", 201, 1),
    ],
)  # fmt: skip
def test_a_fault_happens_as_often_as_asked(box: SmsBox, kind: str, status: int, kept: int) -> None:
    box.misbehave(kind, times=2)

    assert [send(box).status_code for _ in range(3)] == [status, status, 201]
    assert len(box.messages()) == 2 * kept + 1


def test_a_cut_and_a_held_answer(box: SmsBox) -> None:
    box.misbehave("down")
    with pytest.raises(httpx.RemoteProtocolError):
        send(box)
    box.misbehave("timeout_after_commit", delay_s=0.1)
    assert send(box).status_code == 201
    assert len(box.messages()) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "nonsense"},
        {"kind": "down", "times": 0},
        {"kind": "down", "delay_s": 601},
        {"kind": "down", "times": "x"},
    ],
)
def test_a_switch_that_does_not_exist_is_refused(box: SmsBox, wrong: dict[str, Any]) -> None:
    assert box.http.post("/sandbox/sms/faults", json=wrong).status_code == 400
    assert box.http.get("/sandbox/sms/faults").json() == []
