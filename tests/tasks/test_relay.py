"""Each event gets one number, gap-free per audience, and is told at least once, whoever dies meanwhile."""

import asyncio
import os
import signal
import time
from collections import defaultdict

import msgspec
import redis.asyncio

from models import events, guard, metrics, outbox
from tasks.relay import TOO_LATE_S
from tests.tasks.conftest import Start, until
from wire.metrics import Family


async def _publish(count: int, *audiences: events.Audience) -> None:
    for n in range(count):
        await guard.commit(outbox.publish, events.ProjectUpdated(project_id=n, status="open"), *audiences)


async def _all_relayed() -> bool:
    return bool(await guard.value("select not exists (select 1 from events where not relayed)"))


async def _numbers() -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for one in await guard.rows("select audience, seq from events order by audience, seq"):
        found[one["audience"]].append(one["seq"])
    return dict(found)


async def test_events_are_numbered_without_gaps_and_published_in_order(database: str, redis_url: str, start: Start):
    client = redis.asyncio.Redis.from_url(redis_url)
    channel = client.pubsub(ignore_subscribe_messages=True)
    await channel.subscribe("mgl:test:events")
    start("tasks.relay")
    await _publish(30, events.user(1), events.project(9))
    await until(_all_relayed, what="relaying")
    assert await _numbers() == {"user:1": list(range(1, 31)), "project:9": list(range(1, 31))}
    assert await events.heads([events.user(1), events.project(9)]) == {"user:1": 30, "project:9": 30}
    heard: dict[str, list[int]] = defaultdict(list)
    while sum(map(len, heard.values())) < 60:
        message = await channel.get_message(timeout=1)
        if message:
            one = msgspec.json.decode(message["data"])
            heard[one["audience"]].append(one["seq"])
            assert (one["name"], one["payload"]["status"]) == ("project_update", "open")
    assert heard == {"user:1": list(range(1, 31)), "project:9": list(range(1, 31))}
    await channel.aclose()
    await client.aclose()


async def test_a_lower_id_that_commits_later_is_numbered_later(database: str, start: Start):
    start("tasks.relay")
    async with guard.transaction():
        await outbox.publish(events.ProjectUpdated(project_id=1, status="slow"), events.user(1))

        async def quick() -> None:
            await asyncio.create_task(_in_a_transaction_of_its_own())

        await quick()
    await until(_all_relayed, what="relaying")
    found = await events.after(events.user(1), 0, limit=10)
    assert [(one.seq, msgspec.json.decode(one.payload)["status"]) for one in found] == [(1, "quick"), (2, "slow")]


async def _in_a_transaction_of_its_own() -> None:
    import contextvars

    async def publish() -> None:
        await guard.commit(outbox.publish, events.ProjectUpdated(project_id=1, status="quick"), events.user(1))

        async def numbered() -> bool:
            return bool(await guard.value("select count(*) = 1 from events where seq is not null"))

        await until(numbered, what="numbering")

    # A task made in a transaction would inherit it; this one begins with an empty context.
    await asyncio.get_running_loop().create_task(publish(), context=contextvars.Context())


async def test_numbering_goes_on_while_redis_is_away(database: str, redis_url: str, start: Start):
    start("tasks.relay", REDIS_URL="redis://127.0.0.1:1/0")
    await _publish(10, events.user(1))

    async def numbered() -> bool:
        return bool(await guard.value("select not exists (select 1 from events where seq is null)"))

    await until(numbered, what="numbering")
    assert await guard.value("select count(*) from events where relayed") == 0


async def test_what_a_dead_relay_numbered_is_published_unless_too_late(database: str, redis_url: str, start: Start):
    client = redis.asyncio.Redis.from_url(redis_url)
    channel = client.pubsub(ignore_subscribe_messages=True)
    await channel.subscribe("mgl:test:events")
    await _publish(2, events.user(1))
    await guard.rows("update events set seq = id")
    await guard.rows("insert into event_heads values ('user:1', 2)")
    await guard.rows("update events set created_at = now() - make_interval(secs => $1) where seq = 1", TOO_LATE_S + 60)
    start("tasks.relay")
    await until(_all_relayed, what="relaying")
    message = None
    while message is None:
        message = await channel.get_message(timeout=1)
    assert msgspec.json.decode(message["data"])["seq"] == 2
    await channel.aclose()
    await client.aclose()


async def test_one_relay_is_active_and_another_takes_over(database: str, start: Start):
    relays = [start("tasks.relay") for _ in range(2)]
    await _publish(20, events.user(1))
    await until(_all_relayed, what="relaying")
    for victim in relays:
        await _publish(20, events.user(1))
        os.kill(victim.pid, signal.SIGKILL)
        await _publish(20, events.user(1))
        start("tasks.relay")
    await until(_all_relayed, what="relaying after two kills")
    assert await _numbers() == {"user:1": list(range(1, 101))}


async def test_it_shows_its_counts_while_it_lives_and_leaves_no_trace_when_told_to_end(database: str, start: Start):
    relay = start("tasks.relay")

    async def shown() -> bool:
        return bool(await metrics.read_fresh())

    await until(shown, what="a snapshot")
    (found,) = await metrics.read_fresh()
    families = {one.name: one for one in msgspec.json.decode(found.families or "[]", type=list[Family])}
    assert (found.process.role, found.process.pid) == ("relay", relay.pid)
    assert set(families) == {
        "megilance_relay_lag_seconds", "megilance_relay_events", "megilance_relay_events_too_late", "megilance_relay_active",
    }  # fmt: skip
    assert [one.value for one in families["megilance_relay_active"].samples] == [1]

    relay.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(relay.wait, 5) == 0
    assert await metrics.read_fresh() == []


async def test_sigterm_ends_it_within_a_second(database: str, start: Start):
    relay = start("tasks.relay")
    await _publish(1, events.user(1))
    await until(_all_relayed, what="relaying")
    began = time.monotonic()
    relay.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(relay.wait, 5) == 0
    assert time.monotonic() - began < 1.2
