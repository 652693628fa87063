"""Two who review at once, a review and its deadline, a review and a farewell: each counted once, and both shown."""

import asyncio
from typing import Any

from models import erasure, freelancers, guard, reviews, timers
from models.errors import ReviewExists, WrongState
from models.locks import Noun, lock
from models.reviews import ReviewRow
from models.timers import TimerKind, TimerRow
from tests import clock, factories
from tests.reviewing import a_completed_contract, a_review


async def at_once(*verbs: Any) -> list[Any]:
    return await asyncio.gather(*verbs, return_exceptions=True)


async def counted() -> list[tuple[int, int]]:
    found = await guard.rows("select rating_sum, rating_count from users where rating_count > 0 order by id")
    return [tuple(one) for one in found]


async def test_both_parties_at_once_are_both_shown_and_counted(database: str) -> None:
    for _ in range(3):
        contract = await a_completed_contract()

        written = await at_once(a_review(contract, contract.client_id), a_review(contract, contract.freelancer_id))

        assert all(isinstance(one, ReviewRow) for one in written), written
        states = await guard.rows("select status, shown_at from reviews where contract = $1", contract.id)
        assert [one["status"] for one in states] == ["shown", "shown"]
        assert states[0]["shown_at"] is not None
        assert await guard.value("select count(*) from timers where subject_id = $1", contract.id) == 0
    assert await counted() == [(5, 1)] * 6


async def test_one_party_four_times_at_once_has_one_review(database: str) -> None:
    contract = await a_completed_contract()

    written = await at_once(*(a_review(contract, contract.client_id) for _ in range(4)))

    assert sum(isinstance(one, ReviewRow) for one in written) == 1
    assert sum(isinstance(one, ReviewExists) for one in written) == 3


async def test_two_who_hired_each_other_crosswise_wait_for_nobody_for_ever(database: str) -> None:
    freelancers_ = [await factories.a_freelancer() for _ in range(2)]
    clients = [await factories.a_client() for _ in range(2)]
    hires = [await a_completed_contract(client, one) for client in clients for one in freelancers_]

    written = await at_once(*(a_review(one, party) for one in hires for party in (one.client_id, one.freelancer_id)))

    assert all(isinstance(one, ReviewRow) for one in written), written
    assert await counted() == [(10, 2)] * 4


async def test_a_review_and_the_deadline_at_once_show_each_review_once(database: str) -> None:
    for _ in range(3):
        contract = await a_completed_contract()
        await a_review(contract, contract.client_id)
        # The second one began in the last moment, and the deadline's job with it.
        await guard.rows("update timers set due_at = business_now() where subject_id = $1", contract.id)
        found = await guard.only("select id, subject_id, due_at from timers where fired_at is null")
        timer = TimerRow(kind=TimerKind.CONTRACT_REVIEWS, **dict(found))

        late, fired = await at_once(a_review(contract, contract.freelancer_id), guard.commit(reviews.show_all, timer))

        assert fired is None
        assert isinstance(late, (ReviewRow, WrongState))
        shown = await guard.rows("select status from reviews where contract = $1", contract.id)
        assert shown[0]["status"] == "shown"
        assert await guard.value("select rating_count from users where id = $1", contract.freelancer_id) == 1
        mails = "select count(*) from mails where kind = 'review_received' and context->>'contract_id' = $1"
        counted_once = await guard.value(mails, str(contract.id))
        assert counted_once == sum(one["status"] == "shown" for one in shown)


async def test_a_deadline_that_fires_twice_at_once_shows_once(database: str) -> None:
    contract = await a_completed_contract()
    await a_review(contract, contract.client_id)
    await clock.ahead(days=14)
    timer = await timers.find(await guard.value("select id from timers"))
    assert timer is not None

    await at_once(*(guard.commit(reviews.show_all, timer) for _ in range(4)))

    assert await counted() == [(5, 1)]


async def test_a_review_and_a_farewell_end_in_a_review_by_who_was_there(database: str) -> None:
    for _ in range(3):
        contract = await a_completed_contract()

        written, left = await at_once(
            a_review(contract, contract.freelancer_id), guard.commit(erasure.deactivate, contract.freelancer_id)
        )

        assert left is None
        kept = await guard.value("select count(*) from reviews where contract = $1", contract.id)
        assert kept == isinstance(written, ReviewRow)


async def test_an_answer_four_times_at_once_is_kept_once(database: str) -> None:
    contract = await a_completed_contract()
    first = await a_review(contract, contract.client_id)
    await a_review(contract, contract.freelancer_id)

    answers = await at_once(
        *(
            guard.commit(reviews.respond, first.id, user_id=contract.freelancer_id, response=f"Answer {n}")
            for n in range(4)
        )
    )

    assert sum(isinstance(one, ReviewRow) for one in answers) == 1
    assert sum(isinstance(one, WrongState) for one in answers) == 3
    assert await guard.value("select count(*) from notifications where type = 'review_answered'") == 1


async def test_completions_counted_beside_reviews_lose_none(database: str) -> None:
    freelancer = await factories.a_freelancer()
    contract = await a_completed_contract(None, freelancer)

    async def complete_one() -> None:
        await lock(Noun.ACCOUNT, freelancer.id)
        await freelancers.count_completed(freelancer.id)

    await at_once(
        *(guard.commit(complete_one) for _ in range(5)),
        a_review(contract, contract.client_id),
        a_review(contract, freelancer.id),
    )

    row = await guard.only(
        "select completed_contracts, rating_sum, rating_count from users where id = $1", freelancer.id
    )
    assert tuple(row) == (5, 5, 1)
