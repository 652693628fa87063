"""Invitations to propose, over HTTP."""

from datetime import datetime
from functools import partial
from typing import Annotated, Final

import msgspec
from litestar import Router, get, post
from litestar.params import JSONBody
from litestar.status_codes import HTTP_200_OK

from api.auth import Asking, role, verified
from api.fields import Body, Id, PathId
from api.idempotency import Once
from api.pages import DEFAULT_LIMIT, Cursor, Limit, Page, decode_cursor, page
from models import invitations
from models.accounts import Role
from models.invitations import InvitationRow, InvitationStatus

LISTING: Final = "invitations"


class NewInvitation(Body, frozen=True, kw_only=True):
    """Whom to ask, and in which words."""

    user_id: Id
    message: Annotated[str, msgspec.Meta(max_length=5_000)] = ""


class InvitationOut(msgspec.Struct, frozen=True, kw_only=True):
    """An invitation as its two sides see it; `is_open` while it can be answered."""

    id: int
    project_id: int
    project_title: str
    client_id: int
    client_name: str
    freelancer_id: int
    freelancer_name: str
    message: str
    status: InvitationStatus
    is_open: bool
    created_at: datetime
    answered_at: datetime | None


def show(invitation: InvitationRow) -> InvitationOut:
    """The invitation as it is answered."""
    return InvitationOut(**msgspec.structs.asdict(invitation))


@post("/projects/{project_id:int}/invite", guards=[role(Role.CLIENT), verified])
async def invite_freelancer(
    project_id: PathId, data: JSONBody[NewInvitation], caller: Asking, once: Once
) -> InvitationOut:
    """Ask a freelancer to propose for one's own open project."""
    again = partial(invitations.read, user_id=caller.id)
    made = await once(
        invitations.invite, project_id, data.user_id, client_id=caller.id, message=data.message, again=again
    )
    return show(made)


@get("/projects/{project_id:int}/invitations", guards=[role(Role.CLIENT)])
async def list_project_invitations(
    project_id: PathId, caller: Asking, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[InvitationOut]:
    """Whom the project's client has asked, newest first."""
    before = decode_cursor(LISTING, cursor, int)
    found = await invitations.list_of_project(project_id, client_id=caller.id, before=before, limit=limit + 1)
    return page(LISTING, [show(one) for one in found], limit, lambda one: one.id)


@get("/invitations", guards=[role(Role.FREELANCER)])
async def list_invitations(caller: Asking, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None) -> Page[InvitationOut]:
    """What the caller was asked to propose for, newest first."""
    found = await invitations.list_own(caller.id, before=decode_cursor(LISTING, cursor, int), limit=limit + 1)
    return page(LISTING, [show(one) for one in found], limit, lambda one: one.id)


@post("/invitations/{invitation_id:int}/decline", status_code=HTTP_200_OK, guards=[role(Role.FREELANCER)])
async def decline_invitation(invitation_id: PathId, caller: Asking, once: Once) -> InvitationOut:
    """Say no. To say yes is to make a proposal."""
    again = partial(invitations.read, user_id=caller.id)
    return show(await once(invitations.decline, invitation_id, freelancer_id=caller.id, again=again))


router = Router(
    "/api",
    route_handlers=[invite_freelancer, list_project_invitations, list_invitations, decline_invitation],
    tags=["projects"],
)
