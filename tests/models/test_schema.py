"""The tables as Piccolo declares them and as the migrations make them are the same."""

from models import guard
from models.piccolo_app import APP_CONFIG


async def test_migrations_make_what_the_tables_declare(database: str) -> None:
    for table in APP_CONFIG.table_classes:
        found = await guard.rows(
            """select column_name, is_nullable = 'YES' as nullable from information_schema.columns
                where table_schema = 'public' and table_name = $1 and is_generated = 'NEVER'""",
            table._meta.tablename,
        )
        declared = {column._meta.db_column_name: column._meta.null for column in table._meta.columns}

        assert {one["column_name"]: one["nullable"] for one in found} == declared, table


async def test_foreign_keys_restrict_and_are_indexed(database: str) -> None:
    loose = await guard.rows(
        """select conrelid::regclass::text as from_table, conname from pg_constraint
            where contype = 'f' and confdeltype <> 'r'"""
    )
    unindexed = await guard.rows(
        """select conrelid::regclass::text as from_table, conname from pg_constraint c
            where contype = 'f' and not exists (
                select 1 from pg_index i where i.indrelid = c.conrelid and i.indkey[0] = c.conkey[1])"""
    )

    assert [dict(one) for one in loose] == []
    assert [dict(one) for one in unindexed] == []
