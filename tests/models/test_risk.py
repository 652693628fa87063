"""Sign-in risk: every factor from real rows, and each one's absence worth exactly what the factor said it was."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import msgspec
import pytest

from models import guard, risk, security, sessions
from models.accounts import Person
from models.risk import Assessment
from models.security import SecurityEventKind
from models.visitors import Place, Visitor
from tests import factories

BERLIN = Place(country="DE", city="Berlin", latitude=52.52, longitude=13.405)
POTSDAM = Place(country="DE", city="Potsdam", latitude=52.39, longitude=13.06)
SAO_PAULO = Place(country="BR", city="São Paulo", latitude=-23.55, longitude=-46.633)
HOME = Visitor(user_agent="Firefox/142.0 (Linux)", ip_address="203.0.113.7", place=BERLIN)
AWAY = Visitor(user_agent="Chrome/1.0 (Windows)", ip_address="198.51.100.9", place=SAO_PAULO)


async def signed_in(person: Person, visitor: Visitor, *, ago: timedelta = timedelta()) -> None:
    begun = await guard.commit(sessions.begin, person.id, person.role, visitor)
    await guard.rows(
        "update sessions set created_at = now() - $2::interval, refreshed_at = now() - $2::interval where id = $1",
        begun.session_id,
        ago,
    )


async def failed(person: Person, visitor: Visitor, times: int = 1, *, ago: timedelta = timedelta()) -> None:
    for _ in range(times):
        await guard.commit(security.note, person.id, SecurityEventKind.SIGN_IN_FAILED, visitor)
    await guard.rows('update security_events set created_at = now() - $2::interval where "user" = $1', person.id, ago)


async def list_tried(visitor: Visitor, victims: int) -> None:
    for _ in range(victims):
        await failed(await factories.a_client(), visitor)


def parts(found: Assessment) -> dict[str, float]:
    assert found.score == sum(one.contribution for one in found.factors)
    return {one.name: one.contribution for one in found.factors}


async def test_an_account_without_history_has_nothing_unusual(database: str) -> None:
    person = await factories.a_client()

    assert await risk.assess(person.id, AWAY) == Assessment(
        score=0.0, level="low", factors=(), require_additional_auth=False
    )


async def test_the_same_browser_at_home_is_no_risk(database: str) -> None:
    person = await factories.a_client()
    await signed_in(person, HOME)

    updated = msgspec.structs.replace(HOME, user_agent="Firefox/143.0.1 (Linux)", ip_address="203.0.113.200")
    assert parts(await risk.assess(person.id, updated)) == {}


async def test_everything_at_once_is_a_hundred(database: str) -> None:
    person = await factories.a_client()
    await signed_in(person, HOME, ago=timedelta(minutes=30))
    await failed(person, HOME, 12)
    await list_tried(AWAY, 5)

    found = await risk.assess(person.id, AWAY)

    assert parts(found) == {
        "new_device": 15.0, "new_network": 10.0, "new_country": 15.0, "impossible_travel": 30.0, "velocity": 15.0,
        "credential_stuffing": 15.0,
    }  # fmt: skip
    assert (found.score, found.level, found.require_additional_auth) == (100.0, "high", True)
    assert [one.detail for one in found.factors] == [
        "This browser has not signed in to the account before.",
        "Nobody has signed in to the account from this network.",
        "The account has not been used from BR before.",
        "The account was used 10,253 km from here 30 minutes ago.",
        "At least 10 failed sign-ins to the account in the last hour.",
        "Sign-ins to at least 5 other accounts failed from this network in the last hour.",
    ]


Cure = Callable[[Person], Awaitable[object]]
ELSEWHERE = timedelta(days=9)


# What each factor's cause is, taken away from the story in which all of them are there.
CURES: Sequence[tuple[str, Cure]] = [
    ("new_device", lambda who: signed_in(who, msgspec.structs.replace(HOME, user_agent=AWAY.user_agent), ago=ELSEWHERE)),
    ("new_network", lambda who: signed_in(who, msgspec.structs.replace(HOME, ip_address=AWAY.ip_address), ago=ELSEWHERE)),
    ("new_country", lambda who: signed_in(who, msgspec.structs.replace(HOME, place=SAO_PAULO), ago=ELSEWHERE)),
    ("impossible_travel", lambda _: guard.rows("update sessions set refreshed_at = now() - interval '12 hours'")),
    ("velocity", lambda who: guard.rows('delete from security_events where "user" = $1', who.id)),
    ("credential_stuffing", lambda who: guard.rows('delete from security_events where "user" <> $1', who.id)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "cure"), CURES, ids=[name for name, _ in CURES])
async def test_taking_a_cause_away_lowers_the_score_by_exactly_its_contribution(
    database: str, name: str, cure: Cure
) -> None:
    person = await factories.a_client()
    await signed_in(person, HOME, ago=timedelta(minutes=30))
    await failed(person, HOME, 3)
    await list_tried(AWAY, 6)
    before = parts(await risk.assess(person.id, AWAY))

    await cure(person)

    after = parts(await risk.assess(person.id, AWAY))
    assert after == {one: points for one, points in before.items() if one != name}
    assert sum(before.values()) - sum(after.values()) == before[name] > 0


@pytest.mark.parametrize(
    ("minutes", "place", "names"),
    [
        (1, POTSDAM, set()),  # near: maps are not that exact
        (683, SAO_PAULO, {"new_country", "impossible_travel"}),  # 10,253 km take 683.5 minutes
        (684, SAO_PAULO, {"new_country"}),
        (1, Place(country="BR"), {"new_country"}),  # nobody knows where in Brazil
        (1, Place(country="DE", latitude=52.52), set()),
        (1, None, set()),
    ],
)
async def test_travel_is_impossible_past_900_km_an_hour_and_100_km(
    database: str, minutes: int, place: Place | None, names: set[str]
) -> None:
    person = await factories.a_client()
    await signed_in(person, HOME, ago=timedelta(minutes=minutes))

    found = await risk.assess(person.id, msgspec.structs.replace(HOME, place=place))

    assert set(parts(found)) == names


async def test_travel_is_measured_from_the_last_use_whose_place_is_known(database: str) -> None:
    person = await factories.a_client()
    await signed_in(person, msgspec.structs.replace(HOME, place=SAO_PAULO), ago=timedelta(days=2))
    await signed_in(person, HOME, ago=timedelta(hours=1))
    await signed_in(person, msgspec.structs.replace(HOME, place=None))

    assert set(parts(await risk.assess(person.id, msgspec.structs.replace(HOME, place=SAO_PAULO)))) == {
        "impossible_travel"
    }
    assert parts(await risk.assess(person.id, HOME)) == {}


async def test_history_is_ninety_days_and_what_was_never_known_is_not_new(database: str) -> None:
    person = await factories.a_client()
    await signed_in(person, HOME, ago=timedelta(days=91))
    assert parts(await risk.assess(person.id, AWAY)) == {}

    # As sessions were before places and devices were written down.
    await guard.rows("update sessions set refreshed_at = now(), device = '', network = '', country = null")
    await guard.rows("update sessions set latitude = null")
    assert parts(await risk.assess(person.id, AWAY)) == {}


async def test_an_address_that_the_server_does_not_know_is_no_new_network(database: str) -> None:
    person = await factories.a_client()
    await signed_in(person, HOME)
    await list_tried(Visitor(user_agent="", ip_address=""), 6)

    found = await risk.assess(person.id, msgspec.structs.replace(HOME, ip_address=""))

    assert parts(found) == {}


@pytest.mark.parametrize(("times", "points"), [(1, 1.5), (4, 6.0), (9, 13.5), (10, 15.0), (11, 15.0)])
async def test_each_failure_of_the_last_hour_counts_up_to_a_bound(database: str, times: int, points: float) -> None:
    person = await factories.a_client()
    await failed(person, AWAY, 3, ago=timedelta(minutes=61))
    for _ in range(times):
        await guard.commit(security.note, person.id, SecurityEventKind.SIGN_IN_FAILED, AWAY)

    assert parts(await risk.assess(person.id, HOME)) == {"velocity": points}


async def test_four_victims_are_no_list_nor_are_failures_elsewhere_or_long_ago(database: str) -> None:
    person = await factories.a_client()
    await list_tried(HOME, 4)
    await list_tried(AWAY, 5)
    await failed(await factories.a_client(), HOME, 9, ago=timedelta(minutes=61))
    assert parts(await risk.assess(person.id, HOME)) == {}

    await list_tried(HOME, 1)
    assert parts(await risk.assess(person.id, HOME)) == {"credential_stuffing": 15.0}


@pytest.mark.parametrize(
    ("points", "level", "asks"),
    [(0.0, "low", False), (29.5, "low", False), (30.0, "medium", True), (59.5, "medium", True), (60.0, "high", True)],
)
def test_the_level_follows_the_score(points: float, level: str, *, asks: bool) -> None:
    found = risk.weigh((risk.RiskFactor(name="x", contribution=points, detail=""),))

    assert (found.score, found.level, found.require_additional_auth) == (points, level, asks)


def test_more_than_a_hundred_is_our_mistake() -> None:
    factor = risk.RiskFactor(name="x", contribution=50.5, detail="")
    with pytest.raises(AssertionError):
        risk.weigh((factor, factor))


def test_all_factors_together_make_a_hundred() -> None:
    parts = (risk.NEW_DEVICE, risk.NEW_NETWORK, risk.NEW_COUNTRY, risk.IMPOSSIBLE_TRAVEL, risk.VELOCITY_MOST)
    assert sum(parts) + risk.CREDENTIAL_STUFFING == risk.MOST


@pytest.mark.parametrize(
    ("one", "other", "km"),
    [
        ((0, 0), (0, 0), 0.0),
        ((0, 0), (0, 180), 20015.11),
        ((90, 0), (-90, 77), 20015.11),
        ((0, 179), (0, -179), 222.39),
    ],
)
def test_distances_are_those_of_the_sphere(one: tuple[float, float], other: tuple[float, float], km: float) -> None:
    assert risk.distance_km(*one, *other) == pytest.approx(km, abs=0.01)
