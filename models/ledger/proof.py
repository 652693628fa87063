"""The proof that no cent is lost, invented or unexplained, from one snapshot of the database."""

from typing import Any, Final

from models import guard
from models.base import Record

STALE_S: Final = 30 * 60
"""A job or an event older than this is a difference: something has stopped."""

CHECKS: Final[dict[str, str]] = {
    "every journal sums to zero": """
        select 'journal:' || journal as subject, asset, sum(amount) as found, 0 as wanted
          from postings group by journal, asset having sum(amount) <> 0""",
    "every journal has postings": """
        select 'journal:' || j.id as subject, '' as asset, 0 as found, 2 as wanted
          from journals j where (select count(*) from postings p where p.journal = j.id) < 2""",
    "every balance equals its postings": """
        select coalesce(b.account, p.account) as subject, coalesce(b.asset, p.asset) as asset,
               coalesce(b.amount, 0) as found, coalesce(p.amount, 0) as wanted
          from balances b
          full join (select account, asset, sum(amount) as amount from postings
                      where account like 'escrow:%' or account like 'user:%' group by account, asset) p
            on p.account = b.account and p.asset = b.asset
         where coalesce(b.amount, 0) <> coalesce(p.amount, 0)""",
    "escrow holds what funded milestones say": """
        select 'milestone:' || m.id as subject, m.currency as asset, coalesce(b.amount, 0) as found,
               case when m.status in ('funded', 'submitted', 'changes_requested', 'disputed', 'releasing', 'settling')
                    then m.amount_minor else 0 end as wanted
          from milestones m
          left join balances b on b.account = 'escrow:milestone:' || m.id and b.asset = m.currency
         where coalesce(b.amount, 0)
            <> case when m.status in ('funded', 'submitted', 'changes_requested', 'disputed', 'releasing', 'settling')
                    then m.amount_minor else 0 end""",
    "every paid payment and completed release has its journal": """
        select k.key as subject, '' as asset, 0 as found, 1 as wanted
          from (select 'fund:' || id as key from payments where status in ('requires_capture', 'succeeded')
                union all select 'release:' || id from releases where status = 'completed') k
         where not exists (select 1 from journals j where j.key = k.key)""",
    "every fund and release journal has its row": """
        select j.key as subject, '' as asset, 1 as found, 0 as wanted from journals j
         where j.kind = 'fund' and not exists (select 1 from payments p where 'fund:' || p.id = j.key)
        union all
        select j.key, '', 1, 0 from journals j
         where j.kind = 'release' and not exists
               (select 1 from releases r where 'release:' || r.id = j.key and r.status = 'completed')""",
    "every release posted what its row says": """
        select 'release:' || r.id as subject, r.currency as asset, coalesce(sum(p.amount), 0) as found,
               r.fee_minor as wanted
          from releases r
          join journals j on j.key = 'release:' || r.id
          left join postings p on p.journal = j.id and p.account = 'platform:fees'
         where r.status = 'completed' group by r.id having coalesce(sum(p.amount), 0) <> r.fee_minor
        union all
        select 'release:' || r.id, r.currency, coalesce(sum(p.amount), 0), -r.gross_minor
          from releases r
          join journals j on j.key = 'release:' || r.id
          left join postings p on p.journal = j.id and p.account = 'escrow:milestone:' || r.milestone
         where r.status = 'completed' group by r.id having coalesce(sum(p.amount), 0) <> -r.gross_minor""",
    "no job waits past its time": """
        select 'job:' || job_id as subject, queue as asset, extract(epoch from now() - run_at)::bigint as found,
               $1::bigint as wanted
          from job_live where run_at < now() - make_interval(secs => $1)""",
    "no release stands still": """
        select 'release:' || id as subject, currency as asset, extract(epoch from now() - created_at)::bigint as found,
               $1::bigint as wanted
          from releases where status = 'begun' and created_at < now() - make_interval(secs => $1)""",
    "no callback stands still": """
        select 'inbox:' || id as subject, kind as asset, extract(epoch from now() - received_at)::bigint as found,
               $1::bigint as wanted
          from inbox where handled_at is null and received_at < now() - make_interval(secs => $1)""",
    "no event waits to be told": """
        select 'event:' || id as subject, name as asset, extract(epoch from now() - created_at)::bigint as found,
               $1::bigint as wanted
          from events where not relayed and created_at < now() - make_interval(secs => $1)""",
}


class Difference(Record, frozen=True):
    """Something that does not add up: which check, whose, in which asset, what was found and what should be."""

    check: str
    subject: str
    asset: str
    found: int
    wanted: int


class Proof(Record, frozen=True):
    """The outcome of all checks over one snapshot."""

    journals: int
    postings: int
    differences: list[Difference]


async def prove() -> Proof:
    """Run every check in one snapshot of the database. Changes nothing."""
    async with guard.transaction():
        await guard.rows("set transaction isolation level repeatable read, read only")
        counted = await guard.only(
            "select (select count(*) from journals) as journals, (select count(*) from postings) as postings"
        )
        differences = [
            Difference(check=check, **_integers(found))
            for check, sql in CHECKS.items()
            for found in await (guard.rows(sql, STALE_S) if "$1" in sql else guard.rows(sql))
        ]
    return Proof(journals=counted["journals"], postings=counted["postings"], differences=differences)


def _integers(found: Any) -> dict[str, Any]:
    return {
        "subject": found["subject"],
        "asset": found["asset"],
        "found": int(found["found"]),
        "wanted": int(found["wanted"]),
    }


async def holdings() -> list[tuple[str, str, int]]:
    """Every account with what it holds, in the asset's smallest unit: (account, asset, amount), by account."""
    found = await guard.rows(
        """select account, asset, sum(amount) as amount from postings
            group by account, asset having sum(amount) <> 0 order by account, asset"""
    )
    return [(one["account"], one["asset"], int(one["amount"])) for one in found]


async def history(subject: str) -> list[str]:
    """The kinds of the journals about a subject such as `milestone:7`, in the order they were made."""
    found = await guard.rows("select kind from journals where subject = $1 order by id", subject)
    return [one["kind"] for one in found]
