"""Addresses, names, passwords, accounts and sessions: what is believed, and what is refused."""

import pytest

from models import accounts, guard, passwords, sessions
from models.accounts import Role, clean_name, email_key
from models.base import uuid7
from models.errors import EmailTaken, Invalid, NotFound, PasswordTooWeak
from tests import factories


@pytest.mark.parametrize(
    ("typed", "key"),
    [
        ("user@example.com", "user@example.com"),
        ("  User@EXAMPLE.com\n", "user@example.com"),
        ("a.b+tag@sub.example.co.uk", "a.b+tag@sub.example.co.uk"),
        ("jörg@müller.de", "jörg@xn--mller-kva.de"),
        ("jo\u0308rg@MÜLLER.de", "jörg@xn--mller-kva.de"),
        ("user@xn--mller-kva.de", "user@xn--mller-kva.de"),
        ("用户@例子.中国", "用户@xn--fsqu00a.xn--fiqs8s"),
    ],
)
def test_two_spellings_of_one_address_have_one_key(typed: str, key: str):
    assert email_key(typed) == key


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "user",
        "@example.com",
        "user@",
        "user@localhost",
        "user@.com",
        "user@example..com",
        "user@-example.com",
        "user@exa mple.com",
        "user@exa_mple.com",
        ".user@example.com",
        "us..er@example.com",
        "us er@example.com",
        "us\ter@example.com",
        "us\0er@example.com",
        '"us er"@example.com',
        "user@example.com, other@example.com",
        "user@@example.com",
        "user@" + "a" * 64 + ".com",
        "a" * 65 + "@example.com",
        "a@" + "b" * 60 + "." + "c" * 60 + "." + "d" * 60 + "." + "e" * 60 + "." + "f" * 10 + ".com",
        "<b>@example.com",
    ],
)
def test_what_nobody_can_write_to_is_no_address(typed: str):
    with pytest.raises(Invalid) as raised:
        email_key(typed)
    assert raised.value.field == "email"


def test_a_name_is_trimmed_and_composed():
    assert clean_name("  Zoe\u0308 ", "first_name") == "Zoë"
    assert clean_name("x" * 100, "first_name") == "x" * 100


@pytest.mark.parametrize("name", ["", " ", "x" * 101, "a\0b", "a\nb", "a\u2028b", "a\x1bb"])
def test_what_is_no_name_is_refused(name: str):
    with pytest.raises(Invalid) as raised:
        clean_name(name, "last_name")
    assert raised.value.field == "last_name"


@pytest.mark.parametrize(
    "password", ["SecurePass123!", "Correct-Horse-7", "Ünïcödé-9x", "Aa1!" + "z" * 124, "Tr0ub4dor&3"]
)
def test_a_good_password_passes(password: str):
    assert passwords.check(password) == passwords.normal(password)


@pytest.mark.parametrize(
    "password",
    ["Aa1!xyz", "Aa1!" + "z" * 125, "aaaaaaa1!", "AAAAAAA1!", "Aaaaaaaa!", "Aaaaaaa11", "Aa1!\0xyzz", "Aa1!\nxyzz"],
)
def test_a_password_that_breaks_a_rule_is_refused(password: str):
    with pytest.raises(PasswordTooWeak) as raised:
        passwords.check(password)
    assert raised.value.field == "password"


@pytest.mark.parametrize(
    "password", ["Password1!", "P@ssw0rd1!", "Qwerty123!", "Welcome2024!", "!Dragon99", "Abcd1234!", "Summer2025!"]
)
def test_a_disguised_common_password_is_refused(password: str):
    with pytest.raises(PasswordTooWeak, match="lists"):
        passwords.check(password)


def test_two_keyboards_make_one_password():
    assert passwords.normal("Zoe\u0308-Pass1") == passwords.normal("Zoë-Pass1")


async def make(**changed: object):
    said = {
        "email": "user@example.com",
        "password_hash": "h",
        "first_name": "J",
        "last_name": "D",
        "role": Role.CLIENT,
        **changed,
    }
    return await guard.commit(accounts.register, **said)  # type: ignore[arg-type]


async def test_registering_twice_is_refused_and_leaves_the_first(database: str):
    first = await make()
    with pytest.raises(EmailTaken):
        await make(email="USER@example.com", role=Role.FREELANCER)
    assert await accounts.read(first.id) == first


async def test_an_account_made_by_hand_is_verified_and_gets_no_mail(database: str):
    admin = await make(role=Role.ADMIN, verified=True)
    assert (admin.role, admin.email_verified) == (Role.ADMIN, True)
    assert await guard.value("select count(*) from mails") == 0


async def test_nobody_is_not_found(database: str):
    with pytest.raises(NotFound):
        await accounts.read(2**53 - 1)
    assert await accounts.read_credentials("nobody@example.com") is None
    assert await accounts.read_credentials("nonsense") is None


async def test_a_hash_is_not_replaced_once_the_password_was_changed(database: str):
    person = await make()
    await guard.commit(accounts.replace_hash, person.id, "another", "stale")
    assert await guard.value("select password_hash from users") == "h"


async def test_a_session_lives_until_it_is_revoked(database: str):
    person = await factories.a_client()
    sign_in = await guard.commit(
        sessions.begin, person.id, person.role, user_agent="a\0b" + "x" * 900, ip_address="127.0.0.1"
    )
    live = await sessions.read_live(sign_in.session_id)
    assert live == sessions.SessionUser(user_id=person.id, role=Role.CLIENT, email_verified=True)
    assert len(await guard.value("select user_agent from sessions")) == sessions.MAX_USER_AGENT_CHARS
    for because in ("signed_out", "again"):
        await guard.commit(sessions.revoke, sign_in.session_id, because)
    assert await sessions.read_live(sign_in.session_id) is None
    assert await guard.value("select revoked_because from sessions") == "signed_out"
    assert await sessions.read_live(uuid7()) is None


def test_domains_that_differ_are_different_mailboxes():
    assert email_key("ada@straße.example") != email_key("ada@strasse.example")
    with pytest.raises(Invalid):
        email_key("ada@strasse\u2024example")
