"""A client who says nothing: reminded after 7 days and after 12, and after 14 the milestone is approved."""

from datetime import timedelta
from uuid import UUID

import pytest

# For its performers.
import tasks.timers  # noqa: F401
from models import deadlines, guard, milestones, plans, timers
from models.escrow import funding, releasing
from models.jobs import JobStatus, Queue
from models.ledger import accounts
from models.ledger.posting import post
from models.milestones import MilestoneStatus
from models.queue.views import JobView
from models.timers import TimerKind
from tests import clock, factories, worlds
from tests.escrows import FUND, RELEASE, a_deal, assert_proven, assert_released_once, journals
from tests.performing import killed_after, killed_before, perform_all, perform_killed, perform_now, release_dead
from tests.stripe_sandbox import HOLD_S, StripeSandbox
from tests.worlds import Hire
from tests.worlds import a_hire as hired

APPROVE = TimerKind.MILESTONE_APPROVE.value
EVERY_CLOCK = [
    (TimerKind.MILESTONE_FIRST_REMINDER.value, 7),
    (TimerKind.MILESTONE_LAST_REMINDER.value, 12),
    (APPROVE, 14),
]


async def paid(hire: Hire) -> None:
    """Money for the hire's one milestone, as a funding would have left it."""
    milestone = await factories.walked(hire.milestones[0], MilestoneStatus.FUNDED)
    minor = milestone.amount.minor
    await guard.rows(
        """insert into payments (milestone, payer, amount_minor, currency, payment_method_id, rail, status, intent_id,
                                 expires_at)
           values ($1, $2, $3, 'USD', 'pm_card_visa', 'captured', 'succeeded', $4, now())""",
        milestone.id,
        hire.client.id,
        minor,
        f"pi_{milestone.id}",
    )

    async def fund() -> None:
        moves = {accounts.milestone(milestone.id): minor, accounts.STRIPE: -minor}
        await post(f"fund:{milestone.id}", kind="fund", subject="test", moves=moves, currency="USD")

    await guard.commit(fund)


async def deliver(hire: Hire) -> None:
    await guard.commit(milestones.submit, hire.milestones[0].id, freelancer_id=hire.freelancer.id, note="Here.")


async def a_delivery(*, money: bool = True) -> Hire:
    """A milestone that was delivered just now, with its money behind it."""
    hire = await hired()
    if money:
        await paid(hire)
    else:
        await factories.walked(hire.milestones[0], MilestoneStatus.FUNDED)
    await deliver(hire)
    return hire


async def status(hire: Hire) -> str:
    found: str = await guard.value("select status from milestones where id = $1", hire.milestones[0].id)
    return found


async def waiting() -> list[tuple[str, int]]:
    """The clocks that run, and on which day after the delivery each ends."""
    found = await guard.rows(
        """select t.kind, extract(epoch from t.due_at - m.submitted_at)::bigint as after_s
             from timers t join milestones m on m.id = t.subject_id where t.fired_at is null order by t.due_at"""
    )
    assert all(one["after_s"] % 86_400 == 0 for one in found)
    return [(one["kind"], one["after_s"] // 86_400) for one in found]


async def strike() -> list[JobView]:
    """Sweep what is due and carry it out."""
    await guard.commit(timers.sweep)
    return [one for one in await perform_all((Queue.NOTIFY,)) if one.kind == "timers.fire"]


async def due_job(kind: str) -> UUID:
    """The job that fires a clock of this kind, made by a sweep and not begun."""
    await guard.commit(timers.sweep)
    found = await guard.value(
        """select j.job_id from job_live j join jobs w on w.id = j.job_id
             join timers t on t.id = (w.payload->>'timer_id')::bigint where t.kind = $1 and t.fired_at is null""",
        kind,
    )
    return UUID(int=found.int)


async def test_silence_reminds_twice_and_approves(stripe: StripeSandbox) -> None:
    deal = await a_deal(stripe, rail="captured")
    await deal.funded()
    await deal.submit()
    client = deal.hire.client
    assert await waiting() == EVERY_CLOCK
    seen = await milestones.read(deal.milestone_id, user_id=client.id, admin=False)
    assert seen.submitted_at is not None
    assert seen.approves_at == seen.submitted_at + timedelta(days=14)

    await clock.ahead(days=6, hours=23)
    assert await strike() == []
    await clock.ahead(hours=1)
    await strike()
    assert (await worlds.told(client.id))[-1] == "approval_reminder"
    await clock.ahead(days=5)
    await strike()
    assert (await worlds.told(client.id)).count("approval_reminder") == 2
    mailed = await guard.rows(
        "select context->>'days_left' as left from mails where kind = 'approval_reminder' order by id"
    )
    assert [one["left"] for one in mailed] == ["7", "2"]
    said = await guard.rows("select message from notifications where type = 'approval_reminder' order by id")
    assert [one["message"] for one in said] == [
        "“The shop” is approved in 7 days unless you answer.",
        "“The shop” is approved in 2 days unless you answer.",
    ]
    assert await waiting() == [(APPROVE, 14)]
    await clock.ahead(days=2)
    await strike()
    assert await deal.status() == "releasing"
    await perform_all((Queue.PAYMENTS,))
    await assert_released_once(deal, stripe)
    assert await strike() == []


async def test_a_clock_that_was_missed_for_long_says_only_what_is_true_still(database: str) -> None:
    hire = await a_delivery()
    await clock.ahead(days=13, hours=12)
    await strike()
    assert (await worlds.told(hire.client.id)).count("approval_reminder") == 1
    assert await guard.value("select context->>'days_left' from mails where kind = 'approval_reminder'") == "1"

    other = await a_delivery()
    await clock.ahead(days=15)
    await strike()
    assert (await worlds.told(other.client.id)).count("approval_reminder") == 0
    assert (await status(hire), await status(other)) == ("releasing", "releasing")


async def test_whatever_answers_a_delivery_stops_its_clocks(database: str) -> None:
    given_back, approved, disputed, kept = [await a_delivery() for _ in range(4)]

    async def dispute() -> None:
        milestone, contract = await milestones.lock_with_contract(disputed.milestones[0].id)
        await milestones.move(milestone, contract, MilestoneStatus.DISPUTED, verb="open_dispute")

    await guard.commit(plans.request_changes, given_back.milestones[0].id, client_id=given_back.client.id, note="More.")
    await guard.commit(releasing.request_release, approved.milestones[0].id, caller_id=approved.client.id)
    await guard.commit(dispute)

    assert {one["subject_id"] for one in await guard.rows("select subject_id from timers")} == {kept.milestones[0].id}
    await clock.ahead(days=20)
    await strike()
    assert [await status(one) for one in (given_back, approved, disputed, kept)] == [
        "changes_requested",
        "releasing",
        "disputed",
        "releasing",
    ]


async def test_another_delivery_counts_anew(database: str) -> None:
    hire = await a_delivery()
    await clock.ahead(days=10)
    await strike()
    await guard.commit(plans.request_changes, hire.milestones[0].id, client_id=hire.client.id, note="More.")
    await deliver(hire)
    assert await waiting() == EVERY_CLOCK

    await clock.ahead(days=13)
    await strike()
    assert await status(hire) == "submitted"
    assert (await worlds.mailed(hire.client.id)).count("approval_reminder") == 2

    async def stop() -> None:
        milestone, _ = await milestones.lock_with_contract(hire.milestones[0].id)
        await milestones.stop_clocks(milestone.id)

    await guard.commit(stop)
    assert await waiting() == []


async def test_a_milestone_without_its_money_is_tried_again_each_day(database: str) -> None:
    hire = await a_delivery(money=False)
    await clock.ahead(days=14)

    jobs = await strike()

    assert [one.status for one in jobs] == [JobStatus.SUCCEEDED] * 3
    assert await status(hire) == "submitted"
    assert await guard.value("select count(*) from releases") == 0
    left = await guard.value("select due_at - business_now() from timers where fired_at is null")
    assert timedelta(hours=23, minutes=59) < left <= timedelta(days=1)
    await clock.ahead(days=1)
    await strike()
    assert await status(hire) == "submitted"


async def test_a_release_that_is_given_up_begins_the_silence_anew(stripe: StripeSandbox) -> None:
    deal = await a_deal(stripe, rail="captured")
    approved = await deal.releasing()
    assert await waiting() == []

    await guard.commit(releasing.abandon_release, approved.release_id, "no such account")

    left = await guard.value("select due_at - business_now() from timers where kind = $1", APPROVE)
    assert timedelta(days=13, hours=23) < left <= timedelta(days=14)
    assert await guard.value("select count(*) from timers where fired_at is null") == 1
    await clock.ahead(days=14)
    await strike()
    await perform_all((Queue.PAYMENTS,))
    assert await journals(deal) == [FUND, RELEASE]
    await assert_proven()


@pytest.mark.parametrize("state", ["submitted", "changes_requested", "disputed", "settling"])
async def test_a_hold_that_lapses_takes_the_clocks_and_what_was_decided_with_it(
    stripe: StripeSandbox, state: str
) -> None:
    deal = await a_deal(stripe)
    payment_id = await deal.funded()
    await deal.submit()
    if state != "submitted":

        async def step() -> None:
            milestone, contract = await milestones.lock_with_contract(deal.milestone_id)
            await milestones.move(milestone, contract, MilestoneStatus(state))

        await guard.commit(step)
    await guard.rows(
        """insert into settlements (milestone, cause, cause_id, freelancer_minor, client_minor, currency)
           values ($1, 'dispute', 1, 60000, 40000, 'USD')""",
        deal.milestone_id,
    )
    await assert_proven()
    stripe.advance(HOLD_S + 1)

    await guard.commit(funding.lapse, payment_id)

    assert (await deal.status(), await deal.held()) == ("pending", 0)
    assert await guard.value("select status from settlements") == "void"
    assert await waiting() == []
    await assert_proven()


STEPS = [
    pytest.param(milestones, "lock_with_contract", id="the lock"),
    pytest.param(timers, "take", id="the timer's taking"),
    pytest.param(releasing, "release_locked", id="the release"),
]


@pytest.mark.parametrize(("owner", "name"), STEPS)
async def test_silence_approves_once_though_its_job_dies_between_any_two_steps(
    stripe: StripeSandbox, owner: object, name: str
) -> None:
    deal = await a_deal(stripe, rail="captured")
    await deal.funded()
    await deal.submit()
    await clock.ahead(days=14)
    job_id = await due_job(APPROVE)

    for dying in (killed_before, killed_after):
        with dying(owner, name):
            await perform_killed(job_id)
        assert (await deal.status(), await guard.value("select count(*) from releases")) == ("submitted", 0)
        await release_dead(job_id)
        await guard.rows("update job_live set run_at = now() where job_id = $1", job_id)
    assert (await perform_now(job_id)).status is JobStatus.SUCCEEDED

    await perform_all((Queue.NOTIFY,))
    await perform_all((Queue.PAYMENTS,))
    await assert_released_once(deal, stripe)


async def test_a_deadline_that_is_called_twice_acts_once(database: str) -> None:
    hire = await a_delivery()
    for days, kind in (
        (7, TimerKind.MILESTONE_FIRST_REMINDER),
        (5, TimerKind.MILESTONE_LAST_REMINDER),
        (2, TimerKind.MILESTONE_APPROVE),
    ):
        await clock.ahead(days=days)
        timer = await timers.find(await guard.value("select id from timers where kind = $1", kind.value))
        assert timer is not None
        await guard.commit(deadlines.VERBS[kind], timer)
        async with worlds.unmoved():
            await guard.commit(deadlines.VERBS[kind], timer)
    assert await status(hire) == "releasing"
    assert (await worlds.mailed(hire.client.id)).count("approval_reminder") == 2
    assert await guard.value("select count(*) from releases") == 1


@pytest.mark.parametrize("kind", [TimerKind.MILESTONE_FIRST_REMINDER, TimerKind.MILESTONE_APPROVE])
async def test_a_clock_of_what_is_delivered_no_more_says_nothing(database: str, kind: TimerKind) -> None:
    hire = await a_delivery()
    await guard.rows("update milestones set status = 'funded'")  # no verb leaves a clock behind; a hand might
    await clock.ahead(days=14)
    timer = await timers.find(await guard.value("select id from timers where kind = $1", kind.value))
    assert timer is not None

    await guard.commit(deadlines.VERBS[kind], timer)

    assert await status(hire) == "funded"
    assert "approval_reminder" not in await worlds.told(hire.client.id)
