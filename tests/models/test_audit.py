"""The audit log: what is kept of a deed and what is not, and that every change of the sealed log is found and named."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from models import audit, audit_chain, guard
from models.audit import Sought
from models.audit_chain import GENESIS, Batch, Head, Walk
from models.outbox import Origin, caused_by


async def deed(subject: str = "1", **said: Any) -> None:
    await guard.commit(audit.record, 7, "thing.done", "thing", subject, **said)


async def sealed(*subjects: str) -> Batch:
    for subject in subjects:
        await deed(subject)
    return await guard.commit(audit_chain.seal)


async def walked(*, limit: int = 100) -> Walk:
    walk = Walk()
    while not walk.over:
        walk = await audit_chain.walk(walk, limit=limit)
    return walk


async def named(*, limit: int = 100) -> list[tuple[str, int | None]]:
    return [(one.check, one.seq) for one in (await walked(limit=limit)).differences]


async def tamper(*statements: str) -> None:
    """What only a superuser can do: the log's own triggers are off for it."""
    async with guard.transaction():
        await guard.rows("set local session_replication_role = replica")
        for statement in statements:
            await guard.rows(statement)


# What is kept


async def test_a_deed_is_kept_with_what_it_changed_and_the_request_that_asked(database: str):
    with caused_by(Origin(request_id="req-1")):
        await deed("5", details={"reason": "fraud"}, before={"status": "active"}, after={"status": "suspended"})
    (row,) = await audit.read_for("thing", "5")
    assert (row.actor_id, row.action, row.subject_kind, row.subject_id) == (7, "thing.done", "thing", "5")
    assert (row.details, row.before, row.after) == ({"reason": "fraud"}, {"status": "active"}, {"status": "suspended"})
    assert (row.request_id, row.seq, row.hash) == ("req-1", None, None)


async def test_a_deed_that_is_rolled_back_was_none(database: str):

    async def broken() -> None:
        await audit.record(1, "a", "b", "c")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await guard.commit(broken)
    assert await audit.find(Sought(), before=None, limit=10) == []


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ({"password": "x", "newPassword": "x", "access_token": 1}, dict.fromkeys(("password", "newPassword", "access_token"), "(redacted)")),
        ({"code": "123456", "backup_codes": ["a"], "api_key": "k", "SECRET": {"a": 1}, "otp-code": "1"}, dict.fromkeys(("code", "backup_codes", "api_key", "SECRET", "otp-code"), "(redacted)")),
        ({"error_code": "wrong_state", "country_code": "DE", "key": "a"}, {"error_code": "wrong_state", "country_code": "DE", "key": "a"}),
        ({"email": "nina@example.com"}, {"email": "n…@example.com"}),
        ({"reason": "ask nina.b@mail.example.co.uk, twice"}, {"reason": "ask n…@mail.example.co.uk, twice"}),
        ({"phone": "+49 151 23456789", "contact": "0151 234"}, {"phone": "…89", "contact": "…34"}),
        ({"contact": "nina@example.com", "reason": "call +4915123456789"}, {"contact": "n…@example.com", "reason": "call …89"}),
        ({"first_name": "Nina", "last_name": "", "kind": "Nina"}, {"first_name": "N…", "last_name": "", "kind": "Nina"}),
        ({"ip_address": "203.0.113.9", "text": "from 203.0.113.9"}, {"ip_address": "203.0.113.…", "text": "from 203.0.113.…"}),
        ({"ip": "2001:db8:1:2::3", "other": "2001:db8:1:2::3"}, {"ip": "2001:db8:1:…", "other": "2001:db8:1:…"}),
        ({"network": "2001:db8:1::/48"}, {"network": "2001:db8:1:…"}),
        ({"list": [{"email": "a@b.example"}, None, True, 1.5], "text": "a\0b"}, {"list": [{"email": "a…@b.example"}, None, True, 1.5], "text": "ab"}),
        ({"id": UUID(int=7), "at": datetime(2026, 1, 1, tzinfo=UTC)}, {"id": str(UUID(int=7)), "at": "2026-01-01T00:00:00Z"}),
    ],
)  # fmt: skip
async def test_of_secrets_nothing_is_kept_and_of_people_a_hint(database: str, said: Any, kept: Any):
    await deed(details=said, before=said, after=said)
    (row,) = await audit.read_for("thing", "1")
    assert row.details == row.before == row.after == kept


async def test_rows_are_found_by_each_field_a_page_at_a_time_newest_first(database: str):
    async with guard.transaction():
        for actor, action, kind, subject in ((1, "a", "user", "1"), (2, "a", "user", "2"), (1, "b", "queue", "mail")):
            await audit.record(actor, action, kind, subject)
    ids = [row.id for row in await audit.find(Sought(), before=None, limit=10)]
    assert ids == sorted(ids, reverse=True)
    first = await audit.find(Sought(actor_id=1), before=None, limit=1)
    then = await audit.find(Sought(actor_id=1), before=first[0].id, limit=5)
    assert [(row.action, row.subject_id) for row in [*first, *then]] == [("b", "mail"), ("a", "1")]
    assert [row.actor_id for row in await audit.find(Sought(action="a"), before=None, limit=9)] == [2, 1]
    assert len(await audit.find(Sought(subject_kind="user", subject_id="2"), before=None, limit=9)) == 1


@pytest.mark.parametrize("sql", ["update audit_log set details = '{}'", "delete from audit_log", "truncate audit_log",
                                 "update audit_log set seq = 9, hash = '\\x00', action = 'b' where seq is null",
                                 "update audit_log set seq = 9 where seq = 1", "update audit_log set seq = null, hash = null",
                                 "delete from audit_heads", "update audit_heads set hash = '\\x00'", "truncate audit_heads"])  # fmt: skip
async def test_the_database_refuses_every_change(database: str, sql: str):
    await sealed("1")
    await deed("2")
    with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
        await guard.rows(sql)


# Sealing


async def test_rows_are_chained_in_the_order_in_which_they_are_sealed(database: str):
    assert await sealed() == Batch(rows=0, head=Head(seq=0, hash=GENESIS.hex()))
    first = await sealed("1", "2")
    second = await sealed("3")
    assert (first.rows, first.head.seq, second.rows, second.head.seq) == (2, 2, 1, 3)
    rows = list(reversed(await audit.find(Sought(), before=None, limit=9)))
    assert [(row.subject_id, row.seq) for row in rows] == [("1", 1), ("2", 2), ("3", 3)]
    assert (rows[1].hash, rows[2].hash) == (first.head.hash, second.head.hash)
    walk = await walked()
    assert (walk.rows, walk.seq, walk.hash, walk.found) == (3, 3, second.head.hash, 0)
    said = '[1, {}, {}, 7, "thing.done", "thing", "1", null, null, {{}}, null]'
    at = await guard.value("select (extract(epoch from at) * 1000000)::bigint from audit_log where seq = 1")
    assert audit_chain.following(GENESIS, said.format(rows[0].id, at)).hex() == rows[0].hash


async def test_the_hash_does_not_depend_on_a_sessions_zone(database: str):
    await sealed("1")
    async with guard.transaction():
        await guard.rows("set local timezone = 'Asia/Kathmandu'")
        walk = await audit_chain.walk(Walk())
    assert walk.differences == ()


async def test_a_row_that_commits_late_stands_behind_rows_with_higher_ids(database: str):
    late = asyncio.Event()

    async def slow() -> None:
        async with guard.transaction():
            await audit.record(1, "slow", "thing", "slow")
            await late.wait()

    writing = asyncio.create_task(slow())
    await asyncio.sleep(0.1)
    await sealed("quick")
    late.set()
    await writing
    await sealed()
    rows = await audit.find(Sought(), before=None, limit=9)
    assert [(row.subject_id, row.seq) for row in rows] == [("quick", 1), ("slow", 2)]
    assert await named() == []


async def test_of_any_number_of_sealers_each_row_is_sealed_by_one(database: str):
    for number in range(12):
        await deed(str(number))
    batches = await asyncio.gather(*(guard.commit(audit_chain.seal, limit=4) for _ in range(6)))
    assert sorted(one.rows for one in batches) == [0, 0, 0, 4, 4, 4]
    assert await named() == []
    assert await guard.value("select array_agg(seq order by seq) from audit_log") == list(range(1, 13))


async def test_a_sealer_that_dies_leaves_everything_as_it_was(database: str):
    await deed("1")

    async def dying() -> None:
        await audit_chain.seal()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await guard.commit(dying)
    assert await guard.value("select count(*) from audit_heads") == 0
    assert (await sealed()).head.seq == 1
    assert await named() == []


# Every change is found


@pytest.mark.parametrize("limit", [1, 2, 5, 100])
async def test_a_walk_is_the_same_a_page_at_a_time(database: str, limit: int):
    await sealed("1", "2", "3", "4", "5")
    await tamper("update audit_log set actor_id = 8 where seq = 2", "delete from audit_log where seq = 4")
    assert await named(limit=limit) == [("row_changed", 2), ("row_missing", 4)]


@pytest.mark.parametrize(
    "change",
    ["actor_id = 8", "action = 'x'", "subject_id = 'x'", "subject_kind = 'x'", "details = '{\"a\": 1}'", "before = '{}'",
     "after = '{}'", "request_id = 'x'", "at = at + interval '1 microsecond'", "hash = sha256('x')"],
)  # fmt: skip
async def test_a_changed_row_is_named_whatever_was_changed(database: str, change: str):
    await sealed("1", "2", "3")
    await tamper(f"update audit_log set {change} where seq = 2")
    found = await named()
    assert found[0] == ("row_changed", 2)
    assert found[1:] == ([("row_changed", 3)] if "hash" in change else [])


async def test_a_row_that_is_gone_is_named_by_its_place(database: str):
    await sealed("1", "2", "3", "4")
    await tamper("delete from audit_log where seq in (2, 3)")
    (one,) = (await walked()).differences
    assert (one.check, one.seq, one.detail) == ("row_missing", 2, "Nothing is left at places 2 to 3.")
    await tamper("delete from audit_log where seq = 1", "update audit_log set seq = 2 where seq = 4")
    assert (await walked()).differences[0].detail == "Nothing is left at place 1."


async def test_a_row_that_was_put_between_shows_at_its_place(database: str):
    await sealed("1", "2", "3")
    await tamper(
        "update audit_log set seq = seq + 1000 where seq >= 2",
        "update audit_log set seq = seq - 999 where seq >= 1002",
        """insert into audit_log (actor_id, action, subject_kind, subject_id, seq, hash)
           values (7, 'forged', 'thing', '9', 2, sha256('forged'))""",
    )
    assert await named() == [("row_changed", 2), ("row_changed", 3), ("head_differs", 3), ("row_changed", 4), ("head_missing", 4)]  # fmt: skip


async def test_a_tail_that_was_cut_off_is_missed(database: str):
    await sealed("1", "2")
    await sealed("3", "4")
    await tamper("delete from audit_log where seq >= 3")
    (one,) = (await walked()).differences
    assert (one.check, one.seq, one.detail) == (
        "tail_missing",
        3,
        "The chain was sealed up to place 4, and ends at 2.",
    )
    await tamper("delete from audit_log")
    assert await named() == [("tail_missing", 1)]


async def test_a_tail_that_was_cut_with_its_heads_ends_where_no_sealing_did(database: str):
    await sealed("1", "2", "3")
    await tamper("delete from audit_log where seq = 3", "delete from audit_heads")
    assert await named(limit=1) == [("head_missing", 2)]


async def test_a_chain_that_was_written_anew_differs_from_its_heads(database: str):
    await sealed("1")
    await sealed("2")
    kept = await guard.rows("select * from audit_heads")
    await tamper("update audit_log set actor_id = 8, seq = null, hash = null", "delete from audit_heads")
    await sealed()
    assert await named() == []
    await tamper("delete from audit_heads")
    for one in kept:
        await guard.rows("insert into audit_heads (seq, hash) values ($1, $2)", one["seq"], one["hash"])
    assert await named() == [("head_differs", 1), ("head_differs", 2)]


async def test_rows_that_nobody_seals_are_missed_after_a_minute(database: str):
    await deed("1")
    assert await named() == []
    await tamper("update audit_log set at = now() - interval '61 s'")
    (one,) = (await walked()).differences
    assert (one.check, one.detail.endswith("has waited for a minute.")) == ("row_unsealed", True)


async def test_of_countless_differences_a_hundred_are_named(database: str):
    await sealed(*map(str, range(120)))
    await tamper("update audit_log set actor_id = 8")
    walk = await walked(limit=50)
    assert (walk.found, len(walk.differences)) == (120, 100)


async def test_rows_that_are_sealed_during_a_walk_are_walked_too(database: str):
    await sealed("1", "2")
    walk = await audit_chain.walk(Walk(), limit=1)
    await sealed("3")
    while not walk.over:
        walk = await audit_chain.walk(walk, limit=1)
    assert (walk.rows, walk.differences) == (3, ())


async def test_the_standing_of_the_chain_is_its_head_what_waits_and_the_last_verification(database: str):
    nothing = await audit_chain.read_standing()
    assert (nothing.head, nothing.sealed_at, nothing.waiting, nothing.verified) == (
        Head(seq=0, hash=GENESIS.hex()),
        None,
        0,
        None,
    )
    batch = await sealed("1")
    await deed("2")
    standing = await audit_chain.read_standing()
    assert (standing.head, standing.waiting, standing.sealed_at is not None) == (batch.head, 1, True)
