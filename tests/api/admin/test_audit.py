"""The audit log as JSON and as a page, and its verification on demand."""

import httpx
import pytest
from litestar import Litestar

import tasks.audit  # noqa: F401  its performers
from api.admin.rendering import told
from models import audit, audit_chain, guard
from models.jobs import Queue, VerifyAudit
from tests.api.admin.conftest import Browser, a_user, text_of
from tests.api.admin.test_pages import whole
from tests.api.callers import body_of, calling, problem_of
from tests.models.test_audit import deed, tamper
from tests.performing import perform_all


@pytest.fixture
async def boss(app: Litestar) -> httpx.AsyncClient:
    return await calling(app, await a_user(factor=False))


async def test_rows_are_listed_newest_first_with_their_place_in_the_chain(boss: httpx.AsyncClient):
    await deed("1", before={"a": 1}, after={"a": 2})
    batch = await guard.commit(audit_chain.seal)
    await deed("2", details={"email": "nina@example.com"})
    first = body_of(await boss.get("/api/admin/audit?limit=1&actor_id=7"), 200)
    second = body_of(await boss.get(f"/api/admin/audit?limit=1&actor_id=7&cursor={first['next_cursor']}"), 200)
    (newer,), (older,) = first["items"], second["items"]
    assert (newer["seq"], newer["hash"], newer["details"]) == (None, None, {"email": "n…@example.com"})
    assert (older["seq"], older["hash"], second["next_cursor"]) == (1, batch.head.hash, None)
    assert older.keys() == {"id", "at", "actor_id", "action", "subject_kind", "subject_id", "before", "after", "details", "request_id", "seq", "hash"}  # fmt: skip
    for query, count in (("action=thing.done", 2), ("subject_kind=thing&subject_id=2", 1), ("actor_id=0", 0), ("action=%20", 2)):  # fmt: skip
        assert len(body_of(await boss.get(f"/api/admin/audit?{query}"), 200)["items"]) == count, query


@pytest.mark.parametrize("query", ["actor_id=-1", "actor_id=x", "action=" + "x" * 65, "cursor=x", "subject_id=a%00b"])
async def test_what_cannot_be_read_is_refused(boss: httpx.AsyncClient, query: str):
    problem_of(await boss.get(f"/api/admin/audit?{query}"), 422, "invalid")


async def test_a_verification_is_a_job_that_several_admins_share(boss: httpx.AsyncClient):
    await deed("1")
    batch = await guard.commit(audit_chain.seal)
    later = {"Prefer": "respond-async"}
    answers = [await boss.post("/api/admin/audit/verify", headers=later) for _ in range(2)]
    (job_id,) = {body_of(one, 202)["id"] for one in answers}
    (done,) = await perform_all((Queue.BULK,))
    assert (str(done.id), done.kind) == (job_id, VerifyAudit.kind)
    shown = body_of(await boss.get(f"/api/jobs/{job_id}"), 200)
    assert shown["result"] == {"rows": 1, "head": batch.head.hash, "found": 0, "differences": []}


async def test_the_page_shows_the_chain_and_its_differences(admin: Browser):
    html = text_of(await admin.get("/admin/audit"))
    assert "Last verified never" in html
    assert "waiting to be sealed" in html
    for subject in map(str, range(60)):
        await deed(subject)
    batch = await guard.commit(audit_chain.seal)
    answer = await admin.press("/admin/audit/verify")
    assert (answer.status_code, answer.headers["location"]) == (303, "/admin/audit")
    await perform_all((Queue.BULK,))
    html = await whole(admin, "/admin/audit?actor_id=7&action=thing.done&subject_kind=thing")
    assert batch.head.hash in html
    assert '<span class="whole">whole</span>' in html
    further = html.split('<a class="button" href="')[1].split('"')[0].replace("&amp;", "&")
    assert "Newest" in await whole(admin, further)
    await tamper("update audit_log set actor_id = 8 where actor_id = 7")
    await admin.press("/admin/audit/verify")
    await perform_all((Queue.BULK,))
    html = text_of(await admin.get("/admin/audit?subject_id=none"))
    assert "60 differences" in html
    assert "and 40 more" in html
    assert "No row fits." in html
    assert await audit.read_for("thing", "none") == []


def test_what_an_audit_row_holds_is_told_in_one_line():
    assert [told(one) for one in ("a", 1, ["totp"], {"a": None})] == ["a", "1", '["totp"]', '{"a":null}']
    assert told("x" * 201) == "x" * 200 + "…"


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("actor_id=x", "A user is sought by their number"),
        ("actor_id=99999999999999999999999", "A user is sought by their number"),
        ("action=" + "x" * 65, "at most 64 characters"),
        ("subject_id=a%00b", "control characters"),
        ("cursor=x", "This cursor is not one"),
    ],
)
async def test_a_search_that_cannot_be_read_is_named(admin: Browser, query: str, sentence: str):
    answer = await admin.get(f"/admin/audit?{query}")
    assert (answer.status_code, sentence in text_of(answer)) == (422, True)
