"""Sign-ins: one row a family of refresh tokens. A refresh token is good once; used twice, its family ends."""

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from piccolo.columns import UUID, DoublePrecision, Integer, Text, Timestamptz
from piccolo.columns.defaults.timestamptz import TimestamptzNow
from piccolo.table import Table

from models import guard, security
from models.accounts import Role, User
from models.base import Record, restricted, uuid7
from models.errors import TokenInvalid
from models.visitors import NOBODY, Visitor, said_of

REUSED: Final = "refresh_token_reused"
"""Why a session ended whose refresh token came a second time: one of the two who sent it is a thief."""
REFRESH_GRACE_S: Final = 10
"""Two tabs of one browser may wake at once with the same token. A thief gains nothing: what is answered is no new
child, and when two hold it, the second one to refresh it ends them both."""

STANDING: Final = "standing"
"""The bell of a changed standing: whoever believes something of sessions forgets it, in the process that rang."""
UNSETTLED_S: Final = 30
"""How far back changes of standing are read: longer than a transaction stays open after it noted one."""

LIVE: Final = """
select u.id, u.role, u.email_verified_at is not null, s.proved_at
  from sessions s join users u on u.id = s."user"
 where s.id = $1 and s.revoked_at is null and u.suspended_at is null and u.deactivated_at is null
"""
# One statement decides who rotates: of two that send the same generation, the second finds it gone.
ROTATE: Final = """
update sessions s set generation = s.generation + 1, refreshed_at = now()
  from users u
 where s.id = $1 and s.generation = $2 and s.revoked_at is null and u.id = s."user"
   and u.suspended_at is null and u.deactivated_at is null
returning s.id as session_id, s.generation, u.id as user_id, u.role, s.refreshed_at as issued_at
"""
# What a second tab is answered that sent the same token in the same moment: the child that the first one got.
CHILD: Final = """
select s.id as session_id, s.generation, u.id as user_id, u.role, s.refreshed_at as issued_at
  from sessions s join users u on u.id = s."user"
 where s.id = $1 and s.generation = $2::int + 1 and s.refreshed_at > now() - make_interval(secs => $3)
   and s.revoked_at is null and u.suspended_at is null and u.deactivated_at is null
"""
# Only an older generation is a reuse; the present one was refused because the session or its user is suspended.
END_REUSED: Final = """
update sessions set revoked_at = now(), revoked_because = $3
 where id = $1 and generation > $2 and revoked_at is null returning "user"
"""
VOID_TICKETS: Final = 'update sign_in_tickets set used_at = now() where "user" = $1 and used_at is null'


class Session(Table, tablename="sessions"):
    """A sign-in. `generation` is the number of the only refresh token that is still good.

    `proved_at` is when its holder last proved a second factor; None: never.
    """

    id = UUID(primary_key=True, default=uuid7)
    user = restricted(User)
    generation = Integer(default=1)
    user_agent = Text()
    ip_address = Text()
    network = Text(default="")
    device = Text(default="")
    country = Text(null=True, default=None)
    city = Text(null=True, default=None)
    latitude = DoublePrecision(null=True, default=None)
    longitude = DoublePrecision(null=True, default=None)
    proved_at = Timestamptz(null=True, default=None)
    created_at = Timestamptz(default=TimestamptzNow())
    refreshed_at = Timestamptz(default=TimestamptzNow())
    revoked_at = Timestamptz(null=True, default=None)
    revoked_because = Text(null=True, default=None)


class SessionUser(Record, frozen=True):
    """Whose session it is, as of now."""

    user_id: int
    role: Role
    email_verified: bool
    proved_at: datetime | None


class SignIn(Record, frozen=True):
    """What a pair of tokens is issued for. The refresh token is the same one for the same `issued_at`; None: now."""

    session_id: uuid.UUID
    generation: int
    user_id: int
    role: Role
    issued_at: datetime | None = None


async def read_live(session_id: uuid.UUID) -> SessionUser | None:
    """Whose session this is; None once it is revoked or its user suspended. One round trip."""
    found = await guard.row(LIVE, session_id)
    return (
        None
        if found is None
        else SessionUser(user_id=found[0], role=Role(found[1]), email_verified=found[2], proved_at=found[3])
    )


async def require_live(session_id: uuid.UUID) -> SessionUser:
    """See that the session that asks has not ended while it waited for its account's lock. Raises TokenInvalid."""
    guard.in_transaction()
    live = await read_live(session_id)
    if live is None:
        raise TokenInvalid("This session has ended. Sign in again.")
    return live


async def begin(
    user_id: int,
    role: Role,
    visitor: Visitor = NOBODY,
    *,
    proved: bool = False,
    proved_at: datetime | None = None,
) -> SignIn:
    """Open a session for somebody who has proved who they are; `proved`: with a second factor, just now.

    `proved_at` is for a session that follows another one: when that was in the earlier one.
    """
    guard.in_transaction()
    session_id, place = uuid7(), visitor.place
    await guard.rows(
        """insert into sessions (id, "user", user_agent, ip_address, network, device, country, city, latitude,
                                 longitude, proved_at)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, case when $11 then now() else $12::timestamptz end)""",
        session_id,
        user_id,
        said_of(visitor.user_agent),
        visitor.ip_address,
        visitor.network,
        visitor.device,
        place and place.country,
        place and place.city,
        place and place.latitude,
        place and place.longitude,
        proved,
        proved_at,
    )
    return SignIn(session_id=session_id, generation=1, user_id=user_id, role=role)


async def rotate(session_id: uuid.UUID, generation: int, visitor: Visitor = NOBODY) -> SignIn | None:
    """Use up a refresh token and return what its successor is issued for; the same one within REFRESH_GRACE_S.

    None when it is not good: the session has ended, or this generation was used before, which ends the session
    now. The caller must let this commit before it refuses, or the session would live on.
    """
    guard.in_transaction()
    found = await guard.row(ROTATE, session_id, generation)
    # Asked anew: a rival that had the row has committed meanwhile.
    found = found or await guard.row(CHILD, session_id, generation, REFRESH_GRACE_S)
    if found is not None:
        return SignIn(**{**dict(found), "role": Role(found["role"])})
    user_id = await guard.value(END_REUSED, session_id, generation, REUSED)
    if user_id is not None:
        said = {"session_id": str(session_id)}
        await security.note(user_id, security.SecurityEventKind.REFRESH_TOKEN_REUSED, visitor, said)
        standing_changed()
    return None


async def revoke(session_id: uuid.UUID, because: str) -> None:
    """End a session: its access tokens are refused from the commit on. Ended before: nothing changes."""
    guard.in_transaction()
    await guard.rows(
        "update sessions set revoked_at = now(), revoked_because = $2 where id = $1 and revoked_at is null",
        session_id,
        because,
    )
    standing_changed()


async def revoke_all(user_id: int, because: str, *, keep: uuid.UUID | None = None) -> int:
    """End every session of a user but the one to keep; returns how many ended. Half-finished sign-ins end with them.

    Under the account's lock, or a sign-in that is about to commit would be missed.
    """
    guard.in_transaction()
    standing_changed()
    # A ticket asks for what protected the account when it was written: not for a factor that was added since.
    await guard.rows(VOID_TICKETS, user_id)
    return await guard.execute(
        """update sessions set revoked_at = now(), revoked_because = $2
            where "user" = $1 and revoked_at is null and id is distinct from $3 returning id""",
        user_id,
        because,
        keep,
    )


async def mark_proved(session_id: uuid.UUID) -> None:
    """Remember that this session's holder has just proved a second factor."""
    guard.in_transaction()
    await guard.rows("update sessions set proved_at = now() where id = $1", session_id)
    standing_changed()


def standing_changed() -> None:
    """Say that somebody's role, verification, suspension or session has changed: this process believes it at once.

    The others read it from `standing_changes`, which triggers write, within a second.
    """
    guard.ring(STANDING)


async def read_standing_changes() -> list[tuple[int, uuid.UUID | None]]:
    """Whose standing has changed in the last UNSETTLED_S: a user and one session of theirs, or None: all of them."""
    found = await guard.rows(
        """select distinct user_id, session_id from standing_changes
            where at > clock_timestamp() - make_interval(secs => $1)""",
        UNSETTLED_S,
    )
    return [(one["user_id"], one["session_id"]) for one in found]


async def is_recent(session_id: uuid.UUID, age: timedelta) -> bool:
    """Whether this session was begun so lately."""
    found = await guard.value("select created_at > now() - $2::interval from sessions where id = $1", session_id, age)
    return bool(found)


async def revoked_among(ids: Sequence[uuid.UUID]) -> set[uuid.UUID]:
    """Which of these sessions have ended: revoked, or their user suspended."""
    found = await guard.rows(
        """select s.id from sessions s join users u on u.id = s."user"
            where s.id = any($1) and coalesce(s.revoked_at, u.suspended_at, u.deactivated_at) is not null""",
        list(ids),
    )
    return {one["id"] for one in found}
