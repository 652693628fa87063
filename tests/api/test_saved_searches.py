"""Saved searches over HTTP, and the link that ends their mails without a sign-in."""

from decimal import Decimal
from typing import Any

import pytest
from litestar import Litestar

import settings
from models import guard, mail
from models.accounts import Person
from models.mail import Outgoing
from tasks import mail as mailing
from tests import factories, worlds
from tests.api.callers import anonymous, body_of, calling, problem_of
from wire.tokens import Purpose, Tokens

SEARCHES = "/api/saved-searches"
WHOLE: dict[str, Any] = {
    "name": "Bicycles",
    "q": "bicycle shop",
    "category": "web",
    "skills": ["Python", "SQL"],
    "budget_type": "fixed",
    "budget_min": Decimal("500.50"),
    "budget_max": Decimal("2000.00"),
    "currency": "USD",
    "alerts_by_mail": True,
}


async def test_a_search_is_kept_changed_and_forgotten(app: Litestar) -> None:
    person = await factories.a_freelancer()
    caller, other = await calling(app, person), await calling(app, await factories.a_client())
    sent = {**WHOLE, "budget_min": 500.5, "budget_max": 2000, "skills": ["Python", "SQL", "Python"]}

    made = body_of(await caller.post(SEARCHES, json=sent), 201)

    path = f"{SEARCHES}/{made['id']}"
    assert {name: made[name] for name in WHOLE} == WHOLE
    assert body_of(await caller.get(path), 200) == made
    assert body_of(await caller.get(SEARCHES), 200) == {"items": [made], "next_cursor": None}
    changed = body_of(await caller.patch(path, json={"q": None, "budget_min": None, "alerts_by_mail": False}), 200)
    assert changed == {**made, "q": None, "budget_min": None, "alerts_by_mail": False}
    async with worlds.unmoved():
        for method in ("GET", "PATCH", "DELETE"):
            json = {"name": "Mine"} if method == "PATCH" else None
            problem_of(await other.request(method, path, json=json), 404, "not_found")
        assert body_of(await other.get(SEARCHES), 200)["items"] == []
    assert (await caller.delete(path)).status_code == 204
    problem_of(await caller.delete(path), 404, "not_found")


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"name": None}, "invalid"),
        ({"name": " "}, "invalid"),
        ({"name": "two\nlines"}, "invalid"),
        ({"name": "x" * 101}, "invalid"),
        ({"q": ""}, "invalid"),
        ({"q": "the"}, "invalid"),
        ({"q": "x" * 401}, "invalid"),
        ({"skills": ["x"] * 31}, "invalid"),
        ({"budget_type": "barter"}, "invalid"),
        ({"currency": None}, "invalid"),
        ({"currency": "ZZZ"}, "currency_unsupported"),
        ({"budget_min": 0.001}, "amount_too_precise"),
        ({"budget_min": 3000}, "amount_out_of_bounds"),
        ({"budget_min": -1}, "amount_out_of_bounds"),
        ({"user_id": 1}, "invalid"),
        ({"unsubscribed_at": None}, "invalid"),
    ],
)
async def test_what_makes_no_sense_is_422(app: Litestar, changed: dict[str, Any], code: str) -> None:
    caller = await calling(app, await factories.a_freelancer())
    sent = {**WHOLE, "budget_min": 500.5, "budget_max": 2000}
    made = body_of(await caller.post(SEARCHES, json=sent), 201)

    async with worlds.unmoved():
        problem_of(await caller.post(SEARCHES, json={**sent, **changed}), 422, code)
        problem_of(await caller.patch(f"{SEARCHES}/{made['id']}", json=changed), 422, code)


async def an_alert(app: Litestar, person: Person) -> tuple[int, Outgoing, str]:
    """A search, the mail about it that is going out, and the token in it."""
    caller = await calling(app, person)
    search = body_of(await caller.post(SEARCHES, json={"name": "Bicycles"}), 201)
    alert = await guard.commit(
        mail.write,
        "saved_search_alert",
        to=person.id,
        about="project:1",
        search_id=search["id"],
        search_name="Bicycles",
        project_id=1,
        project_title="A shop",
        budget_type="fixed",
        budget_min_minor=1,
        budget_max_minor=2,
        currency="USD",
    )
    outgoing = await guard.commit(mail.begin_sending, alert)
    assert outgoing is not None
    tokens: Tokens = app.state.tokens
    return search["id"], outgoing, tokens.link_token(Purpose.UNSUBSCRIBE, alert, outgoing.created_at)


async def sends_mails(search_id: int) -> bool:
    found: bool = await guard.value("select alerts_by_mail from saved_searches where id = $1", search_id)
    return found


async def test_the_link_and_the_headers_of_an_alert_lead_to_its_end(app: Litestar) -> None:
    search, outgoing, token = await an_alert(app, await factories.a_freelancer())
    letter = mailing.render(outgoing, settings.load())
    url = letter.headers["List-Unsubscribe"].strip("<>")
    assert letter.headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert url.endswith(f"/api/unsubscribe?token={token}")
    assert url in letter.text
    stranger, path = anonymous(app), url[url.index("/api/") :]

    async with worlds.unmoved():
        page = await stranger.get(path)
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")
        assert f'<form method="post" action="{path}"' in page.text
    # What a mail program sends, twice.
    assert await sends_mails(search)
    for _ in range(2):
        pressed = await stranger.post(path, data={"List-Unsubscribe": "One-Click"})
        assert body_of(pressed, 200) == {"unsubscribed": True}
    assert not await sends_mails(search)


async def test_every_form_of_the_button_is_understood(app: Litestar) -> None:
    person = await factories.a_freelancer()
    forms: list[dict[str, Any]] = [
        {"files": {"List-Unsubscribe": (None, "One-Click")}},
        {"json": {"List-Unsubscribe": "One-Click"}},
        {},
        {"data": {}, "headers": {"Accept": "text/html"}},
    ]
    search, _, token = await an_alert(app, person)
    for form in forms:
        await guard.rows("update saved_searches set alerts_by_mail = true")
        answer = await anonymous(app).post("/api/unsubscribe", params={"token": token}, **form)
        assert answer.status_code == 200, answer.text
        assert not await sends_mails(search)
    assert "<h1>Done</h1>" in answer.text


async def test_a_link_that_is_not_ours_ends_nothing(app: Litestar) -> None:
    person = await factories.a_freelancer()
    search, outgoing, token = await an_alert(app, person)
    tokens: Tokens = app.state.tokens
    other_purpose = tokens.link_token(Purpose.EMAIL_VERIFICATION, outgoing.mail_id, outgoing.created_at)
    stranger = anonymous(app)

    async with worlds.unmoved():
        for wrong in ("x", token[:-4] + "AAA=", other_purpose, token + "=", "é"):
            problem_of(await stranger.post("/api/unsubscribe", params={"token": wrong}), 422, "link_invalid")
        for params in ({}, {"token": ""}, {"token": "x" * 1025}):
            problem_of(await stranger.post("/api/unsubscribe", params=params), 422, "invalid")
        refused = await stranger.post(
            "/api/unsubscribe", params={"token": token}, content=b"x", headers={"Content-Type": "text/plain"}
        )
        problem_of(refused, 415, "unsupported_media_type")
        page = await stranger.get("/api/unsubscribe", params={"token": '"><script>alert(1)</script>'})
        assert "<script>" not in page.text
    assert await sends_mails(search)
    # A link means nothing to who asks with a session of somebody else's, and needs none.
    assert body_of(await stranger.post("/api/unsubscribe", params={"token": token}), 200) == {"unsubscribed": True}
