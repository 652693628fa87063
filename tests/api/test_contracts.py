"""Contracts over HTTP: the two parties, their signatures, and nobody else."""

from litestar import Litestar

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
