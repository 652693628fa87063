"""People: who they are, how they prove it, and where their money goes out.

Refuses a role from outside the two that register themselves, and a second account for one address.
"""

import re
import unicodedata
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

import idna
from piccolo.columns import BigSerial, Boolean, Text, Timestamptz
from piccolo.columns.defaults.timestamptz import TimestamptzNow
from piccolo.table import Table

from models import guard, mail
from models.base import Record
from models.errors import EmailTaken, Invalid, LinkInvalid, NotFound

MAX_EMAIL_CHARS: Final = 254
"""RFC 5321: a path is at most 256 octets, its angle brackets among them."""
MAX_LOCAL_CHARS: Final = 64
MAX_NAME_CHARS: Final = 100
RESEND_S: Final = 60
"""One verification mail a minute at most, however often it is asked for."""

# RFC 5322's atext, and letters beyond ASCII (RFC 6531); quoted local parts exist only in test suites and attacks.
LOCAL: Final = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(\.[\w!#$%&'*+/=?^`{|}~-]+)*")
LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)

PERSON: Final = """
id, email, first_name, last_name, role, email_verified_at is not null as email_verified, stripe_customer_id,
stripe_account_id, payouts_ready
"""


class Role(StrEnum):
    """What a person is here for."""

    CLIENT = "client"
    FREELANCER = "freelancer"
    ADMIN = "admin"


class User(Table, tablename="users"):
    """An account. `email` is as it was typed, `email_key` is its one normal form."""

    id = BigSerial(primary_key=True)
    email = Text()
    email_key = Text(unique=True)
    password_hash = Text(secret=True)
    first_name = Text()
    last_name = Text()
    role = Text()
    email_verified_at = Timestamptz(null=True, default=None)
    suspended_at = Timestamptz(null=True, default=None)
    stripe_customer_id = Text(null=True, default=None, unique=True)
    stripe_account_id = Text(null=True, default=None, unique=True)
    payouts_ready = Boolean(default=False)
    onboarding_sealed = Text(null=True, default=None, secret=True)
    created_at = Timestamptz(default=TimestamptzNow())


class Person(Record, frozen=True):
    """An account as the domain passes it around; never with its password."""

    id: int
    email: str
    first_name: str
    last_name: str
    role: Role
    email_verified: bool
    stripe_customer_id: str | None
    stripe_account_id: str | None
    payouts_ready: bool


class Credentials(Record, frozen=True):
    """What a sign-in is checked against."""

    user_id: int
    role: Role
    password_hash: str
    suspended: bool


def email_key(email: str) -> str:
    """The one normal form of an address: two spellings of one mailbox have the same. Raises Invalid.

    Trimmed, NFC, lower case; an international domain in its ASCII form (IDNA 2008, in which ß is not ss).
    """
    local, at, domain = unicodedata.normalize("NFC", email.strip()).lower().rpartition("@")
    try:
        ascii_domain = domain if domain.isascii() else idna.encode(domain).decode()
    except (idna.IDNAError, UnicodeError):
        ascii_domain = ""
    labels = ascii_domain.split(".")
    key = f"{local}@{ascii_domain}"
    if (
        not at
        or not LOCAL.fullmatch(local)
        or len(local) > MAX_LOCAL_CHARS
        or len(labels) < 2
        or not all(LABEL.fullmatch(label) for label in labels)
        or max(len(key), len(email)) > MAX_EMAIL_CHARS
    ):
        raise Invalid("This is not an e-mail address we can write to.", field="email")
    return key


def clean_name(name: str, field: str) -> str:
    """A name as it is kept: trimmed, NFC, 1 to 100 characters. Raises Invalid, also for control characters."""
    name = unicodedata.normalize("NFC", name.strip())
    if not 1 <= len(name) <= MAX_NAME_CHARS:
        raise Invalid(f"A name has 1 to {MAX_NAME_CHARS} characters.", field=field)
    # Names go into mail headers and pages: no control characters, no line breaks, no half characters.
    if any(unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} for char in name):
        raise Invalid("A name has no control characters.", field=field)
    return name


async def register(
    *, email: str, password_hash: str, first_name: str, last_name: str, role: Role, verified: bool = False
) -> Person:
    """Make an account and write its first mails. Raises EmailTaken, Invalid.

    `verified` is for accounts made by hand: no mail is written to them.
    """
    guard.in_transaction()
    found = await guard.row(
        f"""insert into users (email, email_key, password_hash, first_name, last_name, role, email_verified_at)
            values ($1, $2, $3, $4, $5, $6, case when $7 then now() end)
            on conflict (email_key) do nothing returning {PERSON}""",
        email.strip(),
        email_key(email),
        password_hash,
        clean_name(first_name, "first_name"),
        clean_name(last_name, "last_name"),
        role.value,
        verified,
    )
    if found is None:
        raise EmailTaken("There is an account with this address already.", field="email")
    person = _person(found)
    if not verified:
        await mail.write(mail.MailKind.WELCOME_EMAIL, to=person.id, about=f"user:{person.id}")
        await mail.write(mail.MailKind.EMAIL_VERIFICATION, to=person.id, about=f"user:{person.id}")
    return person


async def read(user_id: int) -> Person:
    """The account. Raises NotFound."""
    found = await guard.row(f"select {PERSON} from users where id = $1", user_id)
    if found is None:
        raise NotFound(f"There is no user {user_id}.")
    return _person(found)


async def rename(user_id: int, *, first_name: str | None = None, last_name: str | None = None) -> Person:
    """Change names; None leaves one as it is. Raises Invalid."""
    guard.in_transaction()
    found = await guard.only(
        f"""update users set first_name = coalesce($2, first_name), last_name = coalesce($3, last_name)
             where id = $1 returning {PERSON}""",
        user_id,
        None if first_name is None else clean_name(first_name, "first_name"),
        None if last_name is None else clean_name(last_name, "last_name"),
    )
    return _person(found)


async def read_credentials(email: str) -> Credentials | None:
    """What a sign-in with this address is checked against; None when nobody has it."""
    try:
        key = email_key(email)
    except Invalid:
        return None
    found = await guard.row(
        "select id, role, password_hash, suspended_at is not null from users where email_key = $1", key
    )
    if found is None:
        return None
    return Credentials(user_id=found[0], role=Role(found[1]), password_hash=found[2], suspended=found[3])


async def replace_hash(user_id: int, old: str, new: str) -> None:
    """Keep the same password under a stronger hash, unless the password was changed meanwhile."""
    guard.in_transaction()
    await guard.rows("update users set password_hash = $3 where id = $1 and password_hash = $2", user_id, old, new)


async def ask_verification(user_id: int) -> None:
    """Write another verification mail; nothing for a verified account, or within RESEND_S of the last."""
    guard.in_transaction()
    if (await read(user_id)).email_verified:
        return
    slot = int(datetime.now(UTC).timestamp()) // RESEND_S
    await mail.write(mail.MailKind.EMAIL_VERIFICATION, to=user_id, about=f"user:{user_id}:again:{slot}")


async def verify_email(mail_id: int) -> None:
    """Believe the address that this verification mail went to. A second time changes nothing. Raises LinkInvalid."""
    guard.in_transaction()
    user_id = await mail.use_link(mail_id)
    if user_id is not None:
        await guard.rows(
            "update users set email_verified_at = coalesce(email_verified_at, now()) where id = $1", user_id
        )
        return
    # Used before: whoever presses the button twice gets the same answer, and nothing is written.
    known = await guard.value(
        """select true from mails m join users u on u.id = m."user"
            where m.id = $1 and m.kind = $2 and m.link_used_at is not null and u.email_verified_at is not null""",
        mail_id,
        mail.MailKind.EMAIL_VERIFICATION.value,
    )
    if not known:
        raise LinkInvalid("This link is not valid.", field="token")


def _person(found: Any) -> Person:
    fields = dict(found)
    fields["role"] = Role(fields["role"])
    return Person(**fields)
