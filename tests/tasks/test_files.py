"""The gateway to the storage, against its stand-in: what it does, and what each kind of trouble is called."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError

from models import guard
from models.errors import Refused, Unreachable
from tasks.gateways import files
from tasks.gateways.files import Files, Found
from tests.filebox import FileBox, a_filebox
from wire.presigning import Storage, sign_form

KEY, TARGET = "test/incoming/x", "test/kept/x"
CONTENT = b"%PDF-" + bytes(range(256)) * 8


@dataclass
class Desk:
    """A gateway and the box it calls."""

    files: Files
    box: FileBox

    def stored(self, content: bytes = CONTENT, key: str = KEY) -> None:
        form = sign_form(
            self.box.storage, key, content_type="application/pdf", size_bytes=len(content), now=datetime.now(UTC)
        )
        assert self.box.post(form, content).status_code == 204


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileBox]:
    with a_filebox(tmp_path_factory.mktemp("files")) as started:
        yield started


@pytest.fixture(scope="module")
def calling(box: FileBox) -> Iterator[Files]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(files, "READ_S", 0.3)
        made = Files(box.storage)
    yield made
    made.close()


@pytest.fixture
def desk(box: FileBox, calling: Files, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr(guard, "outside_transaction", lambda: None)
    yield Desk(calling, box)
    box.reset()


async def test_an_object_is_found_read_copied_and_deleted(desk: Desk) -> None:
    assert await desk.files.find(KEY) is None
    desk.stored()
    found = await desk.files.find(KEY)
    assert found is not None
    assert found.size == len(CONTENT)
    assert await desk.files.read(KEY, 0, 5) == b"%PDF-"
    assert await desk.files.read(KEY, 2000, len(CONTENT)) == CONTENT[2000:]
    for _ in range(2):
        assert await desk.files.copy(KEY, found, TARGET, "text/plain")
    assert {one["key"]: one["content_type"] for one in desk.box.objects()} == {
        KEY: "application/pdf",
        TARGET: "text/plain",
    }
    for _ in range(2):
        await desk.files.delete(KEY)
    assert desk.box.keys() == [TARGET]
    assert await desk.files.copy(KEY, found, TARGET, "text/plain") is False
    with pytest.raises(Unreachable, match="does not find"):
        await desk.files.read(KEY, 0, 1)


async def test_what_was_replaced_meanwhile_is_not_copied(desk: Desk) -> None:
    desk.stored()
    found = await desk.files.find(KEY)
    assert found is not None
    desk.stored(CONTENT[::-1])
    assert await desk.files.copy(KEY, found, TARGET, "application/pdf") is False
    assert desk.box.keys() == [KEY]


@pytest.mark.parametrize("fault", ["throttle", "error", "error_after_commit", "slow", "truncated", "down"])
async def test_trouble_that_passes_is_unreachable_and_is_not_repeated_here(desk: Desk, fault: str) -> None:
    desk.stored()
    desk.box.misbehave(fault, delay_s=1)

    with pytest.raises(Unreachable):
        await desk.files.read(KEY, 0, len(CONTENT))

    assert await desk.files.read(KEY, 0, len(CONTENT)) == CONTENT


async def test_all_of_a_call_ends_in_time(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "CALL_S", 0.1)
    desk.box.misbehave("slow", delay_s=0.25)
    with pytest.raises(Unreachable, match="TimeoutError"):
        await desk.files.find(KEY)


async def test_nobody_listening_is_unreachable(box: FileBox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "outside_transaction", lambda: None)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nowhere = Files(Storage("sandbox-files", "us-east-1", "a", "s", f"http://127.0.0.1:{probe.getsockname()[1]}"))
        with pytest.raises(Unreachable):
            await nowhere.find(KEY)
    nowhere.close()


async def test_an_account_that_is_not_known_is_refused(desk: Desk) -> None:
    stored = desk.box.storage
    wrong = Files(Storage(stored.bucket, stored.region, stored.access_key_id, "wrong", stored.endpoint))
    with pytest.raises(Refused) as no:
        await wrong.read(KEY, 0, 1)
    wrong.close()
    assert (no.value.code, no.value.detail) == ("storage_refused", "The storage answered 403, SignatureDoesNotMatch")


@pytest.mark.parametrize(
    ("status", "code", "means"),
    [(503, "SlowDown", Unreachable), (429, "x", Unreachable), (400, "RequestTimeout", Unreachable), (403, "AccessDenied", Refused)],
)  # fmt: skip
def test_a_later_and_a_no_are_told_apart(status: int, code: str, means: type[Exception]) -> None:
    answer = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    assert type(files._said(ClientError(answer, "GetObject"))) is means  # type: ignore[arg-type]


async def test_no_call_is_made_while_a_transaction_is_open(database: str) -> None:
    closed = Files(Storage("b", "us-east-1", "a", "s", "http://127.0.0.1:9"))
    async with guard.transaction():
        with pytest.raises(AssertionError):
            await closed.copy(KEY, Found(1, "e"), TARGET, "text/plain")
    closed.close()
