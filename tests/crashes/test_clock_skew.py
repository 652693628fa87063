"""Workers whose wall clocks are an hour wrong: claims, delays, retries, beats and sweeps go by PostgreSQL's alone."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from models import guard
from tests.crashes.conftest import Hire, all_ended, enqueue, keys, outcomes, running
from tests.crashes.probes import Echo, Piece, Stumble
from tests.tasks.conftest import until

QUEUES = ("--queues", "notify,bulk", "--threads", "8")
PAIR = ("--queues", "notify,bulk", "--threads", "2")
"""So few that no worker takes more than it has threads for: six long jobs are two for each."""
HOUR_S = 3600

Begun = Callable[[], Counter[str]]


def _wrong(seconds: int) -> tuple[str, ...]:
    return "tests.crashes.skewed", str(seconds)


@pytest.mark.parametrize("seconds", [HOUR_S, -HOUR_S])
async def test_a_worker_an_hour_off_begins_nothing_early_nothing_late_and_everything_once(
    tables: str, hire: Hire, begun: Begun, seconds: int
):
    crew = hire(*QUEUES, program=_wrong(seconds))
    await crew.ready()
    now = datetime.now(UTC)
    due, never = now + timedelta(seconds=2), now + timedelta(minutes=30)
    for n in range(10):
        await enqueue(Piece(key=f"plain-{n}", pause_s=0.05, how="follows"))
        await enqueue(Piece(key=f"again-{n}", how="reschedules"))
        await enqueue(Stumble(key=f"stumble-{n}"))
        await enqueue(Echo(value=n))
        await enqueue(Piece(key=f"later-{n}"), run_at=due)
    waiting = await enqueue(Piece(key="in half an hour"), run_at=never)

    async def only_one_waits() -> bool:
        return [row["job_id"] for row in await guard.rows("select job_id from job_live")] == [waiting]

    await until(only_one_waits, within_s=10, what="the end of all but one")
    names = [f"{what}-{n}" for what in ("plain", "again", "stumble", "later") for n in range(10)]
    names += [f"plain-{n}/next" for n in range(10)]
    assert await keys() == Counter(names)
    assert await outcomes() == {(2, 1): 50, (2, 2): 10, (0, 0): 1}
    bounds = await guard.only(
        "select min(at) as first, max(at) as last from effects where key like 'later-%'",
    )
    assert due <= bounds["first"] <= bounds["last"] < due + timedelta(seconds=1)
    # What the rows say of the times is PostgreSQL's word too.
    wrong = (
        "select count(*) from jobs where finished_at not between $1 and clock_timestamp() or started_at > finished_at"
    )
    assert await guard.value(wrong, now - timedelta(seconds=5)) == 0


async def test_workers_an_hour_apart_neither_bury_one_another_nor_overlook_the_dead(
    tables: str, hire: Hire, begun: Begun
):
    ahead = hire(*PAIR, program=_wrong(HOUR_S))
    behind = hire(*PAIR, program=_wrong(-HOUR_S))
    right = hire(*PAIR)
    for crew in (ahead, behind, right):
        await crew.ready()
    names = [f"long-{n}" for n in range(6)]
    for name in names:
        await enqueue(Piece(key=name, pause_s=12.5))
    await until(lambda: running(6), what="all running")
    for n in range(5):
        await enqueue(Stumble(key=f"stumble-{n}"))
    await until(all_ended, within_s=20, what="the end of every job")
    assert await keys() == Counter([*names, *(f"stumble-{n}" for n in range(5))])
    assert begun() == Counter(names)
    assert await outcomes() == {(2, 1): 6, (2, 2): 5}
    assert [crew.said("sweep.worker_silent") for crew in (ahead, behind, right)] == [0, 0, 0]
    assert await guard.value("select count(*) from workers") == 3
