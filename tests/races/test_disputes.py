"""Two who do not agree, at one moment: whoever comes second finds what the first one did, and nothing happens twice."""

import asyncio
from collections import Counter
from collections.abc import Awaitable
from typing import Any

from models import deadlines, disputes, guard, mediation, refund_requests, silence, timers
from models.disputes import DisputeReason, DisputeRow
from models.errors import WrongState
from models.escrow import releasing
from models.milestones import MilestoneStatus
from models.timers import TimerRow
from tests import quarrels, worlds
from tests.quarrels import Quarrel
from tests.worlds import Hire

ROUNDS = 5


def dispute(milestone_id: int, user_id: int) -> Awaitable[DisputeRow]:
    return guard.commit(
        disputes.open_dispute, milestone_id, user_id=user_id, reason=DisputeReason.OTHER, description="No."
    )


async def together(*rivals: Awaitable[Any]) -> list[Any]:
    """What came of each; nothing but an answer or the refusal of a changed state."""
    found = await asyncio.gather(*rivals, return_exceptions=True)
    assert all(not isinstance(one, BaseException) or isinstance(one, WrongState) for one in found), found
    return found


def won(answers: list[Any]) -> list[Any]:
    return [one for one in answers if not isinstance(one, WrongState)]


async def due(kind: str) -> TimerRow:
    found = await guard.value(
        "select id from timers where kind = $1 and fired_at is null order by id desc limit 1", kind
    )
    timer = await timers.find(found)
    assert timer is not None
    return timer


def fired(timer: TimerRow) -> Awaitable[None]:
    return guard.commit(deadlines.VERBS[timer.kind], timer)


async def paid_and_delivered() -> tuple[Hire, int]:
    hire, milestone = await quarrels.a_held_milestone(MilestoneStatus.SUBMITTED)
    await quarrels.pay(milestone, hire.client)
    return hire, milestone.id


async def test_two_disputes_at_once_are_one(database: str) -> None:
    for _ in range(ROUNDS):
        hire, milestone = await quarrels.a_held_milestone()

        answers = await together(
            *(dispute(milestone.id, one) for one in (hire.client.id, hire.freelancer.id, hire.client.id))
        )

        assert len(won(answers)) == 1
        assert await guard.value("select count(*) from disputes where milestone = $1", milestone.id) == 1
        told = await worlds.told(hire.client.id) + await worlds.told(hire.freelancer.id)
        assert told.count("dispute_opened") == 1


async def test_a_dispute_and_an_approval_at_once_leave_one(database: str) -> None:
    for _ in range(ROUNDS):
        hire, milestone_id = await paid_and_delivered()

        answers = await together(
            dispute(milestone_id, hire.freelancer.id),
            guard.commit(releasing.request_release, milestone_id, caller_id=hire.client.id),
        )

        assert len(won(answers)) == 1
        status = await guard.value("select status from milestones where id = $1", milestone_id)
        released = await guard.value("select count(*) from releases where milestone = $1", milestone_id)
        disputed = await guard.value("select count(*) from disputes where milestone = $1", milestone_id)
        assert (status, released, disputed) in [("releasing", 1, 0), ("disputed", 0, 1)]


async def test_a_dispute_and_an_approval_by_silence_at_once_leave_one(database: str) -> None:
    for _ in range(ROUNDS):
        hire, milestone_id = await paid_and_delivered()
        await guard.rows(
            """insert into timers (kind, subject_id, due_at) values ('milestone.approve', $1, now())
               on conflict (kind, subject_id) where fired_at is null do update set due_at = now()""",
            milestone_id,
        )
        timer = await due("milestone.approve")

        await asyncio.gather(dispute(milestone_id, hire.client.id), guard.commit(silence.approve, timer),
                             return_exceptions=True)  # fmt: skip

        status = await guard.value("select status from milestones where id = $1", milestone_id)
        released = await guard.value("select count(*) from releases where milestone = $1", milestone_id)
        disputed = await guard.value("select count(*) from disputes where milestone = $1", milestone_id)
        assert (status, released, disputed) in [("releasing", 1, 0), ("disputed", 0, 1)]


async def test_a_decision_and_an_appeal_at_once_come_one_after_the_other(database: str) -> None:
    for _ in range(ROUNDS):
        quarrel = await quarrels.a_quarrel(paid=False)
        await quarrel.assigned()

        decided, appealed = await together(
            guard.commit(mediation.resolve, quarrel.id, admin_id=quarrel.admin.id, share_bp=0, reason="No."),
            appeal(quarrel),
        )

        # An appeal that came first found nothing decided yet.
        assert isinstance(decided, DisputeRow)
        wanted = "resolved" if isinstance(appealed, WrongState) else "appealed"
        assert await quarrel.status() == (wanted, "disputed")


def appeal(quarrel: Quarrel) -> Awaitable[DisputeRow]:
    return guard.commit(mediation.appeal, quarrel.id, user_id=quarrel.hire.client.id, reason="No.")


async def test_two_appeals_at_once_are_one(database: str) -> None:
    quarrel = await quarrels.a_quarrel(paid=False)
    await quarrel.resolved()
    by_freelancer = guard.commit(mediation.appeal, quarrel.id, user_id=quarrel.hire.freelancer.id, reason="No.")

    assert len(won(await together(appeal(quarrel), by_freelancer, appeal(quarrel)))) == 1
    assert (await quarrel.status())[0] == "appealed"


async def test_an_appeal_and_the_end_of_its_time_leave_one(database: str) -> None:
    for number in range(ROUNDS):
        quarrel = await quarrels.a_quarrel(paid=False)
        await quarrel.resolved()
        timer = await due_now(quarrel)

        # The appeal looks at the clock too, so the one that is in time is made while the deadline is a moment away.
        answers = await asyncio.gather(appeal(quarrel), fired(timer), return_exceptions=True)

        if (await quarrel.status())[0] == "resolved":  # the one came a moment too early, the other one too late
            await fired(timer)
        status, milestone = await quarrel.status()
        assert (status, milestone) in [("appealed", "disputed"), ("closed", "settling")], (number, answers)
        assert isinstance(answers[0], WrongState) == (status == "closed")
        counted = await guard.value("select count(*) from settlements where milestone = $1", quarrel.milestone.id)
        assert counted == (status == "closed")


async def due_now(quarrel: Quarrel) -> TimerRow:
    """The end of the time to appeal, a moment before it is over: it falls due as the rivals begin."""
    await guard.rows("update timers set due_at = now() + interval '3 ms' where subject_id = $1 and fired_at is null",
                     quarrel.id)  # fmt: skip
    found = await guard.only("select id, subject_id, due_at from timers where kind = 'dispute.appeal' and subject_id = $1",
                             quarrel.id)  # fmt: skip
    return TimerRow(**dict(found), kind=timers.TimerKind.DISPUTE_APPEAL)


async def asked(hire: Hire, milestone_id: int) -> int:
    made = await guard.commit(
        refund_requests.ask, milestone_id, client_id=hire.client.id, amount=None, reason="Please."
    )
    return made.id


async def test_yes_no_and_silence_at_once_are_one_answer(database: str) -> None:
    seen: Counter[str] = Counter()
    for _ in range(ROUNDS):
        hire, milestone = await quarrels.a_held_milestone()
        request_id = await asked(hire, milestone.id)
        await guard.rows("update timers set due_at = now() where kind = 'refund_request.lapse' and fired_at is null")
        timer = await due("refund_request.lapse")

        await together(
            fired(timer),
            guard.commit(refund_requests.accept, milestone.id, freelancer_id=hire.freelancer.id),
            guard.commit(refund_requests.decline, milestone.id, freelancer_id=hire.freelancer.id),
            guard.commit(refund_requests.withdraw, milestone.id, client_id=hire.client.id),
        )

        status = await guard.value("select status from refund_requests where id = $1", request_id)
        seen[status] += 1
        settled = await guard.value("select count(*) from settlements where milestone = $1", milestone.id)
        assert settled == (status == "accepted")
        answered = (await worlds.told(hire.client.id)).count("refund_answered")
        assert answered == (status != "withdrawn")
    assert "open" not in seen


async def test_a_refund_that_is_agreed_and_a_dispute_at_once_leave_one(database: str) -> None:
    for _ in range(ROUNDS):
        hire, milestone = await quarrels.a_held_milestone()
        request_id = await asked(hire, milestone.id)

        answers = await together(
            guard.commit(refund_requests.accept, milestone.id, freelancer_id=hire.freelancer.id),
            dispute(milestone.id, hire.client.id),
        )

        assert len(won(answers)) == 1
        status = await guard.value("select status from milestones where id = $1", milestone.id)
        request = await guard.value("select status from refund_requests where id = $1", request_id)
        assert (status, request) in [("settling", "accepted"), ("disputed", "withdrawn")]


async def test_two_requests_at_once_are_one(database: str) -> None:
    hire, milestone = await quarrels.a_held_milestone()

    assert len(won(await together(*(asked(hire, milestone.id) for _ in range(4))))) == 1
