"""An export from its row to the file: it works, it works twice, it survives a crash, and nobody's data outlives them."""

import io
import json
import zipfile
from hashlib import sha256
from uuid import UUID

import pytest

from models import erasure, exports, guard, outbox
from models.export_sections import SECTIONS
from models.jobs import ExportAccount, JobStatus
from tasks import users
from tests import factories
from tests.leaving import zelda
from tests.performing import killed_before, perform_killed, perform_now, release_dead


async def asked(user_id: int) -> tuple[int, UUID]:
    requested = await guard.commit(exports.request, user_id)
    return requested.export_id, requested.job.job_id


async def test_an_export_is_made_and_its_file_opens(database: str) -> None:
    person = await zelda()
    export_id, job_id = await asked(person.id)

    done = await perform_now(job_id)

    content = await exports.read_content(export_id, user_id=person.id)
    assert done.status is JobStatus.SUCCEEDED
    assert set(done.result) == {"export_id", "size_bytes", "sha256", "expires_at"}
    assert (done.result["size_bytes"], done.result["sha256"]) == (len(content), sha256(content).hexdigest())
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["README.txt", *(f"{name}.json" for name in SECTIONS)]
        account = archive.read("account.json").decode()
        readme = archive.read("README.txt").decode()
    assert json.loads(account)[0]["email"] == person.email
    assert account.startswith('[\n  {\n    "id": ')
    assert all(f"  {name}.json" in readme for name in SECTIONS)
    assert max(map(len, readme.splitlines())) <= 78


async def test_an_export_that_is_made_stays_as_it_is(database: str) -> None:
    person = await zelda()
    export_id, job_id = await asked(person.id)
    first = await perform_now(job_id, give_back_first=True)
    await guard.rows("update users set headline = 'Another one'")
    again = await guard.commit(outbox.enqueue, ExportAccount(export_id=export_id))

    second = await perform_now(again.job_id)

    assert second.status is JobStatus.SUCCEEDED
    assert second.result == first.result


async def test_a_crash_before_the_file_is_kept_costs_nothing_but_the_work(database: str) -> None:
    person = await factories.a_client()
    export_id, job_id = await asked(person.id)
    with killed_before(exports, "complete"):
        await perform_killed(job_id)
    assert await guard.value("select content from exports") is None
    await release_dead(job_id)

    done = await perform_now(job_id, even_if_early=True)

    assert done.status is JobStatus.SUCCEEDED
    assert sha256(await exports.read_content(export_id, user_id=person.id)).hexdigest() == done.result["sha256"]


async def test_who_was_erased_meanwhile_leaves_no_file_behind(database: str) -> None:
    person = await zelda()
    _, job_id = await asked(person.id)
    await guard.commit(erasure.erase, person.id)

    done = await perform_now(job_id)

    assert (done.status, done.error_code) == (JobStatus.FAILED, "not_found")
    assert await guard.value("select count(*) from exports") == 0


async def test_too_much_data_is_a_clear_no(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    person = await zelda()
    _, job_id = await asked(person.id)
    monkeypatch.setitem(exports.gather.__kwdefaults__ or {}, "max_bytes", 1_000)

    done = await perform_now(job_id)

    assert (done.status, done.error_code) == (JobStatus.FAILED, "wrong_state")
    assert "write to support" in (done.error_detail or "")


def test_the_same_data_makes_the_same_file() -> None:
    from datetime import UTC, datetime

    at = datetime(2026, 11, 22, 23, 15, tzinfo=UTC)

    assert users.packed({"account": "[]"}, at) == users.packed({"account": "[]"}, at)
