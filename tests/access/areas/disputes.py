"""Refund requests, disputes and what they settle."""

from decimal import Decimal
from typing import Any, Final

from models import contracts, disputes, guard, mediation, refund_requests
from models.accounts import Person
from models.contracts import ContractRow
from models.disputes import DisputeReason
from models.milestones import MilestoneStatus
from tests import factories
from tests.access.asking import Asked, Asking, at
from tests.access.who import Who

#                                                anon unver client freel stran admin
WRITTEN: Final = """
POST   /api/milestones/{milestone_id}/refund-request   401  404  201  403  404  403  the contract's client, while money is held for work under way
POST   /api/milestones/{milestone_id}/refund-accept    401  403  403  200  403  403  the contract's freelancer; no money moves yet
POST   /api/milestones/{milestone_id}/refund-decline   401  403  403  200  403  403  the contract's freelancer
POST   /api/milestones/{milestone_id}/refund-withdraw  401  404  200  403  404  403  the client who asked
GET    /api/milestones/{milestone_id}/refund-requests  401  404  200  200  404  200  the contract's parties, admins
POST   /api/disputes                               401  404  201  201  404  403  the milestone's parties, while money is held for it
GET    /api/disputes                               401  200  200  200  200  200  everybody signed in, their own; admins all
GET    /api/disputes/{dispute_id}                  401  404  200  200  404  200  its parties, admins
POST   /api/disputes/{dispute_id}/evidence         401  404  201  201  404  403  its parties, until it is decided
POST   /api/disputes/{dispute_id}/assign           401  403  403  403  403  200  admins, to an admin who is no party of it
POST   /api/disputes/{dispute_id}/resolve          401  403  403  403  403  200  the admin it is assigned to
POST   /api/disputes/{dispute_id}/appeal           401  404  200  200  404  403  its parties, once, within 5 working days
"""

FIRST_ID: Final = 7_000_000


def _about(dispute: str, **body: Any) -> Asking:
    """A route about this dispute, with this body."""
    return lambda world, _: Asked({"dispute_id": str(world.more[dispute])}, body=body)


REQUESTS: Final[dict[str, Asking]] = {
    "POST /api/milestones/{milestone_id}/refund-request": lambda world, _: Asked(
        {"milestone_id": str(world.more["disputes_held"])}, body={"amount": 5, "reason": "Half."}
    ),
    "POST /api/milestones/{milestone_id}/refund-accept": at(milestone_id="disputes_accepted"),
    "POST /api/milestones/{milestone_id}/refund-decline": at(milestone_id="disputes_declined"),
    "POST /api/milestones/{milestone_id}/refund-withdraw": at(milestone_id="disputes_withdrawn"),
    "GET /api/milestones/{milestone_id}/refund-requests": at(milestone_id="disputes_declined"),
    "POST /api/disputes": lambda world, _: Asked(
        body={"milestone_id": world.more["disputes_quiet"], "reason": "late", "description": "Weeks late."}
    ),
    "GET /api/disputes/{dispute_id}": at(dispute_id="disputes_open"),
    "POST /api/disputes/{dispute_id}/evidence": _about("disputes_open", note="Look."),
    "POST /api/disputes/{dispute_id}/assign": _about("disputes_unassigned"),
    "POST /api/disputes/{dispute_id}/resolve": _about("disputes_assigned", freelancer_share=0.5, reason="Half."),
    "POST /api/disputes/{dispute_id}/appeal": _about("disputes_resolved", reason="It is more."),
}


async def make(known: dict[Who, Person], world: dict[str, Any]) -> dict[str, Any]:
    """Write this area's things into the world, of the people in the columns; their ids by name."""
    client, admin = known[Who.CLIENT], known[Who.ADMIN]
    # Made-up ids are small: a client who withdraws the request of a made-up milestone must not meet one of these.
    for table in ("milestones", "disputes"):
        await guard.rows("select setval($1::text::regclass, $2)", f"{table}_id_seq", FIRST_ID)
    made = await factories.a_contract(client, known[Who.FREELANCER])
    contract = await contracts.read(made.id, user_id=client.id, admin=False)
    asked = {f"disputes_{name}": await _asked(contract) for name in ("accepted", "declined", "withdrawn")}
    disputed = {
        f"disputes_{name}": await _disputed(contract) for name in ("open", "unassigned", "assigned", "resolved")
    }
    for name in ("assigned", "resolved"):
        await guard.commit(mediation.assign, disputed[f"disputes_{name}"], to=admin.id, admin_id=admin.id)
    await guard.commit(
        mediation.resolve, disputed["disputes_resolved"], admin_id=admin.id, share_bp=5_000, reason="Half."
    )
    return {
        "disputes_held": await _held(contract),
        "disputes_quiet": await _held(contract),
        **asked,
        **disputed,
    }


async def _held(contract: ContractRow) -> int:
    """A milestone that money is held for."""
    return (await factories.a_milestone(contract, amount="20.00", status=MilestoneStatus.FUNDED)).id


async def _asked(contract: ContractRow) -> int:
    """A milestone of which the client asks half back."""
    milestone_id = await _held(contract)
    await guard.commit(
        refund_requests.ask, milestone_id, client_id=contract.client_id, amount=Decimal(10), reason="Half."
    )
    return milestone_id


async def _disputed(contract: ContractRow) -> int:
    """A dispute that the client opened."""
    made = await guard.commit(
        disputes.open_dispute,
        await _held(contract),
        user_id=contract.client_id,
        reason=DisputeReason.LATE,
        description="Weeks late.",
    )
    return made.id
