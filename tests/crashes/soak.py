"""Kill everything, at random, over a backlog of jobs: `python -m tests.crashes.soak --kills 100 --jobs 10000`.

It starts a PostgreSQL (durable) and a Redis (not) of its own, two crews, a relay, a clock and a stand-in for a web
process, and proves in the end that nothing was lost and nothing happened twice. The seed decides which faults come,
after which part of the work, and what each job is like; it is printed first, and `--seed` repeats it. The last line is
one line of JSON. Exit status 1: a promise was broken, and the sentences say which.
"""

import argparse
import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from models import guard, outbox
from models.jobs import Job
from models.outbox import Origin
from tests.crashes.faults import Inflicter, draw
from tests.crashes.probes import Echo, Piece, Stumble
from tests.crashes.stage import CREWS, PROCESSES, PROGRAMS, THREADS, Stage, ask_value
from tests.crashes.verdict import Asked, Verdict, judge

ROOMS = 8
CALLERS = 5
BATCH = 100
"""Jobs enqueued by one transaction."""
END_LIMIT_S = 240.0
"""After the last fault: a job lost several times waits up to a minute for its next turn."""
POLL_S = 0.05
LEAST_KILLS = 8
"""One of each kind."""
DRAIN_LIMIT_S = 25.0


class Draft(msgspec.Struct):
    """A job to be enqueued: when, and on whose behalf."""

    job: Job
    delay_s: float = 0.0
    caller_id: int | None = None


def draft_jobs(chance: random.Random, count: int, job_ms: int) -> tuple[list[Draft], Asked]:
    """The backlog, and what must have come of it: one in ten has a follow-up, others stumble, wait or come later."""
    drafts, asked = [], Asked()
    seconds = count * job_ms / 1000 / (len(CREWS) * PROCESSES * THREADS)
    kinds, weights = ["plainly", "follows", "reschedules", "stumbles", "delayed", "echoes"], [60, 10, 8, 8, 6, 8]
    for n, how in enumerate(chance.choices(kinds, weights, k=count)):
        key, room = f"{how}-{n}", chance.randrange(ROOMS) + 1
        pause_s = round(job_ms / 1000 * chance.uniform(0.5, 1.5), 3)
        draft = Draft(Piece(key=key, pause_s=pause_s, room=room, how=how))
        if how == "echoes":
            draft.job = Echo(value=n, pause_s=pause_s)
            asked.echoes += 1
        else:
            asked.keys.add(key)
        if how == "stumbles":
            draft.job = Stumble(key=key, pause_s=pause_s, room=room)
            asked.stumbles.add(key)
        elif how == "follows":
            asked.keys.add(f"{key}/next")
        elif how == "delayed":
            draft.delay_s = chance.uniform(0, seconds)
        if chance.random() < 0.25:
            draft.caller_id = chance.randrange(CALLERS) + 1
        drafts.append(draft)
    return drafts, asked


async def enqueue_all(drafts: Sequence[Draft]) -> None:
    """The backlog, in transactions of many jobs."""

    async def enqueue(some: Sequence[Draft]) -> None:
        for one in some:
            run_at = datetime.now(UTC) + timedelta(seconds=one.delay_s) if one.delay_s else None
            with outbox.caused_by(Origin(caller_id=one.caller_id)):
                await outbox.enqueue(one.job, run_at=run_at)

    for start in range(0, len(drafts), BATCH):
        await guard.commit(enqueue, drafts[start : start + BATCH])


async def inflict_all(inflicter: Inflicter, chance: random.Random, kills: int, total: int) -> None:
    """Each fault once its part of the work is done."""
    for fault in draw(chance, kills):
        while await ask_value("select count(*) from jobs where finished_at is not null") < fault.at * total:  # noqa: ASYNC110  a row's news
            await asyncio.sleep(POLL_S)
        await inflicter.inflict(fault.what)


async def finish(stage: Stage) -> list[str]:
    """Let the work come to its end; what did not, as sentences."""
    stage.kill("door")
    wrong = []
    if (status := await stage.tell("clock", DRAIN_LIMIT_S)) != 0:
        wrong.append(f"the clock left with status {status} when told")
    questions = {
        "every job ended": "select not exists (select 1 from job_live)",
        "every event published": "select not exists (select 1 from events where not relayed)",
    }
    for what, question in questions.items():
        until = time.monotonic() + END_LIMIT_S
        while not await ask_value(question):
            if time.monotonic() > until:
                wrong.append(f"it did not come to pass within {END_LIMIT_S:g} s: {what}")
                break
            await asyncio.sleep(POLL_S)
    told = await asyncio.gather(*(stage.tell(name, DRAIN_LIMIT_S) for name in (*CREWS, "relay")))
    if told != [0, 0, 0]:
        wrong.append(f"crews and relay left with the statuses {told}")
    if overdue := sum(count_lines(stage, name, "sweep.overdue") for name in ("clock", *CREWS)):
        wrong.append(
            f"jobs were released only for being long overdue, in {overdue} looks: nobody knew their worker dead"
        )
    return wrong


def count_lines(stage: Stage, name: str, event: str) -> int:
    """How many lines of a program's log name this event."""
    return stage.log(name).read_text(errors="replace").count(event)


async def soak(directory: Path, asked_for: argparse.Namespace, seed: int) -> tuple[Verdict, dict[str, Any]]:
    """One soak from its servers' start to their end. Returns the verdict and the numbers."""
    chance = random.Random(seed)
    drafts, asked = draft_jobs(chance, asked_for.jobs, asked_for.job_ms)
    async with Stage(directory) as stage:
        await enqueue_all(drafts)
        began = time.monotonic()
        for name in PROGRAMS:
            stage.start(name)
        inflicter = Inflicter(stage, chance, asked_for.outage)
        sampling = asyncio.create_task(inflicter.recoveries.sample())
        try:
            await inflict_all(inflicter, chance, asked_for.kills, asked_for.jobs)
            wrong = await finish(stage)
        finally:
            sampling.cancel()
        wall_s = time.monotonic() - began
        verdict = await judge(asked)
        verdict.wrong[:0] = wrong
        numbers = {
            "seed": seed,
            "kills": sum(inflicter.count.values()),
            "jobs": await ask_value("select count(*) from jobs"),
            "wall_s": round(wall_s, 1),
            "faults": dict(sorted(inflicter.count.items())),
            "recovery": inflicter.recoveries.summary(),
            "lost_leases": sum(count_lines(stage, name, "job.lease_lost") for name in CREWS),
            "lost": verdict.lost,
            "double": verdict.double,
            "wrong": verdict.wrong,
        }
    return verdict, numbers


def show(numbers: dict[str, Any]) -> None:
    """The summary, for a person; then the same as JSON."""
    say(f"\n  seed {numbers['seed']}: {numbers['jobs']} jobs, {numbers['kills']} faults, {numbers['wall_s']} s")
    for what, count in numbers["faults"].items():
        took = numbers["recovery"].get(what)
        again = f"   its jobs ran again after p50 {took['p50_s']} s, max {took['max_s']} s" if took else ""
        say(f"    {what:<10}{count:>4}{again}")
    say(f"    {numbers['lost']} effects lost, {numbers['double']} done twice, {numbers['lost_leases']} leases lost")
    for sentence in numbers["wrong"]:
        say(f"    WRONG: {sentence}")
    say(json.dumps(numbers))


def say(line: str) -> None:
    """Speak to a person, or to whoever reads the last line."""
    print(line, flush=True)  # noqa: T201  that is what the command is for


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="./megilance crash-test", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=100, help="how many faults (100)")
    parser.add_argument("--jobs", type=int, default=10_000, help="how many jobs, follow-ups apart (10000)")
    parser.add_argument("--job-ms", type=int, default=200, help="how long a job takes on average (200)")
    parser.add_argument("--outage", type=float, default=0.3, help="seconds for which PostgreSQL is away (0.3)")
    parser.add_argument("--seed", type=int, help="repeat this seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds, one after another (1)")
    parser.add_argument("--keep", type=Path, help="a directory to leave logs and data in")
    found = parser.parse_args(arguments)
    if found.kills < LEAST_KILLS:
        parser.error(f"--kills must be at least {LEAST_KILLS}, one of each kind")
    return found


def run_several(arguments: Sequence[str], first: int, count: int) -> int:
    """Each seed in a process of its own, one after another."""
    statuses = []
    for seed in range(first, first + count):
        command = [sys.executable, "-m", "tests.crashes.soak", *arguments, "--seed", str(seed), "--seeds", "1"]
        statuses.append(subprocess.run(command, check=False).returncode)
    return max(statuses)


def main(arguments: Sequence[str]) -> int:
    """The command. Returns the exit status."""
    asked_for = parse(arguments)
    seed = random.randrange(10**6) if asked_for.seed is None else asked_for.seed
    if asked_for.seeds > 1:
        return run_several(arguments, seed, asked_for.seeds)
    say(f"seed {seed}: --kills {asked_for.kills} --jobs {asked_for.jobs} --job-ms {asked_for.job_ms} --seed {seed}")
    with tempfile.TemporaryDirectory(prefix="megilance-crashes-") as temporary:
        directory = asked_for.keep or Path(temporary)
        directory.mkdir(parents=True, exist_ok=True)
        verdict, numbers = asyncio.run(soak(directory, asked_for, seed))
    show(numbers)
    return 1 if verdict.wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
