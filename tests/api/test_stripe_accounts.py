"""A freelancer's payout account over HTTP; its onboarding link is the owner's alone."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from litestar import Litestar

from models import guard
from tests import factories, worlds
from tests.api.callers import anonymous, body_of, calling, problem_of
from tests.api.working import a_worker
from tests.stripe_sandbox import StripeSandbox

ACCOUNTS = "/api/stripe/accounts"


@pytest.fixture
async def worker(app: Litestar, stripe: StripeSandbox) -> AsyncIterator[None]:
    """The worker that carries out what the API enqueues."""
    async with a_worker():
        yield


async def test_an_account_is_opened_once_and_its_link_is_made_anew(app: Litestar, stripe: StripeSandbox, worker: None):
    freelancer = await factories.a_freelancer(payouts_ready=False)
    caller = await calling(app, freelancer)
    problem_of(await caller.get(f"{ACCOUNTS}/me"), 404, "not_found")
    first = body_of(await caller.post(ACCOUNTS), 200)
    again = body_of(await caller.post(ACCOUNTS), 200)
    assert (again["id"], again["payouts_ready"]) == (first["id"], False)
    assert first["onboarding_url"] != again["onboarding_url"]
    assert first["onboarding_url"].startswith(stripe.base)
    traces = str(await worlds.traces())
    assert first["onboarding_url"] not in traces
    assert again["onboarding_url"] not in traces
    assert body_of(await caller.get(f"{ACCOUNTS}/me"), 200) == {
        "id": first["id"],
        "payouts_ready": False,
        "onboarding_url": None,
    }
    stripe.complete(first["id"])
    ready = {"id": first["id"], "payouts_ready": True, "onboarding_url": None}
    assert body_of(await caller.post(ACCOUNTS), 200) == ready
    assert body_of(await caller.get(f"{ACCOUNTS}/me"), 200) == ready
    assert await guard.value("select onboarding_sealed from users where id = $1", freelancer.id) is None
    assert await worlds.told(freelancer.id) == ["payouts_ready"]


async def test_accounts_are_a_freelancers_own(app: Litestar, stripe: StripeSandbox, subtests: pytest.Subtests):
    for who, caller, status, code in (
        ("nobody", anonymous(app), 401, "token_invalid"),
        ("client", await calling(app, await factories.a_client()), 403, "role_not_allowed"),
        ("admin", await calling(app, await factories.an_admin()), 403, "role_not_allowed"),
        ("unverified", await calling(app, await factories.a_freelancer(verified=False)), 403, "email_unverified"),
    ):
        with subtests.test(who=who):
            async with worlds.unmoved():
                problem_of(await caller.post(ACCOUNTS), status, code)


async def test_stripe_away_is_a_202_and_the_account_comes_later(app: Litestar, stripe: StripeSandbox):
    caller = await calling(app, await factories.a_freelancer(payouts_ready=False))
    caller.headers["Prefer"] = "wait=1"
    stripe.fault("refuse_connection", "POST /v1/accounts", times=1_000)
    async with a_worker():
        answer = await caller.post(ACCOUNTS)
        assert answer.status_code == 202
        job = answer.headers["location"]
        assert body_of(await caller.get(job), 200)["status"] in ("queued", "running")
        stripe.reset()
        await guard.rows("update job_live set run_at = now()")
        while body_of(await caller.get(job), 200)["status"] != "succeeded":  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert body_of(await caller.get(f"{ACCOUNTS}/me"), 200)["id"].startswith("acct_")
