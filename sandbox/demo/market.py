"""A second contract, with what happens between people: other terms, a change asked for, silence, two reviews."""

import json
import subprocess
import sys
from typing import Any

from sandbox.demo.story import Story
from sandbox.desk.surroundings import ROOT

ASKED, AGREED, NET = 900, 750, 675.0
"""What the freelancer asks, what the client offers and they agree on, and what is left of it after the fee, in USD."""


def hire_on_other_terms(story: Story) -> dict[str, Any]:
    """An invitation to a project that others do not see, a counter-offer that is taken; returns the milestone."""
    client, freelancer, telling = story.client, story.freelancer, story.telling
    telling.step("The client invites the freelancer to a second, hidden project")
    project = client.call("POST", "/api/projects", _project(), expect=201)
    client.call("POST", f"/api/projects/{project['id']}/publish")
    hidden = freelancer.send("GET", f"/api/projects/{project['id']}")
    telling.fact("before that, the freelancer is told", hidden.status_code, 404)
    client.call("POST", f"/api/projects/{project['id']}/invite", {"user_id": freelancer.id}, expect=201)
    seen = freelancer.call("GET", f"/api/projects/{project['id']}")
    telling.fact("and after it", seen["title"], _project()["title"])
    found = freelancer.call("GET", "/api/projects?q=lanterns")["items"]
    telling.fact("a search still does not find it", [one["id"] for one in found if one["id"] == project["id"]], [])
    telling.step("They do not agree at once: a counter-offer")
    offer = {
        "project_id": project["id"],
        "cover_letter": "Paper or silk?",
        "bid_amount": ASKED,
        "currency": "USD",
        "delivery_days": 30,
    }
    proposal = freelancer.call("POST", "/api/proposals", offer, expect=201)
    other_terms = {"bid_amount": AGREED, "delivery_days": 40, "message": "Less, but take your time."}
    client.call("POST", f"/api/proposals/{proposal['id']}/counter-offer", other_terms, expect=201)
    letter = story.desk.letter(freelancer.email, "counter-offer")
    telling.fact("the freelancer reads the other terms by mail", f"{AGREED:.2f}" in letter["text"], True)
    freelancer.call("POST", f"/api/proposals/{proposal['id']}/counter-offer/accept")
    accepted = client.call("POST", f"/api/proposals/{proposal['id']}/accept")
    for person in (client, freelancer):
        contract = person.call("POST", f"/api/contracts/{accepted['contract_id']}/sign")
    telling.fact("the contract is", (contract["status"], contract["amount"]), ("active", AGREED))
    (milestone,) = client.call("GET", f"/api/milestones?contract_id={contract['id']}")["items"]
    return dict(milestone)


def work_until_silence(story: Story, milestone: dict[str, Any]) -> None:
    """Delivered, sent back, delivered again; then the client says nothing for two weeks of a moved clock."""
    client, freelancer, telling = story.client, story.freelancer, story.telling
    at = f"/api/milestones/{milestone['id']}"
    telling.step("The client funds it; the freelancer delivers; the client asks for a change")
    client.call("POST", f"{at}/fund", {"payment_method_id": "pm_card_visa"})
    freelancer.call("POST", f"{at}/submit", {"note": "Twelve lanterns."})
    client.call("POST", f"{at}/request-changes", {"note": "Thirteen, please."})
    letter = story.desk.letter(freelancer.email, "change")
    telling.fact("the freelancer reads what to change", "Thirteen, please." in letter["text"], True)
    freelancer.call("POST", f"{at}/submit", {"note": "Thirteen lanterns."})
    edit = client.send("PATCH", at, {"title": "Cheaper lanterns"})
    telling.fact("what is funded cannot be edited", (edit.status_code, edit.json()["code"]), (409, "wrong_state"))
    telling.step("The client says nothing for fourteen days (the clock is moved)")
    for days, left in ((7, "7 days"), (5, "2 days")):
        move_clock(story, days=days)
        client.wait_until(lambda left=left: _reminded(story, left), f"a reminder with {left} left")
        telling.fact(f"{days} days later the client is reminded", f"{left} left", f"{left} left")
    move_clock(story, days=2)
    client.wait_until(lambda: client.call("GET", at)["status"] == "released", "silence approves")
    telling.fact("two days later the milestone is", client.call("GET", at)["status"], "released")
    letter = story.desk.letter(freelancer.email, f"{NET:.2f}")
    telling.fact("the freelancer by mail", letter["subject"], f"You received {NET:.2f} USD")


def review(story: Story, milestone: dict[str, Any]) -> None:
    """Both review; neither sees the other's word before the own one is said."""
    client, freelancer, telling = story.client, story.freelancer, story.telling
    telling.step("Both review, and see each other's only then")
    body = {"contract_id": milestone["contract_id"], "rating": 5, "comment": "Lights up the street."}
    client.call("POST", "/api/reviews", body, expect=201)
    telling.fact("before the second one, the first is hidden", _ratings(story), [])
    back = {"contract_id": milestone["contract_id"], "rating": 4, "comment": "Says what is wanted, after a while."}
    freelancer.call("POST", "/api/reviews", back, expect=201)
    telling.fact("after it both are shown", _ratings(story), [5, 4])
    profile = client.call("GET", f"/api/users/{freelancer.id}")
    telling.fact("the freelancer's rating", (profile["rating"], profile["review_count"]), (5.0, 1))
    letter = story.desk.letter(freelancer.email, "review")
    telling.fact("the freelancer by mail", letter["subject"], f"{client.name} has reviewed your work together")
    ran = subprocess.run(
        [sys.executable, "-m", "tasks.prove", f"milestone:{milestone['id']}"],
        cwd=ROOT, env=story.record["environment"], capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    telling.fact("differences in the ledger", json.loads(ran.stdout)["differences"], [])


def move_clock(story: Story, *, days: int) -> None:
    """Let so many days pass for deadlines and for Stripe's stand-in, as `./megilance clock` does."""
    subprocess.run(
        [sys.executable, "-m", "sandbox.clock", f"+{days}d"],
        cwd=ROOT, env={**story.record["environment"], "MEGILANCE_HOME": story.record["home"]}, check=True,
        capture_output=True, timeout=60,
    )  # fmt: skip


def _ratings(story: Story) -> list[int]:
    """What each sees of the other's opinion: the freelancer's ratings and the client's."""
    sides = ((story.freelancer, story.freelancer.id), (story.client, story.client.id))
    lists = [person.call("GET", f"/api/reviews?user_id={about}")["items"] for person, about in sides]
    return [one["rating"] for shown in lists for one in shown]


def _reminded(story: Story, left: str) -> bool:
    return any(left in letter["text"] for letter in story.desk.letters(story.client.email))


def _project() -> dict[str, Any]:
    return {
        "title": "Lanterns for a procession",
        "description": "Thirteen of them, more or less.",
        "category": "design",
        "budget_min": 500,
        "budget_max": 1000,
        "currency": "USD",
        "visibility": "invite_only",
    }
