"""Other terms for a proposal, from either side, over HTTP."""

from datetime import datetime
from decimal import Decimal
from typing import Final

import msgspec
from litestar import Router, get, post
from litestar.params import JSONBody
from litestar.status_codes import HTTP_200_OK

from api.auth import Asking, role, signed_in, verified
from api.fields import Amount, Body, Id, Note, PathId
from api.idempotency import Once, seen_by
from api.pages import DEFAULT_LIMIT, Cursor, Limit, Page, decode_cursor, page
from api.proposals import DeliveryDays, MilestonePlan, Milestones, plans
from models import counter_offers
from models.accounts import Role
from models.counter_offers import CounterOfferRow, CounterOfferStatus, Terms

LISTING: Final = "counter-offers"
_SIDES: Final = role(Role.CLIENT, Role.FREELANCER)


class NewCounterOffer(Body, frozen=True, kw_only=True):
    """What one would take, in the proposal's currency. Without milestones its own stand, if they add up still."""

    bid_amount: Amount
    delivery_days: DeliveryDays
    message: Note
    milestones: Milestones = msgspec.field(default_factory=list)

    def terms(self) -> Terms:
        """What the domain is told."""
        return Terms(
            bid_amount=self.bid_amount,
            delivery_days=self.delivery_days,
            message=self.message,
            milestones=[one.planned() for one in self.milestones],
        )


class Answer(Body, frozen=True, kw_only=True):
    """Which counter-offer the caller has read: another one is not accepted in its place."""

    counter_offer_id: Id | None = None


class CounterOfferOut(msgspec.Struct, frozen=True, kw_only=True):
    """A counter-offer as the two sides see it."""

    id: int
    proposal_id: int
    author_id: int
    bid_amount: Decimal
    currency: str
    delivery_days: int
    milestones: list[MilestonePlan]
    message: str
    status: CounterOfferStatus
    created_at: datetime
    answered_at: datetime | None


def show(offer: CounterOfferRow) -> CounterOfferOut:
    """The counter-offer as it is answered."""
    return CounterOfferOut(
        id=offer.id,
        proposal_id=offer.proposal_id,
        author_id=offer.author_id,
        bid_amount=offer.bid.major,
        currency=offer.currency,
        delivery_days=offer.delivery_days,
        milestones=plans(offer.stages, offer.currency),
        message=offer.message,
        status=offer.status,
        created_at=offer.created_at,
        answered_at=offer.answered_at,
    )


@post("/{proposal_id:int}/counter-offer", guards=[_SIDES, verified])
async def make_counter_offer(
    proposal_id: PathId, data: JSONBody[NewCounterOffer], caller: Asking, once: Once
) -> CounterOfferOut:
    """Offer other terms to the other side of an undecided proposal; what was open before is superseded."""
    again = seen_by(caller, counter_offers.read)
    return show(await once(counter_offers.make, proposal_id, data.terms(), user_id=caller.id, again=again))


@get("/{proposal_id:int}/counter-offers")
async def list_counter_offers(
    proposal_id: PathId, caller: Asking, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[CounterOfferOut]:
    """A proposal's counter-offers, newest first, for its two sides."""
    before = decode_cursor(LISTING, cursor, int)
    found = await counter_offers.list_of(
        proposal_id, user_id=caller.id, admin=caller.admin, before=before, limit=limit + 1
    )
    return page(LISTING, [show(one) for one in found], limit, lambda one: one.id)


@post("/{proposal_id:int}/counter-offer/accept", status_code=HTTP_200_OK, guards=[_SIDES, verified])
async def accept_counter_offer(
    proposal_id: PathId, caller: Asking, once: Once, data: JSONBody[Answer | None] = None
) -> CounterOfferOut:
    """Take the other side's open terms: they are the proposal's from now on. Nobody is hired by that yet."""
    seen_id = data.counter_offer_id if data else None
    again = seen_by(caller, counter_offers.read)
    return show(await once(counter_offers.accept, proposal_id, user_id=caller.id, seen_id=seen_id, again=again))


@post("/{proposal_id:int}/counter-offer/decline", status_code=HTTP_200_OK, guards=[_SIDES])
async def decline_counter_offer(proposal_id: PathId, caller: Asking, once: Once) -> CounterOfferOut:
    """Refuse the other side's open terms: the proposal stands as it was."""
    again = seen_by(caller, counter_offers.read)
    return show(await once(counter_offers.decline, proposal_id, user_id=caller.id, again=again))


@post("/{proposal_id:int}/counter-offer/withdraw", status_code=HTTP_200_OK, guards=[_SIDES])
async def withdraw_counter_offer(proposal_id: PathId, caller: Asking, once: Once) -> CounterOfferOut:
    """Take one's own open terms back."""
    again = seen_by(caller, counter_offers.read)
    return show(await once(counter_offers.withdraw, proposal_id, user_id=caller.id, again=again))


router = Router(
    "/api/proposals",
    route_handlers=[
        make_counter_offer,
        list_counter_offers,
        accept_counter_offer,
        decline_counter_offer,
        withdraw_counter_offer,
    ],
    tags=["proposals"],
    guards=[signed_in],
)
