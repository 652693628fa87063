"""One's own safety over HTTP: sessions and events are one's own, risk is told with its parts, and a map makes places."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from litestar import Litestar

import settings
from models import guard, security, sessions
from models.accounts import Person
from models.security import SecurityEventKind
from models.visitors import Place, Visitor
from tests import factories
from tests.api.callers import anonymous, body_of, calling, problem_of
from tests.maps import BERLIN, SAO_PAULO, a_map

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64) Firefox/142.0"
IN_BERLIN, IN_SAO_PAULO, NOWHERE = "203.0.113.7", "198.51.100.9", "192.0.2.1"


@pytest.fixture
def _mapped(tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The service has a map, and stands behind a proxy."""
    file = a_map(tmp_path / "cities.mmdb", {"203.0.113.0/24": BERLIN, "198.51.100.0/24": SAO_PAULO})
    monkeypatch.setenv("GEOIP_DATABASE", str(file))
    monkeypatch.setenv("TRUSTED_PROXIES", "127.0.0.1")
    settings.load.cache_clear()
    yield
    settings.load.cache_clear()


@pytest.fixture
async def person(database: str) -> Person:
    return await factories.a_client()


@pytest.fixture
async def me(app: Litestar, person: Person) -> AsyncIterator[httpx.AsyncClient]:
    async with await calling(app, person) as client:
        client.headers["User-Agent"] = FIREFOX
        yield client


def question(user_id: int, ip_address: str = IN_BERLIN, **more: Any) -> dict[str, Any]:
    return {"user_id": user_id, "ip_address": ip_address, "user_agent": FIREFOX, **more}


async def assessed(client: httpx.AsyncClient, **asked: Any) -> dict[str, Any]:
    found: dict[str, Any] = body_of(await client.post("/api/security/assess-risk", json=asked), 200)
    return found


async def began(person: Person, place: Place) -> None:
    visitor = Visitor(user_agent=FIREFOX, ip_address=IN_BERLIN, place=place)
    await guard.commit(sessions.begin, person.id, person.role, visitor)


def parts(found: dict[str, Any]) -> dict[str, Any]:
    assert set(found) == {"risk_score", "risk_level", "factors", "require_additional_auth"}
    assert all(set(one) == {"name", "contribution", "detail"} for one in found["factors"])
    assert sum(one["contribution"] for one in found["factors"]) == found["risk_score"]
    return {one["name"]: one["contribution"] for one in found["factors"]}


# Risk ----------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_mapped")
async def test_two_countries_within_an_hour_are_impossible_travel_worth_exactly_its_contribution(
    app: Litestar, person: Person, me: httpx.AsyncClient
) -> None:
    known = app.state.places.find(IN_BERLIN)
    place = Place(country=known.country, city=known.city, latitude=known.latitude, longitude=known.longitude)
    await began(person, place)
    await guard.rows("update sessions set refreshed_at = now() - interval '50 minutes' where latitude is not null")

    risky = await assessed(me, **question(person.id, IN_SAO_PAULO))

    assert parts(risky) == {"new_network": 10, "new_country": 15, "impossible_travel": 30}
    assert (risky["risk_score"], risky["risk_level"], risky["require_additional_auth"]) == (55, "medium", True)
    (said,) = [one["detail"] for one in risky["factors"] if one["name"] == "impossible_travel"]
    assert said == "The account was used 10,253 km from here 50 minutes ago."

    await guard.rows("update sessions set refreshed_at = now() - interval '12 hours' where latitude is not null")
    calm = await assessed(me, **question(person.id, IN_SAO_PAULO))

    assert parts(calm) == {"new_network": 10, "new_country": 15}
    assert risky["risk_score"] - calm["risk_score"] == parts(risky)["impossible_travel"]
    assert (calm["risk_level"], calm["require_additional_auth"]) == ("low", False)


@pytest.mark.usefixtures("_mapped")
async def test_a_stated_place_counts_and_has_the_maps_coordinates_only_where_they_agree(
    person: Person, me: httpx.AsyncClient
) -> None:
    berlin = Place(country="DE", city="Berlin", latitude=52.52, longitude=13.405)
    await began(person, berlin)

    async def names(address: str, **location: str) -> set[str]:
        return set(parts(await assessed(me, **question(person.id, address, location=location))))

    assert await names(IN_BERLIN, country="de", city="Bonn") == set()
    assert await names(IN_BERLIN, country="FR") == {"new_country"}
    assert await names(IN_SAO_PAULO, country="BR", city="Rio") == {"new_network", "new_country", "impossible_travel"}
    assert await names(IN_SAO_PAULO, country="DE", city="Berlin") == {"new_network"}
    assert await names(NOWHERE, country="DE") == {"new_network"}
    assert await names("2001:db8::1", country="US") == {"new_network", "new_country"}


async def test_without_a_map_a_place_is_absent_and_the_sources_own_question_is_answered(
    person: Person, me: httpx.AsyncClient
) -> None:
    asked = {
        "user_id": person.id,
        "ip_address": "1.2.3.4",
        "user_agent": "Mozilla/5.0...",
        "location": {"country": "US", "city": "New York"},
    }

    assert await assessed(me, **asked) == {
        "risk_score": 15,
        "risk_level": "low",
        "factors": [
            {
                "name": "new_device",
                "contribution": 15,
                "detail": "This browser has not signed in to the account before.",
            }
        ],
        "require_additional_auth": False,
    }


@pytest.mark.usefixtures("_mapped")
async def test_a_visitors_place_is_that_of_the_address_behind_the_proxy(me: httpx.AsyncClient, person: Person) -> None:
    await guard.commit(sessions.begin, person.id, person.role)
    answer = await me.delete("/api/security/sessions/all", headers={"X-Forwarded-For": f"6.6.6.6, {IN_SAO_PAULO}"})
    assert body_of(answer, 200) == {"revoked": 1}

    (event,) = body_of(await me.get("/api/security/events"), 200)["items"]
    assert (event["ip_address"], event["country"], event["city"]) == (IN_SAO_PAULO, "BR", "São Paulo")


async def test_only_admins_ask_about_others_and_nobody_learns_who_exists(app: Litestar, me: httpx.AsyncClient) -> None:
    other = await factories.a_client()

    refusals = [
        problem_of(await me.post("/api/security/assess-risk", json=question(one)), 403, "not_allowed")
        for one in (other.id, 999_999_999)
    ]

    assert refusals[0]["detail"] == refusals[1]["detail"] == "Only admins assess other people's sign-ins."
    async with await calling(app, await factories.an_admin()) as admin:
        assert (await assessed(admin, **question(other.id)))["risk_level"] == "low"
        problem_of(await admin.post("/api/security/assess-risk", json=question(999_999_999)), 404, "not_found")


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"ip_address": "1.2.3"}, "ip_address"),
        ({"ip_address": "1.2.3.4/8"}, "ip_address"),
        ({"ip_address": "example.com"}, "ip_address"),
        ({"ip_address": "1" * 46}, "ip_address"),
        ({"ip_address": None}, "ip_address"),
        ({"user_id": 0}, "user_id"),
        ({"user_id": "one"}, "user_id"),
        ({"user_agent": "x" * 1001}, "user_agent"),
        ({"user_agent": "a\0b"}, "user_agent"),
        ({"location": {"country": "USA"}}, "location.country"),
        ({"location": {"city": "Bonn"}}, "location.country"),
        ({"location": {"country": "US", "city": ""}}, "location.city"),
        ({"location": {"country": "US", "planet": "Earth"}}, "location.planet"),
        ({"session_id": 1}, "session_id"),
    ],
)
async def test_a_question_that_makes_no_sense_is_refused(
    person: Person, me: httpx.AsyncClient, changed: dict[str, Any], field: str
) -> None:
    answer = await me.post("/api/security/assess-risk", json=question(person.id, location=None) | changed)

    said = problem_of(answer, 422, "invalid")
    assert [one["field"] for one in said["errors"]] == [field]


async def test_an_empty_browser_is_a_browser(person: Person, me: httpx.AsyncClient) -> None:
    # Tests' own session has none either.
    assert parts(await assessed(me, **question(person.id) | {"user_agent": ""})) == {}


# Sessions ------------------------------------------------------------------------------------------------------------


async def test_ones_live_sessions_are_listed_the_newest_first(person: Person, me: httpx.AsyncClient) -> None:
    place = Place(country="DE", city="Berlin")
    visitor = Visitor(user_agent=FIREFOX, ip_address=IN_BERLIN, place=place)

    async def begin() -> Any:
        return await sessions.begin(person.id, person.role, visitor, proved=True)

    second = await guard.commit(begin)
    ended, idle = [(await guard.commit(begin)).session_id for _ in range(2)]
    await guard.commit(sessions.revoke, ended, "logout")
    await guard.rows("update sessions set refreshed_at = now() - interval '7 days' where id = $1", idle)
    await guard.commit(sessions.begin, (other := await factories.a_client()).id, other.role)

    first_page = body_of(await me.get("/api/security/sessions", params={"limit": 1}), 200)
    rest = body_of(
        await me.get("/api/security/sessions", params={"limit": 1, "cursor": first_page["next_cursor"]}), 200
    )

    (newest,), (oldest,) = first_page["items"], rest["items"]
    assert rest["next_cursor"] is None
    assert set(newest) == {
        "id", "created_at", "last_seen", "ip_address", "user_agent", "country", "city", "current", "proved",
    }  # fmt: skip
    assert newest["id"] == str(second.session_id)
    assert (newest["ip_address"], newest["user_agent"], newest["country"], newest["city"]) == (
        IN_BERLIN, FIREFOX, "DE", "Berlin",
    )  # fmt: skip
    assert newest["created_at"].endswith("Z")
    assert (newest["current"], newest["proved"]) == (False, True)
    assert (oldest["current"], oldest["proved"]) == (True, False)


async def test_a_session_is_ended_at_once_and_once_and_noted(
    app: Litestar, person: Person, me: httpx.AsyncClient
) -> None:
    async with await calling(app, person) as phone:
        listed = body_of(await phone.get("/api/security/sessions"), 200)["items"]
        (phones,) = [one["id"] for one in listed if one["current"]]

        answer = await me.delete(f"/api/security/sessions/{phones}")

        assert (answer.status_code, answer.content) == (204, b"")
        problem_of(await phone.get("/api/security/sessions"), 401, "token_invalid")
    problem_of(await me.delete(f"/api/security/sessions/{phones}"), 404, "not_found")
    (event,) = body_of(await me.get("/api/security/events"), 200)["items"]
    assert (event["kind"], event["details"], event["user_agent"]) == (
        "session_revoked", {"session_id": phones}, FIREFOX,
    )  # fmt: skip


async def test_somebody_elses_session_is_as_one_that_never_was(
    app: Litestar, person: Person, me: httpx.AsyncClient
) -> None:
    other = await factories.a_client()
    async with await calling(app, other) as theirs:
        (one,) = body_of(await theirs.get("/api/security/sessions"), 200)["items"]

        refusals = [
            problem_of(await me.delete(f"/api/security/sessions/{named}"), 404, "not_found")
            for named in (one["id"], uuid4())
        ]

        assert refusals[0]["detail"] == refusals[1]["detail"]
        assert len(body_of(await theirs.get("/api/security/sessions"), 200)["items"]) == 1
    assert (await me.delete("/api/security/sessions/1")).status_code == 404
    assert await guard.value("select count(*) from security_events") == 0


async def test_the_present_session_can_be_ended_too(me: httpx.AsyncClient) -> None:
    (mine,) = body_of(await me.get("/api/security/sessions"), 200)["items"]

    assert (await me.delete(f"/api/security/sessions/{mine['id']}")).status_code == 204
    problem_of(await me.get("/api/security/sessions"), 401, "token_invalid")


async def test_all_sessions_but_the_present_one_are_ended(app: Litestar, person: Person, me: httpx.AsyncClient) -> None:
    other = await factories.a_client()
    async with await calling(app, person) as phone, await calling(app, other) as theirs:
        await guard.commit(sessions.begin, person.id, person.role)

        assert body_of(await me.delete("/api/security/sessions/all"), 200) == {"revoked": 2}

        problem_of(await phone.get("/api/security/sessions"), 401, "token_invalid")
        assert len(body_of(await theirs.get("/api/security/sessions"), 200)["items"]) == 1
    assert [one["current"] for one in body_of(await me.get("/api/security/sessions"), 200)["items"]] == [True]
    assert body_of(await me.delete("/api/security/sessions/all"), 200) == {"revoked": 0}
    events = body_of(await me.get("/api/security/events"), 200)["items"]
    assert [(one["kind"], one["details"]) for one in events] == [("sessions_revoked", {"revoked": 2})]


# Events --------------------------------------------------------------------------------------------------------------


async def test_ones_own_events_are_listed_the_newest_first_a_page_at_a_time(
    person: Person, me: httpx.AsyncClient
) -> None:
    visitor = Visitor(user_agent="a\0b", ip_address=IN_BERLIN, place=Place(country="DE", city="Berlin"))
    for kind in (SecurityEventKind.SIGN_IN_FAILED, SecurityEventKind.SIGNED_IN, SecurityEventKind.PASSWORD_CHANGED):
        await guard.commit(security.note, person.id, kind, visitor, {"n": 1})
    await guard.commit(security.note, (await factories.a_client()).id, SecurityEventKind.SIGNED_IN)

    first = body_of(await me.get("/api/security/events", params={"limit": 2}), 200)
    rest = body_of(await me.get("/api/security/events", params={"limit": 2, "cursor": first["next_cursor"]}), 200)

    assert [one["kind"] for one in [*first["items"], *rest["items"]]] == [
        "password_changed", "signed_in", "sign_in_failed",
    ]  # fmt: skip
    assert rest["next_cursor"] is None
    event = first["items"][0]
    assert set(event) == {
        "id", "kind", "ip_address", "user_agent", "country", "city", "details", "created_at",
    }  # fmt: skip
    assert (event["user_agent"], event["country"], event["city"], event["details"]) == ("ab", "DE", "Berlin", {"n": 1})


@pytest.mark.parametrize("path", ["sessions", "events"])
async def test_a_cursor_of_another_list_is_refused(me: httpx.AsyncClient, path: str) -> None:
    answer = await me.get(f"/api/security/{path}", params={"cursor": "AAAA"})
    problem_of(answer, 422, "invalid")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "assess-risk"), ("GET", "sessions"), ("DELETE", "sessions/all"), ("GET", "events"),
        ("DELETE", "sessions/01890000-0000-7000-8000-000000000000"),
    ],
)  # fmt: skip
async def test_nobody_unknown_gets_in(app: Litestar, method: str, path: str) -> None:
    async with anonymous(app) as stranger:
        problem_of(await stranger.request(method, f"/api/security/{path}"), 401, "token_invalid")
