"""Money back: asked for, answered or not, and never more than is held."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from models import business_time, guard, milestones, refund_requests, settlements
from models.errors import AmountOutOfBounds, AmountTooPrecise, NotAllowed, NotFound, WrongState
from models.escrow import releasing
from models.milestones import MilestoneStatus
from models.refund_requests import RefundRequestRow, RefundRequestStatus
from models.settlements import SettlementCause, SettlementStatus
from models.timers import TimerKind, TimerRow
from tests import factories, quarrels, worlds
from tests.worlds import Hire


async def asked(hire: Hire, milestone_id: int, amount: str | None = None) -> RefundRequestRow:
    return await guard.commit(
        refund_requests.ask,
        milestone_id,
        client_id=hire.client.id,
        amount=None if amount is None else Decimal(amount),
        reason="Only half is there.",
    )


async def test_a_request_is_told_and_has_seven_days(database: str) -> None:
    hire, milestone = await quarrels.a_held_milestone()
    before = await business_time.now()

    made = await asked(hire, milestone.id)

    assert (made.status, made.amount, made.reason) == ("open", milestone.amount, "Only half is there.")
    assert made.answer_due_at is not None
    assert timedelta(days=7) <= made.answer_due_at - before <= timedelta(days=7, seconds=10)
    assert (await worlds.told(hire.freelancer.id))[-1] == "refund_requested"
    assert (await worlds.mailed(hire.freelancer.id))[-1] == "refund_requested"
    async with worlds.refused(WrongState, "is open"):
        await asked(hire, milestone.id)
    for reader, admin in ((hire.client.id, False), (hire.freelancer.id, False), (0, True)):
        assert await refund_requests.read(made.id, user_id=reader, admin=admin) == made


async def test_what_makes_no_sense_or_is_anothers_is_refused(database: str) -> None:
    hire, milestone = await quarrels.a_held_milestone()
    stranger = await factories.a_client()

    for amount, error in (("0", AmountOutOfBounds), ("-1", AmountOutOfBounds), ("1000.01", AmountOutOfBounds),
                          ("0.001", AmountTooPrecise)):  # fmt: skip
        async with worlds.refused(error):
            await asked(hire, milestone.id, amount)
    for user_id, refusal in ((stranger.id, NotFound), (hire.freelancer.id, NotAllowed)):
        async with worlds.refused(refusal):
            await guard.commit(refund_requests.ask, milestone.id, client_id=user_id, amount=None, reason="Now.")
    made = await asked(hire, milestone.id)
    for verb in (refund_requests.accept, refund_requests.decline):
        async with worlds.refused(NotFound):
            await guard.commit(verb, milestone.id, freelancer_id=stranger.id)
        async with worlds.refused(NotAllowed):
            await guard.commit(verb, milestone.id, freelancer_id=hire.client.id)
    async with worlds.refused(NotAllowed):
        await guard.commit(refund_requests.withdraw, milestone.id, client_id=hire.freelancer.id)
    for absent in (made.id, made.id + 1):
        with pytest.raises(NotFound):
            await refund_requests.read(absent, user_id=stranger.id, admin=False)
    with pytest.raises(NotFound):
        await refund_requests.list_of_milestone(milestone.id, user_id=stranger.id, admin=False, before=99, limit=9)


@pytest.mark.parametrize("status", [MilestoneStatus.PENDING, MilestoneStatus.FUNDING, MilestoneStatus.RELEASING])
async def test_without_held_money_there_is_nothing_to_ask_back(database: str, status: MilestoneStatus) -> None:
    hire, milestone = await quarrels.a_held_milestone(status)

    async with worlds.refused(WrongState, "no money of it to ask back"):
        await asked(hire, milestone.id)


async def test_an_accepted_request_is_settled_and_no_money_moves_yet(database: str) -> None:
    hire, milestone = await quarrels.a_held_milestone(MilestoneStatus.SUBMITTED)
    made = await asked(hire, milestone.id, "250.50")

    accepted = await guard.commit(refund_requests.accept, milestone.id, freelancer_id=hire.freelancer.id)

    assert (accepted.id, accepted.status, accepted.answered_by) == (made.id, "accepted", hire.freelancer.id)
    assert accepted.answer_due_at is None
    settled = (await settlements.of_cause(SettlementCause.REFUND_REQUEST, made.id))[made.id]
    assert (settled.freelancer.minor, settled.client.minor, settled.status) == (74_950, 25_050, "due")
    found = await milestones.read(milestone.id, user_id=hire.client.id, admin=False)
    assert found.status is MilestoneStatus.SETTLING
    assert await guard.value("select count(*) from journals") == 0
    assert (await worlds.told(hire.client.id))[-1] == "refund_answered"
    assert (await worlds.mailed(hire.client.id))[-1] == "refund_answered"
    assert "refund_answered" not in await worlds.told(hire.freelancer.id)
    for verb in (refund_requests.accept, refund_requests.decline):
        async with worlds.refused(WrongState, "No refund request"):
            await guard.commit(verb, milestone.id, freelancer_id=hire.freelancer.id)


async def test_a_declined_or_withdrawn_one_leaves_the_milestone_and_another_may_be_made(database: str) -> None:
    hire, milestone = await quarrels.a_held_milestone()
    first = await asked(hire, milestone.id)
    declined = await guard.commit(refund_requests.decline, milestone.id, freelancer_id=hire.freelancer.id)
    second = await asked(hire, milestone.id, "10")
    withdrawn = await guard.commit(refund_requests.withdraw, milestone.id, client_id=hire.client.id)

    assert (declined.id, declined.status) == (first.id, RefundRequestStatus.DECLINED)
    assert (withdrawn.id, withdrawn.status, withdrawn.answered_by) == (second.id, RefundRequestStatus.WITHDRAWN, None)
    found = await milestones.read(milestone.id, user_id=hire.client.id, admin=False)
    assert found.status is MilestoneStatus.FUNDED
    assert await quarrels.after(days=30) == 0
    listed = await refund_requests.list_of_milestone(
        milestone.id, user_id=hire.client.id, admin=False, before=second.id + 1, limit=10
    )
    assert [one.id for one in listed] == [second.id, first.id]


async def test_seven_days_of_silence_agree(database: str) -> None:
    hire, milestone = await quarrels.a_held_milestone()
    made = await asked(hire, milestone.id)

    assert await quarrels.after(days=6, hours=23) == 0
    assert await quarrels.after(hours=2) == 1

    found = await refund_requests.read(made.id, user_id=hire.client.id, admin=False)
    assert (found.status, found.answered_by) == ("accepted", None)
    assert found.answered_at is not None
    assert (await worlds.told(hire.client.id))[-1] == "refund_answered"
    assert (await worlds.told(hire.freelancer.id))[-1] == "refund_answered"
    context = await guard.value("select context->>'answer' from mails where kind = 'refund_answered'")
    assert context == "lapsed"


async def test_a_deadline_that_was_cleared_meanwhile_does_nothing(database: str) -> None:
    hire, milestone = await quarrels.a_held_milestone()
    made = await asked(hire, milestone.id)
    row: Any = await guard.only("select id, subject_id, due_at from timers where kind = 'refund_request.lapse'")
    await guard.commit(refund_requests.decline, milestone.id, freelancer_id=hire.freelancer.id)
    timer = TimerRow(**dict(row), kind=TimerKind.REFUND_REQUEST_LAPSE)

    async with worlds.unmoved():
        await guard.commit(refund_requests.lapse, timer)
    assert made.id == timer.subject_id


async def test_a_release_withdraws_the_request(database: str) -> None:
    hire, milestone = await quarrels.a_held_milestone(MilestoneStatus.SUBMITTED)
    await quarrels.pay(milestone, hire.client)
    made = await asked(hire, milestone.id)

    await guard.commit(releasing.request_release, milestone.id, caller_id=hire.client.id)

    found = await refund_requests.read(made.id, user_id=hire.client.id, admin=False)
    assert found.status is RefundRequestStatus.WITHDRAWN
    assert await quarrels.running(made.id, "refund_request") == []


async def test_a_void_settlement_makes_room_for_another(database: str) -> None:
    hire, milestone = await quarrels.a_held_milestone()
    made = await asked(hire, milestone.id)
    await guard.commit(refund_requests.accept, milestone.id, freelancer_id=hire.freelancer.id)

    await guard.commit(settlements.void, milestone.id)

    settled = (await settlements.of_cause(SettlementCause.REFUND_REQUEST, made.id))[made.id]
    assert settled.status is SettlementStatus.VOID
