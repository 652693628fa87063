"""What accounts and security need and Piccolo cannot say: rules, partial indexes, notices of who may still enter."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager

from models.guard import script

ID = "2026-11-22T23:00:00:000001"
VERSION = "1.38.0"
DESCRIPTION = "Rules of accounts, idempotency keys, standing, a chained audit log"

FORWARDS = """
alter table users
    add check (country ~ '^[A-Z]{2}$'),
    add check (char_length(headline) <= 200), add check (char_length(about) <= 5000);
-- Admins look people up by a part of a name or an address.
create extension if not exists pg_trgm;
create index users_sought on users
    using gin ((lower(first_name || ' ' || last_name || ' ' || email)) gin_trgm_ops);

create index sessions_newest on sessions ("user", created_at desc);
create index sessions_live on sessions ("user") where revoked_at is null;

alter table mfa_methods add check (method in ('totp', 'sms', 'email', 'webauthn'));
-- One of each kind protects an account at a time, and one waits to be proved; passkeys are as many as one has.
create unique index mfa_methods_one_active on mfa_methods ("user", method)
    where confirmed_at is not null and method <> 'webauthn';
create unique index mfa_methods_one_pending on mfa_methods ("user", method)
    where confirmed_at is null and method <> 'webauthn';
create unique index backup_codes_once on backup_codes (batch, code_hash);
create index security_codes_sent on security_codes ("user", method, created_at desc);
create index security_codes_contact on security_codes (lower(contact), created_at) where purpose = 'enrol';
create index security_codes_age on security_codes (created_at);
create index security_events_newest on security_events ("user", id desc);
create index security_events_network on security_events (network, created_at desc) where kind = 'sign_in_failed';
create index security_events_failures on security_events ("user", created_at desc) where kind = 'sign_in_failed';
create index security_events_age on security_events (created_at);
create index throttles_age on throttles (last_at);
create index sign_in_tickets_age on sign_in_tickets (created_at);
create index passkey_challenges_age on passkey_challenges (created_at);
create index exports_age on exports (expires_at);
create unique index notification_preferences_one on notification_preferences ("user", category);
alter table mails drop constraint mails_status_check,
    add check (status in ('queued', 'sent', 'refused', 'unwanted'));

-- The first request with a key, and what it made; never what it was answered.
create table idempotency_keys (
    user_id bigint not null,
    route text not null,
    key text not null,
    request_hash bytea not null,
    made text,
    created_at timestamptz not null default now(),
    primary key (user_id, route, key)
);
create index idempotency_keys_age on idempotency_keys (created_at);

-- Whose standing has changed: every process reads the last seconds of this and forgets what it believed of them.
-- Written by triggers, so that no way of ending a session can be forgotten. `session_id` null: all of that user's.
create table standing_changes (
    id bigint generated always as identity primary key,
    user_id bigint not null,
    session_id uuid,
    at timestamptz not null default clock_timestamp()
);
create index standing_changes_at on standing_changes (at);
create function note_session_change() returns trigger language plpgsql as $$
begin
    insert into standing_changes (user_id, session_id) values (new."user", new.id);
    return null;
end $$;
create trigger standing after update of revoked_at, proved_at on sessions for each row
    when (old.revoked_at is distinct from new.revoked_at or old.proved_at is distinct from new.proved_at)
    execute function note_session_change();
create function note_user_change() returns trigger language plpgsql as $$
begin
    insert into standing_changes (user_id) values (new.id);
    return null;
end $$;
create trigger standing after update of role, email_verified_at, suspended_at, deactivated_at on users for each row
    when ((old.role, old.email_verified_at, old.suspended_at, old.deactivated_at)
          is distinct from (new.role, new.email_verified_at, new.suspended_at, new.deactivated_at))
    execute function note_user_change();

-- The audit log is chained: a sealing job gives each row its place and a hash over it and the row before it.
alter table audit_log
    add column before jsonb, add column after jsonb, add column seq bigint unique, add column hash bytea,
    add check ((seq is null) = (hash is null));
create index audit_log_unsealed on audit_log (id) where seq is null;
create index audit_log_actor on audit_log (actor_id, id desc);
create index audit_log_action on audit_log (action, id desc);
create or replace function audit_refuse_change() returns trigger language plpgsql as $$
begin
    -- The one change there is: a row that has no place in the chain gets one, and stays what it is.
    if tg_op = 'UPDATE' and old.seq is null and new.seq is not null
       and (to_jsonb(new) - 'seq' - 'hash') = (to_jsonb(old) - 'seq' - 'hash') then
        return new;
    end if;
    raise exception 'the audit log is append-only: % of %', tg_op, tg_table_name using errcode = 'restrict_violation';
end $$;
-- What each sealing left behind: the chain has to reach the newest of these, so its end cannot be cut off unseen.
create table audit_heads (
    seq bigint primary key,
    hash bytea not null,
    at timestamptz not null default clock_timestamp()
);
create trigger append_only before update or delete on audit_heads for each row execute function audit_refuse_change();
create trigger never_emptied before truncate on audit_heads execute function audit_refuse_change();
"""

BACKWARDS = """
drop table audit_heads;
create or replace function audit_refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'the audit log is append-only: % of %', tg_op, tg_table_name using errcode = 'restrict_violation';
end $$;
alter table audit_log drop column before, drop column after, drop column seq, drop column hash;
drop index audit_log_actor, audit_log_action;
drop trigger standing on users;
drop trigger standing on sessions;
drop function note_user_change(), note_session_change();
drop table standing_changes, idempotency_keys;
drop index users_sought, sessions_newest, sessions_live;
alter table users drop constraint users_country_check, drop constraint users_headline_check,
    drop constraint users_about_check;
drop index mfa_methods_one_active, mfa_methods_one_pending, backup_codes_once, security_codes_sent, security_codes_age,
    security_codes_contact,
    security_events_newest, security_events_network, security_events_failures, security_events_age, throttles_age,
    sign_in_tickets_age, passkey_challenges_age, exports_age, notification_preferences_one;
alter table mfa_methods drop constraint mfa_methods_method_check;
-- What nobody wanted has no word of its own any more; nobody is to send it either.
update mails set status = 'refused' where status = 'unwanted';
alter table mails drop constraint mails_status_check, add check (status in ('queued', 'sent', 'refused'));
"""


async def forwards() -> MigrationManager:
    """Add them."""
    manager = MigrationManager(migration_id=ID, app_name="megilance", description=DESCRIPTION)
    manager.add_raw(script(FORWARDS))
    manager.add_raw_backwards(script(BACKWARDS))
    return manager
