"""Hours of hourly contracts."""

from datetime import UTC, datetime, time, timedelta
from typing import Any, Final

from models import guard
from models.accounts import Person
from tests import hourly
from tests.access.asking import Asked, Asking, at
from tests.access.who import Who

#                                                anon unver client freel stran admin
WRITTEN: Final = """
POST   /api/time-entries/{entry_id}/stop           401  403  403  200  403  403  whose clock it is
POST   /api/time-entries/start                     401  403  403  201  403  403  the contract's freelancer
POST   /api/time-entries                           401  403  403  201  403  403  the contract's freelancer
GET    /api/time-entries                           401  404  200  200  404  200  the contract's parties, and admins
GET    /api/time-entries/summary                   401  404  200  200  404  200  the contract's parties, and admins
GET    /api/time-entries/{entry_id}                401  404  200  200  404  200  the contract's parties, and admins
PATCH  /api/time-entries/{entry_id}                401  403  403  200  403  403  the contract's freelancer
DELETE /api/time-entries/{entry_id}                401  403  403  204  403  403  the contract's freelancer
POST   /api/time-entries/{entry_id}/submit         401  403  403  200  403  403  the contract's freelancer
POST   /api/time-entries/{entry_id}/approve        401  404  200  403  404  403  the contract's client
POST   /api/time-entries/{entry_id}/reject         401  404  200  403  404  403  the contract's client
POST   /api/time-entries/weeks/approve             401  404  200  403  404  403  the contract's client
"""


def _spoken_of(world: Any, day: int, hour: int) -> datetime:
    """An hour of the week whose entries are written down: the last one, which is still open."""
    return datetime.combine(world.more["hours_monday"] + timedelta(days=day), time(hour), tzinfo=UTC)


def _written(world: Any, _: Any) -> Asked:
    started_at, ended_at = (_spoken_of(world, 5, hour).isoformat() for hour in (10, 11))
    contract_id = world.more["hours_contract"]
    return Asked(body={"contract_id": contract_id, "started_at": started_at, "ended_at": ended_at})


def _of_contract(world: Any, _: Any) -> Asked:
    return Asked(query={"contract_id": world.more["hours_contract"]})


def _week(world: Any) -> dict[str, Any]:
    return {"contract_id": world.more["hours_reviewed"], "week": world.more["hours_monday"].isoformat()}


REQUESTS: Final[dict[str, Asking]] = {
    "POST /api/time-entries/{entry_id}/stop": at(entry_id="hours_running"),
    "POST /api/time-entries/start": lambda world, _: Asked(body={"contract_id": world.more["hours_contract"]}),
    "POST /api/time-entries": _written,
    "GET /api/time-entries": _of_contract,
    "GET /api/time-entries/summary": lambda world, _: Asked(query=_week(world)),
    "GET /api/time-entries/{entry_id}": at(entry_id="hours_kept"),
    "PATCH /api/time-entries/{entry_id}": lambda world, _: Asked(
        {"entry_id": str(world.more["hours_edited"])}, body={"description": "Drew a bicycle."}
    ),
    "DELETE /api/time-entries/{entry_id}": at(entry_id="hours_removed"),
    "POST /api/time-entries/{entry_id}/submit": at(entry_id="hours_drafted"),
    "POST /api/time-entries/{entry_id}/approve": at(entry_id="hours_approved"),
    "POST /api/time-entries/{entry_id}/reject": lambda world, _: Asked(
        {"entry_id": str(world.more["hours_rejected"])}, body={"reason": "Which bicycle?"}
    ),
    "POST /api/time-entries/weeks/approve": lambda world, _: Asked(body=_week(world)),
}

WEEK: Final = "insert into time_weeks (contract, monday, status, closed_at) values ($1, $2, $3, $4) returning id"

ENTRY: Final = """
insert into time_entries (contract, project, freelancer, week, started_at, ended_at, description, status)
select c.id, c.project, c.freelancer, $2, $3, $4, 'Drew.', $5 from contracts c where c.id = $1 returning id
"""


async def make(known: dict[Who, Person], world: dict[str, Any]) -> dict[str, Any]:
    """Two hourly contracts with last week's hours, of which one waits for its client, and a clock that runs now."""
    now = datetime.now(UTC)
    today = now.date()
    this_monday = today - timedelta(days=today.weekday())
    monday = this_monday - timedelta(days=7)
    first, second = [(await hourly.a_contract(known[Who.CLIENT], known[Who.FREELANCER])).id for _ in range(2)]
    week = await guard.value(WEEK, first, monday, "open", None)
    present = await guard.value(WEEK, first, this_monday, "open", None)
    reviewed = await guard.value(WEEK, second, monday, "in_review", now)

    async def entry(contract_id: int, week_id: int, day: int, status: str) -> int:
        started_at = datetime.combine(monday + timedelta(days=day), time(9), tzinfo=UTC)
        found: int = await guard.value(ENTRY, contract_id, week_id, started_at, started_at + timedelta(hours=1), status)
        return found

    named = ("kept", "edited", "removed", "drafted", "approved", "rejected")
    made: dict[str, Any] = {
        f"hours_{name}": await entry(first, week, day, "submitted" if day > 3 else "draft")
        for day, name in enumerate(named)
    }
    await entry(second, reviewed, 6, "submitted")
    # It began in this week, however young the week is, so that it is stopped as one entry.
    began = max(now - timedelta(minutes=1), datetime.combine(this_monday, time(), tzinfo=UTC))
    made["hours_running"] = await guard.value(ENTRY, first, present, began, None, "running")
    return {**made, "hours_monday": monday, "hours_contract": first, "hours_reviewed": second}
