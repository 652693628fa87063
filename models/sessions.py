"""Sign-ins: one row a family of refresh tokens. A refresh token is good once; used twice, its family ends."""

import uuid
from collections.abc import Sequence
from typing import Final

from piccolo.columns import UUID, Integer, Text, Timestamptz
from piccolo.columns.defaults.timestamptz import TimestamptzNow
from piccolo.table import Table

from models import guard
from models.accounts import Role, User
from models.base import Record, restricted, uuid7

MAX_USER_AGENT_CHARS: Final = 400
REUSED: Final = "refresh_token_reused"
"""Why a session ended whose refresh token came a second time: one of the two who sent it is a thief."""

LIVE: Final = """
select u.id, u.role, u.email_verified_at is not null
  from sessions s join users u on u.id = s."user"
 where s.id = $1 and s.revoked_at is null and u.suspended_at is null
"""
# One statement decides who rotates: of two that send the same generation, the second finds it gone.
ROTATE: Final = """
update sessions s set generation = s.generation + 1, refreshed_at = now()
  from users u
 where s.id = $1 and s.generation = $2 and s.revoked_at is null and u.id = s."user" and u.suspended_at is null
returning s.id, s.generation, u.id as user_id, u.role
"""


class Session(Table, tablename="sessions"):
    """A sign-in. `generation` is the number of the only refresh token that is still good."""

    id = UUID(primary_key=True, default=uuid7)
    user = restricted(User)
    generation = Integer(default=1)
    user_agent = Text()
    ip_address = Text()
    created_at = Timestamptz(default=TimestamptzNow())
    refreshed_at = Timestamptz(default=TimestamptzNow())
    revoked_at = Timestamptz(null=True, default=None)
    revoked_because = Text(null=True, default=None)


class SessionUser(Record, frozen=True):
    """Whose session it is, as of now."""

    user_id: int
    role: Role
    email_verified: bool


class SignIn(Record, frozen=True):
    """What a pair of tokens is issued for."""

    session_id: uuid.UUID
    generation: int
    user_id: int
    role: Role


async def read_live(session_id: uuid.UUID) -> SessionUser | None:
    """Whose session this is; None once it is revoked or its user suspended. One round trip."""
    found = await guard.row(LIVE, session_id)
    return None if found is None else SessionUser(user_id=found[0], role=Role(found[1]), email_verified=found[2])


async def begin(user_id: int, role: Role, *, user_agent: str, ip_address: str) -> SignIn:
    """Open a session for somebody who has proved who they are."""
    guard.in_transaction()
    session_id = uuid7()
    # A browser says what it likes about itself, null bytes included, which a text column refuses.
    said = user_agent.replace("\0", "")[:MAX_USER_AGENT_CHARS]
    await guard.rows(
        'insert into sessions (id, "user", user_agent, ip_address) values ($1, $2, $3, $4)',
        session_id,
        user_id,
        said,
        ip_address,
    )
    return SignIn(session_id=session_id, generation=1, user_id=user_id, role=role)


async def rotate(session_id: uuid.UUID, generation: int) -> SignIn | None:
    """Use up a refresh token and return what its successor is issued for.

    None when it is not good: the session has ended, or this generation was used before, which ends the session
    now. The caller must let this commit before it refuses, or the session would live on.
    """
    guard.in_transaction()
    found = await guard.row(ROTATE, session_id, generation)
    if found is not None:
        return SignIn(
            session_id=found["id"],
            generation=found["generation"],
            user_id=found["user_id"],
            role=Role(found["role"]),
        )
    # Only an older generation is a reuse; the present one was refused because the session or its user is suspended.
    await guard.rows(
        """update sessions set revoked_at = now(), revoked_because = $3
            where id = $1 and generation > $2 and revoked_at is null""",
        session_id,
        generation,
        REUSED,
    )
    return None


async def revoke(session_id: uuid.UUID, because: str) -> None:
    """End a session: its access tokens are refused from the commit on. Ended before: nothing changes."""
    guard.in_transaction()
    await guard.rows(
        "update sessions set revoked_at = now(), revoked_because = $2 where id = $1 and revoked_at is null",
        session_id,
        because,
    )


async def revoked_among(ids: Sequence[uuid.UUID]) -> set[uuid.UUID]:
    """Which of these sessions have ended: revoked, or their user suspended."""
    found = await guard.rows(
        """select s.id from sessions s join users u on u.id = s."user"
            where s.id = any($1) and (s.revoked_at is not null or u.suspended_at is not null)""",
        list(ids),
    )
    return {one["id"] for one in found}
