"""A database full enough to tell a good plan from a bad one: filled once for all tests of a process that ask for it."""

import asyncio
import os
from collections.abc import Iterator

import asyncpg
import pytest

from sandbox.seed.market import load
from tests.conftest import _admin, _renamed
from tests.models.plans import FILLED, Facts, facts, sizes
from tests.servers import Servers

# What no marketplace is seeded with, so that the plans of its readers are told from small tables' all the same.
MORE = """
insert into audit_log (actor_id, action, subject_kind, subject_id, at)
select 1 + n % 300, 'user.read', 'user', n::text, now() - n * interval '10 minutes' from generate_series(1, 20000) n;
insert into timers (kind, subject_id, due_at)
select 'milestone.approve', n, now() + n * interval '1 minute' from generate_series(1, 12000) n;
insert into project_invitations (project, freelancer, message)
select p.id, u.id, 'Come.' from projects p join users u on u.id = 11 + p.id % 9 where p.id % 4 = 0 and u.role = 'freelancer';
insert into counter_offers (proposal, author, bid_minor, delivery_days, message, status)
select id, freelancer, bid_minor, 9, '', 'declined' from proposals where id % 5 = 0;
insert into portfolio_items ("user", title, description, position)
select id, 'A work', 'Of mine', n from users, generate_series(1, 2) n where id % 3 > 0;
insert into user_blocks (blocker, blocked)
select 1 + n % 500, 501 + n / 500 from generate_series(0, 12000) n;
insert into mails (key, kind, "user", status)
select 'x:' || n, case when n % 9 = 0 then 'saved_search_alert' else 'message_received' end, 1 + n % 5000, 'sent'
  from generate_series(1, 20000) n;
insert into invoices (kind, contract, milestone, seller, seller_name, buyer, buyer_name, description, amount_minor,
                      currency, issued_at, year, number)
select 'work', c.id, m.id, c.freelancer, 'S', c.client, 'B', m.title, m.amount_minor, m.currency, m.created_at, 2026,
       row_number() over ()
  from milestones m join contracts c on c.id = m.contract where m.status = 'released' and m.id % 4 = 0;
insert into refund_requests (milestone, client, amount_minor, currency, reason, status)
select m.id, c.client, m.amount_minor, m.currency, '', 'declined'
  from milestones m join contracts c on c.id = m.contract where m.id % 6 = 0;
insert into uploads ("user", purpose, filename, content_type, size_bytes, object_key, status)
select 1 + n % 5000, (array['portfolio', 'deliverable', 'attachment', 'evidence'])[1 + n % 4], 'a.png', 'image/png', 9,
       'x/' || n, 'ready' from generate_series(1, 12000) n;
insert into saved_searches ("user", name, q, category)
select 1 + n % 5000, 'Mine', case when n % 2 = 0 then 'website' end, case when n % 2 = 1 then 'writing' end
  from generate_series(1, 12000) n;
insert into search_words (word, uses)
select word, ndoc from ts_stat($$ select to_tsvector('simple', title) from projects $$) on conflict do nothing;
insert into sessions (id, "user") select gen_random_uuid(), 1 + n % 5000 from generate_series(1, 20000) n;
insert into security_events ("user", kind, ip_address, network, user_agent)
select 1 + n % 5000, 'signed_in', '', '', '' from generate_series(1, 20000) n;
"""


async def fill(url: str) -> tuple[Facts, dict[str, int]]:
    """Fill a migrated database; returns what is known of it and how large its tables are."""
    await load(url, FILLED)
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(MORE)
        await connection.execute("vacuum analyze")
        return await facts(connection), await sizes(connection)
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def filled(servers: Servers, template: str) -> Iterator[tuple[str, Facts, dict[str, int]]]:
    """The URL of the filled database, what is known of it, and how large its tables are."""
    name = f"filled_{os.getpid()}"
    url = _renamed(servers.database_url, name)
    asyncio.run(_admin(servers.database_url, f"create database {name} template {template}"))
    known, rows = asyncio.run(fill(url))
    yield url, known, rows
    asyncio.run(_admin(servers.database_url, f"drop database {name} with (force)"))
