"""Invitations: who is asked, what they see by it, and how they answer."""

import pytest

from models import closures, guard, invitations, projects
from models.errors import (
    Invalid,
    InvitationExists,
    NotFound,
    ProposalExists,
    TokenInvalid,
    WriterBlocked,
    WrongState,
)
from models.invitations import MACHINE, InvitationRow, InvitationStatus
from models.projects import ProjectRow, Visibility
from tests import factories, worlds


async def a_hidden_project(visibility: Visibility = Visibility.INVITE_ONLY) -> ProjectRow:
    return await factories.a_project(brief=factories.a_brief(visibility=visibility))


async def invite(project: ProjectRow, user_id: int, message: str = "Please.") -> InvitationRow:
    return await guard.commit(invitations.invite, project.id, user_id, client_id=project.client_id, message=message)


async def sees(project: ProjectRow, user_id: int) -> bool:
    try:
        await projects.read(project.id, user_id=user_id, admin=False)
    except NotFound:
        return False
    return True


def test_every_state_but_the_first_can_be_reached() -> None:
    assert {edge.target for edge in MACHINE.edges} == set(InvitationStatus) - {InvitationStatus.SENT}


@pytest.mark.parametrize("visibility", [Visibility.INVITE_ONLY, Visibility.PRIVATE])
async def test_an_invitation_opens_a_hidden_project_to_one_person(database: str, visibility: Visibility) -> None:
    project = await a_hidden_project(visibility)
    freelancer, other = await factories.a_freelancer(), await factories.a_freelancer()

    made = await invite(project, freelancer.id)

    assert (made.project_id, made.freelancer_id, made.message) == (project.id, freelancer.id, "Please.")
    assert (made.status, made.is_open, made.answered_at) == (InvitationStatus.SENT, True, None)
    assert (made.client_name, made.freelancer_name) == ("Clara Client", "Frida Freelancer")
    assert await worlds.told(freelancer.id) == ["invitation_received"]
    assert await worlds.mailed(freelancer.id) == ["invitation_received"]
    assert await sees(project, freelancer.id)
    assert not await sees(project, other.id)
    assert await invitations.is_invited(project.id, freelancer.id)
    assert not await invitations.is_invited(project.id, other.id)
    # A room is for those who have to do with a project.
    assert not await projects.may_follow(project.id, user_id=freelancer.id, admin=False)


async def test_nobody_is_asked_twice_nor_who_has_answered(database: str) -> None:
    market = await worlds.a_market(rivals=1)
    freelancer = await factories.a_freelancer()
    await invite(market.project, freelancer.id)

    async with worlds.refused(InvitationExists):
        await invite(market.project, freelancer.id)
    async with worlds.refused(ProposalExists):
        await invite(market.project, market.freelancers[0].id)


async def test_who_cannot_be_asked(database: str) -> None:
    project, freelancer = await factories.a_project(), await factories.a_freelancer()
    client, gone, last = await factories.a_client(), await factories.a_freelancer(), await factories.a_freelancer()
    async with worlds.refused(Invalid, "is no freelancer"):
        await invite(project, client.id)
    async with worlds.refused(NotFound):
        await invite(project, 999_999)
    draft = await factories.a_project(open=False)
    async with worlds.refused(WrongState, "is draft"):
        await invite(draft, freelancer.id)
    async with worlds.refused(NotFound):
        await guard.commit(invitations.invite, project.id, freelancer.id, client_id=draft.client_id)
    blocking = "insert into user_blocks (blocker, blocked) values ($1, $2)"
    await guard.rows(blocking, freelancer.id, project.client_id)
    async with worlds.refused(WriterBlocked):
        await invite(project, freelancer.id)
    await guard.rows("update users set deactivated_at = now() where id = $1", gone.id)
    async with worlds.refused(NotFound):
        await invite(project, gone.id)
    await guard.rows("update users set suspended_at = now() where id = $1", project.client_id)
    async with worlds.refused(TokenInvalid):
        await invite(project, last.id)


async def test_a_project_has_so_many_invitations(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invitations, "MOST", 1)
    project = await factories.a_project()
    first, second = await factories.a_freelancer(), await factories.a_freelancer()
    await invite(project, first.id)

    async with worlds.refused(WrongState, "at most 1"):
        await invite(project, second.id)


async def test_declining_tells_the_client_and_closes_the_door(database: str) -> None:
    project, freelancer = await a_hidden_project(), await factories.a_freelancer()
    made = await invite(project, freelancer.id)
    for stranger in (project.client_id, (await factories.a_freelancer()).id):
        async with worlds.refused(NotFound):
            await guard.commit(invitations.decline, made.id, freelancer_id=stranger)

    declined = await guard.commit(invitations.decline, made.id, freelancer_id=freelancer.id)

    assert (declined.status, declined.is_open) == (InvitationStatus.DECLINED, False)
    assert declined.answered_at is not None
    assert await worlds.told(project.client_id) == ["invitation_declined"]
    assert not await sees(project, freelancer.id)
    assert not await invitations.is_invited(project.id, freelancer.id)
    async with worlds.refused(WrongState, "is declined: to decline it, it has to be sent"):
        await guard.commit(invitations.decline, made.id, freelancer_id=freelancer.id)


async def test_a_proposal_is_the_answer_yes(database: str) -> None:
    project, freelancer = await a_hidden_project(), await factories.a_freelancer()
    made = await invite(project, freelancer.id)

    for _ in range(2):
        await guard.commit(invitations.accept_by_proposing, project.id, freelancer.id)
        answered = await invitations.read(made.id, user_id=project.client_id)
        assert (answered.status, answered.is_open) == (InvitationStatus.ACCEPTED, False)
    assert await sees(project, freelancer.id)
    async with worlds.unmoved():
        await guard.commit(invitations.accept_by_proposing, project.id, project.client_id)


async def test_what_nobody_answered_leads_nowhere_when_the_project_ends(database: str) -> None:
    project, freelancer = await a_hidden_project(), await factories.a_freelancer()
    made = await invite(project, freelancer.id)
    await guard.commit(closures.close, project.id, client_id=project.client_id)

    moot = await invitations.read(made.id, user_id=freelancer.id)
    assert (moot.status, moot.is_open) == (InvitationStatus.SENT, False)
    assert not await sees(project, freelancer.id)
    async with worlds.refused(WrongState, "is closed: its invitations lead nowhere"):
        await guard.commit(invitations.decline, made.id, freelancer_id=freelancer.id)


async def test_each_side_lists_its_own(database: str) -> None:
    client, freelancer = await factories.a_client(), await factories.a_freelancer()
    first, second = await factories.a_project(client), await factories.a_project(client)
    one, two = await invite(first, freelancer.id), await invite(second, freelancer.id)
    three = await invite(second, (await factories.a_freelancer()).id)

    own = await invitations.list_own(freelancer.id, before=None, limit=9)
    assert [each.id for each in own] == [two.id, one.id]
    assert [each.id for each in await invitations.list_own(freelancer.id, before=two.id, limit=9)] == [one.id]
    listed = await invitations.list_of_project(second.id, client_id=client.id, before=None, limit=9)
    assert [each.id for each in listed] == [three.id, two.id]
    async with worlds.refused(NotFound):
        await invitations.list_of_project(second.id, client_id=freelancer.id, before=None, limit=9)
    async with worlds.refused(NotFound):
        await invitations.read(three.id, user_id=freelancer.id)
