"""What Piccolo cannot say: checks, partial indexes, and the triggers that keep the ledger honest."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager

from models.guard import script

ID = "2026-11-22T12:00:00:000001"
VERSION = "1.38.0"
DESCRIPTION = "Rules the database itself enforces"

FORWARDS = """
-- Rows that money or work hangs on carry their rules.
alter table users add check (role in ('client', 'freelancer', 'admin'));
alter table projects
    add check (status in ('draft', 'open', 'in_progress', 'completed', 'cancelled', 'closed')),
    add check (budget_type in ('fixed', 'hourly')),
    add check (visibility in ('public', 'invite_only', 'private')),
    add check (0 < budget_min_minor and budget_min_minor <= budget_max_minor);
alter table proposals
    add check (status in ('submitted', 'shortlisted', 'accepted', 'rejected', 'withdrawn')),
    add check (bid_minor > 0), add check (delivery_days > 0);
alter table contracts
    add check (status in ('pending_signature', 'active', 'completed', 'cancelled')),
    add check (client <> freelancer), add check (amount_minor > 0), add check (fee_bp between 0 and 5000),
    add unique (proposal), add unique (project);
alter table milestones
    add check (status in ('pending', 'funding', 'funded', 'submitted', 'releasing', 'released', 'cancelled')),
    add check (amount_minor > 0);
alter table payments
    add check (status in
        ('requested', 'processing', 'requires_action', 'requires_capture', 'succeeded', 'canceling',
         'canceled', 'failed')),
    add check (rail in ('hold', 'captured')), add check (amount_minor > 0);
alter table releases
    add check (status in ('begun', 'completed', 'abandoned')),
    add check (fee_minor >= 0 and net_minor >= 0 and gross_minor = fee_minor + net_minor);
alter table mails add check (status in ('queued', 'sent', 'refused'));

create unique index proposals_one_each on proposals (project, freelancer) where status <> 'withdrawn';
create unique index proposals_one_accepted on proposals (project) where status = 'accepted';
-- One payment at a time tries to fund a milestone, and one release empties it.
create unique index payments_one_live on payments (milestone) where status not in ('canceled', 'failed');
create unique index releases_one on releases (milestone) where status <> 'abandoned';
create index payments_unpaid on payments (expires_at)
    where status in ('requested', 'processing', 'requires_action', 'canceling');
create index releases_begun on releases (created_at) where status = 'begun';
create index releases_owed on releases (id) where status = 'completed' and transfer_id is null;
create index inbox_unhandled on inbox (id) where handled_at is null;
create index inbox_handled on inbox (handled_at);
create index payments_held on payments (capture_before) where status = 'requires_capture';
create index projects_open on projects (id desc) where status = 'open' and visibility = 'public';
create index idx_projects_status_created on projects (status, created_at desc);
create index idx_proposals_freelancer_status on proposals (freelancer, status);
create index notifications_newest on notifications ("user", id desc);
create index idx_notifications_user_unread on notifications ("user") where read_at is null;

-- A process that stands still inside a transaction holds locks that everybody else waits for.
do $$ begin
    execute format('alter database %I set idle_in_transaction_session_timeout = %L', current_database(), '10s');
end $$;

-- The ledger. A journal knows the transaction that made it; a posting of any other transaction is refused, so no
-- journal can be added to later. At commit every journal sums to zero per asset. Nothing is ever changed or removed.
alter table journals alter column made_in set default (pg_current_xact_id()::text::bigint);
create index journals_subject on journals (subject);
create index postings_account on postings (account, id);
alter table postings add check (amount <> 0);
alter table balances drop constraint balances_pkey, add primary key (account, asset), add check (amount >= 0);

create function ledger_refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'the ledger is append-only: % of %', tg_op, tg_table_name using errcode = 'restrict_violation';
end $$;
create trigger append_only before update or delete on journals for each row execute function ledger_refuse_change();
create trigger append_only before update or delete on postings for each row execute function ledger_refuse_change();
create trigger never_emptied before truncate on journals execute function ledger_refuse_change();
create trigger never_emptied before truncate on postings execute function ledger_refuse_change();

create function ledger_stamp_journal() returns trigger language plpgsql as $$
begin
    new.made_in := pg_current_xact_id()::text::bigint;
    return new;
end $$;
create trigger stamp before insert on journals for each row execute function ledger_stamp_journal();

create function ledger_check_posting() returns trigger language plpgsql as $$
begin
    if (select made_in from journals where id = new.journal) is distinct from pg_current_xact_id()::text::bigint then
        raise exception 'a posting joins only a journal of its own transaction' using errcode = 'restrict_violation';
    end if;
    return new;
end $$;
create trigger same_transaction before insert on postings for each row execute function ledger_check_posting();

create function ledger_check_sum() returns trigger language plpgsql as $$
begin
    if (select count(*) from postings where journal = new.id) < 2 or exists (
        select 1 from postings where journal = new.id group by asset having sum(amount) <> 0
    ) then
        raise exception 'journal % (%) does not sum to zero', new.id, new.key using errcode = 'check_violation';
    end if;
    return null;
end $$;
create constraint trigger sums_to_zero after insert on journals deferrable initially deferred
    for each row execute function ledger_check_sum();
-- And again for what is posted after an early check (`set constraints … immediate`) has already passed the journal.
create function ledger_check_sum_of_posting() returns trigger language plpgsql as $$
begin
    if (select sum(amount) from postings where journal = new.journal and asset = new.asset) <> 0 then
        raise exception 'journal % does not sum to zero', new.journal using errcode = 'check_violation';
    end if;
    return null;
end $$;
create constraint trigger sums_to_zero after insert on postings deferrable initially deferred
    for each row execute function ledger_check_sum_of_posting();

-- Accounts with a floor (escrow and people) keep a balance row; platform and world accounts do not, so none is hot.
create function ledger_keep_balance() returns trigger language plpgsql as $$
begin
    if new.account like 'escrow:%' or new.account like 'user:%' then
        -- Two statements, because a CHECK judges the row proposed to ON CONFLICT before the conflict is seen.
        insert into balances (account, asset, amount) values (new.account, new.asset, 0) on conflict do nothing;
        update balances set amount = amount + new.amount where account = new.account and asset = new.asset;
    end if;
    return null;
end $$;
create trigger keep_balance after insert on postings for each row execute function ledger_keep_balance();
create function ledger_refuse_hand() returns trigger language plpgsql as $$
begin
    if pg_trigger_depth() < 2 then
        raise exception 'balances are kept by the ledger alone' using errcode = 'restrict_violation';
    end if;
    return coalesce(new, old);
end $$;
create trigger kept_by_postings before insert or update or delete on balances
    for each row execute function ledger_refuse_hand();
create trigger never_emptied before truncate on balances execute function ledger_refuse_change();
"""

BACKWARDS = """
drop table balances, postings, journals;
drop function ledger_refuse_change(), ledger_stamp_journal(), ledger_check_posting(), ledger_check_sum(),
              ledger_check_sum_of_posting(), ledger_keep_balance(), ledger_refuse_hand();
"""


async def forwards() -> MigrationManager:
    """Add the rules."""
    manager = MigrationManager(migration_id=ID, app_name="megilance", description=DESCRIPTION)
    manager.add_raw(script(FORWARDS))
    manager.add_raw_backwards(script(BACKWARDS))
    return manager
