"""The story: two people, a project, a contract, money in escrow, money released."""

import json
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.demo.socket import Ear
from sandbox.demo.telling import Telling
from sandbox.desk.record import Record
from sandbox.desk.surroundings import ROOT
from sandbox.people import Desk, Person

NET_FIRST, NET_SECOND = 1080_00, 720_00
"""What the freelancer gets of 1,200.00 and 800.00 USD, less the platform's 10 %, in cents."""


@dataclass
class Story:
    """Who and what the story is about, as far as it has come."""

    desk: Desk
    record: Record
    telling: Telling
    client: Person
    freelancer: Person
    contract: dict[str, Any]
    milestones: list[dict[str, Any]]
    captured_before: set[str]
    """Charges that others on this desk captured before the story began."""


def meet(desk: Desk, record: Record, telling: Telling) -> Story:
    """Two people register, verify by the mailed link and sign in; the freelancer sets up payouts."""
    telling.step("A client and a freelancer register")
    before = set(desk.sandbox("GET", "totals")["payment_intents"])
    client = Person(desk, "Clara Client", "client").register()
    freelancer = Person(desk, "Fred Freelancer", "freelancer").register()
    telling.say(f"{client.email} and {freelancer.email}")
    client.sign_in()
    draft = client.call("POST", "/api/projects", project_of(), expect=201)
    refused = client.send("POST", f"/api/projects/{draft['id']}/publish")
    told = (refused.status_code, refused.json()["code"])
    telling.fact("an unverified client may write a draft but not publish it", told, (403, "email_unverified"))
    telling.step("Both follow the link in their mail and sign in")
    for person in (client, freelancer):
        person.verify().sign_in()
        me = person.call("GET", "/api/auth/me")
        telling.fact(f"{person.first_name}'s address is verified", me["email_verified"], True)
        telling.fact("a welcome came too", desk.letter(person.email, "welcome")["to"] != "", True)
    telling.step("The freelancer sets up payouts at Stripe")
    freelancer.set_up_payouts()
    telling.fact("the account can be paid to", freelancer.call("GET", "/api/stripe/accounts/me")["payouts_ready"], True)
    return Story(desk, record, telling, client, freelancer, {}, [], before)


def project_of() -> dict[str, Any]:
    """The project of the story."""
    return {
        "title": "A shop for hand-made kites",
        "description": "Catalogue, basket, checkout. Tests included.",
        "category": "web",
        "skills": ["python", "litestar"],
        "budget_type": "fixed",
        "budget_min": 1500,
        "budget_max": 2500,
        "currency": "USD",
        "visibility": "public",
    }


def hire(story: Story) -> None:
    """A project, a proposal with two milestones, its acceptance, two signatures."""
    client, freelancer, telling = story.client, story.freelancer, story.telling
    telling.step("The client posts a project; the freelancer proposes")
    project = client.call("POST", "/api/projects", project_of(), expect=201)
    client.call("POST", f"/api/projects/{project['id']}/publish")
    found = [one["id"] for one in freelancer.call("GET", "/api/projects?limit=100")["items"]]
    telling.fact("the freelancer finds it", project["id"] in found, True)
    proposal = freelancer.call(
        "POST",
        "/api/proposals",
        {
            "project_id": project["id"],
            "cover_letter": "I have built three of these, and I fly kites.",
            "bid_amount": 2000,
            "currency": "USD",
            "delivery_days": 14,
            "milestones": [
                {"title": "Catalogue", "amount": 1200, "due_date": soon()},
                {"title": "Checkout", "amount": 800, "due_date": soon()},
            ],
        },
        expect=201,
    )
    telling.fact("the client got a mail about it", bool(story.desk.letter(client.email, "proposal")), True)
    telling.step("The client accepts; both sign the contract")
    accepted = client.call("POST", f"/api/proposals/{proposal['id']}/accept")
    for person in (client, freelancer):
        story.contract = person.call("POST", f"/api/contracts/{accepted['contract_id']}/sign")
    telling.fact("the contract is", story.contract["status"], "active")
    listed = client.call("GET", f"/api/milestones?contract_id={accepted['contract_id']}")["items"]
    story.milestones = listed
    telling.fact(
        "its milestones",
        [(one["title"], one["status"]) for one in listed],
        [("Catalogue", "pending"), ("Checkout", "pending")],
    )


def soon() -> str:
    """A due date that a hold on a card outlives."""
    return (datetime.now(UTC).date() + timedelta(days=3)).isoformat()


def fund(story: Story) -> None:
    """A declined card, a good one, and one whose bank asks its owner."""
    client, telling = story.client, story.telling
    first, second = (one["id"] for one in story.milestones)
    telling.step("The client funds the first milestone")
    declined = client.send(
        "POST", f"/api/milestones/{first}/fund", {"payment_method_id": "pm_card_visa_chargeDeclined"}
    )
    telling.fact("a bad card is declined", (declined.status_code, declined.json()["code"]), (402, "card_declined"))
    funded = client.call("POST", f"/api/milestones/{first}/fund", {"payment_method_id": "pm_card_visa"})
    telling.fact("a good one is held in escrow", (funded["status"], funded["amount"]), ("funded", 1200.0))
    telling.step("The second milestone's bank wants to know its customer (3-D Secure)")
    asked = client.call(
        "POST", f"/api/milestones/{second}/fund", {"payment_method_id": "pm_card_threeDSecure2Required"}
    )
    telling.fact("the answer is", (asked["status"], bool(asked["client_secret"])), ("requires_action", True))
    story.desk.sandbox("POST", f"3ds/{asked['client_secret'].partition('_secret')[0]}/approve")
    client.wait_until(lambda: milestone(story, 1)["status"] == "funded", "the second milestone is funded")
    telling.fact("after the customer's yes, Stripe's callback funds it", milestone(story, 1)["status"], "funded")


def milestone(story: Story, index: int) -> dict[str, Any]:
    """A milestone as the client sees it now."""
    found: dict[str, Any] = story.client.call("GET", f"/api/milestones/{story.milestones[index]['id']}")
    return found


def deliver(story: Story, index: int) -> int:
    """The freelancer hands a milestone in; returns its id."""
    milestone_id: int = story.milestones[index]["id"]
    story.freelancer.call(
        "POST", f"/api/milestones/{milestone_id}/submit", {"note": "Done: see the branch.", "attachment_ids": []}
    )
    return milestone_id


def release_first(story: Story) -> None:
    """The plain way: approved, captured, transferred, and both sides told."""
    client, freelancer, telling = story.client, story.freelancer, story.telling
    ear = Ear(story.desk.api, freelancer.token)
    telling.step("The freelancer delivers; the client approves")
    first = deliver(story, 0)
    stranger = freelancer.send("POST", f"/api/milestones/{first}/approve")
    telling.fact("the freelancer cannot approve the own work", stranger.status_code, 403)
    released = client.call("POST", f"/api/milestones/{first}/approve")
    telling.fact(
        "released: gross, fee, net",
        (released["status"], released["amount"], released["fee"], released["net"]),
        ("released", 1200.0, 120.0, 1080.0),
    )
    again = client.send("POST", f"/api/milestones/{first}/approve")
    telling.fact("a second approval is refused", (again.status_code, again.json()["code"]), (409, "wrong_state"))
    telling.step("Both are told")
    told = ear.wait_for("notification", type="payment_received")
    telling.fact("the freelancer's browser, live", told and told["data"]["amount"], NET_FIRST)
    changed = ear.wait_for("milestone_update", milestone_id=first, status="released")
    telling.fact("and that the milestone is", changed and changed["status"], "released")
    telling.fact("nothing came twice or out of order", ear.numbers() == sorted(set(ear.numbers())), True)
    ear.close()
    telling.fact("the freelancer by mail", "1,080.00" in story.desk.letter(freelancer.email, "1,080.00")["text"], True)
    telling.fact("the client by mail", "1,200.00" in story.desk.letter(client.email, "1,200.00")["text"], True)


def release_second(story: Story) -> None:
    """The last milestone, approved without waiting: the job is followed instead."""
    client, telling = story.client, story.telling
    telling.step("The second milestone is approved without waiting for the answer")
    second = deliver(story, 1)
    job = client.call("POST", f"/api/milestones/{second}/approve", expect=202, Prefer="respond-async")
    client.wait_until(lambda: client.call("GET", f"/api/jobs/{job['id']}")["status"] == "succeeded", "the job is done")
    telling.fact("its job ended, and the milestone is", milestone(story, 1)["status"], "released")


def prove(story: Story) -> None:
    """The ledger's proof, what the card network's side says, and who holds what."""
    telling = story.telling
    telling.step("The proof")
    first, second = (one["id"] for one in story.milestones)
    ran = subprocess.run(
        [sys.executable, "-m", "tasks.prove", f"milestone:{first}", f"milestone:{second}"],
        cwd=ROOT, env=story.record["environment"], capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    nothing = {"differences": [ran.stderr], "holdings": [], "histories": {}, "journals": 0}
    proof: dict[str, Any] = json.loads(ran.stdout) if ran.stdout else nothing
    telling.fact("differences in the ledger", proof["differences"], [])
    for subject, kinds in proof["histories"].items():
        telling.fact(f"journals of {subject}", kinds, ["fund", "release"])
    totals = story.desk.sandbox("GET", "totals")
    for milestone_id, net in ((first, NET_FIRST), (second, NET_SECOND)):
        group = totals["transfer_groups"].get(f"milestone:{milestone_id}", {})
        found = (group.get("transfers"), group.get("transferred"))
        telling.fact(f"transfers to the freelancer for milestone {milestone_id}", found, (1, net))
    captures = [
        charge["captures"]
        for intent, charge in totals["payment_intents"].items()
        if intent not in story.captured_before
    ]
    telling.fact("captures of each charge", captures, [1, 1])
    held = {one["account"]: one["amount"] for one in proof["holdings"]}
    telling.fact("escrow is empty again", [held.get(f"escrow:milestone:{one}", 0) for one in (first, second)], [0, 0])
    contract = story.client.call("GET", f"/api/contracts/{story.contract['id']}")
    telling.fact("the contract is", contract["status"], "completed")
    telling.say(f"What each account holds ({proof['journals']} journals):")
    names = {
        "platform:fees": "what the platform earned",
        "world:stripe": "what came in by card less what went out by transfer",
    }
    telling.table([(one["account"], one["asset"], one["amount"]) for one in proof["holdings"]], names)
