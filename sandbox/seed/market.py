"""The whole of it: every table of a marketplace, in one transaction.

The sandbox stands outside the service: it imports nothing of it and knows the tables by their names, as any program
with the database's address could. The service's tests hold what is loaded to the service's own rules and its proof.
"""

from datetime import UTC, datetime
from typing import Final

import asyncpg

from sandbox.seed import hires as contracts
from sandbox.seed import money, people, plan, projects, support, talk, work
from sandbox.seed.loading import Loader
from sandbox.seed.plan import Crowd, Size

UNTIL: Final = datetime(2026, 11, 4, tzinfo=UTC)
"""Where made-up time ends, unless told otherwise: the same on every day, so that the data are."""
MOST_USERS: Final = 9
"""A desk's own accounts are fewer. Where there are more people, made-up ones are not mixed in."""

TABLES: Final = (
    "users", "projects", "proposals", "contracts", "milestones", "time_weeks", "time_entries", "reviews", "disputes",
    "dispute_evidence", "payments", "releases", "journals", "postings", "conversations", "conversation_members",
    "messages", "notifications", "favorites", "support_tickets", "support_replies",
)  # fmt: skip
LEDGER: Final = ("journals", "postings")
"""Their triggers look rows up while they are filled, so they keep their indexes."""


class SeedRefused(Exception):
    """The database is not one that made-up data may be put into; the message says why."""


async def load(url: str, size: Size, *, seed: int = 1, until: datetime = UNTIL) -> dict[str, int]:
    """Fill a migrated database that has next to nobody in it; returns the rows of each table.

    The same seed, size and moment give the same rows, but for a journal's `made_in`, which is the database's own.
    Raises SeedRefused.
    """
    connection = await asyncpg.connect(url)
    try:
        await _refuse_people(connection)
        loader = Loader(connection, until, TABLES, keep_indexes=LEDGER)
        async with loader:
            await connection.executemany(people.SKILLS, people.skill_rows())
            await _fill(loader, seed, size)
        return loader.counts
    finally:
        await connection.close()


async def _refuse_people(connection: asyncpg.Connection) -> None:
    if await connection.fetchval("select to_regclass('search_words')") is None:
        raise SeedRefused("This database has not been migrated: ./megilance migrate")
    count = await connection.fetchval("select count(*) from (select 1 from users limit $1) found", MOST_USERS + 1)
    if count > MOST_USERS:
        raise SeedRefused(f"There are more than {MOST_USERS} people in this database: made-up ones are not mixed in.")


async def _fill(loader: Loader, seed: int, size: Size) -> None:
    crowd = Crowd(size)
    works = plan.works(seed, size, crowd)
    hires = contracts.hires(seed, works)
    await loader.fill("users", people.USERS, people.user_rows(loader, seed, crowd, hires))
    await loader.fill("projects", projects.PROJECTS, projects.project_rows(loader, seed, works))
    await loader.fill("proposals", projects.PROPOSALS, projects.proposal_rows(loader, seed, works, hires))
    await loader.fill("contracts", work.CONTRACTS, work.contract_rows(loader, seed, hires))
    await loader.fill("milestones", work.MILESTONES, work.milestone_rows(loader, seed, hires))
    await loader.fill("reviews", work.REVIEWS, work.review_rows(loader, seed, hires))
    await loader.fill("favorites", people.FAVORITES, people.favorite_rows(loader, seed, size, crowd, works))
    for tables, rows in (
        (("time_weeks", "time_entries"), work.hours(loader, seed, hires)),
        (("disputes", "dispute_evidence"), work.disputes(loader, seed, hires)),
        (("support_tickets", "support_replies"), support.tickets(loader, seed, size.tickets, size.users)),
    ):
        for table, these in zip(tables, rows, strict=True):
            await loader.fill(table, COLUMNS[table], these)
    talks = talk.chats(seed, works, size.messages)
    # How far somebody has read, and when a chat was last heard of, is known once its messages are made.
    await loader.fill("messages", talk.MESSAGES, talk.message_rows(loader, seed, talks))
    await loader.fill("conversations", talk.CONVERSATIONS, talk.conversation_rows(loader, talks))
    await loader.fill("conversation_members", talk.MEMBERS, talk.member_rows(loader, talks))
    await loader.fill("notifications", talk.NOTIFICATIONS, talk.notification_rows(loader, works, hires))
    books = money.Books(loader, hires)
    await loader.fill("payments", money.PAYMENTS, books.payment_rows())
    await loader.fill("releases", money.RELEASES, books.release_rows())
    await loader.fill("journals", money.JOURNALS, books.journal_rows())
    await loader.fill("postings", money.POSTINGS, books.posting_rows())


COLUMNS: Final = {
    "time_weeks": work.WEEKS,
    "time_entries": work.ENTRIES,
    "disputes": work.DISPUTES,
    "dispute_evidence": work.EVIDENCE,
    "support_tickets": support.TICKETS,
    "support_replies": support.REPLIES,
}
