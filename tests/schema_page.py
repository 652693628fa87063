"""docs/schema.md, read from a migrated database: `python -m tests.schema_page`."""

# ruff: noqa: T201  it speaks to whoever ran it
import asyncio
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import asyncpg

PAGE: Final = Path(__file__).parents[1] / "docs" / "schema.md"

GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "People": ("users", "notification_preferences", "portfolio_items", "favorites", "exports", "uploads"),
    "Getting in": (
        "sessions", "mfa_methods", "backup_codes", "security_codes", "sign_in_tickets", "passkey_challenges",
        "security_events", "throttles", "standing_changes",
    ),
    "The market": (
        "projects", "project_invitations", "proposals", "counter_offers", "categories", "skills", "saved_searches",
        "saved_search_matches", "search_words",
    ),
    "Work": (
        "contracts", "milestones", "refund_requests", "settlements", "disputes", "dispute_evidence", "time_weeks",
        "time_entries", "reviews",
    ),
    "Money": ("payments", "releases", "journals", "postings", "balances", "invoices"),
    "Talk": (
        "conversations", "conversation_members", "messages", "user_blocks", "notifications", "support_tickets",
        "support_replies", "mails",
    ),
    "Jobs, events and clocks": (
        "jobs", "job_live", "job_attempts", "job_keys", "job_singles", "queue_minutes", "queue_pauses", "workers",
        "schedules", "timers", "business_clock", "inbox", "events", "event_heads", "idempotency_keys",
        "process_metrics",
    ),
    "The record": ("audit_log", "audit_heads", "migration"),
}  # fmt: skip

ABOUT: Final = {
    "audit_heads": "What each sealing of the audit log left behind: its chain reaches the newest of these.",
    "audit_log": "Who did what, before and after; append-only, chained by hash.",
    "business_clock": "How far people's deadlines are ahead of the real time. Empty but in a sandbox.",
    "event_heads": "The last number that each audience's events have been given.",
    "events": "What browsers are told, with the audience's own numbers once relayed.",
    "idempotency_keys": "The first request with a key, and what it made; never what it was answered.",
    "inbox": "Callbacks of providers, each once, stored before they are worked on.",
    "job_attempts": "How each attempt of a job ended that was not its last.",
    "job_keys": "What is enqueued once: the key, and the job that it became.",
    "job_live": "Jobs that wait or run: the queue itself.",
    "job_singles": "Of kinds that run one at a time: which one does.",
    "jobs": "Every job, by month.",
    "migration": "Piccolo's own: which migrations have run.",
    "process_metrics": "The last counters of each process that cannot be scraped.",
    "queue_minutes": "What each worker did in each minute, for rates and percentiles.",
    "queue_pauses": "Queues that stand still, by whose hand and why.",
    "schedules": "What the clock enqueues, and when it last did.",
    "search_words": "The words that projects and freelancers use, for whoever mistypes one.",
    "standing_changes": "Whose sessions or rights have changed, written by triggers, read by every process.",
    "workers": "Worker processes and their last beat.",
}
"""Tables that are not Piccolo's, in a sentence."""

TABLES: Final = """
select c.relname as name, c.oid, c.relkind = 'p' as partitioned from pg_class c
 where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
   -- What a test brings along to probe the queue is no part of the service.
   and c.relname not like 'probe%'
 order by 1
"""
COLUMNS: Final = """
select a.attname as name, format_type(a.atttypid, a.atttypmod) as type, not a.attnotnull as nullable,
       pg_get_expr(d.adbin, d.adrelid) as "default", a.attgenerated <> '' as generated, a.attidentity <> '' as identity
  from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
 where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped order by a.attnum
"""
CONSTRAINTS: Final = """
select contype::text as kind, conname as name, pg_get_constraintdef(oid) as says, conkey from pg_constraint
 where conrelid = $1 and contype in ('p', 'u', 'f', 'c', 'x') order by contype, conname
"""
INDEXES: Final = """
select i.indexrelid::regclass::text as name, i.indisunique as is_unique, pg_get_indexdef(i.indexrelid) as definition
  from pg_index i
 where i.indrelid = $1 and not exists (select 1 from pg_constraint c where c.conindid = i.indexrelid and c.contype <> 'f')
 order by 1
"""
TRIGGERS: Final = """
select tgname as name, pg_get_triggerdef(oid) as says from pg_trigger where tgrelid = $1 and not tgisinternal order by 1
"""

HEAD: Final = """# The schema

Read from a migrated database by `python -m tests.schema_page`; a test holds it to the migrations. Columns marked → refer to another
table, and a row that is referred to cannot be deleted. Every foreign key has an index. Names in *italics* are nullable columns.
"""

SHORT: Final = {"timestamp with time zone": "timestamptz", "timestamp without time zone": "timestamp",
                "character varying": "varchar", "double precision": "float8"}  # fmt: skip


async def written(connection: asyncpg.Connection) -> str:
    """The page's text, of the database that the connection is to."""
    about = _declared()
    tables = {one["name"]: one for one in await connection.fetch(TABLES)}
    placed = {name for names in GROUPS.values() for name in names}
    assert placed == set(tables), f"no group of GROUPS has, or one has too many: {sorted(placed ^ set(tables))}"
    said = [HEAD]
    for group, names in GROUPS.items():
        said.append(f"## {group}\n")
        said += [await _table(connection, tables[name], about.get(name) or ABOUT[name]) for name in names]
    return "\n".join(said)


def _declared() -> dict[str, str]:
    """What each table's own class says of it."""
    from models.piccolo_app import APP_CONFIG

    return {one._meta.tablename: " ".join((one.__doc__ or "").split()) for one in APP_CONFIG.table_classes}


async def _table(connection: asyncpg.Connection, table: Any, about: str) -> str:
    constraints = await connection.fetch(CONSTRAINTS, table["oid"])
    columns = await connection.fetch(COLUMNS, table["oid"])
    lines = [f"### {table['name']}\n", f"{about}{' Partitioned.' if table['partitioned'] else ''}\n"]
    lines += ["| column | type | default | |", "|---|---|---|---|"]
    referred = {
        one["conkey"][0]: re.search(r"REFERENCES ([\w\"]+)", one["says"])[1]  # type: ignore[index]
        for one in constraints
        if one["kind"] == "f"
    }
    numbers = await connection.fetch(
        "select attname, attnum from pg_attribute where attrelid = $1 and attnum > 0", table["oid"]
    )
    places = {one["attname"]: one["attnum"] for one in numbers}
    for column in columns:
        target = referred.get(places[column["name"]])
        name = f"*{column['name']}*" if column["nullable"] else column["name"]
        lines.append(f"| {name} | {_short(column['type'])} | {_default(column)} | {f'→ {target}' if target else ''} |")
    lines.append("")
    lines += _listed("Keys", (f"`{one['says']}`" for one in constraints if one["kind"] in "pux"))
    lines += _listed("Checks", (f"`{_plain(one['says'][7:-1])}`" for one in constraints if one["kind"] == "c"))
    lines += _listed("Indexes", map(_index, await connection.fetch(INDEXES, table["oid"])))
    lines += _listed(
        "Triggers", (f"`{_trigger(one['says'])}`" for one in await connection.fetch(TRIGGERS, table["oid"]))
    )
    return "\n".join(lines)


def _listed(title: str, entries: Iterable[str]) -> list[str]:
    found = list(entries)
    return [f"{title}:\n", *(f"- {one}" for one in found), ""] if found else []


def _short(kind: str) -> str:
    for long, short in SHORT.items():
        kind = kind.replace(long, short)
    return kind


def _default(column: Any) -> str:
    said = column["default"] or ""
    if column["generated"]:
        return "generated"
    if column["identity"] or said.startswith("nextval("):
        return "numbered"
    if re.match(r"'[0-9a-f-]{36}'::uuid", said):
        return "given by the program"  # a migration writes whichever it made up first, and nobody uses it
    said = re.sub(r"::[\w ]+(\(\d+(,\d+)?\))?(\[\])?", "", said)
    return f"`{said}`" if said not in {"", "NULL", "''"} else ""


def _plain(says: str) -> str:
    """A condition without the casts that nobody wrote."""
    return re.sub(r"::[a-z_]+(\[\])?", "", says)


def _index(one: Any) -> str:
    body = one["definition"].split(" USING ", 1)[1]
    return f"{one['name']}{' (unique)' if one['is_unique'] else ''}: `{_plain(body)}`"


def _trigger(says: str) -> str:
    return says.removeprefix("CREATE ").removeprefix("CONSTRAINT ").removeprefix("TRIGGER ").replace("public.", "")


async def _read(url: str) -> str:
    connection = await asyncpg.connect(url)
    try:
        return await written(connection)
    finally:
        await connection.close()


def main() -> None:
    """Migrate a scratch database and write what it looks like."""
    from tests.conftest import SETTINGS
    from tests.servers import start_servers

    servers = start_servers()
    try:
        os.environ.update(SETTINGS, DATABASE_URL=servers.database_url, REDIS_URL=servers.redis_url)
        from tasks import migrate

        asyncio.run(migrate.migrate(servers.database_url))
        PAGE.write_text(asyncio.run(_read(servers.database_url)), encoding="utf-8")
    finally:
        servers.stop()
    print(f"{PAGE.name} written.")


if __name__ == "__main__":
    main()
