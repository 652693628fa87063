"""Jobs as their callers see them, and lists a page at a time."""

import pytest

from api.pages import decode_cursor, encode_cursor, page
from models import guard
from models.base import uuid7
from models.errors import Invalid
from tests.api.callers import make_admin
from tests.api.conftest import SignedIn


async def test_a_job_is_shown_to_its_caller_and_to_admins_only(signed_in: SignedIn):
    owner, other = await signed_in(), await signed_in()
    await owner.post("/api/auth/resend-verification")
    job_id = await guard.value("select id from jobs where caller_id = $1", owner.me["id"])  # type: ignore[attr-defined]
    shown = (await owner.get(f"/api/jobs/{job_id}")).json()
    created_at = shown.pop("created_at")
    assert created_at.endswith("Z")
    assert shown == {
        "id": str(job_id),
        "kind": "mail.send_mail",
        "status": "queued",
        "attempts": 0,
        "progress": None,
        "result": None,
        "error": None,
        "started_at": None,
        "finished_at": None,
    }
    assert (await other.get(f"/api/jobs/{job_id}")).status_code == 404
    await make_admin(other.me["id"])  # type: ignore[attr-defined]
    assert (await other.get(f"/api/jobs/{job_id}")).status_code == 200


async def test_a_job_that_failed_says_why(signed_in: SignedIn):
    owner = await signed_in()
    await owner.post("/api/auth/resend-verification")
    await guard.rows("delete from job_live")
    await guard.rows("update jobs set status = 3, error_code = 'unreachable', error_detail = 'No answer.'")
    (shown,) = (await owner.get("/api/jobs")).json()["items"]
    assert (shown["status"], shown["error"]) == ("failed", {"code": "unreachable", "detail": "No answer."})


@pytest.mark.parametrize("job_id", ["1", "x", "01a20433", "' or 1=1 --"])
async def test_what_is_no_job_id_is_refused_by_name(signed_in: SignedIn, job_id: str):
    response = await (await signed_in()).get(f"/api/jobs/{job_id}")
    assert (response.status_code, response.json()["errors"][0]["field"]) == (422, "job_id")


async def test_a_job_that_does_not_exist_is_not_found(signed_in: SignedIn):
    assert (await (await signed_in()).get(f"/api/jobs/{uuid7()}")).status_code == 404


async def _make(caller_id: int, kind: str = "mail.send_mail", status: int = 2) -> str:
    made = uuid7()
    await guard.rows(
        "insert into jobs (id, kind, version, payload, queue, caller_id, status) values ($1, $2, 1, '{}', 'mail', $3, $4)",
        made,
        kind,
        caller_id,
        status,
    )
    return str(made)


async def test_ones_jobs_are_listed_newest_first_a_page_at_a_time(signed_in: SignedIn):
    owner, other = await signed_in(), await signed_in()
    made = [await _make(owner.me["id"]) for _ in range(5)]  # type: ignore[attr-defined]
    await _make(other.me["id"])  # type: ignore[attr-defined]
    seen, cursor, pages = [], None, 0
    while pages == 0 or cursor:
        found = (await owner.get("/api/jobs", params={"limit": 2, **({"cursor": cursor} if cursor else {})})).json()
        seen += [one["id"] for one in found["items"]]
        cursor, pages = found["next_cursor"], pages + 1
    assert (seen, pages) == (sorted(made, reverse=True), 3)


async def test_a_list_can_be_narrowed(signed_in: SignedIn):
    owner = await signed_in()
    caller_id = owner.me["id"]  # type: ignore[attr-defined]
    mail, failed = await _make(caller_id), await _make(caller_id, "escrow.sweep", 3)
    for query, ids in (("kind=mail.send_mail", [mail]), ("status=failed", [failed]), ("status=running", [])):
        assert [one["id"] for one in (await owner.get(f"/api/jobs?{query}")).json()["items"]] == ids


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("cursor=x", "cursor"),
        ("cursor=ä", "cursor"),
        ("cursor=" + "A" * 600, "cursor"),
        ("status=dead", "status"),
        ("kind=" + "x" * 100, "kind"),
        ("cursor=" + encode_cursor("projects", 5), "cursor"),
    ],
)
async def test_a_bad_query_is_refused_by_name(signed_in: SignedIn, query: str, field: str):
    response = await (await signed_in()).get(f"/api/jobs?{query}")
    assert (response.status_code, response.json()["errors"][0]["field"]) == (422, field)


async def test_a_null_byte_in_a_query_is_refused(signed_in: SignedIn):
    assert (await (await signed_in()).get("/api/jobs?kind=a%00b")).status_code == 422


def test_a_cursor_comes_back_as_the_position_it_named():
    assert decode_cursor("list", encode_cursor("list", [3, "x"]), tuple[int, str]) == (3, "x")
    assert decode_cursor("list", None, int) is None


def test_a_changed_cursor_is_refused():
    cursor = encode_cursor("list", 12345)
    for position in range(len(cursor) - 1):
        changed = cursor[:position] + ("A" if cursor[position] != "A" else "B") + cursor[position + 1 :]
        with pytest.raises(Invalid):
            decode_cursor("list", changed, int)
    with pytest.raises(Invalid):
        decode_cursor("list", encode_cursor("list", "text"), int)


def test_the_last_page_says_so():
    assert page("list", [1, 2], 2, lambda one: one).next_cursor is None
    first = page("list", [1, 2, 3], 2, lambda one: one)
    assert first.items == [1, 2]
    assert decode_cursor("list", first.next_cursor, int) == 2
