"""Finding jobs, for admins: by anything they have in hand, newest first, a page at a time.

A page looks at a bounded number of rows, however many there are: the best index chooses the candidates, the other
conditions sift them. A page may so come back short, even empty, and still say where the search goes on.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import msgspec

from models.base import Record, uuid7_at
from models.guard import rows, transaction, value
from models.jobs import KINDS, JobStatus, Queue

LOOKED_AT: Final = 20_000
"""Candidates that one page sifts: about 40 ms of PostgreSQL's time when all of them are in its cache."""
LOOKED_AT_BY_KIND: Final = 1_000
"""The same for each kind of a queue, since a queue's jobs are found by their kinds."""
RUNNING_AMONG: Final = 200
"""More jobs than run at once, as a rule: what a page of queued ones may have to skip."""
RUNNING_MOST: Final = 1_000
"""Running jobs that a page sifts. Also what keeps the planner from reading a whole table for a few of them."""
RUNNING_LOOKED_AT: Final = 2_000
"""How far from the front of each queue running jobs are sought. A claim takes from the front, so there they are."""
TEXT_DAYS: Final = 7
"""How far back the text of errors is searched: no index helps there."""
MAX_TEXT_CHARS: Final = 200


class State(StrEnum):
    """What an admin calls a job's state: a dead one wants a decision, a failed one was refused by a rule."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    DEAD = "dead"
    CANCELLED = "cancelled"


class Filter(Record, frozen=True):
    """What is sought; None stands for anything. Times bound when a job was made: from inclusive, to exclusive."""

    id: UUID | None = None
    kind: str | None = None
    caller_id: int | None = None
    state: State | None = None
    queue: Queue | None = None
    error_code: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    text: str | None = None


class FoundJob(Record, frozen=True):
    """A job in a list. `error_*` are the last attempt's, also of a job that waits for its next one."""

    id: UUID
    kind: str
    queue: str
    state: State
    attempts: int
    caller_id: int | None
    error_code: str | None
    error_detail: str | None
    created_at: datetime
    run_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None


class Found(Record, frozen=True):
    """A page: `further` is where to go on, exclusive; None when all was looked at."""

    jobs: list[FoundJob]
    further: UUID | None


class _Question:
    """A statement in the making: fragments of this module, and the values that they number."""

    def __init__(self) -> None:
        self.values: list[Any] = []

    def value(self, held: Any) -> str:
        """The number that stands for this value."""
        self.values.append(held)
        return f"${len(self.values)}"


class _Candidates(Record, frozen=True):
    """How candidates are found, what they are sifted by, and after how many the finding stops."""

    sql: str
    sieve: list[str]
    most: int


COLUMNS: Final = """j.id, j.kind, j.queue, j.status, j.is_dead, j.attempts, j.caller_id, j.error_code, j.error_detail,
       j.created_at, j.started_at, j.finished_at"""

# `materialized`, because it is read twice: for what fits, and for where the looking ended.
PAGE: Final = """
with seen as materialized ({candidates}),
     fits as (select j.*, l.job_id is not null as is_live, l.status as live_status, l.run_at,
                     l.attempts as live_attempts, l.started_at as live_started_at, l.error_code as live_error_code,
                     l.error_detail as live_error_detail
                from seen j left join job_live l on l.job_id = j.id
               where {sieve} order by j.id desc limit {limit})
select (select count(*) from seen) as looked_at, (select id from seen order by id limit 1) as last_id, fits.*
  from (select 1) once left join fits on true order by fits.id desc
"""

# One ordered walk of an index each; the ids' bounds are conditions of all of them, and prune partitions.
_JOBS: Final = "select {columns} from jobs j where {where} order by {order} limit {most}"
_LIVE: Final = """
select {columns} from (select job_id from job_live l where {live} order by job_id desc limit {most}) w
  join jobs j on j.id = w.job_id
"""
# No index of `jobs` has the queue: the few that want it would cost every insert. A kind belongs to one queue, and kinds
# have an index, so the newest of each kind are merged. Kinds of other releases are asked too.
_BY_QUEUE: Final = """
select {columns} from (
    with recursive kinds as (
        (select kind from jobs order by kind limit 1)
        union all
        select (select n.kind from jobs n where n.kind > k.kind order by n.kind limit 1) from kinds k
         where k.kind is not null)
    select found.id from kinds k cross join lateral
           (select j.id from jobs j where j.kind >= k.kind and j.kind <= k.kind and {where}
             order by j.kind, j.id desc limit {most}) found
     where k.kind is not null and not k.kind = any({elsewhere}::text[]) order by found.id desc limit {most}) w
  join jobs j on j.id = w.id
"""
# `status` is in no index of job_live, so that its updates stay cheap; running jobs are where claims are made, and in
# their workers' own words.
_RUNNING: Final = """
select {columns} from (
    select u.id from (
        select (r ->> 'id')::uuid as id from workers, jsonb_array_elements(running) r
        union
        select f.job_id from unnest({queues}::text[]) q cross join lateral
               (select job_id, status from job_live where queue = q order by run_at limit {front}) f
         where f.status = 1) u
     where {where} order by u.id desc limit {most}) w
  join jobs j on j.id = w.id
"""


STATES: Final = {
    State.QUEUED: {"live": "l.status = 0"},
    State.RUNNING: {"live": "l.status = 1"},
    State.SUCCEEDED: {"state": f"j.status = {JobStatus.SUCCEEDED.value}"},
    State.FAILED: {
        "failed": "j.error_code is not null",
        "state": f"j.status = {JobStatus.FAILED.value} and not j.is_dead",
    },
    State.DEAD: {"dead": "j.is_dead"},
    State.CANCELLED: {"cancelled": "j.error_code = 'cancelled'", "state": f"j.status = {JobStatus.CANCELLED.value}"},
}
DRIVERS: Final = ("dead", "caller_id", "error_code", "cancelled", "failed", "kind", "queue")
"""Conditions that an index decides, those that leave the fewest rows first, as far as one knows beforehand."""
WALKED: Final = ("caller_id", "error_code", "cancelled", "kind")
"""Those among them whose index is (column, id desc)."""


def _walk(condition: str) -> tuple[str, str]:
    """A condition `column = value` as a walk of the index (column, id desc): its condition and its order.

    As an equality the planner would drop the column from the order, and might then walk the primary key instead, past
    a million rows of other kinds, because its statistics know how many rows there are and not how old they are.
    """
    column, held = condition.split(" = ")
    return f"{column} >= {held} and {column} <= {held}", f"{column}, j.id desc"


def _all(conditions: list[str]) -> str:
    return " and ".join(conditions) or "true"


def _floor(moment: datetime) -> UUID:
    return uuid7_at(max(0, int(moment.timestamp() * 1000)))


def bounds(question: _Question, wanted: Filter, before: UUID | None = None) -> list[str]:
    """What a filter asks of the id: it begins with the job's time, so the ids' order is the time's."""
    found: list[str] = []
    if wanted.id is not None:
        found.append(f"j.id = {question.value(wanted.id)}")
    if before is not None:
        found.append(f"j.id < {question.value(before)}")
    since = wanted.created_from
    if wanted.text is not None:
        earliest = datetime.now(UTC) - timedelta(days=TEXT_DAYS)
        since = earliest if since is None else max(since, earliest)
    if since is not None:
        found.append(f"j.id >= {question.value(_floor(since))}")
    if wanted.created_to is not None:
        found.append(f"j.id < {question.value(_floor(wanted.created_to))}")
    return found


def conditions_of(question: _Question, wanted: Filter) -> dict[str, str]:
    """What a filter asks of a job, by the name of what decides it: `j` is its row, `l` its live row."""
    found: dict[str, str] = dict(STATES[wanted.state]) if wanted.state is not None else {}
    for name, held in (
        ("kind", wanted.kind),
        ("caller_id", wanted.caller_id),
        ("queue", wanted.queue),
        ("error_code", wanted.error_code),
    ):
        if held is not None:
            found[name] = f"j.{name} = {question.value(held)}"
    if wanted.text is not None:
        found["text"] = f"position(lower({question.value(wanted.text)}::text) in lower(j.error_detail)) > 0"
        found.setdefault("failed", "j.error_code is not null")
    return found


def _candidates(question: _Question, wanted: Filter, before: UUID | None, limit: int) -> _Candidates:
    where, conditions = bounds(question, wanted, before), conditions_of(question, wanted)
    if "live" in conditions:
        return _live(question, wanted, where, conditions, limit)
    driver = next((name for name in DRIVERS if name in conditions), None)
    decisive = conditions.pop(driver) if driver else None
    sieve, order = list(conditions.values()), "j.id desc"
    if driver in WALKED and decisive is not None:
        decisive, order = _walk(decisive)
    where += [decisive] if decisive else []
    if driver == "queue":
        return _of_queue(question, wanted, where, sieve, limit)
    most = LOOKED_AT if sieve else limit
    sql = _JOBS.format(columns=COLUMNS, where=_all(where), order=order, most=question.value(most))
    return _Candidates(sql=sql, sieve=sieve, most=most)


def _of_queue(question: _Question, wanted: Filter, where: list[str], sieve: list[str], limit: int) -> _Candidates:
    most = LOOKED_AT_BY_KIND if sieve else limit
    elsewhere = [kind for kind, job in KINDS.items() if job.queue is not wanted.queue]
    sql = _BY_QUEUE.format(
        columns=COLUMNS, where=_all(where), most=question.value(most), elsewhere=question.value(elsewhere)
    )
    return _Candidates(sql=sql, sieve=sieve, most=most)


def _live(question: _Question, wanted: Filter, where: list[str], conditions: dict[str, str], limit: int) -> _Candidates:
    """Queued and running jobs are in `job_live`, and so is the error of their last attempt."""
    conditions.pop("failed", None)
    held = {name: sql.replace("j.error_", "l.error_") for name, sql in conditions.items()}
    if wanted.state is State.RUNNING:
        queues, front = question.value([queue.value for queue in Queue]), question.value(RUNNING_LOOKED_AT)
        named, stop = _all(where).replace("j.id", "u.id"), question.value(RUNNING_MOST)
        sql = _RUNNING.format(columns=COLUMNS, where=named, queues=queues, front=front, most=stop)
        return _Candidates(sql=sql, sieve=list(held.values()), most=RUNNING_MOST)
    if "caller_id" in held:
        decisive, order = _walk(held.pop("caller_id"))
        sql = _JOBS.format(columns=COLUMNS, where=_all([*where, decisive]), order=order, most=question.value(LOOKED_AT))
        return _Candidates(sql=sql, sieve=list(held.values()), most=LOOKED_AT)
    known = KINDS.get(wanted.kind or "")
    if "queue" in held:
        where.append(held.pop("queue"))
    elif known is not None:  # a kind waits in one queue, and queues have an index
        where.append(f"j.queue = {question.value(known.queue.value)}")
    # A few running rows stand among the queued ones, so a page that looked only at its own length might come short.
    most = LOOKED_AT if len(held) > 1 else 2 * limit + RUNNING_AMONG
    live = _all(where).replace("j.id", "l.job_id").replace("j.queue", "l.queue")
    sql = _LIVE.format(columns=COLUMNS, live=live, most=question.value(most))
    return _Candidates(sql=sql, sieve=list(held.values()), most=most)


# A walk of an index stops when the page is full; the planner, misled by the bounds that make it a walk, would now and
# then rather fetch and sort every job of a kind. What small sorts are needed still happen.
# Not for what is live: the few that run are gathered, and have to be sorted.
STRAIGHT: Final = "select set_config('enable_sort', 'off', true), set_config('enable_bitmapscan', 'off', true)"


async def find(wanted: Filter, *, before: UUID | None = None, limit: int) -> Found:
    """The newest jobs that fit, from `before` (exclusive) backwards, at most `limit`."""
    question = _Question()
    candidates = _candidates(question, wanted, before, limit + 1)
    sql = PAGE.format(candidates=candidates.sql, sieve=_all(candidates.sieve), limit=question.value(limit + 1))
    async with transaction():
        if wanted.state not in (State.QUEUED, State.RUNNING):
            await rows(STRAIGHT)
        found = await rows(sql, *question.values)
    jobs = [_show(one) for one in found if one["id"] is not None]
    if len(jobs) > limit:
        return Found(jobs=jobs[:limit], further=jobs[limit - 1].id)
    stopped = found[0]["looked_at"] >= candidates.most
    return Found(jobs=jobs, further=UUID(int=found[0]["last_id"].int) if stopped else None)


def _show(found: Any) -> FoundJob:
    live: Callable[[str], Any] = lambda name: found[f"live_{name}"] if found["is_live"] else found[name]  # noqa: E731
    return FoundJob(
        id=UUID(int=found["id"].int),
        kind=found["kind"],
        queue=found["queue"],
        state=state_of(live("status"), dead=found["is_dead"]),
        attempts=live("attempts"),
        caller_id=found["caller_id"],
        error_code=live("error_code"),
        error_detail=live("error_detail"),
        created_at=found["created_at"],
        run_at=found["run_at"],
        started_at=live("started_at"),
        finished_at=found["finished_at"],
    )


def state_of(status: int, *, dead: bool) -> State:
    """The state that a status and the mark of a dead job make."""
    return State.DEAD if dead and status == JobStatus.FAILED else State[JobStatus(status).name]


def dead_jobs(wanted: Filter, limit: int) -> tuple[str, list[Any]]:
    """The statement, and its values, that locks the oldest dead jobs that fit, at most `limit`, in the ids' order.

    All dead jobs are in one small index. Rows that a rival holds are skipped.
    """
    question = _Question()
    where = _dead_ones(question, wanted)
    sql = f"""select j.id, j.queue, j.claim_no, j.attempts, j.worker, j.error_code, j.error_detail, j.started_at,
                     j.finished_at
                from jobs j where {_all(where)} and j.status = 3
               order by j.id limit {question.value(limit)} for no key update skip locked"""
    return sql, question.values


def _dead_ones(question: _Question, wanted: Filter) -> list[str]:
    """The conditions on dead jobs. Words are sought in the newest of them only: no index has the errors' text."""
    sought = msgspec.structs.replace(wanted, state=State.DEAD)
    where = [*bounds(question, sought), *conditions_of(question, sought).values()]
    if wanted.text is not None:
        newest = f"select id from jobs where is_dead order by id desc limit {question.value(LOOKED_AT)}"
        where.append(f"j.id = any(array({newest}))")
    return where


async def count_dead(wanted: Filter, *, most: int) -> int:
    """How many dead jobs fit, counted up to `most`."""
    question = _Question()
    where = _dead_ones(question, wanted)
    sql = f"select count(*) from (select 1 from jobs j where {_all(where)} limit {question.value(most)}) found"
    counted: int = await value(sql, *question.values)
    return counted
