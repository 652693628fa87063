"""The soak of `./megilance crash-test` in a small size: everything is killed at least once while jobs run.

The seed is printed; QUEUE_KILLS_SEED repeats a run.
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
from itertools import pairwise

import pytest

from tests.crashes.faults import SHARES, draw
from tests.crashes.soak import draft_jobs, main, parse

KILLS, JOBS = 14, 600
LIMIT_S = 240
"""Half a minute is usual; a job lost three times waits up to one more for its next turn, by design."""


def test_kills_lose_nothing_and_double_nothing():
    seed = os.environ.get("QUEUE_KILLS_SEED") or str(random.randrange(10**6))
    print(f"QUEUE_KILLS_SEED={seed}")  # noqa: T201  pytest shows it when the test fails
    command = [sys.executable, "-m", "tests.crashes.soak", "--kills", str(KILLS), "--jobs", str(JOBS), "--seed", seed]
    # By itself, since its servers are its own and this process has others; in a group, so that it can be ended.
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        told, _ = process.communicate(timeout=LIMIT_S)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    print(told)  # noqa: T201  the sentences about what is wrong
    numbers = json.loads(told.splitlines()[-1])
    assert (numbers["lost"], numbers["double"], numbers["wrong"]) == (0, 0, [])
    assert numbers["kills"] == KILLS
    assert set(numbers["faults"]) == {*SHARES, "worker"}
    assert process.returncode == 0


def test_a_seed_decides_the_faults_and_the_jobs():
    drawn = [(draw(random.Random(7), 100), draft_jobs(random.Random(7), 50, 200)) for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert draw(random.Random(8), 100) != drawn[0][0]
    faults = [fault.what for fault in drawn[0][0]]
    assert {what: faults.count(what) for what in sorted(set(faults))} == {
        "clock": 4, "crew": 4, "door": 4, "keeper": 7, "postgres": 3, "redis": 6, "relay": 6, "worker": 66,
    }  # fmt: skip
    restarts = [fault.at for fault in drawn[0][0] if fault.what == "postgres"]
    assert min(later - earlier for earlier, later in pairwise(restarts)) > 0.05


def test_the_command_says_what_it_needs(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(["--kills", "3"])
    assert "--kills must be at least 8" in capsys.readouterr().err
    found = parse(["--kills", "20", "--jobs", "1500", "--seeds", "3", "--outage", "20"])
    assert (found.kills, found.jobs, found.seeds, found.outage, found.job_ms) == (20, 1500, 3, 20.0, 200)
