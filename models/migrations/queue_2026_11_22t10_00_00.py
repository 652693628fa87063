"""The queue's tables: raw SQL, because `jobs` is partitioned by its primary key and `job_live` has storage settings."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager

from models.guard import script

ID = "2026-11-22T10:00:00:000001"
VERSION = "1.38.0"
DESCRIPTION = "Queue, events and inbox"

FORWARDS = """
-- Facts: written when a job is made and when it ends. Partitioned by id, whose first 48 bits are its time.
create table jobs (
    id uuid primary key,
    kind text not null,
    version smallint not null,
    payload jsonb not null,
    queue text not null,
    caller_id bigint,
    cause uuid,
    request_id text,
    status smallint not null default 0,
    attempts smallint not null default 0,
    result jsonb,
    error_code text,
    error_detail text,
    error_data jsonb,
    created_at timestamptz not null default now(),
    started_at timestamptz,
    finished_at timestamptz
) partition by range (id);
create index jobs_caller on jobs (caller_id, id desc) where caller_id is not null;

-- A month's partition is named for it; bounds are the smallest UUIDv7 of its first millisecond and of the next month's.
-- It is made beside and attached, because `create table … partition of` would lock every reader of `jobs` out.
create function uuid7_floor(at timestamptz) returns uuid language sql immutable as $$
    select (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '70008000000000000000')::uuid
$$;
create function make_jobs_partition(month date) returns text language plpgsql as $$
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
select make_jobs_partition((date_trunc('month', now() at time zone 'UTC') + make_interval(months => n))::date)
  from generate_series(-1, 2) n;

-- What waits and runs, and nothing else: narrow rows, updated in place (status is in no index, so updates stay HOT).
-- `attempts` counts the tries that ended by themselves, `lost` the workers that died with the job in hand.
create table job_live (
    job_id uuid primary key,
    queue text not null,
    status smallint not null default 0 check (status in (0, 1)),
    run_at timestamptz not null default now(),
    claim_no integer not null default 0,
    attempts smallint not null default 0,
    worker_id uuid,
    deadline timestamptz,
    started_at timestamptz,
    lost smallint not null default 0,
    error_code text,
    error_detail text
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
        autovacuum_vacuum_cost_delay = 0);
create index job_live_queue_run_at on job_live (queue, run_at);

create table job_keys (key text primary key, job_id uuid not null, created_at timestamptz not null default now());

create table workers (
    id uuid primary key,
    beat bigint not null default 1,
    host text not null default '',
    pid integer not null default 0,
    queues text[] not null default '{}',
    release text not null default '',
    started_at timestamptz not null default now()
) with (fillfactor = 50);

-- What browsers are told. `seq` is given by the relay after the commit, so no business transaction waits for a counter.
create table events (
    id bigint generated always as identity primary key,
    audience text not null,
    seq bigint,
    name text not null,
    payload jsonb not null,
    relayed boolean not null default false,
    created_at timestamptz not null default now(),
    unique (audience, seq)
);
create index events_unnumbered on events (id) where seq is null;
create index events_unrelayed on events (id) where not relayed;
create index events_created on events (created_at);
create table event_heads (audience text primary key, last_seq bigint not null) with (fillfactor = 50);

create table inbox (
    id bigint generated always as identity primary key,
    provider text not null,
    external_id text not null,
    kind text not null,
    payload jsonb not null,
    received_at timestamptz not null default now(),
    handled_at timestamptz,
    outcome text,
    unique (provider, external_id)
);
"""

BACKWARDS = """
drop table inbox, event_heads, events, workers, job_keys, job_live, jobs;
drop function make_jobs_partition(date);
drop function uuid7_floor(timestamptz);
"""


async def forwards() -> MigrationManager:
    """Make the tables."""
    manager = MigrationManager(migration_id=ID, app_name="megilance", description=DESCRIPTION)
    manager.add_raw(script(FORWARDS))
    manager.add_raw_backwards(script(BACKWARDS))
    return manager
