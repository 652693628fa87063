"""Who has to leave: sessions that were revoked, tokens that ran out, sockets that never signed in."""

import asyncio
import time
from typing import Final

import msgspec
import structlog

from models import sessions
from models.guard import LOST_CONNECTION
from realtime.sign_in import Door
from realtime.sockets import Server, event_packet

WATCH_S: Final = 0.5
"""With the query's own time this cuts a revoked session within a second."""

WARNED_S: Final = 60
"""How long before its token's end a client is asked for a newer one."""

UNSIGNED_S: Final = 10.0
"""How long a connection may stand in the door without saying who it is."""

log = structlog.get_logger(__name__)


async def watch_forever(server: Server, door: Door) -> None:
    """Look at every socket, twice a second. Never returns; cancel it."""
    while True:
        await asyncio.sleep(WATCH_S)
        try:
            await _end_expired(server, door)
            await _end_revoked(server, door)
            await _end_unsigned(server, door)
        except LOST_CONNECTION as error:
            log.warning("watch.database_away", error=type(error).__name__)
        except Exception:
            # A revoked session would stay connected if this loop ended.
            log.exception("watch.failed")


async def _end_expired(server: Server, door: Door) -> None:
    now = time.time()
    for listener in list(door.listeners.values()):
        left_s = listener.expires_unix_s - now
        if left_s <= 0:
            log.info("watch.token_expired", user_id=listener.user_id)
            await server.sign_out(listener.sid)
        elif left_s <= WARNED_S and not listener.warned_of_expiry and listener.cursors:
            listener.warned_of_expiry = True
            payload = msgspec.json.encode({"in": round(left_s)}).decode()
            server.push(listener.engine_sid, event_packet("auth_expiring", payload, None))


async def _end_revoked(server: Server, door: Door) -> None:
    """One query for all sockets of this process."""
    ids = {listener.session_id for listener in door.listeners.values()}
    revoked = await sessions.revoked_among(list(ids)) if ids else set()
    for listener in [one for one in door.listeners.values() if one.session_id in revoked]:
        log.info("watch.session_revoked", user_id=listener.user_id)
        await server.sign_out(listener.sid)


async def _end_unsigned(server: Server, door: Door) -> None:
    signed = {listener.engine_sid for listener in door.listeners.values()}
    for engine_sid in server.unsigned(signed, UNSIGNED_S):
        await server.close(engine_sid)
    # A transport that closed while its sign-in was being read leaves a listener that nobody will part with.
    for listener in [one for one in door.listeners.values() if not server.is_open(one.engine_sid)]:
        await door.part(listener.sid, "gone")
