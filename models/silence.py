"""What happens to a delivered milestone when its client says nothing: two reminders, then approval.

A verb a deadline each; each locks the milestone first, and does nothing when somebody acted meanwhile.
"""

from datetime import timedelta
from math import ceil
from typing import Final

from models import business_time, mail, milestones, notifications, timers
from models.errors import EscrowUnderfunded
from models.escrow import releasing
from models.milestones import CLOCKS, MilestoneStatus
from models.notifications import NotificationType
from models.timers import TimerKind, TimerRow

TRIED_AGAIN_AFTER: Final = timedelta(days=1)
"""A milestone whose money is not there cannot be approved by anybody; by tomorrow it may be there, or gone back."""

_DAY: Final = timedelta(days=1)


async def remind_first(timer: TimerRow) -> None:
    """Remind the client, seven days after the last delivery."""
    await _remind(timer, until=TimerKind.MILESTONE_LAST_REMINDER)


async def remind_last(timer: TimerRow) -> None:
    """Remind the client, twelve days after the last delivery."""
    await _remind(timer, until=TimerKind.MILESTONE_APPROVE)


async def _remind(timer: TimerRow, *, until: TimerKind) -> None:
    """Say how many days are left; nothing when the next deadline has passed as well, and says it better."""
    milestone, contract = await milestones.lock_with_contract(timer.subject_id)
    if not await timers.take(timer) or milestone.status is not MilestoneStatus.SUBMITTED:
        return
    assert milestone.submitted_at is not None, f"milestone {milestone.id} was never delivered"
    now = await business_time.now()
    if now >= milestone.submitted_at + CLOCKS[until]:
        return
    days_left = ceil((milestone.submitted_at + CLOCKS[TimerKind.MILESTONE_APPROVE] - now) / _DAY)
    days = f"{days_left} day{'' if days_left == 1 else 's'}"
    await notifications.tell(
        contract.client_id,
        type=NotificationType.APPROVAL_REMINDER,
        title="A delivery waits for you",
        message=f"“{milestone.title}” is approved in {days} unless you answer.",
        data={"milestone_id": milestone.id, "contract_id": contract.id, "days_left": days_left},
    )
    await mail.write(
        "approval_reminder",
        to=contract.client_id,
        about=f"timer:{timer.id}",
        project_title=contract.title,
        contract_id=contract.id,
        milestone_id=milestone.id,
        milestone_title=milestone.title,
        freelancer_name=contract.freelancer_name,
        amount_minor=milestone.amount_minor,
        currency=milestone.currency,
        days_left=days_left,
    )


async def approve(timer: TimerRow) -> None:
    """Approve as the client would have, fourteen days after the last delivery.

    A milestone whose money is not there stays as it is until tomorrow.
    """
    milestone, contract = await milestones.lock_with_contract(timer.subject_id)
    if not await timers.take(timer) or milestone.status is not MilestoneStatus.SUBMITTED:
        return
    try:
        await releasing.release_locked(milestone, contract)
    except EscrowUnderfunded:
        # It was raised before anything was written. The proof of the books alarms about the money.
        again = await business_time.now() + TRIED_AGAIN_AFTER
        await timers.start(TimerKind.MILESTONE_APPROVE, milestone.id, again)
