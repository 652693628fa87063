"""Ten thousand wrong passwords: few are looked at, the owner still gets in, and nobody learns who has an account."""

import asyncio
from collections import Counter
from typing import Any

import httpx
from litestar import Litestar

from models import guard
from tests.api.conftest import PASSWORD, Client, registration

MANY = 10_000
AT_ONCE = 50
EMAIL = "user@example.com"
HOME, STRANGER, ELSEWHERE = "198.51.100.7", "203.0.113.9", "192.0.2.33"


def from_address(app: Litestar, address: str) -> Client:
    """Somebody at this address."""
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False, client=(address, 5))  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=transport, base_url="http://testserver")


async def login(client: Client, password: str = "Wrong-Pass-1!", email: str = EMAIL) -> httpx.Response:
    return await client.post("/api/auth/login", json={"email": email, "password": password})


def body(answer: httpx.Response) -> dict[str, Any]:
    """What an answer says, without what differs by the moment."""
    said = {**answer.json(), "request_id": None}
    if answer.status_code == 429:
        assert said.pop("detail").startswith("Too many attempts. The next one is looked at in ")
        assert 1 <= int(answer.headers["retry-after"]) <= 900
    return said


async def time_passes(seconds: int) -> None:
    await guard.rows(
        """update throttles set blocked_until = blocked_until - make_interval(secs => $1),
                                last_at = last_at - make_interval(secs => $1)""",
        seconds,
    )


async def failures_noted() -> int:
    return await guard.value("select count(*) from security_events where kind = 'sign_in_failed'")


async def test_ten_thousand_wrong_passwords_are_looked_at_a_handful_of_times(app: Litestar, client: Client):
    async with from_address(app, HOME) as home, from_address(app, STRANGER) as stranger:
        await home.post("/api/auth/register", json=registration())
        assert (await login(home, PASSWORD)).status_code == 200

        statuses: Counter[int] = Counter()
        for _ in range(MANY // AT_ONCE):
            answers = await asyncio.gather(*(login(stranger, f"Wrong-Pass-{n}!") for n in range(AT_ONCE)))
            statuses.update(one.status_code for one in answers)

        # Six at once, then one after 5, 10, 20, 40 … seconds: however fast the machine, about a dozen.
        assert statuses.total() == MANY
        assert set(statuses) == {401, 429}
        assert 6 <= statuses[401] <= 14
        # Every one that was hashed is noted, and no other is.
        assert await failures_noted() == statuses[401]
        # The stranger does not get in even with the right password, the owner does.
        assert (await login(stranger, PASSWORD)).status_code == 429
        assert (await login(home, PASSWORD)).status_code == 200


async def test_an_address_that_nobody_has_is_locked_just_alike(app: Litestar, client: Client):
    await client.post("/api/auth/register", json=registration())
    async with from_address(app, STRANGER) as stranger, from_address(app, ELSEWHERE) as elsewhere:
        known = [await login(stranger) for _ in range(8)]
        unknown = [await login(elsewhere, email="nobody@example.com") for _ in range(8)]
    assert [one.status_code for one in known] == [401] * 6 + [429] * 2
    assert [one.status_code for one in unknown] == [401] * 6 + [429] * 2
    assert [body(one) for one in known] == [body(one) for one in unknown]
    assert [{*one.headers} for one in known] == [{*one.headers} for one in unknown]
    rows = await guard.rows("select key, failures from throttles where key like 'account:%'")
    assert [one["failures"] for one in rows] == [6, 6]
    assert not any("@" in one["key"] or "user" in one["key"] for one in rows)


async def test_spellings_of_one_address_are_one_counter(app: Litestar, client: Client):
    answers = [await login(client, email=one) for one in ("a@EXAMPLE.com", " a@example.com", "A@example.com ") * 3]
    assert [one.status_code for one in answers] == [401] * 6 + [429] * 3


async def test_what_is_no_address_is_counted_too(client: Client):
    answers = [await login(client, email="us\x00er") for _ in range(7)]
    assert [one.status_code for one in answers] == [401] * 6 + [429]


async def test_the_lock_ends_by_itself_and_a_right_password_forgets_it(app: Litestar, client: Client):
    await client.post("/api/auth/register", json=registration())
    for _ in range(6):
        await login(client)
    blocked = await login(client, PASSWORD)
    assert (blocked.status_code, blocked.json()["code"]) == (429, "throttled")
    await time_passes(6)
    assert (await login(client, PASSWORD)).status_code == 200
    assert await guard.value("select count(*) from throttles where key like 'account:%'") == 0
    assert [(await login(client)).status_code for _ in range(7)] == [401] * 6 + [429]


async def test_the_owner_is_told_once_that_the_door_was_shut(app: Litestar, client: Client):
    await client.post("/api/auth/register", json=registration())
    for _ in range(9):
        await login(client)
    await time_passes(6)
    await login(client)
    kinds = await guard.rows("select kind from security_events order by id")
    assert [one["kind"] for one in kinds] == ["sign_in_failed"] * 6 + ["sign_in_locked", "sign_in_failed"]


async def test_a_guesser_in_the_owners_own_network_is_held_up_all_the_same(app: Litestar, client: Client):
    async with from_address(app, HOME) as home:
        await home.post("/api/auth/register", json=registration())
        assert (await login(home, PASSWORD)).status_code == 200
        assert [(await login(home)).status_code for _ in range(8)] == [401] * 6 + [429] * 2
    async with from_address(app, "198.51.100.200") as neighbour:
        assert (await login(neighbour)).status_code == 429


async def test_a_network_is_familiar_for_ninety_days(app: Litestar, client: Client):
    async with from_address(app, HOME) as home, from_address(app, STRANGER) as stranger:
        await home.post("/api/auth/register", json=registration())
        await login(home, PASSWORD)
        await guard.rows("update sessions set created_at = now() - interval '91 days'")
        for _ in range(6):
            await login(stranger)
        assert (await login(home, PASSWORD)).status_code == 429


async def test_a_network_that_tries_many_addresses_is_blocked_but_for_those_at_home_in_it(
    app: Litestar, client: Client
):
    async with from_address(app, HOME) as home:
        await home.post("/api/auth/register", json=registration())
        await login(home, PASSWORD)
        statuses = [(await login(home, email=f"user{n}@example.com")).status_code for n in range(40)]
        assert statuses == [401] * 31 + [429] * 9
        assert (await login(home, PASSWORD)).status_code == 200
    async with from_address(app, ELSEWHERE) as elsewhere:
        assert (await login(elsewhere, email="user99@example.com")).status_code == 401


async def test_rivals_that_try_one_network_at_one_moment_are_all_counted(app: Litestar, client: Client):
    async with from_address(app, STRANGER) as stranger:
        answers = await asyncio.gather(*(login(stranger, email=f"user{n}@example.com") for n in range(60)))
    assert Counter(one.status_code for one in answers) == {401: 31, 429: 29}
