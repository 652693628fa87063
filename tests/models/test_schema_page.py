"""docs/schema.md is what the migrations make: `python -m tests.schema_page` writes it anew."""

import asyncpg

from tests.schema_page import PAGE, written

COMPOSITE = {
    "idx_projects_status_created": ("projects", ("status", "created_at DESC")),
    "idx_payments_user_created": ("payments", ("payer", "created_at DESC")),
    "idx_messages_receiver_unread": ("messages", ("receiver", "conversation", "seq")),
    "idx_notifications_user_unread": ("notifications", ('"user"',)),
    "idx_reviews_reviewee_rating": ("reviews", ("reviewee", "rating")),
    "idx_time_entries_project_date": ("time_entries", ("project", "started_at DESC")),
    "idx_support_tickets_status_priority": ("support_tickets", ("status", "priority")),
    "idx_proposals_freelancer_status": ("proposals", ("freelancer", "status")),
    "idx_audit_logs_user_created": ("audit_log", ("actor_id", "at DESC")),
}
"""The nine that the source names (its section 7), on which table, and the columns that they begin with."""


async def _connection(url: str) -> asyncpg.Connection:
    return await asyncpg.connect(url)


async def test_the_page_is_what_the_database_looks_like(database: str) -> None:
    connection = await _connection(database)
    try:
        text = await written(connection)
    finally:
        await connection.close()
    assert PAGE.read_text(encoding="utf-8") == text, "python -m tests.schema_page"


async def test_the_composite_indexes_that_the_source_names_exist(database: str) -> None:
    connection = await _connection(database)
    try:
        found = await connection.fetch(
            "select indexname, tablename, indexdef from pg_indexes where indexname = any($1)", list(COMPOSITE)
        )
    finally:
        await connection.close()
    assert {one["indexname"]: one["tablename"] for one in found} == {name: on for name, (on, _) in COMPOSITE.items()}
    for one in found:
        columns = ", ".join(COMPOSITE[one["indexname"]][1])
        assert f"({columns}" in one["indexdef"], one["indexdef"]
