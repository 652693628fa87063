"""Which verb each deadline calls. A verb locks its subject, takes the timer, and does nothing when it is gone."""

from collections.abc import Awaitable, Callable
from typing import Final

from models import conversations, helpdesk, mediation, refund_requests, reviews, silence, timesheets, uploads
from models.timers import TimerKind, TimerRow

VERBS: Final[dict[TimerKind, Callable[[TimerRow], Awaitable[None]]]] = {
    TimerKind.MILESTONE_FIRST_REMINDER: silence.remind_first,
    TimerKind.MILESTONE_LAST_REMINDER: silence.remind_last,
    TimerKind.MILESTONE_APPROVE: silence.approve,
    TimerKind.REFUND_REQUEST_LAPSE: refund_requests.lapse,
    TimerKind.DISPUTE_ANSWER: mediation.end_answer,
    TimerKind.DISPUTE_EVIDENCE: mediation.end_evidence,
    TimerKind.DISPUTE_APPEAL: mediation.end_appeal,
    TimerKind.CONTRACT_REVIEWS: reviews.show_all,
    TimerKind.WEEK_CLOSE: timesheets.close,
    TimerKind.WEEK_APPROVE: timesheets.approve_silently,
    TimerKind.TICKET_FIRST_RESPONSE: helpdesk.miss_first_response,
    TimerKind.TICKET_RESOLUTION: helpdesk.miss_resolution,
    TimerKind.TICKET_CLOSE: helpdesk.close_silently,
    TimerKind.UPLOAD_EXPIRE: uploads.expire,
    TimerKind.MEMBERSHIP_DIGEST: conversations.write_digest,
}
