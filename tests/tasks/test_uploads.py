"""A file from its arrival to its place: looked at once, twice, across a crash, and while the storage is away."""

from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID

import pytest

import settings
from models import guard, outbox, uploads
from models.accounts import Person
from models.jobs import POLICIES, InspectUpload, JobStatus, Queue
from models.queue.views import JobView
from models.uploads import UploadPurpose, UploadRow, UploadStatus
from tasks import uploads as performing
from tasks.gateways import files as gateway
from tasks.gateways.files import Files
from tests import factories, files, worlds
from tests.filebox import FileBox, a_filebox, settings_of
from tests.performing import killed_after, killed_before, perform_killed, perform_now, release_dead
from tests.tasks.test_file_types import GOOD, HTML
from wire.presigning import sign_form, sign_link

PDF = GOOD["application/pdf"]


@pytest.fixture(scope="module")
def module_box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileBox]:
    """The stand-in, and the gateway of this process to it: a client of the SDK takes a second to make."""
    with a_filebox(tmp_path_factory.mktemp("files")) as started, pytest.MonkeyPatch.context() as patched:
        patched.setattr(gateway, "READ_S", 0.5)
        performing._gateway.cache_clear()
        calling = performing._gateway(started.storage)
        yield started
        calling.close()
        performing._gateway.cache_clear()


@pytest.fixture
def box(module_box: FileBox, database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileBox]:
    for name, value in settings_of(module_box).items():
        monkeypatch.setenv(name, value)
    settings.load.cache_clear()
    module_box.reset()
    yield module_box
    settings.load.cache_clear()


def bring(box: FileBox, upload: UploadRow, content: bytes) -> None:
    """What a browser does with the form it was given, as far as the storage lets it."""
    form = sign_form(
        box.storage, upload.object_key, content_type=upload.content_type, size_bytes=len(content), now=datetime.now(UTC)
    )
    assert box.post(form, content).status_code == 204


async def arrived(
    box: FileBox, content: bytes | None = PDF, *, said: int | None = None
) -> tuple[Person, UploadRow, UUID]:
    """Somebody's file that was brought and announced as complete, and the job that looks at it."""
    person = await factories.a_client()
    made = await files.announced(person, UploadPurpose.EVIDENCE, size=said or len(content or PDF))
    if content is not None:
        bring(box, made, content)
    requested = await guard.commit(uploads.complete, made.id, user_id=person.id)
    return person, made, requested.job.job_id


async def now(upload: UploadRow) -> UploadRow:
    return await uploads.read(upload.id, user_id=upload.user_id, admin=False)


async def sweep() -> JobView:
    """Carry out the one deletion that waits."""
    job_id = await guard.value(
        "select l.job_id from job_live l join jobs j on j.id = l.job_id where j.kind = 'uploads.delete_objects'"
    )
    return await perform_now(UUID(int=job_id.int), even_if_early=True)


async def test_a_good_file_is_copied_to_its_place_and_the_one_that_arrived_goes(box: FileBox) -> None:
    person, made, job_id = await arrived(box)

    done = await perform_now(job_id)

    assert (done.status, done.result) == (JobStatus.SUCCEEDED, {"upload_id": made.id, "status": "ready"})
    kept = await now(made)
    assert kept.status is UploadStatus.READY
    assert set(box.keys()) == {made.object_key, kept.object_key}
    assert (await sweep()).status is JobStatus.SUCCEEDED
    assert box.keys() == [kept.object_key]
    assert kept.object_key.startswith("test/kept/evidence/")
    assert await worlds.told(person.id) == []


@pytest.mark.parametrize(
    ("content", "said", "reason"),
    [
        (HTML, None, "It is not application/pdf."),
        (PDF, len(PDF) + 1, f"It has {len(PDF)} bytes, not {len(PDF) + 1}."),
        (None, None, "It did not arrive."),
    ],
)
async def test_what_is_something_else_is_refused_told_and_deleted(
    box: FileBox, content: bytes | None, said: int | None, reason: str
) -> None:
    person, made, job_id = await arrived(box, content, said=said)

    done = await perform_now(job_id)

    assert (done.status, done.result) == (JobStatus.SUCCEEDED, {"upload_id": made.id, "status": "refused"})
    assert (await now(made)).refused_because == reason
    assert await worlds.told(person.id) == ["upload_refused"]
    await sweep()
    assert box.objects() == []


async def test_a_file_is_looked_at_once(box: FileBox) -> None:
    _, made, job_id = await arrived(box)
    await perform_now(job_id, give_back_first=True)
    kept = await now(made)
    again = await guard.commit(outbox.enqueue, InspectUpload(upload_id=made.id))
    bring(box, made, HTML.ljust(len(PDF))[: len(PDF)])

    done = await perform_now(again.job_id)

    assert done.result == {"upload_id": made.id, "status": "ready"}
    assert await now(made) == kept
    assert box.http.get("/sandbox/files/objects").json()[0]["size"] == len(PDF)


async def test_what_is_replaced_between_two_looks_is_refused(box: FileBox, monkeypatch: pytest.MonkeyPatch) -> None:
    _, made, job_id = await arrived(box)
    real = Files.find

    async def find(self: Files, key: str) -> object:
        found = await real(self, key)
        bring(box, made, PDF[::-1])
        return found

    monkeypatch.setattr(Files, "find", find)

    await perform_now(job_id)

    assert (await now(made)).refused_because == "It was replaced while it was looked at."


@pytest.mark.parametrize("step", ["copy", "read"])
async def test_a_crash_on_the_way_loses_and_doubles_nothing(box: FileBox, step: str) -> None:
    _, made, job_id = await arrived(box)
    with killed_after(Files, step):
        await perform_killed(job_id)
    assert (await now(made)).status is UploadStatus.CHECKING
    await release_dead(job_id)

    done = await perform_now(job_id, even_if_early=True)

    assert done.result == {"upload_id": made.id, "status": "ready"}
    assert set(box.keys()) == {made.object_key, (await now(made)).object_key}


async def test_a_crash_before_the_record_shows_nothing_yet(box: FileBox) -> None:
    _, made, job_id = await arrived(box)
    with killed_before(uploads, "accept"):
        await perform_killed(job_id)
    assert (await now(made)).status is UploadStatus.CHECKING
    await release_dead(job_id)
    assert (await perform_now(job_id, even_if_early=True)).status is JobStatus.SUCCEEDED


async def test_what_is_replaced_after_a_crash_is_looked_at_anew(box: FileBox) -> None:
    """The form is good for ten minutes: nobody gets another file past us by bringing it late."""
    person, made, job_id = await arrived(box)
    with killed_before(uploads, "accept"):
        await perform_killed(job_id)
    bring(box, made, HTML.ljust(len(PDF))[: len(PDF)])
    await release_dead(job_id)

    done = await perform_now(job_id, even_if_early=True)

    assert done.result == {"upload_id": made.id, "status": "refused"}
    assert await worlds.told(person.id) == ["upload_refused"]


async def test_what_is_replaced_after_it_was_found_good_is_not_what_is_shown(box: FileBox) -> None:
    _, made, job_id = await arrived(box)
    await perform_now(job_id)

    bring(box, made, HTML.ljust(len(PDF))[: len(PDF)])

    kept = await now(made)
    link = sign_link(
        box.storage, kept.object_key, content_type=kept.content_type, filename=kept.filename, now=datetime.now(UTC)
    )
    assert box.http.get(link).content == PDF


@pytest.mark.parametrize("fault", ["down", "throttle", "slow", "truncated"])
async def test_while_the_storage_is_away_a_file_waits_and_is_never_refused(box: FileBox, fault: str) -> None:
    _, made, job_id = await arrived(box)
    # As often as a job may be tried, and once more; a slow answer takes its time each time.
    for attempt in range(1 if fault == "slow" else POLICIES[Queue.BULK].max_attempts + 1):
        box.misbehave(fault, delay_s=1, method="GET" if fault == "truncated" else "HEAD")
        waits = await perform_now(job_id, even_if_early=True)
        assert (waits.status, waits.error_code) == (JobStatus.QUEUED, None), attempt
    assert (await now(made)).status is UploadStatus.CHECKING

    done = await perform_now(job_id, even_if_early=True)

    assert done.result == {"upload_id": made.id, "status": "ready"}


async def test_a_deletion_waits_for_the_storage_too(box: FileBox) -> None:
    _, _, job_id = await arrived(box, HTML)
    await perform_now(job_id)
    box.misbehave("down")
    assert (await sweep()).status is JobStatus.QUEUED
    assert box.keys() != []
    assert (await sweep()).status is JobStatus.SUCCEEDED
    assert box.objects() == []


async def test_without_a_storage_files_wait(box: FileBox, monkeypatch: pytest.MonkeyPatch) -> None:
    _, made, job_id = await arrived(box)
    monkeypatch.setenv("S3_BUCKET", "")
    settings.load.cache_clear()
    assert (await perform_now(job_id)).status is JobStatus.QUEUED
    assert (await now(made)).status is UploadStatus.CHECKING


async def test_a_file_whose_job_can_never_succeed_is_given_back_to_its_owner(
    box: FileBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks import file_types

    def broken(*_: object) -> None:
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr(file_types, "fault_in", broken)
    person, made, job_id = await arrived(box)
    for _ in range(POLICIES[Queue.BULK].max_attempts):
        done = await perform_now(job_id, even_if_early=True)
    assert done.status is JobStatus.FAILED
    assert (await now(made)).refused_because == "It could not be checked. Upload it once more."
    assert await worlds.told(person.id) == ["upload_refused"]


async def test_who_left_meanwhile_leaves_nothing_behind(box: FileBox) -> None:
    person, _, job_id = await arrived(box)
    await guard.commit(uploads.forget_all, person.id)
    done = await perform_now(job_id)
    assert (done.status, done.error_code) == (JobStatus.FAILED, "not_found")
    await sweep()
    assert box.objects() == []
