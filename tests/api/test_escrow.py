"""A milestone's money over HTTP: paid from a card, approved, and refused to everybody whose business it is not."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import httpx
import pytest
from litestar import Litestar

from models import guard
from models.milestones import MilestoneStatus
from tests import factories, worlds
from tests.api.callers import anonymous, body_of, calling, problem_of
from tests.api.working import a_worker
from tests.escrows import FUND, RELEASE, Deal, a_deal, assert_proven, assert_released_once, journals
from tests.stripe_sandbox import StripeSandbox, signature

VISA = {"payment_method_id": "pm_card_visa"}


@pytest.fixture
async def worker(app: Litestar, stripe: StripeSandbox) -> AsyncIterator[None]:
    """The worker that carries out what the API enqueues."""
    async with a_worker():
        yield


async def fund(caller: httpx.AsyncClient, deal: Deal, **body: Any) -> httpx.Response:
    return await caller.post(f"/api/milestones/{deal.milestone_id}/fund", json=body or VISA)


async def approve(caller: httpx.AsyncClient, deal: Deal) -> httpx.Response:
    return await caller.post(f"/api/milestones/{deal.milestone_id}/approve")


async def test_a_milestone_is_funded_delivered_and_approved(app: Litestar, stripe: StripeSandbox, worker: None):
    deal = await a_deal(stripe)
    client = await calling(app, deal.hire.client)
    funded = body_of(await fund(client, deal), 200)
    assert funded == {
        "id": deal.milestone_id,
        "payment_id": funded["payment_id"],
        "status": "funded",
        "amount": Decimal("1000.00"),
        "currency": "USD",
        "escrow": {"state": "funded", "rail": "hold", "releasable": Decimal("1000.00")},
        "client_secret": None,
    }
    await deal.submit()
    released = body_of(await approve(client, deal), 200)
    assert released == {
        "id": deal.milestone_id,
        "release_id": released["release_id"],
        "status": "released",
        "amount": Decimal("1000.00"),
        "fee": Decimal("100.00"),
        "net": Decimal("900.00"),
        "currency": "USD",
        "transfer_id": await guard.value("select transfer_id from releases"),
    }
    await assert_released_once(deal, stripe)


async def test_only_the_contracts_client_moves_its_money(
    app: Litestar, stripe: StripeSandbox, subtests: pytest.Subtests
):
    deal = await a_deal(stripe)
    people = [
        ("nobody", anonymous(app), 401, "token_invalid"),
        ("freelancer", await calling(app, deal.hire.freelancer), 403, "role_not_allowed"),
        ("another client", await calling(app, await factories.a_client()), 404, "not_found"),
        ("unverified client", await calling(app, await factories.a_client(verified=False)), 403, "email_unverified"),
        ("admin", await calling(app, await factories.an_admin()), 403, "role_not_allowed"),
    ]
    for who, caller, status, code in people:
        with subtests.test(who=who):
            async with worlds.unmoved():
                problem_of(await fund(caller, deal), status, code)
                problem_of(await approve(caller, deal), status, code)


async def test_a_freelancer_who_came_past_the_guard_is_told_no(stripe: StripeSandbox):
    """The verbs know their people too."""
    from models.errors import NotFound, RoleNotAllowed
    from models.escrow import funding, releasing

    deal = await a_deal(stripe)
    stranger = await factories.a_client()
    for caller_id, error in ((deal.hire.freelancer.id, RoleNotAllowed), (stranger.id, NotFound)):
        async with worlds.refused(error):
            await guard.commit(
                funding.request_funding,
                deal.milestone_id,
                caller_id=caller_id,
                payment_method_id="pm_card_visa",
                policy=factories.POLICY,
            )
        async with worlds.refused(error):
            await guard.commit(releasing.request_release, deal.milestone_id, caller_id=caller_id)


async def test_money_moves_in_the_right_state_only(app: Litestar, stripe: StripeSandbox):
    deal = await a_deal(stripe)
    client = await calling(app, deal.hire.client)
    async with worlds.unmoved():
        problem_of(await approve(client, deal), 409, "wrong_state")
        problem_of(await client.post("/api/milestones/404404/fund", json=VISA), 404, "not_found")
        problem_of(await client.post("/api/milestones/404404/approve"), 404, "not_found")
    await deal.funded()
    async with worlds.unmoved():
        problem_of(await fund(client, deal), 409, "wrong_state")
        problem_of(await approve(client, deal), 409, "wrong_state")
    await deal.submit()
    async with worlds.unmoved():
        problem_of(await fund(client, deal), 409, "wrong_state")


async def test_an_unsigned_contract_is_not_funded(app: Litestar, stripe: StripeSandbox):
    hire = await worlds.a_hire(signed=False)
    client = await calling(app, hire.client)
    async with worlds.unmoved():
        answer = await client.post(f"/api/milestones/{hire.milestones[0].id}/fund", json=VISA)
        assert "both sides sign" in problem_of(answer, 409, "wrong_state")["detail"]


async def test_a_delivery_without_money_behind_it_is_not_released(app: Litestar, stripe: StripeSandbox):
    deal = await a_deal(stripe)
    await factories.walked(deal.hire.milestones[0], MilestoneStatus.SUBMITTED)
    client = await calling(app, deal.hire.client)
    async with worlds.unmoved():
        problem = problem_of(await approve(client, deal), 409, "escrow_underfunded")
    assert problem["detail"] == "Escrow holds 0.00 USD; the release needs 1,000.00 USD."


async def test_bodies_that_make_no_sense_are_refused(app: Litestar, stripe: StripeSandbox, subtests: pytest.Subtests):
    deal = await a_deal(stripe)
    client = await calling(app, deal.hire.client)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"source": "card"}, "payment_method_missing"),
        ({"payment_method_id": None}, "payment_method_missing"),
        ({"payment_method_id": ""}, "invalid"),
        ({"payment_method_id": "4242424242424242"}, "invalid"),
        ({"payment_method_id": "pm_"}, "invalid"),
        ({"payment_method_id": "pm_card_visa&amount=1"}, "invalid"),
        ({"payment_method_id": "pm_card_visa\n"}, "invalid"),
        ({"payment_method_id": "pm_" + "x" * 201}, "invalid"),
        ({"payment_method_id": 7}, "invalid"),
        ({**VISA, "source": "balance"}, "invalid"),
        ({**VISA, "amount": 1}, "invalid"),
        ({**VISA, "milestone_id": 1}, "invalid"),
    ]
    for body, code in wrong:
        with subtests.test(body=body):
            async with worlds.unmoved():
                problem_of(await client.post(f"/api/milestones/{deal.milestone_id}/fund", json=body), 422, code)


@pytest.mark.parametrize(
    ("card", "decline_code"),
    [
        ("pm_card_chargeDeclinedInsufficientFunds", "insufficient_funds"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card"),
    ],
)
async def test_a_decline_is_a_402_with_the_banks_word_and_another_card_pays(
    app: Litestar, stripe: StripeSandbox, worker: None, card: str, decline_code: str
):
    deal = await a_deal(stripe)
    client = await calling(app, deal.hire.client)
    problem = problem_of(await fund(client, deal, payment_method_id=card), 402, "card_declined")
    assert problem["decline_code"] == decline_code
    assert (await deal.status(), await deal.held(), await journals(deal)) == ("pending", 0, [])
    assert body_of(await fund(client, deal), 200)["status"] == "funded"
    assert await journals(deal) == [FUND]
    await assert_proven()


async def test_a_payment_method_stripe_does_not_know_is_refused_by_it(
    app: Litestar, stripe: StripeSandbox, worker: None
):
    deal = await a_deal(stripe)
    client = await calling(app, deal.hire.client)
    problem = problem_of(await fund(client, deal, payment_method_id="pm_nothing"), 422, "refused_by_provider")
    assert problem["provider_code"] == "resource_missing"


async def test_three_d_secure_is_an_answer_whose_secret_only_the_payer_sees(
    app: Litestar, stripe: StripeSandbox, worker: None, capfd: pytest.CaptureFixture[str]
):
    deal = await a_deal(stripe)
    client, freelancer = await calling(app, deal.hire.client), await calling(app, deal.hire.freelancer)
    answer = body_of(await fund(client, deal, payment_method_id="pm_card_threeDSecureRequired"), 200)
    secret = answer["client_secret"]
    assert secret == stripe.get(f"/v1/payment_intents/{await deal.intent_id()}")["client_secret"]
    assert (answer["status"], answer["escrow"]) == (
        "requires_action",
        {"state": "funding", "rail": "hold", "releasable": 0},
    )
    job_id = await guard.value("select id from jobs where kind = 'escrow.fund_milestone'")
    seen = [
        (await client.get(f"/api/jobs/{job_id}")).text,
        (await client.get("/api/jobs")).text,
        (await freelancer.get(f"/api/milestones/{deal.milestone_id}")).text,
        str(await worlds.traces()),
        *capfd.readouterr(),
    ]
    assert not [one for one in seen if secret in one or secret.rpartition("_secret_")[2] in one]
    problem_of(await freelancer.get(f"/api/jobs/{job_id}"), 404, "not_found")
    # Approved in the browser; Stripe tells us, and asking again finds it paid.
    stripe.approve(await deal.intent_id())
    (event,) = stripe.events(await deal.intent_id(), "payment_intent.amount_capturable_updated")
    raw = httpx.Request("POST", "http://x", json=event).content
    told = await anonymous(app).post(
        "/api/stripe/webhooks",
        content=raw,
        headers={"stripe-signature": signature(raw), "content-type": "application/json"},
    )
    assert body_of(told, 200) == {"received": True}
    while await deal.status() != "funded":  # noqa: ASYNC110  the worker's doing
        await asyncio.sleep(0.01)
    assert await journals(deal) == [FUND]
    await assert_proven()


async def test_whoever_will_not_wait_finds_the_outcome_at_the_job(app: Litestar, stripe: StripeSandbox):
    deal = await a_deal(stripe)
    client = await calling(app, deal.hire.client)
    client.headers["Prefer"] = "respond-async"
    funding = await fund(client, deal)
    assert (funding.status_code, funding.headers["preference-applied"]) == (202, "respond-async")
    queued = body_of(await client.get(funding.headers["location"]), 200)
    assert (queued["status"], queued["kind"], queued["result"]) == ("queued", "escrow.fund_milestone", None)
    async with a_worker():
        assert (await ended(client, funding))["result"]["status"] == "funded"
        await deal.submit()
        done = await ended(client, await approve(client, deal))
    assert (done["result"]["status"], done["result"]["net_minor"]) == ("released", 90_000)
    assert await journals(deal) == [FUND, RELEASE]


async def ended(client: httpx.AsyncClient, accepted: httpx.Response) -> dict[str, Any]:
    """The job as its location shows it once it has ended."""
    assert accepted.status_code == 202, accepted.text
    while (job := body_of(await client.get(accepted.headers["location"]), 200))["finished_at"] is None:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    found: dict[str, Any] = job
    return found


async def test_a_hold_that_is_gone_is_a_refusal_and_the_milestone_can_be_funded_again(
    app: Litestar, stripe: StripeSandbox, worker: None
):
    from tests.stripe_sandbox import HOLD_S

    deal = await a_deal(stripe)
    client = await calling(app, deal.hire.client)
    body_of(await fund(client, deal), 200)
    await deal.submit()
    stripe.advance(HOLD_S + 1)
    problem_of(await approve(client, deal), 422, "refused_by_provider")
    assert (await deal.status(), await deal.held()) == ("pending", 0)
    assert body_of(await fund(client, deal), 200)["status"] == "funded"
    await assert_proven()


async def test_what_an_approval_does_not_take_is_refused_and_nothing_is_released(
    app: Litestar, stripe: StripeSandbox, worker: None
):
    deal = await a_deal(stripe)
    client = await calling(app, deal.hire.client)
    body_of(await fund(client, deal), 200)
    await deal.submit()
    partial = await client.post(f"/api/milestones/{deal.milestone_id}/approve", json={"amount": 5})
    assert problem_of(partial, 422, "invalid")["errors"] == [
        {"field": "amount", "message": "A milestone is released as a whole: 1,000.00 USD, and not a part of it."}
    ]
    assert (await deal.status(), await journals(deal)) == ("submitted", [FUND])
    nothing = await client.post(f"/api/milestones/{deal.milestone_id}/approve", json={})
    assert body_of(nothing, 200)["status"] == "released"


async def test_a_client_who_asked_for_changes_may_approve_all_the_same(
    app: Litestar, stripe: StripeSandbox, worker: None
):
    deal = await a_deal(stripe)
    client = await calling(app, deal.hire.client)
    body_of(await fund(client, deal), 200)
    await deal.submit()
    wanting = await client.post(f"/api/milestones/{deal.milestone_id}/request-changes", json={"note": "Bigger."})
    assert body_of(wanting, 200)["status"] == "changes_requested"
    await assert_proven()
    whole = await client.post(f"/api/milestones/{deal.milestone_id}/approve", json={"amount": 1000})
    assert body_of(whole, 200)["status"] == "released"
    await assert_released_once(deal, stripe)
