"""What is kept, for how long, and the partitions that make forgetting cheap. Nothing here touches money's records."""

from datetime import UTC, date, datetime, timedelta
from typing import Final

from models import events, guard
from models.base import uuid7_at
from models.outbox import CLOCK_PREFIX, COALESCE_PREFIX, CODE_PREFIX, HOURLY_PREFIX

MONTHS_AHEAD: Final = 2
"""Partitions exist this many months ahead, so that a clock which stands still for weeks loses nothing."""
JOBS_KEPT_DAYS: Final = 120
"""As long as decoders of old job versions stay; dead ones can be looked at and retried until then."""
KEYS_KEPT_DAYS: Final = 40
"""Of slots, hours and codes: longer than the longest period between two of them, and than a code is kept."""
INBOX_KEPT_DAYS: Final = 90
"""Longer than any provider redelivers a callback."""
SESSIONS_KEPT_DAYS: Final = 400
"""Since they were last refreshed, which a revoked one never is again: as long as the security events that name them."""
# Table, primary key, and what is past keeping. Each condition begins with what an index stands on.
PASSING: Final[dict[str, tuple[str, str]]] = {
    # Read for half a minute; a day shows what happened to whoever asks why they were signed out.
    "standing_changes": ("id", "at < now() - interval '1 day'"),
    # Twice the 24 hours that a client may count on.
    "idempotency_keys": ("user_id, route, key", "created_at < now() - interval '48 hours'"),
    # Good for five minutes each.
    "sign_in_tickets": ("id", "created_at < now() - interval '1 day'"),
    "passkey_challenges": ("id", "created_at < now() - interval '1 day'"),
    # Good for ten minutes; a month shows support whether a message was sent.
    "security_codes": ("id", "created_at < now() - interval '30 days'"),
    "throttles": ("key", "last_at < now() - interval '1 day' and coalesce(blocked_until, last_at) < now()"),
    # More than a year: what an account's owner and sign-in risk look back on.
    "security_events": ("id", "created_at < now() - interval '400 days'"),
    "exports": ("id", "expires_at < now()"),
    # A month shows support when silence approved, or a week closed.
    "timers": ("id", "fired_at < now() - interval '30 days'"),
}
"""What passes, and how long it is kept."""
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
    """Drop the partitions of jobs and their attempts whose whole month is past keeping and which no live job needs."""
    guard.in_transaction()
    await guard.rows("set local lock_timeout = '2s'")
    cut = now - timedelta(days=JOBS_KEPT_DAYS)
    floor = uuid7_at(int(datetime(cut.year, cut.month, 1, tzinfo=UTC).timestamp() * 1000))
    found = await guard.rows(
        """select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
            where i.inhparent = any('{jobs, job_attempts}'::regclass[]) and right(c.relname, 7) < $1
            order by 1""",
        f"{cut:%Y_%m}",
    )
    if not found:
        return []
    # Dropping takes this lock anyway. Taken before we look, nobody can have a job of such a month retried meanwhile.
    await guard.rows("lock table only jobs in access exclusive mode")
    if await guard.value("select 1 from job_live where job_id < $1 limit 1", floor):
        return []
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


async def forget_keys() -> int:
    """Remove a slice of the keys that are past keeping: old slots, hours and codes, and those nothing waits under."""
    guard.in_transaction()
    forgotten = 0
    for prefix in (CLOCK_PREFIX, HOURLY_PREFIX, COALESCE_PREFIX, CODE_PREFIX):
        forgotten += await guard.execute(
            """delete from job_keys where key in (
                   select key from job_keys k
                    where key >= $1 and key < $2 and created_at < now() - make_interval(days => $3)
                      and ($1 <> $5 or not exists (select 1 from job_live l where l.job_id = k.job_id and l.status = 0))
                    limit $4 for update skip locked) returning key""",
            prefix,
            prefix[:-1] + ";",  # the character after the colon
            KEYS_KEPT_DAYS,
            SLICE,
            COALESCE_PREFIX,
        )
    return forgotten


async def forget_callbacks() -> int:
    """Remove a slice of worked-on callbacks that are past keeping; returns how many. Unworked ones stay."""
    guard.in_transaction()
    return await guard.execute(
        """delete from inbox where id in (
               select id from inbox where handled_at < now() - make_interval(days => $1) limit $2) returning id""",
        INBOX_KEPT_DAYS,
        SLICE,
    )


async def forget_passing(table: str) -> int:
    """Remove a slice of one of the PASSING tables' rows that are past keeping; returns how many."""
    guard.in_transaction()
    key, past = PASSING[table]
    return await guard.execute(
        f"""delete from {table} where ({key}) in (
                select {key} from {table} where {past} limit $1 for update skip locked) returning 1""",
        SLICE,
    )


async def forget_sessions(now: datetime) -> int:
    """Remove a slice of the sessions that nobody has refreshed for so long; returns how many."""
    guard.in_transaction()
    cut = now - timedelta(days=SESSIONS_KEPT_DAYS)
    # Ids grow with time, so the primary key finds the old ones; an index on refreshed_at would cost every refresh.
    return await guard.execute(
        """delete from sessions where id in (
               select id from sessions where id < $1 and refreshed_at < $2 order by id limit $3
                for update skip locked) returning 1""",
        uuid7_at(int(cut.timestamp() * 1000)),
        cut,
        SLICE,
    )
