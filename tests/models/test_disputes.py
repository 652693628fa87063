"""Disputes: one milestone stands still, both are heard, an admin decides, each may appeal once, then it is settled."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from models import disputes, evidence, guard, mediation, milestones, refund_requests, settlements
from models.disputes import DisputeReason, DisputeStatus
from models.errors import Invalid, NotAllowed, NotFound, UploadNotReady, WrongState
from models.escrow import releasing
from models.milestones import MilestoneStatus
from models.money import Money, share_of
from models.settlements import SettlementCause
from models.timers import TimerKind, TimerRow
from tests import clock, factories, quarrels, worlds
from tests.quarrels import Quarrel


async def opened(milestone_id: int, user_id: int) -> disputes.DisputeRow:
    return await guard.commit(
        disputes.open_dispute, milestone_id, user_id=user_id, reason=DisputeReason.LATE, description="Weeks late."
    )


async def settled(quarrel: Quarrel) -> tuple[int, int] | None:
    found = (await settlements.of_cause(SettlementCause.DISPUTE, quarrel.id)).get(quarrel.id)
    return None if found is None else (found.freelancer.minor, found.client.minor)


async def test_a_dispute_freezes_its_milestone_and_nothing_else(database: str) -> None:
    hire, milestone = await quarrels.a_held_milestone()
    other = await factories.a_milestone(hire.contract, amount="60", status=MilestoneStatus.FUNDED)
    asked = await guard.commit(
        refund_requests.ask, milestone.id, client_id=hire.client.id, amount=None, reason="Please."
    )

    made = await opened(milestone.id, hire.freelancer.id)

    assert (made.status, made.opener_id, made.other_party_id) == ("open", hire.freelancer.id, hire.client.id)
    found = await milestones.read(milestone.id, user_id=hire.client.id, admin=False)
    assert found.status is MilestoneStatus.DISPUTED
    withdrawn = await refund_requests.read(asked.id, user_id=hire.client.id, admin=False)
    assert withdrawn.status == "withdrawn"
    assert await worlds.told(hire.client.id) == ["proposal_received", "contract_created", "contract_signed",
                                                 "dispute_opened"]  # fmt: skip
    assert (await worlds.mailed(hire.client.id))[-1] == "dispute_opened"
    assert await quarrels.running(made.id, "dispute") == ["dispute.answer"]
    assert (made.clock, made.due_at) == (TimerKind.DISPUTE_ANSWER, await fifth_working_day("UTC"))
    async with worlds.refused(WrongState):
        await opened(milestone.id, hire.client.id)
    async with worlds.refused(WrongState):
        await guard.commit(milestones.submit, milestone.id, freelancer_id=hire.freelancer.id, note="Done.")
    await guard.commit(milestones.submit, other.id, freelancer_id=hire.freelancer.id, note="Done.")


async def fifth_working_day(zone: str) -> datetime:
    found = await guard.value("select business_now()")
    return disputes.business_time.working_days_after(found, 5, zone)


async def test_working_days_are_those_of_the_contract(database: str) -> None:
    hire, milestone = await quarrels.a_held_milestone()
    await guard.rows("update contracts set time_zone = 'Asia/Tokyo'")

    made = await opened(milestone.id, hire.client.id)

    assert made.due_at == await fifth_working_day("Asia/Tokyo")
    assert made.due_at is not None
    assert made.due_at.astimezone(ZoneInfo("Asia/Tokyo")).hour == 0


@pytest.mark.parametrize("status", [MilestoneStatus.PENDING, MilestoneStatus.RELEASING, MilestoneStatus.RELEASED])
async def test_without_held_money_there_is_nothing_to_dispute(database: str, status: MilestoneStatus) -> None:
    hire, milestone = await quarrels.a_held_milestone(status)

    async with worlds.refused(WrongState, "to open dispute it, it has to be"):
        await opened(milestone.id, hire.client.id)


async def test_to_strangers_nothing_is_there(database: str) -> None:
    quarrel, stranger = await quarrels.a_quarrel(), await factories.a_client()

    async with worlds.refused(NotFound):
        await opened(quarrel.milestone.id, stranger.id)
    async with worlds.refused(NotFound):
        await guard.commit(evidence.add, quarrel.id, user_id=stranger.id, note="I saw it.")
    async with worlds.refused(NotFound):
        await guard.commit(mediation.appeal, quarrel.id, user_id=stranger.id, reason="No.")
    async with worlds.refused(NotFound):
        await guard.commit(evidence.add, 999_999, user_id=stranger.id, note="I saw it.")
    with pytest.raises(NotFound):
        await disputes.read(quarrel.id, user_id=stranger.id, admin=False)
    assert (await disputes.read(quarrel.id, user_id=stranger.id, admin=True)).id == quarrel.id


async def test_the_other_partys_first_evidence_is_the_answer(database: str) -> None:
    quarrel = await quarrels.a_quarrel()
    client = quarrel.hire.client.id

    await guard.commit(evidence.add, quarrel.id, user_id=client, note="Look.")
    assert (await quarrel.status())[0] == "open"
    answered = await quarrel.answered()

    assert (answered.status, answered.clock) == (DisputeStatus.EVIDENCE, TimerKind.DISPUTE_EVIDENCE)
    assert await quarrels.running(quarrel.id, "dispute") == ["dispute.evidence"]
    assert [one.note for one in await evidence.of_dispute(quarrel.id)] == ["Look.", "It is all there."]
    assert (await worlds.told(client))[-1] == "dispute_answered"
    await quarrel.appealed()
    await guard.commit(evidence.add, quarrel.id, user_id=client, note="Look again.")
    assert len(await evidence.of_dispute(quarrel.id)) == 3


async def test_evidence_has_an_end_and_a_most(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "MOST_EVIDENCE", 1)
    quarrel = await quarrels.a_quarrel()
    await quarrel.answered()

    async with worlds.refused(WrongState, "as many as a dispute takes"):
        await quarrel.answered()
    await quarrel.resolved()
    async with worlds.refused(WrongState, "it takes no evidence"):
        await guard.commit(evidence.add, quarrel.id, user_id=quarrel.hire.client.id, note="Wait.")


async def a_file(user_id: int, *, purpose: str = "evidence", status: str = "ready") -> int:
    found: int = await guard.value(
        """insert into uploads ("user", purpose, filename, content_type, size_bytes, object_key, status)
           values ($1, $2, 'a.png', 'image/png', 9, gen_random_uuid()::text, $3) returning id""",
        user_id,
        purpose,
        status,
    )
    return found


async def test_only_ones_own_good_evidence_is_attached(database: str) -> None:
    quarrel = await quarrels.a_quarrel()
    client, freelancer = quarrel.hire.client.id, quarrel.hire.freelancer.id
    good = [await a_file(client), await a_file(client)]
    bad = [await a_file(freelancer), await a_file(client, purpose="avatar"), await a_file(client, status="checking")]

    for one in (*bad, 999_999):
        async with worlds.refused(UploadNotReady):
            await guard.commit(evidence.add, quarrel.id, user_id=client, note="See.", attachment_ids=[good[0], one])
    async with worlds.refused(Invalid, "named twice"):
        await guard.commit(evidence.add, quarrel.id, user_id=client, note="See.", attachment_ids=[good[0], good[0]])
    await guard.commit(evidence.add, quarrel.id, user_id=client, note="See.", attachment_ids=good)
    assert [one.attachment_ids for one in await evidence.of_dispute(quarrel.id)] == [good]


@pytest.mark.parametrize("answered", ["", "answered"])
async def test_after_five_working_days_it_is_mediated(database: str, answered: str) -> None:
    quarrel = await quarrels.a_quarrel()
    if answered:
        await quarrel.answered()

    assert await quarrels.after(days=9) == 1

    assert await quarrel.status() == ("mediation", "disputed")
    for person in (quarrel.hire.client.id, quarrel.hire.freelancer.id, quarrel.admin.id):
        assert (await worlds.told(person))[-1] == "dispute_mediated"
    assert await quarrels.running(quarrel.id, "dispute") == []


async def test_who_may_decide(database: str) -> None:
    quarrel, second = await quarrels.a_quarrel(), await factories.an_admin()
    client, gone = quarrel.hire.client, await factories.an_admin()
    await guard.rows("update users set deactivated_at = now() where id = $1", gone.id)

    for nobody in (client.id, gone.id, 999_999):
        async with worlds.refused(Invalid, "There is no admin"):
            await guard.commit(mediation.assign, quarrel.id, to=nobody, admin_id=second.id)
    await guard.rows("update users set role = 'admin' where id = $1", client.id)
    async with worlds.refused(NotAllowed, "of their own"):
        await guard.commit(mediation.assign, quarrel.id, to=client.id, admin_id=second.id)
    await guard.commit(mediation.assign, quarrel.id, to=quarrel.admin.id, admin_id=second.id)
    assert await worlds.told(quarrel.admin.id) == ["dispute_assigned"]
    given = await guard.commit(mediation.assign, quarrel.id, to=second.id, admin_id=second.id)
    assert (given.status, given.assignee_id) == ("mediation", second.id)
    assert await worlds.told(second.id) == []
    async with worlds.refused(NotAllowed, "assigned to"):
        await guard.commit(mediation.resolve, quarrel.id, admin_id=quarrel.admin.id, share_bp=1, reason="So.")
    found = await guard.rows("select action, actor_id from audit_log where subject_kind = 'dispute' order by id")
    assert [tuple(one) for one in found] == [("dispute.assign", second.id)] * 2


async def test_a_decision_moves_nothing_until_nobody_can_appeal(database: str) -> None:
    quarrel = await quarrels.a_quarrel()

    decided = await quarrel.resolved(2_500)

    assert (decided.status, decided.share_bp, decided.clock) == ("resolved", 2_500, TimerKind.DISPUTE_APPEAL)
    assert await quarrel.status() == ("resolved", "disputed")
    for party in (quarrel.hire.client.id, quarrel.hire.freelancer.id):
        assert (await worlds.told(party))[-1] == "dispute_resolved"
        assert (await worlds.mailed(party))[-1] == "dispute_resolved"
    assert await settled(quarrel) is None
    async with worlds.refused(WrongState):
        await guard.commit(releasing.request_release, quarrel.milestone.id, caller_id=quarrel.hire.client.id)

    assert await quarrels.after(days=9) == 1

    assert await quarrel.status() == ("closed", "settling")
    assert await settled(quarrel) == (25_000, 75_000)
    assert (await worlds.told(quarrel.hire.client.id))[-1] == "dispute_closed"
    for late in (
        guard.commit(mediation.appeal, quarrel.id, user_id=quarrel.hire.client.id, reason="No."),
        guard.commit(mediation.resolve, quarrel.id, admin_id=quarrel.admin.id, share_bp=0, reason="No."),
        guard.commit(mediation.assign, quarrel.id, to=quarrel.admin.id, admin_id=quarrel.admin.id),
    ):
        async with worlds.refused(WrongState):
            await late


async def test_an_appeal_is_heard_once_by_another_admin(database: str) -> None:
    quarrel, second = await quarrels.a_quarrel(), await factories.an_admin()
    await quarrel.resolved(0)

    appealed = await guard.commit(
        mediation.appeal, quarrel.id, user_id=quarrel.hire.freelancer.id, reason="It is more than that."
    )

    assert (appealed.status, appealed.assignee_id, appealed.clock) == ("appealed", None, None)
    assert appealed.appealed_by == quarrel.hire.freelancer.id
    for person in (quarrel.hire.client.id, quarrel.admin.id, second.id):
        assert (await worlds.told(person))[-1] == "dispute_appealed"
    async with worlds.refused(NotAllowed, "assigned to"):
        await guard.commit(mediation.resolve, quarrel.id, admin_id=quarrel.admin.id, share_bp=0, reason="Still.")
    async with worlds.refused(NotAllowed, "another admin"):
        await quarrel.assigned()
    await guard.commit(mediation.assign, quarrel.id, to=second.id, admin_id=quarrel.admin.id)
    closed = await guard.commit(mediation.resolve, quarrel.id, admin_id=second.id, share_bp=5_000, reason="Half.")
    assert (closed.status, closed.share_bp, closed.decided_by) == ("closed", 5_000, second.id)
    assert await settled(quarrel) == (50_000, 50_000)
    assert (await worlds.mailed(quarrel.hire.client.id)).count("dispute_resolved") == 2
    assert await quarrels.after(days=30) == 0


async def test_an_appeal_comes_in_time_or_not_at_all(database: str) -> None:
    quarrel = await quarrels.a_quarrel()
    await quarrel.resolved()
    await clock.ahead(days=9)

    async with worlds.refused(WrongState, "is over"):
        await guard.commit(mediation.appeal, quarrel.id, user_id=quarrel.hire.client.id, reason="Late.")


async def test_the_whole_for_the_freelancer_is_released_as_an_approval_would(database: str) -> None:
    quarrel = await quarrels.a_quarrel()
    await quarrel.resolved(10_000)

    await quarrels.after(days=9)

    assert await quarrel.status() == ("closed", "releasing")
    assert await settled(quarrel) is None
    release = await guard.only("select gross_minor, fee_minor, net_minor, status from releases")
    assert tuple(release) == (100_000, 10_000, 90_000, "begun")


async def test_what_escrow_does_not_hold_is_written_down_instead(database: str) -> None:
    quarrel = await quarrels.a_quarrel(paid=False)
    await quarrel.resolved(10_000)

    await quarrels.after(days=9)

    assert await quarrel.status() == ("closed", "settling")
    assert await settled(quarrel) == (100_000, 0)
    assert await guard.value("select count(*) from releases") == 0


@pytest.mark.parametrize(
    ("whole", "share_bp", "part"),
    [
        (Money(100_001, "USD"), 5_000, 50_000),
        (Money(100_003, "USD"), 5_000, 50_002),
        (Money(5, "JPY"), 3_333, 2),
        (Money(1_000, "ISK"), 3_333, 300),
        (Money(12_350, "KWD"), 5_000, 6_180),
        (Money(99_999_999, "USD"), 10_000, 99_999_999),
        (Money(99_999_999, "USD"), 0, 0),
    ],
)
def test_a_share_is_rounded_half_to_even_by_the_cards_steps(whole: Money, share_bp: int, part: int) -> None:
    assert share_of(whole, share_bp) == Money(part, whole.currency)


async def test_a_deadline_that_was_cleared_meanwhile_does_nothing(database: str) -> None:
    quarrel = await quarrels.a_quarrel()
    first = await guard.only("select id, subject_id, due_at from timers")
    await quarrel.resolved()
    last = await guard.only("select id, subject_id, due_at from timers")
    await quarrel_appeals(quarrel)

    async with worlds.unmoved():
        await guard.commit(mediation.end_answer, TimerRow(**dict(first), kind=TimerKind.DISPUTE_ANSWER))
        await guard.commit(mediation.end_appeal, TimerRow(**dict(last), kind=TimerKind.DISPUTE_APPEAL))


async def quarrel_appeals(quarrel: Quarrel) -> None:
    await guard.commit(mediation.appeal, quarrel.id, user_id=quarrel.hire.client.id, reason="No.")


async def test_lists_hold_ones_own_and_for_admins_all(database: str) -> None:
    one, two = await quarrels.a_quarrel(), await quarrels.a_quarrel()
    await one.assigned()
    most = 2**53

    async def own(user_id: int, status: DisputeStatus | None = None) -> list[int]:
        return [d.id for d in await disputes.list_own(user_id, status=status, before=most, limit=9)]

    async def every(status: DisputeStatus | None = None, assignee: int | None = None) -> list[int]:
        found = await disputes.list_all(status=status, assignee_id=assignee, before=most, limit=9)
        return [d.id for d in found]

    assert await own(one.hire.client.id) == await own(one.hire.freelancer.id) == [one.id]
    assert await own(one.hire.client.id, DisputeStatus.OPEN) == []
    assert await every() == [two.id, one.id]
    assert await every(DisputeStatus.OPEN) == [two.id]
    assert await every(assignee=one.admin.id) == [one.id]
    assert await every(DisputeStatus.OPEN, one.admin.id) == []


async def test_a_hold_that_the_bank_lets_go_ends_dispute_request_and_settlement(database: str) -> None:
    quarrel = await quarrels.a_quarrel()
    await quarrel.resolved()

    await guard.commit(mediation.lapse, quarrel.milestone.id)
    async with worlds.unmoved():
        await guard.commit(mediation.lapse, quarrel.milestone.id)

    assert (await quarrel.status())[0] == "closed"
    assert await settled(quarrel) is None
    assert (await worlds.told(quarrel.hire.client.id))[-1] == "dispute_closed"
    assert await quarrels.after(days=30) == 0
