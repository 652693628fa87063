"""Profiles: what is said of oneself, checked; and what others see, which is less."""

from typing import Any

import pytest

from models import guard, profiles
from models.errors import Invalid, NotFound
from tests import factories

SAID: dict[str, Any] = {
    "first_name": "Zoë",
    "last_name": "O'Brien",
    "headline": "Shops that sell",
    "about": "Ten years.\n\nTwenty shops.",
    "country": "PK",
    "time_zone": "Asia/Karachi",
}


async def test_a_profile_is_changed_field_by_field_and_whole(database: str) -> None:
    person, other = await factories.a_freelancer(), await factories.a_freelancer()

    edited = await guard.commit(profiles.edit, person.id, **SAID)

    assert {name: getattr(edited, name) for name in SAID} == SAID
    assert edited == await profiles.read_own(person.id)
    renamed = await guard.commit(profiles.edit, person.id, first_name=" Zoe\u0308 ", country=None)
    assert (renamed.first_name, renamed.country, renamed.headline) == ("Zoë", None, "Shops that sell")
    assert await guard.commit(profiles.edit, person.id) == renamed
    assert (await profiles.read_own(other.id)).first_name == "Frida"


@pytest.mark.parametrize(
    ("field", "held"),
    [
        ("country", "XX"),
        ("country", "pk"),
        ("country", "PK\n"),
        ("time_zone", "Mars/Olympus"),
        ("time_zone", "../../etc/passwd"),
        ("time_zone", "europe/berlin"),
        ("time_zone", ""),
        ("headline", "x" * 201),
        ("about", "x" * 5001),
        ("first_name", " "),
        ("last_name", "x" * 101),
        ("last_name", "a\nb"),
    ],
)
async def test_what_makes_no_sense_is_refused_by_its_field_and_changes_nothing(
    database: str, field: str, held: str
) -> None:
    person = await factories.a_freelancer()
    before = await profiles.read_own(person.id)

    with pytest.raises(Invalid) as refusal:
        await guard.commit(profiles.edit, person.id, **{field: held})

    assert refusal.value.field == field
    assert await profiles.read_own(person.id) == before


async def test_a_profile_has_no_field_that_it_does_not_declare(database: str) -> None:
    with pytest.raises(AssertionError, match="a profile has no role"):
        await guard.commit(profiles.edit, 1, role="admin")


async def test_others_see_no_address(database: str) -> None:
    person = await factories.a_freelancer()
    await guard.commit(profiles.edit, person.id, **SAID)

    seen = await profiles.read_public(person.id)

    assert set(seen.__struct_fields__) == {
        "id", "first_name", "last_name", "role", "headline", "about", "country", "created_at",
    }  # fmt: skip
    assert (seen.first_name, seen.role.value, seen.country) == ("Zoë", "freelancer", "PK")


@pytest.mark.parametrize("state", ["suspended_at", "deactivated_at", "erased_at"])
async def test_who_has_left_is_not_there_for_others(database: str, state: str) -> None:
    person = await factories.a_freelancer()
    await guard.rows(f"update users set {state} = now()")

    with pytest.raises(NotFound):
        await profiles.read_public(person.id)
    with pytest.raises(NotFound):
        await profiles.read_public(person.id + 1)


def test_countries_are_those_of_the_standard() -> None:
    assert len(profiles.COUNTRIES) == 249
