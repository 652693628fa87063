"""The marketplace attacked over HTTP: forged cursors, texts that break a parser, things that are not one's own."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from litestar import Litestar

from api.pages import encode_cursor
from models import accounts, blocks, guard, portfolio
from models.file_kinds import UploadPurpose
from models.projects import Visibility
from tests import factories, files, hourly, quarrels, worlds
from tests.api.callers import anonymous, body_of, calling, problem_of
from tests.uploading import an_upload

BEYOND: Final = 2**63
LISTS: Final = (
    ("/api/contracts", "contracts"),
    ("/api/favorites", "favorites"),
    ("/api/invoices", "invoices"),
    ("/api/notifications", "notifications"),
    ("/api/saved-searches", "saved_searches"),
    ("/api/support-tickets", "support_tickets"),
    ("/api/disputes", "disputes"),
    ("/api/users/me/blocks", "blocks"),
    ("/api/security/events", "security.events"),
    ("/api/proposals?project_id={project}", "proposals"),
    ("/api/reviews?user_id={freelancer}", "reviews"),
    ("/api/milestones?contract_id={contract}", "milestones"),
    ("/api/projects/{project}/invitations", "invitations"),
    ("/api/milestones/{milestone}/refund-requests", "refund_requests"),
    ("/api/messages/search?q=hello", "messages found"),
)
"""Lists whose position is a number."""
OFFER: Final = {"cover_letter": "Me again.", "bid_amount": 150, "currency": "USD", "delivery_days": 7}


async def test_a_cursor_of_ones_own_making_is_refused_by_name_on_every_list(app: Litestar) -> None:
    hire = await worlds.a_hire()
    caller = await calling(app, hire.client)
    known = {
        "project": hire.contract.project_id,
        "freelancer": hire.freelancer.id,
        "contract": hire.contract.id,
        "milestone": hire.milestones[0].id,
    }

    async def asked(path: str, cursor: str) -> None:
        answer = await caller.get(path, params={"cursor": cursor}) if "?" not in path else None
        problem = problem_of(answer or await caller.get(f"{path}&cursor={cursor}"), 422, "invalid")
        assert [one["field"] for one in problem["errors"]] == ["cursor"], path

    for path, listing in LISTS:
        for position in (BEYOND, -BEYOND - 1, 10**300):
            await asked(path.format(**known), encode_cursor(listing, position))
    await asked("/api/projects", encode_cursor("projects.newest", [BEYOND]))
    await asked("/api/conversations", encode_cursor("conversations", ["2026-11-23T00:00:00Z", BEYOND]))
    await asked("/api/skills", encode_cursor("skills", "a\0b"))


async def test_a_text_of_nothing_but_dashes_breaks_no_search(app: Litestar) -> None:
    await factories.a_project()
    caller = await calling(app, await factories.a_freelancer())
    for typed in ("-" * 33, "-" * 200, "- " * 90 + "cat", "cat" + "-!|" * 60 + "cat", "_-" * 40):
        for path in ("/api/projects", "/api/projects/facets", "/api/freelancers", "/api/messages/search"):
            problem = problem_of(await caller.get(path, params={"q": typed}), 422, "invalid")
            assert [one["field"] for one in problem["errors"]] == ["q"], path
        ranked = await caller.get("/api/projects", params={"q": typed, "sort": "relevance"})
        problem_of(ranked, 422, "invalid")
        problem_of(await caller.post("/api/saved-searches", json={"name": "Mine", "q": typed}), 422, "invalid")
    assert body_of(await caller.get("/api/projects", params={"q": "-" * 32 + "cat"}), 200)["items"] == []
    assert await guard.value("select count(*) from saved_searches") == 0


async def test_a_draft_is_no_tag_of_a_message_and_can_be_deleted_all_the_same(app: Litestar) -> None:
    client, freelancer = await factories.a_client(), await factories.a_freelancer()
    draft = await factories.a_project(client, open=False)
    caller = await calling(app, client)
    said = {"receiver_id": freelancer.id, "content": "Hello."}

    problem_of(await caller.post("/api/messages", json={**said, "project_id": draft.id}), 404, "not_found")

    assert (await caller.delete(f"/api/projects/{draft.id}")).status_code == 204


async def test_a_picture_that_nothing_shows_is_its_owners_alone(app: Litestar) -> None:
    owner = await factories.a_freelancer()
    picture, face = [await an_upload(owner, purpose=one) for one in ("portfolio", "avatar")]
    own, stranger = await calling(app, owner), await calling(app, await factories.a_client())
    for one in (picture, face):
        problem_of(await stranger.get(f"/api/uploads/{one}"), 404, "not_found")
        body_of(await own.get(f"/api/uploads/{one}"), 200)

    shown = {"title": "A shop", "upload_ids": [picture]}
    item = body_of(await own.post("/api/portfolio", json=shown), 201)
    body_of(await own.patch("/api/users/me", json={"avatar_upload_id": face}), 200)
    for one in (picture, face):
        assert body_of(await stranger.get(f"/api/uploads/{one}"), 200)["download_url"]
    await own.delete(f"/api/portfolio/{item['id']}")
    problem_of(await stranger.get(f"/api/uploads/{picture}"), 404, "not_found")


async def test_the_parties_of_a_dispute_do_not_learn_which_admin_has_it(app: Litestar) -> None:
    quarrel = await quarrels.a_quarrel()
    await quarrel.assigned()
    path = f"/api/disputes/{quarrel.id}"
    for party in (quarrel.hire.client, quarrel.hire.freelancer):
        caller = await calling(app, party)
        assert body_of(await caller.get(path), 200)["assignee_id"] is None
        assert [one["assignee_id"] for one in body_of(await caller.get("/api/disputes"), 200)["items"]] == [None]
    admin = await calling(app, quarrel.admin)
    assert body_of(await admin.get(path), 200)["assignee_id"] == quarrel.admin.id


async def test_who_is_blocked_reaches_nobody_by_an_offer(app: Litestar) -> None:
    client, freelancer = await factories.a_client(), await factories.a_freelancer()
    project = await factories.a_project(client)
    await guard.commit(blocks.make, freelancer.id, blocker_id=client.id)
    caller = await calling(app, freelancer)
    async with worlds.unmoved():
        sent = await caller.post("/api/proposals", json={**OFFER, "project_id": project.id})
        problem_of(sent, 403, "writer_blocked")
    await guard.commit(blocks.lift, freelancer.id, blocker_id=client.id)
    body_of(await caller.post("/api/proposals", json={**OFFER, "project_id": project.id}), 201)


@pytest.mark.parametrize("visibility", [Visibility.PRIVATE, Visibility.INVITE_ONLY])
async def test_a_hidden_project_is_told_from_an_absent_one_by_no_route(app: Litestar, visibility: Visibility) -> None:
    hidden = await factories.a_project(brief=factories.a_brief(visibility=visibility))
    freelancer, other = await factories.a_freelancer(), await factories.a_client()
    asking: tuple[tuple[str, str, dict[str, Any] | None], ...] = (
        ("GET", "/api/projects/{id}", None),
        ("GET", "/api/proposals?project_id={id}", None),
        ("GET", "/api/projects/{id}/invitations", None),
        ("POST", "/api/favorites", {"project_id": "id"}),
        ("POST", "/api/proposals", {**OFFER, "project_id": "id"}),
        ("POST", "/api/messages", {"receiver_id": other.id, "content": "Hello.", "project_id": "id"}),
        ("PATCH", "/api/projects/{id}", {"title": "Mine"}),
        ("POST", "/api/projects/{id}/close", None),
        ("POST", "/api/projects/{id}/cancel", None),
        ("POST", "/api/projects/{id}/publish", None),
        ("POST", "/api/projects/{id}/invite", {"user_id": freelancer.id}),
        ("DELETE", "/api/projects/{id}", None),
    )
    for person in (freelancer, await factories.a_client()):
        caller = await calling(app, person)
        async with worlds.unmoved():
            for method, path, said in asking:
                answers = []
                for one in (hidden.id, 999_999):
                    body = said and {name: one if value == "id" else value for name, value in said.items()}
                    answer = await caller.request(method, path.format(id=one), json=body)
                    found = answer.json()
                    assert answer.status_code in (403, 404), (method, path)
                    answers.append((answer.status_code, found["code"], found["detail"].replace(str(one), "N")))
                assert answers[0] == answers[1], (method, path)


async def test_a_weeks_cap_is_not_passed_by_turning_hours_billable_or_mending_rejected_ones(app: Litestar) -> None:
    contract = await hourly.a_contract(cap_minutes=60)
    await hourly.set_clock(datetime(2031, 5, 7, 12, tzinfo=UTC))
    freelancer = await calling(app, await accounts.read(contract.freelancer_id))
    client = await calling(app, await accounts.read(contract.client_id))
    begin = datetime(2031, 5, 7, 8, tzinfo=UTC)

    async def written(hour: int, **said: Any) -> str:
        times = {"started_at": begin + timedelta(hours=hour), "ended_at": begin + timedelta(hours=hour, minutes=45)}
        body = {"contract_id": contract.id, **{name: at.isoformat() for name, at in times.items()}, **said}
        made = body_of(await freelancer.post("/api/time-entries", json=body), 201)
        return f"/api/time-entries/{made['id']}"

    paid, unpaid = await written(0), await written(1, billable=False)
    problem_of(await freelancer.patch(unpaid, json={"billable": True}), 409, "weekly_cap_exceeded")
    body_of(await freelancer.post(f"{paid}/submit"), 200)
    body_of(await client.post(f"{paid}/reject", json={"reason": "Which bicycle?"}), 200)
    body_of(await freelancer.patch(unpaid, json={"billable": True}), 200)
    problem_of(await freelancer.patch(paid, json={"description": "That one."}), 409, "weekly_cap_exceeded")
    problem_of(
        await freelancer.patch(paid, json={"billable": False, "ended_at": "9999-12-31T23:00:00Z"}), 422, "invalid"
    )


async def test_nobody_moves_the_clock_or_reaches_the_stand_ins_over_http(app: Litestar) -> None:
    callers = [anonymous(app), await calling(app, await factories.an_admin())]
    for path in ("/api/clock", "/api/business-clock", "/_sandbox/clock", "/sandbox/clock", "/s3/x", "/sandbox-files/x"):
        for caller in callers:
            for method in ("GET", "POST", "PUT"):
                assert (await caller.request(method, path)).status_code in (404, 405), (method, path)
    assert not [one.path for one in app.routes if any(word in one.path for word in ("clock", "s3", "sandbox"))]
    assert await guard.value("select count(*) from business_clock") == 0


async def test_only_ones_own_good_files_are_named_anywhere(app: Litestar) -> None:
    hire = await worlds.a_hire()
    thief = await calling(app, hire.freelancer)
    for purpose, method, path, body in (
        (UploadPurpose.ATTACHMENT, "POST", "/api/messages", {"receiver_id": hire.client.id, "content": "Hello."}),
        (UploadPurpose.PORTFOLIO, "POST", "/api/portfolio", {"title": "Mine"}),
        (UploadPurpose.AVATAR, "PATCH", "/api/users/me", {}),
    ):
        foreign = await files.ready(hire.client, purpose)
        waits = await files.checking(hire.freelancer, purpose)
        field = {"/api/messages": "attachment_ids", "/api/portfolio": "upload_ids"}.get(path, "avatar_upload_id")
        details = set()
        for one in (foreign.id, waits.id, 999_999):
            named = one if field == "avatar_upload_id" else [one]
            async with worlds.unmoved():
                problem = problem_of(
                    await thief.request(method, path, json={**body, field: named}), 422, "upload_not_ready"
                )
            details.add(problem["detail"].replace(str(one), "N"))
        assert len(details) == 1, path
    assert await portfolio.list_of(hire.freelancer.id, asker_id=hire.freelancer.id) == []
