"""Files over HTTP: announced, brought to the storage as a browser would, looked at, fetched by whoever may."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import settings
from models import guard
from models.uploads import UploadPurpose
from tasks import uploads as performing
from tests import factories, files, worlds
from tests.api.callers import body_of, calling, living, problem_of
from tests.api.conftest import create_app
from tests.api.working import a_worker
from tests.filebox import FileBox, a_filebox, settings_of
from tests.tasks.test_file_types import GOOD, HTML

PDF = GOOD["application/pdf"]


@pytest.fixture(scope="module")
def module_box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileBox]:
    with a_filebox(tmp_path_factory.mktemp("files")) as started:
        performing._gateway.cache_clear()
        calling = performing._gateway(started.storage)
        yield started
        calling.close()
        performing._gateway.cache_clear()


@pytest.fixture
def box(module_box: FileBox, database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileBox]:
    """The storage; applications that are made from now on have it."""
    for name, value in settings_of(module_box).items():
        monkeypatch.setenv(name, value)
    settings.load.cache_clear()
    module_box.reset()
    yield module_box
    settings.load.cache_clear()


def a_file(**changed: Any) -> dict[str, Any]:
    said = {"purpose": "evidence", "filename": "../Plän.pdf", "content_type": "application/pdf", "size_bytes": len(PDF)}
    return said | changed


async def test_a_file_goes_from_its_announcement_to_its_reader(box: FileBox) -> None:
    hire, stranger = await worlds.a_hire(), await factories.a_client()
    async with living(create_app()) as app, a_worker("bulk"):
        owner, client = await calling(app, hire.freelancer), await calling(app, hire.client)

        announced = body_of(await owner.post("/api/uploads", json=a_file(purpose="deliverable")), 201)

        at = f"/api/uploads/{announced['id']}"
        assert announced["status"] == "awaiting"
        assert (announced["filename"], announced["user_id"], announced["download_url"]) == (
            "Plän.pdf",
            hire.freelancer.id,
            None,
        )
        expires_in = datetime.fromisoformat(announced["expires_at"]) - datetime.now(UTC)
        assert timedelta(minutes=9) < expires_in <= timedelta(minutes=10)
        assert box.post(announced["upload"], PDF + b"more").status_code == 400
        assert box.post(announced["upload"], PDF).status_code == 204
        ready = body_of(await owner.post(f"{at}/complete", headers={"Idempotency-Key": "k"}), 200)
        assert (ready["status"], ready["refused_because"]) == ("ready", None)
        again = await owner.post(f"{at}/complete", headers={"Idempotency-Key": "k"})
        assert again.headers["Idempotent-Replayed"] == "true"
        assert body_of(again, 200)["status"] == "ready"
        problem_of(await owner.post(f"{at}/complete"), 409, "wrong_state")

        problem_of(await client.get(at), 404, "not_found")
        await guard.rows("update milestones set attachment_ids = array[$1::bigint]", announced["id"])
        seen = body_of(await client.get(at), 200)
        problem_of(await (await calling(app, stranger)).get(at), 404, "not_found")
        assert "object_key" not in seen
        fetched = box.http.get(seen["download_url"])
        assert (fetched.content, fetched.headers["content-type"]) == (PDF, "application/pdf")
        assert fetched.headers["content-disposition"].endswith("filename*=UTF-8''Pl%C3%A4n.pdf")
        problem_of(await owner.delete(at), 409, "wrong_state")


async def test_a_disguise_is_refused_with_its_reason_and_can_be_taken_back(box: FileBox) -> None:
    person = await factories.a_client()
    async with living(create_app()) as app, a_worker("bulk"):
        owner = await calling(app, person)
        announced = body_of(await owner.post("/api/uploads", json=a_file(size_bytes=len(HTML))), 201)
        assert box.post(announced["upload"], HTML).status_code == 204
        answer = body_of(await owner.post(f"/api/uploads/{announced['id']}/complete"), 200)
        assert (answer["status"], answer["refused_because"]) == ("refused", "It is not application/pdf.")
        assert answer["download_url"] is None
        assert (await owner.delete(f"/api/uploads/{announced['id']}")).status_code == 204
        problem_of(await owner.get(f"/api/uploads/{announced['id']}"), 404, "not_found")


async def test_an_announcement_repeated_under_its_key_is_one_with_a_fresh_form(box: FileBox) -> None:
    person = await factories.a_client()
    async with living(create_app()) as app:
        owner = await calling(app, person)
        keyed = {"Idempotency-Key": "one"}
        first = body_of(await owner.post("/api/uploads", json=a_file(), headers=keyed), 201)
        again = await owner.post("/api/uploads", json=a_file(), headers=keyed)
        assert again.headers["Idempotent-Replayed"] == "true"
        assert body_of(again, 201)["upload"]["fields"]["key"] == first["upload"]["fields"]["key"]
        later = await owner.post(f"/api/uploads/{first['id']}/complete", headers={"Prefer": "respond-async"})
        assert body_of(later, 202)["kind"] == "uploads.inspect"
        again = body_of(await owner.post("/api/uploads", json=a_file(), headers=keyed), 201)
        assert (again["status"], again["upload"], again["expires_at"]) == ("checking", None, None)


@pytest.mark.parametrize(
    ("changed", "code", "field"),
    [
        ({"purpose": "logo"}, "invalid", "purpose"),
        ({"filename": ""}, "invalid", "filename"),
        ({"filename": "a\x00b"}, "invalid", "filename"),
        ({"filename": "x" * 1001}, "invalid", "filename"),
        ({"content_type": "image/svg+xml"}, "upload_refused", "content_type"),
        ({"content_type": "text/html"}, "upload_refused", "content_type"),
        ({"size_bytes": 0}, "invalid", "size_bytes"),
        ({"size_bytes": 2**60}, "invalid", "size_bytes"),
        ({"size_bytes": 50 * 2**20 + 1}, "upload_refused", "size_bytes"),
        ({"object_key": "x"}, "invalid", "object_key"),
    ],
)
async def test_what_cannot_be_is_refused_by_field(box: FileBox, changed: dict[str, Any], code: str, field: str) -> None:
    person = await factories.a_client()
    async with living(create_app()) as app:
        answer = await (await calling(app, person)).post("/api/uploads", json=a_file(**changed))
        assert [one["field"] for one in problem_of(answer, 422, code)["errors"]] == [field]
    assert await guard.value("select count(*) from uploads") == 0


async def test_an_unverified_account_may_bring_its_picture_and_nothing_else(box: FileBox) -> None:
    person = await factories.a_client(verified=False)
    async with living(create_app()) as app:
        owner = await calling(app, person)
        picture = a_file(purpose="avatar", filename="me.png", content_type="image/png")
        assert (await owner.post("/api/uploads", json=picture)).status_code == 201
        problem_of(await owner.post("/api/uploads", json=a_file()), 403, "email_unverified")


async def test_without_a_storage_nothing_is_announced_and_what_was_is_still_told(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("S3_BUCKET", "")
    settings.load.cache_clear()
    person = await factories.a_client()
    kept, waits = await files.ready(person), await files.announced(person, UploadPurpose.AVATAR)
    async with living(create_app()) as app:
        owner = await calling(app, person)
        problem_of(await owner.post("/api/uploads", json=a_file()), 409, "storage_unavailable")
        problem_of(await owner.post(f"/api/uploads/{waits.id}/complete"), 409, "storage_unavailable")
        told = body_of(await owner.get(f"/api/uploads/{kept.id}"), 200)
        assert (told["status"], told["download_url"]) == ("ready", None)
        assert (await owner.delete(f"/api/uploads/{kept.id}")).status_code == 204
    monkeypatch.undo()
    settings.load.cache_clear()
