"""The proof: silent over honest books, and each check finds a difference that was planted past every trigger."""

from contextlib import suppress
from typing import Any

import pytest

from models import guard
from models.events import ProjectUpdated, project
from models.jobs import SweepEscrow
from models.ledger import proof
from models.ledger.proof import CHECKS, STALE_S
from models.outbox import enqueue, publish
from tests.escrows import GROSS, NET, a_deal
from tests.performing import perform_now
from tests.stripe_sandbox import StripeSandbox

PLANTED: list[tuple[str, str, str, int, int]] = [
    ("every journal sums to zero", "update postings set amount = amount + 1 where journal = {jr} and account = 'platform:fees'",
     "journal:{jr}", 1, 0),
    ("every journal has postings", "delete from postings where journal = {jr}", "journal:{jr}", 0, 2),
    ("every balance equals its postings", "update balances set amount = 7 where account = 'escrow:milestone:{m}'",
     "escrow:milestone:{m}", 7, 0),
    ("every balance equals its postings", "delete from balances where account like 'user:%'", "user:{f}:available", 0, NET),
    ("escrow holds what funded milestones say", "update milestones set status = 'funded' where id = {m}", "milestone:{m}", 0, GROSS),
    ("every paid payment and completed release has its journal", "update journals set key = 'gone' where key = 'fund:{p}'",
     "fund:{p}", 0, 1),
    ("every paid payment and completed release has its journal", "update journals set key = 'gone' where key = 'release:{r}'",
     "release:{r}", 0, 1),
    ("every fund and release journal has its row", "update journals set key = 'fund:99' where key = 'fund:{p}'", "fund:99", 1, 0),
    ("every fund and release journal has its row", "update releases set status = 'abandoned' where id = {r}", "release:{r}", 1, 0),
    ("every release posted what its row says", "update releases set fee_minor = fee_minor + 1, net_minor = net_minor - 1 where id = {r}",
     "release:{r}", 10_000, 10_001),
    ("every release posted what its row says", "update releases set gross_minor = gross_minor + 1, net_minor = net_minor + 1 where id = {r}",
     "release:{r}", -GROSS, -GROSS - 1),
    ("no job waits past its time", "update job_live set run_at = now() - interval '2 hours'", "job:{j}", 7_200, STALE_S),
    ("no event waits to be told", "update events set created_at = now() - interval '2 hours' where id = {e}",
     "event:{e}", 7_200, STALE_S),
    ("no release stands still", "update releases set status = 'begun', created_at = now() - interval '2 hours' where id = {r}",
     "release:{r}", 7_200, STALE_S),
    ("no callback stands still", ("insert into inbox (provider, external_id, kind, payload, received_at)"
     " values ('stripe', 'evt_old', 'k', '{{}}', now() - interval '2 hours')"), "inbox:{i}", 7_200, STALE_S),
]  # fmt: skip


class Undone(Exception):
    """What was planted is taken back."""


async def planted(statement: str, check: str) -> list[Any]:
    """What a check finds after a statement that no trigger sees, and which is taken back."""
    found: list[Any] = []
    with suppress(Undone):
        async with guard.transaction():
            await guard.rows("set local session_replication_role = replica")
            await guard.rows(statement)
            found = await guard.rows(CHECKS[check], *([STALE_S] if "$1" in CHECKS[check] else []))
            raise Undone
    return found


async def test_honest_books_have_no_difference_and_are_counted(stripe: StripeSandbox):
    deal = await a_deal(stripe)
    await perform_now((await deal.releasing()).job.job_id)
    found = await proof.prove()
    assert (found.journals, found.postings, found.differences) == (2, 5, [])


async def test_an_empty_ledger_is_proven(database: str):
    assert await proof.prove() == proof.Proof(journals=0, postings=0, differences=[])
    assert await proof.holdings() == []


async def test_holdings_say_what_each_account_holds(stripe: StripeSandbox):
    deal = await a_deal(stripe)
    await perform_now((await deal.releasing()).job.job_id)
    assert await proof.history(f"milestone:{deal.milestone_id}") == ["fund", "release"]
    assert await proof.holdings() == [
        ("platform:fees", "USD", 10_000),
        ("world:stripe", "USD", -10_000),
    ]


async def test_each_check_finds_the_difference_that_was_planted(stripe: StripeSandbox, subtests: pytest.Subtests):
    sent, kept = await a_deal(stripe), await a_deal(stripe)
    requested = [await sent.releasing(), await kept.releasing()]
    stripe.restrict(kept.account_id)  # its net amount is held for the freelancer
    for one in requested:
        await perform_now(one.job.job_id)
    await guard.rows("delete from job_live")  # the mails of these releases are nobody's here
    job = await guard.commit(enqueue, SweepEscrow())
    await guard.commit(publish, ProjectUpdated(project_id=1, status="open"), project(1))
    assert (await proof.prove()).differences == []
    ids = {
        "m": sent.milestone_id,
        "p": await guard.value("select id from payments where milestone = $1", sent.milestone_id),
        "f": kept.hire.freelancer.id,
        "r": requested[0].release_id,
        "jr": await guard.value("select id from journals where key = $1", f"release:{requested[0].release_id}"),
        "j": job.job_id,
        "e": await guard.value("select max(id) from events"),
        "i": 1,
    }
    for check, statement, subject, found, wanted in PLANTED:
        with subtests.test(check=check, subject=subject):
            (one,) = await planted(statement.format(**ids), check)
            assert (one["subject"], one["wanted"]) == (subject.format(**ids), wanted)
            assert abs(one["found"] - found) <= (5 if wanted == STALE_S else 0)
    await guard.rows("update job_live set run_at = now() - interval '1 day'")
    (told,) = (await proof.prove()).differences
    assert (told.check, told.subject, told.asset, told.wanted) == (
        "no job waits past its time",
        f"job:{job.job_id}",
        "bulk",
        1800,
    )


def test_every_check_has_a_planted_difference():
    assert {check for check, *_ in PLANTED} == set(CHECKS)
