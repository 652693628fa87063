"""What stands between a password and a session: a ticket, good for one sign-in, five minutes and a few tries.

Also the codes that are sent to prove an address or a phone, and the challenges that passkeys sign. No row holds a code:
it is derived from the row's id where it is sent and where it is checked.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID as UUIDType  # noqa: N811  Piccolo has a column of that name

from piccolo.columns import UUID, Array, BigInt, BigSerial, DoublePrecision, Integer, Text, Timestamptz
from piccolo.columns.defaults.timestamptz import TimestamptzNow
from piccolo.table import Table

from models import guard, locks, mail, outbox
from models.accounts import User
from models.base import Record, restricted, uuid7
from models.errors import Throttled, TokenInvalid
from models.factors import Method
from models.jobs import SendCode
from models.letters import MailKind
from models.visitors import Place, Visitor, said_of

TICKET_S: Final = 300
TICKET_TRIES: Final = 5
CODE_S: Final = 600
CODE_TRIES: Final = 5
"""Five of a million codes, and then another one must be sent."""
SEND_EVERY_S: Final = 60
MOST_A_DAY: Final = 10
"""Text messages of one account in 24 hours, codes that enrol something of it, and those that enrol one contact. Each
message costs us money, and whoever earns at the other end would ask for one every minute."""
CHALLENGE_S: Final = 300
SENDABLE: Final = (Method.SMS, Method.EMAIL)
"""The methods whose codes we send."""


class Purpose(StrEnum):
    """What a sent code or a passkey's challenge is good for; one for one purpose is nothing for another."""

    SIGN_IN = "sign_in"
    ENROL = "enrol"
    STEP_UP = "step_up"


class Ticket(Table, tablename="sign_in_tickets"):
    """A sign-in whose password was right. `methods` are the proofs it takes; `risk_score` is 0 to 100."""

    id = UUID(primary_key=True, default=uuid7)
    user = restricted(User)
    methods = Array(base_column=Text())
    risk_score = DoublePrecision(default=0.0)
    user_agent = Text()
    ip_address = Text()
    country = Text(null=True, default=None)
    city = Text(null=True, default=None)
    latitude = DoublePrecision(null=True, default=None)
    longitude = DoublePrecision(null=True, default=None)
    attempts = Integer(default=0)
    created_at = Timestamptz(default=TimestamptzNow())
    used_at = Timestamptz(null=True, default=None)


class SentCode(Table, tablename="security_codes"):
    """A code that was sent to an address or a phone. `ticket` or `factor` is what it was sent for."""

    id = BigSerial(primary_key=True)
    user = restricted(User)
    method = Text()
    purpose = Text()
    contact = Text()
    ticket = UUID(null=True, default=None)
    factor = BigInt(null=True, default=None)
    status = Text(default="queued")
    provider_id = Text(null=True, default=None)
    attempts = Integer(default=0)
    created_at = Timestamptz(default=TimestamptzNow())
    used_at = Timestamptz(null=True, default=None)


class PasskeyChallenge(Table, tablename="passkey_challenges"):
    """What a passkey is asked to sign, once. `challenge` is base64url of random bytes; it is no secret."""

    id = UUID(primary_key=True, default=uuid7)
    user = restricted(User)
    purpose = Text()
    challenge = Text()
    ticket = UUID(null=True, default=None)
    created_at = Timestamptz(default=TimestamptzNow())
    used_at = Timestamptz(null=True, default=None)


class TicketRow(Record, frozen=True):
    """A ticket that is still good. `visitor` is who brought the password."""

    id: UUIDType
    user_id: int
    methods: tuple[Method, ...]
    risk_score: float
    visitor: Visitor


class Sent(Record, frozen=True):
    """A sent code that may be tried: what its digits are derived from."""

    id: int
    method: Method
    created_at: datetime


TICKET: Final = """
id, "user" as user_id, methods, risk_score, user_agent, ip_address, country, city, latitude, longitude, attempts,
created_at
"""
# A ticket is worth what its password is: one that was changed since, or an account that was closed, ends it.
LIVE_TICKET: Final = """
used_at is null and created_at > now() - make_interval(secs => $2)
and exists (select 1 from users u where u.id = sign_in_tickets."user" and u.suspended_at is null
               and u.erased_at is null and u.password_changed_at <= sign_in_tickets.created_at)
"""
# Where a code of each method goes: to the factor's own contact, or to the account's address. A code that went elsewhere
# (the contact was changed since) is none.
CONTACT: Final = """
coalesce((select f.contact from mfa_methods f where f."user" = u.id and f.method = {method}
             and f.confirmed_at is not null), case when {method} = 'email' then u.email end)
"""
READ_CONTACT: Final = f"select {CONTACT.format(method='$2::text')} from users u where u.id = $1"
# Counted by the statement that reads it: of any number of guesses at the same moment each is one.
TRY_CODE: Final = f"""
update security_codes c set attempts = c.attempts + 1
  from users u
 where c.id = (select max(id) from security_codes where "user" = $1 and purpose = $2)
   and u.id = c."user" and c.method = any($3) and c.factor is not distinct from $4
   and (c.factor is not null or c.contact = {CONTACT.format(method="c.method")})
   and c.used_at is null and c.attempts < $5 and c.created_at > now() - make_interval(secs => $6)
returning c.id, c.method, c.created_at
"""
USE_CODE: Final = """
with used as (update security_codes set used_at = now() where id = $1 and used_at is null returning "user", method),
     seen as (update mfa_methods f set last_used_at = now() from used
               where f."user" = used."user" and f.method = used.method and f.confirmed_at is not null)
select 1 from used
"""


# How long until one of the last $2 within 24 hours is a day old; null while there are fewer.
FULL: Final = """
select extract(epoch from min(created_at) + interval '24 hours' - now())::float8
  from (select created_at from security_codes
         where {counted} and created_at > now() - interval '24 hours' order by created_at desc limit $2) recent
having count(*) >= $2
"""
TEXTS: Final = FULL.format(counted="\"user\" = $1 and method = 'sms'")
ENROLLING: Final = FULL.format(counted="\"user\" = $1 and purpose = 'enrol'")
# Not those of its holder, who has proved it: strangers must not be able to use their codes up.
TO_CONTACT: Final = FULL.format(counted="lower(contact) = lower($1) and purpose = 'enrol'")


async def open_ticket(user_id: int, visitor: Visitor, methods: Sequence[Method], risk_score: float) -> UUIDType:
    """Write a ticket for a sign-in whose password was right; returns its id.

    Where a code by mail is all that it takes, the code is sent at once; one that was sent within the minute is good
    for this ticket too.
    """
    guard.in_transaction()
    ticket_id, place = uuid7(), visitor.place
    await guard.rows(
        """insert into sign_in_tickets (id, "user", methods, risk_score, user_agent, ip_address, country, city,
                                        latitude, longitude)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)""",
        ticket_id,
        user_id,
        [method.value for method in methods],
        risk_score,
        said_of(visitor.user_agent),
        visitor.ip_address,
        place and place.country,
        place and place.city,
        place and place.latitude,
        place and place.longitude,
    )
    if list(methods) == [Method.EMAIL]:
        contact = await contact_of(user_id, Method.EMAIL)
        assert contact is not None, "every account has an address"
        with suppress(Throttled):
            await send_code(user_id, Method.EMAIL, Purpose.SIGN_IN, contact, ticket_id=ticket_id)
    return ticket_id


async def read(ticket_id: UUIDType) -> TicketRow:
    """A ticket that is still good. Raises TokenInvalid."""
    found = await guard.row(
        f"select {TICKET} from sign_in_tickets where id = $1 and {LIVE_TICKET}", ticket_id, TICKET_S
    )
    if found is None:
        raise _over()
    return _ticket(found)


async def begin_attempt(ticket_id: UUIDType) -> TicketRow:
    """Count a try of a ticket before it is looked at. Raises TokenInvalid, and Throttled after TICKET_TRIES.

    Commit this before the try, whatever comes of it.
    """
    guard.in_transaction()
    found = await guard.row(
        f"""update sign_in_tickets set attempts = attempts + 1
             where id = $1 and {LIVE_TICKET} and attempts < $3 returning {TICKET}""",
        ticket_id,
        TICKET_S,
        TICKET_TRIES,
    )
    if found is None:
        await read(ticket_id)
        raise Throttled("Too many wrong codes for this sign-in. Sign in again.", retry_after_s=TICKET_S)
    return _ticket(found)


async def use(ticket_id: UUIDType) -> TicketRow:
    """Use a ticket up: of two who have proved it one enters. Raises TokenInvalid."""
    guard.in_transaction()
    found = await guard.row(
        f"update sign_in_tickets set used_at = now() where id = $1 and {LIVE_TICKET} returning {TICKET}",
        ticket_id,
        TICKET_S,
    )
    if found is None:
        raise _over()
    return _ticket(found)


async def contact_of(user_id: int, method: Method) -> str | None:
    """Where a code goes that proves this method: the factor's contact; for EMAIL without one the account's address."""
    found: str | None = await guard.value(READ_CONTACT, user_id, method.value)
    return found


async def send_code(
    user_id: int,
    method: Method,
    purpose: Purpose,
    contact: str,
    *,
    ticket_id: UUIDType | None = None,
    factor_id: int | None = None,
) -> None:
    """Send a code by mail or text message, at most one a minute for each purpose; an earlier one stops counting.

    At most MOST_A_DAY cost money, or go where nobody has proved that they may. Raises Throttled. `factor_id` is the
    factor that the code enrols: it is good for no other.
    """
    assert method in SENDABLE, method
    assert (factor_id is None) == (purpose is not Purpose.ENROL), "a code enrols one factor, or proves any"
    await locks.lock(locks.Noun.ACCOUNT, user_id)
    last: datetime | None = await guard.value(
        'select max(created_at) from security_codes where "user" = $1 and purpose = $2', user_id, purpose.value
    )
    waited_s = SEND_EVERY_S if last is None else (datetime.now(UTC) - last).total_seconds()
    if waited_s < SEND_EVERY_S:
        raise Throttled("A code was sent less than a minute ago.", retry_after_s=SEND_EVERY_S - waited_s)
    await _refuse_flood(user_id, method, purpose, contact)
    code_id: int = await guard.value(
        """insert into security_codes ("user", method, purpose, contact, ticket, factor, status, attempts, created_at)
           values ($1, $2, $3, $4, $5, $6, 'queued', 0, now()) returning id""",
        user_id,
        method.value,
        purpose.value,
        contact,
        ticket_id,
        factor_id,
    )
    if method is Method.SMS:
        await outbox.enqueue(SendCode(code_id=code_id), once=f"{outbox.CODE_PREFIX}{code_id}")
        return
    await mail.write(
        MailKind.SECURITY_CODE,
        to=user_id,
        about=f"code:{code_id}",
        address=contact,
        code_id=code_id,
        purpose=purpose.value,
    )


async def try_code(
    user_id: int, purpose: Purpose, methods: Sequence[Method], *, factor_id: int | None = None
) -> Sent | None:
    """Count a try of the newest sent code before it is looked at; None when there is none to try.

    It is unused, at most CODE_S old, was tried less than CODE_TRIES times, and went where such codes go now. Commit
    this before the try.
    """
    guard.in_transaction()
    found = await guard.row(
        TRY_CODE, user_id, purpose.value, [one.value for one in methods], factor_id, CODE_TRIES, CODE_S
    )
    return None if found is None else Sent(**{**dict(found), "method": Method(found["method"])})


async def use_code(code_id: int) -> bool:
    """Use a sent code up; False when a rival was quicker."""
    guard.in_transaction()
    return await guard.execute(USE_CODE, code_id) == 1


async def open_challenge(user_id: int, purpose: Purpose, challenge: str, *, ticket_id: UUIDType | None = None) -> None:
    """Remember what a passkey was asked to sign."""
    guard.in_transaction()
    await guard.rows(
        """insert into passkey_challenges (id, "user", purpose, challenge, ticket) values ($1, $2, $3, $4, $5)""",
        uuid7(),
        user_id,
        purpose.value,
        challenge,
        ticket_id,
    )


async def use_challenge(user_id: int, purpose: Purpose, challenge: str, *, ticket_id: UUIDType | None = None) -> bool:
    """Use a challenge up, whatever its answer is worth; False when nobody was asked this, or it was answered before."""
    guard.in_transaction()
    used = await guard.execute(
        """update passkey_challenges set used_at = now()
            where "user" = $1 and purpose = $2 and challenge = $3 and ticket is not distinct from $4
              and used_at is null and created_at > now() - make_interval(secs => $5) returning id""",
        user_id,
        purpose.value,
        challenge,
        ticket_id,
        CHALLENGE_S,
    )
    return used == 1


async def _refuse_flood(user_id: int, method: Method, purpose: Purpose, contact: str) -> None:
    counts: list[tuple[str, int | str]] = [(TEXTS, user_id)] if method is Method.SMS else []
    if purpose is Purpose.ENROL:
        counts += [(ENROLLING, user_id), (TO_CONTACT, contact)]
    for sql, key in counts:
        left_s: float | None = await guard.value(sql, key, MOST_A_DAY)
        if left_s is not None:
            raise Throttled(f"At most {MOST_A_DAY} codes are sent within 24 hours.", retry_after_s=max(1.0, left_s))


def _over() -> TokenInvalid:
    return TokenInvalid("This sign-in is over, or was finished before. Sign in again.")


def _ticket(found: Any) -> TicketRow:
    country = found["country"]
    place = (
        None
        if country is None
        else Place(country=country, city=found["city"], latitude=found["latitude"], longitude=found["longitude"])
    )
    return TicketRow(
        id=UUIDType(int=found["id"].int),
        user_id=found["user_id"],
        methods=tuple(Method(one) for one in found["methods"]),
        risk_score=found["risk_score"],
        visitor=Visitor(user_agent=found["user_agent"], ip_address=found["ip_address"], place=place),
    )
