"""Support tickets: asked, answered, solved and closed, against two clocks; and who may do which."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from models import guard, helpdesk, support, support_queue
from models.accounts import Person
from models.errors import Invalid, NotFound, TokenInvalid, WrongState
from models.support import MACHINE, TicketCategory, TicketPriority, TicketRow, TicketStatus
from models.support_queue import Sought
from models.timers import TimerKind
from tests import clock, factories, hourly, worlds

FIRST, SOLVED, CLOSING = TimerKind.TICKET_FIRST_RESPONSE, TimerKind.TICKET_RESOLUTION, TimerKind.TICKET_CLOSE
OPEN, IN_PROGRESS, WAITING = TicketStatus.OPEN, TicketStatus.IN_PROGRESS, TicketStatus.WAITING
RESOLVED, CLOSED = TicketStatus.RESOLVED, TicketStatus.CLOSED


async def a_ticket(person: Person, priority: TicketPriority = TicketPriority.NORMAL) -> TicketRow:
    return await guard.commit(
        support.open_ticket,
        person.id,
        subject="My payout has not arrived",
        message="It was due on Monday.",
        priority=priority,
        category=TicketCategory.PAYMENT,
    )


async def reply(ticket: TicketRow, person: Person, message: str = "And?") -> TicketRow:
    admin = person.role == "admin"
    return await guard.commit(helpdesk.reply, ticket.id, message, user_id=person.id, admin=admin)


async def resolve(ticket: TicketRow, admin: Person, message: str | None = None) -> TicketRow:
    return await guard.commit(helpdesk.resolve, ticket.id, message, by=admin.id)


async def close(ticket: TicketRow, person: Person) -> TicketRow:
    admin = person.role == "admin"
    return await guard.commit(helpdesk.close, ticket.id, user_id=person.id, admin=admin)


async def assign(ticket: TicketRow, admin: Person, by: Person | None = None) -> TicketRow:
    return await guard.commit(helpdesk.assign, ticket.id, admin.id, by=(by or admin).id)


async def reread(ticket: TicketRow) -> TicketRow:
    return await support.read(ticket.id, user_id=ticket.user_id, admin=False)


async def waiting(ticket: TicketRow) -> set[TimerKind]:
    found = await guard.rows("select kind from timers where subject_id = $1 and fired_at is null", ticket.id)
    return {TimerKind(one["kind"]) for one in found}


async def said(ticket: TicketRow) -> list[tuple[str, bool]]:
    return [(one.message, one.from_support) for one in await support.replies(ticket.id)]


async def deeds(ticket: TicketRow) -> list[tuple[int, str, Any, Any]]:
    found = await guard.rows(
        """select actor_id, action, before::text as before, after::text as after from audit_log
            where subject_kind = 'ticket' and subject_id = $1 order by id""",
        str(ticket.id),
    )
    return [(one["actor_id"], one["action"], *(msgspec.json.decode(one[x] or "null") for x in ("before", "after")))
            for one in found]  # fmt: skip


def test_every_state_but_the_first_can_be_reached() -> None:
    assert {edge.target for edge in MACHINE.edges} == set(TicketStatus) - {OPEN}


@pytest.mark.parametrize(
    ("priority", "first_hours", "solved_hours"),
    [
        (TicketPriority.URGENT, 1, 8),
        (TicketPriority.HIGH, 4, 24),
        (TicketPriority.NORMAL, 24, 72),
        (TicketPriority.LOW, 48, 168),
    ],
)
async def test_the_clocks_of_a_ticket_follow_its_priority(
    database: str, priority: TicketPriority, first_hours: int, solved_hours: int
) -> None:
    admin, other_admin = await factories.an_admin(), await factories.an_admin()
    await clock.ahead(days=3)
    ticket = await a_ticket(await factories.a_client(), priority)
    assert (ticket.status, ticket.priority, ticket.assignee_id) == (OPEN, priority, None)
    assert ticket.first_response_due_at - ticket.created_at == timedelta(hours=first_hours)
    assert ticket.resolution_due_at - ticket.created_at == timedelta(hours=solved_hours)
    assert await said(ticket) == [("It was due on Monday.", False)]

    await clock.ahead(hours=first_hours, seconds=-60)
    assert await hourly.fire() == []
    await clock.ahead(seconds=60)
    assert await hourly.fire() == [FIRST]
    now = await reread(ticket)
    assert (now.status, now.first_response_missed, now.resolution_missed) == (OPEN, True, False)
    assert await worlds.told(admin.id) == await worlds.told(other_admin.id) == ["ticket_overdue"]

    # Whoever has it hears alone that it is not solved in time.
    await assign(ticket, admin)
    await clock.ahead(hours=solved_hours - first_hours)
    assert await hourly.fire() == [SOLVED]
    assert (await reread(ticket)).resolution_missed
    assert await worlds.told(admin.id) == ["ticket_overdue", "ticket_overdue"]
    assert await worlds.told(other_admin.id) == ["ticket_overdue"]
    data = await guard.value("select data::text from notifications order by id desc limit 1")
    assert msgspec.json.decode(data) == {"ticket_id": ticket.id, "priority": priority.value, "clock": "resolution"}


async def test_a_ticket_goes_from_a_question_to_its_end(database: str) -> None:
    owner, admin = await factories.a_freelancer(), await factories.an_admin()
    ticket = await a_ticket(owner)
    assert await waiting(ticket) == {FIRST, SOLVED}

    taken = await assign(ticket, admin)
    assert (taken.status, taken.assignee_id) == (IN_PROGRESS, admin.id)
    assert await waiting(ticket) == {FIRST, SOLVED}, "taking it is no answer"

    await clock.ahead(hours=1)
    answered = await reply(ticket, admin, "Which bank?")
    assert answered.status is WAITING
    assert answered.first_response_at is not None
    assert answered.first_response_at - ticket.created_at >= timedelta(hours=1)
    assert await waiting(ticket) == {SOLVED}
    assert (await worlds.told(owner.id), await worlds.mailed(owner.id)) == (["ticket_replied"], ["ticket_replied"])

    again = await reply(ticket, admin, "And which country?")
    assert (again.status, again.first_response_at) == (WAITING, answered.first_response_at)
    assert await worlds.mailed(owner.id) == ["ticket_replied", "ticket_replied"]

    assert (await reply(ticket, owner, "Mine.")).status is IN_PROGRESS
    assert (await reply(ticket, owner, "In Chile.")).status is IN_PROGRESS

    solved = await resolve(ticket, admin, "It is on its way.")
    assert (solved.status, solved.resolved_at is None) == (RESOLVED, False)
    assert await waiting(ticket) == {CLOSING}
    assert (await worlds.told(owner.id))[-1] == "ticket_resolved"
    assert await worlds.mailed(owner.id) == ["ticket_replied", "ticket_replied"]
    assert (await reply(ticket, admin, "Have a good day.")).status is RESOLVED
    async with worlds.refused(WrongState, "nobody has to take it"):
        await assign(ticket, admin)
    async with worlds.refused(WrongState, "This ticket is resolved"):
        await resolve(ticket, admin)

    await clock.ahead(days=7)
    assert await hourly.fire() == [CLOSING]
    ended = await reread(ticket)
    assert (ended.status, ended.resolved_at, ended.closed_at is None) == (CLOSED, solved.resolved_at, False)
    assert await said(ticket) == [
        ("It was due on Monday.", False),
        ("Which bank?", True),
        ("And which country?", True),
        ("Mine.", False),
        ("In Chile.", False),
        ("It is on its way.", True),
        ("Have a good day.", True),
    ]
    for person in (owner, admin):
        async with worlds.refused(WrongState, "This ticket is closed"):
            await reply(ticket, person)
        async with worlds.refused(WrongState, "This ticket is closed"):
            await close(ticket, person)
    async with worlds.refused(WrongState):
        await resolve(ticket, admin)
    assert [(who, what) for who, what, _, _ in await deeds(ticket)] == [
        (admin.id, "ticket.assign"),
        (admin.id, "ticket.reply"),
        (admin.id, "ticket.reply"),
        (admin.id, "ticket.resolve"),
        (admin.id, "ticket.reply"),
    ]


async def test_an_owner_who_is_not_satisfied_has_the_clock_begin_anew(database: str) -> None:
    owner, admin = await factories.a_client(), await factories.an_admin()
    ticket = await a_ticket(owner, TicketPriority.URGENT)
    await clock.ahead(hours=9)
    await hourly.fire()
    solved = await resolve(ticket, admin)
    assert (solved.resolution_missed, solved.first_response_missed) == (True, True)
    assert solved.first_response_at is not None, "a solution is an answer"
    await clock.ahead(days=6)

    again = await reply(ticket, owner, "It has not arrived.")

    assert (again.status, again.resolved_at, again.resolution_missed) == (IN_PROGRESS, None, False)
    assert again.resolution_due_at - ticket.created_at >= timedelta(days=6, hours=17)
    assert await waiting(ticket) == {SOLVED}
    assert await hourly.waiting(SOLVED, ticket.id) == again.resolution_due_at
    await clock.ahead(hours=8)
    assert await hourly.fire() == [SOLVED]


async def test_an_owner_closes_at_any_time_and_support_what_it_has_resolved(database: str) -> None:
    owner, admin = await factories.a_client(), await factories.an_admin()
    for walk in ([], [assign], [assign, reply], [resolve]):
        ticket = await a_ticket(owner)
        for step in walk:
            await step(ticket, admin)  # type: ignore[operator]
        if resolve not in walk:
            async with worlds.refused(WrongState, "support closes what it has resolved"):
                await close(ticket, admin)
        closed = await close(ticket, owner)
        assert (closed.status, closed.closed_at is None, await waiting(ticket)) == (CLOSED, False, set())

    ticket = await a_ticket(owner)
    await resolve(ticket, admin)
    assert (await close(ticket, admin)).status is CLOSED
    assert (await deeds(ticket))[-1] == (admin.id, "ticket.close", {"status": "resolved"}, {"status": "closed"})
    assert await waiting(ticket) == set()


async def test_a_ticket_is_given_to_admins_who_work(database: str) -> None:
    owner, admin, other = await factories.a_client(), await factories.an_admin(), await factories.an_admin()
    ticket = await a_ticket(owner)
    await assign(ticket, admin, by=other)
    moved = await assign(ticket, other)
    assert (moved.status, moved.assignee_id) == (IN_PROGRESS, other.id)
    assert await deeds(ticket) == [
        (other.id, "ticket.assign", {"assignee_id": None}, {"assignee_id": admin.id}),
        (other.id, "ticket.assign", {"assignee_id": admin.id}, {"assignee_id": other.id}),
    ]
    await reply(ticket, other)
    assert (await assign(ticket, admin)).status is WAITING

    await guard.rows("update users set suspended_at = now() where id = $1", other.id)
    for nobody in (owner, other):
        async with worlds.refused(Invalid, "assigned to admins"):
            await assign(ticket, nobody, by=admin)
    async with worlds.refused(NotFound):
        await guard.commit(helpdesk.assign, 999_999, admin.id, by=admin.id)


async def test_a_ticket_does_not_exist_for_strangers(database: str) -> None:
    ticket, stranger = await a_ticket(await factories.a_client()), await factories.a_freelancer()

    async with worlds.refused(NotFound):
        await reply(ticket, stranger)
    async with worlds.refused(NotFound):
        await close(ticket, stranger)
    with pytest.raises(NotFound):
        await support.read(ticket.id, user_id=stranger.id, admin=False)
    assert await support_queue.list_own(stranger.id, Sought(), before=None, limit=5) == []


async def test_nobody_has_too_many_tickets_open(database: str) -> None:
    owner, admin = await factories.a_client(), await factories.an_admin()
    urgent = [await a_ticket(owner, TicketPriority.URGENT) for _ in range(support.MOST_URGENT)]
    async with worlds.refused(WrongState, "3 urgent tickets"):
        await a_ticket(owner, TicketPriority.URGENT)
    for _ in range(support.MOST_OPEN - support.MOST_URGENT):
        await a_ticket(owner)
    async with worlds.refused(WrongState, "20 open tickets"):
        await a_ticket(owner)
    await resolve(urgent[0], admin)
    await a_ticket(owner, TicketPriority.URGENT)
    await a_ticket(await factories.a_client(), TicketPriority.URGENT)
    await guard.rows("update users set deactivated_at = now() where id = $1", owner.id)
    async with worlds.refused(TokenInvalid):
        await a_ticket(owner)


async def test_a_ticket_takes_so_many_messages(database: str) -> None:
    owner, admin = await factories.a_client(), await factories.an_admin()
    ticket = await a_ticket(owner)
    await guard.rows(
        "insert into support_replies (ticket, author, message) select $1, $2, 'More.' from generate_series(2, $3)",
        ticket.id,
        owner.id,
        support.MOST_REPLIES,
    )

    async with worlds.refused(WrongState, "200 messages"):
        await reply(ticket, owner)
    async with worlds.refused(WrongState, "200 messages"):
        await resolve(ticket, admin, "Enough.")
    await resolve(ticket, admin)


async def test_the_queue_has_the_most_urgent_first_and_of_those_the_oldest(database: str) -> None:
    one, two, admin = await factories.a_client(), await factories.a_freelancer(), await factories.an_admin()
    order = ["low", "urgent", "normal", "high", "urgent", "normal", "low"]
    made = [await a_ticket((one, two)[n % 2], TicketPriority(name)) for n, name in enumerate(order)]
    wanted = [made[n].id for n in (1, 4, 3, 2, 5, 0, 6)]

    async def queue(after: tuple[int, int] | None = None, limit: int = 10, **sought: Any) -> list[int]:
        found = await support_queue.list_queue(Sought(**sought), after=after, limit=limit)
        return [ticket.id for ticket in found]

    assert await queue() == wanted
    for number, ticket_id in enumerate(wanted):
        ticket = next(one for one in made if one.id == ticket_id)
        assert await queue((ticket.rank, ticket.id)) == wanted[number + 1 :]
        assert await queue((ticket.rank, ticket.id), limit=2) == wanted[number + 1 : number + 3]
    await assign(made[5], admin)
    await assign(made[1], admin)
    assert await queue(status=IN_PROGRESS) == [made[1].id, made[5].id]
    assert await queue(priority=TicketPriority.URGENT) == [made[1].id, made[4].id]
    assert await queue(priority=TicketPriority.URGENT, status=OPEN) == [made[4].id]
    assert await queue(assignee_id=admin.id) == [made[1].id, made[5].id]
    assert await queue((1, made[1].id), assignee_id=admin.id) == [made[5].id]
    assert await queue(assignee_id=admin.id, priority=TicketPriority.NORMAL) == [made[5].id]
    assert await queue(assignee_id=admin.id, status=OPEN) == []
    assert await queue(status=CLOSED) == []

    own = await support_queue.list_own(one.id, Sought(), before=None, limit=10)
    assert [ticket.id for ticket in own] == [made[n].id for n in (6, 4, 2, 0)]
    own = await support_queue.list_own(
        one.id, Sought(priority=TicketPriority.LOW, status=OPEN), before=made[6].id, limit=10
    )
    assert [ticket.id for ticket in own] == [made[0].id]


async def test_of_many_admins_so_many_hear_of_an_overdue_ticket(database: str) -> None:
    await guard.rows(
        """insert into users (email, email_key, password_hash, first_name, last_name, role)
           select 'a' || n || '@example.com', 'a' || n || '@example.com', '', 'Ada', 'Admin', 'admin'
             from generate_series(1, 60) n"""
    )
    await a_ticket(await factories.a_client(), TicketPriority.URGENT)
    await clock.ahead(hours=1)

    await hourly.fire()

    assert await guard.value("select count(*) from notifications where type = 'ticket_overdue'") == helpdesk.MOST_TOLD


async def test_a_deadline_that_somebody_forestalled_does_nothing(database: str) -> None:
    owner, admin = await factories.a_client(), await factories.an_admin()
    ticket = await a_ticket(owner)
    await clock.ahead(days=4)
    missed = await hourly.due()
    await resolve(ticket, admin)
    await clock.ahead(days=8)
    (closing,) = await hourly.due()
    await reply(ticket, owner)

    async with worlds.unmoved():
        for timer, verb in zip(
            (*missed, closing),
            (helpdesk.miss_first_response, helpdesk.miss_resolution, helpdesk.close_silently),
            strict=True,
        ):
            await guard.commit(verb, timer)
