"""Two who want something of one project at the same moment."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from models import acceptance, alerts, briefs, closures, guard, invitations, projects, proposals, saved_searches
from models.briefs import Changes
from models.errors import DomainError, InvitationExists, NotFound, ProposalExists, WrongState
from models.projects import ProjectRow
from models.saved_searches import Wanted
from tests import factories, worlds

ROUNDS = 4


async def at_once(*verbs: Awaitable[Any]) -> list[Any]:
    found: list[Any] = await asyncio.gather(*verbs, return_exceptions=True)
    for one in found:
        assert not isinstance(one, BaseException) or isinstance(one, DomainError), one
    return found


def refusals(answers: list[Any]) -> list[type]:
    return sorted((type(one) for one in answers if isinstance(one, DomainError)), key=str)


def close(project: ProjectRow) -> Awaitable[Any]:
    return guard.commit(closures.close, project.id, client_id=project.client_id)


async def statuses(project: ProjectRow) -> list[str]:
    found = await guard.rows("select status from proposals where project = $1 order by status", project.id)
    return [one["status"] for one in found]


async def test_closing_and_cancelling_at_once_end_a_project_once(database: str) -> None:
    for _ in range(ROUNDS):
        market = await worlds.a_market(rivals=2)
        project = market.project

        answers = await at_once(
            close(project), guard.commit(closures.cancel, project.id, client_id=project.client_id), close(project)
        )

        assert refusals(answers) == [WrongState, WrongState]
        assert [await worlds.told(one.id) for one in market.freelancers] == [["proposal_rejected"]] * 2


async def test_closing_and_accepting_at_once_leave_a_contract_or_none(database: str) -> None:
    for _ in range(ROUNDS):
        market = await worlds.a_market(rivals=2)
        accept = guard.commit(
            acceptance.accept, market.proposals[0].id, client_id=market.client.id, policy=factories.POLICY
        )

        answers = await at_once(close(market.project), accept)

        assert refusals(answers) == [WrongState]
        contracts = await guard.value("select count(*) from contracts where project = $1", market.project.id)
        ended = (await projects.read(market.project.id, user_id=market.client.id, admin=False)).status.value
        assert (ended, contracts, await statuses(market.project)) in (
            ("closed", 0, ["rejected", "rejected"]),
            ("in_progress", 1, ["accepted", "rejected"]),
        )


async def test_a_proposal_during_the_closing_is_answered_or_refused(database: str) -> None:
    for _ in range(ROUNDS):
        project, late = await factories.a_project(), await factories.a_freelancer()
        propose = guard.commit(proposals.submit, project.id, factories.an_offer(), freelancer_id=late.id)

        answers = await at_once(propose, close(project))

        assert refusals(answers) in ([], [NotFound], [WrongState])
        assert await statuses(project) == ([] if refusals(answers) else ["rejected"])


async def test_an_edit_and_the_first_proposal_at_once_agree_on_the_currency(database: str) -> None:
    for _ in range(ROUNDS):
        project, freelancer = await factories.a_project(), await factories.a_freelancer()
        propose = guard.commit(proposals.submit, project.id, factories.an_offer(), freelancer_id=freelancer.id)
        edit = guard.commit(briefs.edit, project.id, Changes(currency="EUR"), client_id=project.client_id)

        answers = await at_once(propose, edit)

        assert len(refusals(answers)) == 1
        agreed = await guard.value(
            "select count(*) from proposals o join projects p on p.id = o.project where o.currency <> p.currency"
        )
        assert agreed == 0


async def test_publishing_and_deleting_a_draft_at_once(database: str) -> None:
    for _ in range(ROUNDS):
        draft = await factories.a_project(open=False)

        answers = await at_once(
            guard.commit(projects.publish, draft.id, client_id=draft.client_id),
            guard.commit(briefs.remove, draft.id, client_id=draft.client_id),
        )

        assert refusals(answers) in ([NotFound], [WrongState])
        assert await guard.value("select count(*) from projects where status = 'draft'") == 0


async def test_the_same_invitation_at_once_is_sent_once(database: str) -> None:
    project, freelancer = await factories.a_project(), await factories.a_freelancer()

    answers = await at_once(
        *(guard.commit(invitations.invite, project.id, freelancer.id, client_id=project.client_id) for _ in range(4))
    )

    assert refusals(answers) == [InvitationExists] * 3
    assert await worlds.mailed(freelancer.id) == ["invitation_received"]


async def test_inviting_and_closing_or_proposing_at_once(database: str) -> None:
    for _ in range(ROUNDS):
        project, freelancer = await factories.a_project(), await factories.a_freelancer()

        answers = await at_once(
            guard.commit(invitations.invite, project.id, freelancer.id, client_id=project.client_id),
            guard.commit(proposals.submit, project.id, factories.an_offer(), freelancer_id=freelancer.id),
            close(project),
        )

        assert set(refusals(answers)) <= {WrongState, ProposalExists, NotFound}
        assert "submitted" not in await statuses(project)


async def test_declining_and_closing_at_once(database: str) -> None:
    for _ in range(ROUNDS):
        project, freelancer = await factories.a_project(), await factories.a_freelancer()
        made = await guard.commit(invitations.invite, project.id, freelancer.id, client_id=project.client_id)

        def decline(invitation_id: int = made.id, user_id: int = freelancer.id) -> Awaitable[Any]:
            return guard.commit(invitations.decline, invitation_id, freelancer_id=user_id)

        answers = await at_once(decline(), close(project), decline())

        assert set(refusals(answers)) == {WrongState}
        told = (await worlds.told(project.client_id)).count("invitation_declined")
        assert told == 2 - len(refusals(answers))


async def test_two_runs_of_one_matching_tell_everybody_once(database: str) -> None:
    people = [await factories.a_freelancer() for _ in range(6)]
    for one in people:
        for name in ("A", "B"):
            await guard.commit(saved_searches.create, one.id, Wanted(name=name))
    project = await factories.a_project()

    await at_once(*(guard.commit(alerts.match, project.id) for _ in range(4)))

    assert await guard.value("select count(*) from saved_search_matches") == 12
    for one in people:
        assert await worlds.told(one.id) == ["search_matched"]
        assert await worlds.mailed(one.id) == ["saved_search_alert"]


async def test_a_search_that_is_forgotten_while_it_is_matched_is_gone(database: str) -> None:
    for _ in range(ROUNDS):
        person = await factories.a_freelancer()
        kept = await guard.commit(saved_searches.create, person.id, Wanted(name="A"))
        project = await factories.a_project()

        answers = await at_once(
            guard.commit(alerts.match, project.id),
            guard.commit(saved_searches.remove, kept.id, user_id=person.id),
        )

        assert refusals(answers) == []
        assert await guard.value("select count(*) from saved_searches") == 0


async def test_searches_at_once_are_never_more_than_may_be_kept(database: str) -> None:
    person = await factories.a_freelancer()
    wanted = Wanted(name="A")
    for _ in range(saved_searches.MOST - 1):
        await guard.commit(saved_searches.create, person.id, wanted)

    answers = await at_once(*(guard.commit(saved_searches.create, person.id, wanted) for _ in range(4)))

    assert refusals(answers) == [WrongState] * 3


async def test_twenty_mails_a_day_however_many_projects_at_once(database: str) -> None:
    person = await factories.a_freelancer()
    await guard.commit(saved_searches.create, person.id, Wanted(name="A"))
    published = [await factories.a_project() for _ in range(24)]
    match: Callable[..., Awaitable[Any]] = alerts.match

    await at_once(*(guard.commit(match, one.id) for one in published))

    assert len(await worlds.told(person.id)) == 24
    assert len(await worlds.mailed(person.id)) == alerts.MOST_MAILS == 20
