"""Where somebody is signed in, as that person sees it, and how they end a sign-in that is not theirs.

A session counts as live until it is ended or its last refresh token is too old to be used.
"""

from datetime import datetime
from typing import Final
from uuid import UUID

from models import guard, security, sessions
from models.base import Record
from models.errors import NotFound
from models.locks import Noun, lock
from models.queries import query
from models.security import SecurityEventKind
from models.visitors import Visitor


class LiveSession(Record, frozen=True):
    """A live session. `last_seen` is when its tokens were last refreshed; `proved`: with a second factor."""

    id: UUID
    created_at: datetime
    last_seen: datetime
    ip_address: str
    user_agent: str
    country: str | None
    city: str | None
    proved: bool


OWN: Final = query(
    "sessions.own",
    """select id, created_at, refreshed_at as last_seen, ip_address, user_agent, country, city,
              proved_at is not null as proved
         from sessions
        where "user" = $1 and revoked_at is null and refreshed_at > now() - make_interval(days => $2)
          and ($3::uuid is null or id < $3)
        order by id desc limit $4""",
)


async def list_live(user_id: int, *, idle_days: int, before: UUID | None, limit: int) -> list[LiveSession]:
    """The live sessions of an account, the newest first, from `before` (an id, exclusive) backwards.

    `idle_days` is how long a refresh token is good: past it a session is over, though nobody has ended it.
    """
    found = await guard.rows(OWN, user_id, idle_days, before, limit)
    return [LiveSession(**{**one, "id": UUID(int=one["id"].int)}) for one in map(dict, found)]


async def end_one(session_id: UUID, *, user_id: int, visitor: Visitor) -> None:
    """End one of one's own sessions, and note it. Raises NotFound when it is another's, or has ended."""
    guard.in_transaction()
    ended = await guard.execute(
        """update sessions set revoked_at = now(), revoked_because = $3
            where id = $1 and "user" = $2 and revoked_at is null returning id""",
        session_id,
        user_id,
        SecurityEventKind.SESSION_REVOKED.value,
    )
    if not ended:
        raise NotFound("There is no such session, or it has ended.")
    sessions.standing_changed()
    await security.note(user_id, SecurityEventKind.SESSION_REVOKED, visitor, {"session_id": str(session_id)})


async def end_others(user_id: int, *, keep: UUID, visitor: Visitor) -> int:
    """End all of one's own sessions but the one to keep, and note it; returns how many ended."""
    await lock(Noun.ACCOUNT, user_id)
    ended = await sessions.revoke_all(user_id, SecurityEventKind.SESSIONS_REVOKED.value, keep=keep)
    if ended:
        await security.note(user_id, SecurityEventKind.SESSIONS_REVOKED, visitor, {"revoked": ended})
    return ended
