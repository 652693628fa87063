"""What is kept, for how long, and the partitions that make forgetting cheap. Nothing here touches money's records."""

from datetime import UTC, date, datetime, timedelta
from typing import Final

from models import events, guard
from models.base import uuid7_at

MONTHS_AHEAD: Final = 2
"""Partitions exist this many months ahead, so that a clock which stands still for weeks loses nothing."""
JOBS_KEPT_DAYS: Final = 120
"""As long as decoders of old job versions stay; dead ones can be looked at and retried until then."""
KEYS_KEPT_DAYS: Final = 40
"""Of the clock's slots: longer than the longest period between two of them."""
INBOX_KEPT_DAYS: Final = 90
"""Longer than any provider redelivers a callback."""
SLOT_PREFIX: Final = "clock:"
"""Every `once` key of the clock begins so; other keys are kept, since they stand for mails and callbacks."""
SLICE: Final = 5_000
"""Rows removed in one transaction: a fraction of a second."""


async def make_partitions(today: date) -> list[str]:
    """See that this month's partition of `jobs` and the next two exist; returns their names."""
    guard.in_transaction()
    # Attaching is quick but must queue for its lock; it may not hold up the workers that queue behind it.
    await guard.rows("set local lock_timeout = '2s'")
    names: list[str] = []
    for ahead in range(MONTHS_AHEAD + 1):
        months = today.year * 12 + today.month - 1 + ahead
        names.append(await guard.value("select make_jobs_partition($1)", date(months // 12, months % 12 + 1, 1)))
    return names


async def drop_partitions(now: datetime) -> list[str]:
    """Drop the partitions of `jobs` whose whole month is past keeping and which no waiting job needs."""
    guard.in_transaction()
    await guard.rows("set local lock_timeout = '2s'")
    cut = now - timedelta(days=JOBS_KEPT_DAYS)
    oldest_kept = f"jobs_{cut:%Y_%m}"
    floor = uuid7_at(int(datetime(cut.year, cut.month, 1, tzinfo=UTC).timestamp() * 1000))
    if await guard.value("select 1 from job_live where job_id < $1 limit 1", floor):
        return []
    found = await guard.rows(
        """select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
            where i.inhparent = 'jobs'::regclass and c.relname ~ '^jobs_[0-9]{4}_[0-9]{2}$' and c.relname < $1
            order by 1""",
        oldest_kept,
    )
    for one in found:
        await guard.rows(f'drop table "{one["relname"]}"')
    return [one["relname"] for one in found]


async def forget_events() -> int:
    """Remove a slice of delivered events that are past keeping; returns how many (fewer than a slice: done)."""
    guard.in_transaction()
    return await guard.execute(
        """delete from events where id in (
               select id from events where created_at < now() - make_interval(days => $1) and relayed
                order by created_at limit $2) returning id""",
        events.KEPT_DAYS,
        SLICE,
    )


async def forget_slots() -> int:
    """Remove a slice of the clock's keys that are past keeping; returns how many."""
    guard.in_transaction()
    return await guard.execute(
        """delete from job_keys where key in (
               select key from job_keys where key like $1 || '%' and created_at < now() - make_interval(days => $2)
                limit $3) returning key""",
        SLOT_PREFIX,
        KEYS_KEPT_DAYS,
        SLICE,
    )


async def forget_callbacks() -> int:
    """Remove a slice of worked-on callbacks that are past keeping; returns how many. Unworked ones stay."""
    guard.in_transaction()
    return await guard.execute(
        """delete from inbox where id in (
               select id from inbox where handled_at < now() - make_interval(days => $1) limit $2) returning id""",
        INBOX_KEPT_DAYS,
        SLICE,
    )
