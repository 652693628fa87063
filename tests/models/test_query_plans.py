"""No named query reads a large table from end to end, or much more than it returns: held to real plans."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.models.filled import filled
from tests.models.plan_cases import BUILT, CASES, COMPOSITE, READS_MORE
from tests.models.plans import BIG, PAGE, Facts, explain, faults, listed, named

__all__ = ["filled"]
Filled = tuple[str, Facts, dict[str, int]]
BAD = {
    "select id from messages where content like '%nobody said this%'": "reads all of messages",
    "select count(*) from projects where title <> ''": "rows to return 1; at most 1,030",
    "select id from notifications where title <> 'New proposal' order by id limit 10": "rows to return 10",
}
"""Plans that must not pass, and what is said of them."""


@pytest.fixture
async def connection(filled: Filled) -> AsyncIterator[asyncpg.Connection]:
    made = await asyncpg.connect(filled[0])
    yield made
    await made.close()


def test_every_named_query_has_a_case_and_every_case_a_query() -> None:
    assert sorted(named()) == sorted(CASES)
    assert set(READS_MORE) <= set(CASES) | set(BUILT)


def test_every_named_query_is_in_the_table_of_plans() -> None:
    assert sorted(listed()) == sorted({*named(), *BUILT}), f"python -m tests.models.plans_page writes {PAGE}"


async def test_no_statement_reads_much_more_than_it_returns(
    filled: Filled, connection: asyncpg.Connection, subtests: pytest.Subtests
) -> None:
    """One test, because each process that runs a part of it would fill a database of its own."""
    _, known, rows = filled
    with subtests.test("the database is full enough to tell"):
        _is_full_enough(rows)
    for name in sorted(CASES):
        with subtests.test(name):
            for case in CASES[name]:
                plan = await explain(connection, named()[name], case(known))
                assert faults(plan, rows, READS_MORE.get(name, (None,))[0]) == [], plan
    for name in sorted(BUILT):
        with subtests.test(f"built: {name}"):
            sql, values = BUILT[name](known)
            plan = await explain(connection, sql, values)
            assert faults(plan, rows, READS_MORE.get(name, (None,))[0]) == [], plan
    for name in sorted(COMPOSITE):
        with subtests.test(f"the source's index {name}"):
            sql, asked = COMPOSITE[name]
            plan = await explain(connection, sql, asked(known))
            assert plan.indexes == [name], plan
            assert faults(plan, rows) == []
    for sql, said in BAD.items():
        with subtests.test(f"seen: {said}"):
            found = faults(await explain(connection, sql, ()), rows)
            assert any(said in one for one in found), found
    with subtests.test("what was planned and never done is no fault"):
        sql = "select id from messages where content like '%x%' and (select false)"
        assert faults(await explain(connection, sql, ()), rows) == []


def _is_full_enough(rows: dict[str, int]) -> None:
    large = {name: rows[name] for name in ("projects", "messages", "payments", "journals", "postings")}
    assert {name: count for name, count in large.items() if count < 50_000} == {}
    grows = {"users", "proposals", "contracts", "milestones", "notifications", "reviews", "time_entries",
             "conversations", "conversation_members", "support_tickets", "favorites", "audit_log"}  # fmt: skip
    assert {name: rows[name] for name in grows if rows[name] <= BIG} == {}
