"""Two doors at one moment: whoever has ended a session, or left, has the last word."""

import asyncio
from functools import partial
from uuid import UUID, uuid4

import pytest

from models import (
    accounts,
    addresses,
    erasure,
    exports,
    factors,
    guard,
    live_sessions,
    mail,
    passkeys,
    passwords,
    payouts,
    profiles,
    projects,
    proposals,
    sealed,
    sessions,
    sign_in,
    throttles,
)
from models.accounts import Person
from models.errors import LinkInvalid, TokenInvalid
from models.factors import Batch, Method
from models.letters import MailKind
from models.locks import Noun, lock
from models.sealed import Resealing, SealedPlace
from models.sessions import SignIn
from models.sign_in import Challenge
from models.visitors import NOBODY, Visitor
from tests import factories
from tests.races.rivals import behind

HOME = Visitor(user_agent="Firefox/1.0", ip_address="198.51.100.7")


async def a_session(person: Person) -> UUID:
    return (await guard.commit(sessions.begin, person.id, person.role, HOME)).session_id


async def a_factor(person: Person, method: Method = Method.TOTP, session_id: UUID | None = None) -> int:
    """A factor that its holder has just proved."""
    factor_id = await guard.commit(factors.begin_enrolment, person.id, method, secret_sealed="sealed")
    assert await guard.commit(factors.confirm, factor_id, user_id=person.id, session_id=session_id, visitor=HOME)
    return factor_id


async def seed_of(person: Person) -> str | None:
    seed = await factors.read_seed(person.id)
    return seed and seed.secret_sealed


async def test_a_sign_in_begun_before_a_factor_was_added_ends_with_it(database: str) -> None:
    """A code by mail, asked for because of a risk, must not open what an authenticator app protects since."""
    person = await factories.a_client()
    for _ in range(10):
        await guard.rows(
            """insert into security_events ("user", kind, ip_address, network, user_agent)
               values ($1, 'sign_in_failed', '', '', '')""",
            person.id,
        )
    own = await a_session(person)
    stranger = Visitor(user_agent="Netscape/4.0", ip_address="203.0.113.9")
    begun = await guard.commit(sign_in.enter, person.id, person.role, stranger)
    assert isinstance(begun, Challenge)
    assert begun.methods == (Method.EMAIL,)

    await a_factor(person, session_id=own)

    with pytest.raises(TokenInvalid):
        await guard.commit(sign_in.finish, begun.ticket_id, Method.EMAIL)
    assert await guard.value("select count(*) from sessions where revoked_at is null") == 1


async def test_signing_out_everywhere_ends_half_finished_sign_ins_too(database: str) -> None:
    person = await factories.a_client()
    await a_factor(person)
    own = await a_session(person)
    begun = await guard.commit(sign_in.enter, person.id, person.role, HOME)
    assert isinstance(begun, Challenge)

    await guard.commit(live_sessions.end_others, person.id, keep=own, visitor=HOME)

    with pytest.raises(TokenInvalid):
        await guard.commit(sign_in.finish, begun.ticket_id, Method.TOTP)


async def test_a_session_that_ended_meanwhile_puts_no_factor_in_the_owners_place(database: str) -> None:
    person = await factories.a_client()
    own, stolen = await a_session(person), await a_session(person)
    theirs = await guard.commit(factors.begin_enrolment, person.id, Method.TOTP, secret_sealed="the thief's")

    async def owner_ends_it() -> None:
        await sessions.revoke_all(person.id, "sessions_revoked", keep=own)

    late = guard.commit(factors.confirm, theirs, user_id=person.id, session_id=stolen, visitor=HOME)
    assert isinstance(await behind(person.id, owner_ends_it, late), TokenInvalid)
    assert await seed_of(person) is None


@pytest.mark.parametrize("what", ["remove", "codes", "passkey", "enrol", "address", "erase", "deactivate"])
async def test_a_session_that_ended_meanwhile_changes_nothing(database: str, what: str) -> None:
    person = await factories.a_client()
    factor_id = await a_factor(person)
    stolen = await a_session(person)
    await guard.rows("update sessions set revoked_at = now()")
    batch = Batch(id=uuid4(), hashes=["hash"])
    verbs = {
        "remove": partial(
            factors.remove, factor_id, user_id=person.id, role=person.role, visitor=HOME, session_id=stolen
        ),
        "codes": partial(factors.replace_codes, person.id, batch, visitor=HOME, session_id=stolen),
        "passkey": partial(
            passkeys.add_passkey, person.id, credential_id="c", public_key="k", sign_count=0, name="", batch=batch,
            session_id=stolen, visitor=HOME,
        ),
        "enrol": partial(factors.begin_enrolment, person.id, Method.SMS, contact="+15551234567", session_id=stolen),
        "address": partial(addresses.ask_change, person.id, "thief@example.org", session_id=stolen),
        "erase": partial(erasure.erase, person.id, session_id=stolen),
        "deactivate": partial(erasure.deactivate, person.id, session_id=stolen),
    }  # fmt: skip

    with pytest.raises(TokenInvalid):
        await guard.commit(verbs[what])

    assert await factors.methods_of(person.id) == [Method.TOTP]
    assert await guard.value("select count(*) from backup_codes") == 0
    assert await guard.value("select count(*) from mails where kind = 'email_change'") == 0
    assert await guard.value("select deactivated_at is null and erased_at is null from users where id = $1", person.id)


async def test_the_live_session_may(database: str) -> None:
    person = await factories.a_client()
    own = await a_session(person)
    await guard.commit(addresses.ask_change, person.id, "new@example.org", session_id=own)
    await guard.commit(erasure.erase, person.id, session_id=own)
    assert await guard.value("select erased_at is not null from users where id = $1", person.id)


@pytest.mark.parametrize("leave", [erasure.erase, erasure.deactivate])
async def test_whoever_leaves_while_they_offer_leaves_no_offer(database: str, leave: object) -> None:
    market = await factories.a_project()
    freelancer = await factories.a_freelancer()

    late = guard.commit(proposals.submit, market.id, factories.an_offer(), freelancer_id=freelancer.id)
    assert isinstance(await behind(freelancer.id, partial(leave, freelancer.id), late), TokenInvalid)
    assert await guard.value("select count(*) from proposals") == 0


@pytest.mark.parametrize("leave", [erasure.erase, erasure.deactivate])
async def test_whoever_leaves_while_they_publish_leaves_no_open_project(database: str, leave: object) -> None:
    client = await factories.a_client()
    draft = await guard.commit(projects.create, client.id, factories.a_brief())

    late = guard.commit(projects.publish, draft.id, client_id=client.id)
    assert isinstance(await behind(client.id, partial(leave, client.id), late), TokenInvalid)
    assert await guard.value("select status from projects") == "draft"


@pytest.mark.parametrize("what", ["profile", "name", "export"])
async def test_an_erased_person_is_not_written_anew(database: str, what: str) -> None:
    person = await factories.a_client()
    late = {
        "profile": lambda: guard.commit(profiles.edit, person.id, first_name="Clara", about="Me again"),
        "name": lambda: guard.commit(accounts.rename, person.id, first_name="Clara"),
        "export": lambda: guard.commit(exports.request, person.id),
    }[what]()

    assert isinstance(await behind(person.id, partial(erasure.erase, person.id), late), TokenInvalid)
    kept = await guard.only("select first_name, about from users where id = $1", person.id)
    assert dict(kept) == {"first_name": "Deleted", "about": ""}
    assert await guard.value("select count(*) from exports") == 0


async def test_a_reset_that_waited_for_an_erasure_writes_no_password(database: str) -> None:
    person = await factories.a_client()
    mail_id = await guard.commit(mail.write, MailKind.PASSWORD_RESET_REQUEST, to=person.id, about="a reset")

    late = guard.commit(passwords.reset, mail_id, "a hash", NOBODY)
    assert isinstance(await behind(person.id, partial(erasure.erase, person.id), late), LinkInvalid)
    assert await guard.value("select password_hash from users where id = $1", person.id) == ""
    assert await guard.value("select count(*) from security_events") == 0


@pytest.mark.parametrize(
    ("kind", "verb"),
    [(MailKind.EMAIL_CHANGE, addresses.change), (MailKind.EMAIL_VERIFICATION, addresses.verify)],
)
async def test_a_link_pressed_during_an_erasure_is_no_link(database: str, kind: MailKind, verb: object) -> None:
    person = await factories.a_client(verified=False)
    mail_id = await guard.commit(mail.write, kind, to=person.id, about="a link", address="new@example.org")

    late = guard.commit(verb, mail_id)
    assert isinstance(await behind(person.id, partial(erasure.erase, person.id), late), LinkInvalid)
    assert await guard.value("select email from users where id = $1", person.id) == f"erased-{person.id}@erased.invalid"


async def test_what_stripe_says_of_an_erased_person_is_not_written(database: str) -> None:
    person = await factories.a_freelancer(payouts_ready=True)
    account_id = person.stripe_account_id
    assert account_id is not None
    await guard.commit(erasure.erase, person.id)

    await guard.commit(payouts.complete_opening, person.id, account_id, ready=False, onboarding_sealed="a link")
    assert not await guard.commit(payouts.set_ready, account_id, ready=True)

    kept = await guard.only("select onboarding_sealed, payouts_ready from users where id = $1", person.id)
    assert dict(kept) == {"onboarding_sealed": None, "payouts_ready": False}
    assert await guard.value("select count(*) from notifications") == 0


async def test_two_tabs_that_sign_in_over_a_dated_hash_both_get_in(database: str) -> None:
    person = await factories.a_client()
    await guard.rows("update users set password_hash = 'dated' where id = $1", person.id)
    known = await accounts.read_credentials(person.email)
    assert known is not None
    keys = (throttles.account_key(person.email, known=False),)

    entered = await asyncio.gather(
        *(guard.commit(sign_in.admit, known, HOME, keys=keys, better=f"better {n}") for n in range(3)),
        return_exceptions=True,
    )

    assert [type(one) for one in entered] == [SignIn] * 3
    assert str(await guard.value("select password_hash from users")).startswith("better")


async def test_sealing_anew_locks_accounts_in_everybodys_order(database: str) -> None:
    first, *others = [await factories.a_freelancer() for _ in range(3)]
    await guard.rows("update users set onboarding_sealed = 'old'")
    await guard.rows("update users set about = 'lies last in the table now' where id = $1", first.id)
    anew = [Resealing(id=one.id, sealed="old", anew="new") for one in (*others, first)]

    async def takes_the_last() -> None:
        async with asyncio.timeout(0.8):  # before PostgreSQL looks for deadlocks
            await lock(Noun.ACCOUNT, others[-1].id)

    late = guard.commit(sealed.replace_seals, SealedPlace.ONBOARDING_LINKS, anew)
    assert await behind(first.id, takes_the_last, late) == 3


async def test_an_erasure_and_the_codes_it_takes_away_never_wait_for_each_other(database: str) -> None:
    """A code is used up before the factor it proves is touched: an erasure takes both in the same order."""
    person = await factories.a_client()
    order = list(erasure.FORGET)
    assert order.index("security_codes") < order.index("mfa_methods")
    assert person.id


async def test_a_session_that_is_ended_is_believed_no_more_by_the_process_that_ended_it(database: str) -> None:
    person = await factories.a_client()
    session_id = await a_session(person)
    heard: list[frozenset[str]] = []
    guard.hang_bell(heard.append)

    await guard.commit(live_sessions.end_one, session_id, user_id=person.id, visitor=HOME)

    assert heard == [frozenset({sessions.STANDING})]


async def test_signing_out_everywhere_waits_for_a_sign_in_under_way(database: str) -> None:
    person = await factories.a_client()
    own = await a_session(person)

    async def enters() -> None:
        assert isinstance(await sign_in.enter(person.id, person.role, HOME), SignIn)

    late = guard.commit(live_sessions.end_others, person.id, keep=own, visitor=HOME)
    assert await behind(person.id, enters, late) == 1
    assert await guard.value("select count(*) from sessions where revoked_at is null") == 1
