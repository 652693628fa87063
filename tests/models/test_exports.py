"""An export: all that is a person's, nothing that is another's, of one moment, for its owner alone."""

import asyncio
import json
from typing import Any

import pytest

from models import exports, guard
from models.errors import NotFound, Throttled, WrongState
from models.export_sections import LEFT_OUT, SECTIONS
from models.exports import ExportRequested
from tests import factories
from tests.leaving import IP, NEW_ADDRESS, PHONE, dealt, ended, zelda

# Every column that refers to a user, by key or by name; of a partitioned table the parent speaks.
REFERRING = """
select k.conrelid::regclass::text || '.' || a.attname as named
  from pg_constraint k join pg_attribute a on a.attrelid = k.conrelid and a.attnum = any(k.conkey)
 where k.contype = 'f' and k.confrelid = 'users'::regclass
 union
select c.table_name || '.' || c.column_name from information_schema.columns c
  join pg_class t on t.oid = format('public.%I', c.table_name)::regclass
 where c.table_schema = 'public' and not t.relispartition
   and c.column_name in ('user_id', 'caller_id', 'actor_id', 'paused_by', 'client', 'freelancer', 'payer', 'user')
"""


async def gathered(user_id: int, **bounds: int) -> dict[str, Any]:
    found = await guard.commit(exports.gather, user_id, **bounds)
    return {name: json.loads(text) for name, text in found.items()}


async def test_every_column_that_names_a_person_is_exported_or_left_out_for_a_reason(database: str) -> None:
    named = {one["named"] for one in await guard.rows(REFERRING)}
    exported = {column for section in SECTIONS.values() for column in section.columns}

    assert len(named) > 20
    assert exported & set(LEFT_OUT) == set()
    assert named == exported | set(LEFT_OUT)
    for section in SECTIONS.values():
        for column in section.columns:
            table, _, field = column.partition(".")
            assert table in section.sql
            assert field in section.sql
    assert all(reason for reason in LEFT_OUT.values())


async def test_an_export_has_everything_of_its_person(database: str) -> None:
    person = await zelda()
    contract = await factories.a_contract(freelancer=person)
    await ended(contract)
    await dealt(contract, person)

    found = await gathered(person.id)

    assert set(found) == set(SECTIONS)
    empty = {name for name, rows in found.items() if not rows}
    assert empty == {"projects", "payments", "releases", "ledger", "powers_used"}
    assert found["account"][0]["email"] == person.email
    assert found["sessions"][0]["ip_address"] == IP
    assert found["second_factors"][0]["contact"] == PHONE
    assert NEW_ADDRESS in {one["address"] for one in found["mails"]}
    assert found["contracts"][0]["your_part"] == "freelancer"
    assert found["contracts"][0]["other_party"] == "Clara Client"
    assert found["account"][0]["created_at"].endswith("+00:00")
    assert [(one["yours"], one["content"]) for one in found["messages"]] == [(True, "Message 1"), (False, "Message 2")]
    assert found["conversations"][0]["other_person"] == "Clara Client"
    assert [one["freelancer_id"] for one in found["favorites"]] == [contract.client_id]


async def test_an_export_does_not_tell_whether_the_other_one_has_written(database: str) -> None:
    person = await zelda()
    contract = await factories.a_contract(freelancer=person)
    await ended(contract)
    await dealt(contract, person)

    assert [one["comment"] for one in (await gathered(person.id))["reviews"]] == ["Mine, hidden"]
    await guard.rows("update reviews set status = 'shown'")
    assert [one["yours"] for one in (await gathered(person.id))["reviews"]] == [True, False]


async def test_what_two_had_in_common_is_in_both_exports_and_what_one_kept_in_one(database: str) -> None:
    person = await zelda()
    contract = await factories.a_contract(freelancer=person)
    await ended(contract)
    await dealt(contract, person)
    await guard.rows("update messages set deleted_at = now() where seq = 1")

    found = await gathered(contract.client_id)

    assert [one["content"] for one in found["messages"]] == [None, "Message 2"]
    common = ("counter_offers", "invitations", "refund_requests", "settlements", "time_weeks", "time_entries",
              "disputes", "conversations", "messages", "invoices", "contracts", "milestones")  # fmt: skip
    alone = ("saved_searches", "saved_search_matches", "portfolio", "uploads", "dispute_evidence", "blocks",
             "support_tickets", "support_replies")  # fmt: skip
    assert {name: bool(found[name]) for name in (*common, *alone)} == dict.fromkeys(common, True) | dict.fromkeys(
        alone, False
    )
    assert [one["freelancer_id"] for one in found["favorites"]] == [person.id]
    text = json.dumps(found)
    assert person.email not in text
    assert "Zelda seeks" not in text


async def test_an_export_has_no_secret_and_nothing_of_anybody_else(database: str) -> None:
    person = await zelda()
    client = await factories.a_client()
    await guard.rows("update users set about = 'I am Clara, in private' where id = $1", client.id)
    contract = await factories.a_contract(client, person)
    await guard.commit(_signs_in, client.id)
    other = await factories.a_contract()

    text = json.dumps(await gathered(person.id))

    for secret in ("hash-of-zelda", "sealed", "hash-of-a-code", "password_hash", '"content":'):
        assert secret not in text
    for private in (client.email, "198.51.100.9", "in private", "Frida"):
        assert private not in text
    mine = json.loads(text)["contracts"]
    assert [one["id"] for one in mine] == [contract.id] != [other.id]


async def _signs_in(user_id: int) -> None:
    from models import security, sessions
    from models.accounts import Role
    from models.visitors import Visitor

    visitor = Visitor(user_agent="x", ip_address="198.51.100.9")
    await sessions.begin(user_id, Role.CLIENT, visitor)
    await security.note(user_id, security.SecurityEventKind.SIGNED_IN, visitor)


async def test_a_client_finds_projects_and_a_ledger(database: str) -> None:
    client = await factories.a_client()
    project = await factories.a_project(client)
    await factories.a_project()

    found = await gathered(client.id)

    assert [one["id"] for one in found["projects"]] == [project.id]
    assert found["contracts"] == found["ledger"] == []


@pytest.mark.parametrize("bound", [10, 2_000])
async def test_more_than_the_bound_is_refused_before_it_is_gathered(database: str, bound: int) -> None:
    person = await zelda()

    with pytest.raises(WrongState, match="write to support"):
        await guard.commit(exports.gather, person.id, max_bytes=bound)


async def test_the_brackets_of_a_list_count_too(database: str) -> None:
    person = await factories.a_client()
    whole = await guard.commit(exports.gather, person.id)
    size = sum(len(text.encode()) for text in whole.values())

    assert await guard.commit(exports.gather, person.id, max_bytes=size) == whole
    with pytest.raises(WrongState):
        await guard.commit(exports.gather, person.id, max_bytes=size - 1)


async def test_three_a_day_however_many_are_asked_for_at_once(database: str) -> None:
    person, other = await factories.a_client(), await factories.a_client()

    asked = await asyncio.gather(*(guard.commit(exports.request, person.id) for _ in range(6)), return_exceptions=True)

    refused = [one for one in asked if isinstance(one, Throttled)]
    assert len([one for one in asked if isinstance(one, ExportRequested)]) == 3 == len(refused)
    assert all(86_000 < one.retry_after_s <= 86_400 for one in refused)
    assert await guard.value("select count(*) from jobs where kind = 'users.export_account'") == 3
    await guard.commit(exports.request, other.id)
    await guard.rows("""update exports set created_at = now() - interval '25 hours' where id = $1""", 1)
    assert (await guard.commit(exports.request, person.id)).job.created


async def made(user_id: int) -> int:
    export_id = (await guard.commit(exports.request, user_id)).export_id
    await guard.commit(exports.complete, export_id, b"PK...", "digest")
    return export_id


async def test_a_file_is_its_owners_alone_until_it_expires(database: str) -> None:
    person, other = await factories.a_client(), await factories.a_client()
    export_id = await made(person.id)

    assert await exports.read_content(export_id, user_id=person.id) == b"PK..."
    assert (await exports.outcome(export_id)).size_bytes == 5
    assert await exports.find_unmade(export_id) is None
    with pytest.raises(NotFound):
        await exports.read_content(export_id, user_id=other.id)
    await guard.rows("update exports set expires_at = now() - interval '1 second'")
    with pytest.raises(NotFound):
        await exports.read_content(export_id, user_id=person.id)
    with pytest.raises(NotFound):
        await exports.outcome(export_id)


async def test_an_unmade_file_is_not_there_and_a_made_one_stays_as_it_is(database: str) -> None:
    person = await factories.a_client()
    export_id = (await guard.commit(exports.request, person.id)).export_id

    with pytest.raises(NotFound):
        await exports.read_content(export_id, user_id=person.id)
    wanted = await exports.find_unmade(export_id)
    assert wanted is not None
    assert wanted.user_id == person.id
    first = await guard.commit(exports.complete, export_id, b"first", "1")
    assert await guard.commit(exports.complete, export_id, b"second", "2") == first
    assert await exports.read_content(export_id, user_id=person.id) == b"first"


async def test_who_was_erased_meanwhile_gets_no_file(database: str) -> None:
    with pytest.raises(NotFound):
        await exports.find_unmade(1)
    with pytest.raises(NotFound):
        await guard.commit(exports.complete, 1, b"PK", "digest")
