"""Milestones with real money at the stand-in, and what every escrow test asserts at its end."""

import random
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

# For their performers.
import tasks.escrow
import tasks.inbox
import tasks.invariants
import tasks.payments  # noqa: F401
from models import guard, milestones, outbox
from models.accounts import Person
from models.escrow import funding, releasing
from models.escrow.funding import FundingRequested
from models.escrow.releasing import ReleaseRequested
from models.jobs import Job, JobStatus, Queue
from models.ledger import accounts, proof
from models.ledger.posting import balance
from models.money import fee_of
from models.proposals import Stage
from models.queue.views import JobView
from tests import factories, worlds
from tests.performing import perform_all, perform_killed, perform_now, release_dead
from tests.stripe_sandbox import StripeSandbox
from tests.worlds import Hire

GROSS: Final = 100_000
FEE: Final = 10_000
NET: Final = 90_000
"""What the milestones of these tests cost, in cents, and how that is shared."""


class Deal(msgspec.Struct, frozen=True):
    """A signed contract with one milestone of 1,000.00 USD, and a freelancer whom Stripe can pay."""

    hire: Hire
    milestone_id: int
    account_id: str

    async def another(self) -> "Deal":
        """A deal of the same client with the same freelancer."""
        made = await _hired(self.hire.client, self.hire.freelancer, today(plus=1))
        return Deal(made, made.milestones[0].id, self.account_id)

    async def fund(self, card: str = "pm_card_visa") -> FundingRequested:
        """Ask for the milestone to be paid."""
        return await guard.commit(
            funding.request_funding,
            self.milestone_id,
            caller_id=self.hire.client.id,
            payment_method_id=card,
            policy=factories.POLICY,
        )

    async def funded(self, card: str = "pm_card_visa") -> int:
        """The id of the payment that funded the milestone."""
        requested = await self.fund(card)
        done = await perform_now(requested.job.job_id)
        assert (done.status, done.result["status"]) == (JobStatus.SUCCEEDED, "funded"), done
        return requested.payment_id

    async def submit(self) -> None:
        """Deliver the milestone."""
        await guard.commit(milestones.submit, self.milestone_id, freelancer_id=self.hire.freelancer.id, note="Done.")

    async def approve(self) -> ReleaseRequested:
        """Ask for the milestone's release."""
        return await guard.commit(releasing.request_release, self.milestone_id, caller_id=self.hire.client.id)

    async def releasing(self, card: str = "pm_card_visa") -> ReleaseRequested:
        """Pay, deliver and approve: the release's job waits."""
        await self.funded(card)
        await self.submit()
        return await self.approve()

    async def intent_id(self) -> str:
        """The intent of the milestone's newest payment."""
        found: str = await guard.value(
            "select intent_id from payments where milestone = $1 order by id desc limit 1", self.milestone_id
        )
        return found

    async def status(self) -> str:
        """The milestone's status."""
        found: str = await guard.value("select status from milestones where id = $1", self.milestone_id)
        return found

    async def payment_status(self) -> str:
        """The status of the milestone's newest payment."""
        found: str = await guard.value(
            "select status from payments where milestone = $1 order by id desc limit 1", self.milestone_id
        )
        return found

    async def held(self) -> int:
        """What escrow holds for the milestone, in cents."""
        return (await balance(accounts.milestone(self.milestone_id), "USD")).minor


def today(*, plus: int = 0) -> date:
    """Today in UTC, or some days later."""
    return datetime.now(UTC).date() + timedelta(days=plus)


async def a_deal(stripe: StripeSandbox, *, rail: str = "hold", onboarded: bool = True) -> Deal:
    """A deal whose card is held (`hold`: due within days) or charged at once (`captured`)."""
    due = today(plus=1 if rail == "hold" else 60)
    hire = await _hired(await factories.a_client(), await factories.a_freelancer(), due)
    account_id = stripe.account(complete=onboarded)
    await guard.rows("update users set stripe_account_id = $2 where id = $1", hire.freelancer.id, account_id)
    assert fee_of(hire.milestones[0].amount, hire.contract.fee_bp).minor == FEE
    return Deal(hire, hire.milestones[0].id, account_id)


async def _hired(client: Person, freelancer: Person, due: date) -> Hire:
    stage = Stage(title="The shop", amount_minor=GROSS, due_date=due)
    offer = msgspec.structs.replace(factories.an_offer("1000.00"), stages=[stage])
    contract = await factories.a_contract(client, freelancer, offer=offer)
    return Hire(client, freelancer, contract, await factories.milestones_of(contract))


async def journals(deal: Deal) -> list[tuple[str, dict[str, int]]]:
    """The kind and the postings by account of each of a deal's journals, oldest first; ids are written as `*`."""
    found = await guard.rows(
        """select j.kind, jsonb_object_agg(regexp_replace(p.account, '[0-9]+', '*'), p.amount::bigint)::text as moves
             from journals j join postings p on p.journal = j.id
            where j.subject = $1 group by j.id order by j.id""",
        f"milestone:{deal.milestone_id}",
    )
    return [(one["kind"], msgspec.json.decode(one["moves"])) for one in found]


FUND: Final[tuple[str, dict[str, int]]] = ("fund", {"escrow:milestone:*": GROSS, "world:stripe": -GROSS})
RELEASE: Final[tuple[str, dict[str, int]]] = (
    "release",
    {"escrow:milestone:*": -GROSS, "platform:fees": FEE, "world:stripe": NET},
)
HELD: Final[tuple[str, dict[str, int]]] = (
    "release",
    {"escrow:milestone:*": -GROSS, "platform:fees": FEE, "user:*:available": NET},
)
LAPSE: Final[tuple[str, dict[str, int]]] = ("lapse", {"escrow:milestone:*": -GROSS, "world:stripe": GROSS})


async def assert_proven() -> None:
    """Not a cent is lost, invented or unexplained."""
    assert (await proof.prove()).differences == []


async def assert_released_once(deal: Deal, stripe: StripeSandbox) -> None:
    """One capture, one transfer, one journal each, everybody told once."""
    intent_id = await deal.intent_id()
    assert stripe.captures(intent_id) == (1, GROSS)
    assert stripe.transfers(deal.milestone_id) == (1, NET)
    assert await journals(deal) == [FUND, RELEASE]
    assert (await deal.status(), await deal.payment_status(), await deal.held()) == ("released", "succeeded", 0)
    client, freelancer = deal.hire.client.id, deal.hire.freelancer.id
    assert (await worlds.told(freelancer)).count("payment_received") == 1
    assert (await worlds.told(freelancer)).count("milestone_funded") == 1
    assert (await worlds.told(client)).count("milestone_released") == 1
    assert (await worlds.mailed(freelancer)).count("payment_received") == 1
    assert (await worlds.mailed(freelancer)).count("milestone_completed") == 1
    assert (await worlds.mailed(client)).count("payment_sent") == 1
    released = [one for one in await heard(client) if one == ("milestone_update", "released")]
    assert released == [("milestone_update", "released")]
    billed = await guard.rows("select kind, amount_minor from invoices where milestone = $1", deal.milestone_id)
    assert sorted(tuple(one) for one in billed) == [("fee", FEE), ("work", GROSS)]
    await assert_proven()


async def heard(user_id: int) -> list[tuple[str, Any]]:
    """The names and statuses of what a person's browser was told, without notifications."""
    return [
        (name, payload["status"])
        for name, payload in await worlds.heard(f"user:{user_id}")
        if name in ("milestone_update", "payment_update")
    ]


async def performed(job: Job) -> JobView:
    """A new job, carried out at once."""
    made = await guard.commit(outbox.enqueue, job)
    return await perform_now(made.job_id)


async def crashed(job_id: UUID, crash: AbstractContextManager[None]) -> None:
    """A job whose worker dies on the way, and is reaped."""
    with crash:
        await perform_killed(job_id)
    await release_dead(job_id)


async def assert_funded_once(deal: Deal, stripe: StripeSandbox, *, rail: str) -> None:
    """One charge in its rail's state, one journal, the freelancer told once."""
    (intent,) = stripe.intents_of(deal.milestone_id)
    assert stripe.captures(intent["id"]) == ((0, 0) if rail == "hold" else (1, GROSS))
    assert intent["status"] == ("requires_capture" if rail == "hold" else "succeeded")
    assert (await deal.status(), await deal.payment_status(), await deal.held()) == ("funded", intent["status"], GROSS)
    assert await journals(deal) == [FUND]
    assert (await worlds.told(deal.hire.freelancer.id)).count("milestone_funded") == 1
    updates = [one for one in await heard(deal.hire.freelancer.id) if one == ("milestone_update", "funded")]
    assert updates == [("milestone_update", "funded")]
    await assert_proven()


async def assert_unfunded(deal: Deal, payment_status: str) -> None:
    """The milestone can be funded anew, and nothing is held for it."""
    assert (await deal.status(), await deal.payment_status(), await deal.held()) == ("pending", payment_status, 0)
    await assert_proven()


async def handled(stripe: StripeSandbox, *events: dict[str, Any]) -> list[str]:
    """What becomes of each event, stored and worked on one after the other."""
    outcomes = []
    for event in events:
        assert await stripe.deliver(event)
        (job,) = await perform_all((Queue.PAYMENTS,))
        assert job.status is JobStatus.SUCCEEDED, job
        outcomes.append(job.result["outcome"])
    return outcomes


def an_event(kind: str, object_id: str) -> dict[str, Any]:
    """An event as Stripe writes it, as far as anybody looks at it."""
    return {
        "id": f"evt_{random.getrandbits(64):x}",
        "type": kind,
        "livemode": False,
        "data": {"object": {"id": object_id}},
    }


async def alarms(stripe: StripeSandbox, event: dict[str, Any]) -> None:
    """The event's job stops at an assertion: it is logged as our mistake, and tried again until it is dead."""
    await stripe.deliver(event)
    (job,) = await perform_all((Queue.PAYMENTS,))
    assert job.status is JobStatus.QUEUED
    assert await guard.value("select error_code from job_live where job_id = $1", job.id) == "internal_error"


@asynccontextmanager
async def only_jobs_moved() -> AsyncIterator[None]:
    """What is done inside leaves no trace but its own jobs."""
    before = await worlds.traces()
    yield
    after = await worlds.traces()
    assert {table for table in after if after[table] != before[table]} <= {"jobs"}
