"""The storage sandbox driven by forms, links and Amazon's own client, and the page a person reads."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.filebox import BOX, FileBox, a_filebox
from wire.presigning import Form, Storage, sign_form, sign_link

KEY = "test/incoming/a~b"
PDF = b"%PDF-1.7\r\n--not-the-boundary\r\n\x00\xff"


@pytest.fixture(scope="module")
def _module_box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileBox]:
    with a_filebox(tmp_path_factory.mktemp("files")) as started:
        yield started


@pytest.fixture
def box(_module_box: FileBox) -> Iterator[FileBox]:
    _module_box.reset()
    yield _module_box
    _module_box.reset()


def a_form(box: FileBox, *, size: int = len(PDF), ago_s: int = 0, storage: Storage | None = None) -> Form:
    now = datetime.now(UTC) - timedelta(seconds=ago_s)
    return sign_form(storage or box.storage, KEY, content_type="application/pdf", size_bytes=size, now=now)


def a_link(box: FileBox, *, ago_s: int = 0, key: str = KEY) -> str:
    now = datetime.now(UTC) - timedelta(seconds=ago_s)
    return sign_link(box.storage, key, content_type="application/pdf", filename="Plän.pdf", now=now)


def said(answer: httpx.Response) -> tuple[int, str]:
    """Status, and S3's word for it."""
    assert answer.headers["content-type"] == "application/xml"
    found = re.search("<Code>(.*)</Code>", answer.text)
    assert found is not None
    return answer.status_code, found[1]


def sdk(storage: Storage) -> Any:
    return boto3.session.Session().client(
        "s3",
        region_name=storage.region,
        aws_access_key_id=storage.access_key_id,
        aws_secret_access_key=storage.secret_access_key,
        endpoint_url=storage.endpoint,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            retries={"total_max_attempts": 1},
            request_checksum_calculation="when_required",
        ),
    )


def test_a_file_that_a_form_brought_is_fetched_by_a_link(box: FileBox) -> None:
    assert box.post(a_form(box), PDF).status_code == 204

    fetched = box.http.get(a_link(box))

    assert (fetched.status_code, fetched.content) == (200, PDF)
    assert fetched.headers["content-type"] == "application/pdf"
    assert fetched.headers["content-disposition"].startswith('attachment; filename="Pl_n.pdf"')
    assert fetched.headers["access-control-allow-origin"] == "*"
    (stored,) = box.objects()
    assert (stored["key"], stored["content_type"], stored["size"]) == (KEY, "application/pdf", len(PDF))


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        ({"key": "test/kept/other"}, (403, "AccessDenied")),
        ({"Content-Type": "text/html"}, (403, "AccessDenied")),
        ({"x-amz-signature": "0" * 64}, (403, "SignatureDoesNotMatch")),
        ({"policy": "e30="}, (403, "SignatureDoesNotMatch")),
        ({"acl": "public-read"}, (403, "AccessDenied")),
        ({"x-amz-credential": "AKIA/20261123/us-east-1/s3/aws4_request"}, (403, "AccessDenied")),
        ({"x-amz-credential": "nonsense"}, (400, "AuthorizationHeaderMalformed")),
        ({"x-amz-date": "yesterday"}, (403, "AccessDenied")),
    ],
)
def test_a_form_is_taken_as_it_was_signed_or_not_at_all(
    box: FileBox, changed: dict[str, str], wanted: tuple[int, str]
) -> None:
    assert said(box.post(a_form(box), PDF, **changed)) == wanted
    assert box.objects() == []


def test_size_and_time_are_held_to_what_was_signed(box: FileBox) -> None:
    assert said(box.post(a_form(box, size=len(PDF) - 1), PDF)) == (400, "EntityTooLarge")
    assert said(box.post(a_form(box, size=len(PDF) + 1), PDF)) == (400, "EntityTooSmall")
    assert said(box.post(a_form(box, ago_s=601), PDF)) == (403, "AccessDenied")
    assert box.post(a_form(box, ago_s=598), PDF).status_code == 204


def test_only_the_bucket_and_account_of_the_sandbox_are_known(box: FileBox) -> None:
    other = Storage("elsewhere", "us-east-1", "sandbox", box.storage.secret_access_key, box.storage.endpoint)
    stranger = Storage(box.storage.bucket, "us-east-1", "sandbox2", "s", box.storage.endpoint)
    assert said(box.post(a_form(box, storage=other), PDF)) == (404, "NoSuchBucket")
    assert said(box.post(a_form(box, storage=stranger), PDF)) == (403, "InvalidAccessKeyId")
    form = a_form(box)
    assert said(box.http.post(form.url, data=form.fields)) == (412, "PreconditionFailed")
    assert said(box.http.post(form.url, files={"key": (None, "x")})) == (400, "InvalidArgument")
    assert said(box.http.post(form.url, files={"file": ("x", PDF)})) == (403, "AccessDenied")


def test_a_link_expires_and_is_good_for_its_object_only(box: FileBox) -> None:
    box.post(a_form(box), PDF)
    link = a_link(box)
    assert said(box.http.get(a_link(box, ago_s=301))) == (403, "AccessDenied")
    assert said(box.http.get(link.replace("incoming", "kept"))) == (403, "SignatureDoesNotMatch")
    assert said(box.http.get(link.replace("attachment", "inline"))) == (403, "SignatureDoesNotMatch")
    assert said(box.http.delete(link)) == (403, "SignatureDoesNotMatch")
    assert said(box.http.get(link.replace("X-Amz-Expires=300", "X-Amz-Expires=0")))[0] == 400
    assert said(box.http.get(link.partition("?")[0])) == (403, "AccessDenied")
    assert said(box.http.get(a_link(box, key="test/nothing"))) == (404, "NoSuchKey")
    assert box.http.options(link).status_code == 200


def test_the_sdk_looks_reads_copies_and_deletes(box: FileBox) -> None:
    s3, bucket = sdk(box.storage), box.storage.bucket
    s3.put_object(Bucket=bucket, Key="a/b c", Body=PDF, ContentType="application/pdf")
    head = s3.head_object(Bucket=bucket, Key="a/b c")
    assert (head["ContentLength"], head["ContentType"]) == (len(PDF), "application/pdf")
    part = s3.get_object(Bucket=bucket, Key="a/b c", Range="bytes=1-3", IfMatch=head["ETag"])
    assert (part["Body"].read(), part["ContentRange"]) == (b"PDF", f"bytes 1-3/{len(PDF)}")
    assert s3.get_object(Bucket=bucket, Key="a/b c", Range="bytes=-2")["Body"].read() == b"\x00\xff"
    source = {"Bucket": bucket, "Key": "a/b c"}
    s3.copy_object(
        Bucket=bucket, Key="z", CopySource=source, CopySourceIfMatch=head["ETag"], ContentType="text/plain",
        MetadataDirective="REPLACE",
    )  # fmt: skip
    s3.copy_object(Bucket=bucket, Key="y", CopySource=source)
    assert {one["key"]: one["content_type"] for one in box.objects()} == {
        "a/b c": "application/pdf", "y": "application/pdf", "z": "text/plain",
    }  # fmt: skip
    for _ in range(2):
        s3.delete_object(Bucket=bucket, Key="a/b c")
    assert box.keys() == ["y", "z"]
    for refused, code in (
        (lambda: s3.head_object(Bucket=bucket, Key="a/b c"), "404"),
        (lambda: s3.get_object(Bucket=bucket, Key="z", IfMatch='"0"'), "PreconditionFailed"),
        (lambda: s3.copy_object(Bucket=bucket, Key="x", CopySource=f"{bucket}/z", CopySourceIfMatch='"0"'), "PreconditionFailed"),
        (lambda: s3.get_object(Bucket=bucket, Key="z", Range="bytes=99-"), "InvalidRange"),
        (lambda: s3.list_objects_v2(Bucket=bucket), "MethodNotAllowed"),
    ):  # fmt: skip
        with pytest.raises(ClientError) as no:
            refused()
        assert no.value.response["Error"]["Code"] == code


def test_an_sdk_of_another_account_or_another_time_is_refused(box: FileBox) -> None:
    wrong = Storage(box.storage.bucket, "us-east-1", "sandbox", "wrong", box.storage.endpoint)
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        sdk(wrong).get_object(Bucket=wrong.bucket, Key="z")
    url = f"{box.storage.base}/z"
    assert said(box.http.get(url, headers={"Authorization": "Basic x"})) == (400, "AuthorizationHeaderMalformed")
    old = {
        "Authorization": "AWS4-HMAC-SHA256 Credential=a, SignedHeaders=host, Signature=" + "0" * 64,
        "x-amz-date": "20200101T000000Z",
    }
    assert said(box.http.get(url, headers=old)) == (403, "RequestTimeTooSkewed")
    now = old | {"x-amz-date": f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"}
    assert said(box.http.get(url, headers=now)) == (400, "XAmzContentSHA256Mismatch")


def test_the_page_shows_what_is_stored_and_a_restart_keeps_it(tmp_path: Path) -> None:
    with a_filebox(tmp_path) as own:
        assert "No file yet" in own.http.get(BOX).text
        form = sign_form(own.storage, "k/<b>", content_type="text/plain", size_bytes=2, now=datetime.now(UTC))
        own.post(form, b"hi")
        own.kill()
        own.start()
        page = own.http.get(BOX)
        assert "k/&lt;b&gt;" in page.text
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert own.http.get("/").headers["location"] == BOX
        assert own.http.get(f"{BOX}/nothing").status_code == 404
        assert own.http.get("/elsewhere").status_code == 404
        assert own.http.delete(f"{BOX}/objects").json() == {"deleted": 1}


def test_faults_happen_as_often_as_asked_and_to_whom(box: FileBox) -> None:
    form = a_form(box)
    box.misbehave("throttle", times=2, method="POST")
    assert [box.post(form, PDF).status_code for _ in range(3)] == [503, 503, 204]
    box.misbehave("error", method="GET")
    assert box.post(form, PDF).status_code == 204
    assert said(box.http.get(a_link(box))) == (500, "InternalError")
    box.http.delete(f"{BOX}/objects")
    box.misbehave("error_after_commit")
    assert box.post(form, PDF).status_code == 503
    assert len(box.objects()) == 1
    box.misbehave("slow", delay_s=0.1)
    assert box.http.get(a_link(box)).content == PDF
    for kind in ("truncated", "down"):
        box.misbehave(kind)
        with pytest.raises(httpx.RemoteProtocolError):
            box.http.get(a_link(box))


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "nonsense"},
        {"kind": "down", "times": 0},
        {"kind": "down", "delay_s": 601},
        {"kind": "down", "times": "x"},
    ],
)
def test_a_switch_that_does_not_exist_is_refused(box: FileBox, wrong: dict[str, Any]) -> None:
    assert box.http.post(f"{BOX}/faults", json=wrong).status_code == 400
    assert box.http.get(f"{BOX}/faults").json() == []
