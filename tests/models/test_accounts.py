"""Addresses, names, passwords, accounts and sessions: what is believed, and what is refused."""

import pytest

from models import accounts, guard, passwords, sessions, visitors
from models.accounts import Role, clean_name, email_key
from models.base import uuid7
from models.errors import EmailTaken, Invalid, NotFound, PasswordTooWeak
from models.visitors import Visitor
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
    assert clean_name("\u0645\u06cc\u200c\u0646\u0627", "first_name") == "\u0645\u06cc\u200c\u0646\u0627"


@pytest.mark.parametrize("name", ["", " ", "x" * 101, "a\0b", "a\nb", "a\u2028b", "a\x1bb", "a\u202eb",
                                  "a\u2066b", "\u200b", "a\ufeffb"])  # fmt: skip
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
        sessions.begin, person.id, person.role, Visitor(user_agent="a\0b" + "x" * 900, ip_address="127.0.0.1")
    )
    live = await sessions.read_live(sign_in.session_id)
    assert live == sessions.SessionUser(user_id=person.id, role=Role.CLIENT, email_verified=True, proved_at=None)
    assert len(await guard.value("select user_agent from sessions")) == visitors.MAX_USER_AGENT_CHARS
    for because in ("signed_out", "again"):
        await guard.commit(sessions.revoke, sign_in.session_id, because)
    assert await sessions.read_live(sign_in.session_id) is None
    assert await guard.value("select revoked_because from sessions") == "signed_out"
    assert await sessions.read_live(uuid7()) is None


@pytest.mark.parametrize(
    "typed",
    [
        pytest.param("\uff55ser@example.com", id="a full-width letter"),
        pytest.param("user\uff20example.com", id="a full-width at"),
        pytest.param("\ufb01nn@example.com", id="a ligature"),
        pytest.param("us\u00b9@example.com", id="a superscript"),
        pytest.param("\u017fam@example.com", id="a long s"),
        pytest.param("us\u200ber@example.com", id="a zero-width space"),
        pytest.param("us\u200der@example.com", id="a zero-width joiner"),
        pytest.param("us\u2060er@example.com", id="a word joiner"),
        pytest.param("us\ufeffer@example.com", id="a byte order mark"),
        pytest.param("us\u00ader@example.com", id="a soft hyphen"),
        pytest.param("us\u202eer@example.com", id="right-to-left override"),
        pytest.param("us\u200fer@example.com", id="right-to-left mark"),
        pytest.param("user@exa\u200bmple.com", id="a zero-width space in the domain"),
        pytest.param("user@\u202eexample.com", id="right-to-left override in the domain"),
        pytest.param("user@\uff45xample.com", id="a full-width letter in the domain"),
        pytest.param("user@ex\u2488com", id="one character that looks like two"),
        pytest.param("u\u0307\u0307ser@example.com", id="marks on marks"),
        pytest.param("user@example.com\u0000", id="a null byte at the end"),
    ],
)
def test_a_disguise_is_no_address(typed: str):
    with pytest.raises(Invalid):
        email_key(typed)


def test_one_mailbox_has_one_key_however_unicode_spells_it():
    assert email_key("\u212aelvin@example.com") == email_key("kelvin@example.com")
    assert email_key("user@\u4f8b\u5b50\u3002\u4e2d\u56fd") == email_key("user@\u4f8b\u5b50.\u4e2d\u56fd")


def test_a_domain_of_lookalikes_is_another_domain_and_shows_that_it_is():
    assert email_key("user@ex\u0430mple.com") == "user@xn--exmple-4nf.com"


def test_dots_and_tags_are_the_providers_business():
    keys = {email_key(one) for one in ("ab@example.com", "a.b@example.com", "ab+x@example.com")}
    assert len(keys) == 3


def test_the_field_of_a_bad_address_is_the_callers():
    with pytest.raises(Invalid) as raised:
        email_key("nonsense", "new_email")
    assert raised.value.field == "new_email"


def test_domains_that_differ_are_different_mailboxes():
    assert email_key("ada@straße.example") != email_key("ada@strasse.example")
    with pytest.raises(Invalid):
        email_key("ada@strasse\u2024example")
