"""The relay: `python -m tasks.relay`. Gives each event its number after the commit, then publishes it.

Any number may run; one is active, the one whose session holds an advisory lock. Every event gets exactly one number,
gap-free per audience; Redis hears it at least once, or not at all when it comes back too late: clients ask for gaps.
Numbering goes on while Redis is away, so that what they ask for is there.
"""

import asyncio
import contextlib
import signal
import time
from typing import Any, Final

import asyncpg
import msgspec
import structlog

import settings
from models.guard import LOST_CONNECTION
from models.metrics import this_process
from models.outbox import EVENTS_BELL
from wire import logs, metrics
from wire.bell import Listener
from wire.redis import AWAY, Names, connect

LOCK: Final = 0x6D67_6C02
"""The advisory lock of the active relay: `mgl` and a number."""
BATCH: Final = 500
SWEEP_S: Final = 0.25
STANDBY_S: Final = 0.5
"""How often a relay that is not active asks whether it may be."""
RECONNECT_S: Final = 0.2
COMMAND_S: Final = 10.0
TOO_LATE_S: Final = 300.0
"""Older events are not published when Redis comes back: by then every client has asked `sync` (each 30 s)."""
LAG_ALARM_S: Final = 5.0
STOP_S: Final = 0.8

# Only the active relay runs this, so the heads are locked by nobody else; the unique key (audience, seq) would refuse a
# second one. Ids are drawn before the commit, so a lower id may arrive later: it is numbered when it does.
NUMBER: Final = """
with batch as materialized (select id, audience from events where seq is null order by id limit $1),
     counts as (select audience, count(*) as n from batch group by audience),
     heads as (insert into event_heads as h (audience, last_seq) select audience, n from counts
               on conflict (audience) do update set last_seq = h.last_seq + excluded.last_seq
               returning audience, last_seq),
     numbered as (select b.id, h.last_seq - c.n + row_number() over (partition by b.audience order by b.id) as seq
                    from batch b join counts c using (audience) join heads h using (audience))
update events e set seq = n.seq from numbered n where e.id = n.id
returning e.id, e.audience, e.seq, e.name, e.payload::text as payload, e.created_at,
          extract(epoch from clock_timestamp() - e.created_at)::float8 as age_s
"""
UNRELAYED: Final = """
select id, audience, seq, name, payload::text as payload,
       extract(epoch from clock_timestamp() - created_at)::float8 as age_s
  from events where not relayed and seq is not null order by id limit $1
"""
RELAYED: Final = "update events set relayed = true where id = any($1::bigint[])"

log = structlog.get_logger(__name__)


class Relay:
    """One relay process."""

    def __init__(self, database_url: str, redis_url: str, names: Names, release: str = "") -> None:
        self._database_url = database_url
        self._redis = connect(redis_url)
        self._listener = Listener(redis_url, names, sweep_s=SWEEP_S)
        self._channel = names.events
        self._told = asyncio.Event()
        self._owes = True
        """Whether numbered rows may still be unpublished: after a start, and after each failure of Redis."""
        self._was_away = False
        registry = metrics.new_registry()
        self._counted = metrics.Relay(registry)
        self._process = this_process("relay", release)
        self._reporter = metrics.Reporter(self._process.write, registry)

    def tell(self) -> None:
        """End soon."""
        self._told.set()

    async def run(self) -> None:
        """Relay until told to end."""
        while not self._told.is_set():
            try:
                connection = await asyncpg.connect(self._database_url, timeout=5, command_timeout=COMMAND_S)
            except (*LOST_CONNECTION, asyncpg.PostgresError) as error:
                log.warning("relay.no_database", error=type(error).__name__)
                await self._rest(RECONNECT_S)
                continue
            try:
                if await self._become_active(connection):
                    await self._serve(connection)
                await self._process.leave(connection.fetch)
            except (*LOST_CONNECTION, asyncpg.PostgresError) as error:
                log.warning("relay.disconnected", error=type(error).__name__)
                await self._rest(RECONNECT_S)
            finally:
                self._counted.is_active.set(0)
                # The lock goes with the session, and not before its last statement has ended.
                connection.terminate()
        await self._listener.close()
        await self._redis.aclose()

    async def _become_active(self, connection: asyncpg.Connection) -> bool:
        while not self._told.is_set():
            if await connection.fetchval("select pg_try_advisory_lock($1)", LOCK):
                log.info("relay.active")
                self._counted.is_active.set(1)
                return True
            await self._reporter.report(connection.fetch)
            await self._rest(STANDBY_S)
        return False

    async def _serve(self, connection: asyncpg.Connection) -> None:
        self._owes = True
        while not self._told.is_set():
            await self._reporter.report(connection.fetch)
            numbered = await connection.fetch(NUMBER, BATCH)
            if self._owes:
                # What an earlier round or relay numbered goes first, so that each audience hears its numbers in order.
                self._owes = not await self._pay(connection)
            elif numbered:
                self._owes = not await self._publish(connection, numbered)
            if len(numbered) < BATCH:
                await self._listener.wait([EVENTS_BELL])

    async def _pay(self, connection: asyncpg.Connection) -> bool:
        while not self._told.is_set():
            rows = await connection.fetch(UNRELAYED, BATCH)
            if not rows:
                return True
            if not await self._publish(connection, rows):
                return False
        return False

    async def _publish(self, connection: asyncpg.Connection, rows: list[Any]) -> bool:
        """Publish and mark. False: Redis is away, and the rows are still owed."""
        fresh = sorted(
            (row for row in rows if row["age_s"] < TOO_LATE_S), key=lambda row: (row["audience"], row["seq"])
        )
        try:
            if fresh:
                async with self._redis.pipeline(transaction=False) as pipe:
                    for row in fresh:
                        pipe.publish(self._channel, encode(row["audience"], row["seq"], row["name"], row["payload"]))
                    await pipe.execute()
        except AWAY as error:
            if not self._was_away:
                log.warning("relay.redis_away", error=type(error).__name__)
            self._was_away = True
            return False
        self._was_away = False
        await connection.execute(RELAYED, [row["id"] for row in rows])
        if len(fresh) < len(rows):
            self._counted.too_late.inc(len(rows) - len(fresh))
            log.warning("relay.too_late", events=len(rows) - len(fresh))
        lag_s = max((row["age_s"] for row in rows), default=0.0)
        self._counted.relayed.inc(len(fresh))
        self._counted.lag_s.set(lag_s)
        if lag_s > LAG_ALARM_S:
            log.warning("relay.lag", seconds=round(lag_s, 1))
        return True

    async def _rest(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._told.wait(), seconds)


def encode(audience: str, seq: int, name: str, payload: str) -> bytes:
    """An event as it travels: `{audience, seq, name, payload}`."""
    return msgspec.json.encode(
        {"audience": audience, "seq": seq, "name": name, "payload": msgspec.Raw(payload.encode())}
    )


async def relay() -> None:
    """Run a relay until SIGTERM or SIGINT, and out within a second."""
    config = settings.load()
    one = Relay(config.database.direct_url, config.redis.url, Names(config.redis.prefix), config.release)
    running = asyncio.create_task(one.run())
    loop, began = asyncio.get_running_loop(), time.monotonic()
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    wait = asyncio.create_task(told.wait())
    await asyncio.wait([running, wait], return_when=asyncio.FIRST_COMPLETED)
    one.tell()
    await asyncio.wait([running], timeout=STOP_S)
    wait.cancel()
    if running.done():
        running.result()
    else:
        running.cancel()
    log.info("relay.gone", after_s=round(time.monotonic() - began))


def main() -> None:
    """Run the relay."""
    logs.set_up(json=settings.load().environment == settings.PRODUCTION, process="relay")
    asyncio.run(relay())


if __name__ == "__main__":
    main()
