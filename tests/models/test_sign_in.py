"""What a right password opens, and what a second factor does after it: one session of each ticket, whoever rivals."""

import asyncio
from uuid import UUID

import pytest

from models import accounts, guard, sessions, sign_in, tickets
from models.accounts import Person
from models.base import uuid7
from models.errors import AccountSuspended, CredentialsWrong, TokenInvalid
from models.factors import Method
from models.sessions import SignIn
from models.sign_in import Challenge
from models.visitors import Place, Visitor
from tests import factories

HOME = Visitor(user_agent="Firefox/1.0", ip_address="198.51.100.7")
BERLIN = Place(country="DE", city="Berlin", latitude=52.5, longitude=13.4)
LIMA = Place(country="PE", city="Lima", latitude=-12.0, longitude=-77.0)


async def enter(person: Person, visitor: Visitor = HOME) -> SignIn | Challenge:
    return await guard.commit(sign_in.enter, person.id, person.role, visitor)


async def finish(ticket_id: UUID, method: Method = Method.TOTP) -> SignIn:
    return await guard.commit(sign_in.finish, ticket_id, method)


async def protected(person: Person, method: Method = Method.TOTP) -> None:
    """Give the account a factor that was proved."""
    await guard.rows(
        """insert into mfa_methods ("user", method, name, sign_count, created_at, confirmed_at)
           values ($1, $2, '', 0, now(), now())""",
        person.id,
        method.value,
    )


async def risky(person: Person) -> Visitor:
    """A visitor whose sign-in is risky: of a new device and network, after wrong passwords."""
    await guard.rows(
        """insert into security_events ("user", kind, ip_address, network, user_agent, details, created_at)
           select $1, 'sign_in_failed', '', '', '', '{}', now() from generate_series(1, 10)""",
        person.id,
    )
    return Visitor(user_agent="Netscape/4.0", ip_address="203.0.113.9")


async def challenge(person: Person, visitor: Visitor = HOME) -> UUID:
    entered = await enter(person, visitor)
    assert isinstance(entered, Challenge)
    return entered.ticket_id


async def events() -> list[str]:
    found = await guard.rows("select kind from security_events where kind <> 'sign_in_failed' order by id")
    return [one["kind"] for one in found]


async def test_without_a_factor_and_without_risk_a_password_opens_a_session(database: str) -> None:
    person = await factories.a_client()
    entered = await enter(person)
    assert isinstance(entered, SignIn)
    live = await sessions.read_live(entered.session_id)
    assert live is not None
    assert (live.user_id, live.proved_at) == (person.id, None)
    assert await events() == ["signed_in"]


async def test_an_admin_without_a_factor_gets_a_session_that_has_proved_nothing(database: str) -> None:
    entered = await enter(await factories.an_admin())
    assert isinstance(entered, SignIn)
    assert await guard.value("select proved_at from sessions") is None


async def test_a_factor_stands_between_the_password_and_the_session(database: str) -> None:
    person = await factories.a_client()
    await protected(person)
    entered = await enter(person)
    assert isinstance(entered, Challenge)
    assert entered.methods == (Method.TOTP,)
    assert await guard.value("select count(*) from sessions") == 0
    assert await events() == []

    begun = await finish(entered.ticket_id)
    found = await guard.only(
        "select id, user_agent, ip_address, network, proved_at is not null as proved from sessions"
    )
    assert str(found["id"]) == str(begun.session_id)
    assert tuple(found)[1:] == ("Firefox/1.0", "198.51.100.7", "198.51.100.0/24", True)
    assert await events() == ["signed_in"]
    assert await guard.value("select details->>'method' from security_events") == "totp"


async def test_the_place_of_the_ticket_is_the_place_of_the_session(database: str) -> None:
    person = await factories.a_client()
    await protected(person)
    visitor = Visitor(user_agent="Firefox/1.0", ip_address="198.51.100.7", place=BERLIN)
    await finish(await challenge(person, visitor))
    found = await guard.only("select country, city, latitude, longitude from sessions")
    assert tuple(found) == ("DE", "Berlin", 52.5, 13.4)


async def test_a_ticket_opens_one_session(database: str) -> None:
    person = await factories.a_client()
    await protected(person)
    ticket_id = await challenge(person)
    answers = await asyncio.gather(*(finish(ticket_id) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(one, SignIn) for one in answers) == 1
    assert sum(isinstance(one, TokenInvalid) for one in answers) == 4
    assert await guard.value("select count(*) from sessions") == 1


async def test_a_ticket_of_nobody_an_old_one_and_a_method_it_does_not_take_open_nothing(database: str) -> None:
    person = await factories.a_client()
    await protected(person)
    ticket_id = await challenge(person)
    with pytest.raises(TokenInvalid):
        await finish(uuid7())
    with pytest.raises(TokenInvalid):
        await finish(ticket_id, Method.EMAIL)
    await guard.rows("update sign_in_tickets set created_at = now() - interval '301 seconds'")
    with pytest.raises(TokenInvalid):
        await finish(ticket_id)
    assert await guard.value("select count(*) from sessions") == 0


async def test_whoever_is_suspended_between_the_two_steps_stays_out(database: str) -> None:
    person = await factories.a_client()
    await protected(person)
    ticket_id = await challenge(person)
    await guard.rows("update users set suspended_at = now()")
    with pytest.raises(AccountSuspended):
        await finish(ticket_id)
    assert await guard.value("select count(*) from sessions") == 0


async def test_a_deactivated_account_comes_back_with_the_second_step_and_not_before(database: str) -> None:
    person = await factories.a_client()
    await protected(person)
    await guard.rows("update users set deactivated_at = now()")
    ticket_id = await challenge(person)
    assert await guard.value("select deactivated_at is not null from users")
    begun = await finish(ticket_id)
    assert await sessions.read_live(begun.session_id) is not None
    assert await events() == ["account_reactivated", "signed_in"]


async def test_a_risky_sign_in_without_a_factor_is_asked_for_a_code_by_mail(database: str) -> None:
    person = await factories.a_client()
    await enter(person)
    entered = await enter(person, await risky(person))
    assert isinstance(entered, Challenge)
    assert entered.methods == (Method.EMAIL,)
    sent = await guard.only("select method, purpose, contact, ticket from security_codes")
    assert tuple(sent)[:3] == ("email", "sign_in", person.email)
    assert str(sent["ticket"]) == str(entered.ticket_id)
    assert await events() == ["signed_in", "sign_in_risky"]
    said = await guard.only(
        "select (details->>'score')::float8 as score, details->'factors' ? 'new_device' as device "
        "from security_events where kind = 'sign_in_risky'"
    )
    assert said["score"] >= 30
    assert said["device"]


async def test_a_code_by_mail_asked_for_because_of_a_risk_is_no_second_factor(database: str) -> None:
    person = await factories.an_admin()
    await enter(person)
    ticket_id = await challenge(person, await risky(person))
    begun = await finish(ticket_id, Method.EMAIL)
    live = await sessions.read_live(begun.session_id)
    assert live is not None
    assert live.proved_at is None


async def test_a_risky_sign_in_with_a_factor_is_asked_for_that_and_noted(database: str) -> None:
    person = await factories.a_client()
    await enter(person)
    await protected(person)
    entered = await enter(person, await risky(person))
    assert isinstance(entered, Challenge)
    assert entered.methods == (Method.TOTP,)
    assert await guard.value("select count(*) from security_codes") == 0
    assert await events() == ["signed_in", "sign_in_risky"]


async def test_the_owner_hears_of_a_new_country_and_not_of_the_first_place_a_map_knows(database: str) -> None:
    person = await factories.a_client()
    await protected(person)  # so that no risk keeps the second step away
    for place in (None, BERLIN, BERLIN, LIMA):
        visitor = Visitor(user_agent="Firefox/1.0", ip_address="198.51.100.7", place=place)
        await finish(await challenge(person, visitor))
    mails = await guard.rows("select context->>'place' as place from mails where kind = 'new_sign_in'")
    assert [one["place"] for one in mails] == ["Lima, PE"]


async def test_the_owner_hears_of_a_new_network_without_a_place(database: str) -> None:
    person = await factories.a_client()
    await protected(person)
    for address in ("198.51.100.7", "198.51.100.99", "203.0.113.9"):
        await finish(await challenge(person, Visitor(user_agent="Firefox/1.0", ip_address=address)))
    mails = await guard.rows(
        "select context->>'ip_address' as ip, context->>'place' as place from mails where kind = 'new_sign_in'"
    )
    assert [tuple(one) for one in mails] == [("203.0.113.9", "")]


async def test_a_password_that_changed_while_it_was_being_checked_opens_nothing(database: str) -> None:
    person = await factories.a_client()
    known = await accounts.read_credentials(person.email)
    assert known is not None
    await guard.rows("update users set password_hash = 'another', password_changed_at = now()")
    with pytest.raises(CredentialsWrong):
        await guard.commit(sign_in.admit, known, HOME, keys=("account:x",))
    assert await guard.value("select count(*) from sessions") == 0


async def test_somebody_without_an_address_is_counted_by_what_they_typed_alone() -> None:
    nowhere = Visitor(user_agent="", ip_address="")
    assert len(sign_in.keys_of("user@example.com", None, HOME)) == 2
    assert sign_in.keys_of("user@example.com", None, nowhere) == sign_in.keys_of("user@example.com", None, HOME)[:1]


async def test_a_ticket_from_before_the_first_factor_is_worth_nothing_after_it(database: str) -> None:
    """A code to the mailbox was enough for the risk; it is not enough for an account that has an app by now."""
    person = await factories.a_client()
    await enter(person)
    ticket_id = await challenge(person, await risky(person))
    await protected(person)
    with pytest.raises(TokenInvalid):
        await finish(ticket_id, Method.EMAIL)
    assert await guard.value("select count(*) from sessions") == 1
    assert await guard.value("select used_at is null from sign_in_tickets")


async def test_a_method_that_was_taken_away_finishes_no_ticket_while_another_one_protects(database: str) -> None:
    person = await factories.a_client()
    await protected(person)
    await protected(person, Method.EMAIL)
    ticket_id = await challenge(person)
    await guard.rows("delete from mfa_methods where method = 'email'")
    with pytest.raises(TokenInvalid):
        await finish(ticket_id, Method.EMAIL)
    assert await guard.value("select count(*) from sessions") == 0


async def test_the_last_backup_code_opens_a_session_that_has_proved_it(database: str) -> None:
    person = await factories.a_client()
    await protected(person)
    ticket_id = await guard.commit(tickets.open_ticket, person.id, HOME, [Method.TOTP, Method.BACKUP_CODE], 0)
    begun = await finish(ticket_id, Method.BACKUP_CODE)
    live = await sessions.read_live(begun.session_id)
    assert live is not None
    assert live.proved_at is not None
