"""The S3 stand-in as a process of a test module: what it stores, and switches that make it misbehave."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx

from tests.sandbox.conftest import Stand
from wire.presigning import Form, Storage

BOX = "/sandbox/files"
BUCKET = "sandbox-files"
SECRET = "5a4db0x-secret"


class FileBox(Stand):
    """A running stand-in."""

    def __init__(self, data: Path) -> None:
        with patch.dict(os.environ, S3_BUCKET=BUCKET, AWS_ACCESS_KEY_ID="sandbox", AWS_SECRET_ACCESS_KEY=SECRET):
            super().__init__("sandbox.files", data, BOX)
        self.storage = Storage(BUCKET, "us-east-1", "sandbox", SECRET, f"{self.base}{BOX}/s3")

    def objects(self) -> list[dict[str, Any]]:
        """What is stored, newest first."""
        found: list[dict[str, Any]] = self.http.get(f"{BOX}/objects").json()
        return found

    def keys(self) -> list[str]:
        """The keys of what is stored, in their order."""
        return sorted(one["key"] for one in self.objects())

    def post(self, form: Form | dict[str, Any], content: bytes, **changed: str) -> httpx.Response:
        """Bring a file by a form, as a browser would; `changed` is what a forger changes."""
        url, fields = (form["url"], form["fields"]) if isinstance(form, dict) else (form.url, form.fields)
        return self.http.post(url, data={**fields, **changed}, files={"file": ("x", content)})

    def misbehave(self, kind: str, **how: Any) -> None:
        """The next request to the bucket meets this fault."""
        answer = self.http.post(f"{BOX}/faults", json={"kind": kind, **how})
        assert answer.status_code == 200, answer.text

    def reset(self) -> None:
        """Empty, and behaving."""
        self.http.delete(f"{BOX}/faults")
        self.http.delete(f"{BOX}/objects")


@contextmanager
def a_filebox(data: Path) -> Iterator[FileBox]:
    """A stand-in for as long as the block lasts."""
    started = FileBox(data)
    try:
        yield started
    finally:
        started.stop()


def settings_of(box: FileBox) -> dict[str, str]:
    """The variables that point the service at this stand-in."""
    return {
        "S3_BUCKET": BUCKET,
        "S3_API_BASE": box.storage.endpoint,
        "AWS_ACCESS_KEY_ID": "sandbox",
        "AWS_SECRET_ACCESS_KEY": SECRET,
    }
