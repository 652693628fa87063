"""Support tickets."""

from typing import Any, Final

from models import guard, helpdesk, support
from models.accounts import Person
from models.support import TicketCategory, TicketPriority
from tests.access.asking import Asked, Asking, at, says
from tests.access.who import Who

#                                                anon unver client freel stran admin
WRITTEN: Final = """
POST   /api/support-tickets                        401  201  201  201  201  403  clients and freelancers, verified or not
GET    /api/support-tickets                        401  200  200  200  200  200  everybody signed in, their own; admins all
GET    /api/support-tickets/{ticket_id}            401  404  200  404  404  200  its owner, and admins
POST   /api/support-tickets/{ticket_id}/reply      401  404  201  404  404  201  its owner, and admins
POST   /api/support-tickets/{ticket_id}/assign     401  403  403  403  403  200  admins
POST   /api/support-tickets/{ticket_id}/resolve    401  403  403  403  403  200  admins
POST   /api/support-tickets/{ticket_id}/close      401  404  200  404  404  200  its owner; admins once it is resolved
"""


def _said(thing: str, **body: Any) -> Asking:
    """A route about this ticket, with this body."""
    return lambda world, _: Asked({"ticket_id": str(world.more[thing])}, body=body)


REQUESTS: Final[dict[str, Asking]] = {
    "POST /api/support-tickets": says(subject="A question", message="Why?", category="other"),
    "GET /api/support-tickets/{ticket_id}": at(ticket_id="helpdesk_kept"),
    "POST /api/support-tickets/{ticket_id}/reply": _said("helpdesk_answered", message="Because."),
    "POST /api/support-tickets/{ticket_id}/assign": lambda world, _: Asked(
        {"ticket_id": str(world.more["helpdesk_assigned"])}, body={"admin_id": world.people[Who.ADMIN].id}
    ),
    "POST /api/support-tickets/{ticket_id}/resolve": _said("helpdesk_resolved", message="Done."),
    "POST /api/support-tickets/{ticket_id}/close": at(ticket_id="helpdesk_closed"),
}


async def make(known: dict[Who, Person], world: dict[str, Any]) -> dict[str, Any]:
    """Tickets of the client, one for each route; the one that is to be closed is resolved."""

    async def ticket() -> int:
        made = await guard.commit(
            support.open_ticket,
            known[Who.CLIENT].id,
            subject="A question",
            message="Why?",
            priority=TicketPriority.NORMAL,
            category=TicketCategory.OTHER,
        )
        return made.id

    named = ("kept", "answered", "assigned", "resolved", "closed")
    made = {f"helpdesk_{name}": await ticket() for name in named}
    await guard.commit(helpdesk.resolve, made["helpdesk_closed"], None, by=known[Who.ADMIN].id)
    return made
