"""procrastinate on PostgreSQL: LISTEN/NOTIFY, and its guide's periodic task that retries stalled jobs."""

from collections.abc import Sequence

import procrastinate

from bench.queues import work
from bench.queues.enqueuer import serve
from bench.queues.work import POOL, Work

SILENT_S = 15  # of a beat every 5 s; by default 30 of one every 10 s

app = procrastinate.App(
    connector=procrastinate.PsycopgConnector(conninfo=work.DATABASE_URL, min_size=1, max_size=POOL),
    worker_defaults={"update_heartbeat_interval": 5, "stalled_worker_timeout": 2 * SILENT_S},
)


@app.task(name="perform", retry=5)
async def perform(letter: str, pause_s: float, key: str) -> None:
    """Do the work."""
    await work.perform(letter, pause_s, key)


@app.periodic(cron="* * * * * */10")  # the last field is seconds; its guide suggests every ten minutes
@app.task(name="retry_stalled", queueing_lock="retry_stalled", pass_context=True)
async def retry_stalled(_: procrastinate.JobContext, timestamp: int) -> None:
    """Give back the jobs of workers that no longer beat."""
    assert timestamp
    for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=SILENT_S):
        await app.job_manager.retry_job(job)


class StockProcrastinate:
    """A native coroutine; each `defer` commits by itself."""

    async def prepare(self) -> None:
        """Apply its schema."""
        async with app.open_async():
            await app.schema_manager.apply_schema_async()

    async def open(self) -> None:
        """Open the pool."""
        await app.open_async()

    async def put(self, job: Work) -> None:
        """Defer one."""
        await perform.defer_async(**job._asdict())

    put_at_once = put

    async def put_together(self, jobs: Sequence[Work]) -> None:
        """Defer many in one statement."""
        await perform.batch_defer_async(*(job._asdict() for job in jobs))

    async def close(self) -> None:
        """Close the pool."""
        await app.close_async()


if __name__ == "__main__":
    serve(StockProcrastinate())
