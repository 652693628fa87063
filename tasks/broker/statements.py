"""The queue's SQL. The live row is a job's state and its fence: every end begins by taking it away from everyone else.

`claim_no` grows with each claim and never falls, so a claim is named by (job_id, claim_no, worker_id). `attempts` is
policy: a claim uses one up, and what was not the job's fault gives it back.
"""

from typing import Final

BY_QUEUE: Final = """
select l.job_id, q.limit_s
  from unnest($1::text[], $2::timestamptz[], $3::float8[], $6::int[]) q(name, since, limit_s, room)
 cross join lateral (select job_id from job_live
                      where queue = q.name and status = 0 and run_at >= q.since and run_at <= now()
                      order by run_at limit least(q.room, $4) for update skip locked) l
 limit $4
"""
# `now()` and not clock_timestamp(): a volatile function is no index condition, and a claim would walk every future row.
# `since` is the feeder's watermark: with an old snapshot somewhere, index entries of ended jobs cannot be removed, and
# a claim without it walks all of them. `room` is what a paced queue may still have now.


def claiming(candidates: str) -> str:
    """The claim of the candidates; $5 is the worker."""
    return f"""
with c as ({candidates}),
     u as (update job_live l set status = 1, claim_no = claim_no + 1, attempts = attempts + 1, worker_id = $5,
                  started_at = clock_timestamp(), deadline = now() + c.limit_s * interval '1 s'
             from c where l.job_id = c.job_id
           returning l.job_id, l.queue, l.claim_no, l.attempts, l.lost, l.run_at, l.started_at, l.bookmark)
select u.job_id, u.queue, u.claim_no, u.attempts, u.lost, u.run_at, u.bookmark::text as bookmark,
       extract(epoch from u.started_at - u.run_at)::float8 as waited_s,
       j.kind, j.version, j.payload::text as payload, j.caller_id, j.request_id, j.created_at
  from u join jobs j on j.id = u.job_id order by u.run_at
"""


CLAIM: Final = claiming(BY_QUEUE)

# The fence and the end of one job. First in its transaction: no row means that the claim is lost, and rolls back.
END: Final = """
with d as (delete from job_live where job_id = $1 and claim_no = $2 and worker_id = $3 and status = 1
           returning job_id, claim_no, attempts, started_at)
update jobs j set status = $4, attempts = d.attempts, claim_no = d.claim_no, worker = $8, started_at = d.started_at,
       finished_at = clock_timestamp(), error_code = $5, error_detail = $6, error_data = $7::text::jsonb, is_dead = $9
  from d where j.id = d.job_id returning 1
"""

RESULT: Final = "update jobs set result = $2::text::jsonb where id = $1"

# The ends of many jobs without an effect of their own. An id that is not returned has lost its lease.
END_MANY: Final = """
with d as (delete from job_live l using unnest($1::uuid[], $2::int[], $3::text[]) a(id, no, result)
            where l.job_id = a.id and l.claim_no = a.no and l.worker_id = $4 and l.status = 1
           returning l.job_id, l.claim_no, l.attempts, l.started_at, a.result)
update jobs j set status = 2, attempts = d.attempts, claim_no = d.claim_no, worker = $5, started_at = d.started_at,
       finished_at = clock_timestamp(), result = d.result::jsonb,
       error_code = null, error_detail = null, error_data = null
  from d where j.id = d.job_id returning j.id
"""

# Which of these claims ended their jobs: another claim's end is not ours.
ENDED: Final = """
select j.id from jobs j join unnest($1::uuid[], $2::int[]) a(id, no) on j.id = a.id and j.claim_no = a.no
 where j.finished_at is not null and j.worker = $3
"""

# Back to waiting, after $4 seconds. $5 = 1 gives the attempt back, and leaves no trace: that was no try. Otherwise it
# is history, with its error. $9 is where the next attempt begins. $10 = 1 counts a loss: whatever brings PostgreSQL
# down each time must come to an end; what went well so far begins to count anew.
AGAIN: Final = """
with u as (update job_live set status = 0, worker_id = null, deadline = null, run_at = now() + $4 * interval '1 s',
                  attempts = attempts - $5, error_code = $6, error_detail = $7,
                  lost = case when $5 = 1 and $10 = 0 then 0 else lost + $10 end,
                  bookmark = coalesce($9::text::jsonb, bookmark)
            where job_id = $1 and claim_no = $2 and worker_id = $3 and status = 1
           returning job_id, claim_no, attempts, started_at),
     h as (insert into job_attempts (job_id, claim_no, attempt, worker, outcome, error_code, error_detail, started_at)
           select job_id, claim_no, attempts, $8, 'retried', $6, $7, started_at from u where $5 = 0)
select 1 from u
"""

# What a worker took and did not work, or was stopped in the middle of: as if it had never been claimed. Locked in one
# order, as every statement here that takes many rows and waits for them.
GIVE_BACK: Final = """
with held as (select l.job_id, a.begun, l.attempts, l.claim_no, l.started_at
                from unnest($1::uuid[], $2::int[], $4::bool[]) a(id, no, begun)
                join job_live l on l.job_id = a.id and l.claim_no = a.no and l.worker_id = $3 and l.status = 1
               order by l.job_id for update of l),
     h as (insert into job_attempts (job_id, claim_no, attempt, worker, outcome, started_at)
           select job_id, claim_no, attempts, $5, 'stopped', started_at from held where begun)
update job_live l set status = 0, worker_id = null, deadline = null, attempts = l.attempts - 1
  from held where l.job_id = held.job_id returning l.job_id, l.queue
"""

# A claim whose answer never arrived, because the connection died: the row says it is mine, and I know nothing of it.
ORPHANS: Final = """
with held as (select job_id from job_live where worker_id = $1 and status = 1 and not job_id = any($2::uuid[])
               order by job_id for update)
update job_live l set status = 0, worker_id = null, deadline = null, attempts = attempts - 1
  from held where l.job_id = held.job_id returning l.job_id
"""

# A tick of a long job: how far it is (0 to 1), and where another attempt would go on.
PROGRESS: Final = """
update job_live set progress = $4, bookmark = coalesce($5::text::jsonb, bookmark)
 where job_id = $1 and claim_no = $2 and worker_id = $3 and status = 1 returning 1
"""

# The right of this claim to be the only one of its kind ($4) that runs: taken from a claim that is live no more, by one
# that is. Whoever stood still and has lost the claim meanwhile must not take it from its successor.
ALONE: Final = """
insert into job_singles as s (kind, job_id, claim_no)
select $4, job_id, claim_no from job_live
 where job_id = $1 and claim_no = $2 and worker_id = $3 and status = 1
on conflict (kind) do update set job_id = excluded.job_id, claim_no = excluded.claim_no
 where s.job_id = excluded.job_id or not exists (
       select 1 from job_live l where l.job_id = s.job_id and l.claim_no = s.claim_no and l.status = 1)
returning 1
"""

# First, in the same transaction: holds whoever else reaches for the right, so that what ALONE then sees is what is. By
# itself it would judge a holder, whose row it finds, by a snapshot from before that holder's claim.
LOCK_SINGLE: Final = """
insert into job_singles (kind, job_id, claim_no) values ($1, '00000000-0000-0000-0000-000000000000', 0)
on conflict (kind) do update set kind = excluded.kind
"""

STILL_MINE: Final = "select 1 from job_live where job_id = $1 and claim_no = $2 and worker_id = $3 and status = 1"

BEAT: Final = """
insert into workers (id, host, pid, queues, release, threads, running)
select $1, $2, $3, $4, $5, $6,
       coalesce(jsonb_agg(jsonb_build_object('id', r.id, 'kind', r.kind, 'since', now() - r.for_s * interval '1 s')),
                '[]')
  from unnest($7::uuid[], $8::text[], $9::float8[]) r(id, kind, for_s)
on conflict (id) do update set beat = workers.beat + 1, beat_at = now(), running = excluded.running
"""
BEATS: Final = "select id, beat, queues from workers"
PAUSED: Final = "select queue from queue_pauses"
# Who could not give everything back stays listed, to be found silent.
LEAVE: Final = """
delete from workers where id = $1
   and not exists (select 1 from job_live l where l.worker_id = $1 and l.status = 1)
"""

# The attempt is given back and the loss counted instead: a short attempts policy must survive a few deaths of workers
# (a claim uses an attempt before the job has begun), and a job that kills its workers must still come to an end.
# From the second loss on a job waits a random moment, so that a poisonous one parts from its neighbours. A row without
# facts has no partition for its history either: it must not keep all others of its worker from being released.
_RELEASE: Final = """,
     h as (insert into job_attempts (job_id, claim_no, attempt, worker, outcome, started_at)
           select job_id, claim_no, attempts, worker, 'lost', started_at from held
            where exists (select 1 from jobs j where j.id = held.job_id))
update job_live l set status = 0, worker_id = null, deadline = null, attempts = l.attempts - 1, lost = l.lost + 1,
       run_at = case when l.lost = 0 then l.run_at
                     else now() + random() * least(power(4, l.lost), 60) * interval '1 s' end
  from held where l.job_id = held.job_id returning l.job_id, l.queue
"""
_HELD: Final = """
select l.job_id, l.claim_no, l.attempts, l.started_at, w.host || ':' || w.pid as worker
  from job_live l left join workers w on w.id = l.worker_id
"""
# The beat in the WHERE makes it safe for any number of sweepers: the worker that beats after all is left alone. Rows
# that a frozen worker's open transaction has locked are skipped: nobody may wait for it, least of all whoever beats.
# Its own row then stays, to be found silent again once PostgreSQL has ended that transaction.
RELEASE_SILENT: Final = f"""
with silent as (select id from workers where id = $1 and beat = $2 for update),
     held as ({_HELD} where l.worker_id in (select id from silent) and l.status = 1
               order by l.job_id for update of l skip locked),
     gone as (delete from workers where id in (select id from silent) and not exists
              (select 1 from job_live o where o.worker_id = $1 and o.status = 1
                  and o.job_id not in (select job_id from held)))
{_RELEASE}"""
# The launcher has reaped the process: nothing to be observed. Its last claim may still be on its way to a commit, where
# this statement does not see it, so the worker stays listed: whoever finds it silent releases what came after.
RELEASE_REAPED: Final = f"""
with held as ({_HELD} where l.worker_id = $1 and l.status = 1 order by l.job_id for update of l),
     gone as (update workers set queues = '{{}}', running = '[]' where id = $1),
     silent as (delete from process_metrics where process_id = $1)
{_RELEASE}"""
# Whatever else went wrong: long past its deadline, whoever holds it. What has no deadline belongs at least to a worker
# that is listed; one whose claim was committed after it had been found silent is not.
RELEASE_OVERDUE: Final = f"""
with held as ({_HELD} where l.status = 1
                  and (l.deadline < now() - $1 * interval '1 s'
                       or (l.deadline is null and w.id is null and l.started_at < now() - $1 * interval '1 s'))
               order by l.job_id for update of l skip locked)
{_RELEASE}"""
