"""What makes a password good enough, the one spelling it is hashed in, and how another one takes its place.

A new password ends what the old one opened: sessions, half-finished sign-ins, mailed links. Second factors stay.
"""

import string
import unicodedata
from functools import cache
from pathlib import Path
from typing import Final
from uuid import UUID

from models import accounts, addresses, guard, mail, security, sessions, throttles
from models.accounts import Role
from models.errors import LinkInvalid, PasswordTooWeak
from models.jobs import SendMail
from models.letters import MailKind
from models.locks import Noun, lock
from models.security import SecurityEventKind
from models.sessions import SignIn
from models.visitors import Visitor

MIN_CHARS: Final = 8
MAX_CHARS: Final = 128
"""Longer ones cost us time and nobody security; refused, never cut."""
LIST: Final = Path(__file__).parent / "common_passwords.txt"
LOOKALIKES: Final = str.maketrans("@4301!$57", "aaeoiisst")
"""People write `P@ssw0rd` and believe it is another word; attackers' rules know better."""
ASK_S: Final = 60
"""One reset mail a minute for an address, whether or not anybody has it."""
ASK_KEY: Final = "reset:"

RESETTABLE: Final = """
select m."user" from mails m join users u on u.id = m."user"
 where m.id = $1 and m.kind = 'password_reset_request' and m.link_used_at is null and u.erased_at is null
"""
REPLACE: Final = "update users set password_hash = $2, password_changed_at = now() where id = $1 returning email_key"


@cache
def common() -> frozenset[str]:
    """The words every attacker tries first, lower case."""
    return frozenset(word for word in LIST.read_text().splitlines() if word and not word.startswith("#"))


def normal(password: str) -> str:
    """The spelling that is hashed: NFKC, so that the same keys on two keyboards make one password (RFC 8265)."""
    return unicodedata.normalize("NFKC", password)


def check(password: str, field: str = "password") -> str:
    """The password in its normal spelling. Raises PasswordTooWeak with the rule it breaks, for `field`."""
    if not MIN_CHARS <= len(password) <= MAX_CHARS:
        raise PasswordTooWeak(f"A password has {MIN_CHARS} to {MAX_CHARS} characters.", field=field)
    if any(unicodedata.category(char) in {"Cc", "Cs"} for char in password):
        raise PasswordTooWeak("A password has no control characters.", field=field)
    has = (
        any(char.isupper() for char in password),
        any(char.islower() for char in password),
        any(char.isdigit() for char in password),
        any(not char.isalnum() for char in password),
    )
    if not all(has):
        raise PasswordTooWeak(
            "A password needs an upper-case letter, a lower-case letter, a digit and a symbol.", field=field
        )
    if not _disguises(password.lower()).isdisjoint(common()):
        raise PasswordTooWeak("This password is on the lists that attackers try first.", field=field)
    return normal(password)


def _disguises(password: str) -> set[str]:
    """The words it may be made of: as it is, without its symbols or digits at the ends, and without lookalikes."""
    bare = password.strip(string.punctuation + " ")
    word = password.strip(string.punctuation + string.digits + " ")
    return {one for seen in (password, bare, word) for one in (seen, seen.translate(LOOKALIKES))}


async def ask_reset(email: str, visitor: Visitor) -> None:
    """Mail a reset link to whoever has this address, at most one a minute; nobody can tell whether anybody has.

    An address that nobody has takes as many round trips and writes as one that somebody has, and rings the same bell.
    """
    guard.in_transaction()
    key = accounts.sought(email)
    turn = ASK_KEY + throttles.account_key(key, known=False)
    if not await throttles.take_turn(turn, ASK_S):
        return
    user_id = await guard.value("select id from users where email_key = $1 and erased_at is null", key)
    if user_id is None:
        for _ in range(3):
            await throttles.fail(turn)
        guard.ring(SendMail.queue.value)
        return
    await mail.write(MailKind.PASSWORD_RESET_REQUEST, to=user_id, about=f"user:{user_id}:{addresses.slot()}")
    await security.note(user_id, SecurityEventKind.PASSWORD_RESET_ASKED, visitor)


async def is_resettable(mail_id: int) -> bool:
    """Whether the link of this mail still resets a password. Consumes nothing."""
    return await guard.row(RESETTABLE, mail_id) is not None


async def reset(mail_id: int, password_hash: str, visitor: Visitor) -> None:
    """Replace the password of whoever got this mail, once; every session ends. Raises LinkInvalid."""
    guard.in_transaction()
    user_id = await guard.value(RESETTABLE, mail_id)
    if user_id is not None:
        await lock(Noun.ACCOUNT, user_id)
        # Asked anew: who held the lock may have used the link, or erased the account.
        user_id = await guard.value(RESETTABLE, mail_id) and await mail.use_link(mail_id)
    if user_id is None:
        raise LinkInvalid("This link is not valid, or was used. Ask for another one.", field="token")
    await _replace(user_id, password_hash, "password_reset")
    await security.note(user_id, SecurityEventKind.PASSWORD_RESET, visitor)
    about = f"user:{user_id}:reset:{mail_id}"
    await mail.write(MailKind.PASSWORD_RESET_SUCCESS, to=user_id, about=about, how="reset")


async def change(user_id: int, session_id: UUID, password_hash: str, visitor: Visitor) -> SignIn:
    """Replace the password of a signed-in person: every session ends, and a new one follows the present one.

    A second factor that was proved in the present one stays proved. Raises TokenInvalid when it has ended meanwhile.
    """
    guard.in_transaction()
    await lock(Noun.ACCOUNT, user_id)
    # Whoever reset the password while this one was being hashed has the last word.
    live = await sessions.require_live(session_id)
    await _replace(user_id, password_hash, "password_changed")
    begun = await sessions.begin(user_id, Role(live.role), visitor, proved_at=live.proved_at)
    said = {"session_id": str(begun.session_id)}
    await security.note(user_id, SecurityEventKind.PASSWORD_CHANGED, visitor, said)
    about = f"user:{user_id}:changed:{begun.session_id}"
    await mail.write(MailKind.PASSWORD_RESET_SUCCESS, to=user_id, about=about, how="changed")
    return begun


async def _replace(user_id: int, password_hash: str, because: str) -> None:
    """Put the hash in place, end what the old password opened, and forget who guessed at it."""
    key = await guard.value(REPLACE, user_id, password_hash)
    await sessions.revoke_all(user_id, because)
    await addresses.void_links(user_id, MailKind.PASSWORD_RESET_REQUEST, MailKind.EMAIL_CHANGE)
    await throttles.forgive(*(throttles.account_key(key, known) for known in (False, True)), f"password:{user_id}")
