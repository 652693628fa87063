"""Signing in: what a right password opens, and what a second factor does after it.

Refuses a password or a ticket that was right before the password changed: the account is locked and looked at anew.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from models import accounts, factors, guard, mail, risk, security, sessions, throttles, tickets
from models.accounts import Credentials, Role
from models.base import Record
from models.errors import AccountSuspended, CredentialsWrong, TokenInvalid
from models.factors import Method
from models.letters import MailKind
from models.locks import Noun, lock
from models.security import SecurityEventKind
from models.sessions import SignIn
from models.visitors import Place, Visitor, said_of

TICKET_LIFE_S: Final = 300
"""As long as the token that names it."""
WRONG: Final = "Address or password is wrong."
SUSPENDED: Final = "This account is suspended; write to support."

STANDING: Final = """
select role, password_hash <> '' as has_password, password_changed_at, suspended_at is not null as is_suspended
  from users where id = $1
"""
USE_TICKET: Final = """
update sign_in_tickets set used_at = now()
 where id = $1 and used_at is null and created_at > now() - make_interval(secs => $3) and $2 = any(methods)
returning user_agent, ip_address, country, city, latitude, longitude
"""
REACTIVATE: Final = "update users set deactivated_at = null where id = $1 and deactivated_at is not null returning id"
# What has never been seen is new only to whom something has been seen of: to nobody is everything new.
IS_NEW: Final = """
select exists (select from sessions where "user" = $1)
   and (not exists (select from sessions where "user" = $1 and device = $2)
        or not exists (select from sessions where "user" = $1 and network = $3)
        or ($4::text is not null
            and exists (select from sessions where "user" = $1 and country is not null)
            and not exists (select from sessions where "user" = $1 and country = $4)))
"""


class Challenge(Record, frozen=True):
    """A second proof is wanted: a ticket, and the methods it takes."""

    ticket_id: UUID
    methods: tuple[Method, ...]


def keys_of(email: str, known: Credentials | None, visitor: Visitor) -> tuple[str, ...]:
    """What an attempt is counted under: the address, and the network it comes from where there is one."""
    familiar = known is not None and known.familiar
    account = throttles.account_key(accounts.sought(email), familiar)
    return (account, throttles.network_key(visitor.network, familiar)) if visitor.network else (account,)


async def refuse(known: Credentials | None, visitor: Visitor, *, keys: Sequence[str]) -> None:
    """Write down that a password was wrong. An address that nobody has takes as many round trips, and a commit."""
    guard.in_transaction()
    kinds = [SecurityEventKind.SIGN_IN_FAILED]
    if await throttles.fail(*keys):
        kinds.append(SecurityEventKind.SIGN_IN_LOCKED)
    for kind in kinds:
        if known is None:
            await guard.rows("select 1")
        else:
            await security.note(known.user_id, kind, visitor)


async def admit(
    known: Credentials, visitor: Visitor, *, keys: Sequence[str], better: str | None = None
) -> SignIn | Challenge:
    """Let in somebody whose password was right a moment ago, and forgive the attempts. `better` is a stronger hash.

    Raises AccountSuspended; CredentialsWrong when the password has changed since.
    """
    guard.in_transaction()
    await lock(Noun.ACCOUNT, known.user_id)
    now = await guard.only(STANDING, known.user_id)
    # Not the hashes: another tab that signed in a moment ago may have put a stronger one of the same password in place.
    if not now["has_password"] or now["password_changed_at"] != known.password_changed_at:
        raise CredentialsWrong(WRONG)
    if now["is_suspended"]:
        raise AccountSuspended(SUSPENDED)
    if better is not None:
        await accounts.replace_hash(known.user_id, known.password_hash, better)
    await throttles.forgive(*keys)
    return await enter(known.user_id, Role(now["role"]), visitor)


async def enter(user_id: int, role: Role, visitor: Visitor) -> SignIn | Challenge:
    """What a right password opens: a session, or a ticket for a second factor.

    A ticket when the account has a factor, or when the sign-in is risky: then a code by mail, if nothing else.
    """
    guard.in_transaction()
    await lock(Noun.ACCOUNT, user_id)
    assessed = await risk.assess(user_id, visitor)
    methods = await factors.methods_of(user_id)
    if assessed.require_additional_auth:
        said = {"score": assessed.score, "factors": [one.name for one in assessed.factors]}
        await security.note(user_id, SecurityEventKind.SIGN_IN_RISKY, visitor, said)
        methods = methods or [Method.EMAIL]
    if not methods:
        return await _open(user_id, role, visitor)
    ticket_id = await tickets.open_ticket(user_id, visitor, methods, assessed.score)
    return Challenge(ticket_id=ticket_id, methods=tuple(methods))


async def finish(ticket_id: UUID, method: Method) -> SignIn:
    """Open the session of a ticket whose second factor was proved, and use the ticket up. Raises TokenInvalid.

    Also AccountSuspended. A code to the account's own address, asked for because of a risk, opens a session and is no
    second factor: whoever has none has none, and whoever has one by now is asked for that.
    """
    guard.in_transaction()
    user_id = await guard.value('select "user" from sign_in_tickets where id = $1', ticket_id)
    if user_id is None:
        raise TokenInvalid("This sign-in is over. Begin anew.")
    await lock(Noun.ACCOUNT, user_id)
    ticket = await guard.row(USE_TICKET, ticket_id, method.value, TICKET_LIFE_S)
    if ticket is None:
        raise TokenInvalid("This sign-in is over. Begin anew.")
    now = await guard.only(STANDING, user_id)
    if now["is_suspended"]:
        raise AccountSuspended(SUSPENDED)
    protecting = await factors.methods_of(user_id)
    # What has begun to protect the account since the password was typed asks for itself: the ticket does not know it.
    # Of backup codes the one that was just used may have been the last.
    if protecting and method not in (*protecting, Method.BACKUP_CODE):
        raise TokenInvalid("This sign-in is over. Begin anew.")
    return await _open(user_id, Role(now["role"]), _visitor(ticket), method=method, proved=bool(protecting))


async def _open(
    user_id: int, role: Role, visitor: Visitor, *, method: Method | None = None, proved: bool = False
) -> SignIn:
    """The last step: a session, and what its owner is told of it. A deactivated account comes back."""
    country = visitor.place and visitor.place.country
    is_new = await guard.value(IS_NEW, user_id, visitor.device, visitor.network, country)
    begun = await sessions.begin(user_id, role, visitor, proved=proved)
    if await guard.execute(REACTIVATE, user_id):
        sessions.standing_changed()
        await security.note(user_id, SecurityEventKind.ACCOUNT_REACTIVATED, visitor)
    said = {"session_id": str(begun.session_id)} | ({} if method is None else {"method": method.value})
    await security.note(user_id, SecurityEventKind.SIGNED_IN, visitor, said)
    if is_new:
        await mail.write(
            MailKind.NEW_SIGN_IN,
            to=user_id,
            about=f"session:{begun.session_id}",
            at=datetime.now(UTC),
            ip_address=visitor.ip_address,
            device=said_of(visitor.user_agent),
            place=_named(visitor.place),
        )
    return begun


def _named(place: Place | None) -> str:
    return "" if place is None else ", ".join(one for one in (place.city, place.country) if one)


def _visitor(ticket: Any) -> Visitor:
    """Who knocked when the password was right."""
    fields = dict(ticket)
    said, address = fields.pop("user_agent"), fields.pop("ip_address")
    return Visitor(user_agent=said, ip_address=address, place=Place(**fields) if fields["country"] else None)
