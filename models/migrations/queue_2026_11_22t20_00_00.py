"""The queue's second half: history, hands of an admin, figures; and the audit log that every such hand leaves."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager

from models.guard import script

ID = "2026-11-22T20:00:00:000001"
VERSION = "1.38.0"
DESCRIPTION = "Attempts, progress, pauses, figures and audit"

FORWARDS = """
-- What the last claim was, so that a retried job's claims go on counting, and who made it, for the history.
alter table jobs
    add column claim_no integer not null default 0,
    add column worker text,
    add column is_dead boolean not null default false;
-- `is_dead` and `error_code` keep their values when a job succeeds, so these indexes cost a success nothing.
create index jobs_dead on jobs (id desc) where is_dead;
create index jobs_error on jobs (error_code, id desc) where error_code is not null;
create index jobs_failed on jobs (id desc) where error_code is not null;
create index jobs_kind on jobs (kind, id desc);

alter table job_live add column progress real, add column bookmark jsonb;

-- Attempts that did not end their job: the one that did is in the job's own row.
create table job_attempts (
    job_id uuid not null,
    claim_no integer not null,
    attempt smallint not null,
    worker text,
    outcome text not null check (outcome in ('retried', 'lost', 'stopped', 'dead')),
    error_code text,
    error_detail text,
    started_at timestamptz,
    ended_at timestamptz not null default clock_timestamp(),
    primary key (job_id, claim_no)
) partition by range (job_id);

create or replace function make_jobs_partition(month date) returns text language plpgsql as $$
declare
    starts timestamptz := date_trunc('month', month::timestamp) at time zone 'UTC';
    ends timestamptz := (date_trunc('month', month::timestamp) + interval '1 month') at time zone 'UTC';
    parent text;
    called text;
begin
    foreach parent in array array['job_attempts', 'jobs'] loop
        called := parent || '_' || to_char(month, 'YYYY_MM');
        if to_regclass(called) is null then
            execute format('create table %I (like %I including defaults including constraints)', called, parent);
            execute format('alter table %I attach partition %I for values from (%L) to (%L)',
                           parent, called, uuid7_floor(starts), uuid7_floor(ends));
        end if;
    end loop;
    return called;
end $$;
-- A database that lives already has partitions of `jobs` further back than a new one needs.
select make_jobs_partition(month) from (
    select to_date(right(c.relname, 7), 'YYYY_MM') as month from pg_inherits i join pg_class c on c.oid = i.inhrelid
     where i.inhparent = 'jobs'::regclass and c.relname ~ '^jobs_[0-9]{4}_[0-9]{2}$') known;

alter table workers
    add column threads integer not null default 0,
    add column running jsonb not null default '[]',
    add column beat_at timestamptz not null default now();

create table queue_pauses (
    queue text primary key,
    paused_by bigint not null,
    reason text not null,
    paused_at timestamptz not null default now()
);
-- The holder of a kind that runs once at a time; it holds only while that claim is live.
create table job_singles (kind text primary key, job_id uuid not null, claim_no integer not null);

-- What each worker has done in a minute, overwritten as the minute goes on. Counts by bucket of `models.queue.minutes`.
create table queue_minutes (
    minute timestamptz not null,
    queue text not null,
    worker_id uuid not null,
    succeeded integer not null,
    failed integer not null,
    retried integer not null,
    waits integer[] not null,
    runs integer[] not null,
    primary key (minute, queue, worker_id)
);
create table schedules (
    name text primary key,
    kind text not null,
    every_s integer not null,
    missed text not null,
    last_slot timestamptz,
    last_job_id uuid,
    next_slot timestamptz not null,
    seen_at timestamptz not null default now()
);
-- The metrics of processes that nobody can scrape, as they last wrote them.
create table process_metrics (
    process_id uuid primary key,
    role text not null,
    host text not null,
    pid integer not null,
    release text not null,
    families jsonb not null,
    written_at timestamptz not null default now()
) with (fillfactor = 50);

-- Who did what with a power that others lack. Written with the change itself, never altered.
create table audit_log (
    id bigint generated always as identity primary key,
    at timestamptz not null default now(),
    actor_id bigint not null,
    action text not null,
    subject_kind text not null,
    subject_id text not null,
    details jsonb not null default '{}',
    request_id text
);
create index audit_log_subject on audit_log (subject_kind, subject_id, id desc);
create function audit_refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'the audit log is append-only: % of %', tg_op, tg_table_name using errcode = 'restrict_violation';
end $$;
create trigger append_only before update or delete on audit_log for each row execute function audit_refuse_change();
create trigger never_emptied before truncate on audit_log execute function audit_refuse_change();
"""

BACKWARDS = """
drop table audit_log, process_metrics, schedules, queue_minutes, job_singles, queue_pauses, job_attempts;
drop function audit_refuse_change();
drop index jobs_dead, jobs_error, jobs_failed, jobs_kind;
alter table jobs drop column claim_no, drop column worker, drop column is_dead;
alter table job_live drop column progress, drop column bookmark;
alter table workers drop column threads, drop column running, drop column beat_at;
create or replace function make_jobs_partition(month date) returns text language plpgsql as $$
declare
    starts timestamptz := date_trunc('month', month::timestamp) at time zone 'UTC';
    ends timestamptz := (date_trunc('month', month::timestamp) + interval '1 month') at time zone 'UTC';
    called text := 'jobs_' || to_char(month, 'YYYY_MM');
begin
    if to_regclass(called) is null then
        execute format('create table %I (like jobs including defaults including constraints)', called);
        execute format('alter table jobs attach partition %I for values from (%L) to (%L)',
                       called, uuid7_floor(starts), uuid7_floor(ends));
    end if;
    return called;
end $$;
"""


async def forwards() -> MigrationManager:
    """Add them."""
    manager = MigrationManager(migration_id=ID, app_name="megilance", description=DESCRIPTION)
    manager.add_raw(script(FORWARDS))
    manager.add_raw_backwards(script(BACKWARDS))
    return manager
