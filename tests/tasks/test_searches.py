"""A project that is published finds whoever waits for one like it: once, whatever happens, and nobody else."""

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from models import alerts, closures, guard, saved_searches, vocabulary
from models.accounts import Person
from models.jobs import GatherWords, JobStatus
from models.outbox import enqueue
from models.projects import BudgetType, ProjectRow, Visibility
from models.saved_searches import SearchRow, Wanted
from tasks import searches
from tests import factories, worlds
from tests.performing import killed_after, perform_killed, perform_now, release_dead


async def keep(person: Person, **wanted: Any) -> SearchRow:
    return await guard.commit(saved_searches.create, person.id, Wanted(**{"name": "Mine", **wanted}))


async def matching() -> UUID:
    found = await guard.value("select id from jobs where kind = 'searches.match_project' order by id desc limit 1")
    return UUID(int=found.int)


async def publish(**brief: Any) -> tuple[ProjectRow, Any]:
    project = await factories.a_project(brief=factories.a_brief(**brief))
    done = await perform_now(await matching())
    assert done.status == JobStatus.SUCCEEDED
    return project, done.result


async def matched() -> list[tuple[int, int]]:
    return [tuple(one) for one in await guard.rows("select search, project from saved_search_matches order by 1, 2")]


async def heard(person: Person) -> tuple[list[str], list[str]]:
    return await worlds.told(person.id), await worlds.mailed(person.id)


ONCE = (["search_matched"], ["saved_search_alert"])


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        ({}, True),
        ({"q": "bicycle"}, True),
        ({"q": "bicycles -rust"}, True),
        ({"q": "airship"}, False),
        ({"category": "WEB"}, True),
        ({"category": "art"}, False),
        ({"skills": ["python", "POSTGRESQL"]}, True),
        ({"skills": ["Python", "Rust"]}, False),
        ({"budget_type": BudgetType.FIXED}, True),
        ({"budget_type": BudgetType.HOURLY}, False),
        ({"currency": "USD"}, True),
        ({"currency": "EUR"}, False),
        ({"currency": "USD", "budget_min": Decimal(2000)}, True),
        ({"currency": "USD", "budget_min": Decimal("2000.01")}, False),
        ({"currency": "USD", "budget_max": Decimal(500)}, True),
        ({"currency": "USD", "budget_max": Decimal("499.99")}, False),
    ],
)
async def test_a_search_fits_what_a_list_would_find(database: str, wanted: dict[str, Any], *, fits: bool) -> None:
    person = await factories.a_freelancer()
    search = await keep(person, **wanted)

    project, result = await publish()

    assert result == {"searches": int(fits)}
    assert await matched() == ([(search.id, project.id)] if fits else [])
    assert await heard(person) == (ONCE if fits else ([], []))


async def test_one_person_hears_of_one_project_once(database: str) -> None:
    person = await factories.a_freelancer()
    quiet = await keep(person, alerts_by_mail=False)
    loud, other = await keep(person, name="Loud"), await keep(person, q="shop")

    project, _ = await publish()

    assert await matched() == [(quiet.id, project.id), (loud.id, project.id), (other.id, project.id)]
    assert await heard(person) == ONCE
    context = await guard.value("select context->>'search_name' from mails where kind = 'saved_search_alert'")
    assert context == "Loud"
    data = await guard.value("""select data->>'search_id' from notifications where type = 'search_matched'""")
    assert int(data) == quiet.id


async def test_who_does_not_hear_of_a_project(database: str) -> None:
    client = await factories.a_client()
    away, shut_out, muted = [await factories.a_freelancer() for _ in range(3)]
    for one in (client, away, shut_out):
        await keep(one)
    await keep(muted, alerts_by_mail=False)
    await guard.rows("update users set deactivated_at = now() where id = $1", away.id)
    await guard.rows("update users set suspended_at = now() where id = $1", shut_out.id)

    await factories.a_project(client)
    await perform_now(await matching())

    for one in (client, away, shut_out):
        told, mailed = await heard(one)
        assert ("search_matched" in told, "saved_search_alert" in mailed) == (False, False)
    assert await heard(muted) == (["search_matched"], [])


@pytest.mark.parametrize("change", ["status = 'closed'", "visibility = 'private'", "visibility = 'invite_only'"])
async def test_what_is_not_public_any_more_is_told_to_nobody(database: str, change: str) -> None:
    person = await factories.a_freelancer()
    await keep(person)
    project = await factories.a_project()
    await guard.rows(f"update projects set {change} where id = $1", project.id)

    done = await perform_now(await matching())

    assert done.result == {"searches": 0}
    assert await matched() == []
    assert await heard(person) == ([], [])


async def test_many_searches_are_told_some_at_a_time(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searches, "LONG_S", -1.0)  # after each transaction others go first
    people = [await factories.a_freelancer() for _ in range(3)]
    await guard.rows(
        """insert into saved_searches ("user", name, alerts_by_mail) select u, 'S' || n, n = 1
             from unnest($1::bigint[]) u, generate_series(1, 50) n order by n, u""",
        [one.id for one in people],
    )
    await factories.a_project()
    job, goes = await matching(), 0
    while (done := await perform_now(job, even_if_early=True)).status is not JobStatus.SUCCEEDED:
        goes += 1

    assert done.attempts == 1
    assert goes == 3
    assert len(await matched()) == 150
    for one in people:
        assert await heard(one) == ONCE


async def test_nothing_is_told_twice_by_a_second_run_or_after_a_crash(database: str) -> None:
    people = [await factories.a_freelancer() for _ in range(60)]
    for one in people:
        await keep(one)
    await factories.a_project()
    job = await matching()
    # The first fifty have been told, and committed; then the process dies.
    with killed_after(guard, "commit"):
        await perform_killed(job)
    assert len(await matched()) == 50
    await release_dead(job)

    await perform_now(job, even_if_early=True)
    again = await guard.commit(enqueue, searches.MatchProject(project_id=(await matched())[0][1]))
    assert (await perform_now(again.job_id)).result == {"searches": 0}

    assert len(await matched()) == 60
    for one in people:
        assert await heard(one) == ONCE


async def test_twenty_mails_a_day_and_then_notifications_alone(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert alerts.MOST_MAILS == 20
    monkeypatch.setattr(alerts, "MOST_MAILS", 2)
    person = await factories.a_freelancer()
    await keep(person)

    for _ in range(3):
        await publish()
    assert await heard(person) == (["search_matched"] * 3, ["saved_search_alert"] * 2)
    await guard.rows("update mails set created_at = created_at - interval '25 hours'")
    await publish()
    assert await heard(person) == (["search_matched"] * 4, ["saved_search_alert"] * 3)


async def test_words_are_those_of_open_public_projects_and_the_catalogue(database: str) -> None:
    await factories.a_project(brief=factories.a_brief(title="The unicorn shop 42", skills=["Zeppelin"]))
    await factories.a_project(brief=factories.a_brief(title="Another UNICORN", visibility=Visibility.PUBLIC))
    for visibility in (Visibility.PRIVATE, Visibility.INVITE_ONLY):
        await factories.a_project(brief=factories.a_brief(title="Secretive", visibility=visibility))
    await factories.a_project(open=False, brief=factories.a_brief(title="Drafted"))
    closed = await factories.a_project(brief=factories.a_brief(title="Closedown"))
    await guard.commit(closures.close, closed.id, client_id=closed.client_id)

    for _ in range(2):
        job = await guard.commit(enqueue, GatherWords())
        done = await perform_now(job.job_id)
        words = {one["word"]: one["uses"] for one in await guard.rows("select * from search_words")}
        assert done.result == {"words": len(words)}
        assert (words["unicorn"], words["zeppelin"], words["kubernetes"]) == (2, 1, 1)
        assert not {"secretive", "drafted", "closedown", "the", "42", "ui"} & set(words)


async def test_a_mistyped_word_is_put_right_and_a_begun_one_completed(database: str) -> None:
    for title in ("Unicorn shop", "Unicorns and universities", "University shop"):
        await factories.a_project(brief=factories.a_brief(title=title))
    await guard.commit(vocabulary.gather)

    assert (await vocabulary.suggest("unicron shop")).did_you_mean == "unicorn shop"
    assert (await vocabulary.suggest("Pyhton, postgersql")).did_you_mean == "python, postgresql"
    assert (await vocabulary.suggest("unicorns shop the shops")).did_you_mean is None
    assert (await vocabulary.suggest("qqqqqq")).did_you_mean is None
    assert (await vocabulary.suggest("for a univ")).completions == ["universities", "university"]
    assert (await vocabulary.suggest("sh")).completions[0] == "shop"
    for unfinished in ("", "u", "univ ", "42", "%%", "\\"):
        assert (await vocabulary.suggest(unfinished)).completions == []
