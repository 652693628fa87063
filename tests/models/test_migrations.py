"""The migrations of accounts on a database that is in use: nothing is lost on the way there, and back again."""

import io
from contextlib import redirect_stdout

from models import audit, audit_chain, guard, mail, sessions
from models.letters import MailKind
from models.visitors import Visitor
from tasks import migrate
from tests import factories

# Piccolo writes a UUID of the moment into the default of a column that our own code always fills.
SHAPE = """
select 'column', table_name || '.' || column_name,
       data_type || is_nullable || case when data_type = 'uuid' then '' else coalesce(column_default, '') end
  from information_schema.columns where table_schema = 'public'
 union all select 'index', indexname, indexdef from pg_indexes where schemaname = 'public'
 union all select 'constraint', conrelid::regclass || '.' || conname, pg_get_constraintdef(oid) from pg_constraint
            where connamespace = 'public'::regnamespace
 union all select 'trigger', tgrelid::regclass || '.' || tgname, pg_get_triggerdef(oid) from pg_trigger
            where not tgisinternal
 union all select 'function', proname, prosrc from pg_proc p where pronamespace = 'public'::regnamespace
              and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')
 order by 1, 2, 3
"""


async def shape() -> list[tuple[str, ...]]:
    return [tuple(one) for one in await guard.rows(SHAPE)]


async def back(count: int) -> None:
    """Take the newest migrations back, as `piccolo migrations backwards` does."""
    from piccolo.apps.migrations.commands.backwards import BackwardsMigrationManager
    from piccolo.apps.migrations.tables import Migration

    names = await Migration.select(Migration.name).order_by(Migration.name).output(as_list=True)
    with redirect_stdout(io.StringIO()):
        done = await BackwardsMigrationManager(app_name="megilance", migration_id=names[-count], auto_agree=True).run()
    assert done.success, done.message


async def lived_in() -> None:
    """Rows as an account leaves them, of every kind that the migrations touch."""
    person = await factories.a_client()
    await guard.commit(sessions.begin, person.id, person.role, Visitor("Firefox/1.0", "192.0.2.7"), proved=True)
    mail_id = await guard.commit(mail.write, MailKind.EMAIL_CHANGE, to=person.id, about="x", address="new@example.org")
    await guard.rows("update mails set status = 'unwanted' where id = $1", mail_id)
    await guard.commit(audit.record, person.id, "account.deactivated", "user", str(person.id), after={"a": 1})
    await guard.commit(audit_chain.seal)
    await guard.rows("""insert into mfa_methods ("user", method, confirmed_at) select id, 'totp', now() from users""")


async def test_the_rules_come_and_go_and_come_again(database: str) -> None:
    await lived_in()
    before = await shape()
    await guard.close_pool()

    await back(3)
    assert await migrate.migrate(database) == 3

    await guard.open_pool()
    assert await shape() == before
    assert (await guard.commit(audit_chain.seal)).rows == 1


async def test_a_database_in_use_goes_back_and_forth(database: str) -> None:
    await lived_in()
    before = await shape()
    await guard.close_pool()

    await back(4)
    assert await migrate.migrate(database) == 4

    await guard.open_pool()
    assert await shape() == before
    kept = await guard.only("""select (select count(*) from users), (select count(*) from sessions where network = ''),
                                      (select count(*) from mails where status = 'refused' and address is null),
                                      (select count(*) from audit_log where seq is null)""")
    assert tuple(kept) == (1, 1, 1, 1)
    assert (await guard.commit(audit_chain.seal)).head.seq == 1
