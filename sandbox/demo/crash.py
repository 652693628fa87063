"""The same release with everything going wrong: the worker killed between capture and record, Redis emptied.

Both come from outside, by process id, while Stripe's stand-in holds its answer after it has captured. Nothing in the
service knows of this.
"""

import contextlib
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

from sandbox.demo.story import Story, deliver, milestone
from sandbox.people import UnexpectedAnswerError

PATIENCE_S = 60.0
HOLD_S = 120


def release_second(story: Story) -> None:
    """Approve the second milestone, kill the worker that has captured and not recorded, and lose Redis."""
    client, telling = story.client, story.telling
    telling.step("The second milestone is approved, and the worker is killed after the capture")
    second = deliver(story, 1)
    fault = {
        "match": "POST /v1/payment_intents/*/capture",
        "kind": "timeout_after_commit",
        "times": 1,
        "delay_s": HOLD_S,
    }
    story.desk.sandbox("POST", "faults", fault)
    job = client.call("POST", f"/api/milestones/{second}/approve", expect=202, Prefer="respond-async")
    telling.fact("the approval is accepted, its job", job["status"] in ("queued", "running"), True)
    held = _wait(lambda: _captures_held(story), "Stripe holds the answer to a capture")
    telling.fact("Stripe has captured and says nothing", held[0]["phase"], "committed")
    killed = kill_workers(story)
    telling.fact("workers killed with SIGKILL, by process id", len(killed) > 0, True)
    lose_redis(story)
    telling.say("Redis was killed and its data removed")
    story.desk.sandbox("DELETE", "holding")
    began = time.monotonic()
    _wait(lambda: client.call("GET", f"/api/jobs/{job['id']}")["status"] == "succeeded", "the job succeeded")
    telling.fact("the job was done all the same: the milestone is", milestone(story, 1)["status"], "released")
    telling.say(f"{time.monotonic() - began:.1f} s after the kill")
    again = client.send("POST", f"/api/milestones/{second}/approve")
    telling.fact("a second approval is refused", again.status_code, 409)


def _captures_held(story: Story) -> list[dict[str, Any]]:
    held = story.desk.sandbox("GET", "holding")
    return [one for one in held if one["path"].endswith("/capture")]


def kill_workers(story: Story) -> list[int]:
    """Kill every worker process of the money queue, as the kernel's out-of-memory killer would. Returns their ids."""
    launcher = story.record["processes"]["worker_money.1"]["pid"]
    if launcher is None:
        raise UnexpectedAnswerError("no worker of the money queue runs")
    children = descendants(launcher)
    for pid in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return children


def descendants(pid: int) -> list[int]:
    """The processes that a process started, and theirs, as /proc knows them."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                # The name, in parentheses, may hold anything: fields count from behind the last one.
                fields = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
                parents[int(entry.name)] = int(fields[1])
    found, ring = [], [pid]
    while ring:
        ring = [child for child, parent in parents.items() if parent in ring]
        found += ring
    return found


def lose_redis(story: Story) -> None:
    """Kill Redis and remove all it kept; the desk starts an empty one in its place."""
    pid = story.record["processes"]["redis"]["pid"]
    shutil.rmtree(Path(story.record["home"]) / "redis" / "data", ignore_errors=True)
    if pid is not None:
        os.kill(pid, signal.SIGKILL)


def _wait(found: Any, what: str) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        result = found()
        if result:
            return result
        time.sleep(0.05)
    raise UnexpectedAnswerError(f"after {PATIENCE_S:g} s still not: {what}")
