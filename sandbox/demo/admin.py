"""What an admin sees of it: the queue, a release's job with each attempt, and what a hand may do."""

import json
from pathlib import Path

from sandbox.demo.story import Story
from sandbox.people import Person


def look(story: Story, *, outcomes: list[str]) -> None:
    """An admin finds the last release's job and reads its history, whose attempts came to `outcomes`."""
    telling = story.telling
    telling.step("An admin looks at the queue")
    admin = _admin(story)
    refused = story.client.send("GET", "/api/admin/queues")
    told = (refused.status_code, refused.json()["code"])
    telling.fact("nobody else may", told, (403, "role_not_allowed"))
    queues = admin.call("GET", "/api/admin/queues")
    telling.fact("jobs that nobody will try again", sum(one["dead"] for one in queues), 0)
    path = f"/api/admin/jobs?kind=escrow.release_milestone&caller_id={story.client.id}"
    releases = admin.call("GET", path)["items"]
    telling.fact("the client's releases", [one["state"] for one in releases], ["succeeded", "succeeded"])
    file = admin.call("GET", f"/api/admin/jobs/{releases[0]['id']}")
    telling.fact("attempts of the last one", [one["outcome"] for one in file["history"]], outcomes)
    telling.say(f"worked by {file['worker']}, asked for by request {file['request_id']}")
    admin.call("POST", "/api/admin/queues/bulk/pause", {"reason": "the demo"})
    paused = [one["name"] for one in admin.call("GET", "/api/admin/queues") if one["pause"]]
    telling.fact("a queue it paused stands still", paused, ["bulk"])
    telling.fact("and goes on", admin.call("POST", "/api/admin/queues/bulk/resume")["paused"], False)


def _admin(story: Story) -> Person:
    accounts = json.loads((Path(story.record["home"]) / "accounts.json").read_text(encoding="utf-8"))
    known = next(one for one in accounts if one["role"] == "admin")
    person = Person(story.desk, "Ada Admin", "admin", email=known["email"], password=known["password"])
    return person.sign_in()
