"""The clock: `python -m tasks.clock`. Enqueues what is due, once per slot, however many clocks run.

A slot is a moment an entry is due at; its job's `once` key is the entry's name and the slot, so a slot that any clock
has enqueued is enqueued for ever. Every entry says what happens to slots that passed while no clock ran.
"""

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

import asyncpg
import msgspec
import structlog

import settings
from models import business_time, guard, jobs, outbox, timers
from models.guard import LOST_CONNECTION
from models.jobs import Job
from models.metrics import this_process
from models.outbox import CLOCK_PREFIX, Enqueued
from tasks.broker.sweeper import LOOK_S, Sweeper
from wire import logs, metrics
from wire.bell import Bell
from wire.budget import CLOCK_POOL
from wire.redis import Names

LONGEST_NAP_S: Final = 1.0
"""The wall clock may be set meanwhile, so it is asked again at least this often."""
RETRY_S: Final = 1.0
MOST_MISSED: Final = 1_000
"""Of an entry that makes up for all: a day of minutes is enough; after that a person should look."""
FORGOTTEN: Final = timedelta(days=1)
"""An entry that no clock has named for so long was another release's."""
PUNCTUAL: Final = timedelta(seconds=30)
"""How late a slot may be enqueued that is not made up for."""

log = structlog.get_logger(__name__)


class Missed(StrEnum):
    """What happens to slots that passed while no clock ran."""

    ALL = "all"
    LATEST = "latest"
    NONE = "none"


class Entry(msgspec.Struct, frozen=True):
    """One line of the schedule: every `every_s` from midnight UTC of an epoch day, shifted by `offset_s`.

    `needed`, where there is one, is asked at each slot: when it says no, the slot passes without a job.
    """

    name: str
    every_s: int
    job: Callable[[], Job]
    missed: Missed
    offset_s: int = 0
    needed: Callable[[], Awaitable[bool]] | None = None

    def slot(self, now: datetime) -> datetime:
        """The last moment, not after `now`, at which this was due."""
        seconds = int(now.timestamp()) - self.offset_s
        return datetime.fromtimestamp(seconds // self.every_s * self.every_s + self.offset_s, UTC)

    def key(self, slot: datetime) -> str:
        """The `once` key of a slot; keys of one entry sort by time."""
        return f"{CLOCK_PREFIX}{self.name}:{slot:%Y-%m-%dT%H:%M:%SZ}"


DAY_S: Final = 86_400
SCHEDULE: Final = (
    Entry("audit.seal", 60, jobs.SealAudit, Missed.LATEST),
    Entry("audit.verify", DAY_S, jobs.VerifyAudit, Missed.LATEST, offset_s=3 * 3600 + 1800),
    Entry("escrow.sweep", 60, jobs.SweepEscrow, Missed.LATEST),
    Entry("invariants.check_ledger", 900, jobs.CheckLedger, Missed.LATEST, offset_s=120),
    Entry("searches.gather_words", DAY_S, jobs.GatherWords, Missed.LATEST, offset_s=2 * 3600),
    Entry("security.reseal_secrets", DAY_S, jobs.ResealSecrets, Missed.LATEST, offset_s=4 * 3600),
    # Deadlines are days long, and whoever moves the clock of a sandbox waits for them: asking is one look at an index.
    Entry("timers.sweep", 5, jobs.SweepTimers, Missed.LATEST, needed=timers.any_due),
    Entry("upkeep.tend_partitions", DAY_S, jobs.TendPartitions, Missed.LATEST, offset_s=3 * 3600),
)


async def due(entry: Entry, now: datetime) -> list[datetime]:
    """The slots of an entry that are to be enqueued now, oldest first; some may have been by another clock."""
    latest = entry.slot(now)
    if entry.missed is Missed.LATEST:
        return [latest]
    if entry.missed is Missed.NONE:
        return [latest] if now - latest <= PUNCTUAL else []
    last = await guard.value(
        "select key from job_keys where key >= $1 and key < $2 order by key desc limit 1",
        f"{CLOCK_PREFIX}{entry.name}:",
        f"{CLOCK_PREFIX}{entry.name};",  # the character after the colon
    )
    if last is None:
        return [latest]
    slot = datetime.fromisoformat(last.removeprefix(f"{CLOCK_PREFIX}{entry.name}:"))
    step = timedelta(seconds=entry.every_s)
    missed: list[datetime] = []
    while slot + step <= latest and len(missed) < MOST_MISSED:
        slot += step
        missed.append(slot)
    return missed


async def tick(
    schedule: tuple[Entry, ...], now: datetime, done: dict[str, datetime], counted: metrics.Clock | None = None
) -> int:
    """Enqueue what is due and not in `done`, which is brought up to date; returns how many jobs this made."""
    made = 0
    for entry in schedule:
        latest = entry.slot(now)
        if done.get(entry.name) == latest:
            continue
        slots = await due(entry, now)
        if entry.needed is not None and not await entry.needed():
            slots = []
        for slot in slots:
            enqueued = await guard.commit(_enqueue, entry, slot)
            made += enqueued.created
            if enqueued.created:
                log.info("clock.enqueued", entry=entry.name, slot=slot.isoformat(), job_id=str(enqueued.job_id))
                if counted is not None:
                    counted.enqueued.labels(entry.name).inc()
        if not slots:
            await guard.commit(_show, entry, latest, None)
        done[entry.name] = latest
    return made


async def _enqueue(entry: Entry, slot: datetime) -> Enqueued:
    enqueued = await outbox.enqueue(entry.job(), once=entry.key(slot))
    await _show(entry, slot, enqueued)
    return enqueued


async def _show(entry: Entry, slot: datetime, enqueued: Enqueued | None) -> None:
    """Let admins see the schedule, which only this program knows."""
    await guard.rows(
        """insert into schedules (name, kind, every_s, missed, last_slot, last_job_id, next_slot)
           values ($1, $2, $3, $4, $5, $6, $7)
           on conflict (name) do update
              set kind = excluded.kind, every_s = excluded.every_s, missed = excluded.missed, seen_at = now(),
                  last_slot = coalesce(excluded.last_slot, schedules.last_slot), next_slot = excluded.next_slot,
                  last_job_id = coalesce(excluded.last_job_id, schedules.last_job_id)""",
        entry.name,
        entry.job().kind,
        entry.every_s,
        entry.missed.value,
        None if enqueued is None else slot,
        None if enqueued is None else enqueued.job_id,
        slot + timedelta(seconds=entry.every_s),
    )


async def keep_time(
    told: asyncio.Event, schedule: tuple[Entry, ...] = SCHEDULE, counted: metrics.Clock | None = None
) -> None:
    """Tick at every slot until told to end. PostgreSQL's absence is waited out."""
    done: dict[str, datetime] = {}
    known = [entry.name for entry in schedule]
    while not told.is_set():
        nap_s = LONGEST_NAP_S
        try:
            await tick(schedule, datetime.now(UTC), done, counted)
            # What another release had scheduled: not at once, because that release's clock may still run beside us.
            if known:
                gone = "delete from schedules where name <> all($1) and seen_at < now() - $2::interval"
                await guard.rows(gone, known, FORGOTTEN)
                known = []
            now = datetime.now(UTC)
            upcoming = min(entry.slot(now) + timedelta(seconds=entry.every_s) for entry in schedule)
            nap_s = min(LONGEST_NAP_S, max(0.01, (upcoming - now).total_seconds()))
        except LOST_CONNECTION as error:
            log.warning("clock.disconnected", error=type(error).__name__)
        except asyncpg.PostgresError:
            log.exception("clock.failed")  # the loop must outlive it: other entries are due too
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(told.wait(), nap_s)


async def sweep(told: asyncio.Event, url: str, bell: Callable[[frozenset[str]], None]) -> None:
    """Give back the jobs of silent workers, on a connection of its own."""
    sweeper = Sweeper(overdue=True)
    while not told.is_set():
        try:
            connection = await asyncpg.connect(url, timeout=5, command_timeout=10)
        except (*LOST_CONNECTION, asyncpg.PostgresError):
            await asyncio.sleep(RETRY_S)
            continue
        try:
            sweeper.forget()
            while not told.is_set():
                rung = await sweeper.sweep(connection)
                if rung:
                    bell(frozenset(rung))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(told.wait(), LOOK_S)
        except (*LOST_CONNECTION, asyncpg.PostgresError) as error:
            log.warning("clock.sweeper_disconnected", error=type(error).__name__)
        finally:
            connection.terminate()


async def refuse_moved_time(config: settings.Settings) -> None:
    """Return unless this is production and its business clock is not the real one: then nobody's deadline is right."""
    if config.environment != settings.PRODUCTION:
        return
    ahead = await business_time.offset()
    if ahead:
        raise SystemExit(
            f"business_clock is {ahead} ahead of the real time, and this is production: only a sandbox moves it. "
            "No deadline fires until its row is deleted."
        )


async def run() -> None:
    """Keep time until SIGTERM or SIGINT. Raises SystemExit in production while the business clock is ahead."""
    config = settings.load()
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    while not told.is_set():
        try:
            await guard.open_pool(min_size=1, max_size=CLOCK_POOL)
        except (*LOST_CONNECTION, asyncpg.PostgresError):
            log.warning("clock.waits_for_postgres")
            await asyncio.sleep(RETRY_S)
        else:
            break
    if not told.is_set():
        await refuse_moved_time(config)
    bell = Bell(config.redis.url, Names(config.redis.prefix))
    guard.hang_bell(bell)
    registry = metrics.new_registry()
    counted, process = metrics.Clock(registry), this_process("clock", config.release)
    reporting = asyncio.create_task(metrics.Reporter(process.write, registry).report_forever(guard.rows))
    sweeping = asyncio.create_task(sweep(told, config.database.direct_url, bell))
    if not told.is_set():
        await keep_time(told, counted=counted)
    await asyncio.wait([sweeping], timeout=1)
    sweeping.cancel()
    reporting.cancel()
    with contextlib.suppress(*LOST_CONNECTION, asyncpg.PostgresError):
        async with asyncio.timeout(1):
            await process.leave(guard.rows)
    await bell.close()
    await guard.close_pool()


def main() -> None:
    """Run the clock."""
    logs.set_up(json=settings.load().environment == settings.PRODUCTION, process="clock")
    asyncio.run(run())


if __name__ == "__main__":
    main()
