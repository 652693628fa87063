"""Profiles: what is said of oneself, checked; and what others see, which is less."""

from decimal import Decimal
from typing import Any

import pytest

from models import guard, profiles
from models.errors import AmountOutOfBounds, DomainError, Invalid, NotFound, RoleNotAllowed, UploadNotReady
from models.money import MAX_MINOR, Money
from tests import factories, worlds
from tests.uploading import an_upload

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


async def test_a_freelancer_says_what_they_can_what_it_costs_and_whether_they_have_time(database: str) -> None:
    person = await factories.a_freelancer()
    picture = await an_upload(person, purpose="avatar")

    edited = await guard.commit(
        profiles.edit,
        person.id,
        skills=["Python", "Café", "python", "PYTHON", "SQL"],
        hourly_rate=Money(4550, "EUR"),
        is_available=False,
        avatar_upload_id=picture,
    )

    assert edited.skills == ["Python", "Café", "SQL"]
    assert (edited.hourly_rate, edited.is_available, edited.avatar_upload_id) == (Money(4550, "EUR"), False, picture)
    seen = await profiles.read_public(person.id)
    assert (seen.skills, seen.hourly_rate, seen.avatar_upload_id) == (edited.skills, edited.hourly_rate, picture)
    cleared = await guard.commit(profiles.edit, person.id, skills=[], hourly_rate=None, avatar_upload_id=None)
    assert (cleared.skills, cleared.hourly_rate, cleared.avatar_upload_id) == ([], None, None)
    assert cleared.is_available is False


async def test_what_a_freelancer_cannot_say_is_refused(database: str) -> None:
    person = await factories.a_freelancer()
    refused: list[tuple[dict[str, Any], type[DomainError]]] = [
        ({"skills": [f"skill {n}" for n in range(51)]}, Invalid),
        ({"skills": ["x" * 61]}, Invalid),
        ({"hourly_rate": Money(0, "USD")}, AmountOutOfBounds),
        ({"hourly_rate": Money(MAX_MINOR + 1, "USD")}, AmountOutOfBounds),
        ({"avatar_upload_id": 999_999}, UploadNotReady),
    ]

    for said, error in refused:
        async with worlds.refused(error):
            await guard.commit(profiles.edit, person.id, **said)


async def test_a_picture_is_ones_own_for_this_and_found_good(database: str) -> None:
    person, other = await factories.a_client(), await factories.a_client()
    for bad in (
        await an_upload(other, purpose="avatar"),
        await an_upload(person, purpose="portfolio"),
        await an_upload(person, purpose="avatar", status="checking"),
    ):
        async with worlds.refused(UploadNotReady):
            await guard.commit(profiles.edit, person.id, avatar_upload_id=bad)
    good = await an_upload(person, purpose="avatar")
    assert (await guard.commit(profiles.edit, person.id, avatar_upload_id=good)).avatar_upload_id == good


async def test_only_freelancers_say_what_freelancers_say(database: str) -> None:
    rate = Money(1, "USD")
    words: list[dict[str, Any]] = [
        {"skills": ["Python"]}, {"hourly_rate": rate}, {"hourly_rate": None}, {"is_available": True},
    ]  # fmt: skip
    for person in (await factories.a_client(), await factories.an_admin()):
        for said in words:
            async with worlds.refused(RoleNotAllowed, "Only freelancers"):
                await guard.commit(profiles.edit, person.id, **said)


async def test_a_rating_is_rounded_half_to_even_and_none_without_reviews(database: str) -> None:
    person = await factories.a_freelancer()
    assert (await profiles.read_public(person.id)).rating is None

    for total, count, said in ((13, 3, "4.33"), (14, 3, "4.67"), (37, 8, "4.62"), (35, 8, "4.38"), (5, 1, "5.00")):
        await guard.rows("update users set rating_sum = $1, rating_count = $2", total, count)
        assert (await profiles.read_public(person.id)).rating == Decimal(said)


async def test_a_profile_has_no_field_that_it_does_not_declare(database: str) -> None:
    with pytest.raises(AssertionError, match="a profile has no role"):
        await guard.commit(profiles.edit, 1, role="admin")


async def test_others_see_no_address(database: str) -> None:
    person = await factories.a_freelancer()
    await guard.commit(profiles.edit, person.id, **SAID)

    seen = await profiles.read_public(person.id)

    assert set(seen.__struct_fields__) == {
        "id", "first_name", "last_name", "role", "headline", "about", "country", "created_at", "skills",
        "hourly_rate_minor", "rate_currency", "is_available", "avatar_upload_id", "rating_sum", "rating_count",
        "completed_contracts",
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
