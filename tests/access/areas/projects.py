"""Projects, invitations, search, saved searches, categories and skills."""

from typing import Any, Final

from models import guard, invitations, mail, saved_searches
from models.accounts import Person
from models.saved_searches import Wanted
from tests import factories
from tests.access.asking import Asked, Asking, at
from tests.access.who import Who
from wire.tokens import Purpose

#                                                anon unver client freel stran admin
WRITTEN: Final = """
PATCH  /api/projects/{project_id}                  401  404  200  403  404  403  its client
DELETE /api/projects/{project_id}                  401  404  204  403  404  403  its client, a draft
POST   /api/projects/{project_id}/close            401  404  200  403  404  403  its client
POST   /api/projects/{project_id}/cancel           401  404  200  403  404  403  its client
POST   /api/projects/{project_id}/invite           401  403  201  403  404  403  its client, verified
GET    /api/projects/{project_id}/invitations      401  404  200  403  404  403  its client
GET    /api/projects/facets                        401  200  200  200  200  200  everybody signed in, of open public ones
GET    /api/projects/suggestions                   401  200  200  200  200  200  everybody signed in, of open public ones
GET    /api/invitations                            401  403  403  200  403  403  freelancers, their own
POST   /api/invitations/{invitation_id}/decline    401  403  403  200  403  403  the freelancer it went to
GET    /api/categories                             401  200  200  200  200  200  everybody signed in
GET    /api/skills                                 401  200  200  200  200  200  everybody signed in
POST   /api/saved-searches                         401  201  201  201  201  201  everybody signed in, for themselves
GET    /api/saved-searches                         401  200  200  200  200  200  everybody signed in, their own
GET    /api/saved-searches/{search_id}             401  404  200  404  404  404  whose search it is
PATCH  /api/saved-searches/{search_id}             401  404  200  404  404  404  whose search it is
DELETE /api/saved-searches/{search_id}             401  404  204  404  404  404  whose search it is
GET    /api/unsubscribe                            200  200  200  200  200  200  anybody; it changes nothing
POST   /api/unsubscribe                            200  200  200  200  200  200  whoever holds the mailed link
"""


def _unsubscribing(world: Any, tokens: Any) -> Asked:
    alert = world.more["projects_alert"]
    return Asked(query={"token": tokens.link_token(Purpose.UNSUBSCRIBE, *alert)})


def _about(name: str, **body: Any) -> Asking:
    """A route about a project of this name, with a body."""
    return lambda world, _: Asked({"project_id": str(world.more[name])}, body=body)


REQUESTS: Final[dict[str, Asking]] = {
    "PATCH /api/projects/{project_id}": _about("projects_edited", title="Another title"),
    "DELETE /api/projects/{project_id}": at(project_id="projects_deleted"),
    "POST /api/projects/{project_id}/close": at(project_id="projects_closed"),
    "POST /api/projects/{project_id}/cancel": at(project_id="projects_cancelled"),
    "POST /api/projects/{project_id}/invite": lambda world, _: Asked(
        {"project_id": str(world.more["projects_inviting"])},
        body={"user_id": world.more["projects_invitee"], "message": "Please."},
    ),
    "GET /api/projects/{project_id}/invitations": at(project_id="projects_inviting"),
    "GET /api/projects/suggestions": lambda _, __: Asked(query={"q": "bicycel"}),
    "POST /api/invitations/{invitation_id}/decline": at(invitation_id="projects_invitation"),
    "POST /api/saved-searches": lambda _, __: Asked(body={"name": "Bicycles", "q": "bicycle"}),
    "GET /api/saved-searches/{search_id}": at(search_id="projects_search"),
    "PATCH /api/saved-searches/{search_id}": lambda world, _: Asked(
        {"search_id": str(world.more["projects_search"])}, body={"name": "Shops"}
    ),
    "DELETE /api/saved-searches/{search_id}": at(search_id="projects_spare_search"),
    "GET /api/unsubscribe": _unsubscribing,
    "POST /api/unsubscribe": _unsubscribing,
}


async def make(known: dict[Who, Person], world: dict[str, Any]) -> dict[str, Any]:
    """Write this area's things into the world, of the people in the columns; their ids by name."""
    owner, freelancer, invitee = known[Who.CLIENT], known[Who.FREELANCER], await factories.a_freelancer()
    opened = {
        f"projects_{name}": (await factories.a_project(owner)).id
        for name in ("edited", "closed", "cancelled", "inviting")
    }
    invited = await guard.commit(
        invitations.invite, opened["projects_inviting"], freelancer.id, client_id=owner.id, message=""
    )
    kept = await guard.commit(saved_searches.create, owner.id, Wanted(name="Mine"))
    spare = await guard.commit(saved_searches.create, owner.id, Wanted(name="Spare"))
    alert = await guard.commit(
        mail.write,
        "saved_search_alert",
        to=owner.id,
        about="project:0",
        search_id=kept.id,
        search_name="Mine",
        project_id=opened["projects_edited"],
        project_title="A shop",
        budget_type="fixed",
        budget_min_minor=1,
        budget_max_minor=2,
        currency="USD",
    )
    return opened | {
        "projects_deleted": (await factories.a_project(owner, open=False)).id,
        "projects_invitee": invitee.id,
        "projects_invitation": invited.id,
        "projects_search": kept.id,
        "projects_spare_search": spare.id,
        "projects_alert": (alert, await guard.value("select created_at from mails where id = $1", alert)),
    }
