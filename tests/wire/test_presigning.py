"""What we sign, byte for byte what the SDK signs with its clock stopped at the same second."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import botocore.auth
import botocore.signers
import pytest
from botocore.config import Config

from wire import presigning
from wire.presigning import Storage, disposition, sign_form, sign_link

NOW = datetime(2026, 11, 23, 2, 30, 59, tzinfo=UTC)
KEY = "development/incoming/portfolio/3q2-7wAAB_~x"

AWS = Storage("megilance-files", "eu-central-1", "AKIAEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "")
STORAGES = {
    "aws": AWS,
    "the first region": Storage("megilance-files", "us-east-1", "AKIAEXAMPLE", "k/+", ""),
    "a name with dots": Storage("files.megilance.com", "eu-west-1", "AKIAEXAMPLE", "k/+", ""),
    "another server": Storage("files", "us-east-1", "sandbox", "s", "http://127.0.0.1:9000"),
    "below a path": Storage("files", "us-east-1", "sandbox", "s", "http://localhost:8000/sandbox/files/s3"),
}


@pytest.fixture(autouse=True)
def _stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    def now(*, remove_tzinfo: bool = True) -> datetime:
        return NOW.replace(tzinfo=None) if remove_tzinfo else NOW

    for module in (botocore.auth, botocore.signers):
        monkeypatch.setattr(module, "get_current_datetime", now)


def sdk(storage: Storage) -> Any:
    by_path = bool(storage.endpoint) or "." in storage.bucket
    return boto3.session.Session().client(
        "s3",
        region_name=storage.region,
        aws_access_key_id=storage.access_key_id,
        aws_secret_access_key=storage.secret_access_key,
        endpoint_url=storage.endpoint or None,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path" if by_path else "virtual", "us_east_1_regional_endpoint": "regional"},
        ),
    )


@pytest.mark.parametrize("storage", STORAGES.values(), ids=STORAGES)
def test_a_form_is_the_sdks(storage: Storage) -> None:
    ours = sign_form(storage, KEY, content_type="application/pdf", size_bytes=20_971_520, now=NOW)

    theirs = sdk(storage).generate_presigned_post(
        storage.bucket,
        KEY,
        Fields={"Content-Type": "application/pdf"},
        Conditions=[{"Content-Type": "application/pdf"}, ["content-length-range", 20_971_520, 20_971_520]],
        ExpiresIn=presigning.FORM_S,
    )
    assert (ours.url, ours.fields) == (theirs["url"], theirs["fields"])
    assert ours.expires_at == NOW + timedelta(minutes=10)


@pytest.mark.parametrize("storage", STORAGES.values(), ids=STORAGES)
@pytest.mark.parametrize("filename", ["plan.pdf", 'Grüße an «alle» & mehr; "eins".pdf', "設計 +100%.pdf"])
def test_a_link_is_the_sdks(storage: Storage, filename: str) -> None:
    ours = sign_link(storage, KEY, content_type="application/pdf", filename=filename, now=NOW)

    theirs = sdk(storage).generate_presigned_url(
        "get_object",
        Params={
            "Bucket": storage.bucket,
            "Key": KEY,
            "ResponseContentDisposition": disposition("application/pdf", filename),
            "ResponseContentType": "application/pdf",
        },
        ExpiresIn=presigning.LINK_S,
    )
    assert ours == theirs


def test_pictures_and_films_are_shown_and_all_else_is_saved() -> None:
    assert disposition("image/png", "a.png") == "inline; filename=\"a.png\"; filename*=UTF-8''a.png"
    assert disposition("video/mp4", "a.mp4").startswith("inline; ")
    for kind in ("image/svg+xml", "text/html", "application/pdf", "text/plain", "application/zip", ""):
        assert disposition(kind, "a").startswith("attachment; ")


def test_a_filename_cannot_leave_its_header() -> None:
    told = disposition("application/pdf", 'a"; x=y\r\nSet-Cookie: z\\.pdf')

    assert "\r" not in told
    assert "\n" not in told
    assert told.count('"') == 2
    assert told.split("filename*=")[1] == "UTF-8''a%22%3B%20x%3Dy%0D%0ASet-Cookie%3A%20z%5C.pdf"


def test_neither_says_the_secret() -> None:
    form = sign_form(AWS, KEY, content_type="image/png", size_bytes=1, now=NOW)
    link = sign_link(AWS, KEY, content_type="image/png", filename="a.png", now=NOW)

    assert AWS.secret_access_key not in str(form)
    assert parse_qs(urlsplit(link).query)["X-Amz-Expires"] == ["300"]
    assert AWS.is_there
    assert not Storage("", "r", "a", "s", "").is_there
