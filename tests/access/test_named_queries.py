"""What readings ask of large tables has a name, so that its plan is held to a filled database."""

import re
from collections.abc import Iterator
from typing import Any, Final

import pytest
from litestar import Litestar

from models import guard
from tests.access.test_who_may import ask
from tests.access.who_may import WHO_MAY, Who
from tests.access.world import World
from tests.models.plans import named

LARGE: Final = (
    "users", "sessions", "projects", "project_invitations", "proposals", "counter_offers", "contracts", "milestones",
    "payments", "releases", "journals", "postings", "time_entries", "time_weeks", "reviews", "disputes",
    "dispute_evidence", "refund_requests", "conversations", "conversation_members", "messages", "user_blocks",
    "notifications", "favorites", "portfolio_items", "saved_searches", "saved_search_matches", "support_tickets",
    "support_replies", "uploads", "invoices", "mails", "audit_log", "security_events",
)  # fmt: skip
"""Tables that grow with what people do. Those of the queue have benches of their own."""

MENTIONED: Final = re.compile(rf'\b(?:from|join)\s+"?({"|".join(LARGE)})\b')

KEYED: Final = re.compile(
    r"\b(?:where|and)\s+(?:\w+\.)?(?:id|email_key|intent_id|stripe_account_id)\s*=\s*(?:any\()?\$\d"
)
"""One row, by a unique key: its plan cannot be another."""

BUILT: Final[dict[str, re.Pattern[str]]] = {
    "projects": re.compile(r"^select p\.id from (?:projects p|\(select p\.\*)"),
    "freelancers": re.compile(r"^(?:select id, key, fits, place from|with fitting as materialized) \("),
}
"""Texts that are put together for each request; cases of the same builders stand for them in the test of plans."""

UNNAMED: Final[dict[str, str]] = {
    "select 1 from conversation_members where conversation = $1 and": "one row, by a unique key",
    "select exists (select 1 from proposals where project = $1 and freelancer = $2)": "one row, by a unique key",
    "select w.id, w.contract as contract_id, w.monday": "one row, by a unique key",
    "select (select count(*) from users)": "two counts for the metrics that an admin opens: each walks an index whole",
    "select id, at, actor_id, action": "an admin's search of the audit log, which is built; its indexes are by each field",
    "select u.id, u.email, u.first_name": "an admin's search of people, which is built; users_sought is its index",
}
"""The beginnings of texts, blanks made single, that need no name; and why."""


def plain(sql: str) -> str:
    return " ".join(sql.split())


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
    """Every text that reaches the database through the guard."""
    texts: set[str] = set()
    rows = guard.rows

    async def remembering(sql: str, *values: Any) -> list[Any]:
        texts.add(plain(sql))
        return await rows(sql, *values)

    monkeypatch.setattr(guard, "rows", remembering)
    return texts


def needs_a_name(text: str) -> bool:
    return (
        text.startswith(("select", "with"))
        and " for " not in text.rsplit("where", 1)[-1]  # a row that is about to change is locked by its key
        and bool(MENTIONED.search(text))
        and not KEYED.search(text)
        and not text.startswith(tuple(UNNAMED))
        and not any(pattern.search(text) for pattern in BUILT.values())
    )


async def test_what_readings_ask_of_large_tables_has_a_name(app: Litestar, world: World, asked: set[str]):
    for line in WHO_MAY:
        if line.method == "GET":
            for who in Who:
                await ask(app, world, line, who)
    known = {plain(sql) for sql in named().values()}
    assert len(asked) > 20
    nameless = sorted(text for text in asked - known if needs_a_name(text))
    assert nameless == [], "\n".join(nameless)


@pytest.mark.parametrize(
    ("sql", "needs"),
    [
        ("select id from projects where client = $1", True),
        ("with found as (select 1) select * from found join users u on u.id = found.id", True),
        ("select id from projects where id = $1", False),
        ("select id from skills where slug = $1", False),
        ("update projects set title = $2 where client = $1", False),
        ('select 1 from "users" where first_name = $1', True),
    ],
)
def test_which_texts_need_a_name(sql: str, *, needs: bool):
    assert needs_a_name(sql) is needs
