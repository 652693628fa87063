"""The crew: the parent of worker processes. One that dies is reaped, its rows are released at once, it is replaced.

The parent has no thread, no loop and no connection, so that it can fork: a replacement begins with everything
imported, in milliseconds. What needs PostgreSQL is done by one more child, the keeper: it releases the rows of the
dead, whose ids come through a pipe, and sweeps.
"""

import gc
import os
import signal
import sys
import time
from collections import Counter
from typing import Final, NoReturn
from uuid import UUID, uuid4

import msgspec
import structlog

import settings
from models import guard
from models.jobs import Queue
from tasks.broker.keeper import LAST_S, keep
from tasks.broker.working import LAST_EXIT_S, work_until_told

LIVED_S: Final = 5.0
"""A child that lived shorter died of its start, and the next one waits."""
LONGEST_BRAKE_S: Final = 10.0
FIRST_BRAKE_S: Final = 0.2
AT_ONCE: Final = 3
TICK_S: Final = 0.5
KEEPER: Final = "keeper"

log = structlog.get_logger(__name__)


class Child(msgspec.Struct):
    """A process of the crew."""

    role: str
    worker_id: UUID
    began: float


class Crew:
    """Starts `processes` workers and keeps as many until it is told to end."""

    def __init__(self, queues: tuple[Queue, ...], *, processes: int, threads: int) -> None:
        self._queues = queues
        self._processes = processes
        self._threads = threads
        self._children: dict[int, Child] = {}
        self._due: list[tuple[float, str]] = []
        self._short_lives: Counter[str] = Counter()
        self._is_told = False
        self._dead_in, self._dead_out = os.pipe()

    def run(self) -> int:
        """Work until SIGTERM or SIGINT. Returns the exit status: 0 when every worker ended by itself."""
        for stop in (signal.SIGTERM, signal.SIGINT):
            signal.signal(stop, self._tell)
        # A signal that arrives between two waits must end the wait that follows.
        watched = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT}
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        guard.engine()  # Piccolo connects once as its engine is made: here, not in every child
        gc.freeze()  # the children share what is loaded now, and no collection touches those pages
        # A child has our handlers until it has its own: what reaches it before would be lost on it.
        signal.pthread_sigmask(signal.SIG_BLOCK, watched)
        self._start(KEEPER)
        for number in range(self._processes):
            self._start(f"worker {number}")
        signal.pthread_sigmask(signal.SIG_UNBLOCK, watched)
        while not self._is_told:
            signal.pthread_sigmask(signal.SIG_BLOCK, watched)
            try:
                self._reap()
                self._start_due()
                if not self._is_told and not self._has_dead():
                    caught = signal.sigtimedwait(watched, TICK_S)
                    if caught is not None and caught.si_signo != signal.SIGCHLD:
                        self._is_told = True
            finally:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, watched)
        return self._end()

    def _tell(self, _number: int, _frame: object) -> None:
        self._is_told = True

    @staticmethod
    def _has_dead() -> bool:
        try:
            return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return False

    def _start(self, role: str) -> None:
        worker_id = uuid4()
        pid = os.fork()
        if pid:
            self._children[pid] = Child(role, worker_id, time.monotonic())
            return
        self._be(role, worker_id)

    def _be(self, role: str, worker_id: UUID) -> NoReturn:
        """The child's life. It never returns into the parent's code."""
        status = 1
        try:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            if role == KEEPER:
                os.close(self._dead_out)
                status = keep(self._dead_in)
            else:
                os.close(self._dead_in)
                os.close(self._dead_out)
                status = work_until_told(worker_id, self._queues, self._threads)
        except BaseException:
            log.critical("crew.child_failed", role=role, exc_info=True)
        finally:
            sys.stderr.flush()
            os._exit(status)

    def _reap(self) -> None:
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            child = self._children.pop(pid, None)
            if child is None:
                continue
            if child.role != KEEPER:
                os.write(self._dead_out, child.worker_id.bytes)
            if not self._is_told:
                self._replace(child, os.waitstatus_to_exitcode(status))

    def _replace(self, child: Child, code: int) -> None:
        lived_s = time.monotonic() - child.began
        self._short_lives[child.role] = self._short_lives[child.role] + 1 if lived_s < LIVED_S else 0
        # The first few that die young are replaced at once: they may have been killed.
        young = self._short_lives[child.role] - AT_ONCE
        brake_s = min(LONGEST_BRAKE_S, FIRST_BRAKE_S * 2**young) if young > 0 else 0
        log.warning("crew.child_died", role=child.role, code=code, lived_s=round(lived_s, 1), brake_s=brake_s)
        self._due.append((time.monotonic() + brake_s, child.role))

    def _start_due(self) -> None:
        now = time.monotonic()
        due = [role for at, role in self._due if at <= now]
        self._due = [one for one in self._due if one[0] > now]
        for role in due:
            self._start(role)

    def _end(self) -> int:
        """Tell every worker once, wait for all, then let the keeper release what is left and go."""
        until = time.monotonic() + settings.load().drain_s + LAST_EXIT_S
        clean = True
        self._signal(signal.SIGTERM)
        while any(child.role != KEEPER for child in self._children.values()):
            self._reap()
            if time.monotonic() > until:
                clean = False
                self._signal(signal.SIGKILL)
                until += 1
            time.sleep(0.02)
        os.close(self._dead_out)  # the keeper reads the end of the pipe, and that its work is done
        until = time.monotonic() + LAST_S + 1
        while self._children and time.monotonic() < until:
            self._reap()
            time.sleep(0.02)
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)
        return 0 if clean else 1

    def _signal(self, number: signal.Signals) -> None:
        for pid, child in self._children.items():
            if child.role != KEEPER:
                os.kill(pid, number)
