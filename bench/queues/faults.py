"""The same faults for all: workers killed in the middle of jobs, Redis emptied under a backlog, Redis away."""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from random import Random
from typing import Any, Final

from bench.queues.bed import Bed, Place, Workers, sql

PROCESSES: Final = 2
PAUSE_S: Final = 0.2
KILLS: Final = 3
BETWEEN_S: Final = (0.4, 1.0)
"""Between the first jobs' beginning and the kills; the backlog must outlast them."""
PATIENCE_S: Final = 75.0
"""How long stuck jobs are waited for: longer than any of the time-outs that were set, and Dramatiq's 60 s."""
STEADY_S: Final = 20.0
"""After a loss of Redis nothing is waiting for a time-out: nothing new for so long means that the rest is lost."""
AWAY_S: Final = 10.0
AFTER_S: Final = 12.0
TEND_S: Final = 0.05

Stack = contextlib.ExitStack


def kills(places: list[Place], *, jobs: int, chance: Random) -> dict[str, Any]:
    """A backlog and three SIGKILLs: one system at a time, and then all wait together for what is stuck."""
    found: dict[str, dict[str, Any]] = {}
    with Stack() as stack:
        crews: dict[str, Workers] = {}
        began: dict[str, float] = {}
        for place in chance.sample(places, len(places)):
            place.clear()
            place.fill(letter="k", count=jobs, pause_s=PAUSE_S, prefix="k-")
            crews[place.name] = workers = stack.enter_context(Workers(place, PROCESSES))
            place.await_first_mark()
            began[place.name] = time.monotonic()
            landed = sum(_kill_one(workers, chance) for _ in range(KILLS))
            found[place.name] = {"jobs": jobs, "kills": landed}
            _until_steady(crews, place, jobs)
        for name, outcome in _wait_for_all(places, crews, jobs, began).items():
            found[name] |= outcome | {"restarted_by_harness": crews[name].restarts}
    return found


def _kill_one(workers: Workers, chance: Random) -> int:
    _rest([workers], chance.uniform(*BETWEEN_S))
    for _ in range(100):
        victims = workers.victims()
        if victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(chance.choice(victims), signal.SIGKILL)
                return 1
        _rest([workers], TEND_S)
    return 0


def _rest(workers: list[Workers], seconds: float) -> None:
    """Sleep, as a supervisor does."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for one in workers:
            one.tend()
        time.sleep(TEND_S)


def _until_steady(crews: dict[str, Workers], place: Place, jobs: int) -> None:
    """Until the backlog is done but for what is stuck, so that the next system has the machine."""
    last, since = -1, time.monotonic()
    while time.monotonic() - since < 2.0:
        done, _ = place.effects("k-")
        if done >= jobs:
            return
        if done != last:
            last, since = done, time.monotonic()
        _rest(list(crews.values()), 0.2)


def _wait_for_all(
    places: list[Place], crews: dict[str, Workers], jobs: int, began: dict[str, float]
) -> dict[str, dict[str, Any]]:
    """Until each has finished or has had its 75 s: how it stood then, and how long those that finished took."""
    ended: dict[str, dict[str, Any]] = {}
    waiting = {place.name: place for place in places}
    while waiting:
        for name, place in list(waiting.items()):
            done, doubled = place.effects("k-")
            if done >= jobs or time.monotonic() - began[name] > PATIENCE_S:
                seconds = _seconds_of_effects(place) if done >= jobs else None
                ended[name] = {"lost_or_stuck": jobs - done, "duplicated": doubled, "seconds": seconds}
                del waiting[name]
        _rest(list(crews.values()), 0.5)
    return ended


def _seconds_of_effects(place: Place) -> float:
    found = sql(place.database_url, "select extract(epoch from max(at) - min(at))::float8 + $1 from effects", PAUSE_S)
    return round(found[0][0], 1)


def redis_lost(bed: Bed, places: list[Place], *, jobs: int) -> dict[str, Any]:
    """Redis is killed and comes back empty while most of a backlog waits; all systems at once, for they share it."""
    with _all_working(places, jobs=jobs, prefix="r-") as crews:
        time.sleep(2 * PAUSE_S)
        bed.redis.kill_with_total_loss()
        done = _until_nothing_comes(places, crews, jobs, "r-")
        return {
            place.name: {"jobs": jobs, "lost": jobs - done[place.name], "duplicated": place.effects("r-")[1]}
            for place in places
        }


@contextlib.contextmanager
def _all_working(places: list[Place], *, jobs: int, prefix: str) -> Any:
    """Workers of every system up and at rest, then a backlog for each: nobody's has begun much earlier."""
    with Stack() as stack:
        crews = {}
        for place in places:
            place.clear()
            crews[place.name] = stack.enter_context(Workers(place, 1))
        for place in places:
            place.ask("single", letter="w", count=1)
            place.await_first_mark()
        if jobs:
            for place in places:
                place.tell("fill", letter="r", count=jobs, pause_s=PAUSE_S, prefix=prefix)
            for place in places:
                place.hear()
        yield crews


def _until_nothing_comes(places: list[Place], crews: dict[str, Workers], jobs: int, prefix: str) -> dict[str, int]:
    done = dict.fromkeys((place.name for place in places), 0)
    since, until = time.monotonic(), time.monotonic() + PATIENCE_S
    while time.monotonic() - since < STEADY_S and time.monotonic() < until:
        now = {place.name: place.effects(prefix)[0] for place in places}
        if now != done:
            done, since = now, time.monotonic()
        if all(count >= jobs for count in done.values()):
            break
        _rest(list(crews.values()), 0.3)
    return done


def redis_away(bed: Bed, places: list[Place], *, jobs: int) -> dict[str, Any]:
    """Fifty enqueues, one after another, while there is no Redis; ten seconds later it is back, empty."""
    with _all_working(places, jobs=0, prefix="") as crews:
        bed.redis.kill()
        for place in places:
            place.tell("outage", letter="a", count=jobs, limit_s=AWAY_S, prefix="a-")
        _rest(list(crews.values()), AWAY_S)
        meanwhile = {place.name: place.effects("a-")[0] for place in places}
        back_ns = time.monotonic_ns()
        bed.redis.start()
        answers = {place.name: place.hear() for place in places}
        _rest(list(crews.values()), AFTER_S)
        return {
            place.name: _told(answers[place.name], back_ns)
            | {"ran_meanwhile": meanwhile[place.name], "ran_in_the_end": place.effects("a-")[0]}
            for place in places
        }


def _told(answer: dict[str, Any], back_ns: int) -> dict[str, Any]:
    away = [one for one in answer["tries"] if one[2] < back_ns]
    count: Callable[[bool], int] = lambda failed: sum(bool(one[1]) == failed for one in away)  # noqa: E731
    return {
        "tried_while_away": len(away),
        "accepted": count(False),
        "raised": count(True),
        "tried_at_all": len(answer["tries"]),
        "accepted_at_all": sum(not one[1] for one in answer["tries"]),
        "longest_call_ms": max((one[3] for one in answer["tries"]), default=0.0),
        "loop_held_ms": answer["worst_lag_ms"],
    }
