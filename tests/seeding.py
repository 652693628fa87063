"""Many jobs at once, as a month of work would have left them: written by PostgreSQL itself, in one statement each."""

from typing import Final

from models import guard

# An id is its time, then chance, so that rows lie in the order they were made in, as they do in life.
_IDS: Final = """
select n, at, (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '7'
               || substr(md5(n::text || $3::text), 1, 3) || '8' || substr(md5($3::text || n::text), 1, 15))::uuid as id
  from (select n, now() - $2 * interval '1 day' * (1 - n::float8 / $1) as at from generate_series(1, $1::int) n) moments
"""
_WHAT: Final = """
case when n % 1000 < 600 then 'mail.send_mail' when n % 1000 < 850 then 'inbox.handle_callback'
     when n % 1000 < 950 then 'escrow.release_milestone' when n % 1000 < 999 then 'escrow.sweep'
     else case when n % 50000 = 999 then 'upkeep.tend_partitions' else 'invariants.check_ledger' end end
"""
_QUEUE: Final = """
case when n % 1000 < 600 then 'mail' when n % 1000 < 950 then 'payments' else 'bulk' end
"""
# One in a hundred fails, for one of six reasons; one in a hundred of those is dead; one in ten thousand is cancelled.
_ENDED: Final = f"""
insert into jobs (id, kind, version, payload, queue, caller_id, status, attempts, claim_no, worker, is_dead, error_code,
                  error_detail, created_at, started_at, finished_at, result)
select id, {_WHAT}, 1, jsonb_build_object('row_id', n), {_QUEUE}, case when n % 3 > 0 then 1 + n % 20000 end,
       case when n % 100 = 7 then 3 when n % 10000 = 11 then 4 else 2 end, 1 + (n % 100 = 7)::int * 7,
       1 + (n % 100 = 7)::int * 7, 'host-' || n % 4 || ':' || 100 + n % 16, n % 10000 = 7,
       case when n % 100 = 7 then (array['unreachable', 'attempts_exhausted', 'time_limit', 'refused_by_provider',
                                         'wrong_state', 'internal_error'])[1 + n / 100 % 6]
            when n % 10000 = 11 then 'cancelled' end,
       case when n % 100 = 7 then 'The provider did not answer: timed out after ' || n % 977 || ' s.'
            when n % 10000 = 11 then 'Cancelled.' end,
       at, at + interval '20 ms', at + interval '70 ms', case when n % 100 <> 7 then '{{"sent": true}}'::jsonb end
  from ({_IDS}) made
"""
_WAITING: Final = f"""
with made as materialized ({_IDS}),
     rows as (insert into jobs (id, kind, version, payload, queue, caller_id, created_at)
              select id, {_WHAT}, 1, jsonb_build_object('row_id', n), {_QUEUE}, 1 + n % 20000, at from made)
insert into job_live (job_id, queue, status, run_at, claim_no, attempts, error_code, error_detail)
select id, {_QUEUE}, (n <= 40)::int, at + (n % 10 = 3)::int * $2 * interval '1 day', (n % 20 = 1)::int, (n % 20 = 1)::int,
       case when n % 20 = 1 then 'unreachable' end, case when n % 20 = 1 then 'No answer.' end from made
"""


async def seed_jobs(count: int, *, days: float) -> None:
    """So many ended jobs, spread evenly over the last days, the newest made just now."""
    await _partitions(days)
    await guard.rows(_ENDED, count, days, "ended")


async def seed_live(count: int, *, days: float) -> None:
    """So many waiting jobs, nine in ten of them due, one in twenty tried once; the oldest forty are running."""
    await _partitions(days)
    await guard.rows(_WAITING, count, days, "waiting")


async def _partitions(days: float) -> None:
    await guard.rows(
        """select make_jobs_partition(month::date) from generate_series(
               date_trunc('month', now() at time zone 'UTC' - $1 * interval '1 day'),
               now() at time zone 'UTC', interval '1 month') month""",
        days,
    )
