"""Rows into tables, by COPY, in one transaction: all of them or none.

Indexes and foreign keys of the tables that are filled are set aside meanwhile and made anew from the catalogue's own
words: an index is built faster than it grows, and a key is checked faster for all rows than for each. Triggers stay.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from types import TracebackType
from typing import Any, Final, Self

import asyncpg

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

INDEXES: Final = """
select i.indexrelid::regclass::text as name, pg_get_indexdef(i.indexrelid) as definition
  from pg_index i
 where i.indrelid = any($1::regclass[]) and not i.indisprimary
   and not exists (select 1 from pg_constraint c where c.conindid = i.indexrelid)
 order by 1
"""
KEYS: Final = """
select conrelid::regclass::text as owner, quote_ident(conname) as name, pg_get_constraintdef(oid) as definition
  from pg_constraint where contype = 'f' and conrelid = any($1::regclass[]) order by 1, 2
"""


class Loader:
    """An open transaction on a database that fills tables. Times are seconds before `until`."""

    def __init__(
        self,
        connection: asyncpg.Connection,
        until: datetime,
        tables: Sequence[str],
        keep_indexes: Sequence[str] = (),
    ) -> None:
        self.connection = connection
        self.until = until
        self.tables = list(tables)
        self._bared = [table for table in tables if table not in keep_indexes]
        self.counts: dict[str, int] = {}
        self._firsts: dict[str, int] = {}
        self._aside: list[str] = []
        self._transaction = connection.transaction()

    async def __aenter__(self) -> Self:
        """Begin: nobody else uses these tables until the end, so ids can be given here."""
        await self._transaction.start()
        # Made-up data are written as fast as they can be made up, with pauses while they are.
        await self.connection.execute(
            "set local idle_in_transaction_session_timeout = 0; set local statement_timeout = 0"
        )
        await self.connection.execute("set local maintenance_work_mem = '512MB'")
        await self.connection.execute(f"lock table {', '.join(self.tables)} in access exclusive mode")
        for table in self.tables:
            self._firsts[table] = await self.connection.fetchval(f"select coalesce(max(id), 0) + 1 from {table}")
        await self._set_aside()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Make indexes and keys anew, set the sequences, commit; or leave everything as it was."""
        if kind is not None:
            await self._transaction.rollback()
            return
        await self.connection.execute("set constraints all immediate")
        for statement in self._aside:
            await self.connection.execute(statement)
        for table, count in self.counts.items():
            if table in self._firsts and count:
                last = self._firsts[table] + count - 1
                await self.connection.execute(f"select setval(pg_get_serial_sequence('{table}', 'id'), {last})")
        await self._transaction.commit()
        for table in self.tables:
            await self.connection.execute(f"analyze {table}")

    async def _set_aside(self) -> None:
        keys = await self.connection.fetch(KEYS, self._bared)
        indexes = await self.connection.fetch(INDEXES, self._bared)
        for key in keys:
            await self.connection.execute(f"alter table {key['owner']} drop constraint {key['name']}")
        for index in indexes:
            await self.connection.execute(f"drop index {index['name']}")
        self._aside = [index["definition"] for index in indexes]
        self._aside += [f"alter table {key['owner']} add constraint {key['name']} {key['definition']}" for key in keys]

    def id(self, table: str, index: int) -> int:
        """The id of a table's row that is counted from 0."""
        return self._firsts[table] + index

    def at(self, seconds: int) -> datetime:
        """A moment, from seconds before the end of the data."""
        return self.until + timedelta(seconds=seconds)

    def day(self, seconds: int) -> date:
        """Its date."""
        return self.at(seconds).date()

    async def fill(self, table: str, columns: str, rows: Iterable[tuple[Any, ...]]) -> int:
        """Copy rows into a table; `columns` are its names in order, after the id, which is given here."""
        begun = self._firsts[table] + self.counts.get(table, 0)
        count = 0

        def numbered() -> Iterable[tuple[Any, ...]]:
            nonlocal count
            for row in rows:
                yield (begun + count, *row)
                count += 1

        await self.connection.copy_records_to_table(table, records=numbered(), columns=["id", *columns.split()])
        self.counts[table] = self.counts.get(table, 0) + count
        return count
