"""Searches that people keep: written, changed, forgotten, and ended by a mail's link."""

from decimal import Decimal
from typing import Any

import pytest

from models import erasure, guard, invitations, mail, saved_searches
from models.accounts import Person
from models.errors import AmountOutOfBounds, CurrencyUnsupported, Invalid, NotFound, TokenInvalid, WrongState
from models.projects import BudgetType
from models.saved_searches import Changes, SearchRow, Wanted
from tests import factories, worlds


async def keep(person: Person, **wanted: Any) -> SearchRow:
    return await guard.commit(saved_searches.create, person.id, Wanted(**{"name": "Mine", **wanted}))


async def edit(search: SearchRow, person: Person, **changes: Any) -> SearchRow:
    return await guard.commit(saved_searches.edit, search.id, Changes(**changes), user_id=person.id)


async def an_alert(person: Person, search: SearchRow) -> int:
    return await guard.commit(
        mail.write,
        "saved_search_alert",
        to=person.id,
        about="project:1",
        search_id=search.id,
        search_name=search.name,
        project_id=1,
        project_title="A shop",
        budget_type="fixed",
        budget_min_minor=1,
        budget_max_minor=2,
        currency="USD",
    )


async def test_a_search_is_kept_changed_and_forgotten(database: str) -> None:
    person, other = await factories.a_freelancer(), await factories.a_freelancer()
    whole = {
        "q": "bicycle",
        "category": "web",
        "skills": ["Python"],
        "budget_type": BudgetType.HOURLY,
        "budget_min": Decimal("20.50"),
        "budget_max": Decimal(30),
        "currency": "usd",
        "alerts_by_mail": False,
    }

    made = await keep(person, **whole)

    assert {name: getattr(made, name) for name in whole} == whole | {"currency": "USD"}
    assert await saved_searches.read(made.id, user_id=person.id) == made
    changed = await edit(made, person, name="Yen", q=None, skills=[], currency="JPY", budget_min=None)
    assert (changed.name, changed.q, changed.skills, changed.budget_min) == ("Yen", None, [], None)
    assert (changed.budget_max, changed.currency, changed.category) == (Decimal(30), "JPY", "web")
    assert await edit(made, person) == changed
    anything = await keep(person)
    assert [one.id for one in await saved_searches.list_own(person.id, before=None, limit=9)] == [anything.id, made.id]
    assert [one.id for one in await saved_searches.list_own(person.id, before=anything.id, limit=9)] == [made.id]
    assert await saved_searches.list_own(other.id, before=None, limit=9) == []
    async with worlds.refused(NotFound):
        await edit(made, other, name="Theirs")
    async with worlds.refused(NotFound):
        await guard.commit(saved_searches.remove, made.id, user_id=other.id)
    project = await factories.a_project()
    await guard.rows("insert into saved_search_matches (search, project) values ($1, $2)", made.id, project.id)
    await guard.commit(saved_searches.remove, made.id, user_id=person.id)
    async with worlds.refused(NotFound):
        await guard.commit(saved_searches.remove, made.id, user_id=person.id)
    assert await guard.value("select count(*) from saved_search_matches") == 0


@pytest.mark.parametrize(
    ("wanted", "error", "field"),
    [
        ({"q": "the"}, Invalid, "q"),
        ({"q": "!"}, Invalid, "q"),
        ({"budget_min": Decimal(1)}, Invalid, "currency"),
        ({"budget_max": Decimal(1)}, Invalid, "currency"),
        ({"currency": "XXX"}, CurrencyUnsupported, None),
        ({"currency": "USD", "budget_min": Decimal(0)}, AmountOutOfBounds, None),
        ({"currency": "USD", "budget_min": Decimal(2), "budget_max": Decimal(1)}, AmountOutOfBounds, None),
        ({"currency": "USD", "budget_max": Decimal(1_000_000)}, AmountOutOfBounds, None),
    ],
)
async def test_a_search_that_finds_nothing_is_refused(
    database: str, wanted: Any, error: Any, field: str | None
) -> None:
    person = await factories.a_freelancer()
    kept = await keep(person)

    async with worlds.unmoved():
        with pytest.raises(error) as raised:
            await keep(person, **wanted)
        assert raised.value.field == field
        with pytest.raises(error):
            await edit(kept, person, **wanted)


async def test_twenty_searches_are_enough(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert saved_searches.MOST == 20
    monkeypatch.setattr(saved_searches, "MOST", 2)
    person = await factories.a_freelancer()
    first, _ = await keep(person), await keep(person)

    async with worlds.refused(WrongState, "You keep 2 searches"):
        await keep(person)
    await guard.commit(saved_searches.remove, first.id, user_id=person.id)
    await keep(person)
    await guard.rows("update users set deactivated_at = now() where id = $1", person.id)
    async with worlds.refused(TokenInvalid):
        await keep(person)


async def test_a_mails_link_ends_the_mails_of_its_search_and_no_other(database: str) -> None:
    person = await factories.a_freelancer()
    search, other = await keep(person), await keep(person)
    alert = await an_alert(person, search)

    await guard.commit(saved_searches.unsubscribe, alert)
    ended = await guard.value("select unsubscribed_at from saved_searches where id = $1", search.id)

    assert ended is not None
    assert not (await saved_searches.read(search.id, user_id=person.id)).alerts_by_mail
    assert (await saved_searches.read(other.id, user_id=person.id)).alerts_by_mail
    async with worlds.unmoved():
        await guard.commit(saved_searches.unsubscribe, alert)
        await guard.commit(saved_searches.unsubscribe, 999_999)
    again = await edit(search, person, alerts_by_mail=True)
    assert again.alerts_by_mail
    assert await guard.value("select unsubscribed_at from saved_searches where id = $1", search.id) is None


async def test_a_link_means_nothing_when_its_mail_is_another_kind_or_anothers(database: str) -> None:
    person, other = await factories.a_freelancer(), await factories.a_freelancer()
    search = await keep(person)
    welcome = await guard.commit(mail.write, "welcome_email", to=person.id, about="user:1")
    forgotten = await an_alert(other, search)

    async with worlds.unmoved():
        await guard.commit(saved_searches.unsubscribe, welcome)
        await guard.commit(saved_searches.unsubscribe, forgotten)


async def test_who_is_erased_leaves_no_search_and_no_invitation_in_their_words(database: str) -> None:
    client, freelancer = await factories.a_client(), await factories.a_freelancer()
    project = await factories.a_project(client)
    invite = {"client_id": client.id, "message": "From Clara."}
    made = await guard.commit(invitations.invite, project.id, freelancer.id, **invite)
    search, kept = await keep(client), await keep(freelancer)
    other = await factories.a_project()
    for one in (search, kept):
        await guard.rows("insert into saved_search_matches (search, project) values ($1, $2)", one.id, other.id)

    await guard.commit(erasure.erase, client.id)

    left = await invitations.read(made.id, user_id=freelancer.id)
    assert (left.message, left.client_name) == ("", erasure.NAME)
    name = await guard.value("select context->>'client_name' from mails where kind = 'invitation_received'")
    assert name == erasure.NAME
    assert await guard.value("select array_agg(search) from saved_search_matches") == [kept.id]
    assert await guard.value("select array_agg(id) from saved_searches") == [kept.id]
