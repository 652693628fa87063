"""What an admin sees of it: the queue, a release's job with each attempt, and what a hand may do."""

import json
import time
from pathlib import Path

import pyotp

from sandbox.demo.story import Story
from sandbox.people import Person

STEP_S = 30
"""How long an app shows one code, which is good once."""

ACCOUNTS_S = 60
"""How long a desk may take to make its accounts, which it does after it says that it is ready."""


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
    """The desk's admin, signed in with both factors: the code is the one that their app would show."""
    known = next(one for one in _accounts(Path(story.record["home"])) if one["role"] == "admin")
    person = Person(story.desk, "Ada Admin", "admin", email=known["email"], password=known["password"])
    begun = person.call("POST", "/api/auth/login", {"email": person.email, "password": person.password})
    story.telling.fact("a password alone opens nothing", (begun["access_token"], begun["requires_2fa"]), (None, True))
    app = pyotp.parse_uri(known["otpauth"])
    assert isinstance(app, pyotp.TOTP)
    proof = {"mfa_token": begun["mfa_token"], "code": app.now(), "method": "totp"}
    answer = person.send("POST", "/api/auth/2fa/verify", proof)
    if answer.status_code == 401:  # a demo just before this one used this half minute's code up
        time.sleep(STEP_S - time.time() % STEP_S)
        proof["code"] = app.now()
        answer = person.send("POST", "/api/auth/2fa/verify", proof)
    person.token = answer.raise_for_status().json()["access_token"]
    return person


def _accounts(home: Path) -> list[dict[str, str]]:
    """The desk's own accounts. They are written down at once and last, so the file is whole where there is one."""
    path = home / "accounts.json"
    deadline = time.monotonic() + ACCOUNTS_S
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    made: list[dict[str, str]] = json.loads(path.read_text(encoding="utf-8"))
    return made
