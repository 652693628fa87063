"""Which rows moved: every table of the present database notes it down, in the transaction that moves them.

What is rolled back leaves no note, and nobody has to look at every row before and after each step.
"""

from typing import Final

from models import guard

WATCH: Final = """
do $$
declare one record;
begin
    create table if not exists moves (id bigserial primary key, name text not null, row_id text);
    create or replace function note_move() returns trigger language plpgsql as $note$
    declare kept record;
    begin
        if tg_op = 'DELETE' then kept := old; else kept := new; end if;
        insert into moves (name, row_id)
        values (tg_table_name, case when tg_table_name = 'timers' then to_jsonb(kept)->>'id' end);
        return null;
    end $note$;
    for one in select c.oid::regclass as name from pg_class c
                where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
                  and c.relname <> 'moves'
    loop
        execute format('create or replace trigger note_made after insert or delete on %s
                        for each row execute function note_move()', one.name);
        execute format('create or replace trigger note_changed after update on %s for each row
                        when (old is distinct from new) execute function note_move()', one.name);
    end loop;
end $$
"""
"""A row that is written again as it was did not move."""

TIMERS: Final = """
select distinct t.kind from moves m join timers t on t.id = m.row_id::bigint
 where m.id > $1 and m.name = 'timers' and t.fired_at is null
"""


async def watch() -> None:
    """Note down every move from now on."""
    await guard.rows(WATCH)


async def mark() -> int:
    """The present moment, for the two questions below."""
    found: int = await guard.value("select coalesce(max(id), 0) from moves")
    return found


async def tables_since(moment: int) -> set[str]:
    """The tables in which a row came, changed or went since."""
    return {one["name"] for one in await guard.rows("select distinct name from moves where id > $1", moment)}


async def timers_since(moment: int) -> frozenset[str]:
    """The kinds of deadlines that were set or moved since, and wait."""
    return frozenset(one["kind"] for one in await guard.rows(TIMERS, moment))
