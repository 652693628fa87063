"""Whose session it is, believed for a moment: reads of ordinary callers need no look-up while nothing has changed.

Every process reads the last seconds of `standing_changes` twice a second, and forgets whom they name. What is kept is
believed only while the last good read began no more than a second ago: when PostgreSQL or this process is late, every
request looks up. Refuses to keep admins, and whoever changed in the last half minute.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final
from uuid import UUID

import structlog

from models import sessions
from models.accounts import Role
from models.sessions import STANDING, UNSETTLED_S, SessionUser

EVERY_S: Final = 0.5
BELIEVED_S: Final = 1.0
"""How old the last good read may be: a session that ended elsewhere is refused within this time."""
LATEST_S: Final = 0.8
"""The longest a read may take; a slower one is given up, because what it says would be too old."""
GAP_S: Final = UNSETTLED_S / 2
"""After a longer time without a good read nothing is believed that was kept before: a change may be out of sight."""
KEPT_MOST: Final = 10_000
"""Callers kept by one process: about 4 MiB. The one kept longest makes room."""

log = structlog.get_logger(__name__)


class Standing:
    """What this process believes of sessions."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, most: int = KEPT_MOST) -> None:
        self._clock, self._most = clock, most
        self._known: dict[UUID, SessionUser] = {}
        self._users: frozenset[int] = frozenset()
        self._sessions: frozenset[UUID] = frozenset()
        self._good_at = float("-inf")
        self._turn = 0
        self._away = False

    def __len__(self) -> int:
        """How many sessions are kept."""
        return len(self._known)

    async def read(self, session_id: UUID, *, fresh: bool) -> SessionUser | None:
        """Whose live session this is, or None. `fresh`: as PostgreSQL says now; else at most BELIEVED_S old."""
        if not fresh and self._clock() - self._good_at <= BELIEVED_S:
            known = self._known.get(session_id)
            if known is not None:
                return known
        turn = self._turn
        found = await sessions.read_live(session_id)
        # When everybody was forgotten while we asked, the answer may be of before the change.
        if turn == self._turn:
            self._keep(session_id, found)
        return found

    def rung(self, names: frozenset[str]) -> frozenset[str]:
        """Forget everybody when somebody's standing has changed in this process; returns the other bells."""
        if STANDING in names:
            self._forget_all()
        return names - {STANDING}

    async def watch(self) -> None:
        """Read what has changed, once. What it raises leaves what is kept to grow too old to be believed."""
        began = self._clock()
        async with asyncio.timeout(LATEST_S):
            changes = await sessions.read_standing_changes()
        if began - self._good_at > GAP_S:
            self._forget_all()
        self._users = frozenset(user_id for user_id, session_id in changes if session_id is None)
        self._sessions = frozenset(session_id for _, session_id in changes if session_id is not None)
        if changes:
            self._known = {
                session_id: user for session_id, user in self._known.items() if not self._is_unsettled(session_id, user)
            }
        self._good_at = began

    async def watch_forever(self) -> None:
        """Read again and again. Never returns; cancel it."""
        while True:
            try:
                await self.watch()
                self._away = False
            except Exception as error:  # noqa: BLE001  the loop must outlive an absent database; look-ups take over
                if not self._away:
                    log.warning("standing.not_read", error=type(error).__name__)
                self._away = True
            await asyncio.sleep(EVERY_S)

    def _keep(self, session_id: UUID, found: SessionUser | None) -> None:
        self._known.pop(session_id, None)
        # A change of the last half minute may be newer than this look-up: such callers are looked up each time.
        if found is None or found.role is Role.ADMIN or self._is_unsettled(session_id, found):
            return
        if len(self._known) >= self._most:
            self._known.pop(next(iter(self._known)))
        self._known[session_id] = found

    def _is_unsettled(self, session_id: UUID, user: SessionUser) -> bool:
        return session_id in self._sessions or user.user_id in self._users

    def _forget_all(self) -> None:
        self._turn += 1
        self._known.clear()
