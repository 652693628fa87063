"""Everybody clicks at once: many approvals of one milestone, at the same moment, over HTTP."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from sandbox.demo.story import Story, deliver, milestone

RIVALS = 24


def release_second(story: Story) -> None:
    """Approve the second milestone from 24 connections at once; one releases, 23 are refused."""
    telling, client = story.telling, story.client
    webs = [name for name in story.record["processes"] if name.startswith("web.")]
    workers = [name for name in story.record["processes"] if name.startswith("worker_money.")]
    telling.step(f"The second milestone is approved by {RIVALS} requests at once")
    telling.say(f"against {len(webs)} web and {len(workers)} money worker processes")
    second = deliver(story, 1)
    together = Barrier(RIVALS)

    def approve(_: int) -> tuple[int, str]:
        together.wait()
        answer = client.send("POST", f"/api/milestones/{second}/approve", Prefer="wait=20")
        body = answer.json()
        return answer.status_code, body.get("code") or body.get("status")

    with ThreadPoolExecutor(RIVALS) as crowd:
        answers = Counter(crowd.map(approve, range(RIVALS)))
    telling.fact("answers", dict(answers), {(200, "released"): 1, (409, "wrong_state"): RIVALS - 1})
    telling.fact("the milestone is", milestone(story, 1)["status"], "released")
