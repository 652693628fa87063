"""A request under a key has one effect, however often it comes; a repetition is shown what the first one made."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import msgspec
import pytest
from litestar import Litestar, Router, post
from litestar.params import FromPath

from api.app import ROUTERS
from api.auth import signed_in
from api.idempotency import PATHS, Once, Repeated, _job_id, nothing
from models import guard, idempotency
from models.accounts import Person
from models.errors import IdempotencyInProgress
from models.idempotency import Asked
from models.jobs import JobStatus
from models.outbox import Enqueued
from tests import factories, worlds
from tests.api.callers import anonymous, body_of, calling, problem_of
from tests.api.test_projects import BODY
from tests.api.working import a_worker
from tests.escrows import a_deal, assert_released_once
from tests.queued import a_dead_job, a_job
from tests.stripe_sandbox import StripeSandbox

RUNS: list[str] = []
DECLINED = {"payment_method_id": "pm_card_visa_chargeDeclined"}
VISA = {"payment_method_id": "pm_card_visa"}
THREE_D_SECURE = {"payment_method_id": "pm_card_threeDSecure2Required"}


async def _stumble(how: str) -> None:
    """Loses to a rival the first time it runs."""
    guard.in_transaction()
    RUNS.append(how)
    await guard.rows("insert into throttles (key) values ($1)", f"run-{len(RUNS)}")
    if len(RUNS) == 1:
        raise {"deadlock": asyncpg.DeadlockDetectedError, "rival": asyncpg.SerializationError}[how]("a rival won")


@post("/stumble/{how:str}", guards=[signed_in])
async def stumble(how: FromPath[str], once: Once) -> int:
    await once(_stumble, how, again=nothing)
    return len(RUNS)


@pytest.fixture(autouse=True)
def probes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.app.ROUTERS", (*ROUTERS, Router("/probes", route_handlers=[stumble])))


@pytest.fixture
async def person(database: str) -> Person:
    return await factories.a_client()


@pytest.fixture
async def caller(app: Litestar, person: Person) -> AsyncIterator[httpx.AsyncClient]:
    async with await calling(app, person) as made:
        yield made


async def keyed(caller: httpx.AsyncClient, path: str, key: str = "k-1", **sent: Any) -> httpx.Response:
    headers = {"Idempotency-Key": key, **sent.pop("headers", {})}
    return await caller.post(path, headers=headers, **sent)


def first(answer: httpx.Response, status: int) -> Any:
    assert "idempotent-replayed" not in answer.headers
    return body_of(answer, status)


def replayed(answer: httpx.Response, status: int) -> Any:
    assert answer.headers.get("idempotent-replayed") == "true", answer.text
    return body_of(answer, status)


async def kept() -> int:
    found: int = await guard.value("select count(*) from idempotency_keys")
    return found


async def test_what_was_made_once_is_shown_again(caller: httpx.AsyncClient):
    made = first(await keyed(caller, "/api/projects", json=BODY), 201)
    async with worlds.unmoved():
        assert replayed(await keyed(caller, "/api/projects", json=BODY), 201) == made
        assert replayed(await keyed(caller, "/api/projects", json=BODY), 201) == made
    assert await guard.value("select count(*) from projects") == 1


async def test_without_a_key_nothing_is_kept_and_each_request_counts(caller: httpx.AsyncClient):
    for _ in range(2):
        first(await caller.post("/api/projects", json=BODY), 201)
    assert (await guard.value("select count(*) from projects"), await kept()) == (2, 0)


async def test_a_repetition_shows_the_row_as_it_is_now(caller: httpx.AsyncClient):
    made = first(await keyed(caller, "/api/projects", json=BODY), 201)
    path = f"/api/projects/{made['id']}/publish"
    opened = first(await keyed(caller, path), 200)
    assert opened["status"] == "open"
    problem_of(await keyed(caller, path, "k-2"), 409, "wrong_state")
    await guard.rows("update projects set status = 'cancelled' where id = $1", made["id"])
    async with worlds.unmoved():
        assert replayed(await keyed(caller, path), 200) == {**opened, "status": "cancelled"}
        assert replayed(await keyed(caller, "/api/projects", json=BODY), 201)["status"] == "cancelled"


async def test_what_the_caller_may_not_see_any_more_is_not_shown(caller: httpx.AsyncClient):
    made = first(await keyed(caller, "/api/projects", json=BODY), 201)
    other = await factories.a_client()
    await guard.rows("update projects set client = $2 where id = $1", made["id"], other.id)
    hidden = await keyed(caller, "/api/projects", json=BODY)
    problem_of(hidden, 404, "not_found")
    assert hidden.headers["idempotent-replayed"] == "true"


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/api/projects", {"json": {**BODY, "title": "Another"}}),
        (
            "/api/projects",
            {"content": b" " + msgspec.json.encode(BODY), "headers": {"Content-Type": "application/json"}},
        ),
        ("/api/projects", {"json": BODY, "headers": {"Content-Type": "application/json; charset=utf-8"}}),
    ],
)
async def test_one_key_is_for_one_request(caller: httpx.AsyncClient, path: str, sent: dict[str, Any]):
    first(await keyed(caller, "/api/projects", json=BODY), 201)
    async with worlds.unmoved():
        refused = await keyed(caller, path, **sent)
        problem_of(refused, 422, "idempotency_key_reused")
        assert "idempotent-replayed" not in refused.headers


async def test_another_project_under_the_same_key_is_another_request(caller: httpx.AsyncClient):
    one, two = [body_of(await caller.post("/api/projects", json=BODY), 201)["id"] for _ in range(2)]
    first(await keyed(caller, f"/api/projects/{one}/publish"), 200)
    async with worlds.unmoved():
        problem_of(await keyed(caller, f"/api/projects/{two}/publish"), 422, "idempotency_key_reused")


async def test_keys_of_other_people_and_routes_never_meet(app: Litestar, caller: httpx.AsyncClient):
    made = first(await keyed(caller, "/api/projects", json=BODY), 201)
    stranger = await calling(app, await factories.a_client())
    theirs = first(await keyed(stranger, "/api/projects", json=BODY), 201)
    assert theirs["id"] != made["id"]
    first(await keyed(caller, f"/api/projects/{made['id']}/publish"), 200)
    first(await keyed(caller, "/api/notifications/read-all"), 200)
    assert await kept() == 4


async def test_a_refusal_keeps_no_key(caller: httpx.AsyncClient):
    async with worlds.unmoved():
        problem_of(await keyed(caller, "/api/projects", json={**BODY, "budget_min": 3000}), 422, "amount_out_of_bounds")
        problem_of(await keyed(caller, "/api/projects/404/publish"), 404, "not_found")
    assert await kept() == 0
    first(await keyed(caller, "/api/projects", json=BODY), 201)


@pytest.mark.parametrize("key", ["", " ", "k" * 256, "kläss", "a\tb", "k\x7f", "\x00"])
async def test_a_key_is_1_to_255_printable_characters(caller: httpx.AsyncClient, key: str):
    async with worlds.unmoved():
        answer = await caller.post("/api/projects", json=BODY, headers={b"Idempotency-Key": key.encode()})
        problem_of(answer, 422, "invalid")


@pytest.mark.parametrize("key", ["k", "k" * 255, "two words", "~!\"'"])
async def test_every_such_key_is_taken(caller: httpx.AsyncClient, key: str):
    first(await keyed(caller, "/api/projects", key, json=BODY), 201)
    replayed(await keyed(caller, "/api/projects", key, json=BODY), 201)


async def test_two_keys_are_refused(caller: httpx.AsyncClient):
    two = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    async with worlds.unmoved():
        refused = problem_of(await caller.post("/api/projects", json=BODY, headers=two), 422, "invalid")
    assert refused["errors"] == [{"field": "Idempotency-Key", "message": "Send one Idempotency-Key."}]


async def test_of_many_first_uses_at_once_one_is_carried_out(caller: httpx.AsyncClient):
    answers = await asyncio.gather(*(keyed(caller, "/api/projects", json=BODY) for _ in range(24)))
    (made,) = await guard.rows("select id from projects")
    new = [one for one in answers if one.status_code == 201 and "idempotent-replayed" not in one.headers]
    again = [one for one in answers if one.status_code == 201 and one not in new]
    rest = [one for one in answers if one.status_code != 201]
    assert (len(new), len(new) + len(again) + len(rest)) == (1, 24)
    assert {one.json()["id"] for one in new + again} == {made["id"]}
    for one in rest:
        problem_of(one, 409, "idempotency_in_progress")


async def test_repetitions_of_what_is_done_never_find_it_in_progress(caller: httpx.AsyncClient):
    made = first(await keyed(caller, "/api/projects", json=BODY), 201)
    answers = await asyncio.gather(*(keyed(caller, "/api/projects", json=BODY) for _ in range(24)))
    assert {replayed(one, 201)["id"] for one in answers} == {made["id"]}


async def test_while_the_first_is_at_it_others_are_told_so_at_once(database: str):
    asked = Asked(user_id=1, route="POST /x", key="k", request_hash=b"h")
    other = Asked(user_id=1, route="POST /x", key="l", request_hash=b"h")

    async def elsewhere(one: Asked) -> Any:
        guard.engine().current_transaction.set(None)
        return await guard.commit(idempotency.take, one)

    async with guard.transaction():
        assert await idempotency.take(asked) is None
        with pytest.raises(IdempotencyInProgress):
            await asyncio.wait_for(asyncio.create_task(elsewhere(asked)), 2)
        assert await asyncio.create_task(elsewhere(other)) is None
        await idempotency.keep(asked, "7")
    assert await guard.commit(idempotency.take, asked) == idempotency.Made(id="7")


async def test_nothing_of_the_body_or_the_answer_is_stored(app: Litestar, stripe: StripeSandbox):
    deal = await a_deal(stripe)
    async with a_worker(), await calling(app, deal.hire.client) as client:
        path = f"/api/milestones/{deal.milestone_id}/fund"
        asked = first(await keyed(client, path, json=THREE_D_SECURE), 200)
        assert asked["client_secret"].startswith("pi_")
        assert replayed(await keyed(client, path, json=THREE_D_SECURE), 200) == asked
    (row,) = await guard.rows(
        "select user_id, route, key, request_hash, made, to_jsonb(k)::text as all from idempotency_keys k"
    )
    job = await guard.value("select id from jobs where kind = 'escrow.fund_milestone'")
    assert (row["user_id"], row["route"], row["key"]) == (
        deal.hire.client.id,
        "POST /api/milestones/{milestone_id}/fund",
        "k-1",
    )
    assert (len(row["request_hash"]), row["made"]) == (32, str(job))
    assert asked["client_secret"] not in row["all"]
    assert "secret" not in row["all"]
    assert "pm_card" not in row["all"]


async def test_money_moves_once_and_a_repetition_waits_for_the_same_job(app: Litestar, stripe: StripeSandbox):
    deal = await a_deal(stripe)
    client = await calling(app, deal.hire.client)
    path = f"/api/milestones/{deal.milestone_id}"
    hurry = {"Prefer": "respond-async"}
    job = first(await keyed(client, f"{path}/fund", json=VISA, headers=hurry), 202)
    again = await keyed(client, f"{path}/fund", json=VISA, headers=hurry)
    assert replayed(again, 202) == job
    assert again.headers["location"] == f"/api/jobs/{job['id']}"
    async with a_worker():
        funded = replayed(await keyed(client, f"{path}/fund", json=VISA), 200)
        assert funded["status"] == "funded"
        await deal.submit()
        released = first(await keyed(client, f"{path}/approve"), 200)
        assert replayed(await keyed(client, f"{path}/approve"), 200) == released
        problem_of(await keyed(client, f"{path}/approve", "k-2"), 409, "wrong_state")
    await assert_released_once(deal, stripe)


async def test_a_declined_card_is_declined_again_under_its_key_and_tried_under_another(
    app: Litestar, stripe: StripeSandbox
):
    deal = await a_deal(stripe)
    async with a_worker(), await calling(app, deal.hire.client) as client:
        path = f"/api/milestones/{deal.milestone_id}/fund"
        declined = await keyed(client, path, json=DECLINED)
        problem_of(declined, 402, "card_declined")
        async with worlds.unmoved():
            again = await keyed(client, path, json=DECLINED)
            assert problem_of(again, 402, "card_declined")["detail"] == declined.json()["detail"]
            assert again.headers["idempotent-replayed"] == "true"
        first(await keyed(client, path, "k-2", json=VISA), 200)


async def test_a_payout_account_is_asked_for_once(app: Litestar, stripe: StripeSandbox):
    freelancer = await factories.a_freelancer(payouts_ready=False)
    async with a_worker(), await calling(app, freelancer) as caller:
        made = first(await keyed(caller, "/api/stripe/accounts"), 200)
        async with worlds.unmoved():
            assert replayed(await keyed(caller, "/api/stripe/accounts"), 200) == made


async def test_a_hire_is_made_with_every_call_sent_twice(app: Litestar):
    client, freelancer = await factories.a_client(), await factories.a_freelancer()
    ours, theirs = await calling(app, client), await calling(app, freelancer)
    project = await factories.a_project(client)
    offer = {
        "project_id": project.id,
        "cover_letter": "I can.",
        "bid_amount": 700,
        "currency": "USD",
        "delivery_days": 7,
    }

    async def twice(caller: httpx.AsyncClient, path: str, status: int = 200, **sent: Any) -> Any:
        made = first(await keyed(caller, path, **sent), status)
        async with worlds.unmoved():
            assert replayed(await keyed(caller, path, **sent), status) == made
        return made

    proposal = await twice(theirs, "/api/proposals", 201, json=offer)
    accepted = await twice(ours, f"/api/proposals/{proposal['id']}/accept")
    assert replayed(await keyed(theirs, "/api/proposals", json=offer), 201) == accepted
    contract = f"/api/contracts/{accepted['contract_id']}/sign"
    assert (await twice(ours, contract))["status"] == "pending_signature"
    assert (await twice(theirs, contract))["status"] == "active"
    stage = {"contract_id": accepted["contract_id"], "title": "More", "amount": 10}
    milestone = await twice(ours, "/api/milestones", 201, json=stage)
    await guard.rows("update milestones set status = 'funded' where id = $1", milestone["id"])
    done = await twice(theirs, f"/api/milestones/{milestone['id']}/submit", json={"note": "Done."})
    assert done["status"] == "submitted"


async def test_notifications_are_marked_once(app: Litestar):
    market = await worlds.a_market(rivals=3)
    caller = await calling(app, market.client)
    some = (await guard.rows("""select id from notifications where "user" = $1""", market.client.id))[0]["id"]
    marked = first(await keyed(caller, f"/api/notifications/{some}/read"), 200)
    assert marked["read"]
    async with worlds.unmoved():
        assert replayed(await keyed(caller, f"/api/notifications/{some}/read"), 200) == marked
    assert first(await keyed(caller, "/api/notifications/read-all"), 200) == {"marked": 2}
    await guard.rows("update notifications set read_at = null where id = $1", some)
    async with worlds.unmoved():
        assert replayed(await keyed(caller, "/api/notifications/read-all"), 200) == {"marked": 0}
    await guard.rows("""update notifications set "user" = $2 where id = $1""", some, market.freelancers[0].id)
    problem_of(await keyed(caller, f"/api/notifications/{some}/read"), 404, "not_found")


@pytest.fixture
async def admin(app: Litestar) -> AsyncIterator[httpx.AsyncClient]:
    async with await calling(app, await factories.an_admin()) as made:
        yield made


@pytest.mark.parametrize(("verb", "state"), [("retry", "queued"), ("discard", "failed"), ("cancel", "cancelled")])
async def test_an_admins_hand_is_laid_on_a_job_once(admin: httpx.AsyncClient, verb: str, state: str):
    job_id = await a_job(JobStatus.QUEUED) if verb == "cancel" else await a_dead_job()
    path = f"/api/admin/jobs/{job_id}/{verb}"
    shown = first(await keyed(admin, path), 200)
    assert (shown["state"], len(shown["deeds"])) == (state, 1)
    assert replayed(await keyed(admin, path), 200) == shown


async def test_many_jobs_are_retried_once(admin: httpx.AsyncClient):
    await a_dead_job(error_code="time_limit")
    path, body = "/api/admin/jobs/retry", {"error_code": "time_limit"}
    assert first(await keyed(admin, path, json=body), 200) == {"retried": 1, "more": False}
    assert replayed(await keyed(admin, path, json=body), 200) == {"retried": 0, "more": False}
    later = await a_dead_job(error_code="time_limit")
    assert replayed(await keyed(admin, path, json=body), 200) == {"retried": 0, "more": True}
    assert await guard.value("select is_dead from jobs where id = $1", later)


async def test_a_queue_is_paused_once_and_shown_as_it_stands(admin: httpx.AsyncClient):
    pause, resume, why = "/api/admin/queues/mail/pause", "/api/admin/queues/mail/resume", {"reason": "SES"}
    assert first(await keyed(admin, pause, json=why), 200) == {"queue": "mail", "paused": True, "changed": True}
    stands = {"queue": "mail", "paused": True, "changed": False}
    assert replayed(await keyed(admin, pause, json=why), 200) == stands
    assert first(await keyed(admin, pause, "k-2", json=why), 200) == stands
    assert first(await keyed(admin, resume), 200) == {"queue": "mail", "paused": False, "changed": True}
    stands = {"queue": "mail", "paused": False, "changed": False}
    assert replayed(await keyed(admin, pause, json=why), 200) == stands
    assert replayed(await keyed(admin, resume), 200) == stands


@pytest.mark.parametrize(
    "path", ["/api/auth/register", "/api/auth/login", "/api/auth/refresh", "/api/auth/logout", "/api/auth/verify-email"]
)
async def test_what_makes_secrets_takes_no_key(caller: httpx.AsyncClient, path: str):
    assert path.startswith(PATHS)
    async with worlds.unmoved():
        problem_of(await keyed(caller, path), 422, "idempotency_unsupported")
    body_of(await caller.get("/api/auth/me"), 200)


async def test_other_methods_and_strangers_calls_do_not_look_at_it(app: Litestar, caller: httpx.AsyncClient):
    key = {"Idempotency-Key": "k" * 300}
    body_of(await caller.get("/api/auth/me", headers=key), 200)
    body_of(await caller.patch("/api/auth/me", json={"first_name": "Anna"}, headers=key), 200)
    problem_of(await anonymous(app).post("/api/stripe/webhooks", json={}, headers=key), 422, "callback_refused")
    problem_of(await anonymous(app).post("/api/projects", json=BODY, headers=key), 401, "token_invalid")
    assert await kept() == 0


@pytest.mark.parametrize("how", ["deadlock", "rival"])
async def test_a_verb_begun_anew_after_a_deadlock_takes_its_key_anew(caller: httpx.AsyncClient, how: str):
    RUNS.clear()
    path = f"/probes/stumble/{how}"
    assert first(await keyed(caller, path), 201) == 2
    assert replayed(await keyed(caller, path), 201) == 2
    assert [one["key"] for one in await guard.rows("select key from throttles")] == ["run-2"]
    assert await kept() == 1


async def test_the_document_says_where_a_key_is_taken(caller: httpx.AsyncClient):
    document = (await caller.get("/api/openapi.json")).json()
    fund = document["paths"]["/api/milestones/{milestone_id}/fund"]["post"]
    (header,) = [one for one in fund["parameters"] if one["in"] == "header"]
    assert (header["name"], header["required"]) == ("Idempotency-Key", False)
    assert "printable ASCII" in str(header)
    assert {"409", "422"} <= set(fund["responses"])
    assert "application/problem+json" in fund["responses"]["409"]["content"]
    login = document["paths"]["/api/auth/login"]["post"]
    assert "Idempotency-Key" not in str(login)


def test_a_job_is_named_by_its_id():
    one = UUID(int=7)
    assert _job_id(Repeated(one)) == one
    assert _job_id(Repeated(Enqueued(job_id=one, created=True))) == one  # type: ignore[arg-type]
