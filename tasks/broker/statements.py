"""The queue's SQL. The live row is a job's state and its fence: every end begins by taking it away from everyone else.

`claim_no` grows with each claim and never falls, so a claim is named by (job_id, claim_no, worker_id). `attempts` is
policy: a claim uses one up, and what was not the job's fault gives it back.
"""

from typing import Final

BY_QUEUE: Final = """
select l.job_id, q.limit_s
  from unnest($1::text[], $2::timestamptz[], $3::float8[]) q(name, since, limit_s)
 cross join lateral (select job_id from job_live
                      where queue = q.name and status = 0 and run_at >= q.since and run_at <= now()
                      order by run_at limit $4 for update skip locked) l
 limit $4
"""
# `now()` and not clock_timestamp(): a volatile function is no index condition, and a claim would walk every future row.
# `since` is the feeder's watermark: with an old snapshot somewhere, index entries of ended jobs cannot be removed, and
# a claim without it walks all of them.

BY_ID: Final = """
select job_id, ($3::float8[])[1] as limit_s from job_live
 where job_id = $6 and status = 0 and run_at <= now() and queue = any($1::text[])
   and $2::timestamptz[] is not null and $4 > 0 for update
"""


def claiming(candidates: str) -> str:
    """The claim of the candidates; $5 is the worker."""
    return f"""
with c as ({candidates}),
     u as (update job_live l set status = 1, claim_no = claim_no + 1, attempts = attempts + 1, worker_id = $5,
                  started_at = clock_timestamp(), deadline = now() + c.limit_s * interval '1 s'
             from c where l.job_id = c.job_id
           returning l.job_id, l.queue, l.claim_no, l.attempts, l.lost, l.run_at)
select u.*, j.kind, j.version, j.payload::text as payload, j.caller_id, j.request_id
  from u join jobs j on j.id = u.job_id order by u.run_at
"""


CLAIM: Final = claiming(BY_QUEUE)

# The fence and the end of one job. First in its transaction: no row means that the claim is lost, and rolls back.
END: Final = """
with d as (delete from job_live where job_id = $1 and claim_no = $2 and worker_id = $3 and status = 1
           returning job_id, attempts, started_at)
update jobs j set status = $4, attempts = d.attempts, started_at = d.started_at, finished_at = clock_timestamp(),
       error_code = $5, error_detail = $6, error_data = $7::text::jsonb
  from d where j.id = d.job_id returning 1
"""

RESULT: Final = "update jobs set result = $2::text::jsonb where id = $1"

# The ends of many jobs without an effect of their own. An id that is not returned has lost its lease.
END_MANY: Final = """
with d as (delete from job_live l using unnest($1::uuid[], $2::int[], $3::text[]) a(id, no, result)
            where l.job_id = a.id and l.claim_no = a.no and l.worker_id = $4 and l.status = 1
           returning l.job_id, l.attempts, l.started_at, a.result)
update jobs j set status = 2, attempts = d.attempts, started_at = d.started_at, finished_at = clock_timestamp(),
       result = d.result::jsonb
  from d where j.id = d.job_id returning j.id
"""

ENDED: Final = "select id from jobs where id = any($1::uuid[]) and finished_at is not null"

# Back to waiting, after $4 seconds; $5 = 1 gives the attempt back.
AGAIN: Final = """
update job_live set status = 0, worker_id = null, deadline = null, run_at = now() + $4 * interval '1 s',
       attempts = attempts - $5, error_code = $6, error_detail = $7
 where job_id = $1 and claim_no = $2 and worker_id = $3 and status = 1 returning 1
"""

# What a worker took and did not work, or was stopped in the middle of: as if it had never been claimed.
GIVE_BACK: Final = """
update job_live l set status = 0, worker_id = null, deadline = null, attempts = attempts - 1
  from unnest($1::uuid[], $2::int[]) a(id, no)
 where l.job_id = a.id and l.claim_no = a.no and l.worker_id = $3 and l.status = 1 returning l.job_id, l.queue
"""

# A claim whose answer never arrived, because the connection died: the row says it is mine, and I know nothing of it.
ORPHANS: Final = """
update job_live set status = 0, worker_id = null, deadline = null, attempts = attempts - 1
 where worker_id = $1 and status = 1 and not job_id = any($2::uuid[]) returning job_id
"""

STILL_MINE: Final = "select 1 from job_live where job_id = $1 and claim_no = $2 and worker_id = $3 and status = 1"

BEAT: Final = """
insert into workers (id, host, pid, queues, release) values ($1, $2, $3, $4, $5)
on conflict (id) do update set beat = workers.beat + 1
"""
BEATS: Final = "select id, beat from workers"
LEAVE: Final = "delete from workers where id = $1"

# The attempt is given back and the loss counted instead: a short attempts policy must survive a few deaths of workers
# (a claim uses an attempt before the job has begun), and a job that kills its workers must still come to an end.
# From the second loss on a job waits a random moment, so that a poisonous one parts from its neighbours.
_RELEASE: Final = """
update job_live l set status = 0, worker_id = null, deadline = null, attempts = attempts - 1, lost = lost + 1,
       run_at = case when lost = 0 then run_at else now() + random() * least(power(4, lost), 60) * interval '1 s' end
"""
# The beat in the WHERE makes it safe for any number of sweepers: the worker that beats after all is left alone. Rows
# that a frozen worker's open transaction has locked are skipped: nobody may wait for it, least of all whoever beats.
# Its own row then stays, to be found silent again once PostgreSQL has ended that transaction.
RELEASE_SILENT: Final = f"""
with silent as (select id from workers where id = $1 and beat = $2 for update),
     held as (select job_id from job_live where worker_id in (select id from silent) and status = 1
               order by job_id for update skip locked),
     gone as (delete from workers where id in (select id from silent) and not exists
              (select 1 from job_live o where o.worker_id = $1 and o.status = 1
                  and o.job_id not in (select job_id from held)))
{_RELEASE} from held where l.job_id = held.job_id returning l.job_id, l.queue
"""
# The launcher has reaped the process: nothing to be observed.
RELEASE_REAPED: Final = f"""
with w as (delete from workers where id = $1)
{_RELEASE} where l.worker_id = $1 and l.status = 1 returning l.job_id, l.queue
"""
# Whatever else went wrong: long past its deadline, whoever holds it.
RELEASE_OVERDUE: Final = f"""
with late as (select job_id from job_live where status = 1 and deadline < now() - $1 * interval '1 s'
               order by job_id for update skip locked)
{_RELEASE} from late where l.job_id = late.job_id returning l.job_id, l.queue
"""
