"""Two words about one ticket at once: both are kept, and its state and clocks are those of the one that came last."""

import asyncio

from models import guard, helpdesk, support
from models.errors import DomainError, WrongState
from models.support import TicketCategory, TicketPriority, TicketRow
from models.timers import TimerKind
from tests import clock, factories, hourly

ROUNDS = 3


async def both(*rivals: object) -> list[object]:
    """What came of rivals that began at one moment: an answer each, or a refusal, and nothing else."""
    answers = await asyncio.gather(*rivals, return_exceptions=True)  # type: ignore[call-overload]
    assert all(not isinstance(one, BaseException) or isinstance(one, DomainError) for one in answers), answers
    return list(answers)


def ask(user_id: int, priority: TicketPriority = TicketPriority.NORMAL) -> object:
    return guard.commit(
        support.open_ticket,
        user_id,
        subject="A question",
        message="Why?",
        priority=priority,
        category=TicketCategory.OTHER,
    )


async def standing(ticket_id: int) -> tuple[str, set[str]]:
    """A ticket's status and the clocks that run for it."""
    status = await guard.value("select status from support_tickets where id = $1", ticket_id)
    found = await guard.rows("select kind from timers where subject_id = $1 and fired_at is null", ticket_id)
    return status, {one["kind"] for one in found}


async def test_many_tickets_asked_at_once_are_no_more_than_one_may_have(database: str) -> None:
    owner = await factories.a_client()

    answers = await both(*(ask(owner.id, TicketPriority.URGENT) for _ in range(6)))

    assert sum(isinstance(one, TicketRow) for one in answers) == support.MOST_URGENT
    assert sum(isinstance(one, WrongState) for one in answers) == 3


async def test_an_owner_and_support_who_speak_at_once_are_both_heard(database: str) -> None:
    owner, admin = await factories.a_client(), await factories.an_admin()
    for _ in range(ROUNDS):
        ticket: TicketRow = await ask(owner.id)  # type: ignore[misc]

        await both(
            guard.commit(helpdesk.reply, ticket.id, "More.", user_id=owner.id, admin=False),
            guard.commit(helpdesk.reply, ticket.id, "Because.", user_id=admin.id, admin=True),
        )

        assert len(await support.replies(ticket.id)) == 3
        status, clocks = await standing(ticket.id)
        assert status in ("waiting", "in_progress")
        assert clocks == {"ticket.resolution"}


async def test_a_close_and_a_reply_at_once_leave_no_clock_of_a_closed_ticket(database: str) -> None:
    owner, admin = await factories.a_client(), await factories.an_admin()
    for _ in range(ROUNDS):
        ticket: TicketRow = await ask(owner.id)  # type: ignore[misc]

        closed, replied, resolved = await both(
            guard.commit(helpdesk.close, ticket.id, user_id=owner.id, admin=False),
            guard.commit(helpdesk.reply, ticket.id, "Because.", user_id=admin.id, admin=True),
            guard.commit(helpdesk.resolve, ticket.id, None, by=admin.id),
        )

        assert isinstance(closed, TicketRow)
        assert all(isinstance(one, (TicketRow, WrongState)) for one in (replied, resolved))
        assert await standing(ticket.id) == ("closed", set())


async def test_two_admins_who_resolve_at_once_resolve_it_once(database: str) -> None:
    owner, admins = await factories.a_client(), [await factories.an_admin() for _ in range(2)]
    ticket: TicketRow = await ask(owner.id)  # type: ignore[misc]

    answers = await both(*(guard.commit(helpdesk.resolve, ticket.id, "Done.", by=one.id) for one in admins))

    assert sum(isinstance(one, WrongState) for one in answers) == 1
    assert len(await support.replies(ticket.id)) == 2
    assert await standing(ticket.id) == ("resolved", {"ticket.close"})


async def test_an_answer_at_the_moment_of_the_deadline_is_in_time_or_missed(database: str) -> None:
    owner, admin = await factories.a_client(), await factories.an_admin()
    for _ in range(ROUNDS):
        ticket: TicketRow = await ask(owner.id)  # type: ignore[misc]
        await clock.ahead(hours=24)
        (timer,) = [one for one in await hourly.due() if one.kind is TimerKind.TICKET_FIRST_RESPONSE]

        await both(
            guard.commit(helpdesk.reply, ticket.id, "Because.", user_id=admin.id, admin=True),
            guard.commit(helpdesk.miss_first_response, timer),
        )

        found = await guard.only("select * from support_tickets where id = $1", ticket.id)
        told = await guard.value("select count(*) from notifications where data->>'ticket_id' = $1 and type = $2",
                                 str(ticket.id), "ticket_overdue")  # fmt: skip
        assert found["first_response_at"] is not None
        assert found["first_response_missed"] is bool(told)
        await guard.rows("delete from timers")


async def test_a_reply_at_the_silent_close_reopens_or_is_too_late(database: str) -> None:
    owner, admin = await factories.a_client(), await factories.an_admin()
    for _ in range(ROUNDS):
        ticket: TicketRow = await ask(owner.id)  # type: ignore[misc]
        await guard.commit(helpdesk.resolve, ticket.id, None, by=admin.id)
        await clock.ahead(days=7)
        (timer,) = await hourly.due()

        replied, _ = await both(
            guard.commit(helpdesk.reply, ticket.id, "No.", user_id=owner.id, admin=False),
            guard.commit(helpdesk.close_silently, timer),
        )

        late = ("closed", set())
        reopened = ("in_progress", {"ticket.resolution"})
        assert await standing(ticket.id) == (late if isinstance(replied, WrongState) else reopened)
        await guard.rows("delete from timers")
