"""An account that is erased while its owner still writes: what comes late is refused, and nothing is written anew."""

from models import blocks, erasure, guard, helpdesk, notifications, preferences, support
from models.errors import TokenInvalid
from models.notifications import NotificationType
from models.preferences import Category, Change
from models.support import TicketCategory, TicketPriority
from tests import factories
from tests.races.rivals import behind


async def test_a_word_to_support_beside_an_erasure_is_forgotten_or_never_said(database: str) -> None:
    owner = await factories.a_client()
    ticket = await guard.commit(
        support.open_ticket,
        owner.id,
        subject="Me",
        message="My number is 7.",
        priority=TicketPriority.NORMAL,
        category=TicketCategory.OTHER,
    )
    late = guard.commit(helpdesk.reply, ticket.id, "And 8.", user_id=owner.id, admin=False)

    said = await behind(owner.id, lambda: erasure.erase(owner.id), late)

    assert isinstance(said, TokenInvalid), said
    assert {one.message for one in await support.replies(ticket.id)} == {""}


async def test_a_block_beside_an_erasure_is_forgotten_or_never_made(database: str) -> None:
    for leaver in ("blocker", "blocked"):
        people = {"blocker": await factories.a_client(), "blocked": await factories.a_freelancer()}
        leaving = people[leaver].id
        late = guard.commit(blocks.make, people["blocked"].id, blocker_id=people["blocker"].id)

        await behind(leaving, lambda leaving=leaving: erasure.erase(leaving), late)

        assert await guard.value("select count(*) from user_blocks") == 0


async def test_a_wish_beside_an_erasure_is_forgotten_or_never_kept(database: str) -> None:
    person = await factories.a_client()
    late = guard.commit(preferences.change, person.id, {Category.REVIEWS: Change(email=False)})

    await behind(person.id, lambda: erasure.erase(person.id), late)

    assert await guard.value("select count(*) from notification_preferences") == 0


async def test_nobody_who_is_erased_is_told_anything(database: str) -> None:
    person = await factories.a_client()
    await guard.commit(erasure.erase, person.id)

    await guard.commit(
        notifications.tell, person.id, type=NotificationType.REVIEW_RECEIVED, title="New", message="A word", data={}
    )

    for table in ("notifications", "events"):
        assert await guard.value(f"select count(*) from {table}") == 0
