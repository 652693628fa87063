"""Whole situations, and what every refusal is held to: nothing moved."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
import pytest

from models import guard
from models.accounts import Person
from models.contracts import ContractRow
from models.errors import DomainError
from models.milestones import MilestoneRow
from models.projects import ProjectRow
from models.proposals import Offer, ProposalRow
from tests import factories

MOVING: Final = (
    "users",
    "projects",
    "proposals",
    "counter_offers",
    "project_invitations",
    "contracts",
    "milestones",
    "payments",
    "releases",
    "counter_offers",
    "favorites",
    "portfolio_items",
    "reviews",
    "settlements",
    "refund_requests",
    "settlements",
    "disputes",
    "dispute_evidence",
    "timers",
    "journals",
    "postings",
    "time_entries",
    "time_weeks",
    "timers",
    "support_tickets",
    "support_replies",
    "audit_log",
    "mails",
    "notifications",
    "conversations",
    "conversation_members",
    "messages",
    "user_blocks",
    "uploads",
    "invoices",
    "timers",
    "events",
    "jobs",
    "project_invitations",
    "saved_searches",
    "saved_search_matches",
)
"""Every table in which a verb leaves a trace."""


class Market(msgspec.Struct, frozen=True):
    """An open project and the rivals who want it; `proposals[n]` is of `freelancers[n]`."""

    client: Person
    project: ProjectRow
    freelancers: list[Person]
    proposals: list[ProposalRow]


class Hire(msgspec.Struct, frozen=True):
    """A client and a freelancer under a contract."""

    client: Person
    freelancer: Person
    contract: ContractRow
    milestones: list[MilestoneRow]


async def a_market(*, rivals: int = 3) -> Market:
    """An open project with so many proposals, none decided."""
    client = await factories.a_client()
    project = await factories.a_project(client)
    freelancers = [await factories.a_freelancer() for _ in range(rivals)]
    offers = [await factories.a_proposal(project, one) for one in freelancers]
    return Market(client, project, freelancers, offers)


async def a_hire(*, signed: bool = True, payouts_ready: bool = True, offer: Offer | None = None) -> Hire:
    """A contract, its two parties and its milestones."""
    client = await factories.a_client()
    freelancer = await factories.a_freelancer(payouts_ready=payouts_ready)
    contract = await factories.a_contract(client, freelancer, signed=signed, offer=offer)
    return Hire(client, freelancer, contract, await factories.milestones_of(contract))


async def traces() -> dict[str, list[Any]]:
    """Every row of every table in which verbs leave traces, as JSON."""
    return {
        table: [one[0] for one in await guard.rows(f"select to_jsonb(t)::text from {table} t order by 1")]
        for table in MOVING
    }


@asynccontextmanager
async def unmoved() -> AsyncIterator[None]:
    """What is done inside leaves no trace."""
    before = await traces()
    yield
    after = await traces()
    assert {t: after[t] for t in MOVING if after[t] != before[t]} == {}


@asynccontextmanager
async def refused(error: type[DomainError], match: str | None = None) -> AsyncIterator[None]:
    """What is done inside is refused with exactly this error, and leaves no trace."""
    async with unmoved():
        with pytest.raises(error, match=match) as raised:
            yield
        assert type(raised.value) is error


async def told(user_id: int) -> list[str]:
    """The types of a person's notifications, oldest first."""
    found = await guard.rows("""select type from notifications where "user" = $1 order by id""", user_id)
    return [one["type"] for one in found]


async def mailed(user_id: int) -> list[str]:
    """The kinds of a person's mails, oldest first."""
    found = await guard.rows("""select kind from mails where "user" = $1 order by id""", user_id)
    return [one["kind"] for one in found]


async def heard(audience: str) -> list[tuple[str, dict[str, Any]]]:
    """The events an audience was sent, oldest first, as (name, payload)."""
    found = await guard.rows("select name, payload::text from events where audience = $1 order by id", audience)
    return [(one["name"], msgspec.json.decode(one["payload"])) for one in found]
