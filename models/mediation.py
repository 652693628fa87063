"""Who decides a dispute, what is decided, and what then becomes of the milestone's money.

Refuses a decision by an admin it is not assigned to, an admin who is a party of it, and an appeal heard by whoever
decided first. Nothing is paid before the time to appeal is over.
"""

from typing import Final

from models import audit, disputes, guard, mail, milestones, settlements, timers
from models.accounts import Role
from models.contracts import ContractRow
from models.disputes import MACHINE, DisputeRow, DisputeStatus
from models.errors import EscrowUnderfunded, Invalid, NotAllowed, NotFound, WrongState
from models.escrow import releasing
from models.milestones import MilestoneRow, MilestoneStatus
from models.money import BASIS_POINTS, Money, share_of
from models.notifications import NotificationType
from models.settlements import SettlementCause
from models.timers import TimerKind, TimerRow

MOST_TOLD: Final = 50
"""Admins who are told that somebody has to take a dispute."""

PRESENT_ADMINS: Final = """
select id from users
 where role = 'admin' and suspended_at is null and deactivated_at is null and id <> all($1::bigint[])
 order by id limit $2
"""

ASSIGN: Final = "update disputes set status = 'mediation', assignee = $2 where id = $1"
REASSIGN: Final = "update disputes set assignee = $2 where id = $1"
RESOLVE: Final = """
update disputes set status = $2, share_bp = $3, decision = $4, decided_by = $5, decided_at = business_now()
 where id = $1
"""
APPEAL: Final = """
update disputes set status = 'appealed', appealed_by = $2, appeal = $3, assignee = null where id = $1
"""
CLOSE: Final = "update disputes set status = 'closed', closed_at = business_now() where id = $1"


async def assign(dispute_id: int, *, to: int, admin_id: int) -> DisputeRow:
    """Give a dispute to an admin, who alone decides it; mediation begins with it. It may be given on later.

    Raises NotFound, Invalid when nobody of that id runs the platform, NotAllowed for a party of it and, after an
    appeal, for whoever decided first, WrongState once it is decided.
    """
    dispute, _, _ = await disputes.locked(dispute_id)
    await _check_judge(dispute, to)
    if dispute.status in (DisputeStatus.MEDIATION, DisputeStatus.APPEALED):
        await guard.rows(REASSIGN, dispute_id, to)
    else:
        MACHINE.check(dispute.status, DisputeStatus.MEDIATION, verb="assign")
        await guard.rows(ASSIGN, dispute_id, to)
        await disputes.stop_clocks(dispute_id)
        await _tell_mediated(dispute, *dispute.parties)
    before, after = {"assignee_id": dispute.assignee_id}, {"assignee_id": to}
    await audit.record(admin_id, "dispute.assign", "dispute", str(dispute_id), before=before, after=after)
    if to != admin_id:
        await disputes.tell(
            dispute,
            to,
            type=NotificationType.DISPUTE_ASSIGNED,
            title="Dispute assigned to you",
            message=f"The dispute about “{dispute.milestone_title}” is yours to decide.",
        )
    return await disputes.reread(dispute_id)


async def _check_judge(dispute: DisputeRow, admin_id: int) -> None:
    """Whether this person may decide this dispute."""
    role = await guard.value(
        "select role from users where id = $1 and suspended_at is null and deactivated_at is null", admin_id
    )
    if role != Role.ADMIN:
        raise Invalid(f"There is no admin {admin_id}.", field="admin_id")
    if admin_id in dispute.parties:
        raise NotAllowed("Nobody decides a dispute of their own.")
    if dispute.status is DisputeStatus.APPEALED and admin_id == dispute.decided_by:
        raise NotAllowed("An appeal is heard by another admin than the one who decided.")


async def resolve(dispute_id: int, *, admin_id: int, share_bp: int, reason: str) -> DisputeRow:
    """Decide how much of the money the freelancer gets, in basis points; the client gets the rest.

    The first decision can be appealed for five working days, and nothing moves before; the decision about an appeal
    closes the dispute and settles its milestone. Raises NotFound, NotAllowed unless it is assigned to the caller,
    WrongState unless it is in mediation or appealed.
    """
    assert 0 <= share_bp <= BASIS_POINTS, share_bp
    dispute, milestone, contract = await disputes.locked(dispute_id)
    final = dispute.status is DisputeStatus.APPEALED
    target = DisputeStatus.CLOSED if final else DisputeStatus.RESOLVED
    MACHINE.check(dispute.status, target, verb="resolve")
    if dispute.assignee_id != admin_id:
        raise NotAllowed("It is decided by the admin it is assigned to: POST /api/disputes/{id}/assign.")
    await guard.rows(RESOLVE, dispute_id, target.value, share_bp, reason, admin_id)
    before = {"status": dispute.status.value, "share_bp": dispute.share_bp}
    after = {"status": target.value, "share_bp": share_bp}
    await audit.record(
        admin_id, "dispute.resolve", "dispute", str(dispute_id), {"reason": reason}, before=before, after=after
    )
    decided = await disputes.reread(dispute_id)
    if final:
        await _close(decided, milestone, contract)
    else:
        await disputes.start_clock(TimerKind.DISPUTE_APPEAL, dispute_id, contract)
        await _tell_resolved(decided)
    await _mail_resolved(decided, is_final=final)
    return await disputes.reread(dispute_id)


async def appeal(dispute_id: int, *, user_id: int, reason: str) -> DisputeRow:
    """Have a decision looked at once more, as a party: by another admin, whose decision is the last.

    Raises NotFound for a stranger, WrongState unless it is decided, for the first time, and the five working days are
    not over.
    """
    dispute, _, _ = await disputes.locked(dispute_id)
    if user_id not in dispute.parties:
        raise NotFound(f"There is no dispute {dispute_id}.")
    MACHINE.check(dispute.status, DisputeStatus.APPEALED, verb="appeal")
    # The deadline is a moment, not the sweep that notices it up to a minute later.
    if not await guard.value("select $1::timestamptz > business_now()", dispute.due_at):
        raise WrongState("The time to appeal is over.")
    await guard.rows(APPEAL, dispute_id, user_id, reason)
    await disputes.stop_clocks(dispute_id)
    other = next(one for one in dispute.parties if one != user_id)
    await disputes.tell(
        dispute,
        other,
        *await _admins(dispute),
        type=NotificationType.DISPUTE_APPEALED,
        title="Decision appealed",
        message=f"The decision about “{dispute.milestone_title}” was appealed: another admin looks at it.",
    )
    return await disputes.reread(dispute_id)


# What deadlines and the bank do


async def end_answer(timer: TimerRow) -> None:
    """Go on without an answer: the other party said nothing for five working days."""
    await _mediate(timer, "end_answer")


async def end_evidence(timer: TimerRow) -> None:
    """Begin mediation: five working days for evidence are over."""
    await _mediate(timer, "end_evidence")


async def _mediate(timer: TimerRow, verb: str) -> None:
    dispute, _, _ = await disputes.locked(timer.subject_id)
    if not await timers.take(timer):
        return
    MACHINE.check(dispute.status, DisputeStatus.MEDIATION, verb=verb)
    await guard.rows(disputes.MOVE, dispute.id, DisputeStatus.MEDIATION.value)
    await _tell_mediated(dispute, *dispute.parties, *await _admins(dispute))


async def end_appeal(timer: TimerRow) -> None:
    """Make the decision final: nobody appealed."""
    dispute, milestone, contract = await disputes.locked(timer.subject_id)
    if not await timers.take(timer):
        return
    MACHINE.check(dispute.status, DisputeStatus.CLOSED, verb="end_appeal")
    await _close(dispute, milestone, contract)


async def lapse(milestone_id: int) -> None:
    """Close the dispute, if there is one, about a milestone whose money the bank let go of. It is locked."""
    guard.in_transaction()
    dispute_id = await guard.value("select id from disputes where milestone = $1 and status <> 'closed'", milestone_id)
    if dispute_id is None:
        return
    dispute = await disputes.reread(dispute_id)
    MACHINE.check(dispute.status, DisputeStatus.CLOSED, verb="lapse")
    await guard.rows(CLOSE, dispute_id)
    await disputes.stop_clocks(dispute_id)
    await _tell_closed(dispute, f"The bank let go of {dispute.amount}, so there is nothing left to decide.")


async def _close(dispute: DisputeRow, milestone: MilestoneRow, contract: ContractRow) -> None:
    """Carry a decision out that nobody can appeal any more."""
    freelancer, client = shares(dispute)
    await guard.rows(CLOSE, dispute.id)
    milestones.MACHINE.check(milestone.status, MilestoneStatus.SETTLING, verb="settle_dispute")
    if dispute.share_bp != BASIS_POINTS or not await _release(milestone, contract):
        await settlements.settle(milestone, contract, cause=SettlementCause.DISPUTE, cause_id=dispute.id, client=client)
    await _tell_closed(dispute, f"It is final: {freelancer} for the freelancer, {client} for the client.")


async def _release(milestone: MilestoneRow, contract: ContractRow) -> bool:
    """Release the whole as the client's approval would have; False when escrow does not hold it."""
    try:
        await releasing.release_locked(milestone, contract)
    except EscrowUnderfunded:
        # Whoever waits for a deadline would try for ever. What is due is written down instead, for people to see.
        return False
    return True


def shares(dispute: DisputeRow) -> tuple[Money, Money]:
    """What freelancer and client get by the decision, before the platform's fee."""
    assert dispute.share_bp is not None, f"dispute {dispute.id} is not decided"
    freelancer = share_of(dispute.amount, dispute.share_bp)
    return freelancer, Money(dispute.amount_minor - freelancer.minor, dispute.currency)


async def _admins(dispute: DisputeRow) -> list[int]:
    return [one["id"] for one in await guard.rows(PRESENT_ADMINS, list(dispute.parties), MOST_TOLD)]


async def _tell_mediated(dispute: DisputeRow, *people: int) -> None:
    await disputes.tell(
        dispute,
        *people,
        type=NotificationType.DISPUTE_MEDIATED,
        title="Dispute in mediation",
        message=f"The dispute about “{dispute.milestone_title}” is in mediation: an admin decides it.",
    )


async def _tell_resolved(dispute: DisputeRow) -> None:
    freelancer, client = shares(dispute)
    await disputes.tell(
        dispute,
        *dispute.parties,
        type=NotificationType.DISPUTE_RESOLVED,
        title="Dispute decided",
        message=f"Of “{dispute.milestone_title}” the freelancer gets {freelancer} and the client {client}, unless "
        "one of you appeals within 5 working days.",
    )


async def _tell_closed(dispute: DisputeRow, outcome: str) -> None:
    await disputes.tell(
        dispute,
        *dispute.parties,
        type=NotificationType.DISPUTE_CLOSED,
        title="Dispute closed",
        message=f"The dispute about “{dispute.milestone_title}” is closed. {outcome}",
    )


async def _mail_resolved(dispute: DisputeRow, *, is_final: bool) -> None:
    freelancer, client = shares(dispute)
    for party in dispute.parties:
        await mail.write(
            "dispute_resolved",
            to=party,
            about=f"dispute:{dispute.id}:{'final' if is_final else 'first'}",
            project_title=dispute.contract_title,
            contract_id=dispute.contract_id,
            milestone_id=dispute.milestone_id,
            milestone_title=dispute.milestone_title,
            dispute_id=dispute.id,
            freelancer_minor=freelancer.minor,
            client_minor=client.minor,
            currency=dispute.currency,
            is_final=is_final,
        )
