"""Reviews: once each after completion, neither seen before both are in or time is up, and counted with the showing."""

from datetime import timedelta
from decimal import Decimal

import pytest

from models import business_time, guard, profiles, reviews, timers
from models.contracts import ContractRow
from models.errors import NotFound, ReviewExists, WrongState
from models.projects import Visibility
from models.reviews import HIDDEN_FOR, ReviewStatus
from models.timers import TimerRow
from tests import clock, factories, worlds
from tests.reviewing import a_completed_contract, a_review, both_reviewed


async def fire(contract: ContractRow) -> None:
    """The deadline's job."""
    timer_id = await guard.value("select id from timers where subject_id = $1 and fired_at is null", contract.id)
    timer = await timers.find(timer_id)
    assert timer is not None
    await guard.commit(reviews.show_all, timer)


async def listed(reviewee_id: int, asker_id: int, *, admin: bool = False) -> list[int]:
    found = await reviews.list_of(reviewee_id, user_id=asker_id, admin=admin, before=None, limit=10)
    return [one.id for one in found]


async def rated(user_id: int) -> tuple[Decimal | None, int]:
    seen = await profiles.read_public(user_id)
    return seen.rating, seen.rating_count


async def test_a_review_is_its_authors_alone_until_the_other_one_is_in(database: str) -> None:
    contract = await a_completed_contract()
    client, freelancer = contract.client_id, contract.freelancer_id
    admin = await factories.an_admin()

    written = await a_review(contract, client, rating=4, comment="Good\nwork.")

    assert (written.status, written.shown_at, written.rating) == (ReviewStatus.HIDDEN, None, 4)
    assert (written.reviewer_id, written.reviewee_id, written.comment) == (client, freelancer, "Good\nwork.")
    assert await listed(freelancer, client) == [written.id]
    for other in (freelancer, admin.id):
        assert await listed(freelancer, other, admin=other == admin.id) == []
        with pytest.raises(NotFound):
            await reviews.read(written.id, user_id=other, admin=other == admin.id)
    assert await rated(freelancer) == (None, 0)
    assert "review_received" not in await worlds.told(freelancer)
    async with worlds.refused(NotFound):
        await guard.commit(reviews.respond, written.id, user_id=freelancer, response="Thanks.")

    answer = await a_review(contract, freelancer, rating=5)

    assert answer.status is ReviewStatus.SHOWN
    first = await reviews.read(written.id, user_id=admin.id, admin=True)
    assert first.shown_at == answer.shown_at is not None
    assert await listed(freelancer, admin.id) == [written.id]
    assert await rated(freelancer) == (Decimal("4.00"), 1)
    assert await rated(client) == (Decimal("5.00"), 1)
    for party in (client, freelancer):
        assert (await worlds.told(party))[-1] == "review_received"
        assert (await worlds.mailed(party))[-1] == "review_received"
    assert await guard.value("select count(*) from timers") == 0


async def test_after_fourteen_days_what_there_is_is_shown_and_nothing_more_taken(database: str) -> None:
    contract = await a_completed_contract()
    written = await a_review(contract, contract.freelancer_id, rating=2)
    await clock.ahead(days=13, hours=23)
    assert await timers.find(1) is None

    await clock.ahead(hours=1)
    async with worlds.refused(WrongState, "were taken until"):
        await a_review(contract, contract.client_id)
    await fire(contract)

    shown = await reviews.read(written.id, user_id=contract.client_id, admin=False)
    assert shown.status is ReviewStatus.SHOWN
    assert shown.shown_at is not None
    assert shown.shown_at >= shown.created_at + HIDDEN_FOR - timedelta(minutes=1)
    assert await rated(contract.client_id) == (Decimal("2.00"), 1)
    assert (await worlds.told(contract.client_id))[-1] == "review_received"
    assert "review_received" not in await worlds.told(contract.freelancer_id)
    async with worlds.refused(WrongState):
        await a_review(contract, contract.client_id)


async def test_a_deadline_that_somebody_forestalled_does_nothing(database: str) -> None:
    contract = await a_completed_contract()
    found = await guard.only("select id, subject_id, due_at from timers")
    timer = TimerRow(kind=timers.TimerKind.CONTRACT_REVIEWS, **dict(found))
    await both_reviewed(contract)
    await clock.ahead(days=15)

    async with worlds.unmoved():
        await guard.commit(reviews.show_all, timer)


async def test_a_deadline_without_reviews_only_ends(database: str) -> None:
    contract = await a_completed_contract()
    await clock.ahead(days=14)

    await fire(contract)

    assert await guard.value("select count(*) from timers where fired_at is not null") == 1
    assert await guard.value("select count(*) from mails where kind = 'review_received'") == 0


async def test_the_window_is_fourteen_business_days_long(database: str) -> None:
    await clock.ahead(days=100)
    contract = await a_completed_contract()

    due = await guard.value("select due_at from timers where kind = 'contract.reviews'")

    assert contract.completed_at is not None
    assert due == contract.completed_at + timedelta(days=14)
    assert abs(await business_time.now() + timedelta(days=14) - due) < timedelta(minutes=1)
    await a_review(contract, contract.client_id)


async def test_reviews_that_are_not_taken(database: str) -> None:
    contract, other = await a_completed_contract(), await factories.a_client()
    await a_review(contract, contract.client_id)
    active = await factories.a_contract()

    for contract_id, user_id, error in (
        (contract.id, other.id, NotFound),
        (999_999, other.id, NotFound),
        (contract.id, contract.client_id, ReviewExists),
    ):
        async with worlds.refused(error):
            await guard.commit(reviews.write, contract_id, reviewer_id=user_id, rating=1, comment="No.")
    async with worlds.refused(WrongState, "once it is completed"):
        await a_review(active, active.client_id)


async def test_a_review_is_answered_once_by_whom_it_is_about(database: str) -> None:
    contract = await a_completed_contract()
    of_freelancer, of_client = await both_reviewed(contract)
    stranger = await factories.a_client()

    for nobody in (contract.client_id, stranger.id):
        async with worlds.refused(NotFound):
            await guard.commit(reviews.respond, of_freelancer.id, user_id=nobody, response="No.")
    answered = await guard.commit(
        reviews.respond, of_freelancer.id, user_id=contract.freelancer_id, response="Thank you."
    )

    assert (answered.response, answered.reviewee_id) == ("Thank you.", contract.freelancer_id)
    assert answered.responded_at is not None
    assert (await worlds.told(contract.client_id))[-1] == "review_answered"
    async with worlds.refused(WrongState, "answered this review already"):
        await guard.commit(reviews.respond, of_freelancer.id, user_id=contract.freelancer_id, response="Again.")
    assert (await reviews.read(of_client.id, user_id=stranger.id, admin=False)).response is None


async def test_the_title_of_a_private_project_is_its_parties_alone(database: str) -> None:
    contract = await a_completed_contract()
    stranger = await factories.a_client()
    shown, _ = await both_reviewed(contract)

    async def title(user_id: int, *, admin: bool = False) -> str | None:
        return (await reviews.read(shown.id, user_id=user_id, admin=admin)).project_title

    assert await title(stranger.id) == contract.title
    await guard.rows("update projects set visibility = $1", Visibility.PRIVATE.value)
    assert await title(stranger.id) is None
    assert [await title(one) for one in (contract.client_id, contract.freelancer_id)] == [contract.title] * 2
    assert await title(stranger.id, admin=True) == contract.title


async def test_reviews_are_listed_newest_first_and_a_page_at_a_time(database: str) -> None:
    freelancer = await factories.a_freelancer()
    made = []
    for rating in (5, 4, 4):
        contract = await a_completed_contract(None, freelancer)
        made.append((await both_reviewed(contract, of_freelancer=rating))[0].id)
    pending = await a_completed_contract(None, freelancer)
    hidden = await a_review(pending, pending.client_id)

    assert await listed(freelancer.id, pending.client_id) == [hidden.id, *made[::-1]]
    assert await listed(freelancer.id, freelancer.id) == made[::-1]
    rest = await reviews.list_of(freelancer.id, user_id=freelancer.id, admin=False, before=made[2], limit=1)
    assert [one.id for one in rest] == [made[1]]
    assert await rated(freelancer.id) == (Decimal("4.33"), 3)
