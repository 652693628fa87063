"""The feeder: the thread through which rows become work. One loop, one connection, never stalled by a performer.

Claim, beat, release and give-back run one after another on one connection, so they cannot race: what this process
believes to hold and what its rows say differ only by a claim whose answer was lost, and that is given back after the
next reconnect.
"""

import asyncio
import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec
import structlog

from models.guard import LOST_CONNECTION
from models.jobs import POLICIES, Queue
from tasks.broker import statements
from tasks.broker.performing import INTERNAL, UNKNOWN_PAUSE_S
from tasks.broker.shift import Shift
from tasks.broker.sweeper import BEAT_S, Sweeper
from tasks.job import PERFORMERS, Claim
from wire.bell import Bell, Listener
from wire.redis import Names

SWEEP_S: Final = 0.25
"""How long an idle feeder waits before it looks without having been rung for."""
RECONNECT_S: Final = 0.2
COMMAND_S: Final = 10.0
"""A statement of the feeder that takes longer has lost its server."""
FULL_LOOK_S: Final = 1.0
"""How often the watermark is ignored, for retries and given-back rows behind it."""
MARGIN: Final = timedelta(seconds=1)
"""How far behind the last claimed `run_at` the watermark stays: a transaction's rows bear the time of its beginning."""
AHEAD_S: Final = 0.02
"""How much work may wait in memory besides what runs: full batches of instant jobs, no hoarding of slow ones."""
MOST_AHEAD: Final = 64
DEADLINE_MARGIN_S: Final = 30.0
"""Beyond a queue's time limit, for recording the outcome."""
STUCK_S: Final = 30.0
"""How far past its time limit a performer that ignores it makes the watchdog end the process. Longer than an outcome
is tried to be recorded, so that an outage of PostgreSQL ends nobody."""
STUCK_EXIT: Final = 70
PASS_ON_S: Final = 0.02
SLOWEST_GUESS_S: Final = 0.05
"""A job's time before any has been measured."""
BEGINNING: Final = datetime(2000, 1, 1, tzinfo=UTC)

log = structlog.get_logger(__name__)


class Post(msgspec.Struct, frozen=True):
    """Where a worker works: its servers, queues in order of urgency, threads and name in the console."""

    database_url: str
    redis_url: str
    redis_prefix: str
    queues: tuple[Queue, ...]
    threads: int
    release: str = ""


class Feeder(threading.Thread):
    """Claims rows and hands them over; takes back what did not begin; beats; watches."""

    def __init__(self, post: Post, shift: Shift, hand_over: Callable[[Claim], None]) -> None:
        super().__init__(name="feeder", daemon=True)
        self.post = post
        self.shift = shift
        self.mine: dict[UUID, tuple[Claim, float]] = {}
        """What this process holds, and since when. Changed by the feeder's loop alone, except for `release`."""
        self.is_draining = False
        self.quiet = threading.Event()
        """Set once no more claim will be made."""
        self._is_leaving = False
        self._hand_over = hand_over
        self._loop = asyncio.new_event_loop()
        self._wake = asyncio.Event()
        self._wants_room = False
        self._one_at_a_time = asyncio.Lock()
        self._connection: asyncpg.Connection | None = None
        self._sweeper = Sweeper(shift.worker_id)
        self._listener: Listener
        self._bell: Bell
        self._unsettled: list[Claim] = []
        self._pace_s = SLOWEST_GUESS_S
        self._since = dict.fromkeys(post.queues, BEGINNING)
        self._beat_at = self._full_at = self._pass_on_at = 0.0

    # Called from other threads.

    def release(self, claim: Claim) -> None:
        """The message has come back: its slot is free. A claim that was not settled is given up by the feeder."""
        held = self.mine.get(claim.job_id)
        # Retried at once, the same job may be here again already, under its next claim.
        if held is not None and held[0] is claim:
            del self.mine[claim.job_id]
            self._pace_s += 0.1 * (time.monotonic() - held[1] - self._pace_s)
        if not claim.is_settled:
            self._unsettled.append(claim)
        if self._wants_room:  # one write to a pipe per finished job would be felt
            self._wants_room = False
            self._loop.call_soon_threadsafe(self._wake.set)

    def stop_claiming(self) -> None:
        """From now on nothing new begins; `quiet` says when that is so. Safe in a signal handler."""
        self.is_draining = True
        self._loop.call_soon_threadsafe(self._wake.set)

    def give_back(self, claims: Sequence[Claim], timeout_s: float) -> None:
        """Return claims that have not begun, or that nobody can wait for any more. Best effort."""
        if not claims or not self.is_alive():
            return
        asked = asyncio.run_coroutine_threadsafe(self._give_back(claims), self._loop)
        try:
            asked.result(timeout_s)
        except (*LOST_CONNECTION, TimeoutError):
            log.warning("feeder.not_given_back", jobs=len(claims))  # the launcher releases them when it reaps us

    def leave(self, timeout_s: float) -> None:
        """Strike the worker off the list and end the thread."""
        self._is_leaving = True
        self.stop_claiming()
        self.join(timeout_s)

    # The thread's own.

    def run(self) -> None:
        """Serve until told to leave."""
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._live())
        except BaseException:
            # Without its feeder the process is deaf and its beat stops: better that it is replaced at once.
            log.critical("feeder.died", exc_info=True)
            os._exit(STUCK_EXIT)
        finally:
            self._loop.close()

    async def _live(self) -> None:
        names = Names(self.post.redis_prefix)
        self._listener = Listener(self.post.redis_url, names, sweep_s=SWEEP_S)
        self._bell = Bell(self.post.redis_url, names)
        while not self._is_leaving:
            try:
                self._connection = await asyncpg.connect(
                    self.post.database_url, timeout=5, command_timeout=COMMAND_S, server_settings={"jit": "off"}
                )
                await self._serve(self._connection)
            except (*LOST_CONNECTION, asyncpg.PostgresError) as error:
                log.warning("feeder.disconnected", error=f"{type(error).__name__}: {error}")
                self._watch()
                if self.is_draining:
                    self.quiet.set()
                await asyncio.sleep(RECONNECT_S)
            finally:
                if self._connection is not None:
                    self._connection.terminate()
                    self._connection = None
        await self._listener.close()
        await self._bell.close()

    async def _serve(self, connection: asyncpg.Connection) -> None:
        self._sweeper.forget()
        self._beat_at = 0.0
        lost = await connection.fetch(statements.ORPHANS, self.shift.worker_id, self._known())
        if lost:
            log.info("feeder.orphans_given_back", jobs=len(lost))
        while not self._is_leaving:
            await self._tend(connection)
            if self.is_draining:
                self.quiet.set()
                await self._pause(SWEEP_S)
                continue
            room = self._room()
            if room <= 0:
                self._wants_room = True
                if self._room() <= 0:  # a slot may have come free before the flag was up
                    await self._pause(SWEEP_S)
                continue
            found = await self._claim(connection, room)
            if found >= room:
                self._pass_on()
            elif not self.is_draining:
                await self._listener.wait(self.post.queues)
        async with self._one_at_a_time:
            await connection.execute(statements.LEAVE, self.shift.worker_id)

    async def _pause(self, longest_s: float) -> None:
        self._wake.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), longest_s)
        self._wants_room = False

    def _known(self) -> list[UUID]:
        return list(self.mine) + [claim.job_id for claim in self._unsettled]

    def _room(self) -> int:
        ahead = min(MOST_AHEAD, int(self.post.threads * AHEAD_S / max(self._pace_s, 1e-4)))
        return self.post.threads + ahead - len(self.mine)

    async def _claim(self, connection: asyncpg.Connection, room: int) -> int:
        now = time.monotonic()
        is_full = now >= self._full_at
        if is_full:
            self._full_at = now + FULL_LOOK_S
        queues = self.post.queues
        async with self._one_at_a_time:
            rows = await connection.fetch(
                statements.CLAIM,
                [queue.value for queue in queues],
                [BEGINNING if is_full else self._since[queue] for queue in queues],
                [POLICIES[queue].time_limit_s + DEADLINE_MARGIN_S for queue in queues],
                room,
                self.shift.worker_id,
            )
            claims = [self._taken(row) for row in rows]
            if self.is_draining and claims:
                await self._return(connection, claims)
                return 0
            for claim in [claim for claim in claims if not self._is_known(claim)]:
                claims.remove(claim)
                await self._put_aside(connection, claim)
        for claim in claims:
            self.mine[claim.job_id] = claim, time.monotonic()
            self._hand_over(claim)
        return len(rows)

    def _taken(self, row: Any) -> Claim:
        queue = Queue(row["queue"])
        self._since[queue] = max(self._since[queue], row["run_at"] - MARGIN)
        return Claim(
            self.shift,
            job_id=UUID(int=row["job_id"].int),
            claim_no=row["claim_no"],
            attempt=row["attempts"],
            lost=row["lost"],
            kind=row["kind"],
            version=row["version"],
            queue=queue,
            payload=row["payload"],
            caller_id=row["caller_id"],
            request_id=row["request_id"],
        )

    @staticmethod
    def _is_known(claim: Claim) -> bool:
        performer = PERFORMERS.get(claim.kind)
        return performer is not None and claim.version <= performer.job.version

    async def _put_aside(self, connection: asyncpg.Connection, claim: Claim) -> None:
        """A newer release's job: leave it to the newer release's workers, with its attempt."""
        log.warning("feeder.kind_unknown", kind=claim.kind, version=claim.version, job_id=str(claim.job_id))
        await connection.fetch(statements.AGAIN, *claim.fence, UNKNOWN_PAUSE_S, 1, None, None)

    async def _give_back(self, claims: Sequence[Claim]) -> None:
        async with self._one_at_a_time:
            if self._connection is None:
                raise ConnectionError("no connection to give back on")
            await self._return(self._connection, claims)

    async def _return(self, connection: asyncpg.Connection, claims: Iterable[Claim]) -> None:
        given = list(claims)
        rows = await connection.fetch(
            statements.GIVE_BACK,
            [claim.job_id for claim in given],
            [claim.claim_no for claim in given],
            self.shift.worker_id,
        )
        for claim in given:
            claim.is_settled = True
            self.mine.pop(claim.job_id, None)
        self._bell({row["queue"] for row in rows})

    async def _tend(self, connection: asyncpg.Connection) -> None:
        """Beat, sweep, watch, and settle what came back unsettled."""
        self._watch()
        async with self._one_at_a_time:
            if time.monotonic() >= self._beat_at:
                await connection.execute(
                    statements.BEAT,
                    self.shift.worker_id,
                    socket.gethostname(),
                    os.getpid(),
                    [queue.value for queue in self.post.queues],
                    self.post.release,
                )
                self._beat_at = time.monotonic() + BEAT_S
            rung = await self._sweeper.sweep(connection)
            while self._unsettled:
                claim = self._unsettled[0]
                pause_s = claim.policy.backoff_min_s
                await connection.fetch(statements.AGAIN, *claim.fence, pause_s, 0, "internal_error", INTERNAL)
                log.error("feeder.unsettled", job_id=str(claim.job_id), kind=claim.kind)
                self._unsettled.pop(0)
        if rung:
            self._bell(rung)

    def _watch(self) -> None:
        """End the process when a performer holds the loop or ignores its time limit: its row is released at once.

        Its attempt counts as a lost worker, so a job that always does this comes to an end.
        """
        now = time.monotonic()
        for claim, since in list(self.mine.values()):
            if claim.begun_at is not None and now - claim.begun_at > claim.policy.time_limit_s + STUCK_S:
                log.critical("feeder.performer_stuck", kind=claim.kind, job_id=str(claim.job_id), held_s=now - since)
                os._exit(STUCK_EXIT)

    def _pass_on(self) -> None:
        """A claim that came back full leaves more behind: wake an idle neighbour too."""
        if time.monotonic() >= self._pass_on_at:
            self._pass_on_at = time.monotonic() + PASS_ON_S
            self._bell(queue.value for queue in self.post.queues)
