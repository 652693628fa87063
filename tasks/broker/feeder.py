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
from tasks.broker.claim import STUCK_S, Claim
from tasks.broker.pace import Pace
from tasks.broker.performing import INTERNAL, performer_of
from tasks.broker.reports import Reports
from tasks.broker.shift import UNKNOWN_COMMIT_S, Shift
from tasks.broker.sweeper import BEAT_S, Sweeper
from tasks.broker.watchdog import Watchdog
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
HOARDED_S: Final = 0.1
"""What was claimed ahead and has not begun after this waits behind slow jobs, while a neighbour may be idle."""
DEADLINE_MARGIN_S: Final = UNKNOWN_COMMIT_S + STUCK_S
"""Beyond a queue's time limit, for recording the outcome."""
STUCK_EXIT: Final = 70
LAST_WORDS_S: Final = 3.0
"""For giving back what a stuck process holds."""
PAUSES_LOOK_S: Final = 1.0
"""How often the feeder asks which queues an admin has paused."""
UNKNOWN_PAUSE_S: Final = 30.0
"""How long a kind that this release does not know yet is left to the releases that do."""
LATE_S: Final = (0.0, 1.0, 5.0, 30.0)
"""When after a reconnect the feeder looks for orphans: a claim sent on the lost connection may be committed late."""
UNKNOWN_ALARM_S: Final = 600.0
"""After this long nobody else seems to know it either."""
MOST_SHOWN: Final = 32
"""Jobs in hand that a beat tells of."""
PASS_ON_S: Final = 0.02
GUESSED_JOB_S: Final = 0.5
"""A job's time before any has been measured: rather long, so that a fresh worker hoards nothing."""
BEGINNING: Final = datetime(2000, 1, 1, tzinfo=UTC)

LIMITS_S: Final = {
    queue: None if policy.time_limit_s is None else policy.time_limit_s + DEADLINE_MARGIN_S
    for queue, policy in POLICIES.items()
}

log = structlog.get_logger(__name__)


class Post(msgspec.Struct, frozen=True):
    """Where a worker works: its servers, queues in order of urgency, threads and name in the console."""

    database_url: str
    redis_url: str
    redis_prefix: str
    queues: tuple[Queue, ...]
    threads: int
    release: str = ""
    per_second: dict[Queue, float] = {}
    """The rates that providers allow us, in jobs a second of a queue, over all workers."""


class Feeder(threading.Thread):
    """Claims rows and hands them over; takes back what did not begin; beats; watches."""

    def __init__(
        self,
        post: Post,
        shift: Shift,
        hand_over: Callable[[Claim], None],
        take_back: Callable[[], list[Claim]],
    ) -> None:
        super().__init__(name="feeder", daemon=True)
        self.post = post
        self.shift = shift
        self.mine: dict[UUID, tuple[Claim, float]] = {}
        """What this process holds, and since when. Changed by the feeder's loop alone, except for `release`."""
        self.is_draining = False
        self.quiet = threading.Event()
        """Set once no more claim will be made."""
        self._is_leaving = False
        self._hand_over, self._take_back = hand_over, take_back
        self._loop = asyncio.new_event_loop()
        self._wake = asyncio.Event()
        self._wants_room = False
        self._one_at_a_time = asyncio.Lock()
        self._connection: asyncpg.Connection | None = None
        self._reports = Reports(shift, post.release, lambda: len(self.mine))
        self._sweeper = Sweeper(shift.worker_id, on_release=self._reports.counted.released.inc)
        self._listener: Listener
        self._bell: Bell
        self._unsettled: list[Claim] = []
        self._job_s = GUESSED_JOB_S
        self._since = dict.fromkeys(post.queues, BEGINNING)
        self._pace = Pace(post.per_second)
        self._watchdog = Watchdog()
        self._paused: frozenset[str] = frozenset()
        self._beat_at = self._full_at = self._pass_on_at = self._pauses_at = 0.0
        self._orphans_at: list[float] = []

    # Called from other threads.

    def release(self, claim: Claim) -> None:
        """The message has come back: its slot is free. A claim that was not settled is given up by the feeder."""
        held = self.mine.get(claim.job_id)
        # Retried at once, the same job may be here again already, under its next claim.
        if held is not None and held[0] is claim:
            self.mine.pop(claim.job_id, None)  # at the end it may be given back at this moment
            self._job_s += 0.1 * (time.monotonic() - held[1] - self._job_s)
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
        except (*LOST_CONNECTION, asyncpg.PostgresError):
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
                self.shift.database_lost_at = time.monotonic()
                self._reports.counted.reconnects.inc()
                log.warning("feeder.disconnected", error=f"{type(error).__name__}: {error}")
                await self._watch(None)
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
        self._orphans_at = [time.monotonic() + after_s for after_s in LATE_S]
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
            await self._reports.leave(connection)
            await connection.execute(statements.LEAVE, self.shift.worker_id)

    async def _pause(self, longest_s: float) -> None:
        self._wake.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), longest_s)
        self._wants_room = False

    def _known(self) -> list[UUID]:
        return list(self.mine) + [claim.job_id for claim in self._unsettled]

    def _room(self) -> int:
        ahead = min(MOST_AHEAD, int(self.post.threads * AHEAD_S / max(self._job_s, 1e-4)))
        return self.post.threads + ahead - len(self.mine)

    async def _claim(self, connection: asyncpg.Connection, room: int) -> int:
        now = time.monotonic()
        is_full = now >= self._full_at
        if is_full:
            self._full_at = now + FULL_LOOK_S
        self._pace.fill(self._sweeper.serving)
        queues = [queue for queue in self.post.queues if queue.value not in self._paused]
        async with self._one_at_a_time:
            rows = await connection.fetch(
                statements.CLAIM,
                [queue.value for queue in queues],
                [BEGINNING if is_full else self._since[queue] for queue in queues],
                [LIMITS_S[queue] for queue in queues],
                room,
                self.shift.worker_id,
                [self._pace.room(queue) for queue in queues],
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
        claim = Claim(self.shift, row)
        self._since[claim.queue] = max(self._since[claim.queue], row["run_at"] - MARGIN)
        self._pace.take(claim.queue)
        return claim

    @staticmethod
    def _is_known(claim: Claim) -> bool:
        performer = performer_of(claim.kind)
        return performer is not None and claim.version <= performer.job.version

    async def _put_aside(self, connection: asyncpg.Connection, claim: Claim) -> None:
        """A newer release's job: leave it to the newer release's workers, with its attempt."""
        say = log.error if claim.age_s > UNKNOWN_ALARM_S else log.warning
        say("feeder.kind_unknown", kind=claim.kind, version=claim.version, job_id=str(claim.job_id))
        said = (None, None, self.shift.worker, None, 0)
        await connection.fetch(statements.AGAIN, *claim.fence, UNKNOWN_PAUSE_S, 1, *said)

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
            [claim.begun_at is not None for claim in given],
            self.shift.worker,
        )
        for claim in given:
            claim.is_settled = True
            self.mine.pop(claim.job_id, None)
        self._bell({row["queue"] for row in rows})

    async def _tend(self, connection: asyncpg.Connection) -> None:
        """Beat, sweep, watch, and settle what came back unsettled."""
        await self._watch(connection)
        async with self._one_at_a_time:
            now = time.monotonic()
            if self._orphans_at and now >= self._orphans_at[0]:
                lost = await connection.fetch(statements.ORPHANS, self.shift.worker_id, self._known())
                del self._orphans_at[0]
                if lost:
                    log.info("feeder.orphans_given_back", jobs=len(lost))
            if now >= self._beat_at:
                await self._beat(connection)
                await self._reports.write(connection)
                self._beat_at = now + BEAT_S
            if now >= self._pauses_at:
                self._paused = frozenset(one["queue"] for one in await connection.fetch(statements.PAUSED))
                self._pauses_at = now + PAUSES_LOOK_S
            await self._unhoard(connection)
            rung = await self._sweeper.sweep(connection)
            while self._unsettled:
                claim = self._unsettled[0]
                log.error("feeder.unsettled", job_id=str(claim.job_id), kind=claim.kind)
                # After a long absence of PostgreSQL that is its fault, and costs no attempt.
                is_ours = claim.begun_at is None or self.shift.database_lost_at < claim.begun_at
                await self._again(connection, claim, "internal_error", INTERNAL, given_back=0 if is_ours else 1)
                self._unsettled.pop(0)
        if rung:
            self._bell(rung)

    async def _beat(self, connection: asyncpg.Connection) -> None:
        now = time.monotonic()
        running = [
            (claim.job_id, claim.kind, now - claim.begun_at)
            for claim, _ in list(self.mine.values())[:MOST_SHOWN]
            if claim.begun_at is not None
        ]
        await connection.execute(
            statements.BEAT,
            self.shift.worker_id,
            socket.gethostname(),
            os.getpid(),
            [queue.value for queue in self.post.queues],
            self.post.release,
            self.post.threads,
            *([one[column] for one in running] for column in range(3)),
        )

    async def _unhoard(self, connection: asyncpg.Connection) -> None:
        """Give back what was claimed ahead and waits behind jobs that turned out slow; claim no more ahead for now."""
        now = time.monotonic()
        held = list(self.mine.values())
        if len(held) > self.post.threads and any(c.begun_at is None and now - at > HOARDED_S for c, at in held):
            self._job_s = max(self._job_s, GUESSED_JOB_S)
            hoarded = self._take_back()
            # Nobody will bring these back: should the connection break now, they are orphans after the reconnect.
            for claim in hoarded:
                self.mine.pop(claim.job_id, None)
            if hoarded:
                await self._return(connection, hoarded)

    async def _again(
        self, connection: asyncpg.Connection, claim: Claim, code: str, detail: str, *, given_back: int = 0
    ) -> None:
        said = (code, detail, self.shift.worker, None, given_back)
        await connection.fetch(statements.AGAIN, *claim.fence, claim.policy.backoff_min_s, given_back, *said)

    async def _watch(self, connection: asyncpg.Connection | None) -> None:
        """End the process when a performer holds the loop or ignores its time limit.

        The culprit has used an attempt, what ran beside it has not. When nobody can be named, or without a connection,
        the launcher's keeper releases all of it and counts a loss of the worker for each, so that it comes to an end.
        """
        held = [claim for claim, _ in list(self.mine.values())]
        stuck = self._watchdog.look(self.shift.loop, held)
        if stuck is None:
            return
        kind, job_id = (None, None) if stuck.claim is None else (stuck.claim.kind, str(stuck.claim.job_id))
        log.critical("feeder.performer_stuck", kind=kind, job_id=job_id, why=stuck.why, stands_at=stuck.stands_at)
        if connection is not None and stuck.claim is not None:
            with contextlib.suppress(*LOST_CONNECTION, asyncpg.PostgresError):
                async with asyncio.timeout(LAST_WORDS_S), self._one_at_a_time:
                    await self._again(connection, stuck.claim, "time_limit", "The job did not stop in time.")
                    await self._return(connection, [claim for claim in held if claim is not stuck.claim])
        os._exit(STUCK_EXIT)

    def _pass_on(self) -> None:
        """A claim that came back full leaves more behind: wake an idle neighbour too."""
        if time.monotonic() >= self._pass_on_at:
            self._pass_on_at = time.monotonic() + PASS_ON_S
            self._bell(queue.value for queue in self.post.queues)
