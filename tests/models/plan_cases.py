"""What each named query is asked with: a line each. A name without a case fails, and so does a case without a query.

Of each query one case is somebody's or something's that has a lot, where there is such; a second one's that has little.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from models import freelancers
from models.sought import Position, Scope, Sort, Sought, end, far, near
from tests.models.plans import NEWEST, Facts

Case = Callable[[Facts], tuple[Any, ...]]

LIMIT: Final = 20
YEAR: Final = timedelta(days=365)
LAST: Final = datetime(2027, 1, 1, tzinfo=UTC)
ALL_PROPOSALS: Final = ["submitted", "shortlisted", "accepted", "rejected", "withdrawn"]
ALL_CONTRACTS: Final = ["pending_signature", "active", "completed", "cancelled"]
ALL_TICKETS: Final = ["open", "in_progress", "waiting", "resolved", "closed"]
ALL_PRIORITIES: Final = ["low", "normal", "high", "urgent"]
ALL_ENTRIES: Final = ["running", "draft", "submitted", "approved", "rejected", "invoiced"]
SOME_TYPES: Final = ["proposal_received", "contract_created"]

CASES: Final[dict[str, list[Case]]] = {
    "blocks.own": [lambda _: (1, None, LIMIT), lambda w: (w.quiet_client, None, LIMIT)],
    "contracts.own": [
        lambda w: (w.client, ALL_CONTRACTS, NEWEST, LIMIT),
        lambda w: (w.quiet_freelancer, ["active"], NEWEST, LIMIT),
    ],
    "conversations.newest": [lambda w: (w.client, None, 0, LIMIT), lambda w: (w.quiet_freelancer, None, 0, LIMIT)],
    "conversations.read": [lambda w: (w.chatter, w.conversation)],
    "counter_offers.of_proposal": [lambda w: (w.proposal, NEWEST, LIMIT)],
    "disputes.all": [lambda _: (NEWEST, LIMIT)],
    "disputes.assigned": [lambda w: (NEWEST, LIMIT, w.admin, None)],
    "disputes.by_status": [lambda _: (NEWEST, LIMIT, "evidence")],
    "disputes.evidence": [lambda w: (w.dispute,)],
    "disputes.own": [lambda w: (w.client, NEWEST, LIMIT, None), lambda w: (w.quiet_client, NEWEST, LIMIT, "open")],
    "favorites.own": [lambda w: (w.client, NEWEST, LIMIT), lambda w: (w.quiet_client, NEWEST, LIMIT)],
    "favorites.own_freelancers": [lambda w: (w.client, NEWEST, LIMIT)],
    "favorites.own_projects": [lambda w: (w.freelancer, NEWEST, LIMIT)],
    "freelancers.cards": [lambda w: ([w.freelancer, w.quiet_freelancer],)],
    "freelancers.rank": [lambda _: (list(range(1, 501)), "'react'", None, None, LIMIT)],
    **{name: [lambda _, asked=tuple(asked): asked] for name, (_, asked) in freelancers.SAMPLES.items()},
    "freelancers.read": [lambda w: (w.freelancer,)],
    "invitations.of_project": [lambda w: (w.project, NEWEST, LIMIT)],
    "invitations.own": [lambda _: (14, NEWEST, LIMIT), lambda w: (w.quiet_freelancer, NEWEST, LIMIT)],
    "invoices.own": [lambda w: (w.client, NEWEST, LIMIT), lambda w: (w.quiet_client, NEWEST, LIMIT)],
    "invoices.own_of_year": [lambda w: (w.freelancer, NEWEST, LIMIT, LAST - YEAR, LAST)],
    "mails.alerts_of_the_day": [lambda _: (1,)],
    "messages.after": [lambda w: (w.conversation, 0, LIMIT), lambda w: (w.conversation, 10**9, LIMIT)],
    "messages.before": [lambda w: (w.conversation, 10**9, LIMIT), lambda w: (w.conversation, 3, LIMIT)],
    "messages.search": [
        lambda w: (w.chatter, "tomorrow", NEWEST, LIMIT),
        lambda w: (w.chatter, "phosphorescent", NEWEST, LIMIT),
        lambda w: (w.quiet_client, "the", NEWEST, LIMIT),
    ],
    "milestones.of_contract": [
        lambda w: (w.client, False, w.contract, 0, LIMIT),
        lambda w: (w.admin, True, w.contract, 0, LIMIT),
    ],
    "notifications.newest": [lambda w: (w.client, NEWEST, SOME_TYPES, LIMIT)],
    "notifications.newest_unread": [
        lambda w: (w.client, NEWEST, SOME_TYPES, LIMIT),
        lambda w: (w.quiet_client, NEWEST, SOME_TYPES, LIMIT),
    ],
    "notifications.unread": [lambda w: (w.client,), lambda w: (w.quiet_client,)],
    "portfolio.of_freelancer": [lambda w: (w.freelancer, False, -1, 0, LIMIT)],
    "projects.by_ids": [lambda _: (list(range(1, 21)), False)],
    "projects.facets": [lambda _: (list(range(1, 1_001)), False)],
    "projects.own": [lambda w: (w.client, NEWEST, LIMIT), lambda w: (w.quiet_client, NEWEST, LIMIT)],
    "projects.own_of_status": [
        lambda w: (w.client, NEWEST, LIMIT, "open"),
        lambda w: (w.quiet_client, NEWEST, LIMIT, "cancelled"),
    ],
    "projects.ranked": [lambda _: (list(range(1, 501)), "website", None, None, LIMIT)],
    "projects.read": [
        lambda w: (w.open_project, w.client, False),
        lambda w: (w.project, w.freelancer, False),
        lambda w: (w.project, w.admin, True),
    ],
    "proposals.of_project": [lambda w: (w.project, w.client, True, ALL_PROPOSALS, NEWEST, LIMIT)],
    "proposals.own": [
        lambda w: (w.freelancer, ALL_PROPOSALS, NEWEST, LIMIT),
        lambda w: (w.quiet_freelancer, ["shortlisted"], NEWEST, LIMIT),
    ],
    "refund_requests.of_milestone": [lambda w: (w.milestone, NEWEST, LIMIT)],
    "reviews.of_user": [
        lambda w: (w.client, False, w.freelancer, NEWEST, LIMIT),
        lambda w: (w.client, True, w.quiet_freelancer, NEWEST, LIMIT),
    ],
    "reviews.read": [lambda w: (w.client, False, w.review)],
    "saved_searches.fitting": [lambda w: (w.open_project, 0)],
    "saved_searches.own": [lambda _: (1, NEWEST, LIMIT)],
    "security_events.own": [lambda _: (1, None, LIMIT), lambda _: (1, 10**6, LIMIT)],
    "sessions.own": [lambda _: (1, 7, None, LIMIT)],
    "support.own": [lambda w: (w.ticket_owner, ALL_TICKETS, ALL_PRIORITIES, NEWEST, LIMIT)],
    "support.queue": [lambda _: (ALL_TICKETS, 0, 0, 4, LIMIT), lambda _: (["open"], 1, 500, 4, LIMIT)],
    "support.queue_of": [
        lambda w: (ALL_TICKETS, 0, 0, 4, LIMIT, w.admin),
        lambda w: (["open"], 0, 0, 4, LIMIT, w.admin),
    ],
    "support.replies": [lambda w: (w.ticket,)],
    "time_entries.of_contract": [
        lambda w: (w.hourly_project, w.hourly_contract, ALL_ENTRIES, LAST, NEWEST, LIMIT),
    ],
    "time_entries.of_week": [lambda w: (w.week, ALL_ENTRIES, LAST, NEWEST, LIMIT)],
    "time_entries.overlapped": [lambda w: (w.freelancer, LAST - YEAR, LAST, 0)],
    "time_weeks.spent": [lambda w: (w.week, LAST, LAST, 0)],
    "uploads.named": [lambda _: (1,), lambda _: (2,), lambda _: (3,)],
    "uploads.seen": [lambda w: (1, w.client, False), lambda w: (2, w.client, False), lambda w: (3, w.client, False)],
    "words.completions": [lambda _: ("web", "\uffff", LIMIT), lambda _: ("zzz", "\uffff", LIMIT)],
    "words.nearest": [lambda _: (["webiste", "recat", "zzzzzz"], "\uffff")],
}
"""By name, alphabetically."""

ORDERS: Final = (Sort.NEWEST, Sort.BUDGET_HIGH, Sort.BUDGET_LOW, Sort.DEADLINE)
WANTED: Final = {
    "anything": Sought(),
    "a common word": Sought(q="work"),
    "a rare word": Sought(q="phosphorescent"),
    "words that never meet": Sought(q="react kubernetes"),
    "a phrase": Sought(q="graphic-design"),
    "an absent word": Sought(q="zzyzzx"),
    "a skill": Sought(skills=["Level Design"]),
    "a category": Sought(category="legal"),
    "a client": Sought(client_id=11),
    "a budget": Sought(currency="USD", budget_min=Decimal(19_000)),
    "a word in a category": Sought(q="website", category="legal", budget_type="hourly"),
}


def _projects() -> dict[str, Callable[[Facts], tuple[str, tuple[Any, ...]]]]:
    """What models/search.py sends for a page: a window of the list, its end, all that an index fetches."""
    made = {}
    for what, sought in WANTED.items():
        pieces = {"near": near(sought, Sort.NEWEST, None, limit=20, window=600)}
        # What is common fills a page from the window, and is fetched by no index.
        if sought.indexed and what not in {"a common word", "a phrase"}:
            pieces["far"] = far(sought, Sort.NEWEST, Position(id=30_000), limit=20)
        made |= {f"projects.{piece}, {what}": statement for piece, statement in pieces.items()}
    priced = Sought(currency="USD")
    for sort in ORDERS:
        made[f"projects.near, by {sort}"] = near(priced, sort, None, limit=20, window=600)
        made[f"projects.end, by {sort}"] = end(priced, sort, None, window=600)
    own = Scope(status="open", user_id=11)
    made["projects.near, one's own"] = near(Sought(), Sort.NEWEST, None, limit=20, window=None, scope=own)
    return {name: lambda _, made=one: (made.sql, tuple(made.values)) for name, one in made.items()}


BUILT: Final[dict[str, Callable[[Facts], tuple[str, tuple[Any, ...]]]]] = _projects()
"""Statements that are put together for each request: what builds one, with its values. Their names are ours."""

READS_MORE: Final[dict[str, tuple[int, str]]] = {
    "invoices.own": (5_000, "whoever has hundreds of invoices has all of them looked at"),
    "projects.near, one's own": (5_000, "whoever has hundreds of projects has all of them looked at"),
    "saved_searches.fitting": (
        10_100,
        "one step of the matching looks at 5,000 searches, their owners too, and is a job's",
    ),
    "support.queue_of": (5_000, "an admin who has none of this status has all that they were ever assigned looked at"),
}
"""Queries that may read more rows than others, how many, and why."""

COMPOSITE: Final[dict[str, tuple[str, Case]]] = {
    "idx_projects_status_created": (
        "select id from projects where status = $1 order by created_at desc limit $2",
        lambda _: ("completed", 20),
    ),
    "idx_payments_user_created": (
        "select id from payments where payer = $1 order by created_at desc limit $2",
        lambda w: (w.client, 20),
    ),
    "idx_messages_receiver_unread": (
        "select conversation, count(*) from messages where receiver = $1 and read_at is null group by conversation",
        lambda w: (w.chatter,),
    ),
    "idx_notifications_user_unread": (
        'select count(*) from notifications where "user" = $1 and read_at is null',
        lambda w: (w.client,),
    ),
    "idx_reviews_reviewee_rating": (
        "select rating, count(*) from reviews where reviewee = $1 group by rating",
        lambda w: (w.freelancer,),
    ),
    "idx_time_entries_project_date": (
        "select id from time_entries where project = $1 order by started_at desc limit $2",
        lambda w: (w.hourly_project, 20),
    ),
    "idx_support_tickets_status_priority": (
        "select id from support_tickets where status = $1 and priority = $2 and id < $3 order by id desc limit $4",
        lambda _: ("open", "urgent", NEWEST, 20),
    ),
    "idx_proposals_freelancer_status": (
        "select id from proposals where freelancer = $1 and status = $2",
        lambda w: (w.freelancer, "submitted"),
    ),
    "idx_audit_logs_user_created": (
        "select id from audit_log where actor_id = $1 order by at desc limit $2",
        lambda w: (w.admin, 20),
    ),
}
"""The nine composite indexes that the source names, each with a question that it is there for."""
