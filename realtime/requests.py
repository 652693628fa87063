"""What a client may ask, and what it is answered: `{ok: true, …}` or `{ok: false, code, detail, retry_after?}`.

Whatever a client sends, it gets an answer and never an exception; nothing it sends is taken on trust.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

import msgspec
import structlog
from msgspec import Meta

from models import events, projects
from models.errors import DomainError, TokenInvalid
from models.guard import LOST_CONNECTION
from realtime.delivery import Delivery
from realtime.limits import Pace
from realtime.listener import Listener
from realtime.sign_in import Door, Seq
from realtime.sockets import Server, event_packet

JOINS_A_SECOND: Final = 5
SYNCS_A_SECOND: Final = 5
REFRESHES_A_SECOND: Final = 1
ROOMS_A_SOCKET: Final = 50
PAGE: Final = 200
PAGE_BYTES: Final = 256_000
"""A page of `sync` is cut here, so that asking for the past cannot fill one's own queue."""

Id = Annotated[int, Meta(ge=1, lt=2**53)]
Acknowledged = dict[str, Any]

log = structlog.get_logger(__name__)


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One argument, an object with these fields and no other."""


class JoinProject(Request, frozen=True):
    """Hear a project's public changes; `events_after` is the last number heard in its room."""

    project_id: Id
    events_after: Seq | None = None


class LeaveProject(Request, frozen=True):
    """Hear them no longer."""

    project_id: Id


class Sync(Request, frozen=True):
    """Ask for one's own events after a number."""

    events_after: Seq


class AuthRefresh(Request, frozen=True):
    """Stay for as long as this newer access token lives."""

    token: str


class Desk:
    """Answers the requests of signed-in sockets."""

    def __init__(self, server: Server, delivery: Delivery, door: Door) -> None:
        self._server = server
        self._delivery = delivery
        self._door = door
        self._answers: dict[str, tuple[type[Request], Pace, Callable[[Listener, Any], Awaitable[Acknowledged]]]] = {
            "join_project": (JoinProject, Pace(JOINS_A_SECOND, JOINS_A_SECOND), self._join_project),
            "leave_project": (LeaveProject, Pace(JOINS_A_SECOND, ROOMS_A_SOCKET), self._leave_project),
            "sync": (Sync, Pace(SYNCS_A_SECOND, SYNCS_A_SECOND), self._sync),
            "auth_refresh": (AuthRefresh, Pace(REFRESHES_A_SECOND, 5), self._auth_refresh),
        }

    async def answer(self, sid: str, name: str, arguments: list[Any]) -> Acknowledged:
        """Carry out a request, and say how it went."""
        try:
            return await self._carry_out(sid, name, arguments)
        except msgspec.ValidationError as error:
            return _no("invalid", str(error))
        except DomainError as error:
            return _no(error.code, error.detail)
        except LOST_CONNECTION as error:
            log.warning("requests.database_away", name=name, error=type(error).__name__)
            return _no("unavailable", "Try again in a moment.", retry_after=1)
        except Exception:
            # The engine would drop the answer, and the client would wait for it for ever.
            log.exception("requests.failed", name=name)
            return _no("internal", "That failed, and it is our fault.")

    async def _carry_out(self, sid: str, name: str, arguments: list[Any]) -> Acknowledged:
        listener = self._door.listeners.get(sid)
        if listener is None:
            return _no(TokenInvalid.code, "The session has ended.")
        if name not in self._answers:
            return _no("invalid", "There is no such event.")
        kind, pace, carry_out = self._answers[name]
        if len(arguments) != 1:
            return _no("invalid", "Expected one argument, an object.")
        asked = msgspec.convert(arguments[0], kind)
        if wait_s := pace.wait_s(listener.user_id):
            return _no("rate_limited", "Too many of these in a short time.", retry_after=round(wait_s, 1))
        return await carry_out(listener, asked)

    async def _join_project(self, listener: Listener, asked: JoinProject) -> Acknowledged:
        room = events.project(asked.project_id)
        admin = await self._door.is_admin(listener)
        if not await projects.may_follow(asked.project_id, user_id=listener.user_id, admin=admin):
            # The same for a project that does not exist, so that nobody can count them.
            return _no("not_allowed", "You cannot follow this project.")
        head = await self._delivery.head(room)
        if room not in listener.cursors:
            if len(listener.cursors) > ROOMS_A_SOCKET:
                return _no("too_many_rooms", f"You are in {ROOMS_A_SOCKET} rooms already.")
            if listener.sid not in self._door.listeners:  # it left while we were reading
                return _no(TokenInvalid.code, "The session has ended.")
            self._delivery.follow(listener, room, head=head, after=asked.events_after)
        return {"ok": True, "head": head}

    async def _leave_project(self, listener: Listener, asked: LeaveProject) -> Acknowledged:
        self._delivery.leave(listener, events.project(asked.project_id))
        return {"ok": True}

    async def _sync(self, listener: Listener, asked: Sync) -> Acknowledged:
        head = await self._delivery.head(listener.own)
        found = await events.after(listener.own, asked.events_after, limit=PAGE)
        oldest = found[0].seq if found else head + 1
        if asked.events_after > head or asked.events_after + 1 < oldest:
            # Older than what is kept, or a number we never gave: what follows does not join up with what was had.
            meta = f'{{"seq":{min(head, oldest - 1)}}}' if listener.wants_meta else None
            self._server.push(listener.engine_sid, event_packet("resync", "{}", meta))
        page: list[dict[str, Any]] = []
        last, size = head, 0
        for event in found:
            size += len(event.payload)
            if page and size > PAGE_BYTES:
                break
            page.append({"seq": event.seq, "name": event.name, "payload": msgspec.Raw(event.payload.encode())})
            last = event.seq
        # A number given after the head was read may already be in the page.
        head = max(head, found[-1].seq) if found else head
        return {"ok": True, "messages": [], "events": page, "heads": {"events": head}, "more": last < head}

    async def _auth_refresh(self, listener: Listener, asked: AuthRefresh) -> Acknowledged:
        refusal = await self._door.extend(listener, asked.token)
        return {"ok": True} if refusal is None else _no(TokenInvalid.code, refusal)


def _no(code: str, detail: str, **more: float) -> Acknowledged:
    return {"ok": False, "code": code, "detail": detail, **more}
