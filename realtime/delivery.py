"""Every event to every socket that follows its audience: each once, in order, none missed.

PostgreSQL numbers an audience's events without gaps, and each socket has a cursor: the last number it was sent. What
Redis brings is only the fast way. An event that is next for a socket is sent; an older one is a repetition and is
dropped; a later one, or a head in PostgreSQL that is ahead of the cursor, means that something was missed, and is
healed from the rows. So nothing here has to trust Redis, the relay, or the order in which they speak.
"""

import asyncio
import contextlib
from typing import Final, Protocol

import msgspec
import structlog
from engineio.packet import Packet  # type: ignore[import-untyped]

from models import events
from models.events import Audience, StoredEvent
from models.guard import LOST_CONNECTION
from realtime.listener import Listener
from realtime.sockets import event_packet

SWEEP_S: Final = 5.0
"""How often the heads of all audiences are compared while Redis speaks to us: what it lost is late by this much."""

SWEEP_ALONE_S: Final = 0.5
"""The same while Redis is away and the sweep is the only way an event travels."""

PAGE: Final = 200
"""Rows read at once when healing."""

PACED_BYTES: Final = 256_000
"""A socket with this much waiting is given no more until it has read some: its events wait in PostgreSQL instead of
in our memory. A burst costs a healthy reader nothing; one that has stalled is cut when it answers no ping."""

PACED_POLL_S: Final = 0.05

log = structlog.get_logger(__name__)


class Told(msgspec.Struct, frozen=True):
    """An event as the relay publishes it; the payload stays JSON."""

    audience: Audience
    name: str
    payload: msgspec.Raw
    seq: int = 0


class Wire(Protocol):
    """What delivery needs of the sockets."""

    def push(self, engine_sid: str, packet: Packet) -> bool:
        """Queue a packet, at once and in order."""

    def pending_bytes(self, engine_sid: str) -> int:
        """What waits to be written to the socket."""


class Delivery:
    """Who follows what, and how far each has heard."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._followers: dict[Audience, set[Listener]] = {}
        self._heads: dict[Audience, int] = {}
        self._healing: dict[Audience, asyncio.Task[None]] = {}
        self._due = asyncio.Event()
        self._redis_speaks = False

    async def head(self, audience: Audience) -> int:
        """The last number the audience was given; 0 when it never heard anything."""
        return (await events.heads([audience])).get(audience, 0)

    def follow(self, listener: Listener, audience: Audience, *, head: int, after: int | None) -> None:
        """Send the socket what the audience hears from now on, or from the number `after` on.

        `head` was read before the client was told that it follows, so what happens meanwhile is not missed.
        """
        listener.cursors[audience] = head if after is None else min(after, head)
        self._followers.setdefault(audience, set()).add(listener)
        self._learn(audience, head)
        if after is not None and after > head:
            # Numbers we never gave: the client's past is not ours (a restored database), so its picture is stale.
            self._tell_resync(listener, audience, head)

    def leave(self, listener: Listener, audience: Audience) -> None:
        """Send the socket nothing more of this audience."""
        listener.cursors.pop(audience, None)
        followers = self._followers.get(audience, set())
        followers.discard(listener)
        if not followers:
            self._followers.pop(audience, None)
            self._heads.pop(audience, None)

    def leave_all(self, listener: Listener) -> None:
        """The socket is gone."""
        for audience in list(listener.cursors):
            self.leave(listener, audience)

    def hear(self, told: Told) -> None:
        """Take an event from the relay: new, repeated, early or late."""
        if told.audience not in self._followers:
            return
        event = StoredEvent(audience=told.audience, seq=told.seq, name=told.name, payload=bytes(told.payload).decode())
        self._send_where_next(event)
        self._learn(told.audience, told.seq)

    def hear_volatile(self, told: Told) -> None:
        """Pass on what has no number and no row; a socket that is behind does without."""
        packet = event_packet(told.name, bytes(told.payload).decode(), None)
        for listener in self._followers.get(told.audience, ()):
            if self._has_room(listener):
                self._wire.push(listener.engine_sid, packet)

    def redis_speaks(self) -> None:
        """A subscription has just begun: whatever was published before it went by unheard."""
        self._redis_speaks = True
        self._due.set()

    def redis_is_silent(self) -> None:
        """The subscription is lost, so events come through the sweep alone."""
        self._redis_speaks = False
        self._due.set()

    async def sweep_forever(self) -> None:
        """Compare the heads of everything followed, in one query, and heal what is behind."""
        while True:
            pause_s = SWEEP_S if self._redis_speaks else SWEEP_ALONE_S
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._due.wait(), pause_s)
            self._due.clear()
            try:
                await self._sweep()
            except LOST_CONNECTION as error:
                log.warning("delivery.sweep_failed", why=repr(error))
                await asyncio.sleep(SWEEP_ALONE_S)
                self._due.set()
            except Exception:
                # Nothing else tells a socket that it has missed something, so this loop may not end.
                log.exception("delivery.sweep_failed")
                await asyncio.sleep(SWEEP_ALONE_S)

    async def close(self) -> None:
        """Stop healing; whoever is still behind asks again elsewhere."""
        tasks = list(self._healing.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _sweep(self) -> None:
        followed = list(self._followers)
        if followed:
            for audience, head in (await events.heads(followed)).items():
                self._learn(Audience(audience), head)

    def _learn(self, audience: Audience, head: int) -> None:
        """Note that the audience has reached this number, and heal whoever is behind it."""
        if audience not in self._followers:
            return
        self._heads[audience] = max(head, self._heads.get(audience, 0))
        if audience not in self._healing and self._behind(audience):
            self._healing[audience] = asyncio.create_task(self._heal(audience), name=f"heal {audience}")

    def _behind(self, audience: Audience) -> list[Listener]:
        head = self._heads.get(audience, 0)
        return [one for one in self._followers.get(audience, ()) if one.cursors[audience] < head]

    async def _heal(self, audience: Audience) -> None:
        """Send rows until nobody is behind. One at a time for an audience, so rows go out in order."""
        limit = PAGE
        try:
            while behind := self._behind(audience):
                ready = [one for one in behind if self._has_room(one)]
                if not ready:
                    await asyncio.sleep(PACED_POLL_S)
                    continue
                head = self._heads[audience]
                page = await events.after(audience, min(one.cursors[audience] for one in ready), limit=limit)
                self._skip_what_is_gone(audience, ready, page[0].seq if page else head + 1)
                for event in page:
                    self._send_where_next(event)
                # Rows that a socket has no room for would be read again.
                row_bytes = sum(len(one.payload) for one in page) // max(1, len(page))
                limit = max(1, min(PAGE, PACED_BYTES // max(1, row_bytes)))
        except LOST_CONNECTION as error:
            log.warning("delivery.heal_failed", audience=audience, why=repr(error))
            asyncio.get_running_loop().call_later(SWEEP_ALONE_S, self._due.set)
        except Exception:
            # The sweep begins it anew; a task's exception would only be reported when it is collected.
            log.exception("delivery.heal_failed", audience=audience)
        finally:
            self._healing.pop(audience, None)

    def _skip_what_is_gone(self, audience: Audience, asked_for: list[Listener], oldest: int) -> None:
        """Move the cursors that ask for rows older than any still kept, and tell those clients to start afresh.

        The numbers have no gaps and a head is read after its rows have committed, so a row that is not there was
        deleted for its age. Only those the rows were read for: who came meanwhile may be further behind.
        """
        for listener in asked_for:
            if listener.cursors.get(audience, oldest) + 1 < oldest:
                self._tell_resync(listener, audience, oldest - 1)

    def _tell_resync(self, listener: Listener, audience: Audience, seq: int) -> None:
        listener.cursors[audience] = seq
        meta = _meta(audience, seq) if listener.wants_meta else None
        self._wire.push(listener.engine_sid, event_packet("resync", "{}", meta))

    def _send_where_next(self, event: StoredEvent) -> None:
        """Send the event to the sockets whose next it is and that have room. Cursor and packet move together."""
        audience = Audience(event.audience)
        with_meta = event_packet(event.name, event.payload, _meta(audience, event.seq))
        bare: Packet | None = None
        for listener in list(self._followers.get(audience, ())):
            if listener.cursors[audience] != event.seq - 1 or not self._has_room(listener):
                continue
            if not listener.wants_meta and bare is None:
                bare = event_packet(event.name, event.payload, None)
            listener.cursors[audience] = event.seq
            self._wire.push(listener.engine_sid, bare if bare and not listener.wants_meta else with_meta)

    def _has_room(self, listener: Listener) -> bool:
        return self._wire.pending_bytes(listener.engine_sid) < PACED_BYTES


def _meta(audience: Audience, seq: int) -> str:
    """The second argument: `seq` counts a person's events and nothing else, so that `events_after` can be its last.

    A room's events have numbers of their own, under a name of their own.
    """
    kind, _, number = audience.partition(":")
    return f'{{"seq":{seq}}}' if kind == "user" else f'{{"{kind}_id":{number},"{kind}_seq":{seq}}}'
