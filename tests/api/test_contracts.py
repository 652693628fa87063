"""Contracts over HTTP: the two parties, their signatures, and nobody else."""

from litestar import Litestar

from models.milestones import MilestoneStatus
from tests import factories, worlds
from tests.api.callers import anonymous, body_of, calling, problem_of


async def test_both_sign(app: Litestar) -> None:
    hire = await worlds.a_hire(signed=False)
    client, freelancer = await calling(app, hire.client), await calling(app, hire.freelancer)
    path = f"/api/contracts/{hire.contract.id}"

    first = body_of(await client.post(f"{path}/sign"), 200)
    again = body_of(await client.post(f"{path}/sign"), 200)
    both = body_of(await freelancer.post(f"{path}/sign"), 200)

    assert first["status"] == "pending_signature"
    assert first["client_signed_at"].endswith("Z")
    assert again == first
    assert both["status"] == "active"
    assert body_of(await client.get(path), 200) == both


async def test_a_contract_is_answered_in_major_units(app: Litestar) -> None:
    hire = await worlds.a_hire()
    client = await calling(app, hire.client)

    answer = await client.get(f"/api/contracts/{hire.contract.id}")

    assert b'"amount":1000.00,"currency":"USD","platform_fee_percent":10.00' in answer.content
    assert body_of(answer, 200)["freelancer_name"] == "Frida Freelancer"


async def test_a_freelancer_without_a_payout_account_is_409(app: Litestar) -> None:
    hire = await worlds.a_hire(signed=False, payouts_ready=False)
    freelancer = await calling(app, hire.freelancer)

    async with worlds.unmoved():
        problem_of(await freelancer.post(f"/api/contracts/{hire.contract.id}/sign"), 409, "payouts_not_ready")


async def test_strangers_find_nothing(app: Litestar) -> None:
    hire, other = await worlds.a_hire(signed=False), await worlds.a_hire()
    path = f"/api/contracts/{hire.contract.id}"
    callers = [await calling(app, one) for one in (other.client, other.freelancer)]
    admin = await calling(app, await factories.an_admin())

    async with worlds.unmoved():
        for stranger in callers:
            problem_of(await stranger.get(path), 404, "not_found")
            problem_of(await stranger.post(f"{path}/sign"), 404, "not_found")
        problem_of(await admin.post(f"{path}/sign"), 403, "role_not_allowed")
        problem_of(await anonymous(app).get(path), 401, "token_invalid")
        problem_of(await anonymous(app).post(f"{path}/sign"), 401, "token_invalid")
    assert body_of(await admin.get(path), 200)["id"] == hire.contract.id


async def test_ones_own_contracts_are_listed(app: Litestar) -> None:
    hire, _ = await worlds.a_hire(), await worlds.a_hire()
    freelancer = await calling(app, hire.freelancer)

    page = body_of(await freelancer.get("/api/contracts"), 200)

    assert [one["id"] for one in page["items"]] == [hire.contract.id]
    assert page["next_cursor"] is None
    assert body_of(await freelancer.get("/api/contracts", params={"status": "completed"}), 200)["items"] == []
    problem_of(await anonymous(app).get("/api/contracts"), 401, "token_invalid")


async def test_a_party_cancels_and_says_why(app: Litestar) -> None:
    hire, other = await worlds.a_hire(), await worlds.a_hire()
    freelancer, stranger = await calling(app, hire.freelancer), await calling(app, other.client)
    path = f"/api/contracts/{hire.contract.id}/cancel"
    reason = "Plans have changed.\nSorry."

    async with worlds.unmoved():
        problem_of(await stranger.post(path, json={"reason": reason}), 404, "not_found")
        problem_of(await anonymous(app).post(path, json={"reason": reason}), 401, "token_invalid")
        for sent in ({}, {"reason": " "}, {"reason": "x" * 2001}, {"reason": reason, "fee": 0}):
            problem_of(await freelancer.post(path, json=sent), 422, "invalid")
    cancelled = body_of(await freelancer.post(path, json={"reason": reason}), 200)

    assert (cancelled["status"], cancelled["cancelled_because"]) == ("cancelled", reason)
    assert cancelled["cancelled_at"].endswith("Z")
    assert (await worlds.mailed(hire.client.id))[-1] == "contract_cancelled"
    async with worlds.unmoved():
        problem_of(await freelancer.post(path, json={"reason": reason}), 409, "wrong_state")


async def test_a_contract_with_money_on_it_is_neither_cancelled_nor_completed(app: Litestar) -> None:
    hire = await worlds.a_hire()
    await factories.walked(hire.milestones[0], MilestoneStatus.FUNDED)
    client, freelancer = await calling(app, hire.client), await calling(app, hire.freelancer)
    path = f"/api/contracts/{hire.contract.id}"

    async with worlds.unmoved():
        problem_of(await client.post(f"{path}/cancel", json={"reason": "No."}), 409, "wrong_state")
        problem_of(await client.post(f"{path}/complete"), 409, "wrong_state")
        problem_of(await freelancer.post(f"{path}/complete"), 403, "role_not_allowed")


async def test_a_client_completes_what_is_done(app: Litestar) -> None:
    hire = await worlds.a_hire()
    await factories.walked(hire.milestones[0], MilestoneStatus.RELEASED)
    client = await calling(app, hire.client)

    completed = body_of(await client.post(f"/api/contracts/{hire.contract.id}/complete"), 200)

    assert completed["status"] == "completed"
    assert completed["completed_at"].endswith("Z")
    assert (completed["budget_type"], completed["hourly_rate"], completed["weekly_cap_hours"]) == ("fixed", None, None)
    assert (completed["cancelled_at"], completed["cancelled_because"]) == (None, None)
