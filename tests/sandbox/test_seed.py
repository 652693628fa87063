"""The made-up marketplace: the same every time, true to the service's rules, and never among real people."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from models import guard
from models.ledger.proof import prove
from sandbox.seed import market
from sandbox.seed.loading import Loader
from sandbox.seed.market import LEDGER, TABLES, UNTIL, SeedRefused, load
from sandbox.seed.people import PASSWORD, email
from sandbox.seed.plan import FIRST_CLIENT, SIZES, Size
from tests import factories
from tests.conftest import _admin, _renamed
from tests.models.test_migrations import shape
from tests.servers import Servers
from wire.passwords import verify_password

ROOT = Path(__file__).resolve().parents[2]
TINY = Size(users=60, projects=80, proposals=160, messages=300, tickets=8, favorites=20)

# A journal remembers the transaction that made it: a number of the database's own.
SUM = """select count(*) || ':' || coalesce(sum(hashtextextended((to_jsonb(t) - 'made_in')::text, 0)), 0) from {} t"""


async def sums(url: str) -> dict[str, str]:
    connection = await asyncpg.connect(url)
    try:
        names = [*TABLES, "balances", "categories", "skills"]
        return {name: await connection.fetchval(SUM.format(name)) for name in names}
    finally:
        await connection.close()


async def value(sql: str) -> Any:
    return await guard.value(sql)


async def test_the_same_seed_gives_the_same_data_and_another_one_others(
    database: str, servers: Servers, template: str
) -> None:
    names = ["seeded_twin", "seeded_other"]
    await _admin(servers.database_url, *(f"create database {name} template {template}" for name in names))
    twin, other = (_renamed(servers.database_url, name) for name in names)
    try:
        counts = await load(database, SIZES["small"])
        await load(twin, SIZES["small"])
        await load(other, TINY, seed=2)
        first, second, third = await sums(database), await sums(twin), await sums(other)
    finally:
        await _admin(servers.database_url, *(f"drop database {name} with (force)" for name in names))
    assert first == second
    assert all(first[table] != third[table] for table in TABLES)
    assert {table: first[table].split(":")[0] for table in TABLES} == {table: str(counts[table]) for table in TABLES}
    wanted = {"users": 500, "projects": 1_000, "proposals": 2_000, "messages": 5_000}
    assert {table: round(counts[table], -3 if count > 500 else 0) for table, count in wanted.items()} == wanted
    assert counts["payments"] + counts["releases"] > 2_500


async def test_what_is_loaded_keeps_the_rules_of_the_service(database: str) -> None:
    before = await shape()
    await load(database, TINY)
    assert await shape() == before
    proof = await prove()
    assert proof.differences == []
    assert proof.journals > 50
    assert await value("select max(created_at) from messages") <= UNTIL
    wrong = {
        "a project of a category that the service does not have": """
            select distinct category from projects where category not in (select slug from categories)""",
        "a rating that is not the sum of what is shown": """
            select u.id from users u left join reviews r on r.reviewee = u.id and r.status = 'shown'
             group by u.id having (u.rating_sum, u.rating_count) <> (coalesce(sum(r.rating), 0), count(r.id))""",
        "a freelancer who has completed another number of contracts": """
            select u.id from users u left join contracts c on c.freelancer = u.id and c.status = 'completed'
             group by u.id having u.completed_contracts <> count(c.id)""",
        "a chat whose numbers have gaps, or that ends elsewhere": """
            select c.id from conversations c join messages m on m.conversation = c.id group by c.id
            having (c.last_seq, c.last_at) <> (count(*), max(m.created_at)) or max(m.seq) <> count(*)""",
        "somebody who has read what is unread": """
            select m.id from messages m
              join conversation_members k on k.conversation = m.conversation and k."user" = m.receiver
             where (m.read_at is not null) <> (m.seq <= k.read_seq)""",
        "a project that stands elsewhere than its contract": """
            select c.id from contracts c join projects p on p.id = c.project
             where (c.status, p.status) not in (('pending_signature', 'in_progress'), ('active', 'in_progress'),
                                                ('completed', 'completed'), ('cancelled', 'cancelled'))""",
        "a contract that is not what was accepted": """
            select c.id from contracts c join proposals o on o.id = c.proposal
             where o.status <> 'accepted' or (o.bid_minor, o.freelancer) <> (c.amount_minor, c.freelancer)""",
        "milestones that do not add up": """
            select c.id from contracts c join milestones m on m.contract = c.id
             group by c.id having sum(m.amount_minor) <> c.amount_minor""",
        "somebody who works for themselves": "select id from contracts where client = freelancer",
        "a word before its contract ended": """
            select r.id from reviews r join contracts c on c.id = r.contract where r.created_at < c.completed_at""",
    }
    assert {what: await guard.rows(sql) for what, sql in wrong.items()} == {what: [] for what in wrong}


async def test_life_goes_on_where_the_data_end(database: str) -> None:
    await factories.a_client()
    await load(database, TINY)
    client, freelancer = await factories.a_client(), await factories.a_freelancer()
    contract = await factories.a_contract(client, freelancer)
    assert client.id == await value("select count(*) from users") - 1
    assert contract.id == await value("select count(*) from contracts")
    assert (await prove()).differences == []
    address = email(FIRST_CLIENT)
    known = await guard.value("select password_hash from users where email = $1 and role = 'client'", address)
    assert await verify_password(PASSWORD, known) == (True, None)


async def test_made_up_people_are_not_mixed_with_others(database: str) -> None:
    for _ in range(market.MOST_USERS + 1):
        await factories.a_client()
    before = await sums(database)
    with pytest.raises(SeedRefused, match="There are more than 9 people"):
        await load(database, TINY)
    assert await sums(database) == before


async def test_a_database_that_was_not_migrated_is_refused(servers: Servers, database: str) -> None:
    await _admin(servers.database_url, "create database not_migrated")
    try:
        with pytest.raises(SeedRefused, match="has not been migrated"):
            await load(_renamed(servers.database_url, "not_migrated"), TINY)
    finally:
        await _admin(servers.database_url, "drop database not_migrated with (force)")


async def test_a_load_that_fails_leaves_everything_as_it_was(database: str) -> None:
    before = await shape(), await sums(database)
    connection = await asyncpg.connect(database)
    loader = Loader(connection, UNTIL, TABLES, keep_indexes=LEDGER)

    async def load_half() -> None:
        async with loader:
            await loader.fill("users", "email email_key role", [("a@b.test", "a@b.test", "client")] * 2)

    with pytest.raises(asyncpg.UniqueViolationError):
        await load_half()
    await connection.close()
    assert (await shape(), await sums(database)) == before


def test_production_is_refused_in_a_sentence(database: str) -> None:
    command = [sys.executable, "-m", "sandbox.seed", "--database-url", database]
    environment = {**os.environ, "ENVIRONMENT": "production"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "ENVIRONMENT is `production`: made-up people are for a desk.\n")


def test_the_command_says_what_there_is(database: str) -> None:
    command = [sys.executable, "-m", "sandbox.seed", "--size", "small", "--until", "2026-01-01"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{'projects':24}{1_000:>12,}" in done.stdout.splitlines()
    assert done.stdout.splitlines()[-1].endswith(PASSWORD)
