"""The whole way of a job with DATABASE_URL behind a transaction pooler: asked for, worked, waited for, told."""

import asyncio
import os
from collections.abc import AsyncIterator

import pytest

import settings
from models import events, guard
from models.pooler import Pooled, engine_config
from tests import factories
from tests.api.callers import body_of, calling
from tests.api.conftest import create_app
from tests.stripe_sandbox import StripeSandbox
from tests.tasks.conftest import Start, until
from tests.transaction_pooler import TransactionPooler, a_pooler

ACCOUNTS = 3


@pytest.fixture
async def pooler(stripe: StripeSandbox, database: str) -> AsyncIterator[TransactionPooler]:
    """A pooler of three sessions, and this process' pool behind it."""
    import piccolo_conf

    direct = piccolo_conf.DB.config
    async with a_pooler(database, size=3) as (made, url):
        os.environ["DATABASE_URL"] = url
        settings.load.cache_clear()
        await guard.close_pool()
        piccolo_conf.DB.config = engine_config(url, is_pooled=settings.load().database.is_pooled)
        await guard.open_pool(max_size=8)
        yield made
        await guard.close_pool()
    os.environ["DATABASE_URL"] = database
    piccolo_conf.DB.config = direct
    settings.load.cache_clear()
    await guard.open_pool()


async def test_a_job_is_asked_for_worked_waited_for_and_told_through_a_pooler(pooler: TransactionPooler, start: Start):
    assert guard.engine().config["connection_class"] is Pooled
    start("tasks.launch", "--queues", "payments")
    start("tasks.relay")
    app = create_app()
    async with app.lifespan():
        people = [await factories.a_freelancer(payouts_ready=False) for _ in range(ACCOUNTS)]
        callers = [await calling(app, one) for one in people]
        answers = await asyncio.gather(
            *(one.post("/api/stripe/accounts", headers={"Prefer": "wait=20"}) for one in callers)
        )
        opened = [body_of(answer, answer.status_code) for answer in answers]
        assert {answer.status_code for answer in answers} <= {200, 201}, opened
        for caller in callers:
            await caller.aclose()

        async def told() -> bool:
            return bool(await guard.value("select not exists (select 1 from events where not relayed)"))

        await until(told, what="relaying")
        for person in people:
            heard = await events.after(events.user(person.id), 0, limit=10)
            assert (heard[0].seq, heard[0].name) == (1, "job_update")
        assert await guard.value("select count(*) from jobs where status = 2") == ACCOUNTS
        assert await guard.value("select count(*) from users where stripe_account_id is not null") == ACCOUNTS
        assert await guard.value("select count(*) from pg_prepared_statements") == 0
    assert pooler.free == pooler.size
    assert pooler.lent > 30
