"""No client that is connected misses an event, hears one twice, or hears two out of order."""

import asyncio

from models import events, guard
from tests.realtime import world
from tests.realtime.client import signed_in
from tests.realtime.conftest import Person, Realtime


async def test_an_event_reaches_its_person_as_its_struct_says(realtime: Realtime, ada: Person, redis_url: str) -> None:
    async with signed_in(realtime.url, ada.auth()) as client:
        changed = events.MilestoneUpdated(milestone_id=3, contract_id=7, status="funded")
        await world.happen((changed, events.user(ada.id)))
        await world.relay(redis_url)

        assert await client.wait_for(1, 2) == [
            ("milestone_update", [{"milestone_id": 3, "contract_id": 7, "status": "funded"}, {"seq": 1}])
        ]


async def test_nobody_else_hears_it(realtime: Realtime, ada: Person, redis_url: str) -> None:
    async with signed_in(realtime.url, ada.auth()) as client:
        await world.happen((world.notified(1), events.user(ada.id + 1)), (world.notified(2), events.user(ada.id)))
        await world.relay(redis_url)

        assert [arguments[0]["title"] for _, arguments in await client.wait_for(1)] == ["number 2"]


async def test_a_client_that_wants_no_second_argument_gets_none(
    realtime: Realtime, ada: Person, redis_url: str
) -> None:
    async with signed_in(realtime.url, ada.auth(meta=0)) as client:
        await world.happen((world.notified(1), events.user(ada.id)))
        await world.relay(redis_url)

        ((_, arguments),) = await client.wait_for(1)
        assert arguments == [{"type": "test", "title": "number 1", "message": "", "data": {"n": 1}}]


async def test_many_events_come_in_order(realtime: Realtime, ada: Person, redis_url: str) -> None:
    async with signed_in(realtime.url, ada.auth()) as client:
        for batch in range(10):
            await world.happen(*[(world.notified(batch * 50 + n), events.user(ada.id)) for n in range(50)])
            await world.relay(redis_url)

        await client.wait_for(500)
        assert client.seqs() == list(range(1, 501))
        assert [arguments[0]["data"]["n"] for _, arguments in client.heard] == list(range(500))


async def test_what_the_relay_publishes_twice_is_heard_once(realtime: Realtime, ada: Person, redis_url: str) -> None:
    async with signed_in(realtime.url, ada.auth()) as client:
        await world.happen(*[(world.notified(n), events.user(ada.id)) for n in range(5)])
        numbered = await world.relay(redis_url)
        await world.publish(numbered, redis_url)
        await world.happen((world.notified(5), events.user(ada.id)))
        await world.relay(redis_url)

        await client.wait_for(6)
        await asyncio.sleep(0.2)
        assert client.seqs() == [1, 2, 3, 4, 5, 6]


async def test_what_the_relay_publishes_out_of_order_is_heard_in_order(
    realtime: Realtime, ada: Person, redis_url: str
) -> None:
    async with signed_in(realtime.url, ada.auth()) as client:
        await world.happen(*[(world.notified(n), events.user(ada.id)) for n in range(20)])
        numbered = await world.number()
        await world.publish(numbered[::-1], redis_url)

        await client.wait_for(20, 2)
        assert client.seqs() == list(range(1, 21))


async def test_a_relay_that_dies_between_number_and_publish_delays_and_loses_nothing(
    realtime: Realtime, ada: Person, redis_url: str
) -> None:
    async with signed_in(realtime.url, ada.auth()) as client:
        await world.happen((world.notified(1), events.user(ada.id)))
        await world.number()  # and then it died

        await client.wait_for(1, 6)
        assert client.seqs() == [1]


async def test_the_next_event_heals_the_gap_before_it(realtime: Realtime, ada: Person, redis_url: str) -> None:
    async with signed_in(realtime.url, ada.auth()) as client:
        await world.happen(*[(world.notified(n), events.user(ada.id)) for n in range(3)])
        await world.number()
        await world.happen((world.notified(3), events.user(ada.id)))
        await world.relay(redis_url)

        await client.wait_for(4, 1)
        assert client.seqs() == [1, 2, 3, 4]


async def test_what_happened_between_two_connections_is_replayed(
    realtime: Realtime, ada: Person, redis_url: str
) -> None:
    async with signed_in(realtime.url, ada.auth()) as client:
        await world.happen((world.notified(1), events.user(ada.id)))
        await world.relay(redis_url)
        await client.wait_for(1)
    await world.happen(*[(world.notified(n), events.user(ada.id)) for n in range(2, 500)])
    await world.relay(redis_url)

    async with signed_in(realtime.url, ada.auth(events_after=1)) as client:
        await world.happen((world.notified(500), events.user(ada.id)))
        await world.relay(redis_url)
        await client.wait_for(499)
        assert client.seqs() == list(range(2, 501))


async def test_without_a_number_only_what_comes_is_heard(realtime: Realtime, ada: Person, redis_url: str) -> None:
    await world.happen((world.notified(1), events.user(ada.id)))
    await world.relay(redis_url)
    async with signed_in(realtime.url, ada.auth()) as client:
        await world.happen((world.notified(2), events.user(ada.id)))
        await world.relay(redis_url)

        await client.wait_for(1)
        assert client.seqs() == [2]


async def test_who_asks_for_more_than_is_kept_is_told_to_start_afresh(
    realtime: Realtime, ada: Person, redis_url: str
) -> None:
    await world.happen(*[(world.notified(n), events.user(ada.id)) for n in range(10)])
    await world.number()
    await guard.rows("delete from events where seq <= 6 and audience = $1", events.user(ada.id))

    async with signed_in(realtime.url, ada.auth(events_after=2)) as client:
        await client.wait_for(5)
        assert client.heard[0] == ("resync", [{}, {"seq": 6}])
        assert client.seqs() == [7, 8, 9, 10]


async def test_who_asks_for_what_is_wholly_gone_goes_on_from_the_head(
    realtime: Realtime, ada: Person, redis_url: str
) -> None:
    await world.happen(*[(world.notified(n), events.user(ada.id)) for n in range(3)])
    await world.number()
    await guard.rows("delete from events where audience = $1", events.user(ada.id))

    async with signed_in(realtime.url, ada.auth(events_after=1)) as client:
        await client.wait_for(1)
        await world.happen((world.notified(4), events.user(ada.id)))
        await world.relay(redis_url)
        await client.wait_for(2)
        assert client.heard[0] == ("resync", [{}, {"seq": 3}])
        assert client.seqs() == [4]


async def test_who_asks_for_a_number_we_never_gave_is_told_to_start_afresh(realtime: Realtime, ada: Person) -> None:
    async with signed_in(realtime.url, ada.auth(events_after=99)) as client:
        await client.wait_for(1)
        assert client.heard == [("resync", [{}, {"seq": 0}])]


async def test_sync_answers_in_pages(realtime: Realtime, ada: Person) -> None:
    await world.happen(*[(world.notified(n), events.user(ada.id)) for n in range(450)])
    await world.number()

    async with signed_in(realtime.url, ada.auth()) as client:
        seqs, more = [0], True
        while more:
            page = await client.ask("sync", {"events_after": seqs[-1]})
            assert page["ok"]
            assert page["messages"] == []
            assert page["heads"] == {"events": 450}
            assert len(page["events"]) <= 200
            assert page["events"][0]["payload"]["data"] == {"n": seqs[-1]}
            seqs += [one["seq"] for one in page["events"]]
            more = page["more"]
        assert seqs == list(range(451))
        assert client.heard == []
