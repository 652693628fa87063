"""Freelancers are found by what they say, in every order, whole and each once, at any depth; nobody else is."""

from decimal import Decimal
from typing import Any

import pytest

from models import freelancers, guard, profiles
from models.errors import Invalid, NotFound
from models.freelancers import Position, Sort, Sought
from models.locks import Noun, lock
from models.money import Money
from tests import factories

FILL = """
insert into users (email, email_key, password_hash, first_name, last_name, role, email_verified_at, headline, about,
                   skills, hourly_rate_minor, rate_currency, is_available, country, rating_sum, rating_count)
select 'f' || n || '@example.com', 'f' || n || '@example.com', '', 'Fred', 'Number' || n, 'freelancer', now(),
       case when n % 3 = 0 then 'Gardens and ponds' else 'Shops' end, 'I have made things.',
       case when n % 2 = 0 then array['Python', 'Go'] else array['go'] end,
       1000 + n % 7 * 100, case when n % 10 = 0 then 'JPY' else 'USD' end, n % 4 <> 0,
       case when n % 50 = 0 then 'TV' else 'DE' end, n % 6 * 3, n % 6
  from generate_series(1, $1) n
"""
MANY = 130


async def found(limit: int = 200, *, sort: Sort = Sort.NEWEST, **sought: Any) -> list[int]:
    """The numbers of all who fit, gathered page by page."""
    numbers: list[int] = []
    after: Position | None = None
    while True:
        page = await freelancers.search(Sought(**sought), sort=sort, after=after, limit=limit)
        numbers += [int(one.profile.last_name.removeprefix("Number")) for one in page]
        if len(page) < limit:
            return numbers
        after = page[-1].position


def everybody(_: int) -> bool:
    return True


def expected(fits: Any, key: Any = lambda n: -n) -> list[int]:
    return sorted((n for n in range(1, MANY + 1) if fits(n)), key=key)


@pytest.fixture
async def crowd(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # So that every way of a list is taken: looked at, looked at once more, asked of an index.
    monkeypatch.setattr(freelancers, "WALKED", 10)
    await guard.rows(FILL, MANY)


async def test_each_filter_and_order_finds_all_who_fit_each_once(crowd: None) -> None:
    for limit in (7, 200):
        assert await found(limit) == expected(everybody)
        assert await found(limit, words="gardens") == expected(lambda n: n % 3 == 0)
        assert await found(limit, words="pond -gardening") == []
        assert await found(limit, words="made -gardening -number128") == expected(lambda n: n % 3 and n != 128)
        assert await found(limit, words='"gardens and ponds" number9') == [9]
        assert await found(limit, words="Number7 or Number8") == [8, 7]
        assert await found(limit, words="absent") == []
        assert await found(limit, skills=["PYTHON", "go"]) == expected(lambda n: n % 2 == 0)
        assert await found(limit, country="TV") == expected(lambda n: n % 50 == 0)
        assert await found(limit, available=False) == expected(lambda n: n % 4 == 0)
        assert await found(limit, currency="JPY") == expected(lambda n: n % 10 == 0)
        assert await found(limit, currency="JPY", country="TV", available=True) == [50]
        rates = {"min_rate": Money(1100, "USD"), "max_rate": Money(1200, "USD"), "currency": "USD"}
        dear = expected(lambda n: n % 10 and n % 7 in (1, 2))
        assert await found(limit, **rates) == dear
        assert await found(limit, sort=Sort.RATE_LOW, **rates) == sorted(dear, key=lambda n: (n % 7, n))
        usd = expected(lambda n: n % 10, lambda n: (-(n % 7), -n))
        assert await found(limit, sort=Sort.RATE_HIGH, currency="USD") == usd
        # Three of three, six of six: everybody with reviews has the same rating, and those without come last.
        assert await found(limit, sort=Sort.RATING) == expected(everybody, lambda n: (n % 6 == 0, -n))
        assert await found(limit, min_rating=Decimal(3)) == expected(lambda n: n % 6)
        assert await found(limit, sort=Sort.RATING, min_rating=Decimal("3.01")) == []
        assert await found(limit, sort=Sort.RATING, words="gardens", available=True) == expected(
            lambda n: n % 3 == 0 and n % 4, lambda n: (n % 6 == 0, -n)
        )


async def test_relevance_ranks_the_newest_matches(crowd: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for person, about in ((60, "Ponds, ponds, ponds."), (20, "")):
        await guard.rows(
            "update users set headline = 'Pond', about = $2 where last_name = $1", f"Number{person}", about
        )

    whole = await found(sort=Sort.RELEVANCE, words="ponds")

    assert whole[0] == 60
    assert sorted(whole) == sorted([20, *expected(lambda n: n % 3 == 0)])
    assert await found(4, sort=Sort.RELEVANCE, words="ponds") == whole
    monkeypatch.setattr(freelancers, "RANKED", 3)
    assert sorted(await found(sort=Sort.RELEVANCE, words="ponds")) == [123, 126, 129]


async def test_what_cannot_be_sought_is_refused(database: str) -> None:
    for sort, sought, field in (
        (Sort.RELEVANCE, Sought(), "sort"),
        (Sort.RATE_LOW, Sought(), "currency"),
        (Sort.NEWEST, Sought(words="-ponds"), "q"),
    ):
        with pytest.raises(Invalid) as refusal:
            await freelancers.search(sought, sort=sort, after=None, limit=5)
        assert refusal.value.field == field
    assert await freelancers.search(Sought(words="!?,"), sort=Sort.NEWEST, after=None, limit=5) == []


async def test_words_are_found_stemmed_without_accents_and_names_as_they_are(database: str) -> None:
    person = await factories.a_freelancer()
    said = {"first_name": "José", "last_name": "Hastings", "headline": "Designing cafés", "skills": ["Déco"]}
    await guard.commit(profiles.edit, person.id, **said)

    for words in ("jose", "HASTINGS", "designer or design", "cafe", "café", "deco", "José Hastings"):
        (one,) = await freelancers.search(Sought(words=words), sort=Sort.RELEVANCE, after=None, limit=5)
        assert one.profile.id == person.id
    await guard.commit(profiles.edit, person.id, first_name="Will", last_name="Do")
    for words in ("will", "Will Do", "do"):
        assert len(await freelancers.search(Sought(words=words), sort=Sort.NEWEST, after=None, limit=5)) == 1


async def test_nobody_is_found_who_is_none_is_unverified_or_is_not_there(database: str) -> None:
    person = await factories.a_freelancer()
    for hidden in (
        await factories.a_client(),
        await factories.an_admin(),
        await factories.a_freelancer(verified=False),
    ):
        with pytest.raises(NotFound):
            await freelancers.read(hidden.id)
    ids = [one.profile.id for one in await freelancers.search(Sought(), sort=Sort.NEWEST, after=None, limit=9)]
    assert ids == [person.id]
    assert (await freelancers.read(person.id)).first_name == "Frida"

    for state in ("suspended_at", "deactivated_at", "erased_at"):
        await guard.rows(f"update users set {state} = now() where id = $1", person.id)
        assert await freelancers.search(Sought(words="frida"), sort=Sort.NEWEST, after=None, limit=9) == []
        with pytest.raises(NotFound):
            await freelancers.read(person.id)
        await guard.rows(f"update users set {state} = null where id = $1", person.id)


async def test_a_completed_contract_is_counted(database: str) -> None:
    person = await factories.a_freelancer()

    async def complete_one() -> None:
        await lock(Noun.ACCOUNT, person.id)
        await freelancers.count_completed(person.id)

    for _ in range(2):
        await guard.commit(complete_one)

    assert (await freelancers.read(person.id)).completed_contracts == 2
