"""Counter-offers, proposals, contracts and milestones."""

from decimal import Decimal
from typing import Any, Final

from models import counter_offers, guard
from models.accounts import Person
from models.counter_offers import Terms
from models.milestones import MilestoneStatus
from tests import factories
from tests.access.asking import Asked, Asking, at, thing_of
from tests.access.who import Who

#                                                anon unver client freel stran admin
WRITTEN: Final = """
PATCH  /api/proposals/{proposal_id}                         401  403  403  200  403  403  its freelancer, verified
POST   /api/proposals/{proposal_id}/withdraw                401  403  403  200  403  403  its freelancer
POST   /api/proposals/{proposal_id}/shortlist               401  404  200  403  404  403  the project's client
POST   /api/proposals/{proposal_id}/reject                  401  404  200  403  404  403  the project's client
POST   /api/proposals/{proposal_id}/counter-offer           401  403  201  201  404  403  its two sides, verified
GET    /api/proposals/{proposal_id}/counter-offers          401  404  200  200  404  200  its two sides, and admins
POST   /api/proposals/{proposal_id}/counter-offer/accept    401  403  403  200  404  403  the side that was asked, verified (here the freelancer)
POST   /api/proposals/{proposal_id}/counter-offer/decline   401  404  200  403  404  403  the side that was asked (here the client)
POST   /api/proposals/{proposal_id}/counter-offer/withdraw  401  404  200  403  404  403  the side that asked (here the client)
POST   /api/contracts/{contract_id}/cancel                  401  404  200  200  404  403  the two parties
POST   /api/contracts/{contract_id}/complete                401  404  200  403  404  403  its client
PATCH  /api/milestones/{milestone_id}                       401  404  200  403  404  403  the contract's client
POST   /api/milestones/{milestone_id}/cancel                401  404  200  403  404  403  the contract's client
POST   /api/milestones/{milestone_id}/request-changes       401  404  200  403  404  403  the contract's client
"""


def _about(name: str, thing: str, **body: Any) -> Asking:
    """A route about a thing of this area, with this body."""
    return lambda world, _: Asked({name: str(thing_of(world, thing))}, body=body)


REQUESTS: Final[dict[str, Asking]] = {
    "PATCH /api/proposals/{proposal_id}": _about("proposal_id", "hiring_edited", cover_letter="Better."),
    "POST /api/proposals/{proposal_id}/withdraw": at(proposal_id="hiring_withdrawn"),
    "POST /api/proposals/{proposal_id}/shortlist": at(proposal_id="hiring_shortlisted"),
    "POST /api/proposals/{proposal_id}/reject": _about("proposal_id", "hiring_rejected", reason="Too late."),
    "POST /api/proposals/{proposal_id}/counter-offer": _about(
        "proposal_id", "hiring_countered", bid_amount=900, delivery_days=3, message="Could you?"
    ),
    "GET /api/proposals/{proposal_id}/counter-offers": at(proposal_id="hiring_agreed"),
    "POST /api/proposals/{proposal_id}/counter-offer/accept": at(proposal_id="hiring_agreed"),
    "POST /api/proposals/{proposal_id}/counter-offer/decline": at(proposal_id="hiring_declined"),
    "POST /api/proposals/{proposal_id}/counter-offer/withdraw": at(proposal_id="hiring_taken_back"),
    "POST /api/contracts/{contract_id}/cancel": _about("contract_id", "hiring_cancelled", reason="Plans changed."),
    "POST /api/contracts/{contract_id}/complete": at(contract_id="hiring_completed"),
    "PATCH /api/milestones/{milestone_id}": _about("milestone_id", "hiring_planned", title="Polish", amount=70),
    "POST /api/milestones/{milestone_id}/cancel": at(milestone_id="hiring_dropped"),
    "POST /api/milestones/{milestone_id}/request-changes": _about(
        "milestone_id", "hiring_delivered", note="Bigger, please."
    ),
}

OFFERS: Final = (
    "edited",
    "withdrawn",
    "shortlisted",
    "rejected",
    "countered",
    "agreed",
    "declined",
    "taken_back",
)


async def make(known: dict[Who, Person], world: dict[str, Any]) -> dict[str, Any]:
    """Write this area's things into the world, of the people in the columns; their ids by name."""
    owner, freelancer = known[Who.CLIENT], known[Who.FREELANCER]
    made = {
        f"hiring_{name}": (await factories.a_proposal(await factories.a_project(owner), freelancer)).id
        for name in OFFERS
    }
    terms = Terms(bid_amount=Decimal(900), delivery_days=3, message="Could you?")
    for name, author in (("agreed", owner), ("declined", freelancer), ("taken_back", owner)):
        await guard.commit(counter_offers.make, made[f"hiring_{name}"], terms, user_id=author.id)
    done = await factories.a_contract(owner, freelancer)
    await factories.a_milestone(done, status=MilestoneStatus.RELEASED)
    under_way = await factories.a_contract(owner, freelancer)
    return made | {
        "hiring_cancelled": (await factories.a_contract(owner, freelancer)).id,
        "hiring_completed": done.id,
        "hiring_planned": (await factories.a_milestone(under_way, amount="50.00")).id,
        "hiring_dropped": (await factories.a_milestone(under_way, amount="50.00")).id,
        "hiring_delivered": (
            await factories.a_milestone(under_way, amount="50.00", status=MilestoneStatus.SUBMITTED)
        ).id,
    }
