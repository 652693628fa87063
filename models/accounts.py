"""People: who they are, how they prove it, and where their money goes out.

Refuses a role from outside the two that register themselves, and a second account for one address.
"""

import re
import unicodedata
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final

import idna
from piccolo.columns import Array, BigInt, BigSerial, Boolean, Integer, Text, Timestamptz
from piccolo.columns.defaults.timestamptz import TimestamptzNow
from piccolo.table import Table

from models import guard, mail
from models.base import Record
from models.errors import EmailTaken, Invalid, NotFound, TokenInvalid
from models.letters import MailKind
from models.locks import Noun, lock

MAX_EMAIL_CHARS: Final = 254
"""RFC 5321: a path is at most 256 octets, its angle brackets among them."""
MAX_LOCAL_CHARS: Final = 64
MAX_NAME_CHARS: Final = 100
JOINERS: Final = "\u200c\u200d"
FAMILIAR_DAYS: Final = 90
"""How long a network counts as one that an account is used from."""

# RFC 5322's atext, and letters beyond ASCII (RFC 6531); quoted local parts exist only in test suites and attacks.
LOCAL: Final = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(\.[\w!#$%&'*+/=?^`{|}~-]+)*")
LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)

PERSON: Final = """
id, email, first_name, last_name, role, email_verified_at is not null as email_verified, stripe_customer_id,
stripe_account_id, payouts_ready
"""
PRESENT: Final = "select 1 from users where id = $1 and deactivated_at is null and suspended_at is null"


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
    password_changed_at = Timestamptz(default=TimestamptzNow())
    headline = Text(default="")
    about = Text(default="")
    country = Text(null=True, default=None)
    time_zone = Text(default="UTC")
    skills = Array(base_column=Text(), default=list)
    hourly_rate_minor = BigInt(null=True, default=None)
    rate_currency = Text(null=True, default=None)
    is_available = Boolean(default=True)
    avatar_upload_id = BigInt(null=True, default=None)
    rating_sum = Integer(default=0)
    rating_count = Integer(default=0)
    completed_contracts = Integer(default=0)
    quiet_from_minute = Integer(null=True, default=None)
    quiet_to_minute = Integer(null=True, default=None)
    suspended_at = Timestamptz(null=True, default=None)
    suspended_because = Text(null=True, default=None)
    deactivated_at = Timestamptz(null=True, default=None)
    erased_at = Timestamptz(null=True, default=None)
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
    """What a sign-in is checked against. `familiar`: there was one from the same network in the last FAMILIAR_DAYS."""

    user_id: int
    role: Role
    password_hash: str
    password_changed_at: datetime
    suspended: bool
    familiar: bool


def email_key(email: str, field: str = "email") -> str:
    """The one normal form of an address: two spellings of one mailbox have the same. Raises Invalid.

    Trimmed, NFC, lower case; an international domain in its ASCII form (IDNA 2008, in which ß is not ss). Dots and
    tags stay: only the mailbox's own provider knows whether they mean anything.
    """
    local, at, domain = _composed(_composed(email.strip()).lower()).rpartition("@")
    try:
        ascii_domain = domain if domain.isascii() else idna.encode(domain).decode()
    except (idna.IDNAError, UnicodeError):
        ascii_domain = ""
    labels = ascii_domain.split(".")
    key = f"{local}@{ascii_domain}"
    if (
        not at
        or not LOCAL.fullmatch(local)
        # Letters that only look different (full width, ligatures, superscripts) would be a second account's disguise.
        or unicodedata.normalize("NFKC", local) != local
        or len(local) > MAX_LOCAL_CHARS
        or len(labels) < 2
        or not all(LABEL.fullmatch(label) for label in labels)
        or max(len(key), len(email)) > MAX_EMAIL_CHARS
    ):
        raise Invalid("This is not an e-mail address we can write to.", field=field)
    return key


def sought(email: str) -> str:
    """What an address is looked up and counted by, whatever was typed: its normal form, or a text that nobody has."""
    try:
        return email_key(email)
    except Invalid:
        return sha256(email.encode(errors="replace")).hexdigest()


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def clean_name(name: str, field: str) -> str:
    """A name as it is kept: trimmed, NFC, 1 to 100 characters. Raises Invalid, also for what nobody sees."""
    name = unicodedata.normalize("NFC", name.strip())
    if not 1 <= len(name) <= MAX_NAME_CHARS:
        raise Invalid(f"A name has 1 to {MAX_NAME_CHARS} characters.", field=field)
    # Names go into mail headers and pages: no control characters, no line breaks, no half characters; and none that
    # are invisible or turn the text around, by which one person looks like another. Persian is spelled with two.
    if any(unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and char not in JOINERS for char in name):
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
        await mail.write(MailKind.WELCOME_EMAIL, to=person.id, about=f"user:{person.id}")
        await mail.write(MailKind.EMAIL_VERIFICATION, to=person.id, about=f"user:{person.id}")
    return person


async def read(user_id: int) -> Person:
    """The account. Raises NotFound."""
    found = await guard.row(f"select {PERSON} from users where id = $1", user_id)
    if found is None:
        raise NotFound(f"There is no user {user_id}.")
    return _person(found)


async def lock_present(user_id: int) -> None:
    """Lock the account of somebody who acts. Raises TokenInvalid when they left, or were suspended, meanwhile.

    Whoever leaves holds the same lock: what is written under this one is either seen by them, or refused here.
    """
    await lock(Noun.ACCOUNT, user_id)
    if await guard.row(PRESENT, user_id) is None:
        raise TokenInvalid("This session has ended. Sign in again.")


async def rename(user_id: int, *, first_name: str | None = None, last_name: str | None = None) -> Person:
    """Change names; None leaves one as it is. Raises Invalid, TokenInvalid when they left meanwhile."""
    await lock_present(user_id)
    found = await guard.only(
        f"""update users set first_name = coalesce($2, first_name), last_name = coalesce($3, last_name)
             where id = $1 returning {PERSON}""",
        user_id,
        None if first_name is None else clean_name(first_name, "first_name"),
        None if last_name is None else clean_name(last_name, "last_name"),
    )
    return _person(found)


CREDENTIALS: Final = """
select u.id, u.role, u.password_hash, u.password_changed_at, u.suspended_at is not null,
       exists (select from sessions s where s."user" = u.id and s.network = $2 and $2 <> ''
                                        and s.created_at > now() - make_interval(days => $3))
  from users u where u.email_key = $1 and u.erased_at is null
"""


async def read_credentials(email: str, network: str = "") -> Credentials | None:
    """What a sign-in with this address, from this network, is checked against; None when nobody has it.

    One round trip, also for what is no address.
    """
    found = await guard.row(CREDENTIALS, sought(email), network, FAMILIAR_DAYS)
    if found is None:
        return None
    return Credentials(
        user_id=found[0],
        role=Role(found[1]),
        password_hash=found[2],
        password_changed_at=found[3],
        suspended=found[4],
        familiar=found[5],
    )


async def read_hash(user_id: int) -> str:
    """The hash of an account's password, to check what its signed-in owner types once more."""
    found: str = await guard.value("select password_hash from users where id = $1", user_id)
    return found


async def replace_hash(user_id: int, old: str, new: str) -> None:
    """Keep the same password under a stronger hash, unless the password was changed meanwhile."""
    guard.in_transaction()
    await guard.rows("update users set password_hash = $3 where id = $1 and password_hash = $2", user_id, old, new)


def _person(found: Any) -> Person:
    fields = dict(found)
    fields["role"] = Role(fields["role"])
    return Person(**fields)
