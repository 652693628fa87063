"""Tickets, sent codes and challenges: good for a while, a few tries, one use and one purpose."""

import asyncio

import pytest
from msgspec.structs import replace

from models import guard, tickets
from models.errors import Throttled, TokenInvalid
from models.factors import Method
from models.tickets import Purpose
from models.visitors import Place, Visitor
from tests import factories
from tests.enrolled import ELSEWHERE, PHONE, VISITOR, a_minute_passes, with_contact
from tests.worlds import mailed

pytestmark = pytest.mark.usefixtures("database")

FAR = Visitor(user_agent="Fi\0refox", ip_address="192.0.2.7", place=Place(country="NZ", city="Bluff", latitude=-46.6))


async def newest_code() -> int:
    found: int = await guard.value("select max(id) from security_codes")
    return found


async def test_a_ticket_remembers_who_brought_the_password():
    ada = await factories.a_client()
    for visitor in (FAR, VISITOR):
        ticket_id = await guard.commit(tickets.open_ticket, ada.id, visitor, [Method.TOTP, Method.SMS], 42.5)
        found = await tickets.read(ticket_id)
        assert (found.id, found.user_id, found.risk_score) == (ticket_id, ada.id, 42.5)
        assert found.methods == (Method.TOTP, Method.SMS)
        assert found.visitor == replace(visitor, user_agent=visitor.user_agent.replace("\0", ""))
    assert await mailed(ada.id) == []


async def test_a_ticket_is_used_once():
    ada = await factories.a_client()
    ticket_id = await guard.commit(tickets.open_ticket, ada.id, FAR, [Method.TOTP], 0)
    used = await asyncio.gather(*(guard.commit(tickets.use, ticket_id) for _ in range(6)), return_exceptions=True)
    assert sorted(type(one).__name__ for one in used) == ["TicketRow"] + ["TokenInvalid"] * 5
    for verb in (tickets.use, tickets.begin_attempt, tickets.read):
        with pytest.raises(TokenInvalid):
            await guard.commit(verb, ticket_id)


async def test_a_ticket_takes_five_tries_counted_at_the_same_moment():
    ada = await factories.a_client()
    ticket_id = await guard.commit(tickets.open_ticket, ada.id, VISITOR, [Method.TOTP], 0)
    tried = await asyncio.gather(
        *(guard.commit(tickets.begin_attempt, ticket_id) for _ in range(9)), return_exceptions=True
    )
    assert sorted(type(one).__name__ for one in tried) == ["Throttled"] * 4 + ["TicketRow"] * 5


async def test_a_ticket_is_over_after_five_minutes():
    ada = await factories.a_client()
    ticket_id = await guard.commit(tickets.open_ticket, ada.id, VISITOR, [Method.TOTP], 0)
    await guard.rows("update sign_in_tickets set created_at = now() - interval '301 seconds'")
    for verb in (tickets.use, tickets.begin_attempt, tickets.read):
        with pytest.raises(TokenInvalid):
            await guard.commit(verb, ticket_id)


@pytest.mark.parametrize("change", ["password_changed_at", "suspended_at", "erased_at"])
async def test_a_ticket_ends_with_the_password_that_opened_it_and_with_its_account(change: str):
    ada = await factories.a_client()
    ticket_id = await guard.commit(tickets.open_ticket, ada.id, VISITOR, [Method.TOTP], 0)
    await guard.rows(f"update users set {change} = now() where id = $1", ada.id)
    for verb in (tickets.use, tickets.begin_attempt, tickets.read):
        with pytest.raises(TokenInvalid):
            await guard.commit(verb, ticket_id)


async def test_a_ticket_that_takes_a_code_by_mail_alone_sends_it_at_once_and_one_a_minute():
    ada = await factories.a_client()
    for _ in range(2):
        await guard.commit(tickets.open_ticket, ada.id, VISITOR, [Method.EMAIL], 60)
    assert await mailed(ada.id) == ["security_code"]
    assert await guard.value("select address from mails") == ada.email
    assert await guard.value("select context::text from mails") == (
        f'{{"code_id": {await newest_code()}, "purpose": "sign_in"}}'
    )


async def test_codes_go_to_the_factors_contact_or_to_the_accounts_address():
    ada = await factories.a_client()
    assert await tickets.contact_of(ada.id, Method.EMAIL) == ada.email
    assert await tickets.contact_of(ada.id, Method.SMS) is None
    await with_contact(ada.id, Method.EMAIL, ELSEWHERE)
    await with_contact(ada.id, Method.SMS, PHONE)
    assert await tickets.contact_of(ada.id, Method.EMAIL) == ELSEWHERE
    assert await tickets.contact_of(ada.id, Method.SMS) == PHONE


async def test_a_text_message_is_a_job_and_a_second_one_must_wait():
    ada = await factories.a_client()
    await guard.commit(tickets.send_code, ada.id, Method.SMS, Purpose.STEP_UP, PHONE)
    [job] = await guard.rows("select payload::text from jobs where kind = 'security.send_code'")
    assert job[0] == f'{{"code_id": {await newest_code()}}}'
    with pytest.raises(Throttled) as raised:
        await guard.commit(tickets.send_code, ada.id, Method.EMAIL, Purpose.STEP_UP, ada.email)
    assert 50 < raised.value.retry_after_s <= 60
    # Another purpose has a minute of its own.
    await guard.commit(tickets.send_code, ada.id, Method.EMAIL, Purpose.SIGN_IN, ada.email)
    await a_minute_passes(ada.id)
    sent = await asyncio.gather(
        *(guard.commit(tickets.send_code, ada.id, Method.EMAIL, Purpose.STEP_UP, ada.email) for _ in range(5)),
        return_exceptions=True,
    )
    assert sorted(type(one).__name__ for one in sent) == ["NoneType"] + ["Throttled"] * 4


async def an_hour_passes() -> None:
    await guard.rows("update security_codes set created_at = created_at - interval '1 hour'")


async def test_ten_text_messages_a_day_and_no_more_whatever_for():
    ada = await factories.a_client()
    for number in range(10):
        await guard.commit(tickets.send_code, ada.id, Method.SMS, list(Purpose)[number % 2 * 2], PHONE)
        await an_hour_passes()
    for purpose in (Purpose.SIGN_IN, Purpose.STEP_UP):
        with pytest.raises(Throttled) as raised:
            await guard.commit(tickets.send_code, ada.id, Method.SMS, purpose, PHONE)
        assert 13 * 3600 < raised.value.retry_after_s <= 14 * 3600
    assert await guard.value("select count(*) from jobs where kind = 'security.send_code'") == 10
    # Mail costs nothing, and is what is left.
    await guard.commit(tickets.send_code, ada.id, Method.EMAIL, Purpose.SIGN_IN, ada.email)


@pytest.mark.parametrize(("method", "contact"), [(Method.SMS, PHONE), (Method.EMAIL, ELSEWHERE)])
async def test_strangers_cannot_have_one_contact_written_to_all_day_nor_keep_its_owner_from_it(
    method: Method, contact: str
):
    for number in range(10):
        one = await factories.a_client()
        await guard.commit(tickets.send_code, one.id, method, Purpose.ENROL, contact, factor_id=number + 1)
        await an_hour_passes()
    ada = await factories.a_client()
    with pytest.raises(Throttled):
        await guard.commit(tickets.send_code, ada.id, method, Purpose.ENROL, contact, factor_id=11)
    await guard.commit(tickets.send_code, ada.id, method, Purpose.SIGN_IN, contact)


async def test_nobody_has_more_than_ten_contacts_a_day_written_to():
    ada = await factories.a_client()
    for number in range(10):
        await guard.commit(
            tickets.send_code, ada.id, Method.EMAIL, Purpose.ENROL, f"{number}@example.org", factor_id=number + 1
        )
        await an_hour_passes()
    with pytest.raises(Throttled):
        await guard.commit(tickets.send_code, ada.id, Method.EMAIL, Purpose.ENROL, ELSEWHERE, factor_id=11)


async def test_only_the_newest_code_of_a_purpose_is_tried():
    ada = await factories.a_client()
    for _ in range(2):
        await guard.commit(tickets.send_code, ada.id, Method.EMAIL, Purpose.SIGN_IN, ada.email)
        await a_minute_passes(ada.id)
    sent = await guard.commit(tickets.try_code, ada.id, Purpose.SIGN_IN, [Method.EMAIL])
    assert sent is not None
    assert (sent.id, sent.method) == (await newest_code(), Method.EMAIL)
    assert await guard.commit(tickets.try_code, ada.id, Purpose.STEP_UP, [Method.EMAIL]) is None
    assert await guard.commit(tickets.try_code, ada.id, Purpose.SIGN_IN, [Method.SMS]) is None
    assert await guard.commit(tickets.try_code, ada.id, Purpose.SIGN_IN, [Method.EMAIL], factor_id=1) is None
    used = await asyncio.gather(*(guard.commit(tickets.use_code, sent.id) for _ in range(6)))
    assert used.count(True) == 1
    # The earlier one does not come back.
    assert await guard.commit(tickets.try_code, ada.id, Purpose.SIGN_IN, [Method.EMAIL]) is None


async def test_a_code_takes_five_tries_and_ten_minutes():
    ada = await factories.a_client()
    await guard.commit(tickets.send_code, ada.id, Method.EMAIL, Purpose.SIGN_IN, ada.email)
    tried = await asyncio.gather(
        *(guard.commit(tickets.try_code, ada.id, Purpose.SIGN_IN, [Method.EMAIL]) for _ in range(8))
    )
    assert tried.count(None) == 3
    await guard.rows("update security_codes set attempts = 0, created_at = now() - interval '601 seconds'")
    assert await guard.commit(tickets.try_code, ada.id, Purpose.SIGN_IN, [Method.EMAIL]) is None


async def test_a_code_that_went_elsewhere_counts_no_more():
    ada = await factories.a_client()
    await guard.commit(tickets.send_code, ada.id, Method.EMAIL, Purpose.SIGN_IN, ada.email)
    await with_contact(ada.id, Method.EMAIL, ELSEWHERE)
    assert await guard.commit(tickets.try_code, ada.id, Purpose.SIGN_IN, [Method.EMAIL]) is None


async def test_a_challenge_is_answered_once_by_whom_and_for_what_it_was_asked():
    ada, bob = await factories.a_client(), await factories.a_client()
    ticket_id = await guard.commit(tickets.open_ticket, ada.id, VISITOR, [Method.WEBAUTHN], 0)
    await guard.commit(tickets.open_challenge, ada.id, Purpose.SIGN_IN, "c", ticket_id=ticket_id)

    async def use(user_id: int, purpose: Purpose = Purpose.SIGN_IN, said: str = "c", *, bound: bool = True) -> bool:
        ticket = ticket_id if bound else None
        return await guard.commit(tickets.use_challenge, user_id, purpose, said, ticket_id=ticket)

    assert not await use(bob.id)
    assert not await use(ada.id, Purpose.STEP_UP)
    assert not await use(ada.id, said="d")
    assert not await use(ada.id, bound=False)
    assert (await asyncio.gather(*(use(ada.id) for _ in range(6)))).count(True) == 1
    await guard.rows("update passkey_challenges set used_at = null, created_at = now() - interval '301 seconds'")
    assert not await use(ada.id)
