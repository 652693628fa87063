"""docs/bench/plans.md, measured over a filled database: `python -m tests.models.plans_page`."""

# ruff: noqa: T201  it speaks to whoever ran it
import asyncio
import os

import asyncpg

from tests.conftest import SETTINGS
from tests.models.filled import fill
from tests.models.plan_cases import BUILT, CASES, COMPOSITE, READS_MORE
from tests.models.plans import BIG, MOST_READ, PAGE, PER_ROW, Plan, explain, named
from tests.servers import start_servers

HEAD = """# What the queries read

Written by `python -m tests.models.plans_page` over a made-up marketplace ({rows}), analysed, with the planner's defaults. Each named
query, and each statement that is built for a request, with each of its cases (tests/models/plan_cases.py): the indexes used, the rows looked at in all tables, the rows returned, the milliseconds.
tests/models/test_query_plans.py refuses a sequential scan of a table of more than {big:,} rows, and more rows read than {most:,} and {each} for each row returned.
"""


def _line(name: str, plan: Plan) -> str:
    indexes = ", ".join(plan.indexes) or "none: only small tables"
    return f"| `{name}` | {indexes} | {plan.read:,} | {plan.returned:,} | {plan.ms:.1f} |"


async def written(url: str) -> str:
    """The page's text."""
    known, rows = await fill(url)
    large = ("projects", "proposals", "messages", "payments", "journals", "postings", "users")
    lines = ["| query | indexes used | rows read | rows returned | ms |", "|---|---|---:|---:|---:|"]
    nine = [lines[0].replace("query", "index").replace("indexes used", "used"), lines[1]]
    connection = await asyncpg.connect(url)
    try:
        for name, sql in sorted(named().items()):
            lines += [_line(name, await explain(connection, sql, case(known))) for case in CASES[name]]
        lines += [_line(name, await explain(connection, *build(known))) for name, build in sorted(BUILT.items())]
        for name, (sql, case) in COMPOSITE.items():
            nine.append(_line(name, await explain(connection, sql, case(known))).replace("`", "*"))
    finally:
        await connection.close()
    counted = ", ".join(f"{rows[name]:,} {name}" for name in large)
    more = [f"- `{name}` may read {most:,} rows: {why}" for name, (most, why) in READS_MORE.items()]
    return "\n".join([
        HEAD.format(rows=counted, big=BIG, most=MOST_READ, each=PER_ROW), *lines, "", *more, *([""] if more else []),
        "## The composite indexes that the source names\n", *nine, "",
    ])  # fmt: skip


def main() -> None:
    """Fill a scratch database, explain everything, write the page."""
    servers = start_servers()
    try:
        os.environ.update(SETTINGS, DATABASE_URL=servers.database_url, REDIS_URL=servers.redis_url)
        from tasks import migrate

        asyncio.run(migrate.migrate(servers.database_url))
        PAGE.write_text(asyncio.run(written(servers.database_url)), encoding="utf-8")
    finally:
        servers.stop()
    print(f"{PAGE.name} written.")


if __name__ == "__main__":
    main()
