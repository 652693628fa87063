"""Who gets in, who does not and is told why, and who has to leave."""

import asyncio
import time
from uuid import uuid4

import httpx
import pytest

from models import events, guard, sessions
from tests.realtime import world
from tests.realtime.client import RefusedSignIn, raw, signed_in
from tests.realtime.conftest import Person, Realtime, make_person


async def refusal(realtime: Realtime, auth: object) -> str:
    with pytest.raises(RefusedSignIn) as refused:
        async with signed_in(realtime.url, auth):  # type: ignore[arg-type]
            pass
    assert refused.value.data["detail"] == str(refused.value)
    code: str = refused.value.data["code"]
    return code


async def test_without_a_token_nobody_gets_in(realtime: Realtime) -> None:
    assert await refusal(realtime, None) == "token_invalid"
    assert await refusal(realtime, {}) == "token_invalid"
    assert await refusal(realtime, ["token"]) == "token_invalid"


async def test_what_makes_no_sense_is_refused(realtime: Realtime, ada: Person) -> None:
    assert await refusal(realtime, {"token": 5}) == "invalid"
    assert await refusal(realtime, ada.auth(events_after=-1)) == "invalid"
    assert await refusal(realtime, ada.auth(events_after="1")) == "invalid"
    assert await refusal(realtime, ada.auth(meta=2)) == "invalid"


async def test_a_forged_token_is_refused(realtime: Realtime, ada: Person) -> None:
    assert await refusal(realtime, {"token": ada.token(key="x" * 40)}) == "token_invalid"
    assert await refusal(realtime, {"token": "a.b.c"}) == "token_invalid"


async def test_an_expired_token_is_refused(realtime: Realtime, ada: Person) -> None:
    assert await refusal(realtime, {"token": ada.token(life_s=-1)}) == "token_invalid"


async def test_a_revoked_session_is_refused(realtime: Realtime, ada: Person) -> None:
    await guard.commit(sessions.revoke, ada.session_id, "signed_out")
    assert await refusal(realtime, ada.auth()) == "token_invalid"


async def test_a_session_that_never_was_is_refused(realtime: Realtime, ada: Person) -> None:
    assert await refusal(realtime, Person(ada.id, uuid4(), ada.role).auth()) == "token_invalid"


async def test_another_persons_session_is_refused(realtime: Realtime, ada: Person) -> None:
    bob = await make_person()
    assert await refusal(realtime, Person(ada.id, bob.session_id, ada.role).auth()) == "token_invalid"


async def test_a_suspended_user_is_cut_too(realtime: Realtime, ada: Person) -> None:
    async with signed_in(realtime.url, ada.auth()) as client:
        await guard.rows("update users set suspended_at = now() where id = $1", ada.id)
        await asyncio.wait_for(client.cut.wait(), 2)


async def test_a_revoked_session_is_cut_within_a_second(realtime: Realtime, ada: Person) -> None:
    async with signed_in(realtime.url, ada.auth()) as client:
        began = time.monotonic()
        await guard.commit(sessions.revoke, ada.session_id, "signed_out")
        await asyncio.wait_for(client.cut.wait(), 2)
        assert time.monotonic() - began < 1
        assert client.told_to_leave


async def test_a_token_that_runs_out_is_announced_and_then_cut(realtime: Realtime, ada: Person) -> None:
    async with signed_in(realtime.url, {"token": ada.token(life_s=3)}) as client:
        ((name, arguments),) = await client.wait_for(1)
        assert name == "auth_expiring"
        assert 1 <= arguments[0]["in"] <= 3
        await asyncio.wait_for(client.cut.wait(), 5)
        assert client.told_to_leave


async def test_a_newer_token_lets_the_socket_stay(realtime: Realtime, ada: Person, redis_url: str) -> None:
    async with signed_in(realtime.url, {"token": ada.token(life_s=2)}) as client:
        await client.wait_for(1)
        assert await client.ask("auth_refresh", {"token": ada.token()}) == {"ok": True}
        await asyncio.sleep(2.5)
        await world.happen((world.notified(1), events.user(ada.id)))
        await world.relay(redis_url)
        await client.wait_for(2)
        assert client.seqs() == [1]


async def test_another_persons_token_does_not(realtime: Realtime, ada: Person) -> None:
    bob = await make_person()
    async with signed_in(realtime.url, ada.auth()) as client:
        answer = await client.ask("auth_refresh", {"token": bob.token()})
        assert (answer["ok"], answer["code"]) == (False, "token_invalid")
        answer = await client.ask("auth_refresh", {"token": "nonsense"})
        assert (answer["ok"], answer["code"]) == (False, "token_invalid")


async def test_ten_sockets_a_person_and_no_more(realtime: Realtime, ada: Person) -> None:
    clients = [signed_in(realtime.url, ada.auth()) for _ in range(10)]
    for one in clients:
        await one.__aenter__()
    assert await refusal(realtime, ada.auth()) == "too_many_sockets"
    for one in clients:
        await one.__aexit__(None, None, None)


async def test_twenty_connections_a_minute_and_no_more(realtime: Realtime, ada: Person) -> None:
    for _ in range(20):
        async with signed_in(realtime.url, ada.auth()):
            pass
    with pytest.raises(RefusedSignIn) as refused:
        async with signed_in(realtime.url, ada.auth()):
            pass
    assert refused.value.data["code"] == "rate_limited"
    assert 0 < refused.value.data["retry_after"] <= 3


async def test_who_does_not_say_who_it_is_is_shown_out(realtime: Realtime) -> None:
    async with raw(realtime.url) as socket:
        assert await asyncio.wait_for(socket.recv(), 15) == "1"
        await asyncio.wait_for(socket.wait_closed(), 2)


async def test_polling_alone_works(realtime: Realtime, ada: Person, redis_url: str) -> None:
    async with httpx.AsyncClient(base_url=realtime.url) as http:
        path = "/socket.io/?EIO=4&transport=polling"
        opened = (await http.get(path)).text
        path += "&sid=" + opened.split('"sid":"')[1].split('"')[0]
        await http.post(path, content=f'40{{"token":"{ada.token()}"}}')
        assert (await http.get(path)).text.startswith("40{")
        await world.happen((world.notified(1), events.user(ada.id)))
        await world.relay(redis_url)
        assert (await http.get(path)).text.startswith('42["notification",')


async def test_only_our_origins_may_connect(realtime: Realtime) -> None:
    path = realtime.url + "/socket.io/?EIO=4&transport=polling"
    async with httpx.AsyncClient() as http:
        for origin, status in (
            ("http://localhost:3000", 200),
            (realtime.url, 200),
            ("http://evil.example", 400),
            ("null", 400),
        ):
            answer = await http.get(path, headers={"Origin": origin})
            assert answer.status_code == status, origin
            assert answer.headers.get("access-control-allow-origin") == (origin if status == 200 else None)


async def test_nothing_else_is_answered(realtime: Realtime) -> None:
    async with httpx.AsyncClient(base_url=realtime.url) as http:
        assert (await http.get("/health/live")).status_code == 200
        assert (await http.post("/health/live")).status_code == 404
        assert (await http.get("/")).status_code == 404
        assert (await http.get("/socket.io/admin")).status_code == 404
