"""Freelancers whom a client asks to a project: they see it although others may not, while it is open.

Refuses an invitation to who is not a freelancer, has made an offer, or was invited before. One that nobody answered
before the project ended leads nowhere and stays as it is.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from piccolo.columns import BigSerial, Text, Timestamptz
from piccolo.columns.defaults.timestamptz import TimestamptzNow
from piccolo.table import Table

from models import accounts, guard, mail, notifications, projects
from models.accounts import Role, User
from models.base import Record, restricted
from models.errors import Invalid, InvitationExists, NotFound, ProposalExists, WriterBlocked, WrongState
from models.letters import MailKind
from models.locks import Noun, lock
from models.notifications import NotificationType
from models.projects import LAST, Project, ProjectRow, ProjectStatus
from models.queries import query
from models.states import Edge, Machine, Part

MOST: Final = 200
"""Invitations to one project: each is a mail to somebody who did not ask for it."""


class InvitationStatus(StrEnum):
    """Where an invitation stands."""

    SENT = "sent"
    ACCEPTED = "accepted"
    DECLINED = "declined"


class Invitation(Table, tablename="project_invitations"):
    """A client's word that this freelancer may propose."""

    id = BigSerial(primary_key=True)
    project = restricted(Project)
    freelancer = restricted(User)
    message = Text()
    status = Text(default=InvitationStatus.SENT.value)
    created_at = Timestamptz(default=TimestamptzNow())
    answered_at = Timestamptz(null=True, default=None)


MACHINE: Final = Machine[InvitationStatus](
    noun="invitation",
    start=InvitationStatus.SENT,
    edges=(
        Edge(
            source=InvitationStatus.SENT,
            target=InvitationStatus.ACCEPTED,
            verb="propose",
            by=(Part.FREELANCER,),
            guard="by making a proposal",
        ),
        Edge(
            source=InvitationStatus.SENT,
            target=InvitationStatus.DECLINED,
            verb="decline",
            by=(Part.FREELANCER,),
            tells=("invitation_declined",),
        ),
    ),
)


class InvitationRow(Record, frozen=True):
    """An invitation with what its two sides need to know of each other. `is_open`: it can still be answered."""

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


SELECT: Final = """
select i.id, i.project as project_id, p.title as project_title, p.client as client_id,
       c.first_name || ' ' || c.last_name as client_name, i.freelancer as freelancer_id,
       f.first_name || ' ' || f.last_name as freelancer_name, i.message, i.status,
       i.status = 'sent' and p.status = 'open' as is_open, i.created_at, i.answered_at
  from project_invitations i join projects p on p.id = i.project join users c on c.id = p.client
       join users f on f.id = i.freelancer
"""
OF_PROJECT: Final = query(
    "invitations.of_project", SELECT + "where i.project = $1 and i.id < $2 order by i.id desc limit $3"
)
OWN: Final = query("invitations.own", SELECT + "where i.freelancer = $1 and i.id < $2 order by i.id desc limit $3")

INVITEE: Final = """
select role, exists (select from user_blocks where (blocker = $1 and blocked = $2) or (blocker = $2 and blocked = $1))
           as is_blocked,
       exists (select from proposals where project = $3 and freelancer = $1 and status <> 'withdrawn') as has_proposed
  from users where id = $1 and deactivated_at is null and suspended_at is null and erased_at is null
"""
# The unique constraint decides between two invitations at once.
INVITE: Final = """
insert into project_invitations (project, freelancer, message, status, created_at)
values ($1, $2, $3, 'sent', business_now()) on conflict (project, freelancer) do nothing returning id
"""
ANSWER: Final = "update project_invitations set status = $2, answered_at = business_now() where id = $1"
FIND: Final = "select id, status from project_invitations where project = $1 and freelancer = $2"


def _row(found: Any) -> InvitationRow:
    return InvitationRow(**{**dict(found), "status": InvitationStatus(found["status"])})


# Verbs


async def invite(project_id: int, freelancer_id: int, *, client_id: int, message: str = "") -> InvitationRow:
    """Ask a freelancer to propose for one's own open project, once.

    Raises NotFound for anybody else's project and for who has left, Invalid for who is no freelancer, WriterBlocked
    when one of the two does not want to hear of the other, WrongState, ProposalExists, InvitationExists.
    """
    # Both at once: whoever leaves meanwhile is told nothing any more.
    await lock(Noun.ACCOUNT, client_id, freelancer_id)
    await accounts.lock_present(client_id)
    project = await projects.own_locked(project_id, client_id)
    await _check_invitee(project, freelancer_id)
    invitation_id = await guard.value(INVITE, project_id, freelancer_id, message)
    if invitation_id is None:
        raise InvitationExists(f"User {freelancer_id} was invited to this project already.")
    counted = await guard.value("select count(*) from project_invitations where project = $1", project_id)
    if counted > MOST:
        raise WrongState(f"A project has at most {MOST} invitations.")
    await _tell_invitee(invitation_id, project, freelancer_id)
    return await read(invitation_id, user_id=client_id)


async def _check_invitee(project: ProjectRow, freelancer_id: int) -> None:
    found = await guard.row(INVITEE, freelancer_id, project.client_id, project.id)
    if found is None:
        raise NotFound(f"There is no user {freelancer_id}.")
    if found["role"] != Role.FREELANCER:
        raise Invalid(f"User {freelancer_id} is no freelancer.", field="user_id")
    if project.status is not ProjectStatus.OPEN:
        raise WrongState(f"This project is {project.status.value}: to invite to it, it has to be open.")
    if found["is_blocked"]:
        raise WriterBlocked(f"You and user {freelancer_id} do not write to each other.")
    if found["has_proposed"]:
        raise ProposalExists(f"User {freelancer_id} has made a proposal for this project already.")


async def _tell_invitee(invitation_id: int, project: ProjectRow, freelancer_id: int) -> None:
    await notifications.tell(
        freelancer_id,
        type=NotificationType.INVITATION_RECEIVED,
        title="You are invited",
        message=f"A client asks you to propose for “{project.title}”.",
        data={"invitation_id": invitation_id, "project_id": project.id},
    )
    client = await accounts.read(project.client_id)
    await mail.write(
        MailKind.INVITATION_RECEIVED,
        to=freelancer_id,
        about=f"invitation:{invitation_id}",
        project_id=project.id,
        project_title=project.title,
        client_name=f"{client.first_name} {client.last_name}",
    )


async def decline(invitation_id: int, *, freelancer_id: int) -> InvitationRow:
    """Say no to an invitation; its client is told, and a project that is not public is out of sight.

    Raises NotFound for anybody else's, WrongState when it was answered, or the project is not open any more.
    """
    guard.in_transaction()
    invitation = await read(invitation_id, user_id=freelancer_id)
    if invitation.freelancer_id != freelancer_id:
        raise NotFound(f"There is no invitation {invitation_id}.")
    project = await projects.locked(invitation.project_id)
    invitation = await read(invitation_id, user_id=freelancer_id)
    MACHINE.check(invitation.status, InvitationStatus.DECLINED, verb="decline")
    if project.status is not ProjectStatus.OPEN:
        raise WrongState(f"This project is {project.status.value}: its invitations lead nowhere.")
    await guard.rows(ANSWER, invitation_id, InvitationStatus.DECLINED.value)
    await notifications.tell(
        project.client_id,
        type=NotificationType.INVITATION_DECLINED,
        title="Invitation declined",
        message=f"A freelancer you invited to “{project.title}” has declined.",
        data={"invitation_id": invitation_id, "project_id": project.id},
    )
    return await read(invitation_id, user_id=freelancer_id)


async def accept_by_proposing(project_id: int, freelancer_id: int) -> None:
    """Take a proposal for the answer to an invitation, if there is one that waits. Under the project's lock."""
    guard.in_transaction()
    found = await guard.row(FIND, project_id, freelancer_id)
    if found is not None and MACHINE.may(InvitationStatus(found["status"]), "propose"):
        await guard.rows(ANSWER, found["id"], InvitationStatus.ACCEPTED.value)


# Queries


async def is_invited(project_id: int, user_id: int) -> bool:
    """Whether a person was asked to this project and did not decline: then they may read and propose."""
    found = await guard.row(FIND, project_id, user_id)
    return found is not None and found["status"] != InvitationStatus.DECLINED


async def read(invitation_id: int, *, user_id: int) -> InvitationRow:
    """An invitation, for the client who wrote it and the freelancer it went to. Raises NotFound for anybody else."""
    found = await guard.row(SELECT + "where i.id = $1 and (i.freelancer = $2 or p.client = $2)", invitation_id, user_id)
    if found is None:
        raise NotFound(f"There is no invitation {invitation_id}.")
    return _row(found)


async def list_of_project(project_id: int, *, client_id: int, before: int | None, limit: int) -> list[InvitationRow]:
    """The newest invitations to one's own project, from `before` (an id, exclusive) backwards. Raises NotFound."""
    if await guard.value("select client from projects where id = $1", project_id) != client_id:
        raise NotFound(f"There is no project {project_id}.")
    found = await guard.rows(OF_PROJECT, project_id, LAST if before is None else before, limit)
    return [_row(one) for one in found]


async def list_own(freelancer_id: int, *, before: int | None, limit: int) -> list[InvitationRow]:
    """The newest invitations that a freelancer was sent, from `before` (an id, exclusive) backwards."""
    return [_row(one) for one in await guard.rows(OWN, freelancer_id, LAST if before is None else before, limit)]
