"""The pages: what they show, what their buttons do, and that nothing anybody wrote becomes part of a page."""

import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any
from uuid import UUID, uuid4

import pytest

from api.admin import rendering
from api.admin.rendering import chart, duration, rate
from models import guard
from models.base import uuid7
from models.jobs import ALIASES, JobStatus
from tests.api.admin.conftest import Browser, text_of
from tests.queued import a_dead_job, a_job, everything

HOSTILE = "<script>alert(1)</script> \"'><img src=x onerror=alert(1)> {{ 7 * 191 }} Ünïcödé \u202e✓ 漢字"


class Balance(HTMLParser):
    """Whether every element that opens also closes."""

    VOID = frozenset({"meta", "link", "input", "br", "option", "line", "polyline"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


async def whole(admin: Browser, path: str, status: int = 200) -> str:
    answer = await admin.get(path)
    assert answer.status_code == status, answer.text
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["cache-control"] == "no-store"
    for tag, attributes in Balance(answer.text).tags:
        assert not any(name.startswith("on") or name == "style" for name in attributes), (tag, attributes)
        assert tag != "script" or (attributes.get("src") or "").startswith("/admin/assets/")
        assert tag != "form" or attributes["method"] == "get" or attributes["action"].startswith("/admin/")  # type: ignore[union-attr]
    return answer.text


async def test_every_page_is_whole_with_nothing_to_show(admin: Browser):
    assert "No job has been made yet." in await whole(admin, "/admin/jobs")
    shown = await whole(admin, "/admin/workers")
    assert "No worker runs." in shown
    assert "No clock has written" in shown
    assert "<html" not in (await admin.get("/admin/jobs/figures")).text


@pytest.mark.parametrize("status", list(JobStatus))
async def test_every_page_is_whole_with_hostile_words_in_it(admin: Browser, status: JobStatus):
    said = {"error_code": "<b>x</b>", "error_detail": HOSTILE, "kind": "probe.<i>kind", "payload": {"</pre>": HOSTILE}}
    job_id = await a_job(status, caller_id=3, **said)  # type: ignore[arg-type]
    await guard.rows("insert into job_attempts (job_id, claim_no, attempt, worker, outcome, error_code, error_detail) values ($1, 0, 1, $2, 'lost', $2, $2)", job_id, HOSTILE)  # fmt: skip
    await guard.rows("insert into queue_pauses (queue, paused_by, reason) values ('mail', 99, $1)", HOSTILE)
    await guard.rows(
        "insert into workers (id, host, release, queues, running) values ($1, $2, $2, array[$2], jsonb_build_array(jsonb_build_object('id', $3::text, 'kind', $2::text, 'since', '2026-11-22T20:00:00Z')))",
        uuid4(), HOSTILE, str(job_id),
    )  # fmt: skip
    await guard.rows(
        "insert into schedules values ($1, $1, 60, $1, now(), $2, now() + interval '1 h')", HOSTILE, job_id
    )
    for path in ("/admin/jobs", f"/admin/jobs/{job_id}", "/admin/workers", "/admin/jobs/figures"):
        html = await whole(admin, path)
        for spoilt in ("<script>alert", "<img", "<b>x", "<i>kind", "1337", "</pre>&#34;", "<Admin>"):
            assert spoilt not in html, path
    assert HOSTILE in (await admin.get(f"/admin/jobs/{job_id}")).text or "alert(1)" in html


async def test_a_search_shows_its_fields_again_and_what_fits(admin: Browser):
    found = await a_job(JobStatus.FAILED, error_code="wrong_state", caller_id=9)
    other = await a_job()
    html = await whole(admin, "/admin/jobs?error_code=wrong_state&caller_id=9&state=failed&queue=bulk&text=")
    assert str(found) in html
    assert str(other) not in html
    assert 'value="wrong_state"' in html
    assert "<option selected>failed</option>" in html
    assert "No job fits." in await whole(admin, "/admin/jobs?kind=no.such")


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("id=x", "A job's id looks like"),
        ("caller_id=x", "A user is sought by their number."),
        ("caller_id=0", "A user is sought by their number."),
        ("caller_id=9999999999999999999999", "A user is sought by their number."),
        ("state=gone", "There is no such state."),
        ("queue=gone", "There is no such queue."),
        ("kind=" + "x" * 65, "A kind has at most 64 characters."),
        ("kind=a%00b", "control characters"),
        ("created_from=yesterday", "A time looks like"),
        ("text=" + "x" * 201, "at most 200 characters"),
        ("cursor=x", "This cursor is not one"),
    ],
)
async def test_a_field_that_cannot_be_read_is_named_and_nothing_is_found(admin: Browser, query: str, sentence: str):
    await a_job()
    answer = await admin.get(f"/admin/jobs?{query}")
    assert answer.status_code == 422
    assert sentence in text_of(answer)
    Balance(answer.text)


async def test_times_are_utc_and_long_lists_have_pages(admin: Browser):
    for number in range(60):
        await a_job(at=datetime(2026, 11, 20, 12, 0, number, tzinfo=UTC), kind="probe.one")
    ids, path = [], "/admin/jobs?kind=probe.one&created_from=2026-11-20T12:00&created_to=2026-11-20T12:00:58"
    while path:
        html = await whole(admin, path)
        ids += re.findall(r'<th scope="row"><a href="/admin/jobs/([0-9a-f-]{36})"', html)
        further = re.search(r'class="button" href="([^"#]+)', html)
        path = further[1].replace("&amp;", "&") if further else ""
    assert len(ids) == len(set(ids)) == 58
    assert ids == sorted(ids, reverse=True)


async def test_the_buttons_of_a_job_do_what_they_say(admin: Browser):
    dead, waiting, other = await a_dead_job(), await a_job(JobStatus.QUEUED), await a_dead_job()
    for job_id, verb, sentence, row in (
        (dead, "retry", "The job waits again", (0, False)),
        (dead, "retry", "Only a dead job can be retried", (0, False)),
        (waiting, "cancel", "The job is cancelled.", (4, False)),
        (waiting, "cancel", "Only a waiting job can be cancelled", (4, False)),
        (other, "discard", "The job is discarded", (3, False)),
        (uuid7(), "discard", "There is no job", None),
    ):
        answer = await admin.press(f"/admin/jobs/{job_id}/{verb}")
        assert (answer.status_code, answer.headers["location"]) == (303, f"/admin/jobs/{job_id}")
        shown = await admin.get(f"/admin/jobs/{job_id}" if row else "/admin/jobs")
        assert sentence in text_of(shown)
        assert sentence not in text_of(await admin.get("/admin/jobs"))  # said once
        found = await guard.row("select status, is_dead from jobs where id = $1", job_id)
        assert (tuple(found) if found else None) == row
    assert {one["actor_id"] for one in await guard.rows("select actor_id from audit_log")} == {admin.person.id}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("status", "kind", "is_dead", "verbs"),
    [
        (JobStatus.FAILED, "escrow.sweep", True, {"retry", "discard"}),
        (JobStatus.FAILED, "escrow.sweep", False, set()),
        (JobStatus.QUEUED, "escrow.sweep", False, {"cancel"}),
        (JobStatus.QUEUED, "no.longer_known", False, {"cancel"}),
        (JobStatus.QUEUED, "mail.send_mail", False, set()),
        (JobStatus.RUNNING, "escrow.sweep", False, set()),
        (JobStatus.SUCCEEDED, "escrow.sweep", False, set()),
    ],
)
async def test_a_job_has_only_the_buttons_that_can_work(
    admin: Browser, status: JobStatus, kind: str, verbs: set[str], *, is_dead: bool
):
    job_id = await a_job(status, kind=kind, is_dead=is_dead)
    html = await whole(admin, f"/admin/jobs/{job_id}")
    assert set(re.findall(rf'action="/admin/jobs/{job_id}/(\w+)"', html)) == verbs


async def test_a_job_by_an_old_name_has_the_buttons_of_the_new_one(admin: Browser, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(ALIASES, "mail.old_name", "mail.send_mail")
    job_id = await a_job(JobStatus.QUEUED, kind="mail.old_name", queue="mail")
    assert f"/admin/jobs/{job_id}/cancel" not in await whole(admin, f"/admin/jobs/{job_id}")


async def test_a_queue_that_waits_for_nobody_is_marked(admin: Browser):
    async def marked() -> list[str]:
        html = (await admin.get("/admin/jobs")).text
        return [row for row in re.findall(r'<th scope="row">.*</th>', html) if "no worker" in row]

    assert await marked() == []
    await a_job(JobStatus.QUEUED, kind="mail.send_mail", queue="mail")
    (row,) = await marked()
    assert ">mail</a>" in row
    await guard.rows("insert into workers (id, queues) values ($1, '{bulk}'), ($2, '{mail}')", uuid4(), uuid4())
    assert await marked() == []
    await guard.rows("update workers set beat_at = now() - interval '16 s'")
    assert len(await marked()) == 1


async def test_numbers_say_of_which_minutes_they_are_and_times_that_they_are_utc(admin: Browser):
    shown = text_of(await admin.get("/admin/jobs/figures"))
    assert "Rate: chart 1 h, number 5 min Run p95: chart 1 h, number 5 min Run p50 · p99, 5 min" in shown
    assert "Rate, last hour" not in shown
    job_id = await a_job(at=datetime(2026, 11, 20, 12, 0, 7, tzinfo=UTC))
    told = text_of(await admin.get(f"/admin/jobs/{job_id}"))
    for words in (
        "Made 2026-11-20 12:00:07 UTC",
        "Last began 2026-11-20 12:00:07 UTC",
        "Ended 2026-11-20 12:00:08 UTC",
    ):
        assert words in told
    assert not re.search(r"\d\d:\d\d:\d\d(?! UTC)", told)


async def test_the_dead_of_a_search_are_retried_with_one_button_that_says_how_many(admin: Browser):
    for _ in range(3):
        await a_dead_job(error_code="time_limit")
    left = await a_dead_job()
    html = await whole(admin, "/admin/jobs?state=dead&error_code=time_limit")
    assert "Retry these 3 dead jobs" in html
    answer = await admin.press("/admin/jobs/retry", state="dead", error_code="time_limit")
    assert answer.headers["location"] == "/admin/jobs?state=dead&error_code=time_limit"
    assert "3 jobs wait again." in text_of(await admin.get(answer.headers["location"]))
    assert [one["id"] for one in await guard.rows("select id from jobs where is_dead")] == [left]
    await admin.press("/admin/jobs/retry", state="dead", error_code="time_limit")
    assert "There was nothing left to retry." in text_of(await admin.get("/admin/jobs"))
    assert "Retry this 1 dead job" in await whole(admin, "/admin/jobs?state=dead")
    await admin.press("/admin/jobs/retry", state="dead")
    assert "1 job waits again." in text_of(await admin.get("/admin/jobs"))
    assert "dead job" not in await whole(admin, "/admin/jobs?state=dead")
    await admin.press("/admin/jobs/retry", state="gone")
    assert "There is no such state." in text_of(await admin.get("/admin/jobs"))


async def test_a_thousand_at_once_is_the_most_and_the_page_says_so(admin: Browser, monkeypatch: pytest.MonkeyPatch):
    from models.queue import control

    monkeypatch.setattr(control.retry_many, "__kwdefaults__", {"limit": 2})
    for _ in range(3):
        await a_dead_job()
    await admin.press("/admin/jobs/retry", state="dead")
    assert "2 jobs wait again. That is the most at once; there may be more." in text_of(await admin.get("/admin/jobs"))


async def test_a_queue_is_paused_with_a_reason_and_resumed(admin: Browser):
    await admin.press("/admin/queues/mail/pause", reason="SES <is> down")
    shown = await admin.get("/admin/jobs")
    assert "mail stands still" in text_of(shown)
    assert "SES &lt;is&gt; down" in shown.text
    assert "ada@example.com" in text_of(shown)
    for path, fields, sentence in (
        ("mail/pause", {"reason": "again"}, "mail stood still already."),
        ("mail/resume", {}, "mail goes on."),
        ("mail/resume", {}, "mail was going already."),
        ("mail/pause", {}, "Say why"),
        ("nothing/pause", {"reason": "x"}, "There is no queue of this name"),
    ):
        assert (await admin.press(f"/admin/queues/{path}", **fields)).headers["location"] == "/admin/jobs"
        assert sentence in text_of(await admin.get("/admin/jobs"))


@pytest.mark.parametrize(
    ("path", "status"), [(f"/admin/jobs/{UUID(int=1)}", 404), ("/admin/nothing", 404), ("/admin/jobs/x", 422)]
)
async def test_a_refusal_is_a_page_too(admin: Browser, path: str, status: int):
    html = await whole(admin, path, status)
    assert f"Status {status}" in html


async def test_when_postgresql_is_away_the_page_says_so_and_shows_nothing_else(
    admin: Browser, monkeypatch: pytest.MonkeyPatch
):
    from models.queue import figures

    async def away() -> None:
        raise ConnectionRefusedError("10.0.0.7:5432 secret")

    monkeypatch.setattr(figures, "workers", away)
    html = await whole(admin, "/admin/workers", 503)
    assert "secret" not in html
    assert "The database cannot be reached." in html


async def test_figures_are_read_once_a_second_however_many_look(admin: Browser, monkeypatch: pytest.MonkeyPatch):
    from models.queue import figures

    read, real = 0, figures.queues

    async def counting() -> Any:
        nonlocal read
        read += 1
        return await real()

    monkeypatch.setattr(figures, "queues", counting)
    for _ in range(3):
        assert (await admin.get("/admin/jobs/figures")).status_code == 200
    assert read <= 2


async def test_files_of_the_pages_are_ours_and_kept(visitor: Browser):
    for name in rendering.SERVED:
        answer = await visitor.get(f"/admin/assets/{name}")
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        assert "http" not in answer.text
    for name in ("nothing.js", "..%2f..%2fsettings.py", "__init__.py"):
        assert (await visitor.get(f"/admin/assets/{name}")).status_code == 404


async def test_the_document_of_the_api_has_no_pages_and_does_have_the_admins_part(visitor: Browser):
    paths = (await visitor.get("/api/openapi.json")).json()["paths"]
    assert not [path for path in paths if path.startswith("/admin")]
    assert {"/api/admin/jobs", "/api/admin/jobs/{job_id}/retry", "/api/admin/queues/{name}/pause"} <= set(paths)


async def test_a_refused_press_leaves_everything_as_it_was(admin: Browser):
    job_id = await a_job(JobStatus.RUNNING)
    before = await everything()
    for verb in ("retry", "cancel", "discard"):
        await admin.press(f"/admin/jobs/{job_id}/{verb}")
    assert await everything() == before


def test_numbers_are_written_in_the_unit_that_suits_them():
    assert [duration(one) for one in (None, 0, 0.0042, 0.25, 3.25, 59, 300, 7300, 86400 * 3)] == [
        "\u2013", "0 ms", "4.2 ms", "250 ms", "3.2 s", "59 s", "5 min", "2.0 h", "3 d",
    ]  # fmt: skip
    assert [rate(one) for one in (0, 0.05, 2.5, 40)] == ["0", "3.0/min", "2.5/s", "40/s"]
    assert rendering.ago(None, datetime.now(UTC)) == "\u2013"
    now = datetime.now(UTC)
    assert rendering.ago(now + timedelta(seconds=30), now) == "in 30 s"


def test_a_chart_has_gaps_where_nothing_was_and_a_dot_where_one_minute_stood_alone():
    drawn = chart([None, 1.0, 2.0, None, 4.0])
    assert drawn["lines"] == ["30.0,20.0 60.0,14.0", "120.0,2.0 120.0,2.0"]
    assert chart([0.0, 0.0])["empty"]
    assert chart([])["lines"] == []
