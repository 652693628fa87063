"""A person's address: how it is proved, and how another one takes its place.

Refuses a link that was used, or that was mailed before the address or the password changed.
"""

from datetime import UTC, datetime
from hashlib import sha256
from typing import Final
from uuid import UUID

import asyncpg

from models import accounts, audit, guard, mail, security, sessions
from models.errors import EmailTaken, LinkInvalid
from models.letters import MailKind
from models.locks import Noun, lock
from models.mail import LINKED
from models.security import SecurityEventKind
from models.visitors import NOBODY, Visitor

RESEND_S: Final = 60
"""One mail with a link a minute at most, however often it is asked for."""

LINK: Final = """
select m."user" as user_id, m.kind, m.address, m.link_used_at is not null as is_used,
       u.email_key, u.email_verified_at is not null as is_verified
  from mails m join users u on u.id = m."user"
 where m.id = $1 and m.kind = $2 and u.erased_at is null
"""
CHANGE: Final = "update users set email = $2, email_key = $3, email_verified_at = now() where id = $1"
VOID: Final = """
update mails set link_used_at = now() where "user" = $1 and kind = any($2) and link_used_at is null
"""


async def ask_verification(user_id: int) -> None:
    """Write another verification mail; nothing for a verified account, or within RESEND_S of the last."""
    guard.in_transaction()
    if not (await accounts.read(user_id)).email_verified:
        await mail.write(MailKind.EMAIL_VERIFICATION, to=user_id, about=f"user:{user_id}:again:{slot()}")


async def verify(mail_id: int, visitor: Visitor = NOBODY) -> None:
    """Believe the address that this verification mail went to. A second time changes nothing. Raises LinkInvalid."""
    guard.in_transaction()
    found = await _locked(mail_id, MailKind.EMAIL_VERIFICATION)
    if await mail.use_link(mail_id) is None:
        # Used before: whoever presses the button twice gets the same answer, and nothing is written.
        if not found["is_verified"]:
            raise LinkInvalid("This link is not valid.", field="token")
    elif not found["is_verified"]:
        await guard.rows("update users set email_verified_at = now() where id = $1", found["user_id"])
        sessions.standing_changed()
        await security.note(found["user_id"], SecurityEventKind.EMAIL_VERIFIED, visitor)


async def ask_change(user_id: int, email: str, *, session_id: UUID | None = None) -> None:
    """Write to an address that is to become the account's; nothing when it is somebody's, or within RESEND_S.

    Raises Invalid, for `new_email`; TokenInvalid when the session that asks has ended meanwhile.
    """
    guard.in_transaction()
    key = accounts.email_key(email, "new_email")
    # Whoever reset the password while this was asked has made every earlier link void, and this one would live on.
    await lock(Noun.ACCOUNT, user_id)
    if session_id is not None:
        await sessions.require_live(session_id)
    if await guard.row("select 1 from users where email_key = $1", key) is None:
        about = f"user:{user_id}:{sha256(key.encode()).hexdigest()[:16]}:{slot()}"
        await mail.write(MailKind.EMAIL_CHANGE, to=user_id, about=about, address=email.strip())


async def change(mail_id: int, visitor: Visitor = NOBODY) -> None:
    """Make the address that this mail went to the account's, believed from now on; the old one is told.

    A second time changes nothing. Raises EmailTaken when somebody else was quicker, LinkInvalid.
    """
    guard.in_transaction()
    found = await _locked(mail_id, MailKind.EMAIL_CHANGE)
    user_id, email = found["user_id"], found["address"]
    key = accounts.email_key(email)
    if await mail.use_link(mail_id) is None:
        if found["email_key"] != key:
            raise LinkInvalid("This link is not valid.", field="token")
        return
    old = (await accounts.read(user_id)).email
    try:
        await guard.rows(CHANGE, user_id, email, key)
    except asyncpg.UniqueViolationError:
        raise EmailTaken("There is an account with this address already.", field="token") from None
    sessions.standing_changed()
    await void_links(user_id, *LINKED)
    before, after = {"email": old}, {"email": email}  # the log keeps hints of them
    await audit.record(user_id, "account.email_changed", "user", str(user_id), before=before, after=after)
    await security.note(user_id, SecurityEventKind.EMAIL_CHANGED, visitor)
    about = f"user:{user_id}:{mail_id}"
    await mail.write(MailKind.EMAIL_CHANGED, to=user_id, about=about, address=old, new_address_hint=hint(email))


async def void_links(user_id: int, *kinds: MailKind) -> None:
    """Let no link of these kinds work that was mailed to this person before now."""
    guard.in_transaction()
    await guard.rows(VOID, user_id, [kind.value for kind in kinds])


def hint(email: str) -> str:
    """An address that its owner recognises and a stranger cannot write to: `n…@example.com`."""
    local, _, domain = email.rpartition("@")
    return f"{local[:1]}…@{domain}"


def slot() -> int:
    """The number of the present RESEND_S: what is written once in it has it in its key."""
    return int(datetime.now(UTC).timestamp()) // RESEND_S


async def _locked(mail_id: int, kind: MailKind) -> asyncpg.Record:
    """The mail of this kind and its person, who is locked. Raises LinkInvalid."""
    owner = await guard.row(LINK, mail_id, kind.value)
    if owner is None:
        raise LinkInvalid("This link is not valid.", field="token")
    await lock(Noun.ACCOUNT, owner["user_id"])
    found = await guard.row(LINK, mail_id, kind.value)
    if found is None:  # erased while we waited
        raise LinkInvalid("This link is not valid.", field="token")
    return found
