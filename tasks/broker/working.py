"""One worker process, from its boot to its end. The crew starts and replaces it.

SIGTERM, once or oftener: nothing new begins, what has not begun is given back at once, what runs has until `drain_s`,
then it is stopped and given back with its attempt. Out five seconds later whatever happens.
"""

import os
import signal
import sys
import threading
import time
from typing import Final
from uuid import UUID

import dramatiq
import structlog
import uvloop
from dramatiq.middleware import MiddlewareError

import settings
from models.jobs import Queue
from tasks.broker.postgres import WAKE_MS, PgBroker, post_from
from tasks.broker.shift import Shift

LAST_EXIT_S: Final = 5.0
"""After `drain_s`, for recording what was stopped; then the process ends without asking anybody."""
CANCEL_S: Final = 3.0
GIVE_BACK_S: Final = 1.0
POLL_S: Final = 0.02
ORPHAN_LOOK_S: Final = 1.0
ABANDONED_EXIT: Final = 75

log = structlog.get_logger(__name__)


def work_until_told(worker_id: UUID, queues: tuple[Queue, ...], threads: int) -> int:
    """Run the worker in this process, which must be fresh and have no loop. Returns the exit status."""
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        # The repeat does nothing: Dramatiq's own handler would exit under a live loop, and hang.
        signal.signal(number, lambda _number, _frame: told.set())
    config = settings.load()
    uvloop.install()
    broker = PgBroker(post_from(config, queues, threads), Shift(worker_id, queues), told)
    parent = os.getppid()
    worker = dramatiq.Worker(broker, queues=set(broker.queues), worker_timeout=WAKE_MS, worker_threads=threads)
    try:
        worker.start()
    except MiddlewareError:
        if told.is_set():  # while PostgreSQL was away: nothing has begun, so there is nothing to drain
            return 0
        raise
    log.info("worker.ready", worker=str(worker_id), queues=[queue.value for queue in queues], threads=threads)
    while not told.wait(ORPHAN_LOOK_S):
        if os.getppid() != parent:  # the launcher was killed: nobody would replace or stop us
            log.warning("worker.orphaned")
            break
    _drain(broker, worker, config.drain_s)
    log.info("worker.gone", worker=str(worker_id))
    return 0


def _drain(broker: PgBroker, worker: dramatiq.Worker, drain_s: float) -> None:
    began = time.monotonic()
    feeder = broker.feeder
    feeder.stop_claiming()
    last = threading.Timer(drain_s + LAST_EXIT_S - GIVE_BACK_S, _abandon, [broker])
    last.daemon = True
    last.start()
    feeder.give_back(broker.unbegun(), GIVE_BACK_S)
    feeder.quiet.wait(GIVE_BACK_S)
    feeder.give_back(broker.unbegun(), GIVE_BACK_S)  # what a claim under way had still handed over
    log.info("worker.draining", running=len(feeder.mine))
    while feeder.mine and time.monotonic() - began < drain_s:
        time.sleep(POLL_S)
    if feeder.mine:
        broker.loop.call_soon_threadsafe(broker.shift.cancel_running)
        until = time.monotonic() + CANCEL_S
        while feeder.mine and time.monotonic() < until:
            time.sleep(POLL_S)
    feeder.give_back([claim for claim, _ in list(feeder.mine.values())], GIVE_BACK_S)
    broker.is_closing.set()
    worker.stop(timeout=1000)
    last.cancel()


def _abandon(broker: PgBroker) -> None:
    """The last exit: give back what is still held (the fence covers what still runs) and end."""
    log.error("worker.abandoned", jobs=[claim.kind for claim, _ in list(broker.feeder.mine.values())])
    try:
        broker.feeder.give_back([claim for claim, _ in list(broker.feeder.mine.values())], GIVE_BACK_S)
    finally:
        sys.stderr.flush()
        os._exit(ABANDONED_EXIT)
