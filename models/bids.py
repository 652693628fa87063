"""What becomes of an offer that lies on the table: edited, taken back, put on the short list, turned down.

Refuses whatever comes after the decision. Accepting one stands in `acceptance.py`, other terms in `counter_offers.py`.
"""

from decimal import Decimal
from typing import Final

from models import guard, notifications, proposals
from models.base import Record
from models.errors import WrongState
from models.money import Money
from models.notifications import NotificationType
from models.offers import Offer, Planned, check_offer, encoded, staged, weekly_hours_of
from models.proposals import ProposalRow, ProposalStatus

EDIT: Final = """
update proposals set cover_letter = $2, bid_minor = $3, delivery_days = $4, milestones = $5::text::jsonb,
                     weekly_hours = $6, updated_at = business_now()
 where id = $1
"""

ASKED_BY_CLIENT: Final = """
select exists (select 1 from counter_offers where proposal = $1 and status = 'open' and author = $2)
"""


class Revision(Record, frozen=True):
    """What a freelancer changes of an offer, in major units of its currency; None leaves one thing as it is."""

    cover_letter: str | None = None
    bid_amount: Decimal | None = None
    delivery_days: int | None = None
    milestones: list[Planned] | None = None
    weekly_hours: int | None = None


async def edit(proposal_id: int, revision: Revision, *, freelancer_id: int) -> ProposalRow:
    """Change one's own offer while nobody has decided; its client is told. One's own open counter-offer ends.

    Raises NotFound for a stranger, NotAllowed for the client, WrongState when it is decided or the client waits for an
    answer, and what `offers.check_offer` raises.
    """
    proposal = await proposals.locked(proposal_id)
    proposal.check_side(freelancer_id, proposal.freelancer_id)
    if not proposal.undecided:
        raise WrongState(f"This proposal is {proposal.status.value}: it is not changed any more.")
    if await guard.value(ASKED_BY_CLIENT, proposal_id, proposal.client_id):
        raise WrongState("The client has made a counter-offer: answer it first.")
    offer = _revised(proposal, revision)
    check_offer(offer, proposal.currency, proposal.budget_type)
    await guard.rows(
        EDIT,
        proposal_id,
        offer.cover_letter,
        offer.bid.minor,
        offer.delivery_days,
        encoded(offer.stages),
        weekly_hours_of(offer.weekly_hours, proposal.budget_type),
    )
    await guard.rows(proposals.END_COUNTER_OFFER, proposal_id, proposal.status.value)
    await proposals.publish_change(proposal, proposal.status)
    return await proposals.reread(proposal_id)


def _revised(proposal: ProposalRow, revision: Revision) -> Offer:
    bid, planned, hours = revision.bid_amount, revision.milestones, revision.weekly_hours
    return Offer(
        cover_letter=proposal.cover_letter if revision.cover_letter is None else revision.cover_letter,
        bid=proposal.bid if bid is None else Money.from_major(bid, proposal.currency),
        delivery_days=revision.delivery_days or proposal.delivery_days,
        stages=proposal.stages if planned is None else staged(planned, proposal.currency),
        weekly_hours=proposal.weekly_hours if hours is None else hours,
    )


async def withdraw(proposal_id: int, *, freelancer_id: int) -> ProposalRow:
    """Take one's own offer back. Raises NotFound for a stranger, NotAllowed for the client, WrongState."""
    proposal = await proposals.locked(proposal_id)
    proposal.check_side(freelancer_id, proposal.freelancer_id)
    return await proposals.move(proposal, ProposalStatus.WITHDRAWN, verb="withdraw")


async def shortlist(proposal_id: int, *, client_id: int) -> ProposalRow:
    """Put an offer on the short list; its freelancer is told. Raises NotFound, NotAllowed, WrongState."""
    proposal = await proposals.locked(proposal_id)
    proposal.check_side(client_id, proposal.client_id)
    listed = await proposals.move(proposal, ProposalStatus.SHORTLISTED, verb="shortlist")
    await notifications.tell(
        proposal.freelancer_id,
        type=NotificationType.PROPOSAL_SHORTLISTED,
        title="You are on the short list",
        message=f"The client has put your proposal for “{proposal.project_title}” on the short list.",
        data={"proposal_id": proposal.id, "project_id": proposal.project_id},
    )
    return listed


async def reject(proposal_id: int, *, client_id: int, reason: str | None = None) -> ProposalRow:
    """Turn an offer down; its freelancer is told, and why. Raises NotFound, NotAllowed, WrongState."""
    proposal = await proposals.locked(proposal_id)
    proposal.check_side(client_id, proposal.client_id)
    why = f" They say: {reason}" if reason else ""
    return await proposals.turn_down(
        proposal, f"The client has declined your proposal for “{proposal.project_title}”.{why}"
    )
