"""What the marketplace needs and Piccolo cannot say: rules, search vectors, exclusion constraints, partial indexes."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager

from models.guard import script

ID = "2026-11-23T03:00:00:000001"
VERSION = "1.38.0"
DESCRIPTION = "Rules, search and indexes of the marketplace"

FORWARDS = """
-- The business clock: the real one, but for what a sandbox has added.
create table business_clock (
    only_one boolean primary key default true check (only_one),
    ahead interval not null default '0' check (ahead >= '0')
);
create function business_now() returns timestamptz stable language sql as
    $$ select now() + coalesce((select ahead from business_clock), interval '0') $$;

alter table timers add check (kind ~ '^[a-z_]+\\.[a-z_]+$');
create unique index timers_one_waits on timers (kind, subject_id) where fired_at is null;
create index timers_due on timers (due_at) where fired_at is null;
create index timers_fired on timers (fired_at) where fired_at is not null;

-- States that are new.
alter table milestones drop constraint milestones_status_check,
    add check (status in ('pending', 'funding', 'funded', 'submitted', 'changes_requested', 'disputed', 'releasing',
                          'released', 'settling', 'cancelled'));
alter table users
    add check (quiet_from_minute <> quiet_to_minute),
    add check (hourly_rate_minor > 0), add check ((hourly_rate_minor is null) = (rate_currency is null)),
    add check (rating_count >= 0), add check (cardinality(skills) <= 50),
    add check (quiet_from_minute between 0 and 1439), add check (quiet_to_minute between 0 and 1439),
    add check ((quiet_from_minute is null) = (quiet_to_minute is null));
alter table proposals add check (weekly_hours between 1 and 168);
alter table contracts
    add check (budget_type in ('fixed', 'hourly')),
    add check ((budget_type = 'hourly') = (weekly_cap_minutes is not null)),
    add check (weekly_cap_minutes between 60 and 10080);
alter table notifications add check (times > 0);
create unique index notifications_collapse on notifications ("user", collapse_key)
    where read_at is null and collapse_key is not null;
-- The unread ones are counted, and listed newest first.
drop index idx_notifications_user_unread;
create index idx_notifications_user_unread on notifications ("user", id desc) where read_at is null;

alter table project_invitations add check (status in ('sent', 'accepted', 'declined')),
    add unique (project, freelancer);
alter table saved_searches add check (budget_type in ('fixed', 'hourly'));
alter table saved_search_matches add unique (search, project);
alter table favorites add check (num_nonnulls(project, freelancer) = 1);
create unique index favorites_one_project on favorites ("user", project) where project is not null;
create unique index favorites_one_freelancer on favorites ("user", freelancer) where freelancer is not null;
alter table counter_offers
    add check (status in ('open', 'accepted', 'declined', 'superseded', 'withdrawn')),
    add check (bid_minor > 0), add check (delivery_days > 0);
create unique index counter_offers_one_open on counter_offers (proposal) where status = 'open';
create index proposals_of_freelancer on proposals (freelancer, id desc);
create index contracts_of_client on contracts (client, id desc);
create index contracts_of_freelancer on contracts (freelancer, id desc);

alter table refund_requests add check (status in ('open', 'accepted', 'declined', 'withdrawn')),
    add check (amount_minor > 0);
create unique index refund_requests_one_open on refund_requests (milestone) where status = 'open';
alter table settlements
    add check (status in ('due', 'done', 'void')), add check (cause in ('refund_request', 'dispute')),
    add check (freelancer_minor >= 0 and client_minor >= 0 and freelancer_minor + client_minor > 0);
create unique index settlements_one_live on settlements (milestone) where status <> 'void';
create index settlements_due on settlements (id) where status = 'due';

-- Nobody works at two things at once, whatever contracts they have.
create extension if not exists btree_gist;
alter table time_weeks add check (status in ('open', 'in_review', 'approved', 'billed')),
    add check (extract(isodow from monday) = 1), add unique (contract, monday);
alter table time_entries
    add check (status in ('running', 'draft', 'submitted', 'approved', 'rejected', 'invoiced')),
    add check ((status = 'running') = (ended_at is null)), add check (ended_at > started_at),
    add constraint time_entries_no_overlap
        exclude using gist (freelancer with =, tstzrange(started_at, ended_at) with &&) where (status <> 'rejected');
create index idx_time_entries_project_date on time_entries (project, started_at desc);
create unique index time_entries_one_clock on time_entries (freelancer) where ended_at is null;

alter table disputes add check (status in ('open', 'evidence', 'mediation', 'resolved', 'appealed', 'closed')),
    add check (opener <> other_party), add check (share_bp between 0 and 10000),
    add check (reason in ('not_delivered', 'not_as_described', 'quality', 'late', 'unpaid_work', 'other'));
create unique index disputes_one_open on disputes (milestone) where status <> 'closed';
create index disputes_by_status on disputes (status, id desc);
create index disputes_decided_by on disputes (decided_by) where decided_by is not null;
create index disputes_appealed_by on disputes (appealed_by) where appealed_by is not null;

alter table reviews add check (status in ('hidden', 'shown')), add check (rating between 1 and 5),
    add check (reviewer <> reviewee), add unique (contract, reviewer);
create index idx_reviews_reviewee_rating on reviews (reviewee, rating);
create index reviews_shown on reviews (reviewee, id desc) where status = 'shown';

alter table support_tickets
    add check (status in ('open', 'in_progress', 'waiting', 'resolved', 'closed')),
    add check (priority in ('low', 'normal', 'high', 'urgent')),
    add check (category in ('account', 'payment', 'project', 'dispute', 'bug', 'other'));
create index idx_support_tickets_status_priority on support_tickets (status, priority, id desc);
create index support_tickets_queue
    on support_tickets (status, array_position(array['urgent', 'high', 'normal', 'low'], priority), id);

alter table conversations add check (low < high), add unique (low, high), add check (last_seq >= 0);
alter table conversation_members add unique (conversation, "user");
alter table user_blocks add check (blocker <> blocked), add unique (blocker, blocked);
alter table messages add check (sender <> receiver), add check (seq > 0), add unique (conversation, seq);
create unique index messages_once on messages (sender, client_id) where client_id is not null;
create index idx_messages_receiver_unread on messages (receiver, conversation, seq) where read_at is null;
create index messages_project on messages (project) where project is not null;
-- Whoever may see a file that was sent along finds the message by it.
create index messages_attached on messages using gin (attachment_ids) where attachment_ids <> '{}';
alter table messages add check (cardinality(attachment_ids) <= 10);
alter table conversation_members add check (read_seq >= 0);
-- One's chats by their last message; a chat without one is listed for nobody.
create index conversations_of_low on conversations (low, last_at desc, id desc) where last_at is not null;
create index conversations_of_high on conversations (high, last_at desc, id desc) where last_at is not null;

-- Stores a message: takes the chat's row, gives the next number. The caller has locked the sender's account, so that
-- one sender's messages come one after the other and `(sender, client_id)` is looked up without a rival.
-- What came before is read by whoever answers: above `read_seq` there are only the other side's messages, and
-- `last_seq - read_seq` of a side is exactly how many of them are not read.
create function send_message(
    chat bigint, writer bigint, words text, own_name text, about bigint, files bigint[]
) returns table (outcome text, message_id bigint, reader_id bigint, passed bigint)
language plpgsql as $$
declare
    held conversations;
    old messages;
    side conversation_members;
    reader bigint;
    made bigint;
begin
    select * into held from conversations c where c.id = chat and writer in (c.low, c.high) for no key update;
    if not found then
        return query select 'absent', null::bigint, null::bigint, null::bigint;
        return;
    end if;
    reader := case when held.low = writer then held.high else held.low end;
    select * into old from messages m where m.sender = writer and m.client_id = own_name;
    if found then
        -- One that was edited or taken back meanwhile is still the one that was sent.
        return query select case when old.conversation = chat and (old.edited_at is not null
                                      or old.deleted_at is not null
                                      or (old.content = words and old.attachment_ids = files
                                          and old.project is not distinct from about))
                                 then 'repeated' else 'reused' end, old.id, reader, null::bigint;
        return;
    end if;
    if exists (select from users u where u.id = reader
                  and (u.suspended_at is not null or u.deactivated_at is not null or u.erased_at is not null)) then
        return query select 'gone', null::bigint, reader, null::bigint;
        return;
    end if;
    if exists (select from user_blocks b where b.blocker = writer and b.blocked = reader)
       or exists (select from user_blocks b where b.blocker = reader and b.blocked = writer) then
        return query select 'blocked', null::bigint, reader, null::bigint;
        return;
    end if;
    if about is not null and not exists (select from projects p where p.id = about) then
        return query select 'untagged', null::bigint, reader, null::bigint;
        return;
    end if;
    update conversations c set last_seq = held.last_seq + 1, last_at = business_now() where c.id = chat;
    insert into messages (conversation, seq, sender, receiver, content, client_id, project, attachment_ids, created_at)
    values (chat, held.last_seq + 1, writer, reader, words, own_name, about, files, business_now())
    returning id into made;
    select * into side from conversation_members s where s.conversation = chat and s."user" = writer;
    update conversation_members s set read_seq = held.last_seq + 1 where s.id = side.id;
    return query select 'sent', made, reader, held.last_seq - side.read_seq;
end $$;

alter table uploads add check (purpose in ('avatar', 'portfolio', 'deliverable', 'attachment', 'evidence')),
    add check (status in ('awaiting', 'checking', 'ready', 'refused', 'expired')), add check (size_bytes > 0);
-- Who shows a file: asked whenever one is looked at. Most rows show none.
create index milestones_attachments on milestones using gin (attachment_ids) where attachment_ids <> '{}';
create index dispute_evidence_attachments on dispute_evidence using gin (attachment_ids) where attachment_ids <> '{}';
alter table invoices add check (kind in ('work', 'fee')), add check (amount_minor > 0),
    add check ((year is null) = (number is null)), add check (number > 0),
    add unique (year, number), add unique (milestone, kind);
create index invoices_unnumbered on invoices (id) where number is null;
create index invoices_unrendered on invoices (id) where number is not null and pdf is null;

create index idx_payments_user_created on payments (payer, created_at desc);
create index idx_audit_logs_user_created on audit_log (actor_id, at desc);

-- Search. Words are stemmed as English and lose their accents; an index may only hold what never changes, so unaccent
-- is called with its dictionary's full name.
create extension if not exists unaccent;
create function plain(words text) returns text immutable strict parallel safe language sql as
    $$ select public.unaccent('public.unaccent'::regdictionary, words) $$;
create function joined(words text[]) returns text immutable strict parallel safe language sql as
    $$ select array_to_string(words, ' ') $$;
create function lowered(words text[]) returns text[] immutable strict parallel safe language sql as
    $$ select coalesce(array_agg(lower(word)), '{}') from unnest(words) word $$;
alter table projects add column search tsvector generated always as (
    setweight(to_tsvector('english', plain(title)), 'A')
    || setweight(to_tsvector('english', plain(joined(skills) || ' ' || category)), 'B')
    || setweight(to_tsvector('english', plain(left(description, 20000))), 'C')) stored;
-- No pending list: what waits in one would be read anew by every search.
create index projects_search on projects using gin (search) with (fastupdate = off)
    where status = 'open' and visibility = 'public';
alter table projects add column skill_keys text[] generated always as (lowered(skills)) stored;
create index projects_skills on projects using gin (skill_keys) with (fastupdate = off)
    where status = 'open' and visibility = 'public';
create index projects_category on projects (lower(category), id desc) where status = 'open' and visibility = 'public';
create index projects_budget_max on projects (currency, budget_max_minor, id)
    where status = 'open' and visibility = 'public';
create index projects_budget_min on projects (currency, budget_min_minor, id)
    where status = 'open' and visibility = 'public';
create index projects_deadline on projects (coalesce(deadline, date '9999-12-31'), id)
    where status = 'open' and visibility = 'public';
create index projects_status on projects (status, id desc);
create index projects_of_client on projects (client, id desc);
-- Both sides of a message and its words in one index: one person's few messages are found among everybody's, however
-- common the word. What is waiting to be sorted in is looked through by every search, so little may wait.
create index messages_search on messages using gin ((array[sender, receiver]), to_tsvector('english', plain(content)))
    with (gin_pending_list_limit = 256);
create index invitations_of_freelancer on project_invitations (freelancer, id desc);
-- What somebody seeks, read once when it is kept and not again for every project.
alter table saved_searches add column wanted tsquery
    generated always as (websearch_to_tsquery('english', plain(q))) stored;
create index mails_alerts on mails ("user", created_at) where kind = 'saved_search_alert';
alter table users add column search tsvector generated always as (
    setweight(to_tsvector('simple', plain(first_name || ' ' || last_name)), 'A')
    || setweight(to_tsvector('english', plain(first_name || ' ' || last_name)), 'A')
    || setweight(to_tsvector('english', plain(headline)), 'A')
    || setweight(to_tsvector('english', plain(joined(skills))), 'B')
    || setweight(to_tsvector('english', plain(about)), 'C')) stored;

-- Freelancers whom anybody finds: models/freelancers.py asks with this very condition. One index for each order of the
-- list, and one for each filter that may leave few of them.
create index freelancers_newest on users (id desc) where role = 'freelancer' and email_verified_at is not null
    and suspended_at is null and deactivated_at is null and erased_at is null;
create index freelancers_rating on users (
    (coalesce(rating_sum::bigint * 1000000 / nullif(rating_count, 0), 0)) desc, id desc)
    where role = 'freelancer' and email_verified_at is not null
    and suspended_at is null and deactivated_at is null and erased_at is null;
create index freelancers_rate on users (rate_currency, hourly_rate_minor, id)
    where role = 'freelancer' and email_verified_at is not null
    and suspended_at is null and deactivated_at is null and erased_at is null;
create index freelancers_country on users (country, id desc) where role = 'freelancer' and email_verified_at is not null
    and suspended_at is null and deactivated_at is null and erased_at is null;
create index freelancers_available on users (is_available, id desc)
    where role = 'freelancer' and email_verified_at is not null
    and suspended_at is null and deactivated_at is null and erased_at is null;
create index freelancers_search on users using gin (search) with (fastupdate = off)
    where role = 'freelancer' and email_verified_at is not null
    and suspended_at is null and deactivated_at is null and erased_at is null;
create index freelancers_skills on users using gin (lowered(skills)) with (fastupdate = off)
    where role = 'freelancer' and email_verified_at is not null
    and suspended_at is null and deactivated_at is null and erased_at is null;

-- The words that projects and freelancers use, for whoever mistypes one.
create extension if not exists fuzzystrmatch;
create table search_words (
    word text primary key,
    uses integer not null
);
create index search_words_alike on search_words using gin (word gin_trgm_ops);
create index search_words_begin on search_words (word text_pattern_ops);

-- The words of the market: suggestions, so that two people write the same one.
insert into categories (slug, name, position) values
    ('web-development', 'Web development', 1),
    ('mobile-development', 'Mobile apps', 2),
    ('desktop-software', 'Desktop software', 3),
    ('game-development', 'Games', 4),
    ('data-engineering', 'Data engineering', 5),
    ('data-science', 'Data science and analytics', 6),
    ('machine-learning', 'Machine learning and AI', 7),
    ('devops', 'DevOps and cloud', 8),
    ('security', 'IT security', 9),
    ('testing', 'Testing and quality', 10),
    ('ui-ux-design', 'UI and UX design', 11),
    ('graphic-design', 'Graphic design and branding', 12),
    ('illustration', 'Illustration and animation', 13),
    ('video-audio', 'Video and audio', 14),
    ('writing', 'Writing and editing', 15),
    ('translation', 'Translation and localisation', 16),
    ('marketing', 'Marketing and search engines', 17),
    ('sales-support', 'Sales and customer support', 18),
    ('finance', 'Accounting and finance', 19),
    ('legal', 'Legal', 20),
    ('engineering', 'Engineering and architecture', 21),
    ('admin-support', 'Virtual assistance', 22);
-- A skill's slug is its name in small letters and hyphens; the few names whose signs matter are spelled out.
insert into skills (name, slug) select name, trim(both '-' from regexp_replace(
    replace(replace(replace(lower(name), 'c++', 'cpp'), 'c#', 'csharp'), '.net', '-dotnet'), '[^a-z0-9]+', '-', 'g'))
from (values
    ('Python'), ('JavaScript'), ('TypeScript'), ('Java'), ('Kotlin'), ('Swift'), ('C#'), ('C++'), ('C'), ('Go'),
    ('Rust'), ('Ruby'), ('PHP'), ('Scala'), ('Elixir'), ('Dart'), ('R'), ('MATLAB'), ('Perl'), ('Haskell'), ('Lua'),
    ('Bash'), ('SQL'), ('PostgreSQL'), ('MySQL'), ('SQLite'), ('MongoDB'), ('Redis'), ('Elasticsearch'),
    ('Cassandra'), ('Oracle Database'), ('Microsoft SQL Server'), ('Snowflake'), ('BigQuery'), ('HTML'), ('CSS'),
    ('Sass'), ('Tailwind CSS'), ('Bootstrap'), ('React'), ('Next.js'), ('Vue.js'), ('Nuxt'), ('Angular'), ('Svelte'),
    ('jQuery'), ('Node.js'), ('Express'), ('NestJS'), ('Django'), ('Flask'), ('FastAPI'), ('Ruby on Rails'),
    ('Laravel'), ('Symfony'), ('Spring Boot'), ('ASP.NET'), ('WordPress'), ('WooCommerce'), ('Shopify'), ('Magento'),
    ('Drupal'), ('Webflow'), ('GraphQL'), ('REST APIs'), ('WebSockets'), ('Stripe integration'), ('React Native'),
    ('Flutter'), ('iOS'), ('Android'), ('Jetpack Compose'), ('SwiftUI'), ('Unity'), ('Unreal Engine'), ('Godot'),
    ('Blender'), ('Electron'), ('Qt'), ('Docker'), ('Kubernetes'), ('Terraform'), ('Ansible'), ('AWS'),
    ('Google Cloud'), ('Microsoft Azure'), ('Linux administration'), ('Nginx'), ('CI/CD'), ('GitHub Actions'),
    ('Jenkins'), ('Prometheus'), ('Grafana'), ('Kafka'), ('RabbitMQ'), ('Apache Spark'), ('Airflow'), ('dbt'),
    ('Pandas'), ('NumPy'), ('scikit-learn'), ('PyTorch'), ('TensorFlow'), ('Natural language processing'),
    ('Computer vision'), ('Large language models'), ('Data visualisation'), ('Power BI'), ('Tableau'), ('Excel'),
    ('Statistics'), ('Web scraping'), ('Penetration testing'), ('Cryptography'), ('Selenium'), ('Playwright'),
    ('Cypress'), ('Manual testing'), ('Figma'), ('Sketch'), ('Adobe XD'), ('Wireframing'), ('User research'),
    ('Accessibility'), ('Photoshop'), ('Illustrator'), ('InDesign'), ('Logo design'), ('Brand identity'),
    ('Typography'), ('Packaging design'), ('2D animation'), ('3D modelling'), ('After Effects'), ('Premiere Pro'),
    ('DaVinci Resolve'), ('Audio editing'), ('Voice over'), ('Subtitling'), ('Copywriting'), ('Technical writing'),
    ('Proofreading'), ('Blog writing'), ('Grant writing'), ('English'), ('German'), ('French'), ('Spanish'),
    ('Portuguese'), ('Italian'), ('Arabic'), ('Urdu'), ('Hindi'), ('Chinese'), ('Japanese'),
    ('Search engine optimisation'), ('Google Ads'), ('Social media'), ('Email marketing'), ('Content strategy'),
    ('Market research'), ('Lead generation'), ('Customer support'), ('CRM'), ('Salesforce'), ('HubSpot'),
    ('Bookkeeping'), ('Financial modelling'), ('Tax returns'), ('QuickBooks'), ('Contract law'), ('Data protection'),
    ('AutoCAD'), ('SolidWorks'), ('Electronics'), ('Embedded systems'), ('Arduino'), ('Project management'),
    ('Scrum'), ('Data entry'), ('Solidity'), ('Ethereum')
) named(name);

-- Indexes that the query plans ask for
create index favorites_newest on favorites ("user", id desc);
create index support_tickets_assigned on support_tickets
    (assignee, array_position(array['urgent', 'high', 'normal', 'low'], priority), id) where assignee is not null;
"""

BACKWARDS = """
drop index favorites_newest, support_tickets_assigned;
drop table search_words, business_clock;
delete from skills;
delete from categories;
drop index freelancers_newest, freelancers_rating, freelancers_rate, freelancers_country, freelancers_available,
    freelancers_skills;
alter table users drop column search;
alter table projects drop column search, drop column skill_keys;
alter table saved_searches drop column wanted;
drop index projects_of_client, projects_category, projects_budget_max, projects_budget_min, projects_deadline,
    projects_status, mails_alerts;
drop index messages_search, idx_notifications_user_unread;
create index idx_notifications_user_unread on notifications ("user") where read_at is null;
drop function send_message(bigint, bigint, text, text, bigint, bigint[]);
drop function plain(text), joined(text[]), lowered(text[]), business_now();
alter table milestones drop constraint milestones_status_check,
    add check (status in ('pending', 'funding', 'funded', 'submitted', 'releasing', 'released', 'cancelled'));
drop index proposals_of_freelancer, contracts_of_client, contracts_of_freelancer;
drop index idx_payments_user_created, idx_audit_logs_user_created, notifications_collapse;
"""


async def forwards() -> MigrationManager:
    """Add the rules."""
    manager = MigrationManager(migration_id=ID, app_name="megilance", description=DESCRIPTION)
    manager.add_raw(script(FORWARDS))
    manager.add_raw_backwards(script(BACKWARDS))
    return manager
