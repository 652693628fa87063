"""What PostgreSQL does to answer a named query over a filled database, and what of it is not to be.

A case is a line in tests/models/plan_cases.py: the query's name and what it is asked with, once for somebody who has a
lot and once for somebody who has next to nothing.
"""

import importlib
import json
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import asyncpg
import msgspec

import models
from models.queries import NAMED
from sandbox.seed.plan import Size

FILLED: Final = Size(users=20_000, projects=51_000, proposals=60_000, messages=51_000, tickets=12_000, favorites=12_000)
"""At least 50,000 projects, messages and payments; of everything else that grows more than BIG."""
BIG: Final = 10_000
"""Rows of a table that is not to be read from end to end."""
MOST_READ: Final = 1_000
PER_ROW: Final = 30
"""A query may read so many rows, and so many more for each that it returns."""
NEWEST: Final = 2**62
"""The position of a first page: before the newest id there is."""


class Facts(msgspec.Struct, frozen=True):
    """Who has a lot in the filled database, who has little, and some things in the middle of it."""

    client: int
    quiet_client: int
    freelancer: int
    quiet_freelancer: int
    admin: int
    project: int
    open_project: int
    proposal: int
    contract: int
    hourly_contract: int
    hourly_project: int
    milestone: int
    disputed: int
    dispute: int
    conversation: int
    chatter: int
    ticket: int
    ticket_owner: int
    review: int
    week: int
    entry: int


_MOST: Final = "select {key} from {table} group by {key} order by count(*) desc, {key} limit 1"
_FEWEST: Final = "select {key} from {table} group by {key} order by count(*), {key} desc limit 1"
FACTS: Final = {
    "client": _MOST.format(key="client", table="projects"),
    "quiet_client": _FEWEST.format(key="client", table="projects"),
    "freelancer": _MOST.format(key="freelancer", table="contracts"),
    "quiet_freelancer": _FEWEST.format(key="freelancer", table="contracts"),
    "admin": "select min(id) from users where role = 'admin'",
    "project": _MOST.format(key="project", table="proposals"),
    "open_project": "select max(id) from projects where status = 'open' and visibility = 'public'",
    "proposal": "select max(id) from proposals where status = 'submitted'",
    "contract": _MOST.format(key="contract", table="milestones"),
    "hourly_contract": _MOST.format(key="contract", table="time_entries"),
    "hourly_project": _MOST.format(key="project", table="time_entries"),
    "milestone": "select max(id) from milestones where status = 'submitted'",
    "disputed": "select max(id) from milestones where status = 'disputed'",
    "dispute": "select max(id) from disputes",
    "conversation": _MOST.format(key="conversation", table="messages"),
    "chatter": "select receiver from messages where read_at is null group by 1 order by count(*) desc, 1 limit 1",
    "ticket": "select max(id) from support_tickets",
    "ticket_owner": """select "user" from support_tickets group by 1 order by count(*) desc, 1 limit 1""",
    "review": "select max(id) from reviews",
    "week": "select max(id) from time_weeks where status = 'in_review'",
    "entry": "select max(id) from time_entries",
}


class Scan(msgspec.Struct, frozen=True):
    """One node that reads a table, with all the rows it looked at."""

    kind: str
    table: str
    index: str
    read: int


class Plan(msgspec.Struct, frozen=True):
    """What a query did."""

    scans: list[Scan]
    returned: int
    ms: float

    @property
    def read(self) -> int:
        """Rows looked at, of all tables."""
        return sum(one.read for one in self.scans)

    @property
    def indexes(self) -> list[str]:
        """The indexes used, each once."""
        return sorted({one.index for one in self.scans if one.index})


def named() -> dict[str, str]:
    """Every named query of the service, whoever has imported what."""
    for module in pkgutil.walk_packages(models.__path__, "models."):
        if ".migrations" not in module.name:
            importlib.import_module(module.name)
    return dict(NAMED)


async def facts(connection: asyncpg.Connection) -> Facts:
    """Look them up."""
    return Facts(**{name: await connection.fetchval(sql) for name, sql in FACTS.items()})


async def sizes(connection: asyncpg.Connection) -> dict[str, int]:
    """How many rows each table has, by its statistics."""
    found = await connection.fetch("select relname, reltuples from pg_class where relkind = 'r'")
    return {one["relname"]: int(one["reltuples"]) for one in found}


async def explain(connection: asyncpg.Connection, sql: str, values: tuple[Any, ...]) -> Plan:
    """Run it and say what was done, with the planner as it is by default."""
    told = json.loads(await connection.fetchval("explain (analyze, timing off, format json) " + sql, *values))
    (plan,) = told
    return Plan(
        scans=list(_scans(plan["Plan"])),
        returned=round(plan["Plan"]["Actual Rows"]),
        ms=plan["Execution Time"],
    )


def _scans(node: dict[str, Any]) -> Iterator[Scan]:
    loops = node["Actual Loops"]
    if not loops:  # planned for the case that never came
        return
    if "Relation Name" in node:
        passed_over = sum(node.get(f"Rows Removed by {why}", 0) for why in ("Filter", "Index Recheck"))
        read = round((node["Actual Rows"] + passed_over) * loops)
        yield Scan(node["Node Type"], node["Relation Name"], node.get("Index Name", ""), read)
    elif "Index Name" in node:  # of a bitmap: its rows are counted where they are fetched
        yield Scan(node["Node Type"], "", node["Index Name"], 0)
    for below in node.get("Plans", ()):
        yield from _scans(below)


def faults(plan: Plan, rows: dict[str, int], most_read: int | None = None) -> list[str]:
    """What of a plan is not to be."""
    found = [
        f"reads all of {one.table} ({rows[one.table]:,} rows)"
        for one in plan.scans
        if one.kind == "Seq Scan" and rows[one.table] > BIG
    ]
    most = most_read or MOST_READ + PER_ROW * plan.returned
    if plan.read > most:
        found.append(f"reads {plan.read:,} rows to return {plan.returned:,}; at most {most:,}")
    return found


PAGE: Final = Path(__file__).parents[2] / "docs" / "bench" / "plans.md"
"""The table of plans: `python -m tests.models.plans_page`."""


def listed() -> list[str]:
    """The queries that the page's table has, each once."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    return list(dict.fromkeys(line.split("`")[1] for line in lines if line.startswith("| `")))
