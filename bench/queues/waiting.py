"""What waiting for a job costs over doing its work inline: `python -m bench.queues.waiting 100` beside a worker."""

import asyncio
import json
import statistics
import sys
import time

import settings
from api.waiting import _ended_or_not as ended_or_not
from bench.queues.ours import Perform, write_effect
from models import guard, jobs, outbox
from models.jobs import JobStatus
from wire.bell import Bell
from wire.notices import Notices
from wire.redis import Names

WAIT_S = 10.0
WARM = 5
REST_S = 0.01


async def measure(count: int) -> dict[str, float]:
    """Milliseconds, p50 of each and their difference."""
    config = settings.load()
    names = Names(config.redis.prefix)
    await guard.open_pool(max_size=8)
    bell = Bell(config.redis.url, names)
    guard.hang_bell(bell)

    async def read_ended(job_ids: object) -> list[object]:
        return [job.id for job in await jobs.read_many(list(job_ids)) if job.finished_at is not None]  # type: ignore[call-overload]

    notices = Notices(config.redis.url, names, read_ended)  # type: ignore[arg-type]
    await notices.open()
    await asyncio.sleep(0.5)
    inline, waited = [], []
    for number in range(WARM + count):
        began = time.perf_counter()
        await guard.commit(write_effect, f"inline-{number}")
        between = time.perf_counter()
        made = await guard.commit(outbox.enqueue, Perform(letter="w", key=f"waited-{number}"))
        job = await ended_or_not(notices, made.job_id, WAIT_S)
        assert job.status is JobStatus.SUCCEEDED, job
        ended = time.perf_counter()
        if number >= WARM:
            inline.append((between - began) * 1000)
            waited.append((ended - between) * 1000)
        await asyncio.sleep(REST_S)
    await notices.close()
    await bell.close()
    await guard.close_pool()
    inline_ms, waited_ms = statistics.median(inline), statistics.median(waited)
    return {
        "count": count,
        "inline_p50_ms": round(inline_ms, 2),
        "waited_p50_ms": round(waited_ms, 2),
        "difference_ms": round(waited_ms - inline_ms, 2),
        "waited_max_ms": round(max(waited), 2),
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(int(sys.argv[1])))))
